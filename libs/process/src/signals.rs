//! The signals that ask this process to stop.

use std::io::{IsTerminal as _, stdin};

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
    again: impl FnMut() + Send + 'static,
) -> anyhow::Result<()> {
    stop_unless(shutdown, |signal| signal == Signal::SIGHUP, again)
}

/// As [`stop_or_read_again`], for a process that a person may have begun at a terminal: it ends with that.
///
/// # Errors
/// The system refuses to hand the signals over.
pub fn stop_with_terminal_or_read_again(
    shutdown: &CancellationToken,
    again: impl FnMut() + Send + 'static,
) -> anyhow::Result<()> {
    let had_terminal = stdin().is_terminal();
    let terminals = move || (had_terminal, stdin().is_terminal());
    stop_unless(shutdown, move |signal| goes_on(signal, terminals()), again)
}

/// Whether a process goes on after a signal that had a terminal at its start, and has one now, or not.
fn goes_on(signal: Signal, (had_terminal, has_terminal): (bool, bool)) -> bool {
    signal == Signal::SIGHUP && (has_terminal || !had_terminal)
}

/// Cancels `shutdown` at the first signal after which the process does not go on, and calls `again` at the others.
fn stop_unless(
    shutdown: &CancellationToken,
    goes_on: impl Fn(Signal) -> bool + Send + 'static,
    mut again: impl FnMut() + Send + 'static,
) -> anyhow::Result<()> {
    let (mut signals, shutdown) = (StopSignals::new()?, shutdown.clone());
    tokio::spawn(async move {
        loop {
            let signal = signals.next().await;
            if !goes_on(signal) {
                tracing::info!(%signal, "stopping");
                return shutdown.cancel();
            }
            again();
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_ends_only_the_process_whose_terminal_is_gone() {
        for (had_and_has, expected) in
            [((false, false), true), ((true, true), true), ((true, false), false)]
        {
            assert_eq!(goes_on(Signal::SIGHUP, had_and_has), expected, "{had_and_has:?}");
            assert!(
                !goes_on(Signal::SIGTERM, had_and_has) && !goes_on(Signal::SIGINT, had_and_has)
            );
        }
    }
}
