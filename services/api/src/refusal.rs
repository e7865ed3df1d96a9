//! What a client is told that gets no connection: a 503 that is ready made, without a parser or a task of hyper's.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::connections::Full;

/// Clients that are told at once; any more are only disconnected.
static PLACES: Semaphore = Semaphore::const_new(64);

/// How long a client may take to ask, to read the answer, and to go.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(1);

/// Bytes of what it asks that are looked at, at a time.
const READ_BYTES: usize = 1024;

const ANSWER: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    cache-control: no-store\r\n\
    x-content-type-options: nosniff\r\n\
    x-frame-options: DENY\r\n\
    content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n\
    referrer-policy: no-referrer\r\n\
    cross-origin-resource-policy: same-origin\r\n\
    content-length: 165\r\n\
    \r\n\
    {\"type\":\"urn:hatch:problem:unavailable\",\"title\":\"The service is unavailable\",\"status\":503,\
    \"detail\":\"all connections of this process are busy: try again in a second\"}";

impl Full {
    /// Ends the connection, for whose client there is no place.
    pub(crate) fn refuse(self, stream: TcpStream) {
        if let Ok(place) = PLACES.try_acquire() {
            tokio::spawn(async move {
                // It is told as well as it lets itself be.
                let _ = tokio::time::timeout(CLIENT_TIME_MAX, tell(stream)).await;
                drop(place);
            });
        }
    }
}

/// Answers the request when it comes: some clients take an answer before it for a broken connection. What is unread
/// when the connection ends would have the system reset it, and the answer lost.
async fn tell(mut stream: TcpStream) -> std::io::Result<()> {
    let mut thrown_away = [0; READ_BYTES];
    if stream.read(&mut thrown_away).await? == 0 {
        return Ok(());
    }
    stream.write_all(ANSWER.as_bytes()).await?;
    stream.shutdown().await?;
    while stream.read(&mut thrown_away).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let (head, body) = ANSWER.split_once("\r\n\r\n").expect("a head and a body");
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len()))
                || head.ends_with(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["status"], 503);
    }
}
