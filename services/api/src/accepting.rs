//! The connections of a listener, from their first byte to their last.
//!
//! `axum::serve` would do for HTTP/1 in the clear. It has no word for how many requests a connection of HTTP/2 may
//! have, nor for one that asks nothing, nor a place for TLS beside the loop that accepts.

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::Connection;
use crate::connection_service::ConnectionService;
use crate::connections::{Activity, Connections};
use crate::head::HEADERS_BYTES_MAX;
use crate::stall::{Accepted, Patience, StallListener, StallStream};
use crate::tls::{Protocol, Tls};
use crate::wire::Wire;

/// Requests that a connection may have under way at a time (RFC 9113, section 6.5.2, advises no less).
const STREAMS_MAX: u32 = 100;

/// Bytes of a head that are taken in at all: our own limits, which say what is wrong, are smaller.
const HEADER_LIST_BYTES_MAX: u32 = 2 * HEADERS_BYTES_MAX as u32;

/// Requests that were reset before anybody looked at them, and those whose reset is remembered.
const RESETS_UNSEEN_MAX: usize = 20;
const RESETS_KEPT_MAX: usize = 64;

/// Bytes of bodies that a client may send before they are read: of one request, and of a connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;

/// Bytes of an answer that wait for the client beside those that are its body's.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// When what a listener accepts comes to its end.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// Clients are to come back by another connection.
    pub(crate) begun: CancellationToken,
    /// No connection is accepted any more.
    pub(crate) closed: CancellationToken,
    /// Connections without a request end.
    pub(crate) settled: CancellationToken,
}

impl Ends {
    /// All at once.
    pub(crate) fn at(shutdown: &CancellationToken) -> Self {
        let [begun, closed, settled] = [shutdown, shutdown, shutdown].map(Clone::clone);
        Self { begun, closed, settled }
    }

    /// Waits until the connection of `activity` is to take no more. By HTTP/1 each answer says so by itself.
    async fn of(&self, activity: &Activity) {
        self.begun.cancelled().await;
        // One that was made since then has said nothing yet.
        tokio::select! {
            () = activity.multiplexed.begun() => {}
            () = self.settled.cancelled() => {}
        }
    }
}

/// What is accepted, and how.
pub(crate) struct Accepting {
    pub(crate) listener: StallListener,
    pub(crate) tls: Option<Tls>,
    /// Whether a client that begins with HTTP/2 is understood.
    pub(crate) http2: bool,
    pub(crate) app: Router,
    pub(crate) ends: Ends,
}

/// What all connections have in common.
struct Shared {
    builder: auto::Builder<TokioExecutor>,
    connections: Connections,
    patience: Patience,
    tls: Option<Tls>,
    http2: bool,
    app: Router,
    ends: Ends,
}

impl Accepting {
    /// Accepts until the listener is closed, and then waits for the last connection.
    pub(crate) async fn run(self) {
        let Self { mut listener, tls, http2, app, ends } = self;
        listener.tells = tls.is_none();
        let (connections, patience) = (listener.connections.clone(), listener.patience);
        let builder = builder();
        let shared = Shared { builder, connections, patience, tls, http2, app, ends };
        let (shared, open) = (Arc::new(shared), TaskTracker::new());
        loop {
            tokio::select! {
                biased;
                () = shared.ends.closed.cancelled() => break,
                accepted = listener.next() => {
                    open.spawn(Arc::clone(&shared).serve(accepted));
                }
            }
        }
        for accepted in close(listener) {
            open.spawn(Arc::clone(&shared).serve(accepted));
        }
        open.close();
        open.wait().await;
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_UNSEEN_MAX)
        .max_local_error_reset_streams(RESETS_KEPT_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX);
    builder
}

/// Closes `listener`; what the system has connected until then, which would be reset otherwise.
fn close(listener: StallListener) -> Vec<Accepted> {
    let StallListener { listener, connections, tells, .. } = listener;
    let mut last = Vec::new();
    let Ok(listener) = TcpListener::into_std(listener) else { return last };
    // It does not block: the first error says that no connection is left.
    while let Ok((stream, peer)) = listener.accept() {
        if stream.set_nonblocking(true).is_err() {
            continue;
        }
        let Ok(stream) = TcpStream::from_std(stream) else { continue };
        match connections.admit(peer) {
            Ok(place) => last.push(Accepted { stream, peer, place }),
            Err(_) if tells => connections.refusals().refuse(stream),
            Err(_) => {}
        }
    }
    last
}

type Served<'a> = auto::Connection<
    'a,
    TokioIo<StallStream>,
    TowerToHyperService<ConnectionService>,
    TokioExecutor,
>;

impl Shared {
    /// Serves a connection until it ends.
    async fn serve(self: Arc<Self>, accepted: Accepted) {
        let Accepted { stream, peer, place } = accepted;
        let activity = Arc::clone(&place.activity);
        let (wire, protocol) = match &self.tls {
            None if self.http2 => (Wire::Clear(stream), Protocol::Either),
            None => (Wire::Clear(stream), Protocol::Http1),
            Some(tls) => {
                let client = self.connections.client(peer.ip());
                let refusals = self.connections.refusals();
                match tls.shake_hands(stream, &activity, (client, refusals)).await {
                    Some(agreed) => agreed,
                    None => return,
                }
            }
        };
        let builder = match protocol {
            Protocol::Either => self.builder.clone(),
            Protocol::Http1 => self.builder.clone().http1_only(),
            Protocol::Http2 => self.builder.clone().http2_only(),
        };
        let connection = Connection::new(peer, Arc::clone(&activity));
        let streams = self.connections.streams().clone();
        let service = ConnectionService::new(self.app.clone(), connection, streams);
        let stream = TokioIo::new(StallStream::new(wire, place, self.patience));
        let served = builder.serve_connection(stream, TowerToHyperService::new(service));
        self.follow(served, &activity).await;
    }

    /// Ends a connection in its time, where it does not by itself.
    async fn follow(&self, connection: Served<'_>, activity: &Activity) {
        let mut connection = pin!(connection);
        let mut ending = pin!(self.ends.of(activity));
        let mut watch = Watch::new(activity, self.patience);
        let mut takes_more = true;
        loop {
            tokio::select! {
                // What goes wrong with it is its client's affair.
                _ = connection.as_mut() => return,
                () = ending.as_mut(), if takes_more => {
                    connection.as_mut().graceful_shutdown();
                    takes_more = false;
                }
                verdict = watch.next() => match verdict {
                    Verdict::Idle => {
                        connection.as_mut().graceful_shutdown();
                        takes_more = false;
                    }
                    Verdict::Over => return,
                },
            }
        }
    }
}

/// What becomes of a connection of HTTP/2.
enum Verdict {
    /// Nothing is asked: its client is told that it ends.
    Idle,
    /// It ends now: its client takes nothing of an answer, or was told long ago.
    Over,
}

/// Looks after a connection of HTTP/2, whose bytes do not say whether anything is asked.
struct Watch<'a> {
    activity: &'a Activity,
    patience: Patience,
    looks: Option<Interval>,
    told: Option<Instant>,
}

impl<'a> Watch<'a> {
    const fn new(activity: &'a Activity, patience: Patience) -> Self {
        Self { activity, patience, looks: None, told: None }
    }

    /// Waits for the next verdict, for ever by HTTP/1. Nothing is lost where it is not waited for to the end.
    async fn next(&mut self) -> Verdict {
        let Self { activity, patience, looks, told } = self;
        activity.multiplexed.begun().await;
        let every = patience.look_every;
        let looks = looks.get_or_insert_with(|| interval_at(Instant::now() + every, every));
        loop {
            looks.tick().await;
            let now = Instant::now();
            let is_stream = activity.is_streaming();
            let stall_max = if is_stream { patience.stream_stall_max } else { patience.stall_max };
            let waits = activity.multiplexed.waits_since();
            if waits.is_some_and(|since| now.saturating_duration_since(since) >= stall_max) {
                return Verdict::Over;
            }
            let Some(idle) = activity.idle_for(now) else { continue };
            match told {
                None if idle >= patience.idle_max => {
                    *told = Some(now);
                    return Verdict::Idle;
                }
                Some(since) if now.saturating_duration_since(*since) >= patience.linger_max => {
                    return Verdict::Over;
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
