//! Why an archive cannot be read.

use std::path::{Path, PathBuf};

/// Why an archive cannot be read. What it holds is nowhere else: readers wait for a file that they cannot
/// read, and halt at one that is damaged.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not there, or the system refuses, as while a folder is not mounted: that may pass.
    #[error(
        "{} of the log's archive cannot be read: mount its folder, or bring the file back from the \
         backup", path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what was written.
    #[error(
        "{} of the log's archive is damaged: {what}: bring it back from the backup", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        what: String,
    },
}

impl ArchiveError {
    pub(super) fn unreadable(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::damaged(path, "it is too short"),
            _ => Self::Unreadable { path: path.to_owned(), source },
        }
    }

    pub(super) fn damaged(path: &Path, what: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.to_string() }
    }
}
