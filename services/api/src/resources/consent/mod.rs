//! Whether an address may be written to: what its owner wishes, and which providers send nothing to it.

mod get;
mod put;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use hatch_domain::address::Address;
use hatch_domain::consent::{Consent, Programme};
use hatch_domain::ids::{ConsentId, TenantId};
use hatch_eventstore::{Log, Position};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::Commands;
use crate::problem::{FieldCode, FieldError, Problem};
use crate::queries::Queries;

/// What can be said about a consent.
pub(crate) fn command_routes() -> OpenApiRouter<Arc<Commands>> {
    OpenApiRouter::new().routes(routes!(put::handler))
}

/// What can be asked about one.
pub(crate) fn query_routes() -> OpenApiRouter<Queries> {
    OpenApiRouter::new().routes(routes!(get::handler))
}

/// The consent of one address to one programme.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Consent, example = json!({
    "address": "+18045551234", "programme": "sms", "state": "opted_out",
    "since": "2026-11-21T04:38:27.759138Z", "blocked_by": [], "allowed": false}))]
pub(crate) struct ConsentView {
    /// The address, normalised.
    address: String,
    /// What it is for.
    programme: String,
    /// What the person wishes.
    state: WishView,
    /// Since when the person wishes it; none where nothing is known.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    since: Option<DateTime<Utc>>,
    /// The provider accounts that send nothing to the address, whatever the person wishes.
    blocked_by: Vec<BlockView>,
    /// Whether a message would be sent: the person did not opt out, and nobody blocks the address. A person who opted out
    /// of the default programme, such as by `STOP`, gets no messages of other programmes, unless of those that the
    /// person opted in to since.
    allowed: bool,
}

/// What a person wishes. Of whom nothing is known may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConsentState)]
#[serde(rename_all = "snake_case")]
enum WishView {
    OptedIn,
    OptedOut,
    Unknown,
}

/// A provider account that sends nothing to an address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsentBlock)]
struct BlockView {
    provider: String,
    account: String,
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    since: DateTime<Utc>,
}

/// An address and a programme, as a request names them.
struct Subject {
    address: Address,
    programme: Programme,
}

impl Subject {
    /// Reads an address, and a programme or else the default one of the address. `address_at` and
    /// `programme_at` say where the two stand in the request.
    fn read(
        (address_at, address): (&str, Option<&str>),
        (programme_at, programme): (&str, Option<&str>),
    ) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let missing = |at: &str, detail| FieldError::coded(FieldCode::Required, at, detail);
        let address = match address.map(Address::sought) {
            Some(Ok(address)) => Some(address),
            Some(Err(error)) => {
                errors.push(FieldError::of(address_at, &error));
                None
            }
            None => {
                errors.push(missing(address_at, "is required"));
                None
            }
        };
        let named = match programme.map(Programme::new) {
            Some(Err(error)) => {
                errors.push(FieldError::of(programme_at, &error));
                None
            }
            Some(Ok(named)) => Some(named),
            None => None,
        };
        let default = address.as_ref().and_then(Programme::default_for);
        if programme.is_none() && address.is_some() && default.is_none() {
            let detail = "is required: no provider carries messages to this address";
            errors.push(missing(programme_at, detail));
        }
        match (address, named.or(default)) {
            (Some(address), Some(programme)) if errors.is_empty() => {
                Ok(Self { address, programme })
            }
            _ => Err(errors),
        }
    }

    fn id(&self, tenant: TenantId) -> ConsentId {
        hatch_domain::consent::consent_id(tenant, &self.address, &self.programme)
    }

    /// The consent to the default programme of the address's channel, where the subject is about another one.
    fn default_id(&self, tenant: TenantId) -> Option<ConsentId> {
        let default = Programme::default_for(&self.address)?;
        (default != self.programme)
            .then(|| hatch_domain::consent::consent_id(tenant, &self.address, &default))
    }

    /// What is shown of `consent`; of `default`, where that is another one, what holds for every programme.
    fn view(&self, consent: &Consent, default: Option<&Consent>) -> ConsentView {
        let hindrance = match default {
            Some(default) => default.hindrance_of(consent),
            None => consent.hindrance(),
        };
        let blocks = default.into_iter().chain([consent]).flat_map(Consent::blocks);
        let blocked_by = blocks.map(|(blocker, since)| BlockView {
            provider: blocker.provider.clone(),
            account: blocker.account.clone(),
            since,
        });
        ConsentView {
            address: self.address.to_string(),
            programme: self.programme.to_string(),
            state: consent.wish().map_or(WishView::Unknown, |(wish, _)| wish.into()),
            since: consent.wish().map(|(_, since)| since),
            blocked_by: blocked_by.collect(),
            allowed: hindrance.is_none(),
        }
    }
}

impl ConsentView {
    /// The address, where it must not be written to.
    pub(crate) fn forbids(&self) -> Option<&str> {
        (!self.allowed).then_some(self.address.as_str())
    }
}

/// The consent of an address to a programme, as its events up to `until` leave it.
pub(crate) async fn shown(
    log: &Log,
    tenant: TenantId,
    address: Address,
    programme: Programme,
    until: Option<Position>,
) -> Result<ConsentView, Problem> {
    let subject = Subject { address, programme };
    let consent = get::past(log, tenant, subject.id(tenant), until).await?;
    let default = get::past_default(log, tenant, &subject, until).await?;
    Ok(subject.view(&consent, default.as_ref()))
}

impl From<hatch_domain::consent::Wish> for WishView {
    fn from(wish: hatch_domain::consent::Wish) -> Self {
        match wish {
            hatch_domain::consent::Wish::OptedIn => Self::OptedIn,
            hatch_domain::consent::Wish::OptedOut => Self::OptedOut,
        }
    }
}
