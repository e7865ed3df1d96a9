//! The row of the database that says whether something may be sent.

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Error, Row};

use super::identity::{DatabasePlace, Identity};
use super::state::{Closed, FenceState};
use crate::Position;

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

/// The row of [`FENCE_ROW`]: epoch, head and bus.
pub(crate) struct FenceRow {
    epoch: i32,
    recorded: Identity,
    regression: Option<String>,
    /// The newest generation on record, and its epoch.
    generation: Option<(i32, i32)>,
    pub(crate) head: Position,
    /// The foreign message that was found in that generation.
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

#[cfg(test)]
mod tests;
