//! The providers that there are. To add one, write its folder and its line in [`PROVIDERS`].

use std::path::Path;

use hatch_domain::Channel;
use hatch_domain::account_name::AccountName;
use hatch_domain::address::SenderKind;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use crate::account::{Account, Common, Context};
use crate::mail::DEFAULT_SUBJECT;
use crate::mailgun::Mailgun;
use crate::sendgrid::SendGrid;
use crate::twilio::Twilio;
use crate::vonage::Vonage;
use crate::{Error, Posted};

/// Every provider that has accounts.
pub static PROVIDERS: &[&dyn Provider] = &[&SendGrid, &Twilio, &Vonage, &Mailgun];

/// A company that carries messages, as far as its accounts are concerned.
pub trait Provider: Send + Sync {
    /// Its name in the log, the API, the webhook paths and the settings.
    fn name(&self) -> &'static str;

    /// Its name for people.
    fn title(&self) -> &'static str;

    /// What its accounts can carry.
    fn channels(&self) -> &'static [Channel];

    /// From what its accounts can send text messages.
    fn sender_kinds(&self) -> &'static [SenderKind] {
        &[SenderKind::Number]
    }

    /// The keys of its settings that are secret.
    fn secrets(&self) -> &'static [&'static str];

    /// Its settings as JSON Schema, without references.
    fn schema(&self) -> &'static Value;

    /// Makes an account of it. No connection is opened yet.
    ///
    /// # Errors
    /// What is wrong with `settings`, by its key and without its value; [`Error::Client`] when there is no HTTP client.
    fn account(
        &self,
        name: &AccountName,
        common: Common,
        settings: Value,
        context: &Context,
    ) -> Result<Account, Error>;

    /// Whether it can be asked what became of an attempt in doubt.
    fn can_look_up(&self) -> bool {
        false
    }

    /// Whether each message says where its receipts are posted. Then two accounts of hatch can be one there.
    fn receipts_by_message(&self) -> bool {
        false
    }

    /// The subject of a mail that has none, where no account has another.
    fn default_subject(&self) -> Option<&'static str> {
        None
    }

    /// How the names of headers begin by which a mail would tell the provider what to do, such as what to put into its
    /// receipts; in lower case. No client may set one.
    fn commanding_headers(&self) -> &'static [&'static str] {
        &[]
    }

    /// The accounts of `up`, which are at `simulator`: by name, with what is set of each. `files` is the folder of the
    /// simulator's files; a key `..._file` names one that holds the value, and is read when the account is made.
    fn development(&self, _simulator: &Url, _files: &Path) -> Vec<(AccountName, Value)> {
        Vec::new()
    }

    /// What it posts to its paths, for the document of the API.
    fn posted(&self) -> Vec<Posted> {
        Vec::new()
    }
}

/// Accounts of `up`, for [`Provider::development`].
pub(crate) fn of_development<const N: usize>(
    accounts: [(&str, Value); N],
) -> Vec<(AccountName, Value)> {
    accounts.into_iter().filter_map(|(name, set)| Some((name.parse().ok()?, set))).collect()
}

/// The subject of a mail that has none, where no account has another.
#[must_use]
pub fn default_subject() -> &'static str {
    PROVIDERS.iter().find_map(|provider| provider.default_subject()).unwrap_or(DEFAULT_SUBJECT)
}

/// Whether a header of that name, in lower case, tells some provider what to do with the mail.
#[must_use]
pub fn commands_a_provider(header: &str) -> bool {
    let mut beginnings = PROVIDERS.iter().flat_map(|provider| provider.commanding_headers());
    beginnings.any(|beginning| header.starts_with(beginning))
}

/// The provider of that name.
#[must_use]
pub fn provider(name: &str) -> Option<&'static dyn Provider> {
    PROVIDERS.iter().copied().find(|provider| provider.name() == name)
}

/// The names of those that carry `channel`.
#[must_use]
pub fn carriers_of(channel: Channel) -> Vec<&'static str> {
    let carry = PROVIDERS.iter().filter(|provider| provider.channels().contains(&channel));
    carry.map(|provider| provider.name()).collect()
}

/// The names of all of them, for a sentence.
#[must_use]
pub fn provider_names() -> String {
    PROVIDERS.iter().map(|provider| provider.name()).collect::<Vec<_>>().join(" or ")
}

/// What is said about a setting of some provider's accounts.
#[must_use]
pub fn setting_schema(key: &str) -> Option<&'static Value> {
    PROVIDERS.iter().find_map(|provider| provider.schema()["properties"].get(key))
}

/// The schema of settings.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// As [`schema_of`], of accounts that have a `public_url`: where they have none, the installation's counts.
pub(crate) fn schema_of_reached<T: JsonSchema>() -> Value {
    let mut schema = schema_of::<T>();
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|key| key != "public_url");
    }
    schema
}

/// As [`read`], of accounts that have a `public_url`: where they have none, the one of `context` is put there.
pub(crate) fn read_reached<T: DeserializeOwned>(
    settings: Value,
    context: &Context,
    schema: &Value,
) -> Result<T, Error> {
    let Value::Object(mut settings) = settings else { return Err(Error::SettingForm) };
    if settings.get("public_url").is_none_or(Value::is_null) {
        settings.insert("public_url".to_owned(), context.public_url.as_str().into());
    }
    read(settings, schema)
}

/// Reads settings that may come from strangers: what is wrong is told by its key, and no value is, because any may be a
/// secret.
pub(crate) fn read<T: DeserializeOwned>(
    mut settings: Map<String, Value>,
    schema: &Value,
) -> Result<T, Error> {
    settings.retain(|_, value| !value.is_null());
    if let Some(fault) = faults(&settings, schema).into_iter().next() {
        return Err(fault);
    }
    let mut required =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.find(|key| !settings.contains_key(*key)) {
        return Err(Error::MissingSetting { setting: missing.to_owned() });
    }
    // What remains may quote a value.
    serde_json::from_value(Value::Object(settings)).map_err(|_| Error::SettingForm)
}

/// The settings that are none of `schema`, or of another type: each by its key.
#[must_use]
pub fn faults(settings: &Map<String, Value>, schema: &Value) -> Vec<Error> {
    let Some(known) = schema["properties"].as_object() else { return vec![Error::SettingForm] };
    let fault = |(key, value): (&String, &Value)| match known.get(key) {
        None => {
            let known = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Some(Error::UnknownSetting { setting: worded(key), known })
        }
        Some(property) => mismatch(value, property)
            .map(|expected| Error::SettingType { setting: key.clone(), expected }),
    };
    settings.iter().filter(|(_, value)| !value.is_null()).filter_map(fault).collect()
}

/// What was expected, where `value` is not of the type that `property` has.
fn mismatch(value: &Value, property: &Value) -> Option<&'static str> {
    let kinds = match &property["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::String(kind) => vec![kind.as_str()],
        _ => Vec::new(),
    };
    let kind = kinds.into_iter().find(|kind| *kind != "null")?;
    let is_uri = property["format"] == "uri";
    let (fits, expected) = match kind {
        "string" if is_uri => {
            (value.as_str().is_some_and(|text| Url::parse(text).is_ok()), "a URL")
        }
        "string" => (value.is_string(), "a text"),
        "integer" => (value.as_u64().is_some(), "a whole number of 0 or more"),
        "boolean" => (value.is_boolean(), "true or false"),
        "array" => (
            value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
            "a list of texts",
        ),
        _ => return None,
    };
    (!fits).then_some(expected)
}

/// `key` as far as it can be one: somebody may have written a secret where a key belongs.
fn worded(key: &str) -> String {
    let is_word =
        key.len() <= 32 && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_word { key.to_owned() } else { "\u{2026}".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::stub::Fixed;

    fn context() -> Context {
        Context {
            public_url: "https://hatch.example.com".parse().expect("a URL"),
            clock: Arc::new(Fixed::default()),
        }
    }

    fn made(name: &str, provider: &str, settings: Value) -> Result<Account, Error> {
        let of = super::provider(provider).expect("a provider");
        of.account(&name.parse().expect("a name"), Common::default(), settings, &context())
    }

    fn twilio() -> Value {
        json!({"account_sid": format!("AC{}", "0".repeat(32)), "auth_token": "12345"})
    }

    #[test]
    fn an_account_is_made_of_the_settings_of_its_provider() {
        let account = made("twilio-main", "twilio", twilio()).expect("good settings");
        assert_eq!(account.key(), ("twilio", format!("AC{}", "0".repeat(32)).as_str()));
        assert_eq!(account.channels, [Channel::Sms, Channel::Mms]);
        assert!(account.is_at_provider && account.acts_on_words);
        assert_eq!(account.reached_by.as_str(), "https://hatch.example.com/");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_key_and_never_by_its_value() {
        const CANARY: &str = "CANARY-12345";
        for (key, value) in [
            ("auth_tokn", json!(CANARY)),
            ("auth_token", json!([CANARY])),
            ("http_timeout_ms", json!(CANARY)),
            ("base_url", json!(CANARY)),
            ("acts_on_words", json!(CANARY)),
            ("account_sid", json!(CANARY)),
        ] {
            let mut settings = twilio();
            settings[key] = value;
            let error = made("a", "twilio", settings).expect_err(key);
            let said = error.to_string();
            assert!(said.contains(key) && !said.contains("CANARY"), "{said}");
        }
        let mut settings = twilio();
        settings[CANARY] = json!("a");
        let error = made("a", "twilio", settings).expect_err("a secret as a key");
        assert!(!error.to_string().contains("CANARY"), "{error}");
        let error = made("a", "twilio", json!({"auth_token": "1"})).expect_err("no SID");
        assert!(error.to_string().contains("account_sid"), "{error}");
    }

    #[test]
    fn tests_go_to_no_account_at_the_provider_itself() {
        use hatch_domain::traffic::Traffic;

        let of = super::provider("twilio").expect("a provider");
        for (base_url, good) in [
            ("https://api.twilio.com", false),
            ("https://api.dublin.ie1.twilio.com", false),
            ("https://API.twilio.com.", false),
            ("http://127.0.0.1:8089", true),
            ("https://nottwilio.com", true),
        ] {
            for traffic in [Traffic::Test, Traffic::All] {
                let mut settings = twilio();
                settings["base_url"] = json!(base_url);
                let common = Common { traffic, ..Common::default() };
                let name = "a".parse().expect("a name");
                let made = of.account(&name, common, settings, &context());
                assert_eq!(made.is_ok(), good, "{base_url} {traffic:?}");
            }
        }
    }

    #[test]
    fn accounts_of_development_have_keys_that_there_are_and_are_at_the_simulator() {
        let simulator = "http://127.0.0.1:8089".parse().expect("a URL");
        for provider in PROVIDERS {
            for (name, set) in provider.development(&simulator, Path::new("files")) {
                let mut set = set.as_object().cloned().expect("settings");
                assert_eq!(set["base_url"], "http://127.0.0.1:8089", "{name}");
                set.retain(|key, _| !key.ends_with("_file"));
                let faults = faults(&set, provider.schema());
                assert!(faults.is_empty(), "{name}: {faults:?}");
            }
        }
    }

    #[test]
    fn every_secret_is_a_key_and_is_marked_as_one() {
        for provider in PROVIDERS {
            let properties = provider.schema()["properties"].as_object().expect("keys");
            let marked = properties.iter().filter(|(_, one)| one.to_string().contains("password"));
            let marked: Vec<&str> = marked.map(|(key, _)| key.as_str()).collect();
            let mut secrets = provider.secrets().to_vec();
            secrets.sort_unstable();
            assert_eq!(secrets, marked, "{}", provider.name());
        }
    }
}
