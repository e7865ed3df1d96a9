//! Which messages go by which accounts, as the settings have it.

use std::fmt;

use anyhow::{Context as _, bail, ensure};
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_domain::route::{RouteTerms, WEIGHT_MAX, Weighted, is_name};
use hatch_domain::{Channel, Priority};
use hatch_providers::Account;
use hatch_routing::{Route, RouteName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::Settings;

/// Routes at most.
const ROUTES_MAX: usize = 1_000;

/// Tenants of one route at most.
const TENANTS_MAX: usize = 1_000;

/// The weight of an account that is named without one.
const WEIGHT: u16 = WEIGHT_MAX;

/// Stands for all tenants.
const ALL: &str = "*";

/// Which messages go by which accounts. The first route that fits a message decides about it alone; a condition that is
/// left out holds for every message. Routes of tenants (`POST /api/v1/routes`) come before these. Where no route fits, all
/// accounts stand in the order of their names: the first carries everything, and the others are its backups.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteSettings {
    /// What the route is called in plans, claims and timelines, 1 to 64 characters. Default: `file-` and its place, from 1.
    pub name: Option<String>,
    /// The channel of the messages: `sms`, `mms` or `email`. Default: any.
    pub channel: Option<String>,
    /// Whom they are to: the beginning of a number, such as `+44`, or a domain with those below it, such as `example.com`.
    /// Of several recipients the first counts. Default: anybody.
    pub to: Option<String>,
    /// Who sends them, such as `+12016661234`. Default: anybody.
    pub from: Option<String>,
    /// Their priority: `high`, `normal` or `bulk`. Default: any.
    pub priority: Option<String>,
    /// The tenants whose they are, by their ids, or `*` for all. Default: `*`.
    pub tenants: Vec<String>,
    /// The accounts that share the messages, by their names, or with their weights:
    /// `[{ name = "vonage", weight = 80 }, { name = "twilio", weight = 20 }]`. A weight is 0 to 100; without one it is 100,
    /// and at 0 the account carries none.
    pub accounts: Vec<RouteAccount>,
    /// The accounts that carry what none of these can, in this order.
    pub backup: Vec<String>,
}

/// An account of a route: its name alone, or with a weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteAccount {
    /// Its name.
    pub name: String,
    /// Its weight, where one is set.
    pub weight: Option<u16>,
}

/// One that is written with its weight.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithWeight {
    name: String,
    weight: Option<u16>,
}

impl<'de> Deserialize<'de> for RouteAccount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = RouteAccount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an account, or a table of its name and weight")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<RouteAccount, E> {
                Ok(RouteAccount { name: name.to_owned(), weight: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RouteAccount, A::Error> {
                let from = MapAccessDeserializer::new(map);
                let WithWeight { name, weight } = WithWeight::deserialize(from)?;
                Ok(RouteAccount { name, weight })
            }
        }

        from.deserialize_any(Either)
    }
}

/// As the shorter of its two forms: the name.
impl JsonSchema for RouteAccount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RouteAccount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

impl Settings {
    /// The routes that are set, which go by `accounts`.
    ///
    /// # Errors
    /// What is wrong with one of them, with its key.
    pub(crate) fn routes(&self, accounts: &[Account]) -> anyhow::Result<Vec<Route>> {
        ensure!(
            self.routes.len() <= ROUTES_MAX,
            "configuration: routes: expected {ROUTES_MAX} at most, got {}",
            self.routes.len()
        );
        let mut routes: Vec<Route> = Vec::new();
        for (n, set) in self.routes.iter().enumerate() {
            let place = || format!("configuration: routes.{n}");
            let route = set.route(n, accounts);
            let route = route.map_err(|error| anyhow::anyhow!("{}.{error:#}", place()))?;
            ensure!(
                !routes.iter().any(|other| other.name == route.name),
                "{}.name: expected another than that of the others",
                place()
            );
            routes.push(route);
        }
        Ok(routes)
    }
}

impl RouteSettings {
    /// The route at the place `n`; an error begins with the key that it is about.
    fn route(&self, n: usize, accounts: &[Account]) -> anyhow::Result<Route> {
        let name = match &self.name {
            Some(name) => {
                ensure!(is_name(name), "name: expected 1 to 64 printable characters");
                name.clone()
            }
            None => format!("file-{}", n + 1),
        };
        let account = |key: &str, text: &str| -> anyhow::Result<AccountName> {
            let name: AccountName =
                text.parse::<AccountName>().map_err(|error| anyhow::anyhow!("{key}: {error}"))?;
            ensure!(
                accounts.iter().any(|known| known.name == name),
                "{key}: expected accounts that are set, got {name}"
            );
            Ok(name)
        };
        let weighted = |set: &RouteAccount| -> anyhow::Result<Weighted> {
            let account = account("accounts", &set.name)?;
            Ok(Weighted { account, weight: set.weight.unwrap_or(WEIGHT) })
        };
        let terms = RouteTerms {
            channel: self.channel.as_deref().map(channel).transpose()?,
            to: self.to.as_deref().map(str::parse).transpose().context("to")?,
            from: self.from.as_deref().map(Address::wanted).transpose().context("from")?,
            priority: self.priority.as_deref().map(priority).transpose()?,
            accounts: self.accounts.iter().map(weighted).collect::<anyhow::Result<_>>()?,
            backup: self
                .backup
                .iter()
                .map(|text| account("backup", text))
                .collect::<anyhow::Result<_>>()?,
        };
        terms.check().map_err(|error| anyhow::anyhow!("{}: {error}", error.field()))?;
        carried(&terms, accounts)?;
        let RouteTerms { channel, to, from, priority, accounts, backup } = terms;
        let (name, tenants) = (RouteName::new(name), self.tenants()?);
        Ok(Route { name, tenants, channel, to, from, priority, accounts, backup })
    }

    fn tenants(&self) -> anyhow::Result<Option<Vec<TenantId>>> {
        let tenant = |text: &String| {
            text.parse::<TenantId>().ok().context("tenants: expected ids of tenants, or * alone")
        };
        ensure!(self.tenants.len() <= TENANTS_MAX, "tenants: expected {TENANTS_MAX} at most");
        match self.tenants.as_slice() {
            [] => Ok(None),
            [all] if all == ALL => Ok(None),
            these => these.iter().map(tenant).collect::<anyhow::Result<_>>().map(Some),
        }
    }
}

/// Refuses an account that never carries the route's channel.
fn carried(terms: &RouteTerms, accounts: &[Account]) -> anyhow::Result<()> {
    let Some(channel) = terms.channel else { return Ok(()) };
    let carries = |name: &AccountName| {
        let mut called_so = accounts.iter().filter(|account| account.name == *name);
        called_so.any(|account| account.channels.contains(&channel))
    };
    if let Some(other) = terms.names().find(|name| !carries(name)) {
        let key = if terms.backup.contains(other) { "backup" } else { "accounts" };
        bail!("{key}: expected accounts that carry {}, got {other}", channel.as_str());
    }
    Ok(())
}

fn channel(text: &str) -> anyhow::Result<Channel> {
    let mut known = Channel::ALL.into_iter().filter(|channel| channel.has_provider());
    let found = known.find(|channel| channel.as_str() == text);
    found.context("channel: expected sms, mms or email")
}

fn priority(text: &str) -> anyhow::Result<Priority> {
    Priority::named(text).context("priority: expected high, normal or bulk")
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;
    use super::*;
    use crate::roles::accounts;

    /// Two accounts for texts and one for mails.
    const ACCOUNTS: &str = "public_url = \"https://hatch.example.com\"\n\
        [accounts.one]\nprovider = \"twilio\"\naccount_sid = \"AC00000000000000000000000000000000\"\nauth_token = \"t\"\n\
        [accounts.two]\nprovider = \"twilio\"\naccount_sid = \"AC00000000000000000000000000000001\"\nauth_token = \"t\"\n";

    fn routes(toml: &str, variables: &[(&str, &str)]) -> anyhow::Result<Vec<Route>> {
        let settings = load(&format!("{ACCOUNTS}{toml}"), variables)?;
        settings.routes(&accounts(&settings)?)
    }

    #[test]
    fn routes_are_tables_of_the_file_or_a_list_in_a_variable() {
        let toml = "[[routes]]\nname = \"UK\"\nchannel = \"sms\"\nto = \"+44\"\npriority = \"low\"\n\
            accounts = [{ name = \"two\", weight = 80 }, { name = \"one\", weight = 20 }]\n\
            [[routes]]\nfrom = \"+1 201 666 1234\"\ntenants = [\"00000000-0000-0000-0000-000000000002\"]\n\
            accounts = [\"one\"]\nbackup = [\"two\"]\n";
        let set = routes(toml, &[]).expect("good ones");
        assert_eq!(set.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["UK", "file-2"]);
        let weights: Vec<_> = set[0].accounts.iter().map(|one| one.weight).collect();
        assert_eq!((weights, set[0].priority), (vec![80, 20], Priority::named("low")));
        assert_eq!(set[0].to.as_ref().map(|to| to.as_str()), Some("+44"));
        assert_eq!(set[1].from.as_ref().map(Address::as_str), Some("+12016661234"));
        assert_eq!((set[1].accounts[0].weight, set[1].backup.len()), (100, 1));
        assert_eq!(set[1].tenants.as_ref().map(Vec::len), Some(1));
        let list = r#"[{"channel": "sms", "accounts": ["one", {"name": "two", "weight": 0}]}]"#;
        let set = routes("", &[("HATCH_ROUTES", list)]).expect("good ones");
        assert_eq!(set[0].accounts.len(), 2);
    }

    #[test]
    fn what_is_wrong_with_a_route_is_named_by_its_key() {
        for (set, key) in [
            (
                "accounts = [\"three\"]",
                "routes.0.accounts: expected accounts that are set, got three",
            ),
            ("accounts = [\"one\"]\nbackup = [\"three\"]", "routes.0.backup"),
            ("accounts = []", "routes.0.accounts"),
            ("accounts = [{ name = \"one\", weight = 0 }]", "routes.0.accounts"),
            ("accounts = [{ name = \"one\", weight = 101 }]", "routes.0.accounts"),
            ("accounts = [\"one\", \"one\"]", "routes.0.accounts"),
            ("accounts = [\"one\"]\nto = \"44\"", "routes.0.to"),
            ("accounts = [\"one\"]\nto = \"no domain\"", "routes.0.to"),
            ("accounts = [\"one\"]\nchannel = \"email\"", "routes.0.accounts"),
            ("accounts = [\"one\"]\nchannel = \"sms\"\nto = \"example.com\"", "routes.0.to"),
            ("accounts = [\"one\"]\nchannel = \"chat\"", "routes.0.channel"),
            ("accounts = [\"one\"]\npriority = \"soon\"", "routes.0.priority"),
            ("accounts = [\"one\"]\nfrom = \"+\"", "routes.0.from"),
            ("accounts = [\"one\"]\ntenants = [\"none\"]", "routes.0.tenants"),
            ("accounts = [\"one\"]\nname = \"\"", "routes.0.name"),
            (
                "accounts = [\"one\"]\nname = \"file-2\"\n[[routes]]\naccounts = [\"one\"]",
                "routes.1.name",
            ),
        ] {
            let error =
                format!("{:#}", routes(&format!("[[routes]]\n{set}\n"), &[]).expect_err(set));
            assert!(error.starts_with(&format!("configuration: {key}")), "{set}: {error}");
        }
        for (set, key) in
            [("account = [\"one\"]", "account"), ("accounts = [{ nam = \"a\" }]", "accounts")]
        {
            let error =
                format!("{:#}", routes(&format!("[[routes]]\n{set}\n"), &[]).expect_err(set));
            assert!(error.contains(key), "{error}");
        }
        let many = "[[routes]]\naccounts = [\"one\"]\n".repeat(1_001);
        let error = format!("{:#}", routes(&many, &[]).expect_err("too many"));
        assert!(error.contains("routes: expected 1000 at most"), "{error}");
    }
}
