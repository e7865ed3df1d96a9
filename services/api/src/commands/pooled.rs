//! From which sender of a pool a message goes, where its request names none.
//!
//! The choice itself is pure (`hatch_routing::choose_sender`). What it needs is found here: from which sender the
//! recipient was written to before, by which accounts each sender goes, and how much it has sent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use hatch_directory::Directory;
use hatch_domain::address::{Address, SenderKind};
use hatch_domain::ids::TenantId;
use hatch_domain::{Channel, PoolChoice};
use hatch_providers::{Account, Pools, Wanted};
use hatch_routing::{Pool, SenderHealth, choose_sender};

use super::Commands;
use super::send_request::{Send, stand_in};
use crate::auth::Caller;
use crate::problem::{FieldCode, FieldError, Problem};

/// Senders whose messages are counted, at most. Beyond that all counts begin anew.
const COUNTED_MAX: usize = 100_000;

/// Pools, and what is known of their senders.
#[derive(Clone)]
pub struct PoolSenders {
    pools: Pools,
    directory: Directory,
    given: Arc<Mutex<HashMap<(TenantId, Address), Given>>>,
    stand_in: Address,
}

/// What a sender was given by this process.
#[derive(Debug, Clone, Copy, Default)]
struct Given {
    messages: u64,
    /// The second in which it got the last ones, and how many these are.
    second: i64,
    in_second: u32,
}

/// The sender of a message, as it was chosen, and who was that before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pooled {
    pub(crate) sender: Address,
    pub(crate) choice: PoolChoice,
    before: Option<Address>,
}

impl PoolSenders {
    /// Those of `pools`, whose accounts are as `directory` knows it.
    #[must_use]
    pub fn new(pools: Pools, directory: Directory) -> Self {
        Self { pools, directory, given: Arc::default(), stand_in: stand_in() }
    }

    /// What stands for the sender where none is named and a pool may have one.
    pub(super) fn stand_in(&self) -> Option<&Address> {
        (!self.pools.current().pools().is_empty()).then_some(&self.stand_in)
    }

    fn given(&self, tenant: TenantId, sender: &Address) -> Given {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.get(&key(tenant, sender)).copied().unwrap_or_default()
    }

    /// Counts a message that goes from `sender`.
    fn note(&self, tenant: TenantId, sender: &Address, now: DateTime<Utc>) {
        let mut all = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(tenant, sender);
        if all.len() >= COUNTED_MAX && !all.contains_key(&key) {
            all.clear();
        }
        let given = all.entry(key).or_default();
        given.messages = given.messages.saturating_add(1);
        if given.second != now.timestamp() {
            (given.second, given.in_second) = (now.timestamp(), 0);
        }
        given.in_second = given.in_second.saturating_add(1);
    }

    fn is_open(&self, account: &Account) -> bool {
        let (provider, key) = account.key();
        self.directory.carrier(provider, key).is_some_and(|carrier| carrier.open().is_some())
    }

    /// How a sender is: down without an account that sends for it and is up, and busy where each of these has had as
    /// much from it in this second as it takes.
    fn health(
        &self,
        accounts: &[Arc<Account>],
        wanted: &Wanted<'_>,
        now: DateTime<Utc>,
    ) -> SenderHealth {
        let takes = accounts.iter().filter(|account| account.takes(wanted));
        let mut up = takes.filter(|account| !self.is_open(account)).peekable();
        if up.peek().is_none() {
            return SenderHealth::Down;
        }
        let given = self.given(wanted.tenant, wanted.from);
        let in_second = if given.second == now.timestamp() { given.in_second } else { 0 };
        let has_room = |account: &Arc<Account>| {
            account.limits.per_sender_per_s.is_none_or(|most| f64::from(in_second) < most.max(1.0))
        };
        if up.any(has_room) { SenderHealth::Ready } else { SenderHealth::Busy }
    }
}

fn key(tenant: TenantId, sender: &Address) -> (TenantId, Address) {
    (tenant, sender.identity().into_owned())
}

/// What the memory calls a pool. Tests have one of their own: they change nothing of what people know.
fn remembered_as(pool: &str, is_test: bool) -> Cow<'_, str> {
    // No name of a pool has a space.
    if is_test { Cow::Owned(format!("{pool} test")) } else { Cow::Borrowed(pool) }
}

impl Commands {
    /// Whether a pool may have the sender.
    pub(super) fn wants_pool(&self, send: &Send) -> bool {
        let may_have_one = || send.pool.is_some() || self.senders.stand_in().is_some();
        send.is_from_left_out
            && matches!(send.channel, Channel::Sms | Channel::Mms)
            && (may_have_one() || send.from == self.senders.stand_in)
    }

    /// The sender of `send` that a pool has for it, where it names none; nothing is changed by that. None where it
    /// names one, and where its tenant has no such pool.
    ///
    /// # Errors
    /// A pool that there is not, no sender at all, none that the caller's key may send from, or a memory that does not
    /// answer.
    pub(crate) async fn pooled(
        &self,
        caller: &Caller,
        send: &Send,
        is_test: bool,
    ) -> Result<Option<Pooled>, Problem> {
        let table = self.senders.pools.current();
        let Some(pool) = self.pool(&table, caller.tenant, send)? else { return Ok(None) };
        let Some(to) = send.to.first() else { return Ok(None) };
        let name = pool.name.as_str();
        let read_model = &self.conversations.read_model;
        let before = read_model.sender_of(caller.tenant, &remembered_as(name, is_test), to).await?;
        let (accounts, now) = (self.accounts.current(), self.store.environment().now());
        let is_asked = |account: &&Arc<Account>| {
            send.account.as_ref().is_none_or(|name| account.name == *name)
        };
        let accounts: Vec<Arc<Account>> = accounts.iter().filter(is_asked).cloned().collect();
        let (tenant, channel) = (caller.tenant, send.channel);
        let health = |from: &Address| {
            let wanted = Wanted { tenant, channel, from, is_test };
            let is_for_it =
                caller.may_send(channel, from).is_ok() && from.identity() != to.identity();
            if is_for_it {
                self.senders.health(&accounts, &wanted, now)
            } else {
                SenderHealth::Barred
            }
        };
        let usage = |from: &Address| self.senders.given(tenant, from).messages;
        let (_, seed) = self.store.environment().new_id().as_u64_pair();
        let chosen = choose_sender(pool, to, before.as_ref(), health, usage, seed);
        let Some(chosen) = chosen else {
            let mut senders = pool.terms.senders.iter();
            let refusal = senders.find_map(|one| caller.may_send(channel, &one.address).err());
            return Err(refusal.unwrap_or_else(to_only_sender));
        };
        let choice = PoolChoice { name: name.to_owned(), reason: chosen.reason };
        Ok(Some(Pooled { sender: chosen.address.clone(), choice, before }))
    }

    /// `send` with the sender that a pool has for it, which is remembered for its recipient.
    ///
    /// # Errors
    /// As [`pooled`](Self::pooled).
    pub(super) async fn with_sender(
        &self,
        caller: &Caller,
        send: Send,
        is_test: bool,
    ) -> Result<Send, Problem> {
        let Some(Pooled { sender, mut choice, before }) =
            self.pooled(caller, &send, is_test).await?
        else {
            return Ok(send);
        };
        let is_new = before.as_ref().is_none_or(|one| one.identity() != sender.identity());
        let mut from = sender;
        if let Some(to) = send.to.first().filter(|_| is_new) {
            let read_model = &self.conversations.read_model;
            let both = (before.as_ref(), &from);
            let memory = remembered_as(&choice.name, is_test);
            let now = read_model.remember_sender(caller.tenant, &memory, to, both).await?;
            // Another message to the same recipient was faster.
            let table = self.senders.pools.current();
            let is_of_pool = table
                .named(caller.tenant, &choice.name)
                .is_some_and(|pool| pool.terms.sender(&now).is_some());
            if now.identity() != from.identity() && is_of_pool {
                (from, choice.reason) = (now, "sticky".to_owned());
            }
        }
        if !is_test {
            self.senders.note(caller.tenant, &from, self.store.environment().now());
        }
        Ok(Send { from, pool_choice: Some(choice), ..send })
    }

    /// The pool that is meant.
    fn pool<'t>(
        &self,
        table: &'t hatch_routing::PoolTable,
        tenant: TenantId,
        send: &Send,
    ) -> Result<Option<&'t Pool>, Problem> {
        let channel = send.channel;
        if let Some(name) = &send.pool {
            let pool = table.named(tenant, name).filter(|pool| pool.terms.is_for(channel));
            return pool.map(Some).ok_or_else(|| {
                let detail = format!("expected a pool of the tenant for {}", channel.as_str());
                let error = FieldError::coded(FieldCode::UnknownValue, "/pool", detail);
                Problem::invalid(vec![error])
            });
        }
        let usual = table.usual(tenant, channel).filter(|_| send.is_from_left_out);
        // The pools that there are may all be of others.
        if usual.is_none() && send.is_from_left_out && send.from == self.senders.stand_in {
            return Err(no_sender());
        }
        Ok(usual)
    }

    /// Refuses a sender from whose kind no account sends that carries the channel for the tenant.
    pub(super) fn check_kind(
        &self,
        tenant: TenantId,
        send: &Send,
        is_test: bool,
    ) -> Result<(), Problem> {
        let channel = send.channel;
        let accounts = self.accounts.current();
        let mut carrying = accounts
            .iter()
            .filter(|account| account.channels.contains(&channel))
            .filter(|account| account.tenants.has(tenant) && account.traffic.admits(is_test))
            .peekable();
        // Without any account, another answer says so.
        if carrying.peek().is_none() || carrying.any(|one| one.can_send_from(channel, &send.from)) {
            return Ok(());
        }
        let kind = SenderKind::of(&send.from).map_or("such a sender", SenderKind::in_words);
        let detail = format!(
            "no account that carries {} here sends from {kind}, as {} is",
            channel.as_str(),
            send.from
        );
        let error = FieldError::coded(FieldCode::NotAvailable, "/from", detail);
        Err(Problem::invalid(vec![error]))
    }
}

fn to_only_sender() -> Problem {
    let detail = "expected another number than that of the pool's only sender";
    Problem::invalid(vec![FieldError::coded(FieldCode::Contradiction, "/to", detail)])
}

fn no_sender() -> Problem {
    let detail = "is required: neither a default sender nor a pool is set";
    Problem::invalid(vec![FieldError::coded(FieldCode::Required, "/from", detail)])
}
