//! Executing a command on a stream: load, decide, append, and again after a conflict.

use std::sync::Arc;

use hatch_domain::{Decider, DecodeError, DomainEvent, Environment};
use hatch_telemetry::trace;
use uuid::Uuid;

use crate::{
    Append, AppendError, Appended, Appender, CommandKey, ExpectedVersion, Guard, Log, LogError,
    Metadata, NewEvent, SideRow, StreamWrite,
};

/// How often a command is decided at most; each time but the first after a conflict.
const DECISIONS_MAX: usize = 8;

/// The log as deciders use it; cheap to clone.
#[derive(Clone)]
pub struct Store {
    appender: Appender,
    log: Log,
    environment: Arc<dyn Environment>,
    sends: bool,
}

/// A command, the stream that decides on it, and what goes with its events.
pub struct Execute<'a, D: Decider> {
    /// Whose stream it is.
    pub tenant_id: Uuid,
    /// The stream.
    pub stream_id: Uuid,
    /// The command.
    pub command: &'a D::Command,
    /// What the caller knows of the stream.
    pub known: Known<D>,
    /// Recorded with each event. Without a `traceparent` it gets the one of what happens now.
    pub metadata: Metadata,
    /// The client's key, where it gave one.
    pub key: Option<CommandKey>,
    /// Expectations about other streams.
    pub guards: Vec<Guard>,
    /// Rows that commit with the events.
    pub side_rows: Vec<SideRow>,
}

/// What the caller of [`Store::execute`] knows of the stream.
#[derive(Debug, Clone)]
pub enum Known<D> {
    /// Nothing: read it.
    Load,
    /// Its state at this version (0: it has no event), which may have passed: then it is read.
    At(D, i64),
}

/// A stream as it is.
#[derive(Debug, Clone)]
pub struct Loaded<D> {
    /// Its state; the initial one when it does not exist.
    pub state: D,
    /// Its version; 0 when it does not exist.
    pub version: i64,
    /// W3C Trace Context of the last of its events that has one.
    pub traceparent: Option<String>,
}

/// What became of a command.
#[derive(Debug)]
pub struct Executed<D: Decider> {
    /// The stream's state, with the events if they were appended.
    pub state: D,
    /// The stream's version in that state.
    pub version: i64,
    /// What was decided and appended; empty when there was nothing to do.
    pub events: Vec<D::Event>,
    /// What the append came to; none when there was nothing to append.
    pub appended: Option<Appended>,
}

/// Why a command was not executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<R: std::error::Error + 'static> {
    /// The domain says no.
    #[error("the command was rejected")]
    Rejected(#[source] R),
    /// The events could not be appended. A conflict here is one of a guard, or of a stream that kept
    /// changing.
    #[error("append the events")]
    Append(#[source] AppendError),
    /// The stream could not be read.
    #[error("read the stream")]
    Log(#[source] LogError),
    /// The stream holds an event that this build does not know.
    #[error("decode the stream")]
    Decode(#[source] DecodeError),
}

/// What executing a command comes to.
pub type ExecuteResult<D> = Result<Executed<D>, ExecuteError<<D as Decider>::Rejection>>;

impl Store {
    /// Puts the parts together.
    #[must_use]
    pub fn new(appender: Appender, log: Log, environment: Arc<dyn Environment>) -> Self {
        Self { appender, log, environment, sends: false }
    }

    /// The same store for commands whose events allow something to be sent: refused while the fence
    /// is closed ([`AppendError::Fenced`]).
    #[must_use]
    pub fn for_sending(&self) -> Self {
        Self { sends: true, ..self.clone() }
    }

    /// The writing side.
    #[must_use]
    pub const fn appender(&self) -> &Appender {
        &self.appender
    }

    /// The reading side.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Time and ids.
    #[must_use]
    pub fn environment(&self) -> &dyn Environment {
        self.environment.as_ref()
    }

    /// Lets the stream decide on the command and appends what it decides.
    ///
    /// After a conflict on the stream it is read and decides again, a bounded number of times. With a
    /// key that was used before, nothing is appended: `appended` says where the events of that time
    /// are, and `state` is the stream's as it is now. When nothing is decided, only key and side rows
    /// are recorded, if there are any.
    ///
    /// # Errors
    /// [`ExecuteError`], which keeps the domain's "no" apart from what failed.
    pub async fn execute<D: Decider>(&self, execute: Execute<'_, D>) -> ExecuteResult<D> {
        let Execute { tenant_id, stream_id, command, known, mut metadata, key, guards, side_rows } =
            execute;
        metadata.traceparent = metadata.traceparent.or_else(trace::current);
        let (mut state, mut version) = match known {
            Known::At(state, version) => (state, version),
            Known::Load => self.load(tenant_id, stream_id).await?,
        };
        let mut decisions = 1;
        loop {
            let events = match state.decide(command) {
                Ok(events) => events,
                Err(rejection) => match self.replayed(key).await? {
                    // The first time it was accepted, which is why it cannot be now.
                    Some(appended) => {
                        return Ok(Executed::without_events(state, version, appended));
                    }
                    None => return Err(ExecuteError::Rejected(rejection)),
                },
            };
            let (after, new_events) = self.record(state, &events, &metadata);
            let append = Append {
                key,
                writes: write(tenant_id, stream_id, version, new_events),
                guards: if events.is_empty() { Vec::new() } else { guards.clone() },
                side_rows: side_rows.clone(),
                sends: self.sends,
            };
            if append.writes.is_empty() && append.key.is_none() && append.side_rows.is_empty() {
                return Ok(Executed { state: after, version, events, appended: None });
            }
            match self.appender.append(append).await {
                Ok(appended @ Appended::Committed { .. }) => {
                    version += i64::try_from(events.len()).unwrap_or(i64::MAX);
                    let appended = Some(appended);
                    return Ok(Executed { state: after, version, events, appended });
                }
                Ok(appended @ Appended::Duplicate { .. }) => {
                    let (state, version) = self.load(tenant_id, stream_id).await?;
                    return Ok(Executed::without_events(state, version, appended));
                }
                Err(AppendError::Conflict { stream_id: of, .. })
                    if of == stream_id && decisions < DECISIONS_MAX =>
                {
                    decisions += 1;
                    (state, version) = self.load(tenant_id, stream_id).await?;
                }
                Err(error) => return Err(ExecuteError::Append(error)),
            }
        }
    }

    /// The stream's state and version; the initial state and 0 when it does not exist, or is of another tenant
    /// or kind.
    ///
    /// # Errors
    /// [`ExecuteError::Log`] and [`ExecuteError::Decode`].
    pub async fn load<D: Decider>(
        &self,
        tenant_id: Uuid,
        stream_id: Uuid,
    ) -> Result<(D, i64), ExecuteError<D::Rejection>> {
        let Loaded { state, version, .. } = self.load_traced(tenant_id, stream_id).await?;
        Ok((state, version))
    }

    /// As [`load`](Self::load), with the trace that the stream's last event belongs to.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn load_traced<D: Decider>(
        &self,
        tenant_id: Uuid,
        stream_id: Uuid,
    ) -> Result<Loaded<D>, ExecuteError<D::Rejection>> {
        let events = self.log.read_stream_of(D::AGGREGATE, tenant_id, stream_id).await;
        let events = events.map_err(ExecuteError::Log)?;
        let mut loaded = Loaded { state: D::default(), version: 0, traceparent: None };
        for recorded in events {
            let event = recorded.decode::<D::Event>().map_err(ExecuteError::Decode)?;
            loaded.state = loaded.state.evolve(&event);
            loaded.version = recorded.version;
            loaded.traceparent = recorded.metadata.traceparent.or(loaded.traceparent);
        }
        Ok(loaded)
    }

    /// What `key` was used for before, if it was.
    async fn replayed<R: std::error::Error + 'static>(
        &self,
        key: Option<CommandKey>,
    ) -> Result<Option<Appended>, ExecuteError<R>> {
        let Some(key) = key else { return Ok(None) };
        match self.log.command(key.id).await.map_err(ExecuteError::Log)? {
            None => Ok(None),
            Some(recorded) if recorded.request_hash == key.request_hash => {
                Ok(Some(Appended::Duplicate { first: recorded.first, last: recorded.last }))
            }
            Some(_) => Err(ExecuteError::Append(AppendError::KeyReused)),
        }
    }

    /// The state after `events`, and what the log is to hold of each: for those who append to several
    /// streams at once. [`execute`](Self::execute) does it for one.
    pub fn record<D: Decider>(
        &self,
        mut state: D,
        events: &[D::Event],
        metadata: &Metadata,
    ) -> (D, Vec<NewEvent>) {
        let mut new_events = Vec::with_capacity(events.len());
        for event in events {
            state = state.evolve(event);
            new_events.push(NewEvent {
                event_id: self.environment.new_id(),
                event_type: event.event_type(),
                schema_version: event.schema_version(),
                routing: state.routing(),
                metadata: metadata.clone(),
                payload: event.encode(),
            });
        }
        (state, new_events)
    }
}

impl<D: Decider> Executed<D> {
    const fn without_events(state: D, version: i64, appended: Appended) -> Self {
        Self { state, version, events: Vec::new(), appended: Some(appended) }
    }
}

fn write(
    tenant_id: Uuid,
    stream_id: Uuid,
    version: i64,
    events: Vec<NewEvent>,
) -> Vec<StreamWrite> {
    if events.is_empty() {
        return Vec::new();
    }
    let expected = match version {
        0 => ExpectedVersion::NoStream,
        version => ExpectedVersion::Exact(version),
    };
    vec![StreamWrite { stream_id, tenant_id, expected, events }]
}
