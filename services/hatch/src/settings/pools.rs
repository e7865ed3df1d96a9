//! Pools of senders, as the settings have them.

use std::fmt;

use anyhow::{Context as _, ensure};
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_domain::pool::{PoolName, PoolSender, PoolTerms, WEIGHT_MAX};
use hatch_routing::Pool;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::Settings;

/// Pools at most.
const POOLS_MAX: usize = 1_000;

/// Tenants of one pool at most.
const TENANTS_MAX: usize = 1_000;

/// Stands for all tenants.
const ALL: &str = "*";

/// Several senders of text messages, of which hatch takes one for each recipient, and stays with it. A message names the
/// pool in place of `from`. Pools of tenants (`POST /api/v1/pools`) come before these.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// What the pool is called: 1 to 32 lower-case letters and digits with single dashes between them, such as `support`.
    pub name: String,
    /// The tenants whose it is, by their ids, or `*` for all. Default: `*`.
    pub tenants: Vec<String>,
    /// The channel of the messages, `sms` or `mms`. Default: both.
    pub channel: Option<String>,
    /// Whether a message that names neither a sender nor a pool has one of these. A tenant's only pool is meant by such a
    /// message, too.
    pub default: bool,
    /// Its senders, by their addresses, or with weights: `[{ address = "+12016661234", weight = 80 }, "73822"]`. An address
    /// is a phone number, a short code of 3 to 8 digits, a name of at most 11 letters, digits and spaces, or a messaging
    /// service, which may stand as `service`, too. A weight is 0 to 100; without one it is 100, and at 0 the sender gets no
    /// new recipients. `area` is the area code in North America that it stands for, where that is not the one of its number.
    pub senders: Vec<PoolSenderSettings>,
}

/// A sender of a pool: its address alone, or with more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSenderSettings {
    /// Its address.
    pub address: String,
    /// Its weight, where one is set.
    pub weight: Option<u16>,
    /// Its area code, where one is set.
    pub area: Option<String>,
}

/// One that is written as a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AsTable {
    #[serde(alias = "service")]
    address: String,
    weight: Option<u16>,
    area: Option<String>,
}

impl<'de> Deserialize<'de> for PoolSenderSettings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = PoolSenderSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the address of a sender, or a table of its address, weight and area")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let address = text.to_owned();
                Ok(PoolSenderSettings { address, weight: None, area: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let from = MapAccessDeserializer::new(map);
                let AsTable { address, weight, area } = AsTable::deserialize(from)?;
                Ok(PoolSenderSettings { address, weight, area })
            }
        }

        from.deserialize_any(Either)
    }
}

/// As the shorter of its two forms: the address.
impl JsonSchema for PoolSenderSettings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PoolSenderSettings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

impl Settings {
    /// The pools that are set.
    ///
    /// # Errors
    /// What is wrong with one of them, with its key.
    pub(crate) fn pools(&self) -> anyhow::Result<Vec<Pool>> {
        ensure!(
            self.pools.len() <= POOLS_MAX,
            "configuration: pools: expected {POOLS_MAX} at most, got {}",
            self.pools.len()
        );
        let mut pools: Vec<Pool> = Vec::new();
        for (n, set) in self.pools.iter().enumerate() {
            let pool = set.pool();
            let pool =
                pool.map_err(|error| anyhow::anyhow!("configuration: pools.{n}.{error:#}"))?;
            ensure!(
                !pools.iter().any(|other| other.name == pool.name),
                "configuration: pools.{n}.name: expected another than that of the others"
            );
            pools.push(pool);
        }
        Ok(pools)
    }
}

impl PoolSettings {
    /// The pool; an error begins with the key that it is about.
    fn pool(&self) -> anyhow::Result<Pool> {
        let name =
            self.name.parse::<PoolName>().map_err(|error| anyhow::anyhow!("name: {error}"))?;
        let sender = |(n, set): (usize, &PoolSenderSettings)| -> anyhow::Result<PoolSender> {
            let address = Address::sender(&set.address).with_context(|| format!("senders.{n}"))?;
            let weight = set.weight.unwrap_or(WEIGHT_MAX);
            Ok(PoolSender { address, weight, area: set.area.clone() })
        };
        let terms = PoolTerms {
            channel: self.channel.as_deref().map(channel).transpose()?,
            is_default: self.default,
            senders: self.senders.iter().enumerate().map(sender).collect::<anyhow::Result<_>>()?,
        };
        terms.check().map_err(|error| {
            let key = error.pointer().trim_start_matches('/').replace('/', ".");
            anyhow::anyhow!("{key}: {error}")
        })?;
        Ok(Pool { name, tenants: self.tenants()?, terms })
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

fn channel(text: &str) -> anyhow::Result<Channel> {
    let found = [Channel::Sms, Channel::Mms].into_iter().find(|channel| channel.as_str() == text);
    found.context("channel: expected sms or mms")
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;
    use super::*;

    fn pools(toml: &str, variables: &[(&str, &str)]) -> anyhow::Result<Vec<Pool>> {
        load(toml, variables)?.pools()
    }

    #[test]
    fn pools_are_tables_of_the_file_or_a_list_in_a_variable() {
        let toml = "[[pools]]\nname = \"support\"\nchannel = \"sms\"\ndefault = true\n\
            senders = [{ address = \"+1 201 666 1234\", weight = 80, area = \"212\" }, \"73822\", \
            { service = \"MG0123456789abcdef0123456789abcdef\" }]\n\
            [[pools]]\nname = \"shop\"\ntenants = [\"00000000-0000-0000-0000-000000000002\"]\nsenders = [\"My Shop\"]\n";
        let set = pools(toml, &[]).expect("good ones");
        assert_eq!(
            set.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
            ["support", "shop"]
        );
        let senders = &set[0].terms.senders;
        let addresses: Vec<_> = senders.iter().map(|one| one.address.as_str()).collect();
        assert_eq!(addresses, ["+12016661234", "73822", "MG0123456789abcdef0123456789abcdef"]);
        assert_eq!((senders[0].weight, senders[1].weight), (80, 100));
        assert_eq!(senders[0].area(), Some("212"));
        assert!(set[0].terms.is_default && set[0].tenants.is_none());
        assert_eq!(set[1].tenants.as_ref().map(Vec::len), Some(1));
        let list =
            r#"[{"name": "a", "senders": ["+12016661234", {"address": "738", "weight": 0}]}]"#;
        let set = pools("", &[("HATCH_POOLS", list)]).expect("good ones");
        assert_eq!(set[0].terms.senders.len(), 2);
    }

    #[test]
    fn what_is_wrong_with_a_pool_is_named_by_its_key() {
        for (set, key) in [
            ("name = \"a\"", "pools.0.senders"),
            ("name = \"A b\"\nsenders = [\"738\"]", "pools.0.name"),
            ("senders = [\"738\"]", "pools.0.name"),
            ("name = \"a\"\nsenders = [\"738\"]\nchannel = \"email\"", "pools.0.channel"),
            ("name = \"a\"\nsenders = [\"738\", \"user@example.com\"]", "pools.0.senders.1"),
            ("name = \"a\"\nsenders = [\"738\", \"738\"]", "pools.0.senders.1"),
            ("name = \"a\"\nsenders = [\"My Shop\"]\nchannel = \"mms\"", "pools.0.senders.0"),
            (
                "name = \"a\"\nsenders = [{ address = \"738\", weight = 101 }]",
                "pools.0.senders.0.weight",
            ),
            ("name = \"a\"\nsenders = [{ address = \"738\", weight = 0 }]", "pools.0.senders"),
            (
                "name = \"a\"\nsenders = [{ address = \"738\", area = \"x\" }]",
                "pools.0.senders.0.area",
            ),
            ("name = \"a\"\nsenders = [\"738\"]\ntenants = [\"none\"]", "pools.0.tenants"),
            (
                "name = \"a\"\nsenders = [\"738\"]\n[[pools]]\nname = \"a\"\nsenders = [\"738\"]",
                "pools.1.name",
            ),
        ] {
            let error = format!("{:#}", pools(&format!("[[pools]]\n{set}\n"), &[]).expect_err(set));
            assert!(error.starts_with(&format!("configuration: {key}:")), "{set}: {error}");
        }
        for (set, key) in
            [("nam = \"a\"", "nam"), ("name = \"a\"\nsenders = [{ adress = \"738\" }]", "senders")]
        {
            let error = format!("{:#}", pools(&format!("[[pools]]\n{set}\n"), &[]).expect_err(set));
            assert!(error.contains(key), "{error}");
        }
    }
}
