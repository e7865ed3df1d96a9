//! The accounts of a dispatcher: what each has for attempts, and who carries a channel.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use hatch_domain::account_name::AccountName;
use hatch_domain::message::{Message, Tried};
use hatch_domain::{Channel, OnDoubt, Priority};
use hatch_providers::{Account, Tenants, Wanted};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::choose::kept;
use crate::due::DoubtPolicy;
use crate::health::{Health, KnownAccounts};
use crate::{Config, LEASE_MARGIN};

/// Between the accounts of which a message waits for any, as the timers have it. No name has it.
const OR: char = '\u{1f}';

/// The names of the accounts of which a message waits for any are no longer than so many bytes: an index holds them.
const ANY_BYTES_MAX: usize = 1_000;

/// Look-ups of an account under way at a time. A provider that is slow answers none of very many in time.
const ASKED_AT_ONCE: usize = 16;

/// An account that messages are sent through. What it shares with others, it shares with those that are the same account
/// at their provider, and with itself as it was before the accounts were replaced.
#[derive(Clone)]
pub(crate) struct SendingAccount {
    of: Arc<Account>,
    /// What is set to become of attempts in doubt, where the account does not say so itself.
    in_doubt: Option<DoubtPolicy>,
    /// What is known of it.
    pub(crate) health: Arc<Health>,
    /// One for each attempt that may be under way at a time.
    pub(crate) room: Arc<Semaphore>,
    /// How many those are.
    room_max: usize,
    /// One for each look-up that may be.
    pub(crate) asked: Arc<Semaphore>,
    /// How the timers of messages call it that wait for it.
    pub(crate) waited_for: Arc<str>,
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
    /// What becomes of a doubt of a message for which that is asked.
    pub(crate) fn doubt_policy(&self, asked: Option<OnDoubt>) -> DoubtPolicy {
        self.of.policy_for(asked, self.in_doubt.map(OnDoubt::from)).into()
    }

    /// For how many attempts of that priority there is room now.
    pub(crate) fn free(&self, priority: Priority) -> usize {
        self.room.available_permits().saturating_sub(kept(self.room_max, priority))
    }

    /// Room for one attempt of that priority, if there is any now.
    pub(crate) fn room_now(&self, priority: Priority) -> Option<OwnedSemaphorePermit> {
        if self.free(priority) == 0 {
            return None;
        }
        self.room.clone().try_acquire_owned().ok()
    }

    /// Whether the same messages go by it, and as many.
    fn takes_the_same_as(&self, other: &Self) -> bool {
        self.name == other.name
            && self.key() == other.key()
            && self.channels == other.channels
            && self.senders == other.senders
            && self.tenants == other.tenants
            && self.traffic == other.traffic
            && self.limits == other.limits
    }
}

/// What is set for the account, or else for its provider.
fn policy_of(account: &Account, set: &BTreeMap<String, DoubtPolicy>) -> Option<DoubtPolicy> {
    set.get(account.name.as_str()).or_else(|| set.get(account.provider)).copied()
}

/// Those through whom a dispatcher sends, until they are replaced.
#[derive(Default)]
pub(crate) struct Carriers {
    accounts: Vec<SendingAccount>,
    /// Of each channel that is carried, who carries it: places in the list, one for each account at a provider.
    by_channel: Vec<(Channel, Vec<usize>)>,
}

impl Carriers {
    /// Those of `accounts` whose calls end within a lease. What was known of one, and what is under way by it, counts on
    /// if it is one of `before`: but of one that was made anew, such as by other credentials, nothing is known.
    pub(crate) fn of(
        accounts: &[Arc<Account>],
        in_doubt: &BTreeMap<String, DoubtPolicy>,
        config: &Config,
        (before, known): (&Self, &KnownAccounts),
    ) -> Self {
        let accounts: Vec<_> = accounts.iter().filter(|one| ends_in_time(one, config)).collect();
        known.keep(|health| {
            accounts.iter().any(|account| health.is(account.key()) && before.has_made(account))
        });
        let mut now: Vec<SendingAccount> = Vec::with_capacity(accounts.len());
        for account in accounts {
            let (provider, called) = account.key();
            let same = now.iter().chain(&before.accounts).find(|one| one.key() == account.key());
            let room = || Arc::new(Semaphore::new(config.account_concurrency_max));
            let asked = || Arc::new(Semaphore::new(ASKED_AT_ONCE));
            let sending = SendingAccount {
                in_doubt: policy_of(account, in_doubt),
                health: known.of(provider, called),
                room: same.map_or_else(room, |same| same.room.clone()),
                room_max: config.account_concurrency_max,
                asked: same.map_or_else(asked, |same| same.asked.clone()),
                waited_for: format!("{provider}/{called}").into(),
                of: Arc::clone(account),
            };
            now.push(sending);
        }
        let by_channel = Channel::ALL.into_iter().map(|channel| (channel, places(&now, channel)));
        Self { by_channel: by_channel.collect(), accounts: now }
    }

    /// Whether the account is one of these as it was made.
    fn has_made(&self, account: &Account) -> bool {
        let is_it = |one: &SendingAccount| {
            one.key() == account.key() && Arc::ptr_eq(&one.adapter, &account.adapter)
        };
        self.accounts.iter().any(is_it)
    }

    /// All of them, in the order of their names.
    pub(crate) fn accounts(&self) -> &[SendingAccount] {
        &self.accounts
    }

    /// The account that hatch calls so.
    pub(crate) fn named(&self, name: &AccountName) -> Option<&SendingAccount> {
        let place = self.accounts.binary_search_by(|account| account.name.cmp(name)).ok()?;
        self.accounts.get(place)
    }

    /// The accounts by which attempts of the present round surely did not send the message. What a claim does not name, is
    /// known by its key.
    pub(crate) fn tried(&self, message: &Message) -> Vec<AccountName> {
        let name = |tried: Tried<'_>| {
            let key = (tried.provider, tried.account);
            let by_key = || self.accounts.iter().find(|one| one.key() == key);
            tried.name.cloned().or_else(|| Some(by_key()?.name.clone()))
        };
        message.tried().filter_map(name).collect()
    }

    /// The account by which an attempt was made of a message of this kind, that is known by `key`: never another tenant's.
    pub(crate) fn that_made(
        &self,
        key: (&str, &str),
        wanted: &Wanted<'_>,
    ) -> Option<&SendingAccount> {
        let is_it = |one: &&SendingAccount| {
            one.key() == key && one.tenants.has(wanted.tenant) && one.traffic.admits(wanted.is_test)
        };
        let takes = self.accounts.iter().filter(is_it).find(|one| one.takes(wanted));
        takes.or_else(|| self.accounts.iter().find(is_it))
    }

    /// The accounts at providers that carry a channel, each once.
    pub(crate) fn on(&self, channel: Channel) -> impl Iterator<Item = &SendingAccount> {
        let known = self.by_channel.iter().filter(move |(known, _)| *known == channel);
        known.flat_map(|(_, places)| places).filter_map(move |place| self.accounts.get(*place))
    }

    /// How many these are.
    pub(crate) fn width(&self, channel: Channel) -> usize {
        self.on(channel).count()
    }

    /// The room of the account that alone carries a channel, and how much of it is kept for what is urgent.
    pub(crate) fn only_room(&self, channel: Channel) -> Option<(Arc<Semaphore>, usize)> {
        let mut all = self.on(channel);
        let only = all.next()?;
        let kept = kept(only.room_max, Priority::Normal);
        all.next().is_none().then(|| (only.room.clone(), kept))
    }

    /// What is known of the accounts that timers call so, of which a message waits for any.
    pub(crate) fn waited_for(&self, called: &str) -> Vec<&Health> {
        let find = |one: &str| self.accounts.iter().find(|account| *account.waited_for == *one);
        called.split(OR).filter_map(find).map(|account| &*account.health).collect()
    }

    /// The tenants whose messages may go by other accounts than by those `before`; none where they may be anybody's.
    pub(crate) fn rerouted(&self, before: &Self) -> Option<Vec<Uuid>> {
        let mut rerouted = BTreeSet::new();
        for (ours, others) in [(self, before), (before, self)] {
            for account in &ours.accounts {
                if others.accounts.iter().any(|other| account.takes_the_same_as(other)) {
                    continue;
                }
                match &account.tenants {
                    Tenants::All => return None,
                    Tenants::These(tenants) => rerouted.extend(tenants.iter().map(|one| one.0)),
                }
            }
        }
        Some(rerouted.into_iter().collect())
    }
}

/// How timers call the accounts of which a message waits for any; none where there are none, or more than can be named:
/// of some left out, none could bring it back.
pub(crate) fn any_of(accounts: &[SendingAccount]) -> Option<String> {
    named(accounts.iter().map(|account| &*account.waited_for).collect())
}

fn named(all: BTreeSet<&str>) -> Option<String> {
    let all = all.into_iter().collect::<Vec<_>>().join(&OR.to_string());
    (1..=ANY_BYTES_MAX).contains(&all.len()).then_some(all)
}

fn ends_in_time(account: &Account, config: &Config) -> bool {
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
}

/// Who carries a channel, each account at a provider once.
fn places(accounts: &[SendingAccount], channel: Channel) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let carries = |account: &SendingAccount| account.channels.contains(&channel);
    let all = accounts.iter().enumerate().filter(|(_, account)| carries(account));
    all.filter(|(_, account)| seen.insert(account.key())).map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_whom_a_message_waits_for_any_are_named_or_none_is() {
        let names: Vec<String> = (10..40).map(|number| format!("twilio/AC{number}")).collect();
        let of = |number: usize| named(names.iter().take(number).map(String::as_str).collect());
        assert_eq!(of(0), None);
        assert_eq!(of(1).as_deref(), Some("twilio/AC10"), "as earlier builds have it");
        assert_eq!(of(2).as_deref(), Some("twilio/AC10\u{1f}twilio/AC11"));
        assert_eq!(of(30).map(|all| all.split(OR).count()), Some(30));
        let long = "x".repeat(ANY_BYTES_MAX);
        assert_eq!(named(BTreeSet::from(["twilio/AC10", long.as_str()])), None);
    }
}
