//! Whether a database is still the one that its log was written in.
//!
//! A restored, cloned or failed-over database looks like any other, but others remember more than it
//! does: what was sent since the backup, what a clone's original goes on sending. So each epoch of
//! the log has the identity of its server on record. Where that is not the server's, or where
//! somebody remembers an event that the log lacks, the fence is closed: appends go on, but nothing is
//! sent and nothing is taken from the bus until somebody begins a new epoch ([`lift_fence`]).
//!
//! A port or an address that changes with a restart is no part of the identity.

use std::fmt;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_postgres::config::Host;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, GenericClient, Row};
use uuid::Uuid;

use crate::Position;
use crate::appender::LOG_LOCK;

/// Channel that tells of changes which open or close the fence. A hint.
pub(crate) const CHANNEL: &str = "hatch_fence";

const IDENTITY: &str =
    "SELECT system_identifier, timeline, data_directory FROM es.server_identity()";
const COMPLETE: &str = "SELECT es.complete_epoch($1, $2)";
/// Of the log's newest epoch, unless that is newer than what was seen. A log whose epochs are all older than
/// that has lost an epoch.
const REPORT: &str = "WITH reported AS ( \
         INSERT INTO es.log_regressions AS r (epoch, detail, seen_epoch) \
         SELECT max(epoch), $2, $1 FROM es.log_epoch HAVING $1 >= max(epoch) \
         ON CONFLICT (epoch) DO UPDATE SET seen_epoch = EXCLUDED.seen_epoch \
          WHERE coalesce(r.seen_epoch, r.epoch) < EXCLUDED.seen_epoch \
         RETURNING epoch) \
     SELECT pg_notify('hatch_fence', '') FROM reported";
/// A regression has its time on record. A server becomes another one while it is down, so it is that at
/// the earliest since it started; only a promotion comes later.
const CLOSED_SINCE: &str = "SELECT coalesce( \
         (SELECT at FROM es.log_regressions WHERE epoch = $1 AND $2), pg_postmaster_start_time())";
const EVENT_AT: &str = "SELECT event_id FROM es.events WHERE position = $1";
const IS_ARCHIVED: &str = "SELECT EXISTS ( \
         SELECT FROM es.archives WHERE $1 BETWEEN first_position AND last_position)";
const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
/// The new epoch is after all that anybody has seen, so that what is remembered of a lost one says nothing
/// of it. Host and deployment's name are left to the first process that works in the new epoch: whoever
/// lifts the fence may reach the database by another name.
const BEGIN: &str = "INSERT INTO es.log_epoch \
         (epoch, system_identifier, timeline, data_directory, base_position, reason) \
     SELECT (SELECT greatest(max(epoch), (SELECT max(seen_epoch) FROM es.log_regressions)) \
          FROM es.log_epoch) + 1, s.system_identifier, s.timeline, \
         s.data_directory, (SELECT coalesce(max(position), 0) FROM es.events), $1 \
     FROM es.server_identity() AS s \
     RETURNING epoch, base_position";

/// The newest epoch and whether it regressed, as columns of `e` and `r`, which `epoch_tables!` names.
macro_rules! epoch_columns {
    () => {
        "e.epoch, e.system_identifier, e.timeline, e.data_directory, e.host, e.deployment_name, \
         r.detail"
    };
}

/// See `epoch_columns!`.
macro_rules! epoch_tables {
    () => {
        "(SELECT * FROM es.log_epoch ORDER BY epoch DESC LIMIT 1) AS e \
         LEFT JOIN es.log_regressions AS r ON r.epoch = e.epoch"
    };
}

pub(crate) use {epoch_columns, epoch_tables};

/// Epoch, head, the newest generation of the bus, and the time.
pub(crate) const FENCE_ROW: &str = concat!(
    "SELECT ",
    epoch_columns!(),
    ", g.generation, g.epoch, (SELECT coalesce(max(position), 0) FROM es.events), \
         g.foreign_detail, clock_timestamp() FROM ",
    epoch_tables!(),
    " LEFT JOIN (SELECT generation, epoch, foreign_detail FROM es.bus_generations \
         ORDER BY generation DESC LIMIT 1) AS g ON true"
);

/// What is configured about a database, beside how to connect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabasePlace {
    /// The server's name; none says nothing about it.
    pub host: Option<String>,
    /// The name of the deployment that works with it; none says nothing about it.
    pub deployment_name: Option<String>,
}

impl DatabasePlace {
    /// The place with the configured `host`, else the hosts of `postgres`. All ways to name this
    /// machine are one.
    #[must_use]
    pub fn new(postgres: &Config, host: Option<String>, deployment_name: Option<String>) -> Self {
        let hosts: Vec<String> = postgres.get_hosts().iter().map(name).collect();
        let host = host.or_else(|| (!hosts.is_empty()).then(|| hosts.join(",")));
        Self { host, deployment_name }
    }
}

fn name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => match name.to_ascii_lowercase() {
            name if name == "::1" || name.starts_with("127.") => "localhost".to_owned(),
            name => name,
        },
        Host::Unix(_) => "localhost".to_owned(),
    }
}

/// What tells one server's life from another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Chosen by initdb.
    pub system_identifier: i64,
    /// Of the WAL that is being written: a promotion and a restore to a point in time begin another.
    pub timeline: i32,
    /// None where it may not be read.
    pub data_directory: Option<String>,
    /// What is configured.
    pub place: DatabasePlace,
}

impl Identity {
    /// Reads the identity of the server at the other end; `place` is what is configured about it.
    pub(crate) async fn read(
        client: &impl GenericClient,
        place: &DatabasePlace,
    ) -> Result<Self, Error> {
        let row = client.query_one(IDENTITY, &[]).await?;
        Ok(Self {
            system_identifier: row.try_get(0)?,
            timeline: row.try_get(1)?,
            data_directory: row.try_get(2)?,
            place: place.clone(),
        })
    }

    /// What of it `other` has differently: name, here, there. What one of them does not know is no
    /// difference.
    fn differences(&self, other: &Self) -> Vec<(&'static str, String, String)> {
        let known = |text: &Option<String>| text.clone();
        let pairs = [
            (
                "system identifier",
                Some(self.system_identifier.to_string()),
                Some(other.system_identifier.to_string()),
            ),
            ("timeline", Some(self.timeline.to_string()), Some(other.timeline.to_string())),
            ("data directory", known(&self.data_directory), known(&other.data_directory)),
            ("host", known(&self.place.host), known(&other.place.host)),
            ("deployment", known(&self.place.deployment_name), known(&other.place.deployment_name)),
        ];
        let differ = pairs.into_iter().filter_map(|(name, a, b)| Some((name, a?, b?)));
        differ.filter(|(_, a, b)| a != b).collect()
    }
}

/// Why the fence is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The server is not the one that the epoch was begun on.
    Fenced {
        /// The log's epoch.
        epoch: i32,
        /// The server of that epoch.
        recorded: Box<Identity>,
        /// The server as it is.
        found: Box<Identity>,
    },
    /// Somebody remembers an event that the log lacks.
    Regressed {
        /// The log's epoch.
        epoch: i32,
        /// Who, and which.
        detail: String,
    },
}

impl Closed {
    /// The reason in one word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "FENCED",
            Self::Regressed { .. } => "LOG_REGRESSED",
        }
    }

    /// The log's epoch.
    #[must_use]
    pub const fn epoch(&self) -> i32 {
        match self {
            Self::Fenced { epoch, .. } | Self::Regressed { epoch, .. } => *epoch,
        }
    }

    /// What was found, as a sentence without its end.
    #[must_use]
    pub fn finding(&self) -> String {
        match self {
            Self::Fenced { epoch, recorded, found } => {
                let changes: Vec<String> = recorded
                    .differences(found)
                    .into_iter()
                    .map(|(name, was, is)| format!("{name} was {was} and is {is}"))
                    .collect();
                format!("this is not the server of the log's epoch {epoch}: {}", changes.join(", "))
            }
            Self::Regressed { epoch, detail } => {
                format!("the log lost events of its epoch {epoch}: {detail}")
            }
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}. The database was restored, cloned or failed over. Nothing is sent: make sure that \
             it is the one to go on with and that no other hatch sends from the other one, then run \
             `hatch fence lift`",
            self.code(),
            self.finding()
        )
    }
}

/// Whether something may be sent by this log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FenceState {
    /// PostgreSQL was not asked yet, or is away: nothing is sent.
    Unknown,
    /// Yes.
    Open {
        /// The log's epoch.
        epoch: i32,
        /// The bus generation that carries this log and no other; none while that is not certain.
        generation: Option<i32>,
        /// The newest generation, while it is one in which something foreign was found, and what.
        foreign: Option<(i32, String)>,
    },
    /// No, until [`lift_fence`].
    Closed(Closed),
}

/// The state of this process' fence, as a [`HeadWatch`](crate::HeadWatch) keeps it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fence {
    state: watch::Receiver<FenceState>,
    place: DatabasePlace,
}

impl Fence {
    pub(crate) const fn new(state: watch::Receiver<FenceState>, place: DatabasePlace) -> Self {
        Self { state, place }
    }

    /// The state at the moment.
    #[must_use]
    pub fn state(&self) -> FenceState {
        self.state.borrow().clone()
    }

    /// Whether something may be sent, and nobody has begun an epoch after this one.
    #[must_use]
    pub fn is_open_in(&self, epoch: i32) -> bool {
        matches!(*self.state.borrow(), FenceState::Open { epoch: found, .. } if found <= epoch)
    }

    /// Whether what the bus's `generation` holds is this log's.
    #[must_use]
    pub fn trusts(&self, generation: i32) -> bool {
        matches!(*self.state.borrow(),
            FenceState::Open { generation: Some(trusted), .. } if trusted == generation)
    }

    /// What foreign was found in the newest generation of the bus, until the relay begins the next.
    #[must_use]
    pub fn foreign(&self) -> Option<(i32, String)> {
        match &*self.state.borrow() {
            FenceState::Open { foreign, .. } => foreign.clone(),
            FenceState::Unknown | FenceState::Closed(_) => None,
        }
    }

    /// Whether something foreign was found in the bus's `generation`.
    #[must_use]
    pub fn has_foreign(&self, generation: i32) -> bool {
        matches!(&*self.state.borrow(),
            FenceState::Open { foreign: Some((found, _)), .. } if *found == generation)
    }

    /// Why it is closed, if it is.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        match &*self.state.borrow() {
            FenceState::Closed(closed) => Some(closed.clone()),
            FenceState::Unknown | FenceState::Open { .. } => None,
        }
    }

    /// Why it is closed on the server at the other end of `client`, if it is: for whoever has a
    /// connection of his own, which may lead elsewhere.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn check(&self, client: &Client) -> Result<Option<Closed>, Error> {
        Ok(match fence_state(client, &self.place).await? {
            FenceState::Closed(closed) => Some(closed),
            FenceState::Unknown | FenceState::Open { .. } => None,
        })
    }

    /// Waits until it is known whether something may be sent.
    pub async fn known(&self) {
        self.until(|state| *state != FenceState::Unknown).await;
    }

    /// Waits until something may be sent.
    pub async fn opened(&self) {
        self.until(|state| matches!(state, FenceState::Open { .. })).await;
    }

    /// Waits until a generation of the bus is known to carry this log.
    pub async fn trusting(&self) {
        self.until(|state| matches!(state, FenceState::Open { generation: Some(_), .. })).await;
    }

    async fn until(&self, wanted: impl FnMut(&FenceState) -> bool) {
        let mut state = self.state.clone();
        if state.wait_for(wanted).await.is_err() {
            // The watch has ended, and with it the process' work.
            std::future::pending::<()>().await;
        }
    }
}

/// The end of the bus, to compare the log with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusEnd {
    /// The generation.
    pub generation: i32,
    /// Its last position.
    pub position: Position,
    /// The event there, if it proved to be hatch's own; none when the bus does not hold it any more, or
    /// not yet: then nothing proves the position either.
    pub event_id: Option<Uuid>,
}

/// What a session reads of epoch, head and bus; the rows of [`FENCE_ROW`].
pub(crate) struct FenceRow {
    epoch: i32,
    recorded: Identity,
    regression: Option<String>,
    /// The newest generation on record, and its epoch.
    generation: Option<(i32, i32)>,
    pub(crate) head: Position,
    /// What foreign was found in that generation.
    foreign: Option<String>,
    pub(crate) now: DateTime<Utc>,
}

impl FenceRow {
    pub(crate) fn of(row: &Row) -> Result<Self, Error> {
        let (epoch, recorded, regression) = recorded(row, 0)?;
        let generation: Option<i32> = row.try_get(7)?;
        let generation_epoch: Option<i32> = row.try_get(8)?;
        Ok(Self {
            epoch,
            recorded,
            regression,
            generation: generation.zip(generation_epoch),
            head: Position(row.try_get(9)?),
            foreign: row.try_get(10)?,
            now: row.try_get(11)?,
        })
    }

    pub(crate) const fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The generation that was begun in this epoch and goes on, if one does.
    pub(crate) fn generation(&self) -> Option<i32> {
        let ours = self.generation.filter(|(_, epoch)| *epoch == self.epoch)?.0;
        self.foreign.is_none().then_some(ours)
    }

    /// Whether the bus may still carry what an earlier epoch left there. That contradicts nothing:
    /// somebody decided to go on with this log.
    pub(crate) fn bus_is_of_earlier_epoch(&self) -> bool {
        self.epoch > self.generation.map_or(1, |(_, epoch)| epoch)
    }

    /// The state of a fence around the server `found`, of whose bus `trusted` was compared with it.
    pub(crate) fn state(self, found: &Identity, trusted: Option<i32>) -> FenceState {
        let generation = self.generation().filter(|recorded| trusted == Some(*recorded));
        let foreign = self.generation.map(|(generation, _)| generation).zip(self.foreign);
        match closed(self.epoch, self.recorded, self.regression, found) {
            Some(closed) => FenceState::Closed(closed),
            None => FenceState::Open { epoch: self.epoch, generation, foreign },
        }
    }
}

/// Epoch, its server and its regression, from the columns of `epoch_columns!` that begin at `start`.
pub(crate) fn recorded(row: &Row, start: usize) -> Result<(i32, Identity, Option<String>), Error> {
    let identity = Identity {
        system_identifier: row.try_get(start + 1)?,
        timeline: row.try_get(start + 2)?,
        data_directory: row.try_get(start + 3)?,
        place: DatabasePlace {
            host: row.try_get(start + 4)?,
            deployment_name: row.try_get(start + 5)?,
        },
    };
    Ok((row.try_get(start)?, identity, row.try_get(start + 6)?))
}

/// Why nothing may be sent by a log on the server `found`, if so.
pub(crate) fn closed(
    epoch: i32,
    recorded: Identity,
    regression: Option<String>,
    found: &Identity,
) -> Option<Closed> {
    if !recorded.differences(found).is_empty() {
        let (recorded, found) = (Box::new(recorded), Box::new(found.clone()));
        return Some(Closed::Fenced { epoch, recorded, found });
    }
    regression.map(|detail| Closed::Regressed { epoch, detail })
}

/// Looks once, without comparing the bus: for commands. A generation is not trusted by it.
///
/// # Errors
/// PostgreSQL's.
pub async fn fence_state(client: &Client, place: &DatabasePlace) -> Result<FenceState, Error> {
    let found = Identity::read(client, place).await?;
    let fence_row = FenceRow::of(&client.query_one(FENCE_ROW, &[]).await?)?;
    Ok(fence_row.state(&found, None))
}

/// When the fence was closed, at the earliest.
///
/// # Errors
/// PostgreSQL's.
pub async fn fence_closed_since(client: &Client, closed: &Closed) -> Result<DateTime<Utc>, Error> {
    let regressed = matches!(closed, Closed::Regressed { .. });
    client.query_one(CLOSED_SINCE, &[&closed.epoch(), &regressed]).await?.try_get(0)
}

/// Fills in what the epoch's record lacks.
pub(crate) async fn complete(client: &Client, place: &DatabasePlace) -> Result<(), Error> {
    let given: [&(dyn ToSql + Sync); 2] = [&place.host, &place.deployment_name];
    client.execute(COMPLETE, &given).await.map(drop)
}

/// Closes the fence for everybody until the next epoch: the log lacks what `detail` says, which was
/// seen in `epoch`. Somebody who has begun another one since knew what he did; a log that never came to
/// `epoch` is an older one.
///
/// # Errors
/// PostgreSQL's.
pub async fn report_regression(client: &Client, epoch: i32, detail: &str) -> Result<(), Error> {
    client.execute(REPORT, &[&epoch, &detail]).await.map(drop)
}

/// What contradicts the log, if it has another event or none where `event_id` is said to be.
pub(crate) async fn contradiction(
    client: &Client,
    who: &str,
    position: Position,
    event_id: Uuid,
) -> Result<Option<String>, Error> {
    let row = client.query_opt(EVENT_AT, &[&position.0]).await?;
    let there = match row.map(|row| row.try_get::<_, Uuid>(0)).transpose()? {
        Some(found) if found == event_id => return Ok(None),
        Some(found) => found.to_string(),
        // Whoever has come no further than that has slept: what is archived was agreed on long
        // since.
        None if client.query_one(IS_ARCHIVED, &[&position.0]).await?.try_get(0)? => {
            return Ok(None);
        }
        None => "none".to_owned(),
    };
    Ok(Some(format!("at position {position} {who} has event {event_id}, the log has {there}")))
}

/// A new epoch, and what it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifted {
    /// Why the fence was closed.
    pub closed: Closed,
    /// The new epoch.
    pub epoch: i32,
    /// The log's head when it began.
    pub base_position: Position,
}

/// Begins a new epoch on the server as it is, which opens the fence of every process; none when the
/// fence is open already. In one transaction under the log's lock: no event is between the epochs.
///
/// # Errors
/// PostgreSQL's.
pub async fn lift_fence(
    client: &mut Client,
    place: &DatabasePlace,
    reason: &str,
) -> Result<Option<Lifted>, Error> {
    let found = Identity::read(client, place).await?;
    let transaction = client.transaction().await?;
    transaction.execute(LOCK, &[&LOG_LOCK]).await?;
    let fence_row = FenceRow::of(&transaction.query_one(FENCE_ROW, &[]).await?)?;
    let FenceState::Closed(closed) = fence_row.state(&found, None) else { return Ok(None) };
    let row = transaction.query_one(BEGIN, &[&reason]).await?;
    let (epoch, base_position) = (row.try_get(0)?, Position(row.try_get(1)?));
    transaction.execute("SELECT pg_notify($1, '')", &[&CHANNEL]).await?;
    transaction.commit().await?;
    Ok(Some(Lifted { closed, epoch, base_position }))
}

#[cfg(test)]
mod tests;
