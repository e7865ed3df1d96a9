//! Requests that are refused while they are still being sent, and webhooks that are none. What is wrong with whole requests is
//! tested beside the endpoints, in `services/api`.

use std::time::Duration;

use hatch::roles::Role;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::Hatch;

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_waited_for() {
    let hatch = Hatch::start().await;
    let address = hatch.url.trim_start_matches("http://");
    let mut client = tokio::net::TcpStream::connect(address).await.expect("connected");
    let head = "POST /api/v1/messages HTTP/1.1\r\nhost: localhost\r\n\
                content-type: application/json\r\ncontent-length: 2000000\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    let read = client.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("in time").expect("read");
    assert_eq!(&answer, b"HTTP/1.1 413");
    hatch.finish().await;
}

/// What a client is answered that sends 20 MB before it reads.
pub(crate) async fn answer_to_much(url: &str) -> String {
    const MUCH_BYTES: usize = 20_000_000;
    let address = url.trim_start_matches("http://");
    let mut client = tokio::net::TcpStream::connect(address).await.expect("connected");
    let head = format!(
        "POST /api/v1/messages HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {MUCH_BYTES}\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.expect("sent");
    client.write_all(&vec![b' '; MUCH_BYTES]).await.expect("all of it is taken");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer, and an end");
    answer
}

#[tokio::test]
async fn who_sends_too_much_before_it_reads_is_told() {
    let hatch = Hatch::start().await;
    let answer = answer_to_much(&hatch.url).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    hatch.finish().await;
}

#[tokio::test]
async fn a_webhook_of_another_content_type_is_415() {
    let hatch = Hatch::start_with(&[Role::Webhook], |_| {}).await;
    let webhook = hatch.http.post(format!("{}/api/webhooks/sms", hatch.url)).body("{}");
    let webhook = webhook.header("content-type", "text/plain").send().await.expect("an answer");
    assert_eq!(webhook.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
}
