//! `GET /api/v1/audit`: who did what and who was refused what, the newest first, as a list or as lines.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures::stream;
use hatch_domain::Environment as _;
use hatch_domain::time;
use hatch_eventstore::Position;
use hatch_readmodel::{AuditEntry, AuditFilter, LIMIT_MAX, List, Page, audit};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::Queries;
use super::parameters::{Freshness, moment, one_of, page, plain};
use crate::auth::{Caller, Door};
use crate::client_address::ClientAddress;
use crate::extract::QueryParameters;
use crate::problem::Problem;
use crate::trail::Read;

/// The media type of lines of JSON.
const NDJSON: &str = "application/x-ndjson";

/// A form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// A page.
    Json,
    /// Everything, an object a line.
    Ndjson,
}

impl Format {
    const ALL: [Self; 2] = [Self::Json, Self::Ndjson];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// Of this actor, such as `key:0123456789AB`.
    actor: Option<String>,
    /// By this key, also where it was refused.
    key: Option<String>,
    /// This was done, such as `api_key.revoked` or `request.refused`.
    action: Option<String>,
    /// To things of this kind, such as `api_key` or `message`.
    object_kind: Option<String>,
    /// To the thing of this id.
    object_id: Option<String>,
    /// Then or later: an RFC 3339 time such as `2026-01-31T12:00:00Z`.
    from: Option<String>,
    /// Before that time.
    to: Option<String>,
    /// `json`, a page, or `ndjson`: everything, an object a line. `Accept: application/x-ndjson` asks for lines, too.
    format: Option<String>,
    /// Rows of a page; 50 when it is left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before, of the same list.
    cursor: Option<String>,
    /// Shows the log at least up to this position, or answers 503.
    #[param(value_type = Option<i64>, minimum = 0)]
    after: Option<Position>,
    /// Seconds that `after` may wait; 2 when it is left out.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<f64>,
}

/// Who did what, and who was refused what, the newest first
///
/// Every change but the sending of messages, every request that was refused (of one client ten a minute; the last of these
/// says in `details.left_out` how many there were beside them), and every look at a raw body and every export. An export is
/// in the audit itself.
#[utoipa::path(
    get, path = "/api/v1/audit", operation_id = "list_audit", tag = "operations",
    security(("bearer" = ["audit:read"])),
    params(Parameters),
    responses((status = 200, description = "A page, or everything as lines.",
        content((List<AuditEntry> = "application/json"), (String = "application/x-ndjson"))))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    Extension(door): Extension<Door>,
    Extension(client): Extension<ClientAddress>,
    headers: HeaderMap,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Response, Problem> {
    let format = one_of("?format", parameters.format.as_deref(), &Format::ALL, Format::as_str)?;
    let format = format.unwrap_or_else(|| accepted(&headers));
    let mut filter = AuditFilter {
        actor: plain("?actor", parameters.actor)?,
        key: plain("?key", parameters.key)?,
        action: plain("?action", parameters.action)?,
        object_kind: plain("?object_kind", parameters.object_kind)?,
        object_id: plain("?object_id", parameters.object_id)?,
        from: moment("?from", parameters.from.as_deref())?,
        to: moment("?to", parameters.to.as_deref())?,
    };
    let page = page(parameters.limit, parameters.cursor.clone())?;
    let freshness = Freshness::new(parameters.after, parameters.wait);
    freshness.wait(&queries, &[&audit::DEFINITION]).await?;
    if format == Format::Json {
        let list = queries.read_model.audit(caller.tenant, &filter, &page).await?;
        return Ok(Json(list).into_response());
    }
    // What comes while it is written is not in it.
    filter.to.get_or_insert_with(|| queries.head.clock().now());
    let page = super::parameters::page(Some(LIMIT_MAX), parameters.cursor)?;
    let first = queries.read_model.audit(caller.tenant, &filter, &page).await?;
    let read = Read { action: "audit.exported", object: None, details: said(&filter) };
    queries.audit_read(&caller, client, read).await?;
    let body = export(queries, (caller, door), filter, first);
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(NDJSON))], body).into_response())
}

/// What the client takes, where it does not say what it wants.
fn accepted(headers: &HeaderMap) -> Format {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepts.flat_map(|value| value.split(','));
    let is_lines = |kind: &str| kind.split(';').next().unwrap_or_default().trim() == NDJSON;
    if kinds.any(is_lines) { Format::Ndjson } else { Format::Json }
}

/// What was exported.
fn said(filter: &AuditFilter) -> Value {
    let AuditFilter { actor, key, action, object_kind, object_id, from, to } = filter;
    json!({
        "actor": actor, "key": key, "action": action, "object_kind": object_kind, "object_id": object_id,
        "from": from.map(time::text), "to": to.map(time::text),
    })
}

/// All pages from `first` on, while the caller is let in. One that cannot be read breaks the answer off.
fn export(
    queries: Queries,
    (caller, door): (Caller, Door),
    filter: AuditFilter,
    first: List<AuditEntry>,
) -> Body {
    let pages = stream::try_unfold(Some(first), move |page| {
        let (queries, filter) = (queries.clone(), filter.clone());
        let (caller, door) = (caller.clone(), door.clone());
        async move {
            let Some(List { data, next_cursor }) = page else { return Ok::<_, io::Error>(None) };
            let mut lines = String::new();
            for entry in &data {
                lines.push_str(&serde_json::to_string(entry)?);
                lines.push('\n');
            }
            let Some(cursor) = next_cursor else { return Ok(Some((lines, None))) };
            if !door.still_admits(&caller) {
                return Err(io::Error::other("who asked is not let in any more"));
            }
            let page = Page::new(Some(LIMIT_MAX), Some(cursor)).map_err(io::Error::other)?;
            let next = queries.read_model.audit(caller.tenant, &filter, &page).await;
            Ok(Some((lines, Some(next.map_err(io::Error::other)?))))
        }
    });
    Body::from_stream(pages)
}
