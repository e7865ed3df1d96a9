//! Sections that are called as providers: each is the account of that name, set where it is shortest.

use std::path::Path;

use anyhow::bail;
use figment::Figment;
use figment::providers::Serialized;
use figment::value::Value;
use hatch_domain::Channel;
use hatch_domain::account_name::AccountName;
use hatch_providers::{PROVIDERS, Provider, faults, provider};
use reqwest::Url;
use serde_json::{Map, Value as Json, json};

use super::accounts::{AccountSettings, AccountsByName, FILE};
use super::{environment, refusal};

/// Where the simulator keeps its files, in the data folder.
const SIMULATOR_FILES: &str = "simulator";

/// How long the accounts of `up` wait for their providers: its leases leave no room for the usual.
const WAITS_MS: [(&str, u64); 2] = [("http_timeout_ms", 3_000), ("connect_timeout_ms", 1_000)];

/// Of a lease that somebody has set shorter than `up` has it, a call takes half at most, less what its outcome needs,
/// and the connection for it half of that.
const OUTCOME_MS: u64 = 1_000;

/// The shortest wait that is made of that.
const WAIT_MIN_MS: u64 = 100;

/// An account that `up` has.
pub(super) struct OfUp {
    /// hatch's own name of it.
    pub(super) name: AccountName,
    /// Its provider's name.
    pub(super) provider: &'static str,
    /// What is set of it.
    pub(super) set: Json,
}

impl OfUp {
    /// Where it is set.
    fn section(&self) -> String {
        match self.name.as_str() == self.provider {
            true => self.provider.to_owned(),
            false => format!("accounts.{}", self.name),
        }
    }
}

/// The accounts of `up`, whose simulator is at `simulator` and keeps its files in `folder`: in the order in which `up`
/// sends by them, which is that of the registry.
pub(super) fn of_up(simulator: &str, folder: &Path) -> Vec<OfUp> {
    let Ok(simulator) = Url::parse(simulator) else { return Vec::new() };
    let files = folder.join(SIMULATOR_FILES);
    let mut all = Vec::new();
    for provider in PROVIDERS {
        for (name, mut set) in provider.development(&simulator, &files) {
            for (key, ms) in waits(*provider) {
                set[key] = ms.into();
            }
            let provider = provider.name();
            if name.as_str() != provider {
                set["provider"] = provider.into();
            }
            all.push(OfUp { name, provider, set });
        }
    }
    all
}

impl OfUp {
    /// Whether the files are there that its keys name. The simulator makes them when it starts for the first time.
    pub(super) fn has_its_files(&self) -> bool {
        let keys = self.set.as_object().into_iter().flatten();
        let mut files = keys.filter(|(key, _)| key.ends_with(FILE));
        files.all(|(_, path)| path.as_str().is_some_and(|path| Path::new(path).exists()))
    }
}

fn waits(provider: &dyn Provider) -> impl Iterator<Item = (&'static str, u64)> {
    let known = &provider.schema()["properties"];
    WAITS_MS.into_iter().filter(move |(key, _)| known.get(*key).is_some())
}

/// How long a call may take at most within the lease that is `set`; none where none is.
fn longest_wait_ms(set: &Figment) -> Option<u64> {
    let lease_ms: u64 = set.extract_inner("dispatcher.lease_ms").ok()?;
    Some((lease_ms.saturating_sub(OUTCOME_MS) / 2).max(WAIT_MIN_MS))
}

/// The accounts among `all` of `up` that `set` does not set anew, and for those that it sets the waits of `up`.
pub(super) fn defaults_of_up(all: &[OfUp], set: &Figment) -> Figment {
    let names = names(set);
    let mut defaults = Figment::new();
    // Who sets an account of that name has it in the place of the one of `up`.
    let longest_ms = longest_wait_ms(set);
    for account in all.iter().filter(|one| !names.contains(&one.name)) {
        let (section, mut of_up) = (account.section(), account.set.clone());
        for ((key, ms), of_longest) in WAITS_MS.into_iter().zip([1, 2]) {
            if let Some(longest_ms) = longest_ms.filter(|_| of_up.get(key).is_some()) {
                of_up[key] = ms.min(longest_ms / of_longest).into();
            }
        }
        defaults = defaults.merge(Serialized::default(&section, &of_up));
    }
    for name in names {
        let set: Option<String> = set.extract_inner(&format!("accounts.{name}.provider")).ok();
        let Some(provider) = provider(set.as_deref().unwrap_or(name.as_str())) else { continue };
        for (key, ms) in waits(provider) {
            let key = format!("accounts.{name}.{key}");
            defaults = defaults.merge(Serialized::default(&key, ms));
        }
    }
    if let Some(routes) = routes_of_up(all, set) {
        defaults = defaults.merge(Serialized::default("routes", routes));
    }
    defaults
}

/// The accounts that `set` sets by name. What is no name is refused later, and may have a dot in it.
fn names(set: &Figment) -> Vec<AccountName> {
    let accounts = set.find_value("accounts").ok().and_then(Value::into_dict);
    accounts.into_iter().flatten().filter_map(|(name, _)| name.parse().ok()).collect()
}

/// The routes of `up`: each channel goes by the first account that carries it, and the others are its backups. None
/// where somebody has accounts of his own, or routes.
fn routes_of_up(all: &[OfUp], set: &Figment) -> Option<Json> {
    let is_of_up = |name: &AccountName| all.iter().any(|one| one.name == *name);
    let is_known = environment::schema()["properties"].get("routes").is_some();
    if !is_known || set.contains("routes") || !names(set).iter().all(is_of_up) {
        return None;
    }
    let route = |channel: Channel| {
        let carries = |one: &&OfUp| {
            provider(one.provider).is_some_and(|provider| provider.channels().contains(&channel))
        };
        let mut carry = all.iter().filter(carries).map(|one| one.name.as_str());
        let (main, channel) = (carry.next()?, channel.as_str());
        let backup: Vec<&str> = carry.collect();
        Some(json!({
            "name": channel, "channel": channel, "accounts": [main], "backup": backup,
        }))
    };
    Some(Channel::ALL.into_iter().filter_map(route).collect())
}

/// The accounts of the sections in `figment`, but for those that `set` sets by name.
///
/// # Errors
/// What is wrong with one, by its key and without its value.
pub(super) fn read(figment: &Figment, set: &Figment) -> anyhow::Result<AccountsByName> {
    let mut accounts = AccountsByName::new();
    for provider in PROVIDERS {
        let section = provider.name();
        if set.contains(&format!("accounts.{section}")) {
            continue;
        }
        let Ok(value) = figment.find_value(section) else { continue };
        let Some(keys) = value.into_dict() else {
            let place = refusal::place(figment, section);
            bail!("configuration: {section}: expected a section with keys{place}");
        };
        check(figment, *provider, keys.iter())?;
        let account = figment.extract_inner::<AccountSettings>(section);
        let account = account.map_err(|error| refusal::describe(&error))?;
        if account.provider.as_deref().is_some_and(|other| other != section) {
            bail!(
                "configuration: {section}.provider: expected {section}, or accounts.NAME for another"
            );
        }
        accounts.insert(section.to_owned(), AccountSettings { is_section: true, ..account });
    }
    Ok(accounts)
}

/// Refuses keys that an account of `provider` does not have, and values that they cannot have.
fn check<'k>(
    figment: &Figment,
    provider: &dyn Provider,
    keys: impl Iterator<Item = (&'k String, &'k Value)>,
) -> anyhow::Result<()> {
    let schema = environment::schema();
    let common = &schema["properties"]["accounts"]["additionalProperties"]["properties"];
    let known = &provider.schema()["properties"];
    for (key, value) in keys {
        let of_file = key.strip_suffix(FILE).is_some_and(|of| known.get(of).is_some());
        if common.get(key).is_some() || (of_file && known.get(key).is_none()) {
            continue;
        }
        let value = serde_json::to_value(value).unwrap_or_default();
        let one = Map::from_iter([(key.clone(), value)]);
        if let Some(fault) = faults(&one, provider.schema()).into_iter().next() {
            let section = provider.name();
            let place = refusal::place(figment, &format!("{section}.{key}"));
            bail!("configuration: {section}.{fault}{place}");
        }
    }
    Ok(())
}

/// Refuses a name that a section of its own has, too.
pub(super) fn refuse_twice(is_set: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    for provider in PROVIDERS {
        let section = provider.name();
        if is_set(section) && is_set(&format!("accounts.{section}")) {
            bail!(
                "configuration: accounts.{section}: the section {section} sets the account of that name, too: leave \
                 one of them out"
            );
        }
    }
    Ok(())
}

/// Refuses a key that is none of the settings and no provider.
pub(super) fn refuse_unknown(figment: &Figment) -> anyhow::Result<()> {
    let schema = environment::schema();
    let Some(known) = schema["properties"].as_object() else { return Ok(()) };
    let Ok(all) = figment.extract::<Value>() else { return Ok(()) };
    let unknown = |key: &&String| !known.contains_key(*key) && provider(key.as_str()).is_none();
    match all.as_dict().and_then(|all| all.keys().find(unknown)) {
        None => Ok(()),
        Some(key) => {
            let known: Vec<&str> = known.keys().map(String::as_str).collect();
            bail!(
                "configuration: {}: unknown key, expected one of {}{}",
                refusal::shown(key),
                known.join(", "),
                refusal::place(figment, key)
            )
        }
    }
}
