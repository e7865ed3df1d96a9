//! How often a client may ask: so many requests a window, for each client and route, over all processes together.
//!
//! A request is counted in memory and waits for nobody. What passed is told to the other processes, and asked of them,
//! once in an interval, by a table of PostgreSQL (`fleet.rs`); while that is away, each process counts for itself, so that
//! limits let through more and never keep a client out. A burst that comes to several processes within one interval
//! passes at each of them as far as that one knows: beyond the limit goes at most what one interval lets through.

mod fleet;
pub(crate) mod get_limits;
mod quota;
mod routes;
mod table;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::Request;
use futures::future::BoxFuture;
use hatch_domain::Environment;
use hatch_eventstore::Connections;
use hatch_telemetry::measure::{Counter, Family};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use self::quota::Quota;
use self::routes::Routes;
use self::table::{Client, Key, Table};
use self::window::{Moment, Standing};
use crate::auth::is_route;
use crate::client_address::ClientAddress;
use crate::problem::Problem;

/// The route under which wrong credentials are counted.
const WRONG_CREDENTIALS: &str = "wrong-credentials";

/// The longest window, in seconds.
pub const WINDOW_S_MAX: u32 = 86_400;
/// The most requests of a window.
pub const REQUESTS_MAX: u32 = 1_000_000_000;

/// Whether `route`, a method and the pattern of a path such as `POST /api/v1/messages`, is one whose requests are counted.
#[must_use]
pub fn has_route(route: &str) -> bool {
    is_route(route)
}

/// How many requests pass in a window.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Of a client at a route that nothing else is said about.
    pub requests: u32,
    /// How long a window is, in seconds.
    pub window_s: u32,
    /// Requests with wrong credentials of an address.
    pub wrong_credentials: u32,
    /// Of a client at such a route: method and pattern of its path, such as `POST /api/v1/messages`.
    pub routes: BTreeMap<String, u32>,
    /// Of a client of such a tenant, at each route: by the tenant's id. It goes before that of the route.
    pub tenants: BTreeMap<String, u32>,
    /// Of such a key, at each route: by the key's id. It goes before that of the tenant.
    pub keys: BTreeMap<String, u32>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            requests: 100,
            window_s: 60,
            wrong_credentials: 30,
            routes: BTreeMap::new(),
            tenants: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }
}

/// One limit and what it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Policy {
    name: &'static str,
    limit: u32,
}

/// The limits of a process; cheap to clone. By default there are none.
#[derive(Clone, Default)]
pub struct Limits(Option<Arc<Inner>>);

struct Inner {
    /// Those that it began with: the length of a window stays.
    rules: Rules,
    /// Those that count now.
    current: RwLock<Arc<Rules>>,
    clock: Arc<dyn Environment>,
    table: Table,
    routes: Routes,
    /// Something is to be told to others.
    changed: Notify,
    /// Somebody is near his limit.
    hurry: Notify,
    /// Whether others are not heard.
    alone: AtomicBool,
    refused: Family<String, Counter>,
}

impl Limits {
    /// Limits by `rules`, in windows by `clock`, which the processes have in common, and what shares them with the other
    /// processes until `shutdown`.
    #[must_use]
    pub fn start(
        rules: Rules,
        clock: Arc<dyn Environment>,
        pool: Connections,
        shutdown: CancellationToken,
    ) -> (Self, BoxFuture<'static, ()>) {
        let inner = Arc::new(Inner {
            current: RwLock::new(Arc::new(rules.clone())),
            rules,
            clock,
            table: Table::default(),
            routes: Routes::default(),
            changed: Notify::new(),
            hurry: Notify::new(),
            alone: AtomicBool::new(false),
            refused: Family::default(),
        });
        let sharing = fleet::run(Arc::clone(&inner), pool, shutdown);
        (Self(Some(inner)), Box::pin(sharing))
    }

    /// From now on these rules count, in windows as they were; whether there are limits at all.
    pub fn replace(&self, rules: Rules) -> bool {
        let Some(inner) = &self.0 else { return false };
        *inner.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        true
    }

    /// Counts a request with wrong credentials from `address`.
    ///
    /// # Errors
    /// There were too many, which is to be answered in place of what is wrong.
    pub fn wrong_credentials(&self, address: IpAddr) -> Result<(), Problem> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let (key, policy) = inner.of_wrong_credentials(ClientAddress(address));
        inner.take(key, policy, 1)
    }

    /// Requests that were refused, by route.
    #[must_use]
    pub fn refused(&self) -> Vec<(String, u64)> {
        let all = self.0.as_ref().map(|inner| inner.refused.all()).unwrap_or_default();
        all.into_iter().map(|(route, counter)| (route, counter.get())).collect()
    }

    /// Pairs of client and route that are remembered; none where there are no limits.
    #[must_use]
    pub fn clients(&self) -> Option<usize> {
        self.0.as_ref().map(|inner| inner.table.len())
    }

    /// Whether the counts of the other processes are not known, so that this one decides alone.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.alone.load(Ordering::Relaxed))
    }

    /// Opens the account of `request`, whose handler may charge more to it.
    pub(crate) fn open(&self, request: &mut Request) -> Quota {
        let quota =
            self.0.as_ref().map_or_else(Quota::default, |inner| Quota::of(Arc::clone(inner)));
        request.extensions_mut().insert(quota.clone());
        quota
    }
}

impl Inner {
    fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn moment(&self) -> Moment {
        let unix_ms = u64::try_from(self.clock.now().timestamp_millis()).unwrap_or_default();
        Moment::of(unix_ms, u64::from(self.rules.window_s) * 1_000)
    }

    /// What counts where wrong credentials come from `address`.
    fn of_wrong_credentials(&self, address: ClientAddress) -> (Key, Policy) {
        let client = Client::at(address.counted());
        let key = Key { client, route: self.routes.id(WRONG_CREDENTIALS) };
        (key, Policy { name: WRONG_CREDENTIALS, limit: self.current().wrong_credentials })
    }

    /// Counts `cost` requests, of which all pass or none.
    fn take(&self, key: Key, policy: Policy, cost: u32) -> Result<(), Problem> {
        self.take_more(key, policy, (0, cost))
    }

    /// Counts `cost` requests that go with `taken` ones, which have passed: all pass or none.
    fn take_more(
        &self,
        key: Key,
        policy: Policy,
        (taken, cost): (u32, u32),
    ) -> Result<(), Problem> {
        let answer = self.table.take_more(key, policy.limit, (taken, cost), self.moment());
        if answer.passes {
            self.changed.notify_one();
            if answer.hurries {
                self.hurry.notify_one();
            }
            return Ok(());
        }
        self.refused.of(&*self.routes.name(key.route)).increment();
        let Policy { name, limit } = policy;
        let window_s = self.rules.window_s;
        let what = format!("the policy {name:?} lets {limit} requests pass in {window_s} seconds");
        let whole = taken.saturating_add(cost);
        let detail = if whole > limit {
            format!("{what}, and {whole} at once where no more than half of them is used")
        } else {
            what
        };
        Err(Problem::quota_exceeded(name, seconds(answer.wait_ms).max(1), detail))
    }

    fn standing(&self, key: Key, policy: Policy) -> Standing {
        self.table.standing(key, policy.limit, self.moment())
    }

    /// What `client` may, who is of `tenant` and known by `key` if he has one, at `route`.
    fn policy(&self, route: &str, tenant: &str, key: Option<&str>) -> Policy {
        let current = self.current();
        let Rules { requests, routes, tenants, keys, .. } = &*current;
        let of_key = key.and_then(|key| Some(("key", keys.get(key)?)));
        let of_tenant = || Some(("tenant", tenants.get(tenant)?));
        let of_route = || Some(("route", routes.get(route)?));
        let (name, limit) =
            of_key.or_else(of_tenant).or_else(of_route).unwrap_or(("default", requests));
        Policy { name, limit: *limit }
    }
}

/// Whole seconds, after which `ms` are over.
fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX)
}
