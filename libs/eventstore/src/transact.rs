//! One unit of work over several streams: what is decided on them is appended together or not at all.
//!
//! The decision is a closure, since it runs again after a conflict, on the streams as they are by then. What
//! it was told of a stream without reading it is believed in its first run only, and checked by the append.

use std::any::Any;
use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use hatch_domain::{Decider, DecodeError, DomainEvent, Ending};
use hatch_telemetry::{request, trace};
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::{
    Append, AppendError, Appended, CommandKey, ExecuteError, ExpectedVersion, Guard, LoadError,
    LogError, Metadata, NewEvent, SideRow, Store, StreamWrite,
};

/// How often a unit of work is decided at most; each time but the first after a conflict.
const RUNS_MAX: usize = 8;

/// Streams that are read at once.
const LOADS_MAX: usize = 8;

/// A stream as it is.
#[derive(Debug, Clone, Default)]
pub struct Loaded<D> {
    /// Its state; the initial one when it does not exist.
    pub state: D,
    /// Its version; 0 when it does not exist.
    pub version: i64,
    /// W3C Trace Context of the last of its events that has one.
    pub traceparent: Option<String>,
    /// What was recorded with its first event; none when it does not exist, or was not read.
    pub first: Option<Metadata>,
    /// Its last event; none when it does not exist, or was not read.
    pub last_event_id: Option<Uuid>,
}

impl<D> Loaded<D> {
    /// A stream of which only state and version are known.
    pub const fn at(state: D, version: i64) -> Self {
        Self { state, version, traceparent: None, first: None, last_event_id: None }
    }
}

/// The result of a unit of work.
#[derive(Debug)]
pub struct Transacted<T> {
    /// What the decision answered in the run that was appended.
    pub answer: T,
    /// What the append came to; none when there was nothing to append or to check.
    pub appended: Option<Appended>,
    /// The streams that were decided on, with what was appended. After [`Appended::Duplicate`] they hold what was
    /// decided, and not appended.
    pub streams: Streams,
}

/// The streams of a unit of work that has ended.
#[derive(Debug)]
pub struct Streams(Vec<HeldStream>);

impl Streams {
    /// The stream as the append left it; none when it was not a part of the work.
    pub fn take<D: Decider + 'static>(&mut self, stream_id: Uuid) -> Option<Loaded<D>> {
        let place = self.0.iter().position(|held| held.stream_id == stream_id)?;
        let held = self.0.swap_remove(place);
        let mut loaded = *held.loaded.downcast::<Loaded<D>>().ok()?;
        loaded.version += held.appended;
        Some(loaded)
    }
}

/// A stream that a unit of work has read or was told of.
#[derive(Debug)]
struct HeldStream {
    stream_id: Uuid,
    kind: &'static str,
    /// A [`Loaded`] of the kind's decider, with the state after `events`.
    loaded: Box<dyn Any + Send>,
    /// Before `events`.
    version: i64,
    /// How many events were handed to the append.
    appended: i64,
    /// Whether it is guarded where nothing is decided on it.
    guarded: bool,
    events: Vec<NewEvent>,
    /// W3C Trace Context of the last event that was read and has one.
    traceparent: Option<String>,
    /// Recorded with the events, where it is not what the work records.
    metadata: Option<Metadata>,
}

impl HeldStream {
    const fn expected(&self) -> ExpectedVersion {
        match self.version {
            0 => ExpectedVersion::NoStream,
            version => ExpectedVersion::Exact(version),
        }
    }
}

/// A unit of work while it is decided. See [`Store::transact`].
pub struct UnitOfWork {
    store: Store,
    tenant_id: Uuid,
    conflict: Option<AppendError>,
    held: Vec<HeldStream>,
    key: Option<CommandKey>,
    guards: Vec<Guard>,
    side_rows: Vec<SideRow>,
    spans: Vec<Span>,
    endings: Vec<Ending>,
}

impl Store {
    /// Lets `decide` work on streams of a tenant and appends what it decided, all of it or nothing.
    ///
    /// After a conflict on any stream, written or guarded, it runs again, a bounded number of times;
    /// [`UnitOfWork::conflict`] says why. It is given the work and hands it back with its answer. `metadata` is recorded with each event; without a `traceparent` or
    /// a request id it gets those of what happens now. A stream that was assumed and decides nothing is guarded. One that was
    /// read and decides nothing is not: [`UnitOfWork::rely_on`] it, if a decision rests on it.
    ///
    /// # Errors
    /// Those of `decide`, and of the append; [`AppendError::Conflict`] when the streams kept changing.
    pub async fn transact<T, E: From<AppendError>, F>(
        &self,
        tenant_id: Uuid,
        mut metadata: Metadata,
        mut decide: impl FnMut(UnitOfWork) -> F,
    ) -> Result<Transacted<T>, E>
    where
        // Not an async closure that borrows the work: the compiler cannot tell that its future is `Send`.
        F: Future<Output = Result<(UnitOfWork, T), E>>,
    {
        metadata.traceparent = metadata.traceparent.or_else(trace::current);
        metadata.request_id = metadata.request_id.or_else(request::current);
        let mut conflict = None;
        let mut runs = 1;
        loop {
            let work = UnitOfWork::new(self.clone(), tenant_id, conflict.take());
            let (mut work, answer) = decide(work).await?;
            let endings = std::mem::take(&mut work.endings);
            let (append, streams, spans) = work.finish(&metadata);
            if append.is_empty() {
                return Ok(Transacted { answer, appended: None, streams });
            }
            // An append stands in one trace only: in that of the first stream that has one.
            let span = spans.first().cloned().unwrap_or_else(Span::current);
            match self.appender().append(append).instrument(span).await {
                Ok(appended) => {
                    if !matches!(appended, Appended::Duplicate { .. }) {
                        self.ended(endings);
                    }
                    return Ok(Transacted { answer, appended: Some(appended), streams });
                }
                Err(error @ AppendError::Conflict { .. }) if runs < RUNS_MAX => {
                    runs += 1;
                    conflict = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl UnitOfWork {
    const fn new(store: Store, tenant_id: Uuid, conflict: Option<AppendError>) -> Self {
        Self {
            store,
            tenant_id,
            conflict,
            held: Vec::new(),
            key: None,
            guards: Vec::new(),
            side_rows: Vec::new(),
            spans: Vec::new(),
            endings: Vec::new(),
        }
    }

    /// The conflict because of which this is decided again; none in the first run.
    #[must_use]
    pub const fn conflict(&self) -> Option<&AppendError> {
        self.conflict.as_ref()
    }

    /// Lets the stream decide on a command. It is read before, if it is not a part of the work yet. Answers with
    /// what was decided, which is appended with the rest of the work.
    ///
    /// # Errors
    /// The domain's "no", and why the stream cannot be read. An id of another kind is refused only where the
    /// work has it already; otherwise it is a stream that does not exist.
    pub async fn decide<D: Decider + 'static>(
        &mut self,
        stream_id: Uuid,
        command: &D::Command,
    ) -> Result<Vec<D::Event>, ExecuteError<D::Rejection>> {
        let place = self.place::<D>(stream_id).await?;
        let environment = self.store.environment();
        let held = &mut self.held[place];
        let Some(loaded) = held.loaded.downcast_mut::<Loaded<D>>() else {
            return Err(AppendError::ForeignKind(stream_id).into());
        };
        let decided = loaded.state.decide(command).map_err(ExecuteError::Rejected)?;
        held.events.reserve(decided.len());
        for event in &decided {
            self.endings.extend(loaded.state.ending(event));
            loaded.state = std::mem::take(&mut loaded.state).evolve(event);
            held.events.push(NewEvent {
                event_id: environment.new_id(),
                event_type: event.event_type(),
                schema_version: event.schema_version(),
                routing: loaded.state.routing(),
                // That of the work, or of the stream, once it is known.
                metadata: Metadata::default(),
                payload: event.encode(),
            });
        }
        Ok(decided)
    }

    /// The stream with what was decided so far; it is read, if it is not a part of the work yet.
    ///
    /// # Errors
    /// As [`decide`](Self::decide), without the domain's "no".
    pub async fn load<D: Decider + 'static>(
        &mut self,
        stream_id: Uuid,
    ) -> Result<&Loaded<D>, ExecuteError<D::Rejection>> {
        let place = self.place::<D>(stream_id).await?;
        let loaded = self.held[place].loaded.downcast_ref::<Loaded<D>>();
        loaded.ok_or_else(|| AppendError::ForeignKind(stream_id).into())
    }

    /// Reads those streams that are not a part of the work yet, several at a time. Answers with those that
    /// this build cannot read; they become no part of it.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn load_all<D: Decider + 'static>(
        &mut self,
        stream_ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<Vec<(Uuid, DecodeError)>, LogError> {
        let missing: BTreeSet<Uuid> =
            stream_ids.into_iter().filter(|id| self.find(*id).is_none()).collect();
        let (store, tenant_id) = (self.store.clone(), self.tenant_id);
        let store = &store;
        let mut loads = stream::iter(missing)
            .map(|id| async move { (id, store.load::<D>(tenant_id, id).await) })
            .buffered(LOADS_MAX);
        let mut unreadable = Vec::new();
        while let Some((id, loaded)) = loads.next().await {
            match loaded {
                Ok(loaded) => {
                    self.hold(id, loaded, false);
                }
                Err(LoadError::Decode(error)) => unreadable.push((id, error)),
                Err(LoadError::Log(error)) => return Err(error),
            }
        }
        Ok(unreadable)
    }

    /// Takes the stream to be so, without reading it: in the first run only, and if it is not a part of the
    /// work yet. It may have passed; then the append conflicts, and the next run reads it.
    pub fn assume<D: Decider + 'static>(&mut self, stream_id: Uuid, stream: Loaded<D>) {
        if self.conflict.is_none() && self.find(stream_id).is_none() {
            self.hold(stream_id, stream, true);
        }
    }

    /// Expects that a stream which is a part of the work is still as it was read, also where nothing is
    /// decided on it: that nothing had to be decided rests on what it was.
    pub fn rely_on(&mut self, stream_id: Uuid) {
        if let Some(place) = self.find(stream_id) {
            self.held[place].guarded = true;
        }
    }

    /// Expects that a stream that is not written is in this state when the work is appended.
    pub fn guard<D: Decider>(&mut self, stream_id: Uuid, expected: ExpectedVersion) {
        let (tenant_id, kind) = (self.tenant_id, D::KIND);
        self.guards.push(Guard { stream_id, tenant_id, kind, expected });
    }

    /// Adds expectations about streams that are not written.
    pub fn guards(&mut self, guards: &[Guard]) {
        self.guards.extend_from_slice(guards);
    }

    /// Adds a row that commits with the events.
    pub fn row(&mut self, row: SideRow) {
        self.side_rows.push(row);
    }

    /// Records the client's key. Where it was used before, nothing is appended.
    pub const fn key(&mut self, key: Option<CommandKey>) {
        self.key = key;
    }

    /// The streams for which something was decided, each with the W3C Trace Context that it was read with.
    #[must_use]
    pub fn changed(&self) -> Vec<(Uuid, Option<String>)> {
        let changed = self.held.iter().filter(|held| !held.events.is_empty());
        changed.map(|held| (held.stream_id, held.traceparent.clone())).collect()
    }

    /// Records `metadata` with the events of one stream, and lets the append stand in `span`, which stays open until
    /// it has ended.
    pub fn attribute(&mut self, stream_id: Uuid, metadata: Metadata, span: Span) {
        if let Some(place) = self.find(stream_id) {
            self.held[place].metadata = Some(metadata);
            self.spans.push(span);
        }
    }

    fn find(&self, stream_id: Uuid) -> Option<usize> {
        self.held.iter().position(|held| held.stream_id == stream_id)
    }

    fn hold<D: Decider + 'static>(
        &mut self,
        stream_id: Uuid,
        loaded: Loaded<D>,
        guarded: bool,
    ) -> usize {
        self.held.push(HeldStream {
            stream_id,
            kind: D::KIND,
            version: loaded.version,
            appended: 0,
            traceparent: loaded.traceparent.clone(),
            loaded: Box::new(loaded),
            guarded,
            events: Vec::new(),
            metadata: None,
        });
        self.held.len() - 1
    }

    /// Where the stream is, read if need be.
    async fn place<D: Decider + 'static>(&mut self, stream_id: Uuid) -> Result<usize, LoadError> {
        if let Some(place) = self.find(stream_id) {
            return Ok(place);
        }
        let loaded = self.store.load::<D>(self.tenant_id, stream_id).await?;
        Ok(self.hold(stream_id, loaded, false))
    }

    /// What is to be appended.
    fn finish(mut self, metadata: &Metadata) -> (Append, Streams, Vec<Span>) {
        let mut writes = Vec::with_capacity(self.held.len());
        for held in &mut self.held {
            let expected = held.expected();
            let (stream_id, tenant_id) = (held.stream_id, self.tenant_id);
            if held.events.is_empty() {
                if held.guarded {
                    self.guards.push(Guard { stream_id, tenant_id, kind: held.kind, expected });
                }
                continue;
            }
            let recorded = held.metadata.as_ref().unwrap_or(metadata);
            let mut events = std::mem::take(&mut held.events);
            for event in &mut events {
                event.metadata = recorded.clone();
            }
            held.appended = i64::try_from(events.len()).unwrap_or(i64::MAX);
            writes.push(StreamWrite { stream_id, tenant_id, expected, events });
        }
        let append = Append {
            key: self.key,
            writes,
            guards: self.guards,
            side_rows: self.side_rows,
            sends: self.store.sends(),
        };
        (append, Streams(self.held), self.spans)
    }
}
