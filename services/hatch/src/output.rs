//! What commands print for people and programs.

use std::io::Write;

/// Prints one line to the standard output.
///
/// # Errors
/// When it cannot be written, such as to a pipe whose reader is gone.
pub fn line(text: impl std::fmt::Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Tells the person who waits how things stand, on the standard error.
pub fn note(text: impl std::fmt::Display) {
    // Nobody there to read it is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// How many there are of what `one` is the singular of.
#[must_use]
pub fn counted(count: i64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// An error with its causes, in one line. A cause that was quoted by what it caused is not said again.
#[must_use]
pub fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| {
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
        // Whoever read the output has seen enough.
        return;
    }
    // With the standard error gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "hatch: {}", chain(error));
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

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
