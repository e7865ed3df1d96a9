//! The signals that ask this process to stop.

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// `SIGINT` (Ctrl-C), `SIGTERM` and `SIGHUP` (the terminal is gone).
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Stream,
    terminate: Stream,
    hang_up: Stream,
}

impl StopSignals {
    /// Takes over the three signals; from now on none of them ends the process by itself.
    ///
    /// # Errors
    /// The system refuses to hand them over.
    pub fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hang_up.recv() => Signal::SIGHUP,
        }
    }
}

/// Cancels `shutdown` at the first of the signals.
///
/// # Errors
/// The system refuses to hand them over.
pub fn stop_on_signal(shutdown: &CancellationToken) -> anyhow::Result<()> {
    let (mut signals, shutdown) = (StopSignals::new()?, shutdown.clone());
    tokio::spawn(async move {
        let signal = signals.next().await;
        tracing::info!(%signal, "stopping");
        shutdown.cancel();
    });
    Ok(())
}

/// Cancels `shutdown` at the first `SIGINT` or `SIGTERM`, and calls `again` at each `SIGHUP`: for a process without a
/// terminal, which is to read its files again.
///
/// # Errors
/// The system refuses to hand the signals over.
pub fn stop_or_read_again(
    shutdown: &CancellationToken,
    mut again: impl FnMut() + Send + 'static,
) -> anyhow::Result<()> {
    let (mut signals, shutdown) = (StopSignals::new()?, shutdown.clone());
    tokio::spawn(async move {
        loop {
            let signal = signals.next().await;
            if signal != Signal::SIGHUP {
                tracing::info!(%signal, "stopping");
                return shutdown.cancel();
            }
            again();
        }
    });
    Ok(())
}
