//! A process knows its own limits: what goes beyond them is told when to come again, and costs the others nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hatch::roles::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::harness::{CUSTOMER, Hatch, SENDER};
use crate::time::eventually_within;

/// How long an answer may take that does not wait for a body, on a busy machine.
const SOON: Duration = Duration::from_secs(8);

const CONNECTIONS: u64 = 40;
const STREAMS: u64 = 8;

/// A hatch with few places.
async fn small() -> Hatch {
    Hatch::start_with(&Role::ALL, |settings| {
        settings.limits.connections_max = Some(CONNECTIONS);
        settings.limits.live_streams_max = Some(STREAMS);
    })
    .await
}

fn address(hatch: &Hatch) -> SocketAddr {
    hatch.url.trim_start_matches("http://").parse().expect("an address")
}

/// A connection from the `n`th address of this machine.
async fn connect(hatch: &Hatch, n: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, n], 0))).expect("an address of ours");
    socket.connect(address(hatch)).await.expect("it listens")
}

/// What is answered until the answer's head ends, the connection does, or nothing comes.
async fn answer(stream: &mut TcpStream, within: Duration) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    let reading = async {
        while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|n| n == 1) {
            text.push(byte[0]);
        }
    };
    let _ = timeout(within, reading).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// Asks by a connection from the `n`th address.
async fn ask(hatch: &Hatch, n: u8, request: &str) -> (TcpStream, String) {
    let mut stream = connect(hatch, n).await;
    let _ = stream.write_all(request.as_bytes()).await;
    let answer = answer(&mut stream, SOON).await;
    (stream, answer)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn upload(path: &str, headers: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n")
}

const JSON: &str = "Content-Type: application/json\r\n";

async fn limit(hatch: &Hatch, what: &str, name: &str) -> u64 {
    let metrics = hatch.get("/metrics").await;
    let line = format!("hatch_limit_{what}{{limit=\"{name}\"}} ");
    let text = metrics.body.as_str().expect("text");
    let value = text.lines().find_map(|text| text.strip_prefix(&line)).expect("it is shown");
    value.parse::<f64>().expect("a number") as u64
}

#[tokio::test]
async fn connections_that_ask_nothing_make_room_for_those_that_do() {
    let hatch = small().await;
    let mut silent = Vec::new();
    for n in 0..3 * CONNECTIONS {
        silent.push(connect(&hatch, 2 + u8::try_from(n % 3).expect("small")).await);
    }
    let mut served = Vec::new();
    for n in [1, 2, 9] {
        // The newest of them have a moment to ask, too.
        let stream = hatch
            .eventually("there is room", async |hatch| {
                let (stream, answer) = ask(hatch, n, &get("/health")).await;
                let (served, refused) = ("HTTP/1.1 200", "HTTP/1.1 503");
                assert!(answer.starts_with(served) || answer.starts_with(refused), "{answer:?}");
                answer.starts_with(served).then_some(stream)
            })
            .await;
        served.push(stream);
    }
    let is_left = |stream: &mut TcpStream| match stream.try_read(&mut [0; 4_096]) {
        Ok(_) => false,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    };
    eventually_within(SOON, "no more are left than there is room for", async || {
        silent.retain_mut(is_left);
        silent.len() as u64 <= CONNECTIONS
    })
    .await;
    assert!(limit(&hatch, "used", "connections").await <= CONNECTIONS);
    assert_eq!(limit(&hatch, "max", "connections").await, CONNECTIONS);
    hatch.finish().await;
}

#[tokio::test]
async fn connections_that_are_busy_are_so_many_and_one_client_leaves_half_to_the_others() {
    let hatch = small().await;
    let unfinished = upload("/api/v1/messages", JSON, 100);
    let mut busy = Vec::new();
    for _ in 0..CONNECTIONS / 2 {
        let mut stream = connect(&hatch, 2).await;
        stream.write_all(unfinished.as_bytes()).await.expect("it is taken");
        busy.push(stream);
    }
    hatch
        .eventually("they are being answered", async |hatch| {
            let (_stream, refused) = ask(hatch, 2, &get("/health")).await;
            refused.starts_with("HTTP/1.1 503").then(|| assert!(refused.contains("retry-after: ")))
        })
        .await;
    let (_stream, answer) = ask(&hatch, 3, &get("/health")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(limit(&hatch, "refused_total", "connections_per_client").await > 0);
    drop(busy);
    hatch
        .eventually("the places are free again", async |hatch| {
            let (_stream, answer) = ask(hatch, 2, &get("/health")).await;
            answer.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
    hatch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_hundreds_that_find_no_place_is_told_so() {
    let hatch = small().await;
    let unfinished = upload("/api/v1/messages", JSON, 100);
    let mut busy = Vec::new();
    for n in 0..CONNECTIONS {
        let mut stream = connect(&hatch, 2 + u8::try_from(n % 2).expect("small")).await;
        stream.write_all(unfinished.as_bytes()).await.expect("it is taken");
        busy.push(stream);
    }
    hatch
        .eventually("all places are taken", async |hatch| {
            let (_stream, refused) = ask(hatch, 4, &get("/health")).await;
            refused.starts_with("HTTP/1.1 503").then_some(())
        })
        .await;
    let clients = (0..300).map(async |n| {
        let mut stream = connect(&hatch, 4 + u8::try_from(n % 100).expect("small")).await;
        // Every third says nothing, so that its place has to be taken from it.
        if n % 3 > 0 {
            let _ = stream.write_all(get("/health").as_bytes()).await;
        }
        answer(&mut stream, SOON).await
    });
    let mut refused = 0;
    for (n, told) in futures::future::join_all(clients).await.into_iter().enumerate() {
        let is_refused = told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1");
        refused += usize::from(is_refused);
        // A place may become free meanwhile. Who says nothing there is told nothing yet.
        let has_place = told.starts_with("HTTP/1.1 200") || (n % 3 == 0 && told.is_empty());
        assert!(is_refused || has_place, "{told:?}");
    }
    assert!(refused > 250, "{refused} of 300");
    drop(busy);
    hatch.finish().await;
}

#[tokio::test]
async fn what_nobody_vouches_for_is_answered_before_its_body_is_there() {
    let hatch = Hatch::start().await;
    let mail = 25 * 1024 * 1024;
    for (path, headers, length, status) in [
        ("/api/v1/webhooks/nobody", "", 1_000, "404"),
        ("/api/v1/webhooks/nobody/inbound", "", mail, "404"),
        ("/api/v1/webhooks/twilio", "", 1_000, "401"),
        ("/api/v1/webhooks/sendgrid/inbound", "", mail, "401"),
        ("/api/v1/webhooks/sendgrid/inbound", "", mail + 1, "401"),
        ("/api/v1/messages", JSON, 1024 * 1024 + 1, "413"),
    ] {
        let mut request = upload(path, headers, length);
        request.push_str(&"x".repeat(500));
        let (_stream, answer) = ask(&hatch, 1, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        assert!(
            answer.contains("connection: close\r\n"),
            "it does not wait for the rest: {answer}"
        );
    }
    let kept = "SELECT max(octet_length(body))::bigint FROM hatch.webhook_log";
    assert!(hatch.count(kept).await <= 4 * 1024);
    hatch.finish().await;
}

#[tokio::test]
async fn bodies_that_never_end_have_a_budget_and_the_others_are_taken() {
    let hatch = Hatch::start().await;
    let signature = "X-Twilio-Email-Event-Webhook-Signature: AAAA\r\n\
                     X-Twilio-Email-Event-Webhook-Timestamp: 1700000000\r\n";
    let request = upload("/api/v1/webhooks/sendgrid/inbound", signature, 25_000_000);
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..20 {
        let mut stream = connect(&hatch, 2).await;
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let block = vec![b'x'; 1 << 20];
        for _ in 0..12 {
            if stream.write_all(&block).await.is_err() {
                break;
            }
        }
        let told = answer(&mut stream, Duration::from_millis(200)).await;
        if told.starts_with("HTTP/1.1 503") {
            assert!(told.contains("retry-after: "), "{told}");
            refused += 1;
        } else {
            open.push(stream);
        }
    }
    assert!(refused > 0, "{} are open", open.len());
    let max = limit(&hatch, "max", "mail_body_bytes").await;
    assert!(limit(&hatch, "used", "mail_body_bytes").await <= max);
    hatch.send_sms(CUSTOMER, "Hello").await;
    drop(open);
    hatch
        .eventually("what they took is given back", async |hatch| {
            (limit(hatch, "used", "mail_body_bytes").await == 0).then_some(())
        })
        .await;
    hatch.finish().await;
}

#[tokio::test]
async fn one_client_cannot_have_all_streams() {
    let hatch = small().await;
    let mut open = Vec::new();
    for _ in 0..STREAMS / 4 {
        let (stream, answer) = ask(&hatch, 2, &get("/api/v1/events")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        open.push(stream);
    }
    let (_stream, answer) = ask(&hatch, 2, &get("/api/v1/events")).await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: "), "{answer}");
    let (others, answer) = ask(&hatch, 3, &get("/api/v1/events")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop((open, others));
    hatch
        .eventually("the places are free again", async |hatch| {
            let (_stream, answer) = ask(hatch, 2, &get("/api/v1/events")).await;
            answer.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_position_that_the_log_does_not_have_is_refused_at_once_and_ones_own_never_is() {
    let hatch = Hatch::start().await;
    for _ in 0..20 {
        let message = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
        let sent = hatch.post("/api/v1/messages", &message).await;
        let after = sent.header("hatch-position");
        let read = hatch.get(&format!("/api/v1/messages?after={after}&wait=30")).await;
        assert_eq!(read.status, StatusCode::OK, "{}", read.body);
    }
    let began = Instant::now();
    for path in ["messages", "conversations", "webhook-log", "dead-letters", "projections"] {
        let path = format!("/api/v1/{path}?after=999999999&wait=30");
        let answer = hatch.request(Method::GET, &path, &[], None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        assert_eq!(answer.body["errors"][0]["pointer"], "?after", "{}", answer.body);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "it does not wait");
    hatch.finish().await;
}
