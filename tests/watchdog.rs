//! While a thousand hostile mails are taken, others are answered in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use serde_json::json;

use crate::harness::{CUSTOMER, Hatch, SENDER, mail_key};
use crate::time::paced;

const MAILS: usize = 1_000;
/// Strangers that post at once.
const AT_ONCE: usize = 6;
/// Bytes of what a large one repeats; one is a megabyte.
const MAIL_BYTES: usize = 160 * 1024;
/// For one large mail, so many of a part of its size.
const SMALL_ONES: usize = 4;
/// That part: still more than is read where it came in.
const SMALL_PART: usize = 6;

/// How soon anybody else is answered.
const HEALTH_MAX: Duration = Duration::from_millis(250);
const SEND_MAX: Duration = Duration::from_secs(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// How late a thread that only sleeps may wake before the machine, and not hatch, is what is slow.
const LATE_MAX: Duration = Duration::from_millis(40);

/// A request as a stranger has a provider sign it.
struct Hostile {
    content_type: &'static str,
    timestamp: &'static str,
    signature: String,
    path: &'static str,
    body: Vec<u8>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hostile_mails_keep_nobody_waiting() {
    let hatch = Hatch::start().await;
    let hostile = Arc::new(hostile());
    let (next, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let strangers = on_its_own({
        let (url, next) = (hatch.url.clone(), Arc::clone(&next));
        async move {
            let one = || strange(&url, &hostile, &next);
            futures::future::join_all((0..AT_ONCE).map(|_| one())).await.into_iter().sum::<usize>()
        }
    });
    let machine = machine(Arc::clone(&over));
    let watched = on_its_own(watch(hatch.url.clone(), Arc::clone(&over)));
    let taken = tokio::task::spawn_blocking(move || strangers.join().expect("no panic"));
    let taken = taken.await.expect("no panic");
    over.store(true, Ordering::Relaxed);
    let joined = tokio::task::spawn_blocking(move || {
        (watched.join().expect("no panic"), machine.join().expect("no panic"))
    });
    let (answers, late) = joined.await.expect("no panic");
    assert_eq!(taken, MAILS, "each is taken, or refused for good");
    let in_time = |answer: &Answered| {
        // What the machine itself kept waiting says nothing of hatch.
        let delayed: Duration = late
            .iter()
            .filter(|(from, to)| *from < answer.to && *to > answer.from)
            .map(|(from, to)| *to - *from)
            .sum();
        (answer.to - answer.from).saturating_sub(delayed) <= answer.max
    };
    let slow: Vec<String> = answers
        .iter()
        .filter(|answer| !in_time(answer))
        .map(|answer| format!("{} took {:?}", answer.of, answer.to - answer.from))
        .collect();
    assert!(answers.len() > 20, "{} answers", answers.len());
    assert!(
        slow.is_empty(),
        "{slow:?} of {}; the machine was late {} times",
        answers.len(),
        late.len()
    );
    hatch.finish().await;
}

/// Runs `future` on a thread of its own, so that it is not kept waiting by whom it watches.
fn on_its_own<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(future)
    })
}

/// Posts one after the other; how many were taken, or refused as they deserve.
async fn strange(url: &str, hostile: &[Hostile], next: &AtomicUsize) -> usize {
    let http = hatch::http_client(Duration::from_secs(60)).expect("a client");
    let (mut taken, mut pace) = (0, paced(PAUSE));
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= MAILS {
            return taken;
        }
        let Hostile { content_type, timestamp, signature, path, body } =
            &hostile[n % hostile.len()];
        loop {
            let request = http
                .post(format!("{url}{path}"))
                .header("content-type", *content_type)
                .header("x-twilio-email-event-webhook-timestamp", *timestamp)
                .header("x-twilio-email-event-webhook-signature", signature)
                .header("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
            let answer = request.body(body.clone()).send().await.expect("an answer");
            match answer.status().as_u16() {
                204 | 400 | 401 => taken += 1,
                503 => {
                    assert!(answer.headers().contains_key("retry-after"), "when to come again");
                    pace.reset();
                    pace.tick().await;
                    continue;
                }
                other => panic!("{other}"),
            }
            break;
        }
    }
}

/// An answer, and how long it may have taken.
struct Answered {
    of: &'static str,
    from: Instant,
    to: Instant,
    max: Duration,
}

/// Looks at the health and sends, until it is over.
async fn watch(url: String, over: Arc<AtomicBool>) -> Vec<Answered> {
    let http = hatch::http_client(Duration::from_secs(60)).expect("a client");
    let (mut answers, mut pace) = (Vec::new(), paced(PAUSE));
    while !over.load(Ordering::Relaxed) {
        for _ in 0..5 {
            pace.tick().await;
            let from = Instant::now();
            let answer = http.get(format!("{url}/health")).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
            answers.push(Answered { of: "/health", from, to: Instant::now(), max: HEALTH_MAX });
        }
        let message = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "Hello"});
        let from = Instant::now();
        let sent = http.post(format!("{url}/api/v1/messages")).json(&message).send().await;
        assert_eq!(sent.expect("an answer").status(), 202);
        answers.push(Answered { of: "a send", from, to: Instant::now(), max: SEND_MAX });
    }
    answers
}

/// When the machine did not let a thread go on that had nothing to do but to wake.
fn machine(over: Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<(Instant, Instant)>> {
    std::thread::spawn(move || {
        let mut late = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let from = Instant::now();
            std::thread::sleep(PAUSE);
            if from.elapsed() > LATE_MAX {
                late.push((from, Instant::now()));
            }
        }
        late
    })
}

/// `text` as often as it has room.
fn filled(text: &str, part: usize) -> String {
    text.repeat(MAIL_BYTES / part / text.len())
}

fn numbered(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect()
}

fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let part = |(name, text): &(&str, &str)| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    };
    let parts: String = fields.iter().map(part).collect();
    format!("{parts}--B--\r\n").into_bytes()
}

/// The bodies of hostile mails, of a part of their size.
fn bodies(part: usize) -> Vec<Vec<u8>> {
    let head = "From: a@example.com\r\nTo: b@example.com\r\nSubject: x\r\n";
    let mixed = format!("{head}Content-Type: multipart/mixed; boundary=m\r\n\r\n");
    let nested = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let never = |n| format!("--m\r\nContent-Type: multipart/mixed; boundary=never{n}\r\n\r\n");
    let addresses = numbered(7_000 / part, |n| format!("User <a{n}@example.com>, "));
    let ids = numbered(8_000 / part, |n| format!("<{n}@example.com>\r\n "));
    let filled = |text| filled(text, part);
    let words = filled("=?ab?q? ");
    let raw = [
        format!("{head}{}", "Content-Type:message/rfc822\n\n".repeat(35_000 / part)),
        format!("{head}{}", numbered(2_500 / part, nested)),
        format!("{mixed}{}", numbered(16_000 / part, never)),
        format!("{mixed}{}", filled("--m\r\n\r\n")),
        format!("From: a@example.com\r\nTo: {addresses}\r\nCc: {addresses}\r\n\r\nHi"),
        format!("{head}References: {ids}\r\nReply-To: {words}\r\n\r\nHi"),
        format!("{head}Subject: {words}\r\n\r\nHi"),
        format!("{head}Content-Type: text/plain; {}\r\n\r\nHi", filled("a*0=b;")),
        format!("{head}X: {}\r\n\r\nHi", filled("((((")),
        format!("{head}Content-Transfer-Encoding: base64\r\n\r\n{}", filled("YQ==")),
    ];
    let mut bodies: Vec<Vec<u8>> = raw.iter().map(|mail| form(&[("email", mail)])).collect();
    bodies.push(form(&[("from", "a@example.com"), ("to", &addresses), ("text", "Hi")]));
    let file = filled("x");
    bodies.push(form(&[("attachment1", file.as_str()); 6]));
    bodies
}

fn hostile() -> Vec<Hostile> {
    let key = SigningKey::from_pkcs8_pem(mail_key()).expect("a key");
    let signed = |body: Vec<u8>| {
        let signature: DerSignature = key.sign(&[b"1700000000", body.as_slice()].concat());
        Hostile {
            content_type: "multipart/form-data; boundary=B",
            timestamp: "1700000000",
            signature: BASE64_STANDARD.encode(signature.as_bytes()),
            path: "/api/v1/webhooks/sendgrid/inbound",
            body,
        }
    };
    let small = (0..SMALL_ONES).flat_map(|_| bodies(SMALL_PART));
    let mut all: Vec<Hostile> = small.chain(bodies(1)).map(signed).collect();
    let other = |content_type, path, body: String| Hostile {
        content_type,
        timestamp: "1700000000",
        signature: "AAAA".to_owned(),
        path,
        body: body.into_bytes(),
    };
    let form = "application/x-www-form-urlencoded";
    all.push(other(form, "/api/v1/webhooks/twilio", "a&".repeat(500_000)));
    let json = "application/json";
    all.push(other(json, "/api/v1/webhooks/generic", "[".repeat(1_000_000)));
    all.push(other(json, "/api/v1/messages", "{\"a\":".repeat(200_000)));
    all.push(other(json, "/api/v1/messages", format!("{{\"to\": {}}}", "9".repeat(1_000_000))));
    all
}
