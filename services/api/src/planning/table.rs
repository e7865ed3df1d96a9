//! The table of routes: those that the log keeps, and those of the files.

use hatch_directory::RouteEntry;
use hatch_domain::ids::TenantId;
use hatch_domain::route::RouteTerms;
use hatch_routing::{Route, RouteName, RouteTable};

/// The routes that there are: those of tenants before those of the files, and of one tenant by their order, and then by
/// when they were made. Routes of the log are their tenants' alone.
#[must_use]
pub fn route_table(files: &[Route], mut kept: Vec<RouteEntry>) -> RouteTable {
    kept.sort_by_key(|entry| {
        let route = entry.route.as_ref();
        (route.map(|route| (route.order(), route.created_at())), entry.id)
    });
    let of_log = kept.into_iter().filter_map(|entry| {
        let Some(route) = entry.route else {
            tracing::error!(route = %entry.id, "this build cannot read a route of the log, and does without it");
            return None;
        };
        let name = route.name().map_or_else(|| entry.id.to_string(), str::to_owned);
        Some(of_terms(RouteName::new(name), entry.tenant_id, route.terms().clone()))
    });
    RouteTable::joined(of_log.collect(), files)
}

/// A tenant's route.
pub(super) fn of_terms(name: RouteName, tenant: TenantId, terms: RouteTerms) -> Route {
    let RouteTerms { channel, to, from, priority, accounts, backup } = terms;
    Route { name, tenants: Some(vec![tenant]), channel, to, from, priority, accounts, backup }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use hatch_domain::Decider as _;
    use hatch_domain::ids::RouteId;
    use hatch_domain::route::event::{RouteCreated, RouteEvent};
    use hatch_domain::route::{Route as KeptRoute, Weighted};
    use uuid::Uuid;

    use super::*;

    fn tenant(n: u8) -> TenantId {
        TenantId(Uuid::from_u128(n.into()))
    }

    /// A route of the tenant `n` that was made in the second `n`.
    fn route(name: &str, n: u8, order: i32) -> RouteEntry {
        let terms = RouteTerms {
            accounts: vec![Weighted { account: "main".parse().expect("a name"), weight: 1 }],
            ..RouteTerms::default()
        };
        let event = RouteEvent::from(RouteCreated {
            name: Some(name.to_owned()),
            order,
            terms,
            created_by: "cli".to_owned(),
            at: DateTime::from_timestamp(1_800_000_000 + i64::from(n), 0).expect("in range"),
        });
        let route = Some(Arc::new(KeptRoute::default().evolve(&event)));
        RouteEntry {
            id: RouteId(Uuid::from_u128(order.unsigned_abs().into())),
            tenant_id: tenant(n),
            route,
        }
    }

    #[test]
    fn routes_of_tenants_come_first_by_their_order() {
        let file = Route {
            tenants: None,
            ..of_terms(RouteName::new("file-1"), tenant(1), RouteTerms::default())
        };
        let unreadable = RouteEntry { route: None, ..route("new", 2, 1) };
        let kept =
            vec![route("late", 2, 9), route("early", 3, -1), route("same", 1, 9), unreadable];
        let table = route_table(&[file], kept);
        let names: Vec<_> = table.routes().iter().map(|route| route.name.as_str()).collect();
        assert_eq!(names, ["early", "same", "late", "file-1"]);
        assert_eq!(table.routes()[0].tenants, Some(vec![tenant(3)]));
    }
}
