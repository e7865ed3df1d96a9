//! Connections that end when their client takes nothing any more.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

/// A listener whose connections fail when something waits to be written and the client has taken no
/// byte for `stall_max`. Otherwise a client that opens a stream and does not read would hold its
/// place for ever.
pub(crate) struct StallListener {
    pub(crate) listener: TcpListener,
    pub(crate) stall_max: Duration,
}

impl Listener for StallListener {
    type Io = StallStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (StallStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (StallStream::new(stream, self.stall_max), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection.
pub(crate) struct StallStream {
    stream: TcpStream,
    stall_max: Duration,
    /// Running since the client took nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl StallStream {
    pub(crate) const fn new(stream: TcpStream, stall_max: Duration) -> Self {
        Self { stream, stall_max, stalled: None }
    }

    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall_max = self.stall_max;
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
        Pin::new(&mut self.stream).poll_read(context, buffer)
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
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn pair(stall_max: Duration) -> (StallStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut listener = StallListener { listener, stall_max };
        let client = TcpStream::connect(address).await.expect("it listens");
        (Listener::accept(&mut listener).await.0, client)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off() {
        let (mut server, _client) = pair(Duration::from_millis(50)).await;
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
        let (mut server, mut client) = pair(Duration::from_millis(500)).await;
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
}
