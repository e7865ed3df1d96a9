//! How far each projection got: the event store's checkpoints, by projection.

use std::time::Duration;

use hatch_eventstore::{Connection, Position};

use super::definition::{Definition, Projections};
use crate::Error;

const ALL: &str = "SELECT name, version, position FROM es.checkpoints";

const MOVING: &str = "SELECT name, version, position FROM es.checkpoints \
     WHERE updated_at > now() - make_interval(secs => $1)";

/// How far a projection is.
pub(crate) type At = (&'static Definition, Position);

/// The position of every one of `projections`; before the first event for one that never ran.
pub(crate) async fn read_all(
    client: &Connection,
    projections: Projections,
) -> Result<Vec<At>, Error> {
    let statement = client.prepare_cached(ALL).await?;
    let mut checkpoints: Vec<At> =
        projections.iter().map(|projection| (*projection, Position::START)).collect();
    for row in client.query(&statement, &[]).await? {
        let (name, version): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        let found = Definition::find(projections, &name, version);
        for (projection, position) in &mut checkpoints {
            if found == Some(*projection) {
                *position = Position(row.try_get(2)?);
            }
        }
    }
    Ok(checkpoints)
}

/// Whether `projection` has applied everything up to `position`, by `checkpoints`.
pub(crate) fn has_passed(checkpoints: &[At], projection: &Definition, position: Position) -> bool {
    checkpoints.iter().any(|(one, at)| *one == projection && *at >= position)
}

/// The position of the slowest of `projections` that gate admission, of those that have moved within the last
/// `within`; none when all of them stand still, because there is nothing to do or they are away.
///
/// # Errors
/// PostgreSQL's.
pub async fn slowest_moving(
    client: &Connection,
    projections: Projections,
    within: Duration,
) -> Result<Option<Position>, Error> {
    let statement = client.prepare_cached(MOVING).await?;
    let mut slowest: Option<Position> = None;
    for row in client.query(&statement, &[&within.as_secs_f64()]).await? {
        let (name, version): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        let found = Definition::find(projections, &name, version);
        if found.is_some_and(Definition::gates_admission) {
            let position = Position(row.try_get(2)?);
            slowest = Some(slowest.map_or(position, |slowest| slowest.min(position)));
        }
    }
    Ok(slowest)
}
