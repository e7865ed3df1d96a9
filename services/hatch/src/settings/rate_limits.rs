//! How often a client may ask, as it is set.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use hatch_api::limits::{REQUESTS_MAX, Rules, WINDOW_S_MAX};
use hatch_domain::api_key::KeyId;
use hatch_domain::ids::TenantId;
use schemars::JsonSchema;
use serde::Deserialize;

/// How often a client may ask, over all processes together: at each route for itself, where a client is an API key, the
/// subject of a token, the session of a person, else an address (of IPv6 the first 64 bits). A batch counts as its
/// messages. What goes beyond is answered `429` with `Retry-After`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitSettings {
    /// Whether any request is refused. Default: true for `serve`, false for `up`, and for a
    /// `serve` that uses the servers of an `up`.
    pub enabled: Option<bool>,
    /// Requests of a client at a route in a window.
    pub requests: u32,
    /// How long a window is, in seconds: 1 to 86,400. It slides; all processes must have the same.
    pub window_s: u32,
    /// Requests without valid credentials of an address in a window.
    pub wrong_credentials: u32,
    /// Requests in a window at such a route, by its method and the pattern of its path:
    /// `"POST /api/v1/messages" = 1000`.
    pub routes: BTreeMap<String, u32>,
    /// Requests in a window of a client of such a tenant, by its id, at each route; it goes before `rate_limit.routes`.
    pub tenants: BTreeMap<String, u32>,
    /// Requests in a window by such an API key, by its id, at each route; it goes before the others. Ids tell upper from
    /// lower case, as names of variables do not: the file is the place for them.
    pub keys: BTreeMap<String, u32>,
}

impl Default for RateLimitSettings {
    fn default() -> Self {
        let Rules { requests, window_s, wrong_credentials, .. } = Rules::default();
        let none = BTreeMap::new;
        let (routes, tenants, keys) = (none(), none(), none());
        Self { enabled: None, requests, window_s, wrong_credentials, routes, tenants, keys }
    }
}

impl RateLimitSettings {
    /// The limits, whether they are enabled or not.
    pub(crate) fn rules(&self) -> anyhow::Result<Rules> {
        let Self { requests, window_s, wrong_credentials, routes, tenants, keys, .. } =
            self.clone();
        if !(1..=WINDOW_S_MAX).contains(&window_s) {
            bail!(
                "configuration: rate_limit.window_s: expected 1 to {WINDOW_S_MAX}, got {window_s}"
            );
        }
        let all = [("requests", requests), ("wrong_credentials", wrong_credentials)];
        let all = all.map(|(key, limit)| (key.to_owned(), limit));
        let named = [("routes", &routes), ("tenants", &tenants), ("keys", &keys)];
        let named = named.into_iter().flat_map(|(section, limits)| {
            limits.iter().map(move |(name, limit)| (format!("{section}.{name:?}"), *limit))
        });
        for (key, limit) in all.into_iter().chain(named) {
            if !(1..=REQUESTS_MAX).contains(&limit) {
                bail!("configuration: rate_limit.{key}: expected 1 to {REQUESTS_MAX}, got {limit}");
            }
        }
        let of_tenants = "the id of a tenant, as `hatch tenants list` shows it";
        let tenants = by_id::<TenantId>("tenants", &tenants, of_tenants)?;
        let of_keys = "the id of a key, as `hatch keys list` shows it";
        let keys = by_id::<KeyId>("keys", &keys, of_keys)?;
        Ok(Rules { requests, window_s, wrong_credentials, routes, tenants, keys })
    }
}

/// `limits` by ids as they are compared, however they were written.
fn by_id<Id: FromStr + ToString>(
    section: &str,
    limits: &BTreeMap<String, u32>,
    expected: &str,
) -> anyhow::Result<BTreeMap<String, u32>> {
    let of = |(name, limit): (&String, &u32)| {
        let id = name.parse::<Id>().ok().with_context(|| {
            format!("configuration: rate_limit.{section}.{name:?}: expected {expected}")
        })?;
        anyhow::Ok((id.to_string(), *limit))
    };
    limits.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lets_nothing_pass_or_never_ends_is_refused_by_its_key() {
        let set = RateLimitSettings::default;
        let none = |name: &str| BTreeMap::from([(name.to_owned(), 0)]);
        assert!(set().rules().is_ok());
        for (settings, key) in [
            (RateLimitSettings { requests: 0, ..set() }, "rate_limit.requests"),
            (RateLimitSettings { window_s: 0, ..set() }, "rate_limit.window_s"),
            (RateLimitSettings { window_s: 86_401, ..set() }, "rate_limit.window_s"),
            (
                RateLimitSettings { wrong_credentials: u32::MAX, ..set() },
                "rate_limit.wrong_credentials",
            ),
            (RateLimitSettings { routes: none("GET /x"), ..set() }, "rate_limit.routes.\"GET /x\""),
            (RateLimitSettings { keys: none("k"), ..set() }, "rate_limit.keys.\"k\""),
        ] {
            let refused = settings.rules().expect_err(key).to_string();
            assert!(
                refused.starts_with(&format!("configuration: {key}: expected 1 to ")),
                "{refused}"
            );
        }
    }

    #[test]
    fn what_is_no_id_is_refused_and_one_of_another_spelling_is_the_same() {
        const TENANT: &str = "0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11";
        let set = RateLimitSettings::default;
        let of = |name: &str| BTreeMap::from([(name.to_owned(), 7)]);
        for (settings, says) in [
            (RateLimitSettings { tenants: of("acme"), ..set() }, "rate_limit.tenants.\"acme\""),
            (RateLimitSettings { keys: of(TENANT), ..set() }, "`hatch keys list` shows it"),
            (RateLimitSettings { keys: of("7Qm2xVb9Lk4"), ..set() }, "\"7Qm2xVb9Lk4\": expected"),
        ] {
            let refused = settings.rules().expect_err(says).to_string();
            assert!(refused.starts_with("configuration: ") && refused.contains(says), "{refused}");
        }
        let tenants = of(&TENANT.to_uppercase());
        let settings = RateLimitSettings { tenants, keys: of("7Qm2xVb9Lk4R"), ..set() };
        let rules = settings.rules().expect("ids");
        assert_eq!((rules.tenants, rules.keys), (of(TENANT), of("7Qm2xVb9Lk4R")));
    }
}
