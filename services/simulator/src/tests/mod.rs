//! The simulator over HTTP, with a small server in the place of hatch.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;
use uuid::Uuid;

use crate::{Account, Config, Error, run};

mod control;
mod keys;
mod mailgun;
mod receipts;
mod restart;
mod send;
mod sendgrid;
mod vonage;

const ACCOUNT: &str = "AC00000000000000000000000000000000";
const TOKEN: &str = "dev-twilio-auth-token";
const FROM: &str = "+12016661234";

/// A key pair that openssl made.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgs7ktrqlelXD+V/KI
s3fK8gjLrIVRJi5kBPDfJM4NK9qhRANCAAQemJx6WOthvooZdY8rG0kSryQOoB+8
89mrububRh7UcNr69ebE6GjMYVyKm+uThTzagZ1g7eNvRH1dbV4qsGU5
-----END PRIVATE KEY-----
";
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHpiceljrYb6KGXWPKxtJEq8kDqAf
vPPZq7m7m0Ye1HDa+vXmxOhozGFcipvrk4U82oGdYO3jb0R9XW1eKrBlOQ==
-----END PUBLIC KEY-----
";

/// A condition that does not come true by then fails its test.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a request is watched that is to get no answer.
const MOMENT: Duration = Duration::from_millis(200);

/// A webhook that hatch was posted.
#[derive(Clone)]
struct Posted {
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Posted {
    fn fields(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    fn field(&self, wanted: &str) -> Option<String> {
        self.fields().into_iter().find_map(|(key, value)| (key == wanted).then_some(value))
    }

    fn status(&self) -> String {
        self.field("MessageStatus").unwrap_or_default()
    }
}

/// Stands for hatch: keeps what it is posted and answers with the next of the given statuses, or
/// with 204 when there is none.
#[derive(Clone, Default)]
struct Hatch {
    url: String,
    posted: Arc<Mutex<Vec<Posted>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
}

impl Hatch {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let hatch = Self { url, ..Self::default() };
        let router = Router::new().fallback(Self::take).with_state(hatch.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        hatch
    }

    async fn take(
        State(hatch): State<Self>,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> StatusCode {
        hatch.posted.lock().expect("no panic while held").push(Posted { uri, headers, body });
        let status = hatch.statuses.lock().expect("no panic while held").pop().unwrap_or(204);
        StatusCode::from_u16(status).expect("a status")
    }

    fn posted(&self) -> Vec<Posted> {
        self.posted.lock().expect("no panic while held").clone()
    }

    /// The statuses of the receipts about a message, in the order in which they came.
    fn receipts(&self, sid: &str) -> Vec<String> {
        let about = |posted: &Posted| posted.field("MessageSid").as_deref() == Some(sid);
        self.posted().iter().filter(|posted| about(posted)).map(Posted::status).collect()
    }

    async fn has_receipts(&self, sid: &str, expected: &[&str]) {
        until(|| self.receipts(sid).len() >= expected.len()).await;
        assert_eq!(self.receipts(sid), expected);
    }
}

/// A running simulator.
struct Provider {
    url: String,
    client: Client,
    hatch: Hatch,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), Error>>,
}

impl Provider {
    async fn start() -> Self {
        Self::start_with(Hatch::start().await, None).await
    }

    async fn start_with(hatch: Hatch, record_path: Option<PathBuf>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let public_url = hatch.url.parse().expect("a URL");
        let config = Config { public_url, record_path, accounts: accounts(), ..Config::default() };
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run(config, listener, shutdown.clone()));
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { url, client, hatch, shutdown, running }
    }

    async fn stop(self) -> Hatch {
        self.shutdown.cancel();
        self.running.await.expect("no panic").expect("a clean end");
        self.hatch
    }

    fn messages_url(&self) -> String {
        format!("{}/2010-04-01/Accounts/{ACCOUNT}/Messages.json", self.url)
    }

    /// A send with these fields.
    fn post(&self, fields: &[(&str, &str)]) -> RequestBuilder {
        self.client.post(self.messages_url()).basic_auth(ACCOUNT, Some(TOKEN)).form(fields)
    }

    /// A send as hatch makes it.
    fn send(&self, id: Uuid, to: &str) -> RequestBuilder {
        let callback = self.callback(id);
        self.post(&[("To", to), ("From", FROM), ("Body", "Hi"), ("StatusCallback", &callback)])
    }

    fn callback(&self, id: Uuid) -> String {
        format!("{}/api/v1/webhooks/twilio?message_id={id}&attempt=1#rc=5&rp=all", self.hatch.url)
    }

    /// A send that is accepted; returns the SID.
    async fn accepted(&self, id: Uuid, to: &str) -> String {
        let (status, body) = answer(self.send(id, to)).await;
        assert_eq!(status, 201, "{body}");
        body["sid"].as_str().expect("a SID").to_owned()
    }

    /// The record's lines.
    async fn record(&self) -> Vec<Value> {
        let response = self.client.get(format!("{}/_sim/messages", self.url)).send().await;
        let text = response.expect("an answer").text().await.expect("a body");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Sends `request`, which gets no answer: waits until the record has so many messages, and then for a moment.
    async fn unanswered(&self, request: RequestBuilder, recorded: usize) {
        let mut sending = tokio::spawn(request.send());
        let begin = Instant::now();
        while self.record().await.len() < recorded {
            assert!(begin.elapsed() < PATIENCE, "the message was not recorded");
        }
        let answered = tokio::time::timeout(MOMENT, &mut sending).await;
        assert!(answered.is_err(), "it was answered: {answered:?}");
        sending.abort();
    }

    async fn disturb(&self, account: &str, disturbance: Value) -> u16 {
        let url = format!("{}/_sim/accounts/{account}", self.url);
        answer(self.client.put(url).json(&disturbance)).await.0
    }

    async fn inbound(&self, request: Value) -> (u16, Value) {
        answer(self.client.post(format!("{}/_sim/inbound", self.url)).json(&request)).await
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).basic_auth(ACCOUNT, Some(TOKEN))
    }
}

/// The usual accounts, of which SendGrid's sign with a key that the tests have, and second ones of Vonage and Mailgun.
fn accounts() -> Vec<Account> {
    let mut accounts = Account::usual();
    let of_sendgrid = accounts.iter_mut().filter(|account| account.provider == "sendgrid");
    for account in of_sendgrid {
        account.settings.insert("private_key".to_owned(), PRIVATE_KEY.into());
    }
    let of = |name: &str| accounts.iter().find(|account| account.name == name).cloned();
    let mut vonage = of("vonage").expect("an account");
    vonage.name = "vonage-2".to_owned();
    let others = [
        ("api_key", "second-key"),
        ("api_secret", "second-secret"),
        ("application_id", "00000000-0000-4000-8000-000000000002"),
    ];
    vonage.settings.extend(others.map(|(key, value)| (key.to_owned(), value.into())));
    let mut mailgun = of("mailgun").expect("an account");
    mailgun.name = "mailgun-2".to_owned();
    mailgun.settings.insert("domain".to_owned(), "second.example".into());
    mailgun.settings.insert("api_key".to_owned(), "second-key".into());
    // One without an application, which sends by its secret.
    let by_secret = serde_json::json!({
        "api_key": "third-key", "api_secret": "third-secret", "signature_secret": "a-secret",
    });
    let by_secret = Account::new("vonage", "vonage-3", by_secret);
    accounts.extend([vonage, by_secret, mailgun]);
    accounts
}

/// Status and JSON of the answer.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.bytes().await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Waits for a condition.
async fn until(condition: impl Fn() -> bool) {
    let (begin, mut looks) = (Instant::now(), tokio::time::interval(Duration::from_millis(2)));
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "the condition did not come true");
        looks.tick().await;
    }
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}
