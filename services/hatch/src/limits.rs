//! How much of this process clients may take.

use hatch_api::limits::has_route;
use hatch_api::{Connections, TrustedProxies};
use hatch_directory::Directory;
use hatch_domain::api_key::KeyId;
use hatch_domain::ids::TenantId;
use hatch_telemetry::limit::Limits;

use crate::files::Files;
use crate::settings::{LimitSettings, RateLimitSettings};

/// Connections at most, however many files there may be.
const CONNECTIONS_MAX: u64 = 10_000;

/// Files that are kept for PostgreSQL, NATS, providers, the simulator and what is read and written: half of all,
/// within these bounds.
const RESERVE_MIN: u64 = 96;
const RESERVE_MAX: u64 = 2_048;

/// Of the files, the part that connections to the simulator may take.
#[cfg(feature = "dev")]
const BESIDE_SHARE: u64 = 8;
#[cfg(feature = "dev")]
const BESIDE_MAX: u64 = 1_024;

/// Connections that there are in any case.
const CONNECTIONS_MIN: u64 = 16;

/// The places for connections, each of which takes `files_each` files.
pub(crate) fn connections(
    settings: &LimitSettings,
    limits: &Limits,
    files_each: u64,
    trusted_proxies: TrustedProxies,
) -> Connections {
    let files_max = files_max();
    let max = connections_max(files_max, files_each);
    let max = settings.connections_max.map_or(max, |set| set.min(max)).max(1);
    Connections::new(limits, max, files_max, trusted_proxies)
}

/// The places for connections to what runs beside the API, of which most are our own.
#[cfg(feature = "dev")]
pub(crate) fn beside() -> Connections {
    let files_max = files_max();
    let max = (files_max / BESIDE_SHARE).clamp(CONNECTIONS_MIN, BESIDE_MAX);
    Connections::new(&Limits::default(), max, files_max, TrustedProxies::loopback())
}

/// Those of the rate limits in `settings`, by their keys, that are of a route, a tenant or a key that there is not. Who
/// made them takes them for limits that hold.
pub(crate) fn of_nobody(settings: &RateLimitSettings, directory: &Directory) -> Vec<String> {
    let has_tenant =
        |id: &str| id.parse::<TenantId>().is_ok_and(|id| directory.tenant(id).is_some());
    let has_key = |id: &str| id.parse::<KeyId>().is_ok_and(|id| directory.key(&id).is_some());
    let (of_routes, of_tenants, of_keys) = (&settings.routes, &settings.tenants, &settings.keys);
    let routes = of_routes.keys().filter(|route| !has_route(route));
    let tenants = of_tenants.keys().filter(|id| !has_tenant(id));
    let keys = of_keys.keys().filter(|id| !has_key(id));
    let in_section =
        |section: &'static str| move |name: &String| format!("rate_limit.{section}.{name:?}");
    let routes = routes.map(in_section("routes"));
    let others = tenants.map(in_section("tenants")).chain(keys.map(in_section("keys")));
    routes.chain(others).collect()
}

/// Where the system does not tell, it has no limit.
fn files_max() -> u64 {
    Files::allowed().map_or(u64::MAX, |files| files.soft)
}

/// How many connections of `files_each` files leave enough of `files_max` to the rest.
fn connections_max(files_max: u64, files_each: u64) -> u64 {
    let reserve = (files_max / 2).clamp(RESERVE_MIN, RESERVE_MAX);
    (files_max.saturating_sub(reserve) / files_each).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hatch_domain::api_key::{ApiKey, api_key_id};
    use hatch_eventstore::Position;
    use hatch_readmodel::{Stored, StoredConfiguration};

    use super::*;

    #[test]
    fn a_rate_limit_of_what_there_is_not_is_named() {
        let id: KeyId = "7Qm2xVb9Lk4R".parse().expect("an id");
        let key = Stored {
            id: api_key_id(&id).0,
            tenant_id: TenantId::DEFAULT,
            state: Some(ApiKey::default()),
            position: Position(1),
        };
        let api_keys = vec![key];
        let directory =
            Directory::of(StoredConfiguration { api_keys, ..StoredConfiguration::default() });
        let (tenant, other) =
            (TenantId::DEFAULT.to_string(), "0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11");
        let of = |names: [&str; 2]| BTreeMap::from(names.map(|name| (name.to_owned(), 7)));
        let settings = RateLimitSettings {
            routes: of(["POST /api/v1/messages", "POST /api/v1/message"]),
            tenants: of([tenant.as_str(), other]),
            // As a variable of the environment has it.
            keys: of(["7Qm2xVb9Lk4R", "7qm2xvb9lk4r"]),
            ..RateLimitSettings::default()
        };
        let expected = [
            "rate_limit.routes.\"POST /api/v1/message\"".to_owned(),
            format!("rate_limit.tenants.{other:?}"),
            "rate_limit.keys.\"7qm2xvb9lk4r\"".to_owned(),
        ];
        assert_eq!(of_nobody(&settings, &directory), expected);
        assert!(of_nobody(&RateLimitSettings::default(), &Directory::of_nobody()).is_empty());
    }

    #[test]
    fn files_are_left_for_our_own_needs() {
        let cases =
            [(64, 1, 16), (256, 1, 128), (1_024, 1, 512), (1_024, 2, 256), (8_192, 1, 6_144)];
        for (files, each, connections) in cases {
            assert_eq!(connections_max(files, each), connections, "{files} files");
        }
        assert_eq!(connections_max(u64::MAX, 1), CONNECTIONS_MAX);
    }
}
