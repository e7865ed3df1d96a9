//! The simulator's own record of what it was asked and what it took: the referee of the tests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use crate::journal::{Journal, JournalEntry};

/// Namespace of the keys of messages that do not carry an id of hatch's.
const ANONYMOUS: Uuid = uuid!("8f0c2a52-6f8e-4a0b-9b0f-6c3c1a5d7e21");

/// An accepted message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) provider: String,
    pub(crate) account: String,
    pub(crate) provider_message_id: String,
    pub(crate) hatch_message_id: Option<Uuid>,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) body: String,
    pub(crate) media: Vec<String>,
    pub(crate) accepted_at: DateTime<Utc>,
    /// What only a mail has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mail: Option<Box<Mail>>,
    /// What only its provider's receipts have to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) more: Option<Box<Value>>,
}

/// What a mail's events have to tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mail {
    /// Everybody whom it goes to, `to` first.
    pub(crate) recipients: Vec<String>,
    /// The sender's own words, for each event.
    pub(crate) custom_args: BTreeMap<String, String>,
    pub(crate) smtp_id: String,
}

impl Message {
    fn key(&self) -> Uuid {
        key(self.hatch_message_id, &[&self.account, &self.from, &self.to, &self.body])
    }
}

/// What calls for the same message have in common: hatch's id of it, or else its content.
pub(crate) fn key(hatch_message_id: Option<Uuid>, content: &[&str]) -> Uuid {
    hatch_message_id.unwrap_or_else(|| Uuid::new_v5(&ANONYMOUS, content.join("\n").as_bytes()))
}

/// Why a message cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unrecorded {
    #[error("find room in the record: DELETE /_sim makes some")]
    Full,
    #[error("write the record's file")]
    File(#[source] io::Error),
}

/// A message whose receipts are not all taken yet, and where they go.
pub(crate) type Due = (Arc<Message>, String);

/// The record.
pub(crate) struct Record {
    messages_max: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    journal: Journal,
    messages: Vec<Arc<Message>>,
    by_id: HashMap<String, usize>,
    by_recipient: HashMap<String, Vec<usize>>,
    calls: HashMap<Uuid, u32>,
}

impl Record {
    /// Opens the record of that file, or an empty one, and says which receipts are still due.
    pub(crate) fn open(path: Option<&Path>, messages_max: usize) -> io::Result<(Self, Vec<Due>)> {
        let (mut entries, mut due) = (Inner::empty(Journal::open(None, |_| ())?), HashMap::new());
        let journal = Journal::open(path, |entry| match entry {
            JournalEntry::Called { key } => entries.count(key),
            JournalEntry::Accepted { message, callback } => {
                entries.count(message.key());
                let message = entries.insert(*message);
                if let Some(callback) = callback {
                    due.insert(message.provider_message_id.clone(), (message, callback));
                }
            }
            JournalEntry::Settled { provider_message_id } => {
                due.remove(&provider_message_id);
            }
        })?;
        entries.journal = journal;
        Ok((Self { messages_max, inner: Mutex::new(entries) }, due.into_values().collect()))
    }

    /// Counts a call for a message and returns how many there were, this one included. With a full
    /// record, every call for a message that is new to it counts as the first.
    pub(crate) fn call(&self, key: Uuid) -> u32 {
        let mut inner = self.lock();
        if inner.calls.len() < self.messages_max || inner.calls.contains_key(&key) {
            inner.count(key);
        }
        inner.calls.get(&key).copied().unwrap_or(1)
    }

    /// Notes that a counted call was not accepted, so that it still counts after a restart.
    pub(crate) fn not_accepted(&self, key: Uuid) {
        let mut inner = self.lock();
        if !inner.calls.contains_key(&key) {
            return;
        }
        if let Err(error) = inner.journal.append(&JournalEntry::Called { key }) {
            tracing::warn!(%error, "a call is missing in the record's file");
        }
    }

    /// Records an accepted message, whose call is counted already.
    pub(crate) fn accept(
        &self,
        message: Message,
        callback: Option<String>,
    ) -> Result<Arc<Message>, Unrecorded> {
        let mut inner = self.lock();
        if inner.messages.len() >= self.messages_max {
            return Err(Unrecorded::Full);
        }
        let entry = JournalEntry::Accepted { message: Box::new(message), callback };
        inner.journal.append(&entry).map_err(Unrecorded::File)?;
        let JournalEntry::Accepted { message, .. } = entry else { unreachable!("made above") };
        Ok(inner.insert(*message))
    }

    /// Notes that no receipt of a message is due any more.
    pub(crate) fn settle(&self, message: &Message) {
        let provider_message_id = message.provider_message_id.clone();
        if let Err(error) =
            self.lock().journal.append(&JournalEntry::Settled { provider_message_id })
        {
            tracing::warn!(%error, "receipts will be repeated after a restart");
        }
    }

    /// The message that the provider calls so.
    pub(crate) fn find(&self, provider_message_id: &str) -> Option<Arc<Message>> {
        let inner = self.lock();
        inner.by_id.get(provider_message_id).map(|index| Arc::clone(&inner.messages[*index]))
    }

    /// A page of the messages that `wanted` picks, newest first.
    pub(crate) fn page(
        &self,
        to: Option<&str>,
        wanted: impl Fn(&Message) -> bool,
        skip: usize,
        take: usize,
    ) -> Vec<Arc<Message>> {
        let inner = self.lock();
        let picked = |index: &usize| wanted(&inner.messages[*index]);
        let message = |index: usize| Arc::clone(&inner.messages[index]);
        match to {
            Some(to) => {
                let indices = inner.by_recipient.get(to).into_iter().flatten().rev().copied();
                indices.filter(picked).skip(skip).take(take).map(message).collect()
            }
            None => {
                let indices = (0..inner.messages.len()).rev();
                indices.filter(picked).skip(skip).take(take).map(message).collect()
            }
        }
    }

    /// Lines of the record as NDJSON, from message number `from` on; empty at its end.
    pub(crate) fn lines(&self, from: usize, messages_max: usize) -> String {
        let inner = self.lock();
        let mut lines = String::new();
        for message in inner.messages.iter().skip(from).take(messages_max) {
            let line = json!({
                "provider": message.provider,
                "account": message.account,
                "provider_message_id": message.provider_message_id,
                "hatch_message_id": message.hatch_message_id,
                "from": message.from,
                "to": message.to,
                "accepted_at": message.accepted_at.to_rfc3339_opts(SecondsFormat::Micros, true),
                "calls": inner.calls.get(&message.key()).copied().unwrap_or(0),
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        lines
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.journal.clear()?;
        inner.messages.clear();
        inner.by_id.clear();
        inner.by_recipient.clear();
        inner.calls.clear();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the record")
    }
}

impl Inner {
    fn empty(journal: Journal) -> Self {
        Self {
            journal,
            messages: Vec::new(),
            by_id: HashMap::new(),
            by_recipient: HashMap::new(),
            calls: HashMap::new(),
        }
    }

    fn count(&mut self, key: Uuid) {
        *self.calls.entry(key).or_default() += 1;
    }

    fn insert(&mut self, message: Message) -> Arc<Message> {
        let index = self.messages.len();
        self.by_id.insert(message.provider_message_id.clone(), index);
        let others = message.mail.iter().flat_map(|mail| &mail.recipients);
        let recipients: BTreeSet<&String> = others.chain([&message.to]).collect();
        for recipient in recipients {
            self.by_recipient.entry(recipient.clone()).or_default().push(index);
        }
        let message = Arc::new(message);
        self.messages.push(Arc::clone(&message));
        message
    }
}
