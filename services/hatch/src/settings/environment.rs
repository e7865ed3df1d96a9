//! Reads the variables of the environment. They are all text; the schema of the settings says what a
//! key holds, so that a short code of digits stays a text and a list can be given at all.

use anyhow::{Context, bail};
use figment::value::Value;
use hatch_providers::PROVIDERS;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::{Settings, secret_file};

const PREFIX: &str = "HATCH_";

/// How a variable ends that names the file of a value.
const FILE: &str = "_FILE";

/// The section of accounts, each of which has a section of its name there.
const ACCOUNTS: &str = "accounts";

/// Names with the prefix that are no settings: they steer tests and child processes.
const NOT_SETTINGS: [&str; 4] =
    ["HATCH_TEST_", hatch_process::EXIT_WITH_PARENT, "HATCH_CONFIG", "HATCH_DEVELOPMENT_"];

/// The types of all keys, as JSON Schema without references. Each provider has a section of its name.
pub(super) fn schema() -> Json {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<Settings>().to_value();
    for provider in PROVIDERS {
        let (name, title) = (provider.name(), provider.title());
        let mut section = provider.schema().clone();
        section["description"] = Json::from(format!(
            "The account `{name}` at {title}, where there is one. Beside these keys it has those of `accounts.NAME`."
        ));
        schema["properties"][name] = section;
    }
    schema
}

/// The type of what `schema` describes, `null` left out; none where it lists its values.
pub(super) fn kind(schema: &Json) -> Option<&str> {
    match &schema["type"] {
        Json::Array(types) => types.iter().filter_map(Json::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    }
}

/// The keys that are set, each with its value.
///
/// # Errors
/// When the file that a `..._FILE` names cannot be read.
pub(super) fn keys(
    variables: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<Vec<(String, Value)>> {
    let schema = schema();
    let all: Vec<(String, String)> = variables.collect();
    let settings = all.iter().filter(|(name, _)| is_setting(name)).cloned();
    // A process that was started by another one has what that has, and what that tells it.
    let is_child = all.iter().any(|(name, _)| name == hatch_process::EXIT_WITH_PARENT);
    let is_set = |name: &str| all.iter().any(|(other, _)| other == name);
    let twice = |name: &str| {
        let of = name.strip_suffix(FILE).filter(|of| is_set(of))?;
        (!is_key(&schema, &key_of(name))).then(|| of.to_owned())
    };
    settings
        .filter(|(name, _)| !is_child || twice(name).is_none())
        .map(|(name, value)| {
            if let Some(of) = twice(&name) {
                bail!("{of} and {name} are both set: leave one of them out");
            }
            let (key, value) = setting(&schema, &name, value)?;
            let known = of_section(&schema, &key).or_else(|| find(&schema, &key));
            let value = typed(known.or_else(|| of_account(&key)), &value);
            Ok((key, value))
        })
        .collect()
}

fn is_setting(name: &str) -> bool {
    name.starts_with(PREFIX) && !NOT_SETTINGS.iter().any(|other| name.starts_with(other))
}

/// The key and value of a variable; `..._FILE` stands for the content of the file that it names, unless
/// there is a key of that name.
fn setting(schema: &Json, name: &str, value: String) -> anyhow::Result<(String, String)> {
    match name.strip_suffix(FILE) {
        Some(_) if is_key(schema, &key_of(name)) => Ok((key_of(name), value)),
        Some(name) => {
            let content = secret_file::read(value)
                .with_context(|| format!("failed to read the file that {name}_FILE names"))?;
            Ok((key_of(name), content))
        }
        None => Ok((key_of(name), value)),
    }
}

/// The key of a variable.
fn key_of(name: &str) -> String {
    account_key(&name[PREFIX.len()..].to_ascii_lowercase().replace("__", "."))
}

/// `key`, in which the name of an account has dashes, for which a variable has underscores.
fn account_key(key: &str) -> String {
    let parts: Vec<&str> = key.splitn(3, '.').collect();
    match parts.as_slice() {
        [ACCOUNTS, name, rest @ ..] => {
            let name = name.replace('_', "-");
            [&[ACCOUNTS, name.as_str()][..], rest].concat().join(".")
        }
        _ => key.to_owned(),
    }
}

/// The schema of a key that the provider of an account has.
fn of_account(key: &str) -> Option<&'static Json> {
    let (_, key) = key.strip_prefix(ACCOUNTS)?.strip_prefix('.')?.split_once('.')?;
    hatch_providers::setting_schema(key)
}

/// The schema of a key that every account has, in the section of a provider.
fn of_section<'schema>(schema: &'schema Json, key: &str) -> Option<&'schema Json> {
    let (section, key) = key.split_once('.')?;
    hatch_providers::provider(section)?;
    schema["properties"][ACCOUNTS]["additionalProperties"]["properties"].get(key)
}

/// Whether there is a key of exactly this name.
fn is_key(schema: &Json, key: &str) -> bool {
    key.split('.').try_fold(schema, |schema, name| schema["properties"].get(name)).is_some()
}

/// The schema of `key`, where there is such a key.
pub(super) fn find<'schema>(schema: &'schema Json, key: &str) -> Option<&'schema Json> {
    key.split('.').try_fold(schema, |schema, name| {
        let item = || schema.get("items").filter(|_| is_index(name));
        let known = schema["properties"].get(name).or_else(item);
        known.or_else(|| schema.get("additionalProperties"))
    })
}

/// Whether it is a place in a list.
pub(super) fn is_index(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// `text` as what `schema` describes; as it is where it cannot be that, so that the error names the key
/// and what was expected.
fn typed(schema: Option<&Json>, text: &str) -> Value {
    let schema = schema.unwrap_or(&Json::Null);
    let value = match kind(schema) {
        Some("integer") => text.parse().ok().map(|number: i64| number.into()),
        Some("number") => text.parse().ok().map(|number: f64| number.into()),
        Some("boolean") => text.parse().ok().map(|truth: bool| truth.into()),
        // A list of tables has no shorter form.
        Some("array") if schema["items"].get("properties").is_some() => {
            let list = serde_json::from_str(text).ok().filter(Json::is_array);
            list.and_then(|list| Value::serialize(list).ok())
        }
        Some("array") => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let items: Vec<Value> = items.map(|item| typed(schema.get("items"), item)).collect();
            Some(items.into())
        }
        _ => None,
    };
    value.unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;

    #[test]
    fn what_a_variable_says_is_read_as_the_type_of_its_key() {
        let settings = load(
            "",
            &[
                ("HATCH_DEFAULT_SMS_SENDER", "12345"),
                ("HATCH_BUS__STREAM_BYTES_MAX", "4294967296"),
                ("HATCH_TELEMETRY__SAMPLE_RATIO", "0.5"),
                ("HATCH_ADMISSION__ENABLED", "false"),
                ("HATCH_RELAY__POLL_MS", "100"),
                ("HATCH_PROJECTOR__PAGE_EVENTS_MAX", "200"),
                ("HATCH_DISPATCHER__LOOK_UPS_MS", "1000, 2000"),
                ("HATCH_DISPATCHER__IN_DOUBT__TWILIO", "wait"),
                ("HATCH_SENDGRID__API_KEY", "123456"),
                ("HATCH_SENDGRID__EVENT_PUBLIC_KEYS", "MFkw,MFkx"),
                ("HATCH_SENDGRID__CHANNELS", "email"),
            ],
        );
        let settings = settings.expect("valid");
        assert_eq!(settings.default_sms_sender.as_deref(), Some("12345"));
        assert_eq!(settings.bus.stream_bytes_max, 4 << 30);
        assert_eq!(settings.telemetry.sample_ratio, 0.5);
        assert!(!settings.admission.enabled);
        assert_eq!(settings.relay.poll_ms, 100);
        assert_eq!(settings.projector.page_events_max, 200);
        assert_eq!(settings.dispatcher.look_ups_ms, [1_000, 2_000]);
        assert!(settings.dispatcher.in_doubt.contains_key("twilio"));
        let sendgrid = &settings.accounts["sendgrid"];
        assert_eq!(sendgrid.of_provider["api_key"], "123456");
        assert_eq!(sendgrid.of_provider["event_public_keys"], serde_json::json!(["MFkw", "MFkx"]));
        assert_eq!(sendgrid.channels, ["email"]);
    }

    #[test]
    fn a_file_stands_for_its_content_unless_the_key_is_one_of_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, "postgres://h/d\n").expect("written");
        let path = file.to_str().expect("UTF-8");
        let variables = [("HATCH_DATABASE_URL_FILE", path), ("HATCH_NATS__CA_FILE", path)];
        let settings = load("", &variables).expect("valid");
        assert_eq!(settings.database_url.as_deref(), Some("postgres://h/d"));
        assert_eq!(settings.nats.ca_file.as_deref(), Some(file.as_path()));
    }

    #[test]
    fn a_value_is_said_once_by_a_variable_or_by_the_file_that_one_names() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "a-token").expect("written");
        let path = file.path().to_str().expect("UTF-8");
        for (name, file) in [
            ("HATCH_DATABASE_URL", "HATCH_DATABASE_URL_FILE"),
            ("HATCH_ACCOUNTS__A__AUTH_TOKEN", "HATCH_ACCOUNTS__A__AUTH_TOKEN_FILE"),
        ] {
            let both = [(name, "CANARY"), (file, path)];
            let text = format!("{:#}", load("", &both).expect_err(name));
            assert!(text.contains(&format!("{name} and {file}")), "{text}");
            assert!(!text.contains("CANARY"), "{text}");
        }
        let told = [
            ("HATCH_EXIT_WITH_PARENT", "1"),
            ("HATCH_DATABASE_URL_FILE", path),
            ("HATCH_DATABASE_URL", "postgres://h/told"),
        ];
        let settings = load("", &told).expect("what a process is told by the one that started it");
        assert_eq!(settings.database_url.as_deref(), Some("postgres://h/told"));
    }

    #[test]
    fn what_is_no_value_of_its_type_is_refused_by_its_name() {
        for (name, value, key) in [
            ("HATCH_ADMISSION__ENABLED", "yes", "admission.enabled"),
            ("HATCH_DISPATCHER__LEASE_MS", "-1", "dispatcher.lease_ms"),
            ("HATCH_DISPATCHER__LOOK_UPS_MS", "1000", "dispatcher.look_ups_ms"),
            ("HATCH_TELEMETRY__SAMPLE_RATIO", "half", "telemetry.sample_ratio"),
            ("HATCH_LISTEN__PORT", "1", "listen"),
        ] {
            let text = format!("{:#}", load("", &[(name, value)]).expect_err(name));
            assert!(text.contains(key), "{text}");
        }
    }
}
