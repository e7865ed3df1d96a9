//! How far each projection got: the event store's checkpoints, by projection.

use deadpool_postgres::{Object, Transaction};
use hatch_eventstore::{Position, RecordedEvent};

use crate::Error;
use crate::projection::Projection;

pub(crate) async fn compare_and_set(
    transaction: &Transaction<'_>,
    projection: Projection,
    from: Position,
    last: &RecordedEvent,
) -> Result<(), Error> {
    let statement = transaction
        .prepare_cached("UPDATE es.checkpoints SET position = $4, epoch = $5, updated_at = now() WHERE name = $1 AND version = $2 AND position = $3")
        .await?;
    let moved = transaction
        .execute(&statement, &[&projection.name(), &projection.version(), &from.0, &last.position.0, &last.epoch])
        .await?;
    if moved == 1 { Ok(()) } else { Err(Error::Fenced { expected: from }) }
}

pub(crate) async fn read_all(client: &Object) -> Result<Vec<(Projection, Position)>, Error> {
    let statement =
        client.prepare_cached("SELECT name, version, position FROM es.checkpoints").await?;
    let rows = client.query(&statement, &[]).await?;
    let mut checkpoints = Vec::new();
    for row in rows {
        let (name, version): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(projection) = Projection::find(&name, version) {
            checkpoints.push((projection, Position(row.try_get(2)?)));
        }
    }
    Ok(checkpoints)
}

pub(crate) async fn ensure(client: &Object, projection: Projection) -> Result<(), Error> {
    client
        .execute(
            "INSERT INTO es.checkpoints (name, version, position, epoch) VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING",
            &[&projection.name(), &projection.version()],
        )
        .await?;
    Ok(())
}

pub(crate) async fn read(client: &Object, projection: Projection) -> Result<Position, Error> {
    let all = read_all(client).await?;
    Ok(all.into_iter().find(|(p, _)| *p == projection).map(|(_, at)| at).unwrap_or_default())
}
