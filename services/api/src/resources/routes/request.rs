//! What somebody asks for who wants a route, and what of it can be had.

use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::route::{
    ACCOUNTS_MAX, BadTerms, NAME_CHARACTERS_MAX, Reach, Route, RouteTerms, WEIGHT_MAX, Weighted,
    is_name,
};
use hatch_domain::{Channel, Priority};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::names::{ChannelName, PriorityName};
use crate::problem::{FieldCode, FieldError};

/// A route that is to be made. A condition that is left out, or `null`, holds for every message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteRequest {
    /// What you call it: it stands in plans, in timelines and in reasons. No two routes of a tenant are called alike.
    #[schema(min_length = 1, max_length = 64, example = "Great Britain")]
    name: Option<String>,
    /// Where it stands among the tenant's routes: the lowest is looked at first. 0 when it is left out.
    order: Option<i32>,
    /// How the messages travel that it is for.
    #[schema(value_type = Option<ChannelName>)]
    channel: Option<String>,
    /// Whom they are to: the beginning of a number, or a domain with those below it. Of several recipients the first
    /// counts.
    #[schema(max_length = 253, example = "+44")]
    to: Option<String>,
    /// Who sends them.
    from: Option<String>,
    /// Which priority they have.
    #[schema(value_type = Option<PriorityName>)]
    priority: Option<String>,
    /// The accounts that share them: the names of accounts that the tenant has, or names with weights.
    #[schema(value_type = Vec<RouteAccountRequest>, required, min_items = 1, max_items = 32)]
    accounts: Option<Vec<Value>>,
    /// Those that carry what none of these can, in this order.
    #[schema(max_items = 31)]
    backup: Option<Vec<String>>,
}

/// What is to become of a route. What is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteChange {
    /// What you call it; `null` takes the name away.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    name: Option<Option<String>>,
    /// Where it stands among the tenant's routes: the lowest is looked at first.
    order: Option<i32>,
    /// How the messages travel that it is for; `null` for all.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<ChannelName>)]
    channel: Option<Option<String>>,
    /// Whom they are to: the beginning of a number, or a domain with those below it; `null` for all.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>, max_length = 253)]
    to: Option<Option<String>>,
    /// Who sends them; `null` for all.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    from: Option<Option<String>>,
    /// Which priority they have; `null` for all.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<PriorityName>)]
    priority: Option<Option<String>>,
    /// The accounts that share them.
    #[schema(value_type = Option<Vec<RouteAccountRequest>>, min_items = 1, max_items = 32)]
    accounts: Option<Vec<Value>>,
    /// Those that carry what none of these can, in this order.
    #[schema(max_items = 31)]
    backup: Option<Vec<String>>,
}

/// An account of a route, as the document has it.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what is read from JSON values, place by place")]
pub(crate) enum RouteAccountRequest {
    /// Its name; its weight is 100.
    Name(String),
    /// With its weight.
    Weighted(RouteAccountWeight),
}

/// An account of a route, and how much of its messages it carries in relation to the others.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteAccountWeight {
    /// hatch's own name of it.
    #[schema(example = "vonage")]
    name: String,
    /// 100 when it is left out. At 0 it carries none.
    #[schema(value_type = u16, required = false, minimum = 0, maximum = 100, example = 80)]
    weight: Option<u16>,
}

/// What is asked of a route, understood: of each part none where it is to stay.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Asked {
    name: Option<Option<String>>,
    order: Option<i32>,
    channel: Option<Option<Channel>>,
    to: Option<Option<Reach>>,
    from: Option<Option<Address>>,
    priority: Option<Option<Priority>>,
    accounts: Option<Vec<Weighted>>,
    backup: Option<Vec<AccountName>>,
}

/// A route as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: Option<String>,
    pub(super) order: i32,
    pub(super) terms: RouteTerms,
}

/// A field that is there, also where it is `null`.
fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl RouteRequest {
    /// Reads all of it, or says of each field what is wrong.
    pub(super) fn validate(self) -> Result<Asked, Vec<FieldError>> {
        let is_named = self.accounts.is_some();
        let change = RouteChange {
            name: self.name.map(Some),
            order: self.order,
            channel: self.channel.map(Some),
            to: self.to.map(Some),
            from: self.from.map(Some),
            priority: self.priority.map(Some),
            accounts: self.accounts,
            backup: self.backup,
        };
        let read = change.validate();
        if is_named {
            return read;
        }
        let required = FieldError::coded(FieldCode::Required, "/accounts", "is required");
        Err(read.err().into_iter().flatten().chain([required]).collect())
    }
}

impl RouteChange {
    /// As [`RouteRequest::validate`].
    pub(super) fn validate(self) -> Result<Asked, Vec<FieldError>> {
        let mut errors = Vec::new();
        let asked = Asked {
            name: part(self.name, &mut errors, name),
            order: self.order,
            channel: part(self.channel, &mut errors, channel),
            to: part(self.to, &mut errors, |text| {
                let read = text.parse::<Reach>();
                read.map_err(|error| FieldError::new("/to", error.to_string()))
            }),
            from: part(self.from, &mut errors, |text| {
                Address::wanted(text).map_err(|error| FieldError::of("/from", &error))
            }),
            priority: part(self.priority, &mut errors, priority),
            accounts: self.accounts.map(|values| accounts(&values, &mut errors)),
            backup: self.backup.map(|names| backup(&names, &mut errors)),
        };
        if errors.is_empty() { Ok(asked) } else { Err(errors) }
    }
}

impl Asked {
    /// The route that it makes of `route`.
    ///
    /// # Errors
    /// Terms by which no message would ever be sent.
    pub(super) fn of(&self, route: &Route) -> Result<Wanted, FieldError> {
        let asked = self.clone();
        let terms = route.terms().clone();
        let terms = RouteTerms {
            channel: asked.channel.unwrap_or(terms.channel),
            to: asked.to.unwrap_or(terms.to),
            from: asked.from.unwrap_or(terms.from),
            priority: asked.priority.unwrap_or(terms.priority),
            accounts: asked.accounts.unwrap_or(terms.accounts),
            backup: asked.backup.unwrap_or(terms.backup),
        };
        terms.check().map_err(|error| {
            let code = match error {
                BadTerms::Count => FieldCode::WrongCount,
                BadTerms::Weights => FieldCode::OutOfRange,
                BadTerms::Twice(_) => FieldCode::Duplicate,
                BadTerms::To | BadTerms::From => FieldCode::Contradiction,
            };
            FieldError::coded(code, format!("/{}", error.field()), error.to_string())
        })?;
        let name = asked.name.unwrap_or_else(|| route.name().map(str::to_owned));
        Ok(Wanted { name, order: asked.order.unwrap_or_else(|| route.order()), terms })
    }

    /// Whether it says anything of accounts, or of what they have to carry.
    pub(super) const fn is_about_accounts(&self) -> bool {
        self.accounts.is_some() || self.backup.is_some() || self.channel.is_some()
    }
}

/// A part that may be taken away.
fn part<T>(
    said: Option<Option<String>>,
    errors: &mut Vec<FieldError>,
    read: impl Fn(&str) -> Result<T, FieldError>,
) -> Option<Option<T>> {
    let Some(text) = said? else { return Some(None) };
    match read(&text) {
        Ok(value) => Some(Some(value)),
        Err(error) => {
            errors.push(error);
            None
        }
    }
}

fn name(text: &str) -> Result<String, FieldError> {
    let detail = format!("expected 1 to {NAME_CHARACTERS_MAX} printable characters");
    is_name(text).then(|| text.to_owned()).ok_or_else(|| FieldError::new("/name", detail))
}

fn channel(text: &str) -> Result<Channel, FieldError> {
    let mut known = Channel::ALL.into_iter().filter(|channel| channel.has_provider());
    known.find(|channel| channel.as_str() == text).ok_or_else(|| {
        let detail = "expected a channel that providers carry: sms, mms or email";
        FieldError::coded(FieldCode::UnknownValue, "/channel", detail)
    })
}

fn priority(text: &str) -> Result<Priority, FieldError> {
    Priority::named(text).ok_or_else(|| {
        let known = Priority::ALL.map(Priority::as_str).join(", ");
        let detail = format!("expected one of {known}");
        FieldError::coded(FieldCode::UnknownValue, "/priority", detail)
    })
}

fn accounts(values: &[Value], errors: &mut Vec<FieldError>) -> Vec<Weighted> {
    if values.len() > ACCOUNTS_MAX {
        errors.push(too_many("/accounts", values.len()));
        return Vec::new();
    }
    let mut read = Vec::new();
    for (n, value) in values.iter().enumerate() {
        match weighted(n, value) {
            Ok(weighted) => read.push(weighted),
            Err(error) => errors.push(error),
        }
    }
    read
}

fn weighted(n: usize, value: &Value) -> Result<Weighted, FieldError> {
    let pointer = format!("/accounts/{n}");
    // Who means that it has no weight would give it the greatest.
    if value.get("weight").is_some_and(Value::is_null) {
        let detail = "expected a number from 0 to 100, or no weight, which is 100";
        return Err(FieldError::coded(FieldCode::WrongType, format!("{pointer}/weight"), detail));
    }
    let said = match value {
        Value::String(name) => Ok(RouteAccountWeight { name: name.clone(), weight: None }),
        other => RouteAccountWeight::deserialize(other),
    };
    let RouteAccountWeight { name, weight } = said.map_err(|_| {
        let detail = "expected the name of an account, or an object with its name and weight";
        FieldError::coded(FieldCode::WrongType, pointer.clone(), detail)
    })?;
    let account = account(&name, pointer)?;
    Ok(Weighted { account, weight: weight.unwrap_or(WEIGHT_MAX) })
}

fn backup(names: &[String], errors: &mut Vec<FieldError>) -> Vec<AccountName> {
    if names.len() > ACCOUNTS_MAX {
        errors.push(too_many("/backup", names.len()));
        return Vec::new();
    }
    let mut read = Vec::new();
    for (n, name) in names.iter().enumerate() {
        match account(name, format!("/backup/{n}")) {
            Ok(name) => read.push(name),
            Err(error) => errors.push(error),
        }
    }
    read
}

fn too_many(pointer: &str, got: usize) -> FieldError {
    let detail = format!("expected at most {ACCOUNTS_MAX}, got {got}");
    FieldError::coded(FieldCode::WrongCount, pointer, detail)
}

fn account(text: &str, pointer: String) -> Result<AccountName, FieldError> {
    let read = text.parse::<AccountName>();
    read.map_err(|error| FieldError::new(pointer, error.to_string()))
}
