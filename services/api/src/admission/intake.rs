//! Whether webhooks wait too long for their commit.
//!
//! Nothing can be refused there: what a provider posts has happened. But while it piles up, messages
//! that were sent are not known to be, and to accept more of them only makes that worse.

use std::sync::Arc;
use std::time::Instant;

use super::Rules;
use super::commit_gate::CommitGate;

/// The part of the wait aimed for that webhooks may wait: providers are in no hurry.
const WAIT_PART: u32 = 2;

/// The webhooks of this process that are on their way into the log; cheap to clone.
#[derive(Clone)]
pub struct Intake(Arc<IntakeState>);

struct IntakeState {
    started: Instant,
    commit_gate: CommitGate,
}

/// A webhook on its way into the log until this is dropped.
pub(crate) struct OnItsWay(Intake);

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.0.commit_gate.leave();
    }
}

impl Intake {
    /// By the rules for the messages that are accepted.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(IntakeState {
            started: Instant::now(),
            commit_gate: CommitGate::open(rules.wait / WAIT_PART),
        }))
    }

    /// One more is on its way.
    pub(crate) fn enter(&self) -> OnItsWay {
        self.0.commit_gate.enter();
        OnItsWay(self.clone())
    }

    /// Whether they wait too long by now. It wants to be asked some ten times a second.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.0.commit_gate.look(self.0.started.elapsed(), false)
    }
}
