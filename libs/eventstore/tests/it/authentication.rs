//! Servers that ask for a password in a way that would give it away get none.

use std::time::Duration;

use hatch_eventstore::{Database, ServerRefusal, connect};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "correct-horse-battery";

const ASKS_FOR_PASSWORD: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 3];
const ASKS_FOR_MD5: &[u8] = &[b'R', 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4];
const AUTHENTICATED: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 0, b'Z', 0, 0, 0, 5, b'I'];

/// Offers no TLS, answers a start-up with `request`, a byte at a time, and returns all that comes then.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut client: S, request: &[u8]) -> Vec<u8> {
    loop {
        let length = client.read_u32().await.expect("a message");
        let mut body = vec![0; length as usize - 4];
        client.read_exact(&mut body).await.expect("a message");
        let is_tls_request = body == [4, 210, 22, 47];
        if !is_tls_request {
            break;
        }
        client.write_all(b"N").await.expect("the client listens");
    }
    for byte in request {
        // The client leaves when it has understood.
        let _ = client.write_all(&[*byte]).await;
        let _ = client.flush().await;
    }
    let mut answered = vec![0; 1_024];
    let length = client.read(&mut answered).await.unwrap_or(0);
    answered.truncate(length);
    if length > 0 {
        let _ = client.write_all(AUTHENTICATED).await;
        let _ = client.read(&mut [0; 64]).await;
    }
    answered
}

/// A server that asks for `request`, at a port.
async fn server(request: &'static [u8]) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let task = tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("a client");
        ask(client, request).await
    });
    (port, task)
}

fn database(host: &str, port: u16, parameters: &str) -> Database {
    let text = format!("host={host} port={port} user=u password={PASSWORD} dbname=d {parameters}");
    text.parse().expect("a connection string")
}

#[tokio::test]
async fn a_server_that_asks_for_the_password_or_its_hash_gets_nothing() {
    for (request, method) in [(ASKS_FOR_PASSWORD, "password"), (ASKS_FOR_MD5, "md5")] {
        for mode in ["disable", "prefer"] {
            let (port, asked) = server(request).await;
            let database = database("127.0.0.1", port, &format!("sslmode={mode}"));
            let connected = timeout(PATIENCE, connect(&database)).await.expect("an answer in time");
            let Err(error) = connected else { panic!("connected to a server that is none") };
            assert!(ServerRefusal::cause_of(&error).is_some(), "{error:?}");
            let text = std::error::Error::source(&error).expect("a reason").to_string();
            assert!(text.contains(&format!("require_auth={method}")), "{text}");
            assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
            let answered = timeout(PATIENCE, asked).await.expect("it ends").expect("no panic");
            assert!(answered.is_empty(), "got {answered:?}");
        }
    }
}

#[tokio::test]
async fn who_takes_the_place_of_a_socket_gets_no_password_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("a socket");
    let asked = tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("a client");
        ask(client, ASKS_FOR_PASSWORD).await
    });
    let database = database(folder.path().to_str().expect("UTF-8"), 5432, "");
    let connected = timeout(PATIENCE, connect(&database)).await.expect("an answer in time");
    assert!(connected.is_err_and(|error| ServerRefusal::cause_of(&error).is_some()));
    assert!(timeout(PATIENCE, asked).await.expect("it ends").expect("no panic").is_empty());
}

#[tokio::test]
async fn the_password_is_given_to_whom_it_is_told_to() {
    let (port, asked) = server(ASKS_FOR_PASSWORD).await;
    let database = database("127.0.0.1", port, "require_auth=password");
    timeout(PATIENCE, connect(&database)).await.expect("in time").expect("connected");
    let answered = timeout(PATIENCE, asked).await.expect("it ends").expect("no panic");
    assert!(String::from_utf8_lossy(&answered).contains(PASSWORD));
}

#[tokio::test]
async fn a_server_without_tls_learns_nothing_where_tls_is_required() {
    for mode in ["sslmode=require", "sslrootcert=system"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let asked = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.expect("a client");
            let mut request = [0; 8];
            client.read_exact(&mut request).await.expect("a request for TLS");
            client.write_all(b"N").await.expect("the client listens");
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest).await;
            rest
        });
        let database = database("127.0.0.1", port, mode);
        let connected = timeout(PATIENCE, connect(&database)).await.expect("an answer in time");
        let Err(error) = connected else { panic!("connected without TLS") };
        let text = std::error::Error::source(&error).expect("a reason").to_string();
        assert!(text.contains("offers no TLS") && text.contains("sslmode=disable"), "{text}");
        assert!(timeout(PATIENCE, asked).await.expect("it ends").expect("no panic").is_empty());
    }
}
