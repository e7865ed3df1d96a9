//! Counts the commands that wait for their commit, and limits them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::commit_limiter::{self, CommitLimiter};
use super::window::{RESERVE, UNLIMITED, WindowState};

/// The commands of a process that wait for their commit.
pub(super) struct CommitGate {
    pending: AtomicU64,
    pending_max: AtomicU64,
    answered: AtomicU64,
    refused: AtomicBool,
    judged: Mutex<CommitLimiter>,
}

impl CommitGate {
    pub(super) fn open(wait: Duration) -> Self {
        Self {
            pending: AtomicU64::new(0),
            pending_max: AtomicU64::new(UNLIMITED),
            answered: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            judged: Mutex::new(CommitLimiter::new(wait)),
        }
    }

    /// One more is on its way.
    pub(super) fn enter(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// One has its answer.
    pub(super) fn leave(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of how things stand, and whether webhooks are behind; says whether so many are on
    /// their way that they wait too long.
    pub(super) fn look(&self, at: Duration, webhooks_behind: bool) -> bool {
        let sample = commit_limiter::CommitSample {
            at,
            pending: self.pending.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            refused: self.refused.swap(false, Ordering::Relaxed),
            webhooks_behind,
        };
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        self.pending_max.store(judged.look(sample).unwrap_or(UNLIMITED), Ordering::Relaxed);
        judged.is_crowded()
    }

    pub(super) fn state(&self) -> WindowState {
        let waiting = self.pending.load(Ordering::Relaxed);
        let pending_max = self.pending_max.load(Ordering::Relaxed);
        let judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        WindowState {
            name: "log".to_owned(),
            waiting,
            waiting_max: (pending_max != UNLIMITED).then_some(pending_max),
            wait: if waiting == 0 { Duration::ZERO } else { judged.wait(waiting) },
        }
    }

    pub(super) fn has_room(&self, is_urgent: bool) -> bool {
        let pending_max = self.pending_max.load(Ordering::Relaxed);
        let reserve = if is_urgent { pending_max / RESERVE } else { 0 };
        self.pending.load(Ordering::Relaxed) < pending_max.saturating_add(reserve)
    }

    /// One was refused for want of room.
    pub(super) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks ten times within a second; says what the last one said.
    fn look(commit_gate: &CommitGate, second: u64) -> bool {
        let at = |tick: u64| Duration::from_millis(second * 1_000 + tick * 100);
        (0..10).map(|tick| commit_gate.look(at(tick), false)).last().is_some_and(|crowded| crowded)
    }

    #[test]
    fn it_is_behind_only_while_too_many_commands_wait() {
        let commit_gate = CommitGate::open(Duration::from_millis(200));
        assert!(!look(&commit_gate, 0));
        (0..60).for_each(|_| commit_gate.enter());
        assert!(!look(&commit_gate, 1), "60 are not many");
        (0..140).for_each(|_| commit_gate.enter());
        assert!(look(&commit_gate, 2));
        (0..200).for_each(|_| commit_gate.leave());
        look(&commit_gate, 3);
        assert!(!look(&commit_gate, 4));
    }
}
