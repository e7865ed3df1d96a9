//! The provider accounts that the settings have.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hatch_dispatcher::DoubtPolicy;
use hatch_domain::Environment;
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_eventstore::SystemEnvironment;
use hatch_providers::generic::GenericWebhook;
use hatch_providers::{
    Account, Context, Error, PROVIDERS, Provider, Webhook, provider, provider_names,
};
use reqwest::Url;
use serde_json::Value;

use crate::settings::accounts::outside_url;
use crate::settings::{AccountSettings, Settings};

/// The key of how long a provider may take to answer.
const HTTP_TIMEOUT: &str = "http_timeout_ms";

/// An account that is set, or what is wrong with it.
pub(crate) struct SetAccount {
    /// Its section: `accounts.main`, or its provider's name.
    pub(crate) section: String,
    /// hatch's own name of it.
    pub(crate) name: String,
    /// The account.
    pub(crate) account: anyhow::Result<Account>,
}

/// Every account that is set, in the order of their names.
pub(crate) fn each_account(settings: &Settings) -> Vec<SetAccount> {
    each_in(settings, &account_context(settings))
}

/// The same, made in `context`.
fn each_in(settings: &Settings, context: &Context) -> Vec<SetAccount> {
    let simulator = settings.simulator_url.as_deref();
    let of = |(name, set): (&String, &AccountSettings)| {
        let section = section(name, set);
        let made = || -> anyhow::Result<Account> {
            let provider = set.provider(name)?;
            let common = set.common(simulator)?;
            let name: AccountName = name.parse()?;
            let made = provider.account(&name, common, set.read(provider)?, context);
            Ok(made.map_err(with_common_keys)?)
        };
        let account = made().with_context(|| format!("configuration: {section}"));
        SetAccount { section, name: shown(name).to_owned(), account }
    };
    settings.accounts.iter().map(of).collect()
}

/// Where the account `name` is set.
fn section(name: &str, set: &AccountSettings) -> String {
    if set.is_section { name.to_owned() } else { format!("accounts.{}", shown(name)) }
}

/// An unknown key of an account by name may have been meant as one that all accounts have.
fn with_common_keys(error: Error) -> Error {
    match error {
        Error::UnknownSetting { setting, known } => {
            let known = format!(
                "{known}, channels, concurrency_max, on_doubt, per_day, provider, rate_per_s, rate_per_sender_per_s, \
                 senders, tenants, traffic"
            );
            Error::UnknownSetting { setting, known }
        }
        error => error,
    }
}

/// The accounts that are set.
///
/// # Errors
/// What is wrong with one, with its section; and two that are one and the same at their provider, but for those that may
/// be.
pub(crate) fn accounts(settings: &Settings) -> anyhow::Result<Vec<Account>> {
    accounts_by(settings, Arc::new(SystemEnvironment))
}

/// The same, of a process that goes by `clock`.
///
/// # Errors
/// As above.
pub(crate) fn accounts_by(
    settings: &Settings,
    clock: Arc<dyn Environment>,
) -> anyhow::Result<Vec<Account>> {
    let mut accounts: Vec<Account> = Vec::new();
    let context = Context { clock, ..account_context(settings) };
    for SetAccount { section, account, .. } in each_in(settings, &context) {
        let account = account?;
        let mut same = accounts.iter().filter(|known| known.key() == account.key());
        if let Some(other) = same.find(|known| !may_be_one(settings, [*known, &account])) {
            anyhow::bail!(
                "configuration: {section}: it is the same account at its provider as {}: expected another, or for \
                 both `senders` of their own and otherwise the same settings of the provider",
                other.name
            );
        }
        accounts.push(account);
    }
    Ok(accounts)
}

/// Whether two may be one account at their provider: with the same credentials, and what comes in is told apart by the
/// senders that each has. Where it is not said of each message where its receipts are to be posted, there is one place
/// for those of all messages, and that is one account's.
fn may_be_one(settings: &Settings, [one, other]: [&Account; 2]) -> bool {
    let read = |account: &Account| -> Option<Value> {
        let (name, provider) = (account.name.as_str(), provider(account.provider)?);
        settings.accounts.get(name)?.read(provider).ok()
    };
    let has =
        |address: &Address| one.senders.iter().any(|own| own.identity() == address.identity());
    let are_apart = [one, other].iter().all(|account| !account.senders.is_empty())
        && !other.senders.iter().any(has);
    let known = read(one);
    provider(one.provider).is_some_and(Provider::receipts_by_message)
        && are_apart
        && one.traffic == other.traffic
        && known.is_some()
        && known == read(other)
}

/// Who may post messages as plain JSON, if anybody may.
pub(crate) fn generic_webhook(settings: &Settings) -> anyhow::Result<Option<Arc<dyn Webhook>>> {
    let made = settings.generic.clone().map(GenericWebhook::new).transpose();
    let made = made.context("configuration: generic")?;
    Ok(made.map(|webhook| Arc::new(webhook) as Arc<dyn Webhook>))
}

/// Refuses accounts that keep a process from starting.
pub(crate) fn check_accounts(settings: &Settings) -> anyhow::Result<()> {
    settings.routes(&accounts(settings)?)?;
    settings.pools()?;
    generic_webhook(settings).map(drop)
}

/// The longest time that a provider may take to answer, by what is set: no account is made for that.
pub(super) fn http_timeout(settings: &Settings) -> Duration {
    slowest(settings).map(|(_, longest)| longest).unwrap_or_default()
}

/// That time, and the key that has it.
pub(super) fn slowest(settings: &Settings) -> Option<(String, Duration)> {
    let of = |(name, set): (&String, &AccountSettings)| {
        let usual = &set.provider(name).ok()?.schema()["properties"][HTTP_TIMEOUT]["default"];
        let ms = set.of_provider.get(HTTP_TIMEOUT).unwrap_or(usual).as_u64()?;
        Some((section(name, set), ms))
    };
    let (section, ms) = settings.accounts.iter().filter_map(of).max_by_key(|(_, ms)| *ms)?;
    Some((format!("{section}.{HTTP_TIMEOUT}"), Duration::from_millis(ms)))
}

/// `name` as far as it can be a name, or nearly: what is none may be a secret, which is longer or has more digits.
fn shown(name: &str) -> &str {
    const CHARACTERS_MAX: usize = 24;
    const DIGITS_MAX: usize = 2;
    let is_of_words = |byte: u8| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte);
    let is_near = name.len() <= CHARACTERS_MAX
        && name.bytes().all(is_of_words)
        && name.bytes().filter(u8::is_ascii_digit).count() <= DIGITS_MAX;
    if is_near || name.parse::<AccountName>().is_ok() { name } else { "\u{2026}" }
}

/// Refuses a policy of what is not there, and look-ups where nothing can be looked up.
pub(super) fn providers_in_doubt(settings: &Settings) -> anyhow::Result<()> {
    for (name, policy) in &settings.dispatcher.in_doubt {
        let set = settings.accounts.get(name);
        let is_provider = PROVIDERS.iter().any(|provider| provider.name() == name);
        let expected = provider_names();
        ensure!(
            is_provider || set.is_some(),
            "configuration: dispatcher.in_doubt.{name}: expected {expected}"
        );
        let provider = provider(set.and_then(|set| set.provider.as_deref()).unwrap_or(name));
        let cannot = provider.filter(|provider| !provider.can_look_up());
        if let Some(title) = cannot.map(Provider::title) {
            ensure!(
                *policy != DoubtPolicy::LookUp,
                "configuration: dispatcher.in_doubt.{name}: expected wait, resend or fail: {title} cannot be \
                 asked what became of a message"
            );
        }
    }
    Ok(())
}

/// The accounts that are at a provider itself: name, provider for people, and where that one reaches hatch.
pub(super) fn at_providers(settings: &Settings) -> Vec<(String, &'static str, Url)> {
    let made = each_account(settings).into_iter().filter_map(|set| set.account.ok());
    let there = made.filter(|account| account.is_at_provider);
    there
        .map(|account| {
            let title = provider(account.provider).map_or("its provider", Provider::title);
            (account.name.to_string(), title, account.reached_by)
        })
        .collect()
}

/// What the accounts have in common. A public URL that is none is refused by its own name.
pub(crate) fn account_context(settings: &Settings) -> Context {
    let public_url = outside_url(&settings.public_url());
    let nowhere = || Url::parse("http://127.0.0.1").expect("a constant URL parses");
    Context { public_url: public_url.unwrap_or_else(nowhere), clock: Arc::new(SystemEnvironment) }
}

#[cfg(test)]
mod tests {
    use hatch_domain::traffic::Traffic;
    use serde_json::json;

    use super::*;

    const SIMULATOR: &str = "http://127.0.0.1:8089";

    fn section_at(base_url: &str) -> (String, AccountSettings) {
        let (name, set) = named(
            "twilio",
            json!({
                "account_sid": format!("AC{}", "0".repeat(32)), "auth_token": "12345",
                "base_url": base_url, "public_url": SIMULATOR,
            }),
        );
        (name, AccountSettings { is_section: true, ..set })
    }

    fn named(name: &str, set: serde_json::Value) -> (String, AccountSettings) {
        (name.to_owned(), serde_json::from_value(set).expect("settings"))
    }

    #[test]
    fn sections_are_accounts_of_their_name_beside_those_by_name() {
        let other = json!({
            "provider": "twilio", "account_sid": format!("AC{}", "1".repeat(32)),
            "auth_token": "12345", "tenants": ["00000000-0000-0000-0000-000000000002"],
        });
        let settings = Settings {
            accounts: [section_at(SIMULATOR), named("a-second", other.clone())].into(),
            simulator_url: Some(SIMULATOR.to_owned()),
            ..Settings::default()
        };
        let accounts = accounts(&settings).expect("good accounts");
        let shown: Vec<_> =
            accounts.iter().map(|one| (one.name.as_str(), one.provider, one.traffic)).collect();
        let expected = [("a-second", "twilio", Traffic::Live), ("twilio", "twilio", Traffic::All)];
        assert_eq!(shown, expected);
    }

    #[test]
    fn one_account_is_not_set_twice_and_each_has_a_good_name() {
        let same = json!({
            "provider": "twilio", "account_sid": format!("AC{}", "0".repeat(32)),
            "auth_token": "12345",
        });
        for (name, said) in [("other", "the same account"), ("In_Valid", "lower-case letters")] {
            let settings = Settings {
                accounts: [section_at(SIMULATOR), named(name, same.clone())].into(),
                ..Settings::default()
            };
            let error = format!("{:#}", accounts(&settings).map(drop).expect_err(name));
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn accounts_of_files_may_be_one_at_their_provider_that_differ_in_senders_alone() {
        let with = |changes: serde_json::Value| {
            let mut set = json!({
                "provider": "twilio", "account_sid": format!("AC{}", "1".repeat(32)),
                "auth_token": "12345", "senders": ["+12016661234"],
            });
            for (key, value) in changes.as_object().expect("changes") {
                set[key.as_str()] = value.clone();
            }
            set
        };
        let first = with(json!({"tenants": ["00000000-0000-0000-0000-000000000002"]}));
        let second = |changes| {
            let accounts_set = [named("first", first.clone()), named("second", with(changes))];
            let settings = Settings { accounts: accounts_set.into(), ..Settings::default() };
            accounts(&settings).map(|all| all.len()).map_err(|error| format!("{error:#}"))
        };
        let others = ["+12016661235"];
        let tenants = ["00000000-0000-0000-0000-000000000003"];
        assert_eq!(second(json!({"senders": others, "tenants": tenants})), Ok(2));
        assert_eq!(second(json!({"senders": others, "channels": ["sms"]})), Ok(2));
        for changes in [
            json!({"senders": []}),
            json!({"senders": ["+12016661235", "+12016661234"]}),
            json!({"senders": others, "auth_token": "another"}),
            json!({"senders": others, "http_timeout_ms": 9_000}),
            json!({"senders": others, "base_url": SIMULATOR, "traffic": "test"}),
        ] {
            let refused = second(changes.clone()).expect_err("refused");
            assert!(refused.contains("the same account"), "{changes}: {refused}");
            assert!(!refused.contains("12345"), "{refused}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_account_by_name_is_told_by_its_name_and_key() {
        let set = |name: &str, key: &str| {
            let mut one = json!({"provider": "twilio", "auth_token": "12345"});
            one[key] = json!(["+12016661234"]);
            let settings = Settings { accounts: [named(name, one)].into(), ..Settings::default() };
            format!("{:#}", accounts(&settings).map(drop).expect_err(name))
        };
        let unknown = set("acme", "sendres");
        assert!(unknown.starts_with("configuration: accounts.acme: sendres: unknown"), "{unknown}");
        assert!(unknown.contains("auth_token") && unknown.contains("senders"), "{unknown}");
        let misnamed = set("Acme_2", "senders");
        assert!(misnamed.starts_with("configuration: accounts.Acme_2: "), "{misnamed}");
        let secret = set("SK0123456789abcdef", "senders");
        assert!(!secret.contains("0123456789"), "{secret}");
    }

    #[test]
    fn what_is_done_about_doubts_is_set_for_accounts_that_there_are() {
        let set = |name: &str, policy| {
            let mut settings = Settings::default();
            let mail = json!({"provider": "sendgrid", "api_key": "SG.x"});
            settings.accounts = [named("mail", mail)].into();
            settings.dispatcher.in_doubt.insert(name.to_owned(), policy);
            providers_in_doubt(&settings).is_ok()
        };
        assert!(set("twilio", DoubtPolicy::LookUp) && set("mail", DoubtPolicy::Wait));
        assert!(!set("mail", DoubtPolicy::LookUp) && !set("sendgrid", DoubtPolicy::LookUp));
        assert!(!set("nobody", DoubtPolicy::Wait));
    }
}
