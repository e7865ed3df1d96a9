//! What goes on beside the requests: asking about the sessions in memory, and writing when they were used.

use std::convert::Infallible;
use std::time::Duration;

use hatch_eventstore::log_unless_away;

use super::{Shared, table};
use crate::attempts;

/// Between two looks. With the time of the look itself, what is ended elsewhere is refused within a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(400);

/// Looks between two writes of when sessions were used, and between two deletions of what is over.
const LOOKS_OF_WRITE: u32 = 25;
const LOOKS_OF_DELETION: u32 = 150;

/// Sessions of one write at most; the others are in the next one.
const WRITTEN_MAX: usize = 1_000;

/// For ever. While PostgreSQL is away, what is in memory answers.
pub(super) async fn run(shared: &Shared) -> Infallible {
    let mut looks = 0_u32;
    loop {
        shared.environment.sleep(LOOK_INTERVAL).await;
        looks = looks.wrapping_add(1);
        look(shared).await;
        if looks.is_multiple_of(LOOKS_OF_WRITE) {
            write_seen(shared).await;
        }
        if looks.is_multiple_of(LOOKS_OF_DELETION) {
            delete_over(shared).await;
        }
    }
}

async fn look(shared: &Shared) {
    let asked = shared.held.all(shared.environment.now());
    if asked.is_empty() {
        return;
    }
    match table::there(&shared.connections, &asked).await {
        Ok(there) => shared.held.refresh(&asked, &there),
        Err(error) => log_unless_away!(warn, &error, error = %error, "sessions are not looked at"),
    }
}

/// Writes when sessions were used.
pub(super) async fn write_seen(shared: &Shared) {
    let unwritten = shared.held.take_unwritten(WRITTEN_MAX);
    if unwritten.is_empty() {
        return;
    }
    if let Err(error) = table::seen(&shared.connections, &unwritten).await {
        log_unless_away!(warn, &error, error = %error, "uses of sessions are not written yet");
        shared.held.put_back(unwritten);
    }
}

async fn delete_over(shared: &Shared) {
    let now = shared.environment.now();
    let deleted = async {
        table::delete_over(&shared.connections, now).await?;
        attempts::delete_past(&shared.connections, now).await
    };
    if let Err(error) = deleted.await {
        log_unless_away!(warn, &error, error = %error, "what is over is not deleted yet");
    }
}
