//! Connections that end when their client takes nothing any more, or never finishes what it asks.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How long connections are borne with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// While something waits to be written and the client takes no byte: one that opens a stream and
    /// does not read would hold its place for ever.
    pub(crate) stall_max: Duration,
    /// From a request's first byte to its answer's: one that never ends its headers would hold its
    /// place as long. More than any request takes that came whole.
    pub(crate) unanswered_max: Duration,
}

/// A listener whose connections fail when patience ends.
pub(crate) struct StallListener {
    pub(crate) listener: TcpListener,
    pub(crate) patience: Patience,
}

impl Listener for StallListener {
    type Io = StallStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (StallStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (StallStream::new(stream, self.patience), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection.
pub(crate) struct StallStream {
    stream: TcpStream,
    patience: Patience,
    /// Running since the client took nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// When the first byte came that nothing was written after.
    asked: Option<Instant>,
    /// Made once a connection, as few requests are waited for long enough to need it.
    unanswered: Option<Pin<Box<Sleep>>>,
}

impl StallStream {
    pub(crate) const fn new(stream: TcpStream, patience: Patience) -> Self {
        Self { stream, patience, stalled: None, asked: None, unanswered: None }
    }

    /// Ready when what was asked has been unanswered for too long.
    fn overdue(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(asked) = self.asked else { return Poll::Pending };
        let due = asked + self.patience.unanswered_max;
        let timer = self.unanswered.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            ready!(timer.as_mut().poll(context));
            // It was set for a request before this one.
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }

    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            (self.stalled, self.asked) = (None, None);
            return written;
        }
        let stall_max = self.patience.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
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
            self.asked.get_or_insert_with(Instant::now);
        }
        if read.is_pending() && self.overdue(context).is_ready() {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the request does not end");
            return Poll::Ready(Err(error));
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
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn pair(stall_max: Duration, unanswered_max: Duration) -> (StallStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let patience = Patience { stall_max, unanswered_max };
        let mut listener = StallListener { listener, patience };
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
}
