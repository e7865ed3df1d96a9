//! Connections that end when their client takes nothing any more, asks nothing or never finishes what it asks, and
//! that end so that it gets its answer.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::connections::{Activity, ConnectionSlot, Connections, Doing, Full};
use crate::ready_made;
use crate::wire::Wire;

/// How long connections are borne with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// While something waits to be written and the client takes no byte: one that opens a stream and
    /// does not read would hold its place for ever.
    pub(crate) stall_max: Duration,
    /// The same, of a stream: who follows events reads them.
    pub(crate) stream_stall_max: Duration,
    /// From a request's first byte to its answer's: one that never ends its headers would hold its
    /// place as long. More than any request takes that came whole.
    pub(crate) unanswered_max: Duration,
    /// From a request's first byte to the end of its head.
    pub(crate) head_max: Duration,
    /// While nothing is asked, before the first request and after each answer.
    pub(crate) idle_max: Duration,
    /// From an answer's last byte, for a client that still sends what the answer did not wait for. The system
    /// resets a connection that is closed with something unread, and a client that is reset may lose
    /// the answer (RFC 9112, section 9.6).
    pub(crate) linger_max: Duration,
    /// The same for a client that sends nothing more, and does not end the connection either.
    pub(crate) quiet_max: Duration,
    /// How often a connection of HTTP/2 is looked at, of whose requests its bytes tell nothing.
    pub(crate) look_every: Duration,
}

/// A body may take a minute, and a read waits for half of one at most.
pub(crate) const PATIENCE: Patience = Patience {
    stall_max: Duration::from_secs(30),
    stream_stall_max: Duration::from_secs(10),
    unanswered_max: Duration::from_secs(120),
    head_max: Duration::from_secs(20),
    idle_max: Duration::from_secs(75),
    linger_max: Duration::from_secs(5),
    quiet_max: Duration::from_millis(250),
    look_every: Duration::from_secs(5),
};

/// The first bytes of a connection of HTTP/2 (RFC 9113, section 3.4), as far as they are a line.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Bytes that are read at a time to be thrown away.
const THROWN_AWAY_BYTES: usize = 16 * 1024;

/// After the system refused to make a connection, so long nothing is accepted: idle ones close meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener whose connections fail when patience ends: a client that takes nothing of its answer for
/// thirty seconds, or of a stream for ten, is cut off, and so is one that asks nothing for 75, one whose request has no end of its head after
/// twenty, and one whose request has not become an answer two minutes after its first byte. What a client still
/// sends when it is answered is thrown away for five seconds, so that it reads the answer.
pub struct StallListener {
    pub(crate) listener: TcpListener,
    pub(crate) connections: Connections,
    pub(crate) patience: Patience,
    /// Whether who finds no place can be told so as it is: one that expects TLS would not understand it.
    pub(crate) tells: bool,
}

/// A connection that has its place.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) place: ConnectionSlot,
}

impl StallListener {
    /// Connections that come in by `listener`, as many as `connections` has places.
    #[must_use]
    pub const fn new(listener: TcpListener, connections: Connections) -> Self {
        Self { listener, connections, patience: PATIENCE, tells: true }
    }

    /// Gives the connection its place, or tells its client that there is none.
    pub(crate) fn admit(&self, stream: TcpStream, peer: SocketAddr) -> Option<Accepted> {
        match self.connections.admit(peer) {
            Ok(place) => Some(Accepted { stream, peer, place }),
            Err(Full) => {
                if self.tells {
                    self.connections.refusals().refuse(stream);
                }
                None
            }
        }
    }

    /// The next connection that finds a place.
    pub(crate) async fn next(&self) -> Accepted {
        loop {
            self.connections.refusals().room().await;
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                // The client has gone before it was seen.
                Err(error) if is_of_one_connection(&error) => continue,
                Err(_) => {
                    self.connections.out_of_files();
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // An event of a stream that follows another would wait for the client's acknowledgement. Where it
            // cannot be set, the connection is already gone, which reading it says.
            let _ = stream.set_nodelay(true);
            if let Some(accepted) = self.admit(stream, peer) {
                return accepted;
            }
        }
    }
}

impl Listener for StallListener {
    type Io = StallStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (StallStream, SocketAddr) {
        let Accepted { stream, peer, place } = self.next().await;
        (StallStream::new(Wire::Clear(stream), place, self.patience), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A connection of a [`StallListener`].
pub struct StallStream {
    stream: Wire,
    patience: Patience,
    place: ConnectionSlot,
    /// Running since the client took nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// When the first byte came that nothing was written after, and how many requests had been taken by then.
    asked: Option<(Instant, u64)>,
    /// When a byte was written last, and before that when the connection was made.
    answered: Instant,
    /// Until the nearest moment at which patience may end. Few requests are waited for long enough to set it anew.
    due: Option<Pin<Box<Sleep>>>,
    /// The rest of an answer that replaces one of the HTTP library's own.
    instead: Option<Bytes>,
    /// Since the last answer was written.
    lingering: Option<Lingering>,
    /// How much of the preface of HTTP/2 has come, until it is known whether all of it does.
    preface: Option<usize>,
}

/// The end of a connection, while its client may still send.
struct Lingering {
    timer: Pin<Box<Sleep>>,
    still_sends: bool,
}

impl StallStream {
    pub(crate) fn new(stream: Wire, place: ConnectionSlot, patience: Patience) -> Self {
        Self {
            stream,
            patience,
            place,
            stalled: None,
            asked: None,
            answered: Instant::now(),
            due: None,
            instead: None,
            lingering: None,
            preface: Some(0),
        }
    }

    /// The connection as its requests see it.
    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.place.activity)
    }

    /// When patience ends as things are, and what is said then.
    fn patience_ends(&self) -> Option<(Instant, &'static str)> {
        let activity = &self.place.activity;
        // Its bytes tell nothing of its requests, so others look at those.
        if activity.multiplexed.has_begun() {
            return None;
        }
        match self.asked {
            Some((asked, requests)) if activity.requests() == requests && !activity.is_busy() => {
                Some((asked + self.patience.head_max, "the request's head does not end"))
            }
            Some((asked, _)) => {
                Some((asked + self.patience.unanswered_max, "the request does not end"))
            }
            None if activity.is_busy() || self.stalled.is_some() => None,
            None => Some((self.answered + self.patience.idle_max, "nothing is asked")),
        }
    }

    /// Ready when what was asked has been unanswered for too long, or nothing was asked, or the place is
    /// another's.
    fn overdue(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        self.place.activity.waker.register(context.waker());
        if self.place.activity.is_closing() {
            return Poll::Ready("room is needed for others");
        }
        let Some((due, why)) = self.patience_ends() else { return Poll::Pending };
        let timer = self.due.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(context));
            // It was set for a request before this one.
            if due <= Instant::now() {
                return Poll::Ready(why);
            }
            timer.as_mut().reset(due);
        }
    }

    /// Throws away what comes in, until the client ends the connection or it has taken too long.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Patience { quiet_max, linger_max, .. } = self.patience;
        self.place.activity.waker.register(context.waker());
        if self.place.activity.is_closing() {
            return Poll::Ready(());
        }
        let lingering = self.lingering.get_or_insert_with(|| Lingering {
            timer: Box::pin(sleep(quiet_max)),
            still_sends: false,
        });
        let mut thrown_away = [MaybeUninit::uninit(); THROWN_AWAY_BYTES];
        loop {
            if lingering.timer.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::uninit(&mut thrown_away);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    if !lingering.still_sends {
                        lingering.still_sends = true;
                        lingering.timer.as_mut().reset(Instant::now() + linger_max);
                    }
                }
                _ => return Poll::Ready(()),
            }
        }
    }

    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.takes();
            return written;
        }
        self.poll_stall(context).map(Err)
    }

    /// The client takes what is sent.
    fn takes(&mut self) {
        (self.stalled, self.asked) = (None, None);
        self.answered = Instant::now();
        match self.place.activity.multiplexed.has_begun() {
            // It may be no more than the answer to a ping.
            true => self.place.activity.flows(),
            false => self.place.activity.does(Doing::Nothing, self.answered),
        }
    }

    /// Ready when the client has taken nothing for too long.
    fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Self { stalled, place, patience, .. } = self;
        let stalled = stalled.get_or_insert_with(|| {
            match place.activity.multiplexed.has_begun() {
                true => place.activity.stalls(),
                false => place.activity.does(Doing::Stalling, Instant::now()),
            }
            let is_stream = place.activity.is_streaming();
            let stall_max = if is_stream { patience.stream_stall_max } else { patience.stall_max };
            Box::pin(sleep(stall_max))
        });
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"))
    }

    /// Looks in what came first for the preface of HTTP/2.
    fn look_for_preface(&mut self, came: &[u8]) {
        let Some(known) = self.preface.take() else { return };
        let rest = &PREFACE[known..];
        let both = rest.len().min(came.len());
        if rest[..both] != came[..both] {
            return;
        }
        if both < rest.len() {
            self.preface = Some(known + both);
            return;
        }
        self.asked = None;
        self.place.activity.does(Doing::Nothing, Instant::now());
        self.place.activity.multiplexed.begin();
    }
}

impl StallStream {
    /// Writes `bytes`, or what stands for them. The HTTP library says again what it could not write.
    fn poll_write_answer(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_none() {
            let pages = || self.place.error_pages();
            self.instead = ready_made::instead_of(bytes, pages).map(Bytes::from);
        }
        let Some(mut instead) = self.instead.take() else {
            let written = Pin::new(&mut self.stream).poll_write(context, bytes);
            return self.judge(context, written);
        };
        while instead.has_remaining() {
            let written = Pin::new(&mut self.stream).poll_write(context, &instead);
            match self.judge(context, written) {
                Poll::Ready(written) => instead.advance(written?),
                Poll::Pending => {
                    self.instead = Some(instead);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }
}

impl AsyncRead for StallStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.look_for_preface(&buffer.filled()[before..]);
        }
        let is_asked = self.asked.is_none() && !self.place.activity.multiplexed.has_begun();
        if buffer.filled().len() > before && is_asked {
            let (now, activity) = (Instant::now(), &self.place.activity);
            activity.does(Doing::Asking, now);
            self.asked = Some((now, activity.requests()));
        }
        if read.is_pending()
            && let Poll::Ready(why) = self.overdue(context)
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        read
    }
}

impl AsyncWrite for StallStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_answer(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write_answer(context, only);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_pending() {
            return self.poll_stall(context).map(Err);
        }
        if self.stream.holds_back() && self.stalled.take().is_some() {
            self.takes();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            match Pin::new(&mut self.stream).poll_shutdown(context) {
                Poll::Ready(ended) => ended?,
                Poll::Pending => return self.poll_stall(context).map(Err),
            }
            self.place.activity.does(Doing::Nothing, Instant::now());
        }
        self.poll_linger(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use hatch_telemetry::limit::Limits;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::client_address::TrustedProxies;

    const LONG: Duration = Duration::from_secs(60);

    async fn pair(stall_max: Duration, head_max: Duration) -> (StallStream, TcpStream) {
        pair_with(Patience { stall_max, head_max, ..PATIENCE }).await
    }

    async fn pair_with(patience: Patience) -> (StallStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let patience = Patience { linger_max: Duration::from_secs(20), ..patience };
        let connections = Connections::new(&Limits::default(), 10, 100, TrustedProxies::default());
        let mut listener = StallListener { listener, connections, patience, tells: true };
        let client = TcpStream::connect(address).await.expect("it listens");
        (Listener::accept(&mut listener).await.0, client)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off() {
        let (mut server, _client) = pair(Duration::from_millis(50), LONG).await;
        let block = vec![0; 1024 * 1024];
        let begun = Instant::now();
        let error = loop {
            if let Err(error) = server.write_all(&block).await {
                break error;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "buffers end somewhere");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_is_served() {
        let (mut server, mut client) = pair(Duration::from_millis(500), LONG).await;
        let writing = tokio::spawn(async move {
            for _ in 0..32 {
                server.write_all(&vec![0; 1024 * 1024]).await.expect("it is taken");
            }
        });
        let (mut taken, mut buffer) = (0, vec![0; 64 * 1024]);
        while taken < 32 * 1024 * 1024 {
            taken += client.read(&mut buffer).await.expect("it is sent");
            tokio::task::yield_now().await;
        }
        writing.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_is_cut_off_however_slowly_it_goes_on() {
        let (mut server, mut client) = pair(LONG, Duration::from_millis(100)).await;
        let trickle = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
        });
        let error = loop {
            if let Err(error) = server.read_u8().await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(server);
        trickle.await.expect("it ends with the connection");
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_is_asked_is_closed_and_one_that_is_being_answered_is_not()
     {
        let idle_max = Duration::from_millis(200);
        let (mut server, _client) = pair_with(Patience { idle_max, ..PATIENCE }).await;
        let busy = server.activity().busy();
        let read = tokio::time::timeout(Duration::from_secs(1), server.read_u8()).await;
        assert!(read.is_err(), "a stream may be silent for long");
        drop(busy);
        let error = server.read_u8().await.expect_err("nothing comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_body_may_take_longer_than_a_head() {
        let (head_max, unanswered_max) = (Duration::from_millis(50), Duration::from_secs(1));
        let patience = Patience { head_max, unanswered_max, ..PATIENCE };
        let (mut server, mut client) = pair_with(patience).await;
        client.write_all(b"?").await.expect("it listens");
        assert_eq!(server.read_u8().await.expect("in time"), b'?');
        let _busy = server.activity().busy();
        let begun = Instant::now();
        server.read_u8().await.expect_err("nothing more comes");
        assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_place_that_another_needs_is_left_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let connections = Connections::new(&Limits::default(), 1, 100, TrustedProxies::default());
        let mut listener = StallListener::new(listener, connections.clone());
        let mut silent = TcpStream::connect(address).await.expect("it listens");
        let (mut first, from) = Listener::accept(&mut listener).await;
        let reading = tokio::spawn(async move { first.read_u8().await.map_err(|e| e.kind()) });
        let later = Instant::now() + Duration::from_secs(1);
        let _second = connections.admit_at(from, later).expect("the first makes room");
        assert_eq!(reading.await.expect("no panic"), Err(io::ErrorKind::TimedOut));
        assert_eq!(silent.read(&mut [0]).await.expect("it ends"), 0);
    }

    #[tokio::test]
    async fn what_was_answered_may_be_followed_by_silence_and_another_request() {
        let (mut server, mut client) = pair(LONG, Duration::from_millis(200)).await;
        for _ in 0..3 {
            client.write_all(b"?").await.expect("it listens");
            assert_eq!(server.read_u8().await.expect("in time"), b'?');
            server.write_all(b"!").await.expect("it is taken");
            let more = tokio::time::timeout(Duration::from_millis(300), server.read_u8()).await;
            assert!(more.is_err(), "an idle connection stays");
        }
    }

    #[tokio::test]
    async fn who_still_sends_gets_the_answer_before_the_connection_ends() {
        let (mut server, mut client) = pair(LONG, LONG).await;
        let sending = tokio::spawn(async move {
            let sent = client.write_all(&vec![b'?'; 16 * 1024 * 1024]).await;
            let mut answer = Vec::new();
            let read = client.read_to_end(&mut answer).await;
            (sent.is_ok(), read.is_ok(), answer)
        });
        assert_eq!(server.read_u8().await.expect("in time"), b'?');
        server.write_all(b"too much").await.expect("it is taken");
        server.shutdown().await.expect("it is written");
        drop(server);
        assert_eq!(sending.await.expect("no panic"), (true, true, b"too much".to_vec()));
    }

    #[tokio::test]
    async fn who_has_nothing_more_to_say_is_not_waited_for_long() {
        let (mut server, _client) = pair(LONG, LONG).await;
        let ending = tokio::time::timeout(Duration::from_secs(10), server.shutdown()).await;
        ending.expect("soon").expect("it is written");
    }
}
