//! What somebody asks for who wants a key, and what of it can be had.

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::api_key::KeyType;
use hatch_domain::ip_range::IpRange;
use hatch_domain::scope::{Scope, Scopes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::ChannelName;
use crate::problem::{FieldCode, FieldError};

/// Characters of a key's name at most.
const NAME_CHARACTERS_MAX: usize = 100;
/// Scopes of a request at most: more than there are, so that one may be named twice.
const SCOPES_MAX: usize = 32;
/// Senders of a key at most.
const SENDERS_MAX: usize = 100;
/// Channels of a request at most.
const CHANNELS_MAX: usize = 32;
/// IP ranges of a key at most.
const IP_RANGES_MAX: usize = 100;

/// A key that is to be made.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = ApiKeyRequest)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What it is for, in your own words.
    #[schema(example = "shop", required, min_length = 1, max_length = 100)]
    pub name: Option<String>,
    /// What it is for; `live` when it is left out. What a `test` key sends are tests, which no provider gets, and a `team`
    /// key sends to those on the tenant's team list only.
    #[serde(rename = "type")]
    #[schema(value_type = Option<KeyType>, example = "live")]
    pub key_type: Option<String>,
    /// What it may do: some of what the caller may. `admin` and `platform` are for `live` keys.
    #[schema(value_type = Vec<Scope>, required, min_items = 1, max_items = 32)]
    pub scopes: Option<Vec<String>>,
    /// The addresses that it sends from; all when there are none.
    #[schema(max_items = 100)]
    pub senders: Option<Vec<String>>,
    /// The channels that it sends by; all when there are none.
    #[schema(value_type = Option<Vec<ChannelName>>, max_items = 32)]
    pub channels: Option<Vec<String>>,
    /// Where it may be used from, as addresses and networks such as `10.0.0.0/8`; anywhere when there are none.
    #[schema(max_items = 100)]
    pub ip_ranges: Option<Vec<String>>,
    /// When it ends by itself, as an RFC 3339 time to come; never when it is left out.
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub expires_at: Option<String>,
}

/// What a request comes to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// Absent for the type that there was first, as idempotency keys have it.
    #[serde(skip_serializing_if = "is_live")]
    pub(super) key_type: KeyType,
    pub(super) scopes: Scopes,
    pub(super) senders: Vec<Address>,
    pub(super) channels: Vec<Channel>,
    pub(super) ip_ranges: Vec<IpRange>,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl KeyRequest {
    /// Reads all of it, or says of each field what is wrong. Whether the key would have ended already, a clock says.
    pub(super) fn validate(self) -> Result<Wanted, Vec<FieldError>> {
        let mut errors = Vec::new();
        let name = name_of("/name", self.name, &mut errors);
        let key_type = key_type(self.key_type.as_deref(), &mut errors);
        if self.scopes.as_ref().is_none_or(Vec::is_empty) {
            let detail = "is required: one scope at least, such as messages:write";
            errors.push(FieldError::coded(FieldCode::Required, "/scopes", detail));
        }
        let scopes = each(("/scopes", SCOPES_MAX), self.scopes, &mut errors, |text, pointer| {
            scope(text, pointer, key_type)
        });
        let senders = senders_of(self.senders, &mut errors);
        let channels = channels_of(self.channels, &mut errors);
        let ip_ranges = each(("/ip_ranges", IP_RANGES_MAX), self.ip_ranges, &mut errors, ip_range);
        let expires_at = self.expires_at.and_then(|text| time(&text, &mut errors));
        match name {
            Some(name) if errors.is_empty() => {
                let scopes = Scopes::of(&scopes);
                Ok(Wanted { name, key_type, scopes, senders, channels, ip_ranges, expires_at })
            }
            _ => Err(errors),
        }
    }
}

/// A name of 1 to 100 characters that can be shown.
pub(in crate::resources) fn name_of(
    pointer: &str,
    name: Option<String>,
    errors: &mut Vec<FieldError>,
) -> Option<String> {
    let Some(name) = name.map(|name| name.trim().to_owned()) else {
        errors.push(FieldError::coded(FieldCode::Required, pointer, "is required"));
        return None;
    };
    let (code, detail) = match name.chars().count() {
        0 => (FieldCode::Required, "expected a name of 1 to 100 characters"),
        1..=NAME_CHARACTERS_MAX if name.contains(char::is_control) => {
            (FieldCode::ForbiddenCharacter, "expected a name without control characters")
        }
        1..=NAME_CHARACTERS_MAX => return Some(name),
        _ => (FieldCode::TooLong, "expected a name of 1 to 100 characters"),
    };
    errors.push(FieldError::coded(code, pointer, detail));
    None
}

/// The addresses of a field `senders`.
pub(in crate::resources) fn senders_of(
    texts: Option<Vec<String>>,
    errors: &mut Vec<FieldError>,
) -> Vec<Address> {
    each(("/senders", SENDERS_MAX), texts, errors, sender)
}

/// The channels of a field `channels`.
pub(in crate::resources) fn channels_of(
    texts: Option<Vec<String>>,
    errors: &mut Vec<FieldError>,
) -> Vec<Channel> {
    each(("/channels", CHANNELS_MAX), texts, errors, channel)
}

/// Reads each text of a list of at most so many, and leaves out what is there twice.
fn each<T: PartialEq>(
    (pointer, max): (&str, usize),
    texts: Option<Vec<String>>,
    errors: &mut Vec<FieldError>,
    read: impl Fn(&str, String) -> Result<T, FieldError>,
) -> Vec<T> {
    let texts = texts.unwrap_or_default();
    if texts.len() > max {
        let detail = format!("expected at most {max}, got {}", texts.len());
        errors.push(FieldError::coded(FieldCode::WrongCount, pointer, detail));
        return Vec::new();
    }
    let mut all = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        match read(text, format!("{pointer}/{n}")) {
            Ok(one) if all.contains(&one) => {}
            Ok(one) => all.push(one),
            Err(error) => errors.push(error),
        }
    }
    all
}

/// The type of that name; the one that may have every scope, where there is none, so that no scope is found wrong by it.
fn key_type(named: Option<&str>, errors: &mut Vec<FieldError>) -> KeyType {
    let Some(named) = named else { return KeyType::Live };
    let found = KeyType::ALL.into_iter().find(|one| one.as_str() == named);
    found.unwrap_or_else(|| {
        let names = KeyType::ALL.map(KeyType::as_str).join(", ");
        let detail = format!("expected one of {names}");
        errors.push(FieldError::coded(FieldCode::UnknownValue, "/type", detail));
        KeyType::Live
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_live(key_type: &KeyType) -> bool {
    *key_type == KeyType::Live
}

fn scope(text: &str, pointer: String, key_type: KeyType) -> Result<Scope, FieldError> {
    let scope = text.parse::<Scope>();
    let scope = scope.map_err(|error| FieldError::of(pointer.clone(), &error))?;
    if key_type.may_have(scope) {
        return Ok(scope);
    }
    let detail = format!("{scope} is for keys of the type live: whoever has it can make such keys");
    Err(FieldError::coded(FieldCode::NotAllowed, pointer, detail))
}

fn sender(text: &str, pointer: String) -> Result<Address, FieldError> {
    Address::wanted(text).map_err(|error| FieldError::of(pointer, &error))
}

fn channel(text: &str, pointer: String) -> Result<Channel, FieldError> {
    let found = Channel::ALL.into_iter().find(|channel| channel.as_str() == text);
    found.ok_or_else(|| {
        let names = Channel::ALL.map(Channel::as_str).join(", ");
        FieldError::coded(FieldCode::UnknownValue, pointer, format!("expected one of {names}"))
    })
}

fn ip_range(text: &str, pointer: String) -> Result<IpRange, FieldError> {
    text.parse::<IpRange>().map_err(|error| FieldError::of(pointer, &error))
}

fn time(text: &str, errors: &mut Vec<FieldError>) -> Option<DateTime<Utc>> {
    match DateTime::parse_from_rfc3339(text) {
        // In microseconds, which is what is kept, and a leap second is the second after it.
        Ok(time) => DateTime::from_timestamp_micros(time.timestamp_micros()),
        Err(_) => {
            let detail = "expected an RFC 3339 time, such as 2027-01-31T12:00:00Z";
            errors.push(FieldError::new("/expires_at", detail));
            None
        }
    }
}
