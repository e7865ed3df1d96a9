//! The log as deciders use it: reading a stream, and executing a command on one.

use std::sync::Arc;

use hatch_domain::{Decider, DecodeError, Ending, Environment};
use hatch_telemetry::measure::{Counter, Family};
use uuid::Uuid;

use crate::{
    AppendError, Appended, Appender, CommandKey, Guard, Loaded, Log, LogError, Metadata, SideRow,
    Transacted,
};

/// The log as deciders use it; cheap to clone.
#[derive(Clone)]
pub struct Store {
    parts: Arc<Parts>,
    sends: bool,
}

struct Parts {
    appender: Appender,
    log: Log,
    environment: Arc<dyn Environment>,
    endings: Family<Ending, Counter>,
}

/// A command, the stream that decides on it, and what goes with its events.
pub struct Execute<'a, D: Decider> {
    tenant_id: Uuid,
    stream_id: Uuid,
    command: &'a D::Command,
    metadata: Metadata,
    known: Option<Loaded<D>>,
    key: Option<CommandKey>,
    guards: Vec<Guard>,
    rows: Vec<SideRow>,
}

impl<'a, D: Decider> Execute<'a, D> {
    /// A command to a stream of a tenant, which is read first. `metadata` is recorded with each event; without a
    /// `traceparent` it gets the one of what happens now.
    pub const fn new(
        tenant_id: Uuid,
        stream_id: Uuid,
        command: &'a D::Command,
        metadata: Metadata,
    ) -> Self {
        Self {
            tenant_id,
            stream_id,
            command,
            metadata,
            known: None,
            key: None,
            guards: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The stream's state at this version (0: it has no event), which may have passed: then it is read.
    #[must_use]
    pub fn at(self, state: D, version: i64) -> Self {
        Self { known: Some(Loaded::at(state, version)), ..self }
    }

    /// The client's key, where it gave one.
    #[must_use]
    pub fn key(self, key: Option<CommandKey>) -> Self {
        Self { key, ..self }
    }

    /// Expectations about other streams, of which one that does not hold is an error of the caller's to handle.
    #[must_use]
    pub fn guards(self, guards: Vec<Guard>) -> Self {
        Self { guards, ..self }
    }

    /// Rows that commit with the events.
    #[must_use]
    pub fn rows(self, rows: Vec<SideRow>) -> Self {
        Self { rows, ..self }
    }
}

/// The result of a command.
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

/// Why a stream was not read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The log could not be read.
    #[error("read the stream")]
    Log(#[source] LogError),
    /// The stream holds an event that this build does not know.
    #[error("decode the stream")]
    Decode(#[source] DecodeError),
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

impl<R: std::error::Error + 'static> From<AppendError> for ExecuteError<R> {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

impl<R: std::error::Error + 'static> From<LoadError> for ExecuteError<R> {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Log(error) => Self::Log(error),
            LoadError::Decode(error) => Self::Decode(error),
        }
    }
}

/// What executing a command comes to.
pub type ExecuteResult<D> = Result<Executed<D>, ExecuteError<<D as Decider>::Rejection>>;

impl Store {
    /// Puts the parts together.
    #[must_use]
    pub fn new(appender: Appender, log: Log, environment: Arc<dyn Environment>) -> Self {
        let endings = Family::default();
        Self { parts: Arc::new(Parts { appender, log, environment, endings }), sends: false }
    }

    /// The same store for commands whose events allow something to be sent: refused while the fence
    /// is closed ([`AppendError::Fenced`]).
    #[must_use]
    pub fn for_sending(&self) -> Self {
        Self { sends: true, ..self.clone() }
    }

    /// Whether what it appends allows something to be sent.
    pub(crate) const fn sends(&self) -> bool {
        self.sends
    }

    /// The writing side.
    #[must_use]
    pub fn appender(&self) -> &Appender {
        &self.parts.appender
    }

    /// The reading side.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.parts.log
    }

    /// How often something ended that was appended here, each way.
    #[must_use]
    pub fn endings(&self) -> Vec<(Ending, u64)> {
        let all = self.parts.endings.all().into_iter();
        all.map(|(ending, counter)| (ending, counter.get())).collect()
    }

    /// Counts what a committed append ended.
    pub(crate) fn ended(&self, endings: Vec<Ending>) {
        for ending in endings {
            self.parts.endings.of(&ending).increment();
        }
    }

    /// Time and ids.
    #[must_use]
    pub fn environment(&self) -> &dyn Environment {
        self.parts.environment.as_ref()
    }

    /// Lets the stream decide on the command and appends what it decides: [`transact`](Self::transact) with one
    /// stream.
    ///
    /// With a key that was used before, nothing is appended: `appended` says where the events of that time
    /// are, and `state` is the stream's as it is now. When nothing is decided, only key and side rows
    /// are recorded, if there are any, and the guards do not count.
    ///
    /// # Errors
    /// [`ExecuteError`], which keeps the domain's "no" apart from what failed.
    pub async fn execute<D: Decider + 'static>(&self, execute: Execute<'_, D>) -> ExecuteResult<D> {
        let Execute { tenant_id, stream_id, command, metadata, mut known, key, guards, rows } =
            execute;
        let transacted = self
            .transact(tenant_id, metadata, |mut work| {
                let (known, guards, rows) = (known.take(), &guards, &rows);
                async move {
                    // What the caller expects of other streams does not become true by reading this one.
                    if let Some(moved) =
                        work.conflict().filter(|moved| moved.is_of_other(stream_id))
                    {
                        return Err(ExecuteError::Append(moved.clone()));
                    }
                    if let Some(known) = known {
                        work.assume(stream_id, known);
                    }
                    let events = match work.decide::<D>(stream_id, command).await {
                        Ok(events) => events,
                        Err(ExecuteError::Rejected(rejection)) => {
                            let first = self.replayed(key).await?;
                            // The first time it was accepted, which is why it cannot be now.
                            let first = first.ok_or(ExecuteError::Rejected(rejection))?;
                            return Ok((work, Err(first)));
                        }
                        Err(error) => return Err(error),
                    };
                    if !events.is_empty() {
                        work.guards(guards);
                    }
                    work.key(key);
                    rows.iter().for_each(|row| work.row(row.clone()));
                    Ok((work, Ok(events)))
                }
            })
            .await?;
        let Transacted { answer, appended, mut streams } = transacted;
        if let Some(duplicate @ Appended::Duplicate { .. }) = appended {
            let Loaded { state, version, .. } = self.load(tenant_id, stream_id).await?;
            return Ok(Executed::without_events(state, version, duplicate));
        }
        let Loaded { state, version, .. } = streams.take(stream_id).unwrap_or_default();
        Ok(match answer {
            Ok(events) => Executed { state, version, events, appended },
            Err(first) => Executed::without_events(state, version, first),
        })
    }

    /// The stream; the initial state and version 0 when it does not exist, or is of another tenant or kind.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load<D: Decider>(
        &self,
        tenant_id: Uuid,
        stream_id: Uuid,
    ) -> Result<Loaded<D>, LoadError> {
        let events = self.log().read_stream_of(D::KIND, tenant_id, stream_id).await;
        let mut loaded = Loaded::at(D::default(), 0);
        for recorded in events.map_err(LoadError::Log)? {
            let event = recorded.decode::<D::Event>().map_err(LoadError::Decode)?;
            loaded.state = loaded.state.evolve(&event);
            loaded.version = recorded.version;
            loaded.last_event_id = Some(recorded.event_id);
            loaded.traceparent = recorded.metadata.traceparent.clone().or(loaded.traceparent);
            loaded.first.get_or_insert(recorded.metadata);
        }
        Ok(loaded)
    }

    /// The command for which `key` was used before, if it was.
    async fn replayed<R: std::error::Error + 'static>(
        &self,
        key: Option<CommandKey>,
    ) -> Result<Option<Appended>, ExecuteError<R>> {
        let Some(key) = key else { return Ok(None) };
        match self.log().command(key.id).await.map_err(ExecuteError::Log)? {
            None => Ok(None),
            Some(recorded) if recorded.request_hash == key.request_hash => {
                Ok(Some(Appended::Duplicate { first: recorded.first, last: recorded.last }))
            }
            Some(_) => Err(ExecuteError::Append(AppendError::KeyReused)),
        }
    }
}

impl<D: Decider> Executed<D> {
    const fn without_events(state: D, version: i64, appended: Appended) -> Self {
        Self { state, version, events: Vec::new(), appended: Some(appended) }
    }
}
