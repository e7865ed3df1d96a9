//! Leave to make a call, as tokens of all buckets from which it takes.

use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::{Inner, Key, Load, Rates, What};
use crate::account::SendingAccount;

/// Leave to make one call. It is held as long as the call goes on.
#[must_use]
pub(crate) struct Allowance {
    pub(super) rates: Arc<Inner>,
    /// Each with the number of its lease.
    pub(super) parts: Vec<(Key, u64)>,
    pub(super) is_spent: bool,
}

impl Allowance {
    /// The call begins.
    pub(crate) fn spent(&mut self) {
        if std::mem::replace(&mut self.is_spent, true) || self.parts.is_empty() {
            return;
        }
        let (now, mut state) = (Instant::now(), self.rates.lock());
        for (key, lease) in &self.parts {
            if let Some(hand) = state.hands.get_mut(key) {
                hand.spend(*lease, now);
            }
        }
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        if self.parts.is_empty() {
            return;
        }
        let mut state = self.rates.lock();
        for (key, lease) in &self.parts {
            // What was used is used; a call that is over makes room.
            if (!self.is_spent || key.what == What::Calls)
                && let Some(hand) = state.hands.get_mut(key)
            {
                hand.give_back(*lease);
            }
        }
        drop(state);
        self.rates.brought.notify_waiters();
    }
}

impl Rates {
    /// Keeps an allowance for a message that was let go.
    pub(super) fn keep_for(&self, message: Uuid, account: &SendingAccount, allowance: Allowance) {
        let of = Arc::clone(&account.waited_for);
        let before = self.0.held().insert(message, (of, allowance));
        // Not with the lock: it gives its tokens back.
        drop(before);
    }

    /// What was kept for the message and not taken goes back.
    pub(crate) fn forget_kept(&self, message: Uuid) {
        let kept = self.0.held().remove(&message);
        drop(kept);
    }

    pub(super) fn has_in_hand(&self, load: &Load<'_>) -> bool {
        let held = self.0.held();
        held.get(&load.message).is_some_and(|(of, _)| *of == load.account.waited_for)
    }

    pub(super) fn take_kept(&self, load: &Load<'_>) -> Option<Allowance> {
        let mut held = self.0.held();
        let is_it = held.get(&load.message).is_some_and(|(of, _)| *of == load.account.waited_for);
        let found = is_it.then(|| held.remove(&load.message)).flatten();
        drop(held);
        found.map(|(_, allowance)| allowance)
    }
}
