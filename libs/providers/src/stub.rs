//! Servers that stand for providers: one that answers as told, and one that misbehaves below HTTP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract;
use chrono::{DateTime, Utc};
use hatch_domain::{Environment, Wait};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// A request that a server has seen.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What the next requests are answered.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// An HTTP server that answers as told and remembers what it was asked.
pub(crate) struct Stub {
    pub(crate) url: String,
    state: Arc<State>,
}

struct State {
    replies: Vec<Reply>,
    seen: Mutex<Vec<Seen>>,
}

impl Stub {
    /// Answers everything alike.
    pub(crate) async fn start(reply: Reply) -> Self {
        Self::start_with(vec![reply]).await
    }

    /// Answers with one reply after the other, and from then on with the last.
    pub(crate) async fn start_with(replies: Vec<Reply>) -> Self {
        let state = Arc::new(State { replies, seen: Mutex::default() });
        let (listener, url) = listen().await;
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("no panic while held").clone()
    }
}

async fn answer(
    extract::State(state): extract::State<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let mut seen = state.seen.lock().expect("no panic while held");
    let reply =
        state.replies.get(seen.len()).or_else(|| state.replies.last()).expect("one at least");
    seen.push(Seen { method, uri, headers, body });
    let headers = reply.headers.iter().map(|(name, value)| {
        let value = HeaderValue::from_str(value).expect("a header value");
        (HeaderName::from_static(name), value)
    });
    let status = StatusCode::from_u16(reply.status).expect("a status");
    (status, headers.collect(), reply.body.clone())
}

/// What a [`breaking`] server does once it has read a whole request.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// Resets the connection.
    Reset,
    /// Says nothing and keeps the connection open.
    Hang,
    /// Writes these bytes and closes.
    Write(&'static str),
    /// Answers the first request of a connection with these bytes and resets at the second.
    WriteOnceThenReset(&'static str),
}

/// A server below HTTP. Returns its URL and how many requests it has read in full.
pub(crate) async fn breaking(then: Then) -> (String, Arc<Mutex<usize>>) {
    let (listener, url) = listen().await;
    let requests = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let counter = Arc::clone(&counter);
            tokio::spawn(async move { misbehave(stream, then, &counter).await });
        }
    });
    (url, requests)
}

async fn misbehave(mut stream: TcpStream, then: Then, requests: &Mutex<usize>) {
    let mut earlier = 0;
    while read_request(&mut stream).await {
        *requests.lock().expect("no panic while held") += 1;
        match then {
            Then::Hang => std::future::pending().await,
            Then::Write(answer) => {
                stream.write_all(answer.as_bytes()).await.expect("the client reads");
                return;
            }
            Then::WriteOnceThenReset(answer) if earlier == 0 => {
                stream.write_all(answer.as_bytes()).await.expect("the client reads");
            }
            Then::Reset | Then::WriteOnceThenReset(_) => {
                stream.set_zero_linger().expect("a socket");
                return;
            }
        }
        earlier += 1;
    }
}

/// A server that talks first and closes, whatever protocol the client wanted.
pub(crate) async fn greeting(words: &'static str) -> String {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(words.as_bytes()).await.expect("the client listens");
        }
    });
    url
}

/// Reads one request up to the end of its body; false when the client closed before.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return false,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|n| n.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return true;
            }
        }
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let listener = listener.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

/// A clock that stands still, and ids that are one id.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fixed(pub(crate) DateTime<Utc>);

impl Environment for Fixed {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }

    fn uptime(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Wait<'_> {
        Box::pin(std::future::ready(()))
    }

    fn new_id(&self) -> Uuid {
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)
    }

    fn chance(&self) -> f64 {
        0.5
    }
}
