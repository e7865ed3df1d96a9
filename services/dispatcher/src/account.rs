//! The accounts of a dispatcher, and which channels the same of them carry.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hatch_domain::Channel;
use hatch_providers::Account;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::due::DoubtPolicy;
use crate::{Config, LEASE_MARGIN};

/// How long an attempt waits for room at its account before its message is parked.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// The first wait before messages are let go again of which some came back at once.
const CAME_BACK_WAIT: Duration = Duration::from_secs(1);

/// How long it is remembered that some came back.
const CAME_BACK_KNOWN: Duration = Duration::from_secs(60);

/// An account that messages are sent through.
pub(crate) struct SendingAccount {
    of: Arc<Account>,
    /// What becomes of attempts in doubt. By default they are looked up where the adapter can, and
    /// otherwise wait.
    in_doubt: Option<DoubtPolicy>,
    /// One for each attempt that may be under way at a time.
    pub(crate) room: Arc<Semaphore>,
}

impl Deref for SendingAccount {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.of
    }
}

impl AsRef<Account> for SendingAccount {
    fn as_ref(&self) -> &Account {
        &self.of
    }
}

impl SendingAccount {
    /// Those of `accounts` whose calls end within a lease.
    pub(crate) fn all(
        accounts: &[Arc<Account>],
        in_doubt: &BTreeMap<String, DoubtPolicy>,
        config: &Config,
    ) -> Vec<Self> {
        let ends_in_time = |account: &&Arc<Account>| {
            let ends_in_time = account.http_timeout + LEASE_MARGIN < config.lease;
            if !ends_in_time {
                let (account, lease_ms) = (account.name.as_str(), config.lease.as_millis());
                tracing::error!(
                    account,
                    lease_ms,
                    "a call of the account outlasts the lease: nothing is sent by it"
                );
            }
            ends_in_time
        };
        let sending = |account: &Arc<Account>| Self {
            in_doubt: policy_of(account, in_doubt),
            room: Arc::new(Semaphore::new(config.account_concurrency_max)),
            of: Arc::clone(account),
        };
        accounts.iter().filter(ends_in_time).map(sending).collect()
    }

    pub(crate) fn doubt_policy(&self) -> DoubtPolicy {
        let can_look_up = self.adapter.can_look_up();
        match self.in_doubt {
            Some(DoubtPolicy::LookUp) if !can_look_up => DoubtPolicy::Wait,
            Some(policy) => policy,
            None if can_look_up => DoubtPolicy::LookUp,
            None => DoubtPolicy::Wait,
        }
    }

    /// Room for one attempt; none when there is none soon.
    pub(crate) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.room.clone().acquire_owned();
        tokio::time::timeout(ROOM_WAIT, permit).await.ok()?.ok()
    }
}

/// What is set for the account, or else for its provider.
fn policy_of(account: &Account, set: &BTreeMap<String, DoubtPolicy>) -> Option<DoubtPolicy> {
    set.get(account.name.as_str()).or_else(|| set.get(account.provider)).copied()
}

/// Channels that the same accounts carry: what is due of them is swept together.
pub(crate) struct ChannelGroup {
    pub(crate) channels: Vec<Channel>,
    /// The places of these accounts in the list.
    carriers: Vec<usize>,
    releases: Mutex<Releases>,
}

/// How the messages fared that were let go.
#[derive(Debug, Default)]
struct Releases {
    /// Which of the accounts are not refused.
    up: Vec<bool>,
    /// Some came back since the last look.
    came_back: bool,
    came_back_at: Option<Instant>,
    /// Between two releases, while some come back.
    wait: Duration,
    /// None is let go before.
    until: Option<Instant>,
}

impl ChannelGroup {
    /// The groups of all channels: the first is of those that no account carries.
    pub(crate) fn of(accounts: &[SendingAccount]) -> Vec<Self> {
        let group = |carriers| Self { channels: Vec::new(), carriers, releases: Mutex::default() };
        let mut groups = vec![group(Vec::new())];
        for channel in Channel::ALL {
            let carries = |place: &usize| accounts[*place].channels.contains(&channel);
            let carriers: Vec<usize> = (0..accounts.len()).filter(carries).collect();
            match groups.iter_mut().find(|known| known.carriers == carriers) {
                Some(known) => known.channels.push(channel),
                None => {
                    groups.push(Self { channels: vec![channel], ..group(carriers) });
                }
            }
        }
        groups
    }

    /// The accounts, of that list.
    pub(crate) fn carriers<'a>(
        &'a self,
        accounts: &'a [SendingAccount],
    ) -> impl Iterator<Item = &'a SendingAccount> {
        self.carriers.iter().filter_map(|place| accounts.get(*place))
    }

    /// How many accounts these are.
    pub(crate) const fn width(&self) -> usize {
        self.carriers.len()
    }

    /// A message that was let go has nobody to be sent by: one that waits for another account, or for none that there is.
    pub(crate) fn came_back(&self) {
        self.lock().came_back = true;
    }

    /// Whether messages that wait may be let go now: at once when an account has changed, and ever later, up to `most`,
    /// while some come back.
    pub(crate) fn may_release(&self, up: Vec<bool>, most: Duration) -> bool {
        let (mut releases, now) = (self.lock(), Instant::now());
        if releases.up != up {
            *releases = Releases { up, ..Releases::default() };
            return true;
        }
        if std::mem::take(&mut releases.came_back) {
            releases.wait = (releases.wait * 2).max(CAME_BACK_WAIT).min(most);
            releases.until = Some(now + releases.wait);
            releases.came_back_at = Some(now);
        } else if releases.came_back_at.is_some_and(|at| now - at > CAME_BACK_KNOWN.max(most * 2)) {
            releases.wait = Duration::ZERO;
            releases.came_back_at = None;
        }
        releases.until.is_none_or(|until| until <= now)
    }

    fn lock(&self) -> MutexGuard<'_, Releases> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> ChannelGroup {
        ChannelGroup {
            channels: vec![Channel::Sms],
            carriers: vec![0, 1],
            releases: Mutex::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_back_is_let_go_later_and_later_until_an_account_changes() {
        const MOST: Duration = Duration::from_secs(30);
        let (group, up) = (group(), vec![true, false]);
        assert!(group.may_release(up.clone(), MOST));
        let mut waits = Vec::new();
        for _ in 0..7 {
            group.came_back();
            let begun = Instant::now();
            while !group.may_release(up.clone(), MOST) {
                tokio::time::advance(Duration::from_millis(500)).await;
            }
            waits.push(begun.elapsed().as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        group.came_back();
        assert!(!group.may_release(up, MOST));
        assert!(group.may_release(vec![true, true], MOST), "one is back");
        assert!(group.may_release(vec![true, true], MOST), "and none came back");
    }
}
