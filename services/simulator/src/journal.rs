//! The record's file: one JSON line a fact, appended before the fact is answered.
//!
//! A line is handed to the operating system in one write, so it outlives a SIGKILL of this process;
//! it is not synced, so a crash of the machine may lose the last seconds. A line that was cut off is
//! dropped at the next start.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::record::Message;

/// A fact.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JournalEntry {
    /// A call for a message was not accepted.
    Called {
        /// The key of the message.
        key: Uuid,
    },
    /// A call was accepted.
    Accepted {
        /// The message.
        message: Box<Message>,
        /// Where its receipts go.
        callback: Option<String>,
    },
    /// Every receipt of a message was taken, or given up.
    Settled {
        /// What the provider calls the message.
        provider_message_id: String,
    },
}

/// The file, or nothing.
pub(crate) struct Journal(Option<File>);

impl Journal {
    /// Opens the file of that path, and hands each of its entries to `each`.
    pub(crate) fn open(
        path: Option<&Path>,
        mut each: impl FnMut(JournalEntry),
    ) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // It holds the messages: other users of the machine may not read it. That holds for an earlier build's file, too.
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        let mut reader = BufReader::new(&file);
        let (mut line, mut whole_bytes) = (String::new(), 0);
        while reader.read_line(&mut line)? > 0 {
            if !line.ends_with('\n') {
                break;
            }
            whole_bytes += line.len() as u64;
            each(serde_json::from_str(&line)?);
            line.clear();
        }
        file.set_len(whole_bytes)?;
        Ok(Self(Some(file)))
    }

    /// Appends one entry.
    pub(crate) fn append(&mut self, entry: &JournalEntry) -> io::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        file.write_all(&line)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |file| file.set_len(0))
    }
}
