//! Who may use this installation, and what it uses, in memory: tenants, keys of the API with when each was used last,
//! members, accounts at providers, routes, and pools of senders; and the sessions of members who have signed in.
//!
//! Every request asks who it is from, and no request may cost a query for that. So a [`Directory`] holds all of it. It
//! reads the tables of the configuration once and follows the log from there, by events of those alone. It
//! reads PostgreSQL only: a key that is revoked is refused within a second, whether NATS is there or not. While
//! PostgreSQL is away, the directory answers with what it has.
//!
//! What it notes of uses goes to a table of its own, some seconds late, in one statement for all keys.

mod attempts;
mod follow;
mod sessions;
#[cfg(test)]
mod tests;
mod uses;
mod view;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Environment;
use hatch_domain::address::Address;
use hatch_domain::api_key::KeyId;
use hatch_domain::carrier::Carrier;
use hatch_domain::ids::{AccountId, MemberId, PoolId, TenantId};
use hatch_domain::tenant::Tenant;
use hatch_eventstore::schema::Schema;
use hatch_eventstore::{Connections, HeadWatch, Log, Mark, Position};
use hatch_readmodel::{ReadModel, StoredConfiguration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::attempts::{Attempts, TooMany};
use self::follow::Following;
pub use self::follow::ReadError;
pub use self::sessions::{
    Begun, SESSION_IDLE_MAX, SESSION_LIFE_MAX, Session, SessionError, SessionHash, SessionInfo,
    Sessions,
};
pub use self::uses::Use;
use self::uses::Uses;
pub use self::view::{AccountEntry, KeyCount, KeyEntry, MemberEntry, PoolEntry, RouteEntry};
use self::view::{Changes, KINDS, Known, View};

mod embedded {
    refinery::embed_migrations!("../../schema/access");
}

/// The table of last uses. It is migrated after the event store's schema, which makes the role that is granted
/// privileges here.
pub const SCHEMA: Schema = Schema::new("access", embedded::migrations::runner);

/// Tenants and keys in memory. Cheap to clone; the clones are one directory.
#[derive(Clone)]
pub struct Directory {
    shared: Arc<Shared>,
}

/// What a directory and its worker share.
struct Shared {
    view: View,
    uses: Uses,
    /// How far the log is in the view; none until the tables were read, and the log from there.
    position: watch::Sender<Option<Position>>,
    /// How often the accounts or the routes have become others.
    accounts: watch::Sender<u64>,
    /// How often the carriers have changed.
    carriers: watch::Sender<u64>,
    /// How far the log goes; none where nothing follows it.
    head: Option<HeadWatch>,
}

impl Directory {
    /// A directory, and the worker that keeps it up to date until `shutdown`. It knows nobody before the worker has
    /// read the tables and, where they are behind, the rest of the log: [`wait_for`](Self::wait_for) waits for that.
    pub fn start(
        connections: Connections,
        log: Log,
        head: HeadWatch,
        environment: Arc<dyn Environment>,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let directory = Self::with_head(Some(head.clone()));
        let following = Following {
            read_model: ReadModel::new(connections.clone()),
            log,
            head,
            environment: Arc::clone(&environment),
            shared: Arc::clone(&directory.shared),
        };
        let shared = Arc::clone(&directory.shared);
        let worker = async move {
            let writing = uses::write_for_ever(&shared.uses, &connections, environment.as_ref());
            let work = async { tokio::join!(following.run(), writing) };
            // Both go on for ever.
            let _ = shutdown.run_until_cancelled(work).await;
            uses::write_noted(&shared.uses, &connections).await;
        };
        (directory, worker)
    }

    /// One that is empty and follows nothing: for tests and tools.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self::with_head(None)
    }

    /// A directory of what the tables hold, which does not follow the log: for tools that look once.
    #[must_use]
    pub fn of(stored: StoredConfiguration) -> Self {
        Self::holding(stored.position, Known::of(stored))
    }

    /// A directory of what the log holds now, also where the tables are behind it, as before the first projector. It does
    /// not follow the log: for tools that look once.
    ///
    /// # Errors
    /// The tables or the log cannot be read.
    pub async fn read(read_model: &ReadModel, log: &Log) -> Result<Self, ReadError> {
        let stored = read_model.configuration().await?;
        let (mut mark, mut known) = (Mark::unseen(stored.position), Known::of(stored));
        let head = log.head().await?;
        while mark.position < head {
            let look = log.look(&KINDS, mark, head).await?;
            known.apply(&look.events);
            mark = look.mark;
        }
        Ok(Self::holding(mark.position, known))
    }

    fn holding(position: Position, known: Known) -> Self {
        let directory = Self::of_nobody();
        directory.shared.view.replace(known);
        directory.shared.reached(position);
        directory
    }

    fn with_head(head: Option<HeadWatch>) -> Self {
        let (view, uses) = (View::default(), Uses::default());
        let (position, accounts) = (watch::Sender::new(None), watch::Sender::new(0));
        let carriers = watch::Sender::new(0);
        Self { shared: Arc::new(Shared { view, uses, position, accounts, carriers, head }) }
    }

    /// The key of that id, revoked or not, and whose it is.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<KeyEntry> {
        self.shared.view.key(id)
    }

    /// The keys of all tenants, those that have ended among them, in no order. It walks all that there are.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyEntry> {
        self.shared.view.keys()
    }

    /// The member of that id, invited, removed or not, and whose he is.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<MemberEntry> {
        self.shared.view.member(id)
    }

    /// The members of all tenants that have this email, in the order of their ids.
    #[must_use]
    pub fn members_with(&self, email: &Address) -> Vec<MemberEntry> {
        self.shared.view.members_with(email)
    }

    /// The members of all tenants that are known elsewhere as this. It walks all that there are.
    #[must_use]
    pub fn members_known_as(&self, issuer: &str, subject: &str) -> Vec<MemberEntry> {
        self.shared.view.members_known_as(issuer, subject)
    }

    /// The members of all tenants. It walks all that there are.
    #[must_use]
    pub fn members(&self) -> Vec<MemberEntry> {
        self.shared.view.members()
    }

    /// The members of the tenant. It walks all that there are.
    #[must_use]
    pub fn members_of(&self, id: TenantId) -> Vec<MemberEntry> {
        self.shared.view.members_of(id)
    }

    /// The tenant. The default one is always there.
    #[must_use]
    pub fn tenant(&self, id: TenantId) -> Option<Arc<Tenant>> {
        self.shared.view.tenant(id)
    }

    /// All tenants, suspended ones among them, the default one first and then in the order in which they were made; none
    /// until the log was read.
    #[must_use]
    pub fn tenants(&self) -> Option<Vec<TenantId>> {
        self.shared.position.borrow().as_ref()?;
        Some(self.shared.view.tenants())
    }

    /// Whether a key was ever made, though all may have ended.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.shared.view.has_keys()
    }

    /// How many keys the tenant has. It walks all that there are.
    #[must_use]
    pub fn keys_of(&self, id: TenantId, now: DateTime<Utc>) -> KeyCount {
        self.shared.view.keys_of(id, now)
    }

    /// The accounts at providers that the log keeps, of all tenants, in the order of their streams. An entry without an
    /// account is one that this build cannot read.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountEntry> {
        self.shared.view.accounts()
    }

    /// How many accounts of a tenant are there, and how many it has ever made.
    #[must_use]
    pub fn accounts_of(&self, tenant: TenantId) -> [usize; 2] {
        self.shared.view.accounts_of(tenant)
    }

    /// The account whose stream that is, also where it was removed.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<AccountEntry> {
        self.shared.view.account(id)
    }

    /// The routes that the log keeps, of all tenants, in the order in which they were made. An entry without a route is
    /// one that this build cannot read.
    #[must_use]
    pub fn routes(&self) -> Vec<RouteEntry> {
        self.shared.view.routes()
    }

    /// Every route of a tenant, also those that were removed, each with the position of its last event: for who looks
    /// for what there was once.
    #[must_use]
    pub fn routes_ever(&self, tenant: TenantId) -> Vec<(RouteEntry, Position)> {
        self.shared.view.routes_ever(tenant)
    }

    /// As [`routes_ever`](Self::routes_ever), of accounts at providers.
    #[must_use]
    pub fn accounts_ever(&self, tenant: TenantId) -> Vec<(AccountEntry, Position)> {
        self.shared.view.accounts_ever(tenant)
    }

    /// How many routes of a tenant are there, and how many it has ever made.
    #[must_use]
    pub fn routes_of(&self, tenant: TenantId) -> [usize; 2] {
        self.shared.view.routes_of(tenant)
    }

    /// The pools of senders that the log keeps, of all tenants. An entry without a pool is one that this build cannot
    /// read.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolEntry> {
        self.shared.view.pools()
    }

    /// How many pools of a tenant are there, how many names it has given to pools, and whether `id` is one of these.
    #[must_use]
    pub fn pools_of(&self, tenant: TenantId, id: PoolId) -> ([usize; 2], bool) {
        self.shared.view.pools_of(tenant, id)
    }

    /// Changes whenever [`accounts`](Self::accounts), [`routes`](Self::routes) or [`pools`](Self::pools) may be others.
    #[must_use]
    pub fn account_changes(&self) -> watch::Receiver<u64> {
        self.shared.accounts.subscribe()
    }

    /// The accounts at providers about which the log has an event of the fleet.
    #[must_use]
    pub fn carriers(&self) -> Vec<Arc<Carrier>> {
        self.shared.view.carriers()
    }

    /// What the fleet told of the account that the provider calls `key`.
    #[must_use]
    pub fn carrier(&self, provider: &str, key: &str) -> Option<Arc<Carrier>> {
        self.shared.view.carrier(provider, key)
    }

    /// Changes whenever [`carriers`](Self::carriers) may be others.
    #[must_use]
    pub fn carrier_changes(&self) -> watch::Receiver<u64> {
        self.shared.carriers.subscribe()
    }

    /// Notes that a key that was found here was used. It is written down some seconds later.
    pub fn used(&self, entry: &KeyEntry, used: Use) {
        self.shared.uses.note(entry.key.id(), entry.tenant_id, used);
    }

    /// How far the log is in it; before the first event until it has been read.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared.position.borrow().unwrap_or(Position::START)
    }

    /// Whether the tables were read, and the log as far as it went then: before that it knows nobody.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.shared.position.borrow().is_some()
    }

    /// Where it is behind the head of the log as it is known now, waits until it is there, for `limit` at most;
    /// whether it may know more now. It asks nobody.
    pub async fn catch_up(&self, limit: Duration) -> bool {
        let Some(head) = self.shared.head.as_ref().map(HeadWatch::current) else { return false };
        if head <= self.position() {
            return false;
        }
        let _ = self.wait_for(head, limit).await;
        true
    }

    /// Waits until it has the log up to `position`, for `limit` at most; whether it has. Also where `position` is before
    /// the first event, it waits until the log has been read as far as it was.
    pub async fn wait_for(&self, position: Position, limit: Duration) -> bool {
        let mut at = self.shared.position.subscribe();
        let reached = at.wait_for(|at| at.is_some_and(|at| at >= position));
        matches!(tokio::time::timeout(limit, reached).await, Ok(Ok(_)))
    }
}

impl Shared {
    /// Tells those who wait for it what may be otherwise now.
    fn changed(&self, Changes { accounts, carriers }: Changes) {
        for (has_changed, told) in [(accounts, &self.accounts), (carriers, &self.carriers)] {
            if has_changed {
                told.send_modify(|times| *times = times.wrapping_add(1));
            }
        }
    }

    /// The view has the log up to `position`.
    fn reached(&self, position: Position) {
        self.position.send_if_modified(|at| {
            let changed = *at != Some(position);
            *at = Some(position);
            changed
        });
    }
}
