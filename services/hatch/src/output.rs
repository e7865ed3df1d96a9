//! What commands print for people and programs, and how they say an error.

use std::io::Write as _;

use chrono::{DateTime, Utc};
use hatch_eventstore::ServerRefusal;
pub use hatch_process::terminal::{colored, counted, field, line, note, visible};

/// What the pool of connections says before each error of making one.
const POOLED: &str = "Error occurred while creating a new object: ";

/// A time as a row of a list has it: in UTC, to the second.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// An error with its causes, in one line. A cause that was quoted by what it caused is not said again.
#[must_use]
pub fn chain(error: &anyhow::Error) -> String {
    // A server that is not believed is named by the sentence that says why, which is all there is to say.
    if !error.chain().any(|cause| cause.is::<ServerRefusal>())
        && let Some(refusal) = ServerRefusal::cause_of(error.as_ref())
    {
        return refusal.to_string();
    }
    let own = |cause: &(dyn std::error::Error + 'static)| {
        let cause = cause.to_string();
        cause.strip_prefix(POOLED).map(str::to_owned).unwrap_or(cause)
    };
    error.chain().map(own).fold(String::new(), |said, cause| {
        if said.is_empty() {
            cause
        } else if said.ends_with(&cause) {
            said
        } else {
            format!("{said}: {cause}")
        }
    })
}

/// Prints an error with all its causes to the standard error, in one line.
pub fn error(error: &anyhow::Error) {
    let gone = error.downcast_ref::<std::io::Error>();
    if gone.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        // The reader of the output has closed it.
        return;
    }
    // Without a standard error the text is lost.
    let _ = writeln!(std::io::stderr(), "hatch: {}", visible(&chain(error)));
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use hatch_eventstore::BadDatabase;

    use super::*;

    #[test]
    fn who_is_not_believed_is_named_first_and_nothing_else_is_said() {
        let refusal = match "host=h sslmode=maybe".parse::<hatch_eventstore::Database>() {
            Err(BadDatabase::Security(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        let sentence = refusal.to_string();
        let met = anyhow::Error::new(std::io::Error::other(refusal.clone()));
        assert_eq!(chain(&met.context("failed to reach PostgreSQL")), sentence);
        let set = anyhow::Error::new(refusal).context("configuration: database_url");
        assert_eq!(chain(&set), format!("configuration: database_url: {sentence}"));
        let pooled = anyhow!("{POOLED}db error").context("failed to reach PostgreSQL");
        assert_eq!(chain(&pooled), "failed to reach PostgreSQL: db error");
    }

    #[test]
    fn a_cause_that_was_quoted_is_not_said_again() {
        let error = anyhow!("Connection refused")
            .context("no connection")
            .context("in the pool: no connection")
            .context("the log cannot be read");
        let text = "the log cannot be read: in the pool: no connection: Connection refused";
        assert_eq!(chain(&error), text);
    }
}
