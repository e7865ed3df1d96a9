//! The servers' log files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A longer file is put aside as `<name>.1` before the next start.
const FILE_BYTES_MAX: u64 = 16 << 20;
const TAIL_BYTES: u64 = 4 << 10;
const TAIL_LINES: usize = 15;

/// A file that collects what a server prints.
#[derive(Clone, Debug)]
pub(crate) struct LogFile(PathBuf);

impl LogFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Opens the file for a server's output.
    pub(crate) fn open(&self) -> io::Result<File> {
        if self.0.metadata().is_ok_and(|metadata| metadata.len() > FILE_BYTES_MAX) {
            std::fs::rename(&self.0, self.0.with_extension("log.1"))?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.0)
    }

    /// The end of the file with its name, for an error message.
    pub(crate) fn tail(&self) -> String {
        let lines = read_end(&self.0).unwrap_or_else(|error| format!("cannot be read: {error}"));
        let lines: Vec<_> = lines.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        format!("the end of {}:\n{}", self.0.display(), lines[from..].join("\n"))
    }
}

fn read_end(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL_BYTES)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}
