//! One folder a resource: its commands and queries, each in a file of its own.

pub mod accounts;
pub mod api_keys;
pub(crate) mod consent;
pub(crate) mod conversations;
pub mod members;
pub(crate) mod pools;
pub(crate) mod routes;
pub(crate) mod sessions;
pub mod tasks;
pub(crate) mod team;
pub mod tenants;

use hatch_eventstore::{Appended, CommandKey, Position, RecordedEvent, Store};

use crate::problem::Problem;

/// A position by which a reader sees what a command came to: its last event, or the head of the log where it changed
/// nothing.
pub(crate) async fn position_after(
    store: &Store,
    appended: Option<&Appended>,
) -> Result<Position, Problem> {
    match appended {
        Some(appended) => Ok(appended.last()),
        None => Ok(store.log().head().await?),
    }
}

/// The event that an idempotency key was used for first, if it was used for this request.
async fn first_use(
    store: &Store,
    key: Option<CommandKey>,
) -> Result<Option<RecordedEvent>, Problem> {
    let Some(key) = key else { return Ok(None) };
    let recorded = store.log().command(key.id).await?;
    let same = recorded.filter(|recorded| recorded.request_hash == key.request_hash);
    let Some(recorded) = same else { return Ok(None) };
    Ok(store.log().read_at(recorded.first).await?)
}
