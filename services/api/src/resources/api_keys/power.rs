//! What may be done with a key: no key makes one that may do more, or for longer, than itself. Pure.

use chrono::{DateTime, Utc};
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::api_key::{ApiKey, KeyType};
use hatch_domain::ip_range::IpRange;
use hatch_domain::scope::Scopes;

use super::issue::Issuer;
use super::request::Wanted;
use crate::problem::Problem;

impl Issuer {
    /// Refuses a key that may do more, or for longer, than who makes it.
    pub(super) fn refuse_stronger(&self, asked: &Power<'_>) -> Result<(), Problem> {
        self.refuse_other_scopes(asked.scopes)?;
        let Some(own) = self.key.as_deref().map(Power::of_key) else { return Ok(()) };
        let refuse = |what: &str| {
            Err(Problem::stronger_key(format!(
                "{what}: expected no more than the caller's key has"
            )))
        };
        if !own.key_type.covers(asked.key_type) {
            return refuse("type");
        }
        if !is_part(asked.senders, own.senders, |one, of| one.identity() == of.identity()) {
            return refuse("senders");
        }
        if !is_part(asked.channels, own.channels, PartialEq::eq) {
            return refuse("channels");
        }
        if !is_part(asked.ip_ranges, own.ip_ranges, |one, of| of.covers(one)) {
            return refuse("ip_ranges");
        }
        let lasts_longer = |end| asked.expires_at.is_none_or(|asked| asked > end);
        if own.expires_at.is_some_and(lasts_longer) {
            return refuse("expires_at");
        }
        Ok(())
    }

    /// Refuses a key that is not to be ended by who asks: one that has a scope which that has not, or reaches others.
    pub(super) fn refuse_beyond(&self, key: &ApiKey) -> Result<(), Problem> {
        self.refuse_other_scopes(key.scopes())?;
        let covers = |own: &ApiKey| own.key_type().covers(key.key_type());
        if self.key.as_deref().is_none_or(covers) {
            return Ok(());
        }
        let detail = format!("type: the caller's key does not cover {}", key.key_type().as_str());
        Err(Problem::stronger_key(detail))
    }

    /// Refuses a key that has a scope which who asks has not.
    fn refuse_other_scopes(&self, scopes: &Scopes) -> Result<(), Problem> {
        match scopes.iter().find(|scope| !self.scopes.allows(*scope)) {
            Some(scope) => {
                let detail = format!("scopes: {scope} is none of the caller's");
                Err(Problem::stronger_key(detail))
            }
            None => Ok(()),
        }
    }
}

/// Whether each of `asked` is one of `own`. An empty list stands for everything.
fn is_part<T>(asked: &[T], own: &[T], is: impl Fn(&T, &T) -> bool) -> bool {
    own.is_empty()
        || (!asked.is_empty() && asked.iter().all(|one| own.iter().any(|of| is(one, of))))
}

/// What may be done with a key.
pub(super) struct Power<'a> {
    key_type: KeyType,
    scopes: &'a Scopes,
    senders: &'a [Address],
    channels: &'a [Channel],
    ip_ranges: &'a [IpRange],
    expires_at: Option<DateTime<Utc>>,
}

impl<'a> Power<'a> {
    pub(super) fn of_wanted(wanted: &'a Wanted) -> Self {
        Self {
            key_type: wanted.key_type,
            scopes: &wanted.scopes,
            senders: &wanted.senders,
            channels: &wanted.channels,
            ip_ranges: &wanted.ip_ranges,
            expires_at: wanted.expires_at,
        }
    }

    pub(super) fn of_key(key: &'a ApiKey) -> Self {
        Self {
            key_type: key.key_type(),
            scopes: key.scopes(),
            senders: key.senders(),
            channels: key.channels(),
            ip_ranges: key.ip_ranges(),
            expires_at: key.expires_at(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hatch_domain::Decider as _;
    use hatch_domain::actor::Actor;
    use hatch_domain::api_key::event::{ApiKeyCreated, ApiKeyEvent};
    use hatch_domain::api_key::{ApiKeyText, Minted, read};
    use hatch_domain::ids::TenantId;
    use hatch_domain::scope::Scope;
    use hatch_eventstore::SystemEnvironment;
    use serde_json::{Value, json};

    use super::*;
    use crate::resources::api_keys::KeyRequest;

    fn wanted(request: Value) -> Wanted {
        let request: KeyRequest = serde_json::from_value(request).expect("a request");
        request.validate().unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    /// Who came with a key that was made by `request`.
    fn holder(request: Value) -> Issuer {
        let Minted { text, id, hash } =
            ApiKeyText::mint(KeyType::Live, &SystemEnvironment::entropy()).expect("a key");
        assert!(read(&text).is_ok_and(|presented| presented.id == id));
        let Wanted { name, key_type, scopes, senders, channels, ip_ranges, expires_at } =
            wanted(request);
        let created = ApiKeyEvent::from(ApiKeyCreated {
            key_id: id.clone(),
            name,
            key_type,
            scopes,
            senders,
            channels,
            ip_ranges,
            secret_hash: hash,
            expires_at,
            created_by: "cli".to_owned(),
            at: DateTime::UNIX_EPOCH,
        });
        let key = Some(Arc::new(ApiKey::default().evolve(&created)));
        Issuer { tenant_id: TenantId::DEFAULT, actor: Actor::Key(id), scopes, key }
    }

    /// The code of what `holder` is told who wants a key by `request`.
    fn told(holder: &Issuer, request: Value) -> Option<String> {
        let wanted = wanted(request);
        let refused = holder.refuse_stronger(&Power::of_wanted(&wanted)).err()?;
        Some(refused.to_json()["code"].as_str().expect("a code").to_owned())
    }

    #[test]
    fn a_key_gives_no_scope_that_it_lacks() {
        let of = |scopes: &[&str]| json!({"name": "n", "scopes": scopes});
        for (own, asked, fits) in [
            (&["keys:write", "messages:read"][..], &["messages:read"][..], true),
            (&["keys:write", "messages:read"], &["messages:write"], false),
            (&["keys:write"], &["admin"], false),
            (&["admin"], &["keys:write", "raw:read", "admin"], true),
            (&["admin"], &["platform"], false),
            (&["admin", "platform"], &["platform"], true),
            (&["platform", "keys:write"], &["admin"], false),
        ] {
            let told = told(&holder(of(own)), of(asked));
            let expected = (!fits).then_some("stronger_key");
            assert_eq!(told.as_deref(), expected, "{own:?} gives {asked:?}");
        }
        let cli = Issuer {
            tenant_id: TenantId::DEFAULT,
            actor: Actor::System("cli".to_owned()),
            scopes: Scopes::all(),
            key: None,
        };
        for scope in Scope::ALL {
            assert_eq!(told(&cli, of(&[&scope.to_string()])), None, "{scope}");
        }
    }

    #[test]
    fn a_key_makes_rotates_and_ends_none_that_reaches_others() {
        let of = |named: &str| json!({"name": "n", "type": named, "scopes": ["keys:write"]});
        for (own, asked, fits) in [
            ("live", "live", true),
            ("live", "test", true),
            ("live", "team", true),
            ("team", "team", true),
            ("team", "test", true),
            ("team", "live", false),
            ("test", "test", true),
            ("test", "team", false),
            ("test", "live", false),
        ] {
            let told = told(&holder(of(own)), of(asked));
            let expected = (!fits).then_some("stronger_key");
            assert_eq!(told.as_deref(), expected, "{own} gives {asked}");
            let other = holder(of(asked)).key.expect("a key");
            assert_eq!(holder(of(own)).refuse_beyond(&other).is_ok(), fits, "{own} ends {asked}");
        }
    }

    #[test]
    fn a_key_gives_no_sender_channel_place_or_time_beyond_its_own() {
        let of = |bound: &Value| {
            let mut request = json!({"name": "n", "scopes": ["admin"]});
            for (field, value) in bound.as_object().expect("an object") {
                request[field] = value.clone();
            }
            request
        };
        for (own, asked, fits) in [
            (json!({}), json!({}), true),
            (json!({}), json!({"senders": ["+12016661234"]}), true),
            (json!({"senders": ["+12016661234"]}), json!({}), false),
            (json!({"senders": ["+12016661234"]}), json!({"senders": ["+1 201 666 1234"]}), true),
            (json!({"senders": ["+12016661234"]}), json!({"senders": ["+12016661235"]}), false),
            (json!({"channels": ["sms", "mms"]}), json!({"channels": ["sms"]}), true),
            (json!({"channels": ["sms"]}), json!({"channels": ["sms", "email"]}), false),
            (json!({"channels": ["sms"]}), json!({}), false),
            (json!({"ip_ranges": ["10.0.0.0/8"]}), json!({"ip_ranges": ["10.1.0.0/16"]}), true),
            (json!({"ip_ranges": ["10.0.0.0/8"]}), json!({"ip_ranges": ["10.1.2.3"]}), true),
            (json!({"ip_ranges": ["10.1.0.0/16"]}), json!({"ip_ranges": ["10.0.0.0/8"]}), false),
            (json!({"ip_ranges": ["10.1.2.3"]}), json!({"ip_ranges": ["10.1.2.0/24"]}), false),
            (
                json!({"ip_ranges": ["2001:db8::/32"]}),
                json!({"ip_ranges": ["2001:db8:1::1"]}),
                true,
            ),
            (json!({"ip_ranges": ["10.0.0.0/8"]}), json!({"ip_ranges": ["::/0"]}), false),
            (json!({"ip_ranges": ["10.0.0.0/8"]}), json!({}), false),
            (
                json!({"expires_at": "2030-01-31T12:00:00Z"}),
                json!({"expires_at": "2030-01-31T12:00:00Z"}),
                true,
            ),
            (
                json!({"expires_at": "2030-01-31T12:00:00Z"}),
                json!({"expires_at": "2030-01-31T12:00:01Z"}),
                false,
            ),
            (json!({"expires_at": "2030-01-31T12:00:00Z"}), json!({}), false),
        ] {
            let told = told(&holder(of(&own)), of(&asked));
            let expected = (!fits).then_some("stronger_key");
            assert_eq!(told.as_deref(), expected, "{own} gives {asked}");
        }
    }
}
