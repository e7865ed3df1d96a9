//! Why a flight of an append failed, and what that says of its transaction.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// Why a flight failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// PostgreSQL refuses a value: some command of the batch can never be appended.
    Refused(String),
    /// Not committed: a stream that was to begin exists.
    StreamExists,
    /// Surely not committed, and no command's fault.
    NotCommitted(String),
    /// The answer to COMMIT is missing.
    InDoubt(String),
    /// Committed, but not what was asked for: something meddles with the log's tables.
    Miscounted(String),
}

/// An error before COMMIT was sent.
pub(super) fn not_committed(error: Error) -> Failure {
    Failure::NotCommitted(describe(&error))
}

/// An error of a statement before COMMIT: the server's own means that COMMIT rolled back; that the
/// connection was lost says nothing about how far the server got.
pub(super) fn written(error: Error) -> Failure {
    match error.as_db_error() {
        Some(db) if is_refusal(db) => Failure::Refused(db.message().to_owned()),
        Some(_) => Failure::NotCommitted(describe(&error)),
        None => Failure::InDoubt(describe(&error)),
    }
}

/// An error of COMMIT itself, such as a deferred constraint's.
pub(super) fn committing(error: Error) -> Failure {
    match error.as_db_error() {
        Some(db) if is_refusal(db) => Failure::Refused(db.message().to_owned()),
        _ => Failure::InDoubt(describe(&error)),
    }
}

/// Whether some value of the batch is to blame, by SQLSTATE class: 22 data exception, 23 integrity
/// constraint, 54 limits (such as JSON nested too deep), P0 raised by a side table's trigger.
fn is_refusal(error: &DbError) -> bool {
    // A missing partition comes as a violated check of the log's table. No caller caused it.
    let partition_missing =
        error.code() == &SqlState::CHECK_VIOLATION && error.table() == Some("events");
    let class = &error.code().code()[..2];
    matches!(class, "22" | "23" | "54" | "P0") && !partition_missing
}

/// Whether a row of the log itself is there already.
pub(super) fn is_taken(error: &DbError) -> bool {
    error.code() == &SqlState::UNIQUE_VIOLATION && error.schema() == Some("es")
}

/// The error with its causes, for the log file.
fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
