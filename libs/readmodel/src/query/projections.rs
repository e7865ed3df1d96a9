//! How far the projections are behind the log.

use chrono::{DateTime, TimeDelta, Utc};
use hatch_eventstore::{Connection, Log, Position, Unanswered};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::moment::NOW;
use super::{QueryError, READ_TIMEOUT, ReadModel};
use crate::engine::checkpoints::{self, At};
use crate::engine::rebuild;
use crate::{Definition, Error, Projections};

/// A read model whose oldest waiting event is older than this is catching up, not live.
const LIVE_LAG_SECONDS_MAX: f64 = 5.0;

/// Halts that still stand are those of an event after the checkpoint.
const HALTS: &str = "SELECT projection, version, position, reason, halted_at \
     FROM rm.projection_halts";

/// Whether a read model follows the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectionState {
    /// It is at the log's head, or seconds behind.
    Live,
    /// It is further behind.
    CatchingUp,
    /// Its tables are being built anew; those that are read follow the log as ever.
    Rebuilding,
    /// It met an event that this build cannot apply, and waits for one that can.
    Halted,
}

/// The event that a read model halted at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Halt {
    /// The event's position.
    #[schema(value_type = i64)]
    pub position: Position,
    /// Why it cannot be applied.
    pub reason: String,
    /// When a projector first met it.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub halted_at: DateTime<Utc>,
}

/// How far a read model got.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProjectionStatus {
    /// The read model.
    pub name: &'static str,
    /// The version of its tables.
    pub version: i32,
    /// The last position that it has applied.
    #[schema(value_type = i64)]
    pub position: Position,
    /// How many events of the log it has yet to apply.
    pub lag_events: i64,
    /// How long the oldest of them has been waiting.
    pub lag_seconds: f64,
    /// Whether it follows the log.
    pub status: ProjectionState,
    /// Where and why it halted, if it did.
    pub halt: Option<Halt>,
}

impl std::fmt::Display for ProjectionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::CatchingUp => "catching_up",
            Self::Rebuilding => "rebuilding",
            Self::Halted => "halted",
        })
    }
}

/// The tables' side of the status.
struct ProjectionSnapshot {
    checkpoints: Vec<At>,
    halts: Vec<(&'static Definition, Halt)>,
    rebuilding: Vec<&'static Definition>,
    now: DateTime<Utc>,
}

impl ReadModel {
    /// Every read model. Not a tenant's business, but the operator's.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn projections(&self) -> Result<Vec<ProjectionStatus>, QueryError> {
        match timeout(READ_TIMEOUT, Box::pin(self.statuses())).await {
            Ok(statuses) => Ok(statuses?),
            Err(_) => Err(Error::from(Unanswered::Silent(READ_TIMEOUT)).into()),
        }
    }

    async fn statuses(&self) -> Result<Vec<ProjectionStatus>, Error> {
        // The checkpoints before the head: both only grow, so none is found beyond it.
        let ProjectionSnapshot { checkpoints, halts, rebuilding, now } = self.progress().await?;
        let log = Log::new(self.connections.clone());
        let head = log.head().await?;
        let mut statuses = Vec::new();
        for (projection, position) in checkpoints {
            let oldest = log.read_at(position.next()).await?;
            let waited = oldest.map_or(TimeDelta::zero(), |event| now - event.recorded_at);
            let lag_seconds = waited.as_seconds_f64().max(0.0);
            let halt = halts
                .iter()
                .find(|(halted, halt)| *halted == projection && halt.position > position)
                .map(|(_, halt)| halt.clone());
            let status = match halt {
                Some(_) => ProjectionState::Halted,
                None if rebuilding.contains(&projection) => ProjectionState::Rebuilding,
                None if lag_seconds > LIVE_LAG_SECONDS_MAX => ProjectionState::CatchingUp,
                None => ProjectionState::Live,
            };
            statuses.extend(projection.read_models().iter().map(|name| ProjectionStatus {
                name,
                version: projection.version(),
                position,
                lag_events: (head.0 - position.0).max(0),
                lag_seconds,
                status,
                halt: halt.clone(),
            }));
        }
        Ok(statuses)
    }

    async fn progress(&self) -> Result<ProjectionSnapshot, Error> {
        self.ask(async |client| ProjectionSnapshot::read(client, self.projections).await).await
    }
}

impl ProjectionSnapshot {
    async fn read(client: &Connection, projections: Projections) -> Result<Self, Error> {
        let checkpoints = checkpoints::read_all(client, projections).await?;
        let statement = client.prepare_cached(HALTS).await?;
        let mut halts = Vec::new();
        for row in client.query(&statement, &[]).await? {
            let (name, version): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
            let halt = Halt {
                position: Position(row.try_get(2)?),
                reason: row.try_get(3)?,
                halted_at: row.try_get(4)?,
            };
            let found = Definition::find(projections, &name, version);
            halts.extend(found.map(|projection| (projection, halt)));
        }
        let statement = client.prepare_cached(NOW).await?;
        let now = client.query_one(&statement, &[]).await?.try_get(0)?;
        let rebuilding = rebuild::under_way(client, projections).await?;
        Ok(Self { checkpoints, halts, rebuilding, now })
    }
}
