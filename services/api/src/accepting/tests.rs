//! Connections of HTTP/2 within their limits, by a client that writes frames itself: a good one never goes beyond them.

use std::time::Duration;

use axum::middleware::from_fn;
use axum::routing::get;
use hatch_eventstore::testing::eventually;
use hatch_telemetry::limit::Limits;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;
use crate::client_address::TrustedProxies;
use crate::connection_service::refuse_without_place;
use crate::stall::PATIENCE;

/// How long a busy machine may take.
const SOON: Duration = Duration::from_secs(30);

const BRIEFLY: Duration = Duration::from_millis(300);

/// Kinds of frames, flags and settings (RFC 9113, sections 6 and 6.5.2).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u8 = 4;

/// Bytes of `/long`.
const LONG: u32 = 1024 * 1024;

/// `:status: 200`, as HPACK has it.
const OK: u8 = 0x88;

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The client's end of a connection.
pub(crate) struct Client<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn begin(stream: S) -> Self {
        Self::begin_with(stream, &[]).await
    }

    async fn begin_with(mut stream: S, settings: &[u8]) -> Self {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        stream.write_all(preface).await.expect("it is taken");
        let mut client = Self { stream };
        assert!(client.send(SETTINGS, 0, 0, settings).await);
        client
    }

    /// Whether it was taken.
    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await.is_ok()
    }

    /// Asks for `path`, by http in the clear.
    pub(crate) async fn get(&mut self, stream: u32, path: &str) -> bool {
        let text = |index: u8, text: &str| {
            let mut field = vec![index, u8::try_from(text.len()).expect("short")];
            field.extend(text.as_bytes());
            field
        };
        let mut block = vec![0x82, 0x86];
        block.extend(text(4, path));
        block.extend(text(1, "localhost"));
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &block).await
    }

    /// The next frame but those that say how things are, which are acknowledged; none at the end.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).expect("short")];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let frame = Frame { kind: head[3], flags: head[4], stream, payload };
            match frame.kind {
                SETTINGS | PING if frame.flags & ACK == 0 => {
                    let kept = if frame.kind == PING { &frame.payload[..] } else { &[] };
                    self.send(frame.kind, ACK, 0, kept).await;
                }
                HEADERS | DATA | RST_STREAM | GOAWAY => return Some(frame),
                _ => {}
            }
        }
    }

    /// The first frame of `kind`.
    async fn first(&mut self, kind: u8) -> Frame {
        let looking = async {
            loop {
                let frame = self.next().await.expect("not the end");
                if frame.kind == kind {
                    return frame;
                }
            }
        };
        timeout(SOON, looking).await.expect("in time")
    }

    /// Asks, and reads a good answer to its end.
    pub(crate) async fn is_answered(&mut self, stream: u32, path: &str) {
        assert!(self.get(stream, path).await);
        let head = self.first(HEADERS).await;
        assert_eq!((head.stream, head.payload[0]), (stream, OK));
        let mut last = head;
        while last.flags & END_STREAM == 0 {
            last = self.first(DATA).await;
        }
    }

    /// Reads until the connection has ended.
    async fn ends(&mut self) {
        let reading = async { while self.next().await.is_some() {} };
        timeout(SOON, reading).await.expect("it ends");
    }
}

struct Server {
    address: std::net::SocketAddr,
    ends: Ends,
    connections: Connections,
    limits: Limits,
}

impl Server {
    async fn start(patience: Patience) -> Self {
        let ends = Ends { begun: token(), closed: token(), settled: token() };
        let begun = ends.begun.clone();
        let app = Router::new()
            .route("/", get(|| async { "Hello" }))
            .route("/long", get(|| async { vec![b'x'; LONG as usize] }))
            // Under way when the end begins, whenever that is.
            .route("/slow", get(move || begun.clone().cancelled_owned()))
            .route("/never", get(std::future::pending::<()>))
            .layer(from_fn(refuse_without_place));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let limits = Limits::default();
        let connections = Connections::new(&limits, 500, 1_000, TrustedProxies::default());
        let listener =
            StallListener { patience, ..StallListener::new(listener, connections.clone()) };
        let accepting = Accepting { listener, tls: None, http2: true, app, ends: ends.clone() };
        tokio::spawn(accepting.run());
        Self { address, ends, connections, limits }
    }

    /// Waits until so many requests are under way.
    async fn answers(&self, count: u64) {
        let limit = self.limits.limit("http2_requests", 0);
        eventually("they are under way", async || limit.used() == count).await;
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }
}

fn token() -> CancellationToken {
    CancellationToken::new()
}

fn impatient() -> Patience {
    let look_every = Duration::from_millis(20);
    Patience { idle_max: BRIEFLY, stall_max: BRIEFLY, linger_max: BRIEFLY, look_every, ..PATIENCE }
}

#[tokio::test]
async fn many_requests_at_a_time_are_answered() {
    let server = Server::start(PATIENCE).await;
    let mut client = Client::begin(server.connect().await).await;
    assert!(client.get(1, "/slow").await);
    client.is_answered(3, "/").await;
    server.ends.begun.cancel();
    assert_eq!(client.first(HEADERS).await.stream, 1, "the slow one comes later");
}

#[tokio::test]
async fn who_asks_nothing_is_told_and_closed_however_often_he_pings() {
    let server = Server::start(impatient()).await;
    let mut client = Client::begin(server.connect().await).await;
    client.is_answered(1, "/").await;
    let pinging = async {
        while client.send(PING, 0, 0, &[0; 8]).await {
            match timeout(Duration::from_millis(20), client.next()).await {
                Ok(Some(frame)) => assert_eq!(frame.kind, GOAWAY),
                Ok(None) => return,
                Err(_) => {}
            }
        }
    };
    timeout(SOON, pinging).await.expect("it ends");
}

/// That who takes no more than `window` bytes of an answer is cut off, though he asks nothing improper and is not idle.
async fn is_cut_off(path: &str, window: u32) {
    let server = Server::start(Patience { idle_max: PATIENCE.idle_max, ..impatient() }).await;
    let mut settings = vec![0, INITIAL_WINDOW_SIZE];
    settings.extend(window.to_be_bytes());
    let mut client = Client::begin_with(server.connect().await, &settings).await;
    // The connection is not what is too narrow.
    assert!(client.send(WINDOW_UPDATE, 0, 0, &LONG.to_be_bytes()).await);
    assert!(client.get(1, path).await);
    client.ends().await;
    server.answers(0).await;
}

#[tokio::test]
async fn who_does_not_take_an_answer_to_its_end_is_cut_off() {
    for (path, window) in [("/long", 0), ("/long", 1), ("/long", LONG - 1024), ("/", 1)] {
        is_cut_off(path, window).await;
    }
}

#[tokio::test]
async fn who_comes_when_the_end_has_begun_is_told_too() {
    let server = Server::start(PATIENCE).await;
    server.ends.begun.cancel();
    let mut client = Client::begin(server.connect().await).await;
    assert!(client.get(1, "/").await);
    client.first(GOAWAY).await;
}

#[tokio::test]
async fn at_the_end_a_client_is_told_and_what_it_asked_is_answered() {
    let server = Server::start(PATIENCE).await;
    let mut client = Client::begin(server.connect().await).await;
    client.is_answered(1, "/").await;
    assert!(client.get(3, "/slow").await);
    server.ends.begun.cancel();
    let reading = async {
        let mut frames = Vec::new();
        while let Some(frame) = client.next().await {
            frames.push(frame);
        }
        frames
    };
    let frames = timeout(SOON, reading).await.expect("it ends");
    assert!(frames.iter().any(|frame| frame.kind == GOAWAY), "{frames:?}");
    let answered = |frame: &Frame| frame.kind == HEADERS && frame.stream == 3;
    let answer = frames.iter().find(|frame| answered(frame)).expect("an answer");
    assert_eq!(answer.payload[0], OK);
}

#[tokio::test]
async fn who_asks_only_to_give_up_is_cut_off() {
    let server = Server::start(PATIENCE).await;
    let mut client = Client::begin(server.connect().await).await;
    client.is_answered(1, "/").await;
    let flood = async {
        for number in 1..50_000 {
            let stream = 2 * number + 1;
            let cancel = 8_u32.to_be_bytes();
            if !client.get(stream, "/never").await
                || !client.send(RST_STREAM, 0, stream, &cancel).await
            {
                return;
            }
        }
        // All of it may be on its way before anybody reads it.
        client.ends().await;
    };
    timeout(SOON, flood).await.expect("it ends");
}

#[tokio::test]
async fn one_connection_has_so_many_requests_and_one_client_so_many() {
    let server = Server::start(PATIENCE).await;
    let mut client = Client::begin(server.connect().await).await;
    for number in 0..=STREAMS_MAX {
        assert!(client.get(2 * number + 1, "/never").await);
    }
    let refused = client.first(RST_STREAM).await;
    assert_eq!(refused.stream, 2 * STREAMS_MAX + 1);
    server.answers(100).await;
    let mut others = Vec::new();
    for under_way in [200, 250] {
        let mut other = Client::begin(server.connect().await).await;
        for number in 0..STREAMS_MAX {
            assert!(other.get(2 * number + 1, "/never").await);
        }
        server.answers(under_way).await;
        others.push(other);
    }
    // A client has half of 500.
    let refused = others[1].first(HEADERS).await;
    assert_ne!(refused.payload[0], OK);
    assert!(server.connections.streams().begin(std::net::IpAddr::from([192, 0, 2, 1])).is_ok());
}

#[tokio::test]
async fn http_1_is_spoken_on_the_same_address() {
    let server = Server::start(PATIENCE).await;
    let mut stream = server.connect().await;
    let asked = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(asked).await.expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("Hello"), "{answer}");
}
