//! What somebody asks for who wants an account, and what of it can be had.

use std::collections::BTreeMap;
use std::fmt;

use hatch_domain::account::AccountLimits;
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::traffic::Traffic;
use hatch_domain::{Channel, OnDoubt};
use hatch_providers::{Provider, provider, provider_names};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::limits::LimitChanges;
use crate::field_error::token;
use crate::names::ChannelName;
use crate::problem::{FieldCode, FieldError};
use crate::resources::api_keys::{channels_of, senders_of};

/// Settings of an account at most.
const SETTINGS_MAX: usize = 32;
/// Bytes of all of them as JSON, at most.
const SETTINGS_BYTES_MAX: usize = 32 * 1024;

/// An account that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountRequest {
    /// What hatch is to call it: no other account of the installation is called so, and no provider.
    #[schema(
        required,
        pattern = "^[a-z0-9](-?[a-z0-9])*$",
        max_length = 32,
        example = "twilio-main"
    )]
    name: Option<String>,
    /// The provider that it is at.
    #[schema(required, example = "twilio")]
    provider: Option<String>,
    /// What it is to carry; all that its provider can when there are none.
    #[schema(value_type = Option<Vec<ChannelName>>, max_items = 32)]
    channels: Option<Vec<String>>,
    /// The addresses that it sends from; any when there are none.
    #[schema(max_items = 100)]
    senders: Option<Vec<String>>,
    /// Which messages it takes: `live`, which it is when it is left out, or `test` or `all` for a simulator.
    #[schema(value_type = Option<Traffic>)]
    traffic: Option<String>,
    /// Messages that it is given a second, by all processes together, such as `100` or `0.5`.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<f64>)]
    rate_per_s: Option<Value>,
    /// Messages that each of its senders is given a second.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<f64>)]
    rate_per_sender_per_s: Option<Value>,
    /// Messages that it is given a day, in UTC.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    per_day: Option<Value>,
    /// Calls of its provider under way at a time.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u32>)]
    concurrency_max: Option<Value>,
    /// What becomes of its attempts in doubt; `dispatcher.in_doubt` says it when it is left out.
    #[schema(value_type = Option<OnDoubt>)]
    on_doubt: Option<Value>,
    /// What its provider asks for, by the keys of the configuration: an account's SID, its token and so on.
    #[schema(value_type = Object, required)]
    settings: Option<Map<String, Value>>,
}

/// What is to become of an account. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountChange {
    /// What it is to carry; all that its provider can when there are none.
    #[schema(value_type = Option<Vec<ChannelName>>, max_items = 32)]
    channels: Option<Vec<String>>,
    /// The addresses that it sends from; any when there are none.
    #[schema(max_items = 100)]
    senders: Option<Vec<String>>,
    /// Which messages it takes.
    #[schema(value_type = Option<Traffic>)]
    traffic: Option<String>,
    /// Messages that it is given a second, by all processes together, such as `100` or `0.5`; `null` takes the limit away, as of
    /// those below.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<f64>)]
    rate_per_s: Option<Value>,
    /// Messages that each of its senders is given a second.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<f64>)]
    rate_per_sender_per_s: Option<Value>,
    /// Messages that it is given a day, in UTC.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    per_day: Option<Value>,
    /// Calls of its provider under way at a time.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<u32>)]
    concurrency_max: Option<Value>,
    /// What becomes of its attempts in doubt; `null` leaves it to `dispatcher.in_doubt`.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<OnDoubt>)]
    on_doubt: Option<Value>,
    /// The settings that are to be others, by their keys; `null` takes one away.
    #[schema(value_type = Object, required = false)]
    settings: Option<Map<String, Value>>,
}

/// Secrets as they came, by their keys. Nobody prints them, and what is made of a request has their keys alone.
#[derive(Clone, Default)]
pub(super) struct Secrets(pub(super) BTreeMap<String, Value>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Serialize for Secrets {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.keys())
    }
}

/// What a request for an account comes to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Wanted {
    pub(super) name: AccountName,
    pub(super) provider: &'static str,
    pub(super) channels: Vec<Channel>,
    pub(super) senders: Vec<Address>,
    pub(super) traffic: Traffic,
    // Without them it is the request that it was before there were any.
    #[serde(skip_serializing_if = "AccountLimits::is_none")]
    pub(super) limits: AccountLimits,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) on_doubt: Option<OnDoubt>,
    pub(super) settings: BTreeMap<String, Value>,
    pub(super) secrets: Secrets,
}

/// What a request for a change comes to.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) channels: Option<Vec<Channel>>,
    pub(super) senders: Option<Vec<Address>>,
    pub(super) traffic: Option<Traffic>,
    pub(super) limits: LimitChanges,
    /// Inside, none where the account is to say nothing.
    pub(super) on_doubt: Option<Option<OnDoubt>>,
    /// Null where one is to go.
    pub(super) settings: Changes,
}

/// Settings as they came: which are secret, only their provider knows.
#[derive(Clone, Default)]
pub(super) struct Changes(pub(super) Map<String, Value>);

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl AccountRequest {
    /// Reads all of it, or says of each field what is wrong. What its settings are worth, their provider says.
    pub(super) fn validate(self) -> Result<Wanted, Vec<FieldError>> {
        let mut errors = Vec::new();
        let name = name_of(self.name, &mut errors);
        let provider = provider_of(self.provider, &mut errors);
        let channels = channels_of(self.channels, &mut errors);
        let senders = senders_of(self.senders, &mut errors);
        let traffic = self.traffic.and_then(|text| traffic_of(&text, &mut errors));
        let limits =
            [&self.rate_per_s, &self.rate_per_sender_per_s, &self.per_day, &self.concurrency_max];
        let limits = LimitChanges::read(limits, &mut errors).of(AccountLimits::default());
        let on_doubt = on_doubt_of(self.on_doubt.as_ref(), &mut errors).flatten();
        if self.settings.is_none() {
            let detail = "is required: what the provider asks for";
            errors.push(FieldError::coded(FieldCode::Required, "/settings", detail));
        }
        let mut settings = self.settings.unwrap_or_default();
        check_settings(&settings, &mut errors);
        settings.retain(|_, value| !value.is_null());
        let (Some(name), Some(provider), true) = (name, provider, errors.is_empty()) else {
            return Err(errors);
        };
        let (settings, secrets) = parted(provider, settings);
        let (provider, traffic) = (provider.name(), traffic.unwrap_or_default());
        Ok(Wanted {
            name,
            provider,
            channels,
            senders,
            traffic,
            limits,
            on_doubt,
            settings,
            secrets,
        })
    }
}

impl AccountChange {
    /// As [`AccountRequest::validate`].
    pub(super) fn validate(self) -> Result<Asked, Vec<FieldError>> {
        let mut errors = Vec::new();
        let channels = self.channels.map(|texts| channels_of(Some(texts), &mut errors));
        let senders = self.senders.map(|texts| senders_of(Some(texts), &mut errors));
        let traffic = self.traffic.and_then(|text| traffic_of(&text, &mut errors));
        let limits =
            [&self.rate_per_s, &self.rate_per_sender_per_s, &self.per_day, &self.concurrency_max];
        let limits = LimitChanges::read(limits, &mut errors);
        let on_doubt = on_doubt_of(self.on_doubt.as_ref(), &mut errors);
        let settings = Changes(self.settings.unwrap_or_default());
        check_settings(&settings.0, &mut errors);
        if errors.is_empty() {
            Ok(Asked { channels, senders, traffic, limits, on_doubt, settings })
        } else {
            Err(errors)
        }
    }
}

/// What is to become of attempts in doubt: nothing where nothing is said, none inside where it is taken away.
fn on_doubt_of(said: Option<&Value>, errors: &mut Vec<FieldError>) -> Option<Option<OnDoubt>> {
    let said = said?;
    if said.is_null() {
        return Some(None);
    }
    let found = said.as_str().and_then(OnDoubt::named);
    if found.is_none() {
        let detail = format!("expected one of {}", OnDoubt::ALL.map(OnDoubt::as_str).join(", "));
        errors.push(FieldError::coded(FieldCode::UnknownValue, "/on_doubt", detail));
    }
    found.map(Some)
}

/// What a key says that is there: also that it is `null`.
fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// The settings that are no secrets, and those that are.
pub(super) fn parted(
    of: &dyn Provider,
    settings: Map<String, Value>,
) -> (BTreeMap<String, Value>, Secrets) {
    let is_secret = |key: &String| of.secrets().contains(&key.as_str());
    let (secrets, settings) = settings.into_iter().partition(|(key, _)| is_secret(key));
    (settings, Secrets(secrets))
}

fn name_of(name: Option<String>, errors: &mut Vec<FieldError>) -> Option<AccountName> {
    let Some(text) = name else {
        errors.push(FieldError::coded(FieldCode::Required, "/name", "is required"));
        return None;
    };
    let read = text.parse::<AccountName>();
    read.map_err(|error| errors.push(FieldError::new("/name", error.to_string()))).ok()
}

fn provider_of(
    named: Option<String>,
    errors: &mut Vec<FieldError>,
) -> Option<&'static dyn Provider> {
    let Some(named) = named else {
        errors.push(FieldError::coded(FieldCode::Required, "/provider", "is required"));
        return None;
    };
    let found = provider(&named);
    if found.is_none() {
        let detail = format!("expected {}", provider_names());
        errors.push(FieldError::coded(FieldCode::UnknownValue, "/provider", detail));
    }
    found
}

fn traffic_of(text: &str, errors: &mut Vec<FieldError>) -> Option<Traffic> {
    let found = Traffic::named(text);
    if found.is_none() {
        let detail = "expected live, test or all";
        errors.push(FieldError::coded(FieldCode::UnknownValue, "/traffic", detail));
    }
    found
}

/// What holds of settings whatever they mean.
fn check_settings(settings: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    if settings.len() > SETTINGS_MAX {
        let detail = format!("expected at most {SETTINGS_MAX}, got {}", settings.len());
        errors.push(FieldError::coded(FieldCode::WrongCount, "/settings", detail));
        return;
    }
    let bytes = serde_json::to_vec(settings).map_or(usize::MAX, |json| json.len());
    if bytes > SETTINGS_BYTES_MAX {
        let detail = format!("expected at most {SETTINGS_BYTES_MAX} bytes, got {bytes}");
        errors.push(FieldError::coded(FieldCode::TooLong, "/settings", detail));
        return;
    }
    for (key, value) in settings {
        if key.contains('\0') || has_nul(value) {
            let pointer = format!("/settings{}", token(key));
            let detail = "expected no NUL";
            errors.push(FieldError::coded(FieldCode::ForbiddenCharacter, pointer, detail));
        }
    }
}

/// Whether a text in it has the one character that PostgreSQL does not keep. A body nests 128 deep at most.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(all) => all.iter().any(has_nul),
        Value::Object(fields) => {
            fields.iter().any(|(key, value)| key.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
