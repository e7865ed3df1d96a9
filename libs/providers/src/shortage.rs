//! A shortage of this process' own: files, memory, ports or threads that a call needs. It is no provider's answer.
//!
//! The system says so by the number of an error, which lies somewhere in the chain of causes.

use std::error::Error as StdError;
use std::io;
use std::panic::catch_unwind;

use nix::errno::Errno;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpSocket;
use tokio::task::spawn_blocking;

/// The resource that this process lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Files, which sockets are too: those of the process, or of the whole machine.
    Files,
    /// Memory, or room for the system's buffers.
    Memory,
    /// Local ports towards the provider.
    Ports,
    /// Threads to look a name up with.
    Threads,
}

impl Lack {
    /// Its name in the log, in events and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Memory => "memory",
            Self::Ports => "ports",
            Self::Threads => "threads",
        }
    }

    /// What a failure to connect, or to look a name up, tells of what we lack; none where it is about the other
    /// end or the way there.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        std::iter::successors(Some(error), |&cause| cause.source())
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .find_map(|error| Self::of_number(error.raw_os_error()?))
    }

    fn of_number(number: i32) -> Option<Self> {
        match Errno::from_raw(number) {
            Errno::EMFILE | Errno::ENFILE => Some(Self::Files),
            Errno::ENOMEM | Errno::ENOBUFS => Some(Self::Memory),
            Errno::EADDRNOTAVAIL | Errno::EADDRINUSE => Some(Self::Ports),
            Errno::EAGAIN => Some(Self::Threads),
            _ => None,
        }
    }

    /// The resource that is lacking for another socket now; none when a socket can be opened.
    #[must_use]
    pub fn now() -> Option<Self> {
        TcpSocket::new_v4().err().and_then(|error| Self::of(&error))
    }
}

/// The system's look-up of names, on a thread for blocking work. When there is no thread that is an error, and
/// no panic of the attempt, whose claim would be left in doubt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let ask = move || std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), 0));
            let no_thread = |_| io::Error::from(Errno::EAGAIN);
            let addresses = catch_unwind(|| spawn_blocking(ask)).map_err(no_thread)?.await??;
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no connection")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn our_own_want_is_found_below_whatever_says_it() {
        let lack = |errno: Errno| Lack::of(&Wrapped(io::Error::other(Wrapped(errno.into()))));
        assert_eq!(Lack::of(&io::Error::from(Errno::EMFILE)), Some(Lack::Files));
        for (errno, expected) in [
            (Errno::EMFILE, Some(Lack::Files)),
            (Errno::ENFILE, Some(Lack::Files)),
            (Errno::ENOMEM, Some(Lack::Memory)),
            (Errno::ENOBUFS, Some(Lack::Memory)),
            (Errno::EADDRNOTAVAIL, Some(Lack::Ports)),
            (Errno::EAGAIN, Some(Lack::Threads)),
            (Errno::ECONNREFUSED, None),
            (Errno::EHOSTUNREACH, None),
            (Errno::ETIMEDOUT, None),
        ] {
            assert_eq!(lack(errno), expected, "{errno}");
        }
    }

    #[tokio::test]
    async fn a_socket_can_be_had() {
        assert_eq!(Lack::now(), None);
    }
}
