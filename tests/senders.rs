//! Many clients that send while everything breaks, each message until it is answered.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use hatch::output::line;
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::checker::Journal;
use crate::time::paced;

/// Between two tries of a message, and two looks whether to go on.
const POLL: Duration = Duration::from_millis(100);
/// How long the last requests may take to be answered.
const PATIENCE: Duration = Duration::from_secs(180);
/// How far ahead some messages are scheduled.
const SCHEDULED_AHEAD: TimeDelta = TimeDelta::seconds(3);

/// Chance that can be repeated: SplitMix64.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).expect("small")
    }

    /// One of `all`.
    pub(crate) fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// The clients, at work.
pub(crate) struct Senders {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

struct Shared {
    /// The instances; each try goes to the next.
    urls: Vec<String>,
    turn: AtomicUsize,
    http: reqwest::Client,
    run: String,
    messages_min: u64,
    next: AtomicU64,
    ending: AtomicBool,
    crowded: AtomicBool,
    broken: AtomicBool,
    journal: Mutex<Journal>,
}

impl Senders {
    /// So many clients, which send to the instances at `urls` in turn.
    pub(crate) fn start(
        clients: usize,
        urls: Vec<String>,
        http: &reqwest::Client,
        messages_min: u64,
    ) -> Self {
        let shared = Arc::new(Shared {
            urls,
            turn: AtomicUsize::new(0),
            http: http.clone(),
            run: crate::harness::unique(),
            messages_min,
            next: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            journal: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            tasks.spawn(shared.clone().send_on());
        }
        Self { shared, clients: tasks }
    }

    /// Whether a client got an answer that it must not get.
    pub(crate) fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }

    /// How many messages were accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.journal.lock().expect("no panic").acknowledged.len()
    }

    /// Whether clients wait before their next message.
    pub(crate) fn hold_back(&self, crowded: bool) {
        self.shared.crowded.store(crowded, Ordering::Relaxed);
    }

    /// Ends when enough was sent and every request has its answer.
    pub(crate) async fn finish(self) -> Journal {
        self.shared.ending.store(true, Ordering::Relaxed);
        let ended = tokio::time::timeout(PATIENCE, self.clients.join_all()).await;
        ended.expect("every request is answered in the end");
        self.shared.journal.lock().expect("no panic").clone()
    }
}

impl Shared {
    async fn send_on(self: Arc<Self>) {
        let mut looks = paced(POLL);
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if self.ending.load(Ordering::Relaxed) && n >= self.messages_min {
                return;
            }
            let key = format!("{}-{n}", self.run);
            let mut request = json!({"to": recipient(n), "body": key});
            if n % 25 == 3 {
                request["send_at"] = json!(SystemEnvironment.now() + SCHEDULED_AHEAD);
            }
            self.journal.lock().expect("no panic").sent.insert(key.clone());
            let Some(first) = self.until_accepted(&key, &request).await else { return };
            // As a client does that has lost the answer.
            if n.is_multiple_of(10) && self.until_accepted(&key, &request).await != Some(first) {
                self.broken.store(true, Ordering::Relaxed);
            }
            self.journal.lock().expect("no panic").acknowledged.insert(key, first);
            while self.crowded.load(Ordering::Relaxed) && !self.ending.load(Ordering::Relaxed) {
                looks.tick().await;
            }
        }
    }

    /// The message's id; none when the answer is one that must not come.
    async fn until_accepted(&self, key: &str, request: &Value) -> Option<Uuid> {
        let mut tries = paced(POLL);
        loop {
            tries.tick().await;
            let url = &self.urls[self.turn.fetch_add(1, Ordering::Relaxed) % self.urls.len()];
            let asked = self.http.post(format!("{url}/api/v1/messages"));
            match asked.header("idempotency-key", key).json(request).send().await {
                Ok(answer) if answer.status() == 202 => {
                    if let Ok(accepted) = answer.json::<Value>().await {
                        return accepted["id"].as_str().and_then(|id| id.parse().ok());
                    }
                }
                // More than can be finished is refused for a while.
                Ok(answer) if answer.status() == 429 => {}
                Ok(answer) if answer.status().is_client_error() => {
                    let (status, body) = (answer.status(), answer.text().await);
                    line(format!("{key} was answered {status}: {body:?}")).expect("printed");
                    self.broken.store(true, Ordering::Relaxed);
                    return None;
                }
                _ => {}
            }
        }
    }
}

/// Four of five by SMS; some to recipients for whom the provider misbehaves.
fn recipient(n: u64) -> String {
    let special = match n % 50 {
        7 => "0429",
        17 => "0500",
        27 => "0777",
        37 => "0222",
        47 => "0666",
        _ => return plain(n),
    };
    format!("+1804555{special}")
}

fn plain(n: u64) -> String {
    match n % 50 {
        4 => "throttle@example.com".to_owned(),
        14 => "disorder@example.com".to_owned(),
        24 => "bounce@example.com".to_owned(),
        rest if rest % 5 == 4 => format!("customer{}@example.com", n % 1_000),
        // Many, so that no look-up has to go through many messages to one.
        _ => format!("+1804555{:04}", 1_000 + n % 9_000),
    }
}
