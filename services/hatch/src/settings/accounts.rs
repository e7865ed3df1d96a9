//! What the settings of accounts are beyond their types.

use std::collections::BTreeMap;

use anyhow::Context as _;
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_domain::traffic::Traffic;
use hatch_domain::{Channel, OnDoubt};
use hatch_providers::{Common, Limits, Provider, Tenants, provider, provider_names};
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::secret_file;

/// How the key of a file ends that holds the value of another key.
pub(super) const FILE: &str = "_file";

/// Stands for all tenants.
const ALL: &str = "*";

/// An account at a provider, by hatch's own name for it: 1 to 32 lower-case letters and digits with single dashes between
/// them, such as `[accounts.twilio-main]`. In a variable the dash is an underscore: `HATCH_ACCOUNTS__TWILIO_MAIN__PROVIDER`.
/// Beside these keys it has those of its provider's section below, such as `base_url`, and each of them as a file, too:
/// `auth_token_file = "/run/secrets/auth-token"`. The section of a provider, such as `[twilio]`, is the account of that
/// name. An account takes a message whose channel it carries, of whose tenant it is, and for whose sender it sends; which
/// one of several, `[[routes]]` says. Webhooks come to `/api/v1/webhooks/PROVIDER/NAME`.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AccountSettings {
    /// The provider, as its section below is called. Default: the account's name.
    pub provider: Option<String>,
    /// What it carries: `sms`, `mms`, `email`. Default: all that its provider can.
    pub channels: Vec<String>,
    /// The senders that it sends for, such as `+12016661234`. Default: any.
    pub senders: Vec<String>,
    /// The tenants that it is of, by their ids, or `*` for all that there are and will be. Default: `*`.
    pub tenants: Vec<String>,
    /// Which messages it takes: `live`, `test`, or `all` of both. Only an account at a simulator takes tests. Default: `live`;
    /// for an account at the simulator of `up`, `all`.
    pub traffic: Option<String>,
    /// What becomes of its attempts in doubt: `look_up` (the default where the provider can be asked), `wait` (the default
    /// elsewhere, and instead of a look-up that there is not), `resend` or `fail`. It comes before `dispatcher.in_doubt`; what
    /// a message asks for comes before both.
    pub on_doubt: Option<String>,
    /// Messages that it is given a second, by all processes together: 0.001 to 100,000. Default: as many as there are.
    pub rate_per_s: Option<f64>,
    /// Messages that each of its senders is given a second, as above.
    pub rate_per_sender_per_s: Option<f64>,
    /// Messages that it is given a day, in UTC: 1 to 1,000,000,000. Those above it wait for the next day. Default: as many
    /// as there are.
    pub per_day: Option<u64>,
    /// Calls of its provider under way at a time, of all processes together: 1 to 1,000,000,000. Default: as many as the
    /// processes make.
    pub concurrency_max: Option<u64>,
    /// What its provider asks for. It may hold secrets.
    #[serde(flatten)]
    #[schemars(skip)]
    pub of_provider: Map<String, Value>,
    /// Whether it is set by the section that is called as its provider.
    #[serde(skip)]
    #[schemars(skip)]
    pub is_section: bool,
}

impl AccountSettings {
    /// The provider of the account `name`.
    pub(crate) fn provider(&self, name: &str) -> anyhow::Result<&'static dyn Provider> {
        let set = self.provider.as_deref();
        provider(set.unwrap_or(name)).with_context(|| {
            let wrong = if set.is_some() { "another" } else { "none, and is not called as one" };
            format!("provider: expected {}, got {wrong}", provider_names())
        })
    }

    /// What it has beside its provider's settings. Where nothing is said of tests, `simulator` takes them, too.
    pub(crate) fn common(&self, simulator: Option<&str>) -> anyhow::Result<Common> {
        let channel = |text: &String| {
            let mut known = Channel::ALL.into_iter().filter(|channel| channel.has_provider());
            let found = known.find(|channel| channel.as_str() == text.as_str());
            found.context("channels: expected some of sms, mms and email")
        };
        let sender = |text: &String| {
            Address::phone(text)
                .or_else(|_| Address::email(text))
                .context("senders: expected phone numbers and mailboxes")
        };
        let tenant = |text: &String| {
            text.parse::<TenantId>().ok().context("tenants: expected ids of tenants, or * alone")
        };
        let tenants = match self.tenants.as_slice() {
            [] => Tenants::All,
            [all] if all == ALL => Tenants::All,
            these => Tenants::These(these.iter().map(tenant).collect::<anyhow::Result<_>>()?),
        };
        let traffic = match self.traffic.as_deref() {
            None => traffic_of(self.of_provider.get("base_url").and_then(Value::as_str), simulator),
            Some(text) => Traffic::named(text).context("traffic: expected live, test or all")?,
        };
        let on_doubt = match self.on_doubt.as_deref() {
            None => None,
            Some(text) => Some(
                OnDoubt::named(text).context("on_doubt: expected look_up, wait, resend or fail")?,
            ),
        };
        Ok(Common {
            channels: self.channels.iter().map(channel).collect::<anyhow::Result<_>>()?,
            senders: self.senders.iter().map(sender).collect::<anyhow::Result<_>>()?,
            tenants,
            traffic,
            limits: self.limits()?,
            on_doubt,
        })
    }

    /// How much it is given.
    fn limits(&self) -> anyhow::Result<Limits> {
        let rate = |key: &str, set: Option<f64>| {
            let is_good = set.is_none_or(Limits::is_rate);
            anyhow::ensure!(is_good, "{key}: expected {}", Limits::RATE_EXPECTED);
            Ok(set)
        };
        let count = |key: &str, set: Option<u64>| {
            let is_good = set.is_none_or(Limits::is_count);
            anyhow::ensure!(is_good, "{key}: expected {}", Limits::COUNT_EXPECTED);
            Ok(set)
        };
        let calls = count("concurrency_max", self.concurrency_max)?;
        Ok(Limits {
            per_s: rate("rate_per_s", self.rate_per_s)?,
            per_sender_per_s: rate("rate_per_sender_per_s", self.rate_per_sender_per_s)?,
            per_day: count("per_day", self.per_day)?,
            concurrency: calls.map(|number| u32::try_from(number).unwrap_or(u32::MAX)),
        })
    }

    /// The settings of its provider, with the files read that hold some of them.
    pub(crate) fn read(&self, provider: &dyn Provider) -> anyhow::Result<Value> {
        let known = &provider.schema()["properties"];
        let mut read = Map::new();
        for (key, value) in &self.of_provider {
            let of = key.strip_suffix(FILE).filter(|_| known.get(key).is_none());
            let Some((of, property)) = of.and_then(|of| Some((of, known.get(of)?))) else {
                continue;
            };
            // A variable is nearer than a file that is named elsewhere.
            if self.of_provider.contains_key(of) {
                continue;
            }
            let path =
                value.as_str().with_context(|| format!("{key}: expected the path of a file"))?;
            let text = secret_file::read(path)
                .with_context(|| format!("{key}: failed to read the file that it names"))?;
            let text = Value::from(text);
            let is_list = property["type"] == "array";
            read.insert(of.to_owned(), if is_list { Value::Array(vec![text]) } else { text });
        }
        let is_file = |key: &str| {
            key.strip_suffix(FILE)
                .is_some_and(|of| known.get(key).is_none() && known.get(of).is_some())
        };
        let direct = self.of_provider.iter().filter(|(key, _)| !is_file(key.as_str()));
        read.extend(direct.map(|(key, value)| (key.clone(), value.clone())));
        Ok(Value::Object(read))
    }
}

/// Which messages an account at `base_url` takes, where nothing is said of it: those that go to the simulator of `up` reach
/// nobody, so that tests may.
pub(crate) fn traffic_of(base_url: Option<&str>, simulator: Option<&str>) -> Traffic {
    let url = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    match (base_url.and_then(url), simulator.and_then(url)) {
        (Some(base), Some(simulator)) if base == simulator => Traffic::All,
        _ => Traffic::Live,
    }
}

/// The accounts that are set by name.
pub type AccountsByName = BTreeMap<String, AccountSettings>;

/// `text` as a URL by which the outside comes: without user and password.
pub(crate) fn outside_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| {
        ["http", "https"].contains(&url.scheme())
            && url.username().is_empty()
            && url.password().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;
    use super::*;

    #[test]
    fn an_account_by_name_has_common_keys_and_those_of_its_provider_from_file_and_environment() {
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), "a-token\n").expect("written");
        let path = secret.path().to_str().expect("UTF-8");
        let sid = format!("AC{}", "0".repeat(32));
        let toml = format!(
            "[accounts.twilio-main]\nprovider = \"twilio\"\nchannels = [\"sms\"]\n\
             senders = [\"+12016661234\"]\nauth_token_file = {path:?}\n"
        );
        let variables = [
            ("HATCH_ACCOUNTS__TWILIO_MAIN__ACCOUNT_SID", sid.as_str()),
            ("HATCH_ACCOUNTS__TWILIO_MAIN__HTTP_TIMEOUT_MS", "5000"),
            ("HATCH_ACCOUNTS__SECOND__AUTH_TOKEN_FILE", path),
        ];
        let settings = load(&toml, &variables).expect("valid");
        let account = &settings.accounts["twilio-main"];
        let provider = account.provider("twilio-main").expect("a provider");
        let read = account.read(provider).expect("the file is there");
        assert_eq!(read["auth_token"], "a-token");
        assert_eq!(read["account_sid"], sid.as_str());
        assert_eq!(read["http_timeout_ms"], 5_000);
        assert!(read.get("auth_token_file").is_none() && read.get("channels").is_none());
        let common = account.common(None).expect("good ones");
        assert_eq!((common.channels, common.traffic), (vec![Channel::Sms], Traffic::Live));
        assert_eq!((common.tenants, common.senders.len()), (Tenants::All, 1));
        assert_eq!(settings.accounts["second"].of_provider["auth_token"], "a-token");
        assert!(settings.accounts["second"].provider("second").is_err());
    }

    #[test]
    fn what_is_wrong_with_an_account_is_named_and_no_value_is_said() {
        const CANARY: &str = "CANARY";
        for (set, said) in [
            ("channels = [\"CANARY\"]", "channels"),
            ("senders = [\"CANARY\"]", "senders"),
            ("tenants = [\"CANARY\"]", "tenants"),
            ("tenants = [\"*\", \"00000000-0000-0000-0000-000000000001\"]", "tenants"),
            ("traffic = \"CANARY\"", "traffic"),
            ("on_doubt = \"CANARY\"", "on_doubt"),
            ("rate_per_s = 0.0", "rate_per_s"),
            ("rate_per_s = -1.0", "rate_per_s"),
            ("rate_per_sender_per_s = 1e9", "rate_per_sender_per_s"),
            ("per_day = 0", "per_day"),
            ("concurrency_max = 0", "concurrency_max"),
        ] {
            let settings = load(&format!("[accounts.a]\n{set}\n"), &[]).expect("texts");
            let error = format!("{:#}", settings.accounts["a"].common(None).expect_err(set));
            assert!(error.starts_with(said) && !error.contains(CANARY), "{error}");
        }
    }

    #[test]
    fn a_section_and_an_account_of_one_name_are_refused() {
        let toml = "[twilio]\naccount_sid = \"AC\"\nauth_token = \"t\"\n[accounts.twilio]\n";
        let error = load(toml, &[]).expect_err("both").to_string();
        assert!(error.starts_with("configuration: accounts.twilio:"), "{error}");
    }

    #[test]
    fn a_section_is_the_account_of_its_name_with_the_keys_that_every_account_has() {
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), "a-token\n").expect("written");
        let path = secret.path().to_str().expect("UTF-8");
        let toml = format!(
            "[twilio]\naccount_sid = \"AC{}\"\nauth_token_file = {path:?}\nsenders = [\"+12016661234\"]\n",
            "0".repeat(32)
        );
        let settings = load(&toml, &[]).expect("valid");
        let made = crate::roles::each_account(&settings).remove(0);
        assert_eq!((made.section.as_str(), made.name.as_str()), ("twilio", "twilio"));
        assert_eq!(made.account.expect("a good account").senders.len(), 1);
        for (toml, said) in [
            ("[twilio]\nprovider = \"sendgrid\"", "twilio.provider: expected twilio"),
            ("[twilio]\nauth_tokn = \"t\"", "twilio.auth_tokn: unknown key"),
            ("[sendgrid]\naccount_sid = \"AC\"", "sendgrid.account_sid: unknown key"),
        ] {
            let error = format!("{:#}", load(toml, &[]).expect_err(toml));
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn only_what_goes_to_the_simulator_takes_tests_unasked() {
        let simulator = Some("http://127.0.0.1:8089");
        assert_eq!(traffic_of(Some("http://127.0.0.1:8089/"), simulator), Traffic::All);
        assert_eq!(traffic_of(Some("http://127.0.0.1:8090"), simulator), Traffic::Live);
        assert_eq!(traffic_of(Some("https://api.twilio.com"), None), Traffic::Live);
        assert_eq!(traffic_of(None, simulator), Traffic::Live);
    }

    #[test]
    fn a_public_url_that_is_none_is_left_to_be_refused_by_its_own_name() {
        let sid = format!("AC{}", "0".repeat(32));
        let variables = [
            ("HATCH_TWILIO__ACCOUNT_SID", sid.as_str()),
            ("HATCH_TWILIO__AUTH_TOKEN", "secret"),
            ("HATCH_PUBLIC_URL", "hatch.example.com"),
        ];
        let settings = load("", &variables).expect("what is wrong is said later");
        assert_eq!(settings.public_url(), "hatch.example.com");
        let made = crate::roles::each_account(&settings).remove(0).account;
        assert!(made.is_ok(), "it is not the account that is wrong");
    }
}
