//! Where settings come from: defaults, `hatch.toml`, the environment.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use hatch_process::Servers;
use serde_json::json;

use super::sections::OfUp;
use super::{DEVELOPMENT, MASTER_KEY_OF_UP, Settings, data_dir, environment, refusal, sections};
use crate::commands::running;

/// The configuration file, in the current directory.
const FILE: &str = "hatch.toml";

impl Settings {
    /// Reads file and environment.
    ///
    /// # Errors
    /// An unknown key, a bad value or an unreadable file, each by its name.
    pub fn load() -> anyhow::Result<Self> {
        let set = set(file()?.as_deref(), std::env::vars())?;
        match std::env::var(DEVELOPMENT) {
            Ok(simulator) => {
                let settings = Self::from(development(&simulator, &set), &set)?;
                Ok(Self { simulator_url: Some(simulator), ..settings })
            }
            Err(_) => Self::from(Figment::new(), &set),
        }
    }

    /// As [`load`](Self::load), for a command beside a process: where a running `up` has the servers, with
    /// what that has for defaults and where it listens, since what is set may rely on both.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_command() -> anyhow::Result<Self> {
        let set = set(file()?.as_deref(), std::env::vars())?;
        let Some(servers) = Servers::read(&folder(&set))? else { return Self::load() };
        let others =
            |key, own: &str| set.extract_inner::<String>(key).is_ok_and(|other| other != own);
        if others("database_url", &servers.database_url) || others("nats_url", &servers.nats_url) {
            return Self::load();
        }
        match (servers.url, servers.simulator_url) {
            (Some(url), Some(simulator)) => {
                let listen = url.trim_start_matches("http://").parse();
                let listen = listen.context("failed to read the record of a running `up`")?;
                Self::load_development(&simulator, listen)
            }
            _ => Self::load(),
        }
    }

    /// As [`load`](Self::load), for `serve`: where no servers are set and an `up` runs, beside that, with its
    /// servers, its accounts and its waits. What `up` opens to all stays shut.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_serve() -> anyhow::Result<Self> {
        let set = set(file()?.as_deref(), std::env::vars())?;
        if set.contains("database_url") || set.contains("nats_url") {
            return Self::load();
        }
        match Servers::read(&folder(&set))? {
            Some(servers) => {
                let settings = Self::from(beside(&servers, &set), &set)?;
                running(Self { simulator_url: servers.simulator_url, ..settings })
            }
            None => Self::load(),
        }
    }

    /// As [`load`](Self::load), with the defaults of `up`, before it is known where everything listens.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_up() -> anyhow::Result<Self> {
        let simulator = format!("http://{}", Self::default().simulator_listen);
        let set = set(file()?.as_deref(), std::env::vars())?;
        // Before its first start, the simulator has yet to make the files of some accounts.
        let all = sections::of_up(&simulator, &folder(&set));
        let settings = Self::from(development_with(&all, &set), &set)?;
        Ok(Self { simulator_url: Some(simulator), ..settings })
    }

    /// As [`load`](Self::load), with the defaults of `up`: an account at `simulator`, short waits, and
    /// the public URL at `listen`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_development(simulator: &str, listen: SocketAddr) -> anyhow::Result<Self> {
        let listen = ("HATCH_LISTEN".to_owned(), listen.to_string());
        // It takes the place of whatever says where.
        let others = std::env::vars().filter(|(name, _)| name != "HATCH_LISTEN_FILE");
        let set = set(file()?.as_deref(), others.chain([listen]))?;
        let settings = Self::from(development(simulator, &set), &set)?;
        Ok(Self { simulator_url: Some(simulator.to_owned()), ..settings })
    }

    fn from(defaults: Figment, set: &Figment) -> anyhow::Result<Self> {
        let mut figment = defaults.merge(set);
        sections::refuse_twice(|key| set.contains(key))?;
        // Webhooks that are open by default are not, for who gives them a secret.
        if set.contains("generic.bearer_secret") && !set.contains("generic.open") {
            figment = figment.merge(Serialized::default("generic.open", false));
        }
        // Before anything that is made of them, such as an account's public URL.
        for key in ["listen", "simulator_listen"] {
            if let Ok(address) = figment.extract_inner::<String>(key) {
                check_port(key, &address)?;
            }
        }
        sections::refuse_unknown(&figment)?;
        let mut settings: Self = figment.extract().map_err(|error| refusal::describe(&error))?;
        settings.accounts.extend(sections::read(&figment, set)?);
        settings.set_keys = set_keys(set);
        Ok(settings)
    }
}

/// A number for each key that is set, which is another one when its value is: what may be a secret is not kept.
fn set_keys(set: &Figment) -> BTreeMap<String, u64> {
    let mut keys = BTreeMap::new();
    if let Ok(all) = set.extract::<serde_json::Value>() {
        note_keys(&mut keys, "", &all);
    }
    keys
}

fn note_keys(keys: &mut BTreeMap<String, u64>, path: &str, value: &serde_json::Value) {
    if let Some(section) = value.as_object() {
        for (key, value) in section {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            note_keys(keys, &inner, value);
        }
        return;
    }
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    keys.insert(path.to_owned(), hasher.finish());
}

/// The file that is to be read, if there is one.
fn file() -> anyhow::Result<Option<PathBuf>> {
    let Some(named) = std::env::var_os("HATCH_CONFIG").map(PathBuf::from) else {
        return Ok(Some(PathBuf::from(FILE)).filter(|file| file.exists()));
    };
    let is = if named.is_dir() { "a folder" } else { "no file that is there" };
    anyhow::ensure!(named.is_file(), "HATCH_CONFIG names {}, which is {is}", named.display());
    Ok(Some(named))
}

/// What file and variables say, without any defaults.
fn set(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<Figment> {
    let mut figment = file.map_or_else(Figment::new, |file| Figment::from(Toml::file_exact(file)));
    for (key, value) in environment::keys(variables)? {
        figment = figment.merge(Serialized::default(&key, value));
    }
    Ok(figment)
}

/// Where `up` keeps its servers' data, by what is set.
fn folder(set: &Figment) -> PathBuf {
    set.extract_inner("data_dir").unwrap_or_else(|_| data_dir())
}

/// The defaults of `up`, and its accounts at `simulator`, by what is `set`.
fn development(simulator: &str, set: &Figment) -> Figment {
    development_with(&accounts_of_up(simulator, set), set)
}

/// The accounts of an `up` that runs.
fn accounts_of_up(simulator: &str, set: &Figment) -> Vec<OfUp> {
    let all = sections::of_up(simulator, &folder(set)).into_iter();
    all.filter(OfUp::has_its_files).collect()
}

fn development_with(accounts: &[OfUp], set: &Figment) -> Figment {
    let defaults = Figment::from(Serialized::defaults(defaults_of_up()));
    defaults.merge(sections::defaults_of_up(accounts, set)).merge(master_key_of_up(set))
}

/// The master key that `up` has made, where nobody has set one.
fn master_key_of_up(set: &Figment) -> Figment {
    let is_set = ["master_key", "master_key_previous"].iter().any(|key| set.contains(key));
    let key = std::fs::read_to_string(folder(set).join(MASTER_KEY_OF_UP)).ok();
    match key.filter(|_| !is_set) {
        Some(key) => Figment::from(Serialized::default("master_key", key.trim())),
        None => Figment::new(),
    }
}

/// The defaults of a process beside an `up` that runs.
fn beside(servers: &Servers, set: &Figment) -> Figment {
    let figment = servers.simulator_url.as_ref().map_or_else(Figment::new, |simulator| {
        let mut defaults = defaults_of_up();
        for own in ["authentication", "generic", "log", "shutdown"] {
            defaults.as_object_mut().expect("an object").remove(own);
        }
        let defaults = Figment::from(Serialized::defaults(defaults));
        let accounts = sections::defaults_of_up(&accounts_of_up(simulator, set), set);
        defaults.merge(accounts).merge(master_key_of_up(set))
    });
    figment.merge(Serialized::default("public_url", &servers.url))
}

/// What `up` does otherwise, beside its accounts. Its waits are short, so that whatever can happen ends within a
/// minute.
pub(super) fn defaults_of_up() -> serde_json::Value {
    json!({
        "authentication": "off",
        "default_sms_sender": "+12016661234",
        "default_email_sender": "user@usehatchapp.com",
        "generic": { "open": true },
        "bus": { "stream_bytes_max": 1 << 30 },
        "log": { "filter": crate::logging::QUIET },
        "shutdown": { "notice_ms": 0 },
        "rate_limit": { "enabled": false },
        "dispatcher": {
            "lease_ms": 10_000,
            "timers_lag_ms": 1_000,
            "delivery_grace_ms": 2_000,
            "look_ups_ms": [1_000, 3_000],
            "receipt_wait_ms": 10_000,
            "account_backoff_ms": [200, 2_000],
            "breaker": { "open_ms": 200 },
            "retry": { "attempts_max": 5, "backoff_min_ms": 200, "backoff_max_ms": 5_000 },
        },
    })
}

fn check_port(key: &str, address: &str) -> anyhow::Result<()> {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u64>().ok());
    match port.filter(|port| *port > u16::MAX.into()) {
        Some(port) => {
            anyhow::bail!("configuration: {key}: found port {port}, expected 0 to 65535")
        }
        None => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The defaults of an `up` that has not started yet.
    fn of_first_start(set: &Figment) -> Figment {
        development_with(&sections::of_up("http://127.0.0.1:8089", &folder(set)), set)
    }

    pub(in crate::settings) fn load(
        toml: &str,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Settings> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("hatch.toml");
        std::fs::write(&file, toml)?;
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Settings::from(Figment::new(), &set(Some(&file), variables)?)
    }

    #[test]
    fn the_environment_overlays_the_file_and_the_file_the_defaults() {
        let toml = "listen = \"127.0.0.1:1\"\n[dispatcher]\nconcurrency_max = 7\n";
        let environment =
            [("HATCH_DISPATCHER__RETRY__ATTEMPTS_MAX", "3"), ("HATCH_LISTEN", "127.0.0.1:2")];
        let settings = load(toml, &environment).expect("valid");
        assert_eq!(settings.listen, "127.0.0.1:2");
        assert_eq!(settings.dispatcher.concurrency_max, 7);
        assert_eq!(settings.dispatcher.retry.attempts_max, 3);
        assert_eq!(settings.bus.prefix, "hatch");
    }

    #[test]
    fn a_secret_can_be_given_as_a_file() {
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), "postgres://secret\n").expect("written");
        let path = secret.path().to_str().expect("UTF-8");
        let settings = load("", &[("HATCH_DATABASE_URL_FILE", path)]).expect("valid");
        assert_eq!(settings.database_url.as_deref(), Some("postgres://secret"));
        let missing = load("", &[("HATCH_DATABASE_URL_FILE", "/no/such/file")]);
        assert!(missing.expect_err("unreadable").to_string().contains("HATCH_DATABASE_URL_FILE"));
    }

    #[test]
    fn file_and_environment_overlay_the_defaults_of_up() {
        let toml = "[dispatcher]\nlease_ms = 20000\n";
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hatch.toml");
        std::fs::write(&file, toml).expect("written");
        let variables = [("HATCH_TWILIO__HTTP_TIMEOUT_MS".to_owned(), "5000".to_owned())];
        let set = set(Some(&file), variables.into_iter()).expect("valid");
        let settings = Settings::from(of_first_start(&set), &set);
        let settings = settings.expect("valid");
        assert_eq!(settings.dispatcher.lease_ms, 20_000);
        assert_eq!(settings.dispatcher.retry.attempts_max, 5);
        let twilio = &settings.accounts["twilio"].of_provider;
        assert_eq!(twilio["http_timeout_ms"], 5_000);
        assert_eq!(twilio["base_url"], "http://127.0.0.1:8089");
        for (name, provider) in [("twilio-2", "twilio"), ("sendgrid-2", "sendgrid")] {
            let backup = &settings.accounts[name];
            assert_eq!(backup.provider.as_deref(), Some(provider));
            assert_eq!(backup.of_provider["http_timeout_ms"], 3_000);
        }
    }

    #[test]
    fn accounts_by_name_wait_no_longer_in_development_than_that_of_up() {
        let variables = [
            ("HATCH_ACCOUNTS__TWILIO_MAIN__PROVIDER", "twilio"),
            ("HATCH_ACCOUNTS__OTHER__PROVIDER", "sendgrid"),
            ("HATCH_ACCOUNTS__OTHER__HTTP_TIMEOUT_MS", "4000"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let set = set(None, variables.into_iter()).expect("valid");
        let servers = Servers { simulator_url: Some("http://s".to_owned()), ..Servers::default() };
        for defaults in [of_first_start(&set), beside(&servers, &set)] {
            let settings = Settings::from(defaults, &set).expect("valid");
            let of = |name: &str, key: &str| settings.accounts[name].of_provider[key].clone();
            assert_eq!(of("twilio-main", "http_timeout_ms"), 3_000);
            assert_eq!(of("twilio-main", "connect_timeout_ms"), 1_000);
            assert_eq!(of("other", "http_timeout_ms"), 4_000, "what is set goes first");
        }
        let settings = Settings::from(Figment::new(), &set).expect("valid");
        assert!(settings.accounts["twilio-main"].of_provider.get("http_timeout_ms").is_none());
    }

    #[test]
    fn what_the_file_says_of_an_account_goes_before_what_up_has_for_it() {
        let toml = "public_url = \"https://a.example\"\n[sendgrid]\ndefault_subject = \"Hi\"\n\
                    base_url = \"http://127.0.0.1:1\"\n[twilio]\npublic_url = \"https://b.example\"\n";
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hatch.toml");
        std::fs::write(&file, toml).expect("written");
        let set = set(Some(&file), std::iter::empty()).expect("valid");
        let settings = Settings::from(of_first_start(&set), &set);
        let settings = settings.expect("valid");
        let sendgrid = &settings.accounts["sendgrid"].of_provider;
        assert_eq!(
            (sendgrid["default_subject"].as_str(), sendgrid["base_url"].as_str()),
            (Some("Hi"), Some("http://127.0.0.1:1"))
        );
        assert_eq!(sendgrid["api_key"], "dev-sendgrid-api-key");
        assert_eq!(settings.accounts["twilio"].of_provider["public_url"], "https://b.example");
    }

    #[test]
    fn an_account_of_ones_own_takes_the_place_of_the_one_of_up() {
        let variables = [
            ("HATCH_ACCOUNTS__TWILIO__AUTH_TOKEN", "own"),
            ("HATCH_ACCOUNTS__TWILIO_2__PROVIDER", "sendgrid"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let set = set(None, variables.into_iter()).expect("valid");
        let settings = Settings::from(of_first_start(&set), &set);
        let settings = settings.expect("valid");
        let of = |name: &str| &settings.accounts[name];
        assert!(!of("twilio").is_section && of("sendgrid").is_section);
        assert!(of("twilio").of_provider.get("account_sid").is_none());
        assert!(of("twilio-2").of_provider.get("base_url").is_none());
    }

    #[test]
    fn the_master_key_of_up_is_used_where_none_is_set() {
        const OF_UP: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        const OTHER: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = folder.path().to_str().expect("UTF-8");
        let loaded = |variables: &[(&str, &str)]| {
            let own = [("HATCH_DATA_DIR", data_dir)];
            let all = variables.iter().chain(&own);
            let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let set = set(None, all).expect("valid");
            let settings = Settings::from(of_first_start(&set), &set).expect("valid");
            settings.master_key.map(|key| key.expose().to_owned())
        };
        assert_eq!(loaded(&[]), None);
        std::fs::write(folder.path().join(MASTER_KEY_OF_UP), format!("{OF_UP}\n"))
            .expect("written");
        assert_eq!(loaded(&[]).as_deref(), Some(OF_UP));
        assert_eq!(loaded(&[("HATCH_MASTER_KEY", OTHER)]).as_deref(), Some(OTHER));
    }

    #[test]
    fn a_secret_closes_what_is_open_by_default() {
        let secret = ("HATCH_GENERIC__BEARER_SECRET".to_owned(), "0123456789abcdef".to_owned());
        let open = ("HATCH_GENERIC__OPEN".to_owned(), "true".to_owned());
        let load = |variables: Vec<_>| {
            let set = set(None, variables.into_iter()).expect("valid");
            Settings::from(of_first_start(&set), &set).expect("valid")
        };
        let generic = |settings: Settings| settings.generic.expect("set").open;
        assert!(generic(load(vec![])));
        assert!(!generic(load(vec![secret.clone()])));
        // Said outright, it is refused later, and by its name.
        assert!(generic(load(vec![secret, open])));
    }

    #[test]
    fn clients_have_to_say_who_they_are_but_in_development() {
        use crate::settings::Authentication;

        let set = set(None, std::iter::empty()).expect("valid");
        let up = of_first_start(&set);
        let servers = Servers { simulator_url: Some("http://s".to_owned()), ..Servers::default() };
        for (defaults, expected) in [
            (Figment::new(), Authentication::Required),
            (up, Authentication::Off),
            (beside(&servers, &set), Authentication::Required),
        ] {
            let settings = Settings::from(defaults, &set).expect("valid");
            assert_eq!(settings.authentication, expected);
        }
        let settings = load("", &[("HATCH_AUTHENTICATION", "off")]).expect("valid");
        assert_eq!(settings.authentication, Authentication::Off);
        let error = load("", &[("HATCH_AUTHENTICATION", "perhaps")]).expect_err("refused");
        assert!(error.to_string().contains("authentication"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_named() {
        for error in [load("lisen = \"x\"", &[]), load("", &[("HATCH_LISEN", "x")])] {
            let text = format!("{:#}", error.expect_err("unknown key"));
            assert!(text.contains("lisen") && text.contains("listen"), "{text}");
        }
        for (variable, key) in
            [("HATCH_PORT", "port"), ("HATCH_DISPATCHER__LEASE", "dispatcher.lease")]
        {
            let text = format!("{:#}", load("", &[(variable, "5")]).expect_err("unknown key"));
            assert!(text.contains(&format!("{key}: unknown key")), "{text}");
        }
    }

    #[test]
    fn a_bad_value_is_named_with_its_type_and_what_was_expected() {
        let number = "dispatcher.concurrency_max: invalid";
        for (key, value, expected) in [
            ("HATCH_DISPATCHER__CONCURRENCY_MAX", "many", [number, "string \"many\""]),
            ("HATCH_DISPATCHER__CONCURRENCY_MAX", "-1", [number, "a whole number of 0 or more"]),
            ("HATCH_ADMISSION__ENABLED", "maybe", ["admission.enabled: invalid", "a boolean"]),
        ] {
            let text = load("", &[(key, value)]).expect_err("refused").to_string();
            assert!(expected.iter().all(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_toml_is_refused_by_place_and_key_and_never_by_its_text() {
        for (toml, place, key) in [
            ("\n[twilio]\nauth_token = \"CANARY\n", "line 3, column", "twilio.auth_token"),
            ("[twilio]\nauth_token = CANARY\n", "line 2, column", "twilio.auth_token"),
            ("nats_url = nats://u:CANARY@h\n", "line 1, column", "nats_url"),
            ("[sendgrid]\napi_key = 'CANARY\n'", "line 2, column", "sendgrid.api_key"),
            ("[sendgrid]\napi_key = \"\\CANARY\"", "line 2, column", "sendgrid.api_key"),
            ("[sendgrid]\n\"SG.CANARY\"", "line 2, column", ""),
            ("SG.CANARY\n", "line 1, column", ""),
            ("a = 1\na = \"CANARY\"", "line 2, column", ""),
            ("listen = \"a\"\nlisten = \"CANARY\"", "line 2, column", "listen"),
            ("SG_CANARY = \n", "line 1, column", ""),
            ("[twilio]\nSG-CANARY = 'a\n", "line 2, column", "twilio"),
        ] {
            let error = format!("{:#}", load(toml, &[]).expect_err(toml));
            assert!(error.contains(place) && error.contains("hatch.toml"), "{error}");
            assert!(error.contains(key) && !error.contains("CANARY"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_value_that_may_be_a_secret_is_not_said_wherever_it_was_put() {
        let sid = format!("account_sid = \"AC{}\"", "0".repeat(32));
        for (toml, key) in [
            ("[twilio]\nauth_token = [\"CANARY\"]", "twilio.auth_token"),
            ("database_url = { a = \"CANARY\" }", "database_url"),
            ("nats_url = [\"CANARY\"]", "nats_url"),
            ("twilio = \"CANARY\"", "twilio"),
            ("dispatcher = \"CANARY\"", "dispatcher"),
            (
                "[sendgrid]\napi_key = \"a\"\nevent_public_keys = \"CANARY\"",
                "sendgrid.event_public_keys",
            ),
            ("[sendgrid]\napi_key = \"a\"\nbase_url = \"http://u:CANARY@[\"", "sendgrid.base_url"),
            (
                &format!("[twilio]\n{sid}\nauth_token = \"a\"\nbase_url = \"//u:CANARY@h:p\""),
                "twilio.base_url",
            ),
        ] {
            let error = format!("{:#}", load(toml, &[]).expect_err(toml));
            assert!(error.contains(key) && !error.contains("CANARY"), "{error}");
            assert!(error.contains("hatch.toml: line "), "{error}");
        }
        // A key itself may be one, by mistake.
        for (toml, place) in [
            ("CANARY = 1", "line 1"),
            ("[sendgrid]\nSG-CANARY-1 = 'a'", "line 2"),
            ("[sendgrid]\n\"SG.CANARY.a\" = 'a'", "hatch.toml"),
            ("[CANARY]\na = 1", "line 1"),
        ] {
            let error = format!("{:#}", load(toml, &[]).expect_err(toml));
            assert!(error.contains("unknown key") && !error.contains("CANARY"), "{error}");
            assert!(error.contains(place) || place == "hatch.toml", "{error}");
        }
        for (variable, key) in [
            ("HATCH_TWILIO", "twilio"),
            ("HATCH_SENDGRID__API_KEY__X", "sendgrid.api_key"),
            ("HATCH_SENDGRID__BASE_URL", "sendgrid.base_url"),
            ("HATCH_TELEMETRY", "telemetry"),
        ] {
            let set = [("HATCH_SENDGRID__API_KEY", "a"), (variable, "http://u:CANARY@[")];
            let error = format!("{:#}", load("", &set).expect_err(variable));
            assert!(error.contains(key) && !error.contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn variables_of_tests_and_children_are_no_settings() {
        let environment = [("HATCH_TEST_DATABASE_URL", "x"), ("HATCH_EXIT_WITH_PARENT", "1")];
        assert!(load("", &environment).is_ok());
    }

    #[test]
    fn an_account_is_told_the_public_url() {
        let sid = format!("AC{}", "0".repeat(32));
        let variables = [
            ("HATCH_TWILIO__ACCOUNT_SID", sid.as_str()),
            ("HATCH_TWILIO__AUTH_TOKEN", "secret"),
            ("HATCH_PUBLIC_URL", "https://hatch.example"),
        ];
        let settings = load("", &variables).expect("valid");
        let account = crate::roles::each_account(&settings).remove(0).account;
        assert_eq!(account.expect("good").reached_by.as_str(), "https://hatch.example/");
    }

    #[test]
    fn a_bad_port_is_named_before_anything_is_made_of_it() {
        for key in ["listen", "simulator_listen"] {
            let twilio = "[twilio]\naccount_sid = \"AC0\"\nauth_token = \"t\"\n";
            let error = load(&format!("{key} = \"127.0.0.1:65536\"\n{twilio}"), &[]);
            let error = error.expect_err("no port").to_string();
            assert!(error.starts_with(&format!("configuration: {key}: found port")), "{error}");
        }
        for address in ["localhost:8080", "[::1]:0", "0.0.0.0:65535"] {
            load(&format!("listen = {address:?}"), &[]).expect(address);
        }
    }

    #[test]
    fn the_public_url_follows_the_listener_unless_it_is_set() {
        let settings = load("listen = \"127.0.0.1:9\"", &[]).expect("valid");
        assert_eq!(settings.public_url(), "http://127.0.0.1:9");
        let settings = load("public_url = \"https://hatch.example/\"", &[]).expect("valid");
        assert_eq!(settings.public_url(), "https://hatch.example");
    }
}
