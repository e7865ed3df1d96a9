//! A connection's bytes: over TCP or a Unix socket, plain or by TLS, watched until the server has
//! authenticated the client.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ServerRefusal;
use super::guard::Guard;

/// What TLS makes of a TCP connection.
pub(super) type Tls = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::Stream;

/// A connection's bytes.
pub(super) struct ServerStream {
    bytes: Bytes,
    guard: Guard,
    /// How the server is called in errors.
    server: String,
}

pub(super) enum Bytes {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<Tls>),
    /// There is no connection, for this reason: a way to make the client's error of it.
    Broken(Option<io::Error>),
}

impl ServerStream {
    pub(super) const fn new(bytes: Bytes, guard: Guard, server: String) -> Self {
        Self { bytes, guard, server }
    }

    /// Looks at the `seen` bytes that a read has just added to `buffer`.
    fn watch(&mut self, buffer: &ReadBuf<'_>, before: usize) -> io::Result<()> {
        self.guard.watch(&buffer.filled()[before..]).map_err(|refusal| {
            io::Error::new(ErrorKind::PermissionDenied, refusal.of_server(&self.server))
        })
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = match &mut this.bytes {
            Bytes::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Bytes::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Bytes::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Bytes::Broken(reason) => Poll::Ready(Err(broken(reason))),
        };
        if this.guard.has_passed() {
            return read;
        }
        // By TLS 1.3 a server says only now that it does not take our certificate.
        ready!(read).map_err(|error| ServerRefusal::of_tls(error, &this.server))?;
        Poll::Ready(this.watch(buffer, before))
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.bytes {
            Bytes::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Bytes::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Bytes::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Bytes::Broken(reason) => Poll::Ready(Err(broken(reason))),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.bytes {
            Bytes::Unix(stream) => Pin::new(stream).poll_flush(context),
            Bytes::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Bytes::Tls(stream) => Pin::new(stream).poll_flush(context),
            Bytes::Broken(reason) => Poll::Ready(Err(broken(reason))),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.bytes {
            Bytes::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Bytes::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Bytes::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Bytes::Broken(_) => Poll::Ready(Ok(())),
        }
    }
}

fn broken(reason: &mut Option<io::Error>) -> io::Error {
    reason.take().unwrap_or_else(|| ErrorKind::BrokenPipe.into())
}

impl TlsStream for ServerStream {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.bytes {
            Bytes::Tls(stream) => stream.channel_binding(),
            Bytes::Unix(_) | Bytes::Tcp(_) | Bytes::Broken(_) => ChannelBinding::none(),
        }
    }
}

/// Tells `tokio_postgres` that a stream is as it has to be: what it offers itself knows neither all of
/// libpq's modes nor a guard.
pub(super) struct AsItIs;

impl TlsConnect<ServerStream> for AsItIs {
    type Stream = ServerStream;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<ServerStream, Self::Error>>;

    fn connect(self, stream: ServerStream) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}
