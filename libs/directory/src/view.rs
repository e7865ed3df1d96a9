//! What is known, and how events change it.

mod fold;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use chrono::{DateTime, Utc};
use hatch_domain::Decider;
use hatch_domain::account::Account;
use hatch_domain::address::Address;
use hatch_domain::api_key::{ApiKey, KeyId, api_key_id};
use hatch_domain::carrier::Carrier;
use hatch_domain::ids::{AccountId, MemberId, PoolId, RouteId, TenantId};
use hatch_domain::member::Member;
use hatch_domain::pool::Pool;
use hatch_domain::route::Route;
use hatch_domain::tenant::Tenant;
use hatch_eventstore::{Position, RecordedEvent};
use uuid::Uuid;

/// The kinds of streams that it knows.
pub(crate) const KINDS: [&str; 7] = [
    <Tenant as Decider>::KIND,
    <ApiKey as Decider>::KIND,
    <Account as Decider>::KIND,
    <Member as Decider>::KIND,
    <Route as Decider>::KIND,
    <Carrier as Decider>::KIND,
    <Pool as Decider>::KIND,
];

/// A key, and whose it is.
#[derive(Debug, Clone)]
pub struct KeyEntry {
    /// The tenant that it opens.
    pub tenant_id: TenantId,
    /// The key.
    pub key: Arc<ApiKey>,
}

/// A member, and of which tenant.
#[derive(Debug, Clone)]
pub struct MemberEntry {
    /// Which.
    pub id: MemberId,
    /// The tenant whose member he is.
    pub tenant_id: TenantId,
    /// The member.
    pub member: Arc<Member>,
}

/// An account at a provider that the log keeps, and whose it is.
#[derive(Debug, Clone)]
pub struct AccountEntry {
    /// Its stream.
    pub id: AccountId,
    /// The tenant whose it is.
    pub tenant_id: TenantId,
    /// The account; none where this build cannot read one of its events.
    pub account: Option<Arc<Account>>,
}

/// A route that the log keeps, and whose it is.
#[derive(Debug, Clone)]
pub struct RouteEntry {
    /// Its stream.
    pub id: RouteId,
    /// The tenant whose it is.
    pub tenant_id: TenantId,
    /// The route; none where this build cannot read one of its events.
    pub route: Option<Arc<Route>>,
}

/// A pool of senders that the log keeps, and whose it is.
#[derive(Debug, Clone)]
pub struct PoolEntry {
    /// Its stream.
    pub id: PoolId,
    /// The tenant whose it is.
    pub tenant_id: TenantId,
    /// The pool; none where this build cannot read one of its events.
    pub pool: Option<Arc<Pool>>,
}

/// How many keys a tenant has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyCount {
    /// With those that have ended.
    pub all: usize,
    /// Neither revoked nor expired.
    pub live: usize,
}

/// All tenants, keys and accounts. Whoever asks holds its lock for as long as a look into a map takes.
pub(crate) struct View {
    known: RwLock<Known>,
    /// The default tenant as it is without events.
    default_tenant: Arc<Tenant>,
}

/// By streams.
#[derive(Default)]
pub(crate) struct Known {
    tenants: HashMap<Uuid, Folded<Tenant>>,
    keys: HashMap<Uuid, Folded<ApiKey>>,
    members: HashMap<Uuid, Folded<Member>>,
    /// The members of all tenants that have an email, by what it is compared by. An email never changes.
    by_email: HashMap<String, BTreeSet<Uuid>>,
    accounts: HashMap<Uuid, Folded<Account>>,
    routes: HashMap<Uuid, Folded<Route>>,
    pools: HashMap<Uuid, Folded<Pool>>,
    /// What the fleet told of accounts, by provider and what that calls them: their streams are of a month each.
    carriers: BTreeMap<(String, String), Told>,
}

/// What was told of an account, by its last event.
struct Told {
    carrier: Arc<Carrier>,
    position: Position,
}

/// What has changed by some events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Accounts of the log, routes, or pools.
    pub(crate) accounts: bool,
    /// What was told of accounts.
    pub(crate) carriers: bool,
}

/// A stream, folded.
struct Folded<S> {
    tenant_id: TenantId,
    /// None where this build cannot read one of its events. Such a key opens nothing, and no key of such a tenant
    /// does, because the event may be what took that from them.
    state: Option<Arc<S>>,
    /// Its last event.
    position: Position,
}

impl Default for View {
    fn default() -> Self {
        Self { known: RwLock::default(), default_tenant: Arc::new(Tenant::default()) }
    }
}

impl View {
    pub(crate) fn key(&self, id: &KeyId) -> Option<KeyEntry> {
        let known = self.read();
        let folded = known.keys.get(&api_key_id(id).0)?;
        // What this build cannot read of a tenant may be that it was suspended.
        known.tenants.get(&folded.tenant_id.0).is_none_or(|of| of.state.is_some()).then_some(())?;
        Some(KeyEntry { tenant_id: folded.tenant_id, key: folded.state.clone()? })
    }

    /// Those that this build can read.
    pub(crate) fn keys(&self) -> Vec<KeyEntry> {
        let entry = |folded: &Folded<ApiKey>| {
            Some(KeyEntry { tenant_id: folded.tenant_id, key: folded.state.clone()? })
        };
        self.read().keys.values().filter_map(entry).collect()
    }

    pub(crate) fn member(&self, id: MemberId) -> Option<MemberEntry> {
        self.read().member(id)
    }

    pub(crate) fn members_with(&self, email: &Address) -> Vec<MemberEntry> {
        let known = self.read();
        let ids = known.by_email.get(email.identity().as_str()).into_iter().flatten();
        ids.filter_map(|id| known.member(MemberId(*id))).collect()
    }

    pub(crate) fn members_known_as(&self, issuer: &str, subject: &str) -> Vec<MemberEntry> {
        let known = self.read();
        let is_it = |folded: &Folded<Member>| {
            folded.state.as_ref().is_some_and(|member| member.is_known_as(issuer, subject))
        };
        let ids = known.members.iter().filter(|(_, folded)| is_it(folded));
        ids.filter_map(|(id, _)| known.member(MemberId(*id))).collect()
    }

    pub(crate) fn members(&self) -> Vec<MemberEntry> {
        let known = self.read();
        known.members.keys().filter_map(|id| known.member(MemberId(*id))).collect()
    }

    pub(crate) fn members_of(&self, id: TenantId) -> Vec<MemberEntry> {
        let known = self.read();
        let ids = known.members.iter().filter(|(_, folded)| folded.tenant_id == id);
        ids.filter_map(|(id, _)| known.member(MemberId(*id))).collect()
    }

    pub(crate) fn tenant(&self, id: TenantId) -> Option<Arc<Tenant>> {
        let state = self.read().tenants.get(&id.0).and_then(|folded| folded.state.clone());
        state.or_else(|| (id == TenantId::DEFAULT).then(|| Arc::clone(&self.default_tenant)))
    }

    /// The default one, and those of which there are events. Their ids are in the order of time.
    pub(crate) fn tenants(&self) -> Vec<TenantId> {
        let known = self.read();
        let others = known.tenants.keys().copied().map(TenantId);
        let mut others: Vec<TenantId> = others.filter(|id| *id != TenantId::DEFAULT).collect();
        drop(known);
        others.sort_unstable();
        std::iter::once(TenantId::DEFAULT).chain(others).collect()
    }

    pub(crate) fn has_keys(&self) -> bool {
        self.read().keys.values().any(|folded| folded.state.is_some())
    }

    pub(crate) fn keys_of(&self, id: TenantId, now: DateTime<Utc>) -> KeyCount {
        let known = self.read();
        let of_tenant = known.keys.values().filter(|folded| folded.tenant_id == id);
        of_tenant.fold(KeyCount::default(), |KeyCount { all, live }, folded| {
            // One that cannot be read may be good for something.
            let is_live = folded.state.as_deref().is_none_or(|key| has_not_ended(key, now));
            KeyCount { all: all + 1, live: live + usize::from(is_live) }
        })
    }

    /// How many accounts of a tenant are there, and how many it has ever made.
    pub(crate) fn accounts_of(&self, tenant: TenantId) -> [usize; 2] {
        let known = self.read();
        let of_tenant = known.accounts.values().filter(|folded| folded.tenant_id == tenant);
        of_tenant.fold([0, 0], |[there, all], folded| {
            let is_there = folded.state.as_ref().is_none_or(|account| account.is_there());
            [there + usize::from(is_there), all + 1]
        })
    }

    /// The accounts that are there, and those that cannot be read, in the order of their streams.
    pub(crate) fn accounts(&self) -> Vec<AccountEntry> {
        let known = self.read();
        let is_there = |folded: &Folded<Account>| {
            folded.state.as_ref().is_none_or(|account| account.is_there())
        };
        let there = known.accounts.iter().filter(|(_, folded)| is_there(folded));
        let mut entries: Vec<AccountEntry> = there
            .map(|(id, folded)| AccountEntry {
                id: AccountId(*id),
                tenant_id: folded.tenant_id,
                account: folded.state.clone(),
            })
            .collect();
        entries.sort_by_key(|entry| entry.id);
        entries
    }

    /// The account whose stream that is, also where it was removed.
    pub(crate) fn account(&self, id: AccountId) -> Option<AccountEntry> {
        let known = self.read();
        let folded = known.accounts.get(&id.0)?;
        let (tenant_id, account) = (folded.tenant_id, folded.state.clone());
        Some(AccountEntry { id, tenant_id, account })
    }

    /// The routes that are there, and those that cannot be read, in the order of their streams, which is that in which
    /// they were made.
    pub(crate) fn routes(&self) -> Vec<RouteEntry> {
        let known = self.read();
        let is_there =
            |folded: &Folded<Route>| folded.state.as_ref().is_none_or(|route| route.is_there());
        let there = known.routes.iter().filter(|(_, folded)| is_there(folded));
        let mut entries: Vec<RouteEntry> = there
            .map(|(id, folded)| RouteEntry {
                id: RouteId(*id),
                tenant_id: folded.tenant_id,
                route: folded.state.clone(),
            })
            .collect();
        entries.sort_by_key(|entry| entry.id);
        entries
    }

    /// Every route of a tenant, also those that were removed, each with the position of its last event.
    pub(crate) fn routes_ever(&self, tenant: TenantId) -> Vec<(RouteEntry, Position)> {
        let known = self.read();
        let of_tenant = known.routes.iter().filter(|(_, folded)| folded.tenant_id == tenant);
        let mut entries: Vec<(RouteEntry, Position)> = of_tenant
            .map(|(id, folded)| {
                let (id, route) = (RouteId(*id), folded.state.clone());
                (RouteEntry { id, tenant_id: tenant, route }, folded.position)
            })
            .collect();
        entries.sort_by_key(|(entry, _)| entry.id);
        entries
    }

    /// As [`routes_ever`](Self::routes_ever), of accounts.
    pub(crate) fn accounts_ever(&self, tenant: TenantId) -> Vec<(AccountEntry, Position)> {
        let known = self.read();
        let of_tenant = known.accounts.iter().filter(|(_, folded)| folded.tenant_id == tenant);
        let mut entries: Vec<(AccountEntry, Position)> = of_tenant
            .map(|(id, folded)| {
                let (id, account) = (AccountId(*id), folded.state.clone());
                (AccountEntry { id, tenant_id: tenant, account }, folded.position)
            })
            .collect();
        entries.sort_by_key(|(entry, _)| entry.id);
        entries
    }

    /// How many routes of a tenant are there, and how many it has ever made.
    pub(crate) fn routes_of(&self, tenant: TenantId) -> [usize; 2] {
        let known = self.read();
        let of_tenant = known.routes.values().filter(|folded| folded.tenant_id == tenant);
        of_tenant.fold([0, 0], |[there, all], folded| {
            let is_there = folded.state.as_ref().is_none_or(|route| route.is_there());
            [there + usize::from(is_there), all + 1]
        })
    }

    /// The pools that are there, and those that cannot be read, in the order of their streams.
    pub(crate) fn pools(&self) -> Vec<PoolEntry> {
        let known = self.read();
        let is_there =
            |folded: &Folded<Pool>| folded.state.as_ref().is_none_or(|pool| pool.is_there());
        let there = known.pools.iter().filter(|(_, folded)| is_there(folded));
        let mut entries: Vec<PoolEntry> = there
            .map(|(id, folded)| PoolEntry {
                id: PoolId(*id),
                tenant_id: folded.tenant_id,
                pool: folded.state.clone(),
            })
            .collect();
        entries.sort_by_key(|entry| entry.id);
        entries
    }

    /// How many pools of a tenant are there, how many names it has given to pools, and whether `id` is one of these.
    pub(crate) fn pools_of(&self, tenant: TenantId, id: PoolId) -> ([usize; 2], bool) {
        let known = self.read();
        let of_tenant = known.pools.values().filter(|folded| folded.tenant_id == tenant);
        let counts = of_tenant.fold([0, 0], |[there, all], folded| {
            let is_there = folded.state.as_ref().is_none_or(|pool| pool.is_there());
            [there + usize::from(is_there), all + 1]
        });
        (counts, known.pools.contains_key(&id.0))
    }

    /// Shows `known`, and nothing of what was there before.
    pub(crate) fn replace(&self, known: Known) {
        *self.write() = known;
    }

    /// What the fleet told of accounts, by provider and what that calls them.
    pub(crate) fn carriers(&self) -> Vec<Arc<Carrier>> {
        self.read().carriers.values().map(|told| Arc::clone(&told.carrier)).collect()
    }

    /// What the fleet told of one account.
    pub(crate) fn carrier(&self, provider: &str, key: &str) -> Option<Arc<Carrier>> {
        let of = (provider.to_owned(), key.to_owned());
        self.read().carriers.get(&of).map(|told| Arc::clone(&told.carrier))
    }

    /// As [`Known::apply`]. Returns what the events have changed.
    pub(crate) fn apply(&self, events: &[RecordedEvent]) -> Changes {
        if !events.is_empty() {
            self.write().apply(events);
        }
        let has = |kind: &str| events.iter().any(|event| event.aggregate == kind);
        Changes {
            accounts: has(<Account as Decider>::KIND)
                || has(<Route as Decider>::KIND)
                || has(<Pool as Decider>::KIND),
            carriers: has(<Carrier as Decider>::KIND),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_not_ended(key: &ApiKey, now: DateTime<Utc>) -> bool {
    key.revoked_at().is_none() && key.expires_at().is_none_or(|end| now < end)
}
