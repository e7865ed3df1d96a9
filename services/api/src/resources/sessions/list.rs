//! `GET /api/v1/sessions`: where somebody has signed in.

use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use hatch_directory::SessionInfo;
use hatch_domain::ids::{MemberId, SessionId};
use hatch_domain::scope::Scope;
use hatch_readmodel::List;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::{Caller, Door};
use crate::extract::QueryParameters;
use crate::problem::Problem;

/// Whose sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    /// Whether those of all members are wanted, which needs the scope `admin`.
    all: Option<bool>,
}

/// A session that goes on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct Shown {
    /// The session.
    #[schema(value_type = Uuid)]
    id: SessionId,
    /// Whose it is.
    #[schema(value_type = Uuid)]
    member_id: MemberId,
    /// Whether it is the one that asks.
    current: bool,
    /// How its member signed in: `password` or `oidc`.
    way: String,
    /// When it began.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    started_at: DateTime<Utc>,
    /// When it was used last, known some seconds late.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    seen_at: DateTime<Utc>,
    /// When it ends, however much it is used.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    ends_at: DateTime<Utc>,
    /// From where it was used last.
    ip: String,
    /// By which browser it began, as that calls itself.
    user_agent: Option<String>,
}

/// Sessions, the newest first
///
/// One's own; with `all`, those of the tenant. 200 at most. One that nobody uses ends after 12 hours, and any after 14 days.
#[utoipa::path(
    get, path = "/api/v1/sessions", operation_id = "list_sessions", tag = "sessions",
    security(("bearer" = [])),
    params(Whose),
    responses((status = 200, description = "All of them.", body = List<Shown>))
)]
pub(super) async fn handler(
    caller: Caller,
    Extension(door): Extension<Door>,
    QueryParameters(whose): QueryParameters<Whose>,
) -> Result<Json<List<Shown>>, Problem> {
    let member = if whose.all == Some(true) {
        caller.require(Scope::Admin)?;
        None
    } else {
        caller.member()
    };
    let is_nobody = member.is_none() && whose.all != Some(true);
    let visits = door.visits().filter(|_| !is_nobody);
    let listed = match visits {
        Some(visits) => visits.sessions().list(caller.tenant, member).await?,
        None => Vec::new(),
    };
    let data = listed.into_iter().filter(|one| counts(&door, one)).map(|one| shown(one, &caller));
    Ok(Json(List { data: data.collect(), next_cursor: None }))
}

/// Whether its member's sessions were not all ended since it began.
fn counts(door: &Door, info: &SessionInfo) -> bool {
    let entry = door.directory().member(info.session.member_id);
    entry.is_some_and(|entry| {
        entry.member.is_active() && entry.member.generation() == info.session.generation
    })
}

fn shown(info: SessionInfo, caller: &Caller) -> Shown {
    let SessionInfo { session, way, started_at, seen_at, ip, user_agent } = info;
    Shown {
        id: session.id,
        member_id: session.member_id,
        current: caller.session.is_some_and(|own| own.id == session.id),
        way,
        started_at,
        seen_at,
        ends_at: session.ends_at,
        ip: ip.to_string(),
        user_agent,
    }
}
