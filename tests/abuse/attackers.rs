//! What strangers do, each again and again until it is stopped.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use futures::FutureExt;
use futures::future::BoxFuture;
use hatch_process::Servers;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::time::paced;

/// One kind of abuse: it goes on until it is dropped, and counts what it did.
type Attack = fn(Arc<Target>, Arc<AtomicU64>) -> BoxFuture<'static, ()>;

pub(super) const ATTACKS: [(&str, Attack); 10] = [
    ("hostile mails", |target, count| hostile_mails(target, count).boxed()),
    ("unsigned webhooks", |target, count| unsigned_webhooks(target, count).boxed()),
    ("forms of many fields", |target, count| many_fields(target, count).boxed()),
    ("uploads without an end", |target, count| endless_uploads(target, count).boxed()),
    ("silent connections", |target, count| silent_connections(target, count).boxed()),
    ("streams that nobody reads", |target, count| deaf_streams(target, count).boxed()),
    ("large pages", |target, count| large_pages(target, count).boxed()),
    ("reads that wait", |target, count| waiting_reads(target, count).boxed()),
    ("broken chunks", |target, count| broken_chunks(target, count).boxed()),
    ("forged events on the bus", |target, count| forged_events(target, count).boxed()),
];

const ENDLESS_UPLOADS: usize = 40;
const SILENT_CONNECTIONS: usize = 800;
const DEAF_STREAMS: usize = 300;
const WAITING_READS: usize = 200;
/// Between two things that one stranger does.
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Whom it is done to.
pub(super) struct Target {
    url: String,
    /// `127.0.0.1:8080`.
    address: String,
    nats_url: String,
    key: SigningKey,
    http: reqwest::Client,
}

impl Target {
    pub(super) fn of(url: &str, folder: &Path, servers: &Servers) -> Self {
        let pem = std::fs::read_to_string(folder.join(".hatch/simulator/sendgrid.private.pem"));
        Self {
            url: url.to_owned(),
            address: url.trim_start_matches("http://").to_owned(),
            nats_url: servers.nats_url.clone(),
            key: SigningKey::from_pkcs8_pem(&pem.expect("a key")).expect("a key"),
            http: hatch::http_client(ANSWER_MAX).expect("a client"),
        }
    }

    /// Records what large pages are made of.
    pub(super) async fn prepare(&self) {
        for n in 0..30 {
            let body = "x".repeat(900_000);
            let mail = json!({"to": "reader@example.com", "subject": format!("{n}"), "body": body});
            let answer = self.http.post(format!("{}/api/v1/messages", self.url)).json(&mail);
            assert_eq!(answer.send().await.expect("answered").status(), 202);
        }
    }

    /// A webhook that the provider signed, as whoever writes a mail has it sent.
    async fn mail(&self, content_type: &str, body: Vec<u8>) {
        let signed = [b"1700000000", body.as_slice()].concat();
        let signature: DerSignature = self.key.sign(&signed);
        let request = self
            .http
            .post(format!("{}/api/v1/webhooks/sendgrid/inbound", self.url))
            .header("content-type", content_type)
            .header("x-twilio-email-event-webhook-timestamp", "1700000000")
            .header(
                "x-twilio-email-event-webhook-signature",
                BASE64_STANDARD.encode(signature.as_bytes()),
            );
        let _ = request.body(body).send().await;
    }

    async fn connect(&self) -> Option<TcpStream> {
        timeout(ANSWER_MAX, TcpStream::connect(&self.address)).await.ok()?.ok()
    }

    /// A connection on which `head` was written.
    async fn begin(&self, head: &str) -> Option<TcpStream> {
        let mut stream = self.connect().await?;
        stream.write_all(head.as_bytes()).await.ok()?;
        Some(stream)
    }
}

fn count_one(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// The same by `n` strangers at once.
async fn by<F: Future<Output = ()> + Send + 'static>(n: usize, one: impl Fn() -> F) {
    let mut all = JoinSet::new();
    for _ in 0..n {
        all.spawn(one());
    }
    all.join_all().await;
}

fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let part = |(name, text): &(&str, &str)| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    };
    let parts: String = fields.iter().map(part).collect();
    format!("{parts}--B--\r\n").into_bytes()
}

async fn hostile_mails(target: Arc<Target>, count: Arc<AtomicU64>) {
    let head = "From: a@example.com\r\nTo: b@example.com\r\nSubject: x\r\n";
    let nested = head.to_owned() + &"Content-Type:message/rfc822\r\n\r\n".repeat(33_000);
    let unclosed: String = (0..15_000)
        .map(|n| format!("--B\r\nContent-Type: multipart/mixed; boundary=never{n}\r\n\r\n"))
        .collect();
    let unclosed = format!("{head}Content-Type: multipart/mixed; boundary=B\r\n\r\n{unclosed}");
    let many: String = (0..40_000).map(|n| format!("a{n}@example.com, ")).collect();
    let raw_many = format!("From: a@example.com\r\nTo: {many}\r\n\r\nHello");
    let same_name: Vec<(&str, &str)> =
        std::iter::repeat_n(("email", nested.as_str()), 20).collect();
    let mails = [
        form(&[("email", &nested)]),
        form(&[("email", &unclosed)]),
        form(&[("email", &raw_many)]),
        form(&[("from", "a@example.com"), ("to", &many), ("text", "Hello")]),
        form(&same_name),
    ];
    for n in 0.. {
        let body = mails[n % mails.len()].clone();
        count_one(&count);
        target.mail("multipart/form-data; boundary=B", body).await;
    }
}

async fn unsigned_webhooks(target: Arc<Target>, count: Arc<AtomicU64>) {
    by(6, || {
        let (target, count) = (Arc::clone(&target), Arc::clone(&count));
        async move {
            let query = "q".repeat(7_800);
            let url = format!("{}/api/v1/webhooks/twilio?{query}", target.url);
            loop {
                let request = target.http.post(&url).header("x-noise", "h".repeat(22_000));
                let _ = request.body("b".repeat(8_000)).send().await;
                count_one(&count);
            }
        }
    })
    .await;
}

async fn many_fields(target: Arc<Target>, count: Arc<AtomicU64>) {
    loop {
        let request = target.http.post(format!("{}/api/v1/webhooks/twilio", target.url));
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let _ = request.body("a&".repeat(500_000)).send().await;
        count_one(&count);
    }
}

async fn endless_uploads(target: Arc<Target>, count: Arc<AtomicU64>) {
    by(ENDLESS_UPLOADS, || {
        let (target, count) = (Arc::clone(&target), Arc::clone(&count));
        async move {
            let head = format!(
                "POST /api/v1/webhooks/sendgrid/inbound HTTP/1.1\r\nHost: {}\r\n\
                 X-Twilio-Email-Event-Webhook-Signature: AAAA\r\n\
                 X-Twilio-Email-Event-Webhook-Timestamp: 1700000000\r\n\
                 Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 26000000\r\n\r\n",
                target.address
            );
            let block = vec![b'x'; 64 * 1024];
            let mut pace = paced(PAUSE);
            loop {
                if let Some(mut stream) = target.begin(&head).await {
                    count_one(&count);
                    for _ in 0..390 {
                        if stream.write_all(&block).await.is_err() {
                            break;
                        }
                        pace.tick().await;
                    }
                    // All but the last bytes are there.
                    let mut answer = [0; 64];
                    let _ = timeout(ANSWER_MAX, stream.read(&mut answer)).await;
                }
                pace.tick().await;
            }
        }
    })
    .await;
}

async fn silent_connections(target: Arc<Target>, count: Arc<AtomicU64>) {
    let (mut open, mut pace) = (Vec::new(), paced(PAUSE * 10));
    loop {
        for _ in open.len()..SILENT_CONNECTIONS {
            if let Some(stream) = target.connect().await {
                count_one(&count);
                open.push(stream);
            }
        }
        pace.tick().await;
        // Those that were closed by the other side are opened anew.
        let mut byte = [0];
        open.retain(|stream: &TcpStream| {
            matches!(stream.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        });
    }
}

async fn deaf_streams(target: Arc<Target>, count: Arc<AtomicU64>) {
    let head = format!("GET /api/v1/events?from=0 HTTP/1.1\r\nHost: {}\r\n\r\n", target.address);
    let (mut open, mut pace) = (Vec::new(), paced(Duration::from_secs(2)));
    pace.tick().await;
    loop {
        for _ in open.len()..DEAF_STREAMS {
            if let Some(stream) = target.begin(&head).await {
                count_one(&count);
                open.push(stream);
            }
        }
        pace.tick().await;
        open.drain(..DEAF_STREAMS / 4);
    }
}

async fn large_pages(target: Arc<Target>, count: Arc<AtomicU64>) {
    let mut pace = paced(PAUSE);
    loop {
        let page = target.http.get(format!("{}/api/v1/messages?limit=200", target.url));
        count_one(&count);
        if let Ok(answer) = page.send().await {
            let _ = answer.bytes().await;
        }
        pace.tick().await;
    }
}

async fn waiting_reads(target: Arc<Target>, count: Arc<AtomicU64>) {
    by(WAITING_READS, || {
        let (target, count) = (Arc::clone(&target), Arc::clone(&count));
        async move {
            let mut pace = paced(PAUSE * 10);
            loop {
                let url = format!("{}/api/v1/messages?after=999999999&wait=30", target.url);
                let _ = target.http.get(url).send().await;
                count_one(&count);
                pace.tick().await;
            }
        }
    })
    .await;
}

async fn broken_chunks(target: Arc<Target>, count: Arc<AtomicU64>) {
    let head = format!(
        "POST /api/v1/messages HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\nzz\r\nnonsense\r\n",
        target.address
    );
    let mut pace = paced(PAUSE);
    loop {
        if let Some(mut stream) = target.begin(&head).await {
            let mut answer = Vec::new();
            let _ = timeout(ANSWER_MAX, stream.read_to_end(&mut answer)).await;
            count_one(&count);
        }
        pace.tick().await;
    }
}

/// By somebody who has what the roles log in to NATS with.
async fn forged_events(target: Arc<Target>, count: Arc<AtomicU64>) {
    let url: url::Url = target.nats_url.parse().expect("a URL");
    let [user, password] = [url.username(), url.password().unwrap_or_default()].map(str::to_owned);
    let options = async_nats::ConnectOptions::with_user_and_password(user, password);
    let nats = options.retry_on_initial_connect().connect(&target.nats_url).await;
    let nats = nats.expect("it connects in the background");
    let subject =
        "hatch.events.00000000-0000-0000-0000-000000000001.message.MessageRequested.sms.normal";
    let mut pace = paced(Duration::from_secs(1));
    loop {
        let published = nats.publish(subject, "{\"specversion\":\"1.0\"}".into()).await;
        if published.is_ok() && nats.flush().await.is_ok() {
            count_one(&count);
        }
        pace.tick().await;
    }
}
