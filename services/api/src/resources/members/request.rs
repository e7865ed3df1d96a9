//! What somebody asks for who invites a person, or gives him another role.

use hatch_domain::address::Address;
use hatch_domain::member::{BadStanding, Role, Standing};
use hatch_domain::scope::{Scope, Scopes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::{FieldCode, FieldError};
use crate::resources::api_keys::name_of;

/// Scopes of a request at most: more than there are, so that one may be named twice.
const SCOPES_MAX: usize = 32;

/// A person who is to be invited.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = MemberRequest)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// The person's email. One that is a member already is a `409`; one that was invited gets another link.
    #[schema(example = "ann@example.com", required)]
    pub email: Option<String>,
    /// What the person is called.
    #[schema(min_length = 1, max_length = 100)]
    pub name: Option<String>,
    /// What the person is to be: `owner`, `admin`, `agent`, `viewer`, or `custom` with `scopes`.
    #[schema(value_type = Role, required)]
    pub role: Option<String>,
    /// What the person may do, where `role` is `custom`: some of what the caller may.
    #[schema(value_type = Option<Vec<Scope>>, max_items = 32)]
    pub scopes: Option<Vec<String>>,
}

/// What a member is to be from now on.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(as = MemberChange)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeRequest {
    /// `owner`, `admin`, `agent`, `viewer`, or `custom` with `scopes`.
    #[schema(value_type = Role, required)]
    role: Option<String>,
    /// What he may do, where `role` is `custom`.
    #[schema(value_type = Option<Vec<Scope>>, max_items = 32)]
    scopes: Option<Vec<String>>,
}

/// What a request comes to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Wanted {
    pub(super) email: Address,
    pub(super) name: Option<String>,
    pub(super) standing: Standing,
}

impl InviteRequest {
    /// Reads all of it, or says of each field what is wrong.
    pub(super) fn validate(self) -> Result<Wanted, Vec<FieldError>> {
        let mut errors = Vec::new();
        let email = match self.email.as_deref().map(Address::email) {
            Some(Ok(email)) => Some(email),
            Some(Err(error)) => {
                errors.push(FieldError::of("/email", &error));
                None
            }
            None => {
                errors.push(FieldError::coded(FieldCode::Required, "/email", "is required"));
                None
            }
        };
        let name = self.name.and_then(|name| name_of("/name", Some(name), &mut errors));
        let standing = standing(self.role.as_deref(), self.scopes.as_deref(), &mut errors);
        match (email, standing) {
            (Some(email), Some(standing)) if errors.is_empty() => {
                Ok(Wanted { email, name, standing })
            }
            _ => Err(errors),
        }
    }
}

impl ChangeRequest {
    pub(super) fn validate(&self) -> Result<Standing, Vec<FieldError>> {
        let mut errors = Vec::new();
        let standing = standing(self.role.as_deref(), self.scopes.as_deref(), &mut errors);
        standing.filter(|_| errors.is_empty()).ok_or(errors)
    }
}

fn standing(
    role: Option<&str>,
    scopes: Option<&[String]>,
    errors: &mut Vec<FieldError>,
) -> Option<Standing> {
    let names = scopes.unwrap_or_default();
    if names.len() > SCOPES_MAX {
        let detail = format!("expected at most {SCOPES_MAX}, got {}", names.len());
        errors.push(FieldError::coded(FieldCode::WrongCount, "/scopes", detail));
        return None;
    }
    let mut chosen = Vec::new();
    for (n, name) in names.iter().enumerate() {
        match name.parse::<Scope>() {
            Ok(scope) => chosen.push(scope),
            Err(error) => errors.push(FieldError::of(format!("/scopes/{n}"), &error)),
        }
    }
    let Some(role) = role else {
        errors.push(FieldError::coded(FieldCode::Required, "/role", "is required"));
        return None;
    };
    let role = match role.parse::<Role>() {
        Ok(role) => role,
        Err(error) => {
            errors.push(FieldError::coded(FieldCode::UnknownValue, "/role", error.to_string()));
            return None;
        }
    };
    Standing::new(role, Scopes::of(&chosen))
        .map_err(|error| {
            let code = match error {
                BadStanding::NoScopes => FieldCode::Required,
                BadStanding::ScopesOfRole => FieldCode::NotAllowed,
            };
            errors.push(FieldError::coded(code, "/scopes", error.to_string()));
        })
        .ok()
}
