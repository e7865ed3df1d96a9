//! What somebody asks for who wants a pool, and what of it can be had.

use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::pool::{BadPool, PoolName, PoolSender, PoolTerms, SENDERS_MAX, WEIGHT_MAX};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::names::ChannelName;
use crate::problem::{FieldCode, FieldError};

/// A pool that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolRequest {
    /// What you call it. No two pools of a tenant are called alike.
    #[schema(max_length = 32, pattern = "^[a-z0-9](-?[a-z0-9])*$", required, example = "support")]
    name: Option<String>,
    /// How the messages travel that it is for: `sms` or `mms`, or both when it is left out.
    #[schema(value_type = Option<ChannelName>)]
    channel: Option<String>,
    /// Whether a message that names neither a sender nor a pool has one of these.
    default: Option<bool>,
    /// Its senders: addresses, or addresses with weights.
    #[schema(value_type = Vec<PoolSenderRequest>, required, min_items = 1, max_items = 500)]
    senders: Option<Vec<Value>>,
}

/// What is to become of a pool. What is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolChange {
    /// How the messages travel that it is for; `null` for `sms` and `mms`.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<ChannelName>)]
    channel: Option<Option<String>>,
    /// Whether a message that names neither a sender nor a pool has one of these.
    default: Option<bool>,
    /// All senders that it has from then on.
    #[schema(value_type = Option<Vec<PoolSenderRequest>>, min_items = 1, max_items = 500)]
    senders: Option<Vec<Value>>,
}

/// A sender of a pool, as the document has it.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what is read from JSON values, place by place")]
pub(crate) enum PoolSenderRequest {
    /// Its address; its weight is 100.
    Address(String),
    /// With its weight.
    Weighted(PoolSenderWeight),
}

/// A sender of a pool, and how much it gets in relation to the others.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolSenderWeight {
    /// A phone number, a short code of 3 to 8 digits, a name of at most 11 letters, digits and spaces, or a messaging
    /// service of a provider.
    #[schema(example = "+12016661234")]
    address: String,
    /// 100 when it is left out. At 0 it gets no new recipients.
    #[schema(minimum = 0, maximum = 100, example = 80)]
    weight: Option<u16>,
    /// The area code in North America that it stands for; that of its number when it is left out.
    #[schema(pattern = "^[0-9]{3}$", example = "212")]
    area: Option<String>,
}

/// A pool that is wanted, understood.
#[derive(Debug, Serialize)]
pub(super) struct Wanted {
    pub(super) name: PoolName,
    pub(super) terms: PoolTerms,
}

/// What is asked of a pool, understood: of each part none where it is to stay.
#[derive(Debug, Default)]
pub(super) struct Asked {
    channel: Option<Option<Channel>>,
    is_default: Option<bool>,
    senders: Option<Vec<PoolSender>>,
}

/// A field that is there, also where it is `null`.
fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl PoolRequest {
    /// Reads all of it, or says of each field what is wrong.
    pub(super) fn validate(self) -> Result<Wanted, Vec<FieldError>> {
        let mut errors = Vec::new();
        let required =
            |pointer: &str| FieldError::coded(FieldCode::Required, pointer, "is required");
        let name = match self.name.as_deref().map(str::parse::<PoolName>) {
            Some(Ok(name)) => Some(name),
            Some(Err(error)) => {
                errors.push(FieldError::new("/name", error.to_string()));
                None
            }
            None => {
                errors.push(required("/name"));
                None
            }
        };
        if self.senders.is_none() {
            errors.push(required("/senders"));
        }
        let (channel, default, senders) = (self.channel.map(Some), self.default, self.senders);
        let asked = PoolChange { channel, default, senders }.validate();
        let terms = asked.and_then(|asked| {
            if errors.is_empty() { asked.of(&PoolTerms::default()) } else { Err(Vec::new()) }
        });
        match (name, terms) {
            (Some(name), Ok(terms)) if errors.is_empty() => Ok(Wanted { name, terms }),
            (_, terms) => {
                errors.extend(terms.err().unwrap_or_default());
                Err(errors)
            }
        }
    }
}

impl PoolChange {
    /// As [`PoolRequest::validate`].
    pub(super) fn validate(self) -> Result<Asked, Vec<FieldError>> {
        let mut errors = Vec::new();
        let channel = self.channel.map(|name| name.and_then(|name| channel(&name, &mut errors)));
        let senders = self.senders.map(|values| senders(&values, &mut errors));
        let asked = Asked { channel, is_default: self.default, senders };
        if errors.is_empty() { Ok(asked) } else { Err(errors) }
    }
}

impl Asked {
    /// The terms that it makes of `terms`.
    ///
    /// # Errors
    /// Terms by which no sender would ever be chosen.
    pub(super) fn of(&self, terms: &PoolTerms) -> Result<PoolTerms, Vec<FieldError>> {
        let terms = PoolTerms {
            channel: self.channel.unwrap_or(terms.channel),
            is_default: self.is_default.unwrap_or(terms.is_default),
            senders: self.senders.clone().unwrap_or_else(|| terms.senders.clone()),
        };
        match terms.check() {
            Ok(()) => Ok(terms),
            Err(error) => {
                let code = match error {
                    BadPool::Count => FieldCode::WrongCount,
                    BadPool::Weight(_) | BadPool::Weights => FieldCode::OutOfRange,
                    BadPool::Twice(_) => FieldCode::Duplicate,
                    BadPool::Name(_) => FieldCode::Contradiction,
                    BadPool::Channel | BadPool::Sender(_) | BadPool::Area(_) => {
                        FieldCode::InvalidValue
                    }
                };
                Err(vec![FieldError::coded(code, error.pointer(), error.to_string())])
            }
        }
    }
}

fn channel(name: &str, errors: &mut Vec<FieldError>) -> Option<Channel> {
    let found = [Channel::Sms, Channel::Mms].into_iter().find(|known| known.as_str() == name);
    if found.is_none() {
        let detail = "expected sms or mms, or none for both";
        errors.push(FieldError::coded(FieldCode::UnknownValue, "/channel", detail));
    }
    found
}

fn senders(values: &[Value], errors: &mut Vec<FieldError>) -> Vec<PoolSender> {
    if values.len() > SENDERS_MAX {
        let detail = format!("expected at most {SENDERS_MAX}, got {}", values.len());
        errors.push(FieldError::coded(FieldCode::WrongCount, "/senders", detail));
        return Vec::new();
    }
    let mut read = Vec::new();
    for (n, value) in values.iter().enumerate() {
        match sender(n, value) {
            Ok(sender) => read.push(sender),
            Err(error) => errors.push(error),
        }
    }
    read
}

fn sender(n: usize, value: &Value) -> Result<PoolSender, FieldError> {
    let pointer = format!("/senders/{n}");
    let (said, pointer_of_address) = match value {
        Value::String(address) => {
            let address = address.clone();
            (Ok(PoolSenderWeight { address, weight: None, area: None }), pointer.clone())
        }
        other => (PoolSenderWeight::deserialize(other), format!("{pointer}/address")),
    };
    let PoolSenderWeight { address, weight, area } = said.map_err(|_| {
        let detail = "expected an address, or an object with its address, weight and area";
        FieldError::coded(FieldCode::WrongType, pointer, detail)
    })?;
    let address = Address::sender(&address);
    let address = address.map_err(|error| FieldError::of(pointer_of_address, &error))?;
    Ok(PoolSender { address, weight: weight.unwrap_or(WEIGHT_MAX), area })
}
