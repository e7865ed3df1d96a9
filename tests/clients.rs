//! Clients that send one message after the other, each with a key until it is accepted, and note
//! what they are told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hatch_eventstore::testing::TestDatabase;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Interval;
use uuid::Uuid;

use crate::checker::{Evidence, Journal};
use crate::time::{eventually, paced};

const CLIENTS: usize = 4;
/// Between two messages of a client, and two tries of one.
const PAUSE: Duration = Duration::from_millis(50);
/// The contract's five seconds for a `503`, and what a busy machine takes beside.
const ANSWER_MAX: Duration = Duration::from_secs(8);
/// How long the last requests may take to be accepted.
const PATIENCE: Duration = Duration::from_secs(60);
/// Every so many messages are sent twice, as by a client that has lost the answer.
const REPEATED: u64 = 5;

/// Clients at work.
pub(crate) struct Clients {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// What they were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) journal: Journal,
    /// How often each status was answered.
    pub(crate) answers: BTreeMap<u16, usize>,
    /// What no client must see, each in a sentence.
    pub(crate) violations: Vec<String>,
}

struct Shared {
    /// The instances, asked in turn; when one refuses the connection, the next.
    urls: Vec<String>,
    http: reqwest::Client,
    run: String,
    next: AtomicU64,
    turn: AtomicUsize,
    ending: AtomicBool,
    told: Mutex<Told>,
}

impl Clients {
    pub(crate) fn start(urls: Vec<String>) -> Self {
        let shared = Arc::new(Shared {
            urls,
            http: hatch::http_client(ANSWER_MAX).expect("a client"),
            run: crate::harness::unique(),
            next: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
            ending: AtomicBool::new(false),
            told: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            tasks.spawn(shared.clone().send_on());
        }
        Self { shared, tasks }
    }

    /// How many messages were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.told().journal.acknowledged.len()
    }

    /// Ends when every request has its answer.
    pub(crate) async fn finish(self) -> Told {
        self.shared.ending.store(true, Ordering::Relaxed);
        let ended = tokio::time::timeout(PATIENCE, self.tasks.join_all()).await;
        ended.expect("every message is accepted in the end");
        std::mem::take(&mut *self.shared.told())
    }
}

impl Told {
    /// Every message is delivered, once, as log, read models and provider say, and no client saw
    /// what it must not.
    pub(crate) async fn assert_sound(
        &self,
        database: &TestDatabase,
        simulator: &str,
        http: &reqwest::Client,
    ) {
        assert!(self.violations.is_empty(), "{:#?}", self.violations);
        let sent = self.journal.sent.len();
        let session = database.connect().await;
        let sql = "SELECT (SELECT count(*) FROM rm.messages WHERE status = 'delivered'), \
             (SELECT max(position) FROM es.events) = (SELECT min(position) FROM es.checkpoints)";
        eventually("all are delivered", async || {
            let row = session.query_one(sql, &[]).await.expect("the read models");
            let (delivered, at_rest): (i64, bool) = (row.get(0), row.get(1));
            (usize::try_from(delivered) == Ok(sent) && at_rest).then_some(())
        })
        .await;
        session.close().await;
        let journal = self.journal.clone();
        let evidence = Evidence::gather(&database.url(), simulator, http, journal).await;
        let violations = evidence.violations();
        assert!(violations.is_empty(), "{violations:#?}");
        assert_eq!(evidence.record.len(), sent);
        assert!(evidence.record.iter().all(|line| line["calls"] == 1), "each was asked for once");
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("no panic")
    }

    async fn send_on(self: Arc<Self>) {
        let mut pace = paced(PAUSE);
        while !self.ending.load(Ordering::Relaxed) {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let key = format!("{}-{n}", self.run);
            self.told().journal.sent.insert(key.clone());
            let id = self.until_accepted(&key, &mut pace).await;
            if n.is_multiple_of(REPEATED) && self.until_accepted(&key, &mut pace).await != id {
                let sentence = format!("{key} was answered {id}, and then something else");
                self.told().violations.push(sentence);
            }
            self.told().journal.acknowledged.insert(key, id);
            self.ask(Method::GET, "/api/v1/messages?limit=1", |request| request).await;
        }
    }

    async fn until_accepted(&self, key: &str, pace: &mut Interval) -> Uuid {
        let message = json!({"to": "+18045551234", "body": key});
        loop {
            pace.tick().await;
            let post =
                |request: RequestBuilder| request.header("idempotency-key", key).json(&message);
            if let Some(answer) = self.ask(Method::POST, "/api/v1/messages", post).await
                && answer.status() == 202
            {
                let accepted: Value = answer.json().await.expect("JSON");
                return accepted["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
            }
        }
    }

    /// The answer, noted; none when there is none. Goes from instance to instance only while no
    /// connection is made: then nothing was asked yet.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Option<Response> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for url in self.urls.iter().cycle().skip(turn % self.urls.len()).take(self.urls.len()) {
            let begun = Instant::now();
            let asked =
                fill(self.http.request(method.clone(), format!("{url}{path}"))).send().await;
            let took = begun.elapsed();
            match asked {
                Ok(answer) => {
                    self.note(&answer, took);
                    return Some(answer);
                }
                Err(error) if error.is_connect() => {}
                Err(error) => {
                    let sentence = format!("{method} {path}: no answer in {took:?}: {error:?}");
                    self.told().violations.push(sentence);
                    return None;
                }
            }
        }
        let sentence = format!("{method} {path}: nobody listens");
        self.told().violations.push(sentence);
        None
    }

    fn note(&self, answer: &Response, took: Duration) {
        let status = answer.status().as_u16();
        let mut told = self.told();
        *told.answers.entry(status).or_default() += 1;
        let expected = match status {
            200 | 202 => true,
            503 => answer.headers().contains_key("retry-after"),
            _ => false,
        };
        if !expected {
            told.violations.push(format!("{} answered {status} in {took:?}", answer.url()));
        }
    }
}
