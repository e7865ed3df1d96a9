//! The checker: holds what clients were told, the log, the read models and the simulator's record
//! against each other, message by message.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use hatch_domain::message::Message;
use hatch_domain::message::event::MessageEvent;
use hatch_domain::message::status::Status;
use hatch_domain::{Decider, Kind};
use hatch_eventstore::{Log, PAGE_EVENTS_MAX, Position, RecordedEvent};
use serde_json::Value;
use uuid::Uuid;

use crate::time::{eventually, paced};

/// What a client knows of its requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal {
    /// Keys that were answered with a 2xx, and the message.
    pub(crate) acknowledged: BTreeMap<String, Uuid>,
    /// Keys that were sent at all. The key is the text of the message, too.
    pub(crate) sent: HashSet<String>,
}

/// Everything that is compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    pub(crate) journal: Journal,
    /// By message: the fold of its stream.
    pub(crate) messages: HashMap<Uuid, Folded>,
    /// By message: what the read model shows.
    pub(crate) rows: HashMap<Uuid, Row>,
    /// Messages of each conversation, by the read model.
    pub(crate) conversations: HashMap<Uuid, i64>,
    /// The lines of the simulator.
    pub(crate) record: Vec<Value>,
    /// Events of the log that this build cannot read.
    pub(crate) unread: Vec<String>,
}

/// A message as its events leave it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Folded {
    pub(crate) message: Message,
    pub(crate) text: String,
    pub(crate) conversation: Uuid,
    pub(crate) version: i64,
    pub(crate) position: i64,
    pub(crate) requests: usize,
    pub(crate) attempts: usize,
    /// What providers called it, in the order of the attempts.
    pub(crate) sent_as: Vec<String>,
}

/// A message as the read model has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) status: String,
    pub(crate) attempts: i32,
    pub(crate) position: i64,
}

/// How long the last messages may move while they are held against each other.
const MOVING_MAX: Duration = Duration::from_secs(120);

/// Between two looks at all of it.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

impl Evidence {
    /// As [`gather`](Self::gather), again and again, until no violation is left that every look has found: a message
    /// that moves while all of it is read looks wrong once, and a wrong one looks wrong each time. Answers with those
    /// that stand, too.
    pub(crate) async fn standing(
        database_url: &str,
        simulator: &str,
        http: &reqwest::Client,
        journal: Journal,
    ) -> (Self, Vec<String>) {
        let deadline = Instant::now() + MOVING_MAX;
        let (mut standing, mut looks) = (None::<Vec<String>>, paced(LOOK_PAUSE));
        loop {
            looks.tick().await;
            let evidence = Self::gather(database_url, simulator, http, journal.clone()).await;
            let mut found = evidence.violations();
            if let Some(before) = &standing {
                let before: HashSet<_> = before.iter().collect();
                found.retain(|violation| before.contains(violation));
            }
            if found.is_empty() || Instant::now() >= deadline {
                return (evidence, found);
            }
            standing = Some(found);
        }
    }

    /// Reads the whole log, the read models and the record.
    pub(crate) async fn gather(
        database_url: &str,
        simulator: &str,
        http: &reqwest::Client,
        journal: Journal,
    ) -> Self {
        let config: hatch_eventstore::Database = database_url.parse().expect("a URL");
        let pool = hatch_eventstore::pool(&config, 2, Duration::from_secs(10));
        let log = Log::new(pool.clone());
        let mut evidence = Self { journal, ..Self::default() };
        let mut after = Position::START;
        loop {
            // A machine that has just been through much may be slow to answer.
            let page = eventually("a page of the log", async || {
                match log.read_page(after, PAGE_EVENTS_MAX).await {
                    Err(error) if error.is_unavailable() => None,
                    page => Some(page.expect("a contiguous log")),
                }
            })
            .await;
            let Some(last) = page.last() else { break };
            after = last.position;
            for event in &page {
                evidence.take(event);
            }
        }
        let client = pool.get().await.expect("a connection");
        let sql = "SELECT id, status, attempts, position FROM rm.messages";
        for row in client.query(sql, &[]).await.expect("the read model") {
            let shown = Row { status: row.get(1), attempts: row.get(2), position: row.get(3) };
            evidence.rows.insert(row.get(0), shown);
        }
        let sql = "SELECT id, message_count FROM rm.conversations";
        for row in client.query(sql, &[]).await.expect("the read model") {
            evidence.conversations.insert(row.get(0), row.get(1));
        }
        let record = format!("{simulator}/_sim/messages");
        let lines = eventually("the record", async || {
            http.get(&record).send().await.ok()?.text().await.ok()
        })
        .await;
        evidence.record =
            lines.lines().map(|line| serde_json::from_str(line).expect("NDJSON")).collect();
        evidence
    }

    /// Takes an event of any kind; those of messages are folded.
    fn take(&mut self, event: &RecordedEvent) {
        let kind = Kind::named(&event.aggregate);
        let (name, version) = (&*event.event_type, event.schema_version);
        let read = kind.map(|kind| kind.decode_any(name, version, event.payload.get()));
        if !matches!(read, Some(Ok(_))) {
            self.unread.push(format!("{name} at {} cannot be read: {read:?}", event.position));
        } else if event.aggregate == Message::KIND {
            let folded = self.messages.entry(event.stream_id).or_default();
            let decoded = event.decode().expect("it was read already");
            folded.take(event.version, event.position.0, &decoded);
        }
    }

    /// What is wrong, each in a sentence; empty when nothing is.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut found = self.unread.clone();
        self.check_requests(&mut found);
        self.check_calls(&mut found);
        self.check_outcomes(&mut found);
        self.check_read_models(&mut found);
        found
    }

    /// What a run came to, for people: `counted` is what was done to it.
    pub(crate) fn table(
        &self,
        seed: u64,
        sending: Duration,
        counted: &BTreeMap<&str, usize>,
        violations: usize,
    ) -> String {
        let (acknowledged, taken) = (self.journal.acknowledged.len(), self.record.len());
        let seconds = sending.as_secs_f64();
        let mut table = format!(
            "seed {seed}: {acknowledged} messages acknowledged in {seconds:.0} s, {taken} taken by the provider\n"
        );
        let mut statuses: BTreeMap<&str, usize> = BTreeMap::new();
        for folded in self.messages.values() {
            *statuses.entry(folded.message.status().as_str()).or_default() += 1;
        }
        for (what, count) in counted.iter().chain(&statuses) {
            table += &format!("  {what:<22} {count:>6}\n");
        }
        table + &format!("  {:<22} {violations:>6}", "violations")
    }

    /// Nothing that was acknowledged is lost; nothing that was asked for once exists twice.
    fn check_requests(&self, found: &mut Vec<String>) {
        let mut by_text: HashMap<&str, Vec<Uuid>> = HashMap::new();
        for (id, folded) in &self.messages {
            by_text.entry(&folded.text).or_default().push(*id);
        }
        for (key, id) in &self.journal.acknowledged {
            match by_text.get(key.as_str()).map(Vec::as_slice) {
                Some([only]) if only == id => {}
                Some(others) => {
                    found.push(format!("{key} was answered {id}, the log has {others:?}"))
                }
                None => found.push(format!("lost: {key} was answered {id}, the log has nothing")),
            }
        }
        for (text, ids) in by_text {
            if ids.len() > 1 || !self.journal.sent.contains(text) {
                found.push(format!("{text:?} is in the log {} times", ids.len()));
            }
        }
    }

    /// Every message that the provider took was claimed, was taken once, and is known to be.
    fn check_calls(&self, found: &mut Vec<String>) {
        let mut taken: HashMap<Uuid, Vec<&str>> = HashMap::new();
        for line in &self.record {
            let id = line["hatch_message_id"].as_str().and_then(|id| id.parse().ok());
            let Some(id) = id else {
                found.push(format!("the provider took what is none of ours: {line}"));
                continue;
            };
            taken.entry(id).or_default().push(line["provider_message_id"].as_str().unwrap_or("-"));
        }
        for (id, names) in &taken {
            if names.len() > 1 {
                found.push(format!("doubled: the provider took {id} as {names:?}"));
            }
            if self.messages.get(id).is_none_or(|folded| folded.attempts == 0) {
                found.push(format!("the provider took {id}, which nobody had claimed"));
            }
        }
        for (id, folded) in &self.messages {
            for name in &folded.sent_as {
                if !taken.get(id).is_some_and(|names| names.contains(&name.as_str())) {
                    found.push(format!("{id} was sent as {name}, which the provider never took"));
                }
            }
        }
    }

    /// Every message has come to an end, or is known to be in doubt.
    fn check_outcomes(&self, found: &mut Vec<String>) {
        for (id, folded) in &self.messages {
            let status = folded.message.status();
            if !is_settled(status) {
                found.push(format!("stuck: {id} is {}", status.as_str()));
            }
            if folded.requests != 1 {
                found.push(format!("{id} was requested {} times", folded.requests));
            }
        }
    }

    /// The read models are what the events come to.
    fn check_read_models(&self, found: &mut Vec<String>) {
        let mut conversations: HashMap<Uuid, i64> = HashMap::new();
        for (id, folded) in &self.messages {
            *conversations.entry(folded.conversation).or_default() += 1;
            let expected = Row {
                status: folded.message.status().as_str().to_owned(),
                attempts: i32::try_from(folded.message.attempt()).unwrap_or(i32::MAX),
                position: folded.position,
            };
            match self.rows.get(id) {
                Some(row) if *row == expected => {}
                row => found.push(format!("{id} is shown as {row:?}, the log says {expected:?}")),
            }
        }
        for id in self.rows.keys().filter(|id| !self.messages.contains_key(id)) {
            found.push(format!("{id} is shown and not in the log"));
        }
        if conversations != self.conversations {
            found.push("the conversations count other messages than the log has".to_owned());
        }
    }
}

/// Whether nothing more is to happen to a message by itself.
pub(crate) fn is_settled(status: Status) -> bool {
    use Status as S;
    matches!(
        status,
        S::Delivered
            | S::Read
            | S::Undelivered
            | S::PartlyDelivered
            | S::Failed
            | S::Canceled
            | S::InDoubt
    )
}

impl Folded {
    fn take(&mut self, version: i64, position: i64, event: &MessageEvent) {
        match event {
            MessageEvent::MessageRequested(event) => {
                self.text = event.body.clone().unwrap_or_default();
                self.conversation = event.conversation_id.0;
                self.requests += 1;
            }
            MessageEvent::SendAttempted(_) => self.attempts += 1,
            MessageEvent::MessageSent(event) => {
                self.sent_as.push(event.provider_message_id.clone());
            }
            _ => {}
        }
        self.message = std::mem::take(&mut self.message).evolve(event);
        (self.version, self.position) = (version, position);
    }
}

#[cfg(test)]
mod tests {
    use hatch_domain::ids::ConversationId;
    use hatch_domain::message::event::{
        MessageDelivered, MessageRequested, MessageSent, SendAttempted,
    };

    use serde_json::json;

    use super::*;

    const ID: Uuid = Uuid::from_u128(1);
    const CONVERSATION: Uuid = Uuid::from_u128(2);

    /// One message that went well, as everybody tells it.
    fn sound() -> Evidence {
        let at = chrono::DateTime::UNIX_EPOCH;
        let mut folded = Folded::default();
        let events: [MessageEvent; 4] = [
            MessageRequested {
                conversation_id: ConversationId(CONVERSATION),
                body: Some("key".to_owned()),
                ..hatch_domain::testing::request(at)
            }
            .into(),
            SendAttempted {
                attempt: 1,
                provider: "twilio".to_owned(),
                account: "AC".to_owned(),
                choice: None,
                token: Some(Uuid::nil()),
                call_before: at,
                lease_until: at,
                at,
            }
            .into(),
            MessageSent { attempt: 1, provider_message_id: "SM1".to_owned(), segments: None, at }
                .into(),
            MessageDelivered {
                attempt: 1,
                provider_message_id: "SM1".to_owned(),
                receipt_id: Uuid::nil(),
                recipient: None,
                at,
            }
            .into(),
        ];
        for (version, event) in (1..).zip(&events) {
            folded.take(version, version, event);
        }
        let row = Row { status: "delivered".to_owned(), attempts: 1, position: 4 };
        Evidence {
            journal: Journal {
                acknowledged: [("key".to_owned(), ID)].into(),
                sent: ["key".to_owned()].into(),
            },
            messages: [(ID, folded)].into(),
            rows: [(ID, row)].into(),
            conversations: [(CONVERSATION, 1)].into(),
            record: vec![json!({"hatch_message_id": ID, "provider_message_id": "SM1"})],
            unread: Vec::new(),
        }
    }

    #[test]
    fn what_is_sound_passes_and_each_damage_is_found() {
        assert_eq!(sound().violations(), Vec::<String>::new());
        type Damage = fn(&mut Evidence);
        let damages: [(&str, Damage); 10] = [
            ("cannot be read", |e| e.unread.push("X at 1 cannot be read".to_owned())),
            ("lost", |e| e.messages.clear()),
            ("doubled", |e| e.record.push(e.record[0].clone())),
            ("nobody had claimed", |e| e.messages.values_mut().for_each(|m| m.attempts = 0)),
            ("never took", |e| e.record.clear()),
            ("stuck", |e| e.messages.values_mut().for_each(|m| m.message = Message::default())),
            ("is shown as None", |e| e.rows.clear()),
            ("is in the log 2 times", |e| {
                let twin = e.messages[&ID].clone();
                e.messages.insert(Uuid::from_u128(9), twin);
            }),
            ("not in the log", |e| {
                let row = e.rows[&ID].clone();
                e.rows.insert(Uuid::from_u128(9), row);
            }),
            ("conversations count", |e| e.conversations.clear()),
        ];
        for (name, damage) in damages {
            let mut evidence = sound();
            damage(&mut evidence);
            let found = evidence.violations();
            assert!(found.iter().any(|one| one.contains(name)), "{name}: {found:?}");
        }
    }
}
