//! Who has an address that is taken.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long it may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The most that is read of an answer: hatch's is shorter.
const ANSWER_BYTES_MAX: u64 = 4 * 1024;

/// Whether a hatch answers at `address`, whichever it is.
pub async fn is_hatch(address: SocketAddr) -> bool {
    let asked = tokio::time::timeout(ANSWER_MAX, ask(address)).await;
    matches!(asked, Ok(Ok(answer)) if is_hatchs(&answer))
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Others may say that they are well, or that they speak TLS only, but not for a request with an id and in these words.
fn is_hatchs(answer: &str) -> bool {
    let is_well = answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{\"status\":\"ok\"}");
    let speaks_tls =
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"code\":\"https_required\"");
    (is_well || speaks_tls) && answer.contains("\r\nx-request-id: ")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Whether what answers `answer` is taken for a hatch.
    async fn taken(answer: &'static str) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.expect("a client");
            let _ = client.read(&mut [0; 1_024]).await;
            let _ = client.write_all(answer.as_bytes()).await;
        });
        is_hatch(address).await
    }

    #[tokio::test]
    async fn a_hatch_is_known_by_its_health() {
        const HATCH: &str = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\n\r\n{\"status\":\"ok\"}";
        assert!(taken(HATCH).await);
        const BY_TLS: &str = "HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\n\r\n\
             {\"code\":\"https_required\"}";
        assert!(taken(BY_TLS).await);
        assert!(!taken("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\"}").await);
        assert!(!taken("HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\n\r\n").await);
        assert!(!taken("SSH-2.0-OpenSSH_9.2\r\n").await);
    }
}
