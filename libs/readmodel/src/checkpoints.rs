//! How far each projection got: the event store's checkpoints, by projection.

use deadpool_postgres::Object;
use hatch_eventstore::Position;

use crate::Error;
use crate::projection::Projection;

const ALL: &str = "SELECT name, version, position FROM es.checkpoints";

/// The position of every projection that this build has and that ever ran.
pub(crate) async fn read_all(client: &Object) -> Result<Vec<(Projection, Position)>, Error> {
    let statement = client.prepare_cached(ALL).await?;
    let mut checkpoints = Vec::new();
    for row in client.query(&statement, &[]).await? {
        let (name, version): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(projection) = Projection::find(&name, version) {
            checkpoints.push((projection, Position(row.try_get(2)?)));
        }
    }
    Ok(checkpoints)
}
