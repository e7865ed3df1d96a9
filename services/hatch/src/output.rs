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
