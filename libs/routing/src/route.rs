//! Routes: which messages are for which accounts.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_domain::route::{Reach, Weighted};
use hatch_domain::{Channel, Priority};

/// The message that an account is sought for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Whose it is.
    pub tenant: TenantId,
    /// How it travels.
    pub channel: Channel,
    /// Who sends it.
    pub from: &'a Address,
    /// Whom it is to: of several the first.
    pub to: &'a Address,
    /// Which of two waiting messages goes first.
    pub priority: Priority,
    /// The only account that may carry it, where its request says so.
    pub account: Option<&'a AccountName>,
    /// What weights choose by ([`seed`](crate::seed)).
    pub seed: u64,
}

/// What a route is called: in the files by its `name`, or by its place (`file-2`); in the log by its name, or its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteName(String);

impl RouteName {
    /// The route that is called so.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which messages are for which accounts. A condition that is not said holds for every message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What it is called.
    pub name: RouteName,
    /// Whose messages.
    pub tenants: Option<Vec<TenantId>>,
    /// How they travel.
    pub channel: Option<Channel>,
    /// Whom they are to.
    pub to: Option<Reach>,
    /// Who sends them.
    pub from: Option<Address>,
    /// Which priority they have.
    pub priority: Option<Priority>,
    /// The accounts that share them, by weight.
    pub accounts: Vec<Weighted>,
    /// Those that carry what none of these can, in this order.
    pub backup: Vec<AccountName>,
}

impl Route {
    /// Whether the message is one of its.
    #[must_use]
    pub fn fits(&self, asked: &Asked<'_>) -> bool {
        self.is_of(asked.tenant) && self.fits_otherwise(asked)
    }

    /// Whether the message is one of its, where it has the tenant's.
    fn fits_otherwise(&self, asked: &Asked<'_>) -> bool {
        self.channel.is_none_or(|channel| channel == asked.channel)
            && self.priority.is_none_or(|priority| priority == asked.priority)
            && self.to.as_ref().is_none_or(|reach| reach.has(asked.to))
            && self.from.as_ref().is_none_or(|from| from.identity() == asked.from.identity())
    }

    /// Whether it is for messages of the tenant.
    #[must_use]
    pub fn is_of(&self, tenant: TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(&tenant))
    }

    /// Every account that it names.
    pub fn names(&self) -> impl Iterator<Item = &AccountName> {
        self.accounts.iter().map(|weighted| &weighted.account).chain(&self.backup)
    }
}

/// Routes in their order: of those that fit a message the first decides, alone.
#[derive(Debug, Clone, Default)]
pub struct RouteTable(Arc<Indexed>);

/// Routes, and which ones there are to look at for a message: those of other tenants cost it nothing.
#[derive(Debug, Default)]
struct Indexed {
    routes: Vec<Route>,
    /// How many of them the log has; the others are of the files.
    of_log: usize,
    /// The places of those that some tenants alone have, in their order.
    of_tenants: HashMap<TenantId, Vec<usize>>,
    /// The places of those that all have.
    of_all: Vec<usize>,
}

impl RouteTable {
    /// These routes, in this order.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        Self::with(routes, 0)
    }

    fn with(routes: Vec<Route>, of_log: usize) -> Self {
        let mut indexed = Indexed { of_log, ..Indexed::default() };
        for (place, route) in routes.iter().enumerate() {
            match &route.tenants {
                None => indexed.of_all.push(place),
                Some(tenants) => {
                    for tenant in tenants {
                        indexed.of_tenants.entry(*tenant).or_default().push(place);
                    }
                }
            }
        }
        Self(Arc::new(Indexed { routes, ..indexed }))
    }

    /// Those of the log before those of the files.
    #[must_use]
    pub fn joined(of_log: Vec<Route>, of_files: &[Route]) -> Self {
        let count = of_log.len();
        Self::with(of_log.into_iter().chain(of_files.iter().cloned()).collect(), count)
    }

    /// Those that the log does not have, in their order.
    #[must_use]
    pub fn of_files(&self) -> &[Route] {
        &self.0.routes[self.0.of_log..]
    }

    /// All of them, in their order.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.0.routes
    }

    /// The route that decides about the message.
    #[must_use]
    pub fn first_that_fits(&self, asked: &Asked<'_>) -> Option<&Route> {
        let first = |places: &[usize]| {
            places.iter().copied().find(|place| self.0.routes[*place].fits_otherwise(asked))
        };
        let own = self.0.of_tenants.get(&asked.tenant).and_then(|places| first(places));
        let place = own.into_iter().chain(first(&self.0.of_all)).min()?;
        self.0.routes.get(place)
    }

    /// The tenants about whose messages another route may decide than by `before`; none where they may be anybody's.
    #[must_use]
    pub fn rerouted(&self, before: &Self) -> Option<BTreeSet<TenantId>> {
        if Arc::ptr_eq(&self.0, &before.0) || self.0.routes == before.0.routes {
            return Some(BTreeSet::new());
        }
        if !self.at(&self.0.of_all).eq(before.at(&before.0.of_all)) {
            return None;
        }
        let tenants = self.0.of_tenants.keys().chain(before.0.of_tenants.keys()).copied();
        let is_rerouted = |tenant: &TenantId| !self.of(*tenant).eq(before.of(*tenant));
        let rerouted: BTreeSet<_> = tenants.filter(is_rerouted).collect();
        // Otherwise those of a tenant and those of all stand in another order.
        (!rerouted.is_empty()).then_some(rerouted)
    }

    /// The routes that the tenant has beside those of all, in their order.
    fn of(&self, tenant: TenantId) -> impl Iterator<Item = &Route> {
        self.at(self.0.of_tenants.get(&tenant).map(Vec::as_slice).unwrap_or_default())
    }

    fn at<'a>(&'a self, places: &'a [usize]) -> impl Iterator<Item = &'a Route> {
        places.iter().filter_map(|place| self.0.routes.get(*place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_routes_reroutes_those_whose_messages_they_are() {
        let (one, other) = (TenantId(uuid::Uuid::from_u128(1)), TenantId(uuid::Uuid::from_u128(2)));
        let of = |tenant: Option<TenantId>, account: &str| Route {
            name: RouteName::new("main"),
            tenants: tenant.map(|tenant| vec![tenant]),
            channel: None,
            to: None,
            from: None,
            priority: None,
            accounts: vec![Weighted { account: account.parse().expect("a name"), weight: 100 }],
            backup: Vec::new(),
        };
        let (ones, others, alls) = (of(Some(one), "a"), of(Some(other), "a"), of(None, "a"));
        let before = RouteTable::new(vec![ones.clone(), others.clone(), alls.clone()]);
        for (now, rerouted) in [
            (vec![ones.clone(), others.clone(), alls.clone()], Some(vec![])),
            (vec![of(Some(one), "b"), others.clone(), alls.clone()], Some(vec![one])),
            (vec![others.clone(), alls.clone()], Some(vec![one])),
            (vec![ones.clone(), others.clone(), of(None, "b")], None),
            (vec![ones, alls, others], None),
        ] {
            let found = RouteTable::new(now.clone()).rerouted(&before);
            let found = found.map(|tenants| tenants.into_iter().collect::<Vec<_>>());
            assert_eq!(found, rerouted, "{now:?}");
        }
    }
}
