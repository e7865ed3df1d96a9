//! How far each projection got: the event store's checkpoints, by projection.

use deadpool_postgres::Object;
use hatch_eventstore::Position;

use crate::Error;
use crate::projection::Projection;

const ALL: &str = "SELECT name, version, position FROM es.checkpoints";

/// The position of every projection of this build; before the first event for one that never ran.
pub(crate) async fn read_all(client: &Object) -> Result<Vec<(Projection, Position)>, Error> {
    let statement = client.prepare_cached(ALL).await?;
    let mut checkpoints = Projection::ALL.map(|projection| (projection, Position::START));
    for row in client.query(&statement, &[]).await? {
        let (name, version): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        let found = Projection::find(&name, version);
        for (projection, position) in &mut checkpoints {
            if found == Some(*projection) {
                *position = Position(row.try_get(2)?);
            }
        }
    }
    Ok(checkpoints.to_vec())
}
