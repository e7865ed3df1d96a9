//! What never becomes a request has an answer like every other: a problem, with the headers that browsers mind.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Hatch;

/// Heads that no request comes of, each with its status.
fn heads() -> Vec<(&'static str, String)> {
    let host = "Host: localhost\r\n";
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    vec![
        ("414", format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(64 * 1024))),
        ("414", format!("POST /{} HTTP/1.0\r\n\r\n", "x".repeat(70_000))),
        ("431", format!("GET /health HTTP/1.1\r\n{host}{many}\r\n")),
        ("431", format!("GET /health HTTP/1.1\r\n{host}x: {}\r\n\r\n", "y".repeat(600_000))),
        ("400", format!("GET /health HTTP/1.1\r\n{host}no header\r\n\r\n")),
        ("400", format!("GET /health HTTP/9.9\r\n{host}\r\n")),
        ("400", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned()),
        // One that is answered well, and another behind it that is none.
        ("400", format!("GET /health HTTP/1.1\r\n{host}\r\nGET nonsense\r\n\r\n")),
    ]
}

/// The last answer to `head`.
async fn answer(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(head.as_bytes()).await.expect("all of it is taken");
    let mut told = Vec::new();
    stream.read_to_end(&mut told).await.expect("an answer, and an end");
    let told = String::from_utf8(told).expect("text");
    let last = told.rfind("HTTP/1.1 ").unwrap_or_else(|| panic!("no answer: {told:?}"));
    told[last..].to_owned()
}

pub(crate) async fn each_is_answered_by(url: &str) {
    let http = hatch::http_client(std::time::Duration::from_secs(30)).expect("an HTTP client");
    let address = url.trim_start_matches("http://").parse().expect("an address");
    for (status, head) in heads() {
        let what = &head[..head.len().min(40)];
        let told = answer(address, &head).await;
        let (head, body) = told.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {head}");
        for header in [
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'; base-uri 'none'; \
             form-action 'none'",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-store",
            "content-type: application/problem+json",
            "connection: close",
            &format!("content-length: {}", body.len()),
        ] {
            let found = head.lines().filter(|line| line.eq_ignore_ascii_case(header)).count();
            assert_eq!(found, 1, "{what}: {header} in {head}");
        }
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["status"].to_string(), status, "{what}: {body}");
        let page = body["type"].as_str().expect("an address");
        // Where the system chose the port, it is relative.
        let path = page.strip_prefix(url).unwrap_or(page);
        assert!(path.starts_with("/docs/errors/"), "{what}: {page}");
        let explained = http.get(format!("{url}{path}")).send().await.expect("an answer");
        assert_eq!(explained.status(), 200, "{what}: {page}");
        let id = format!("x-request-id: {}", body["instance"].as_str().expect("an id"));
        assert!(head.contains(&id), "{what}: {head}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_answered_like_one() {
    let hatch = Hatch::start().await;
    each_is_answered_by(&hatch.url).await;
    each_is_answered_by(&hatch.simulator).await;
    hatch.finish().await;
}
