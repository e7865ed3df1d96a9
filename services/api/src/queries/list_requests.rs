//! `GET /api/v1/requests`: what clients asked and how it was answered, the newest first.

use axum::Json;
use axum::extract::State;
use hatch_readmodel::{List, LoggedRequest, RequestFilter};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Queries;
use super::parameters::{moment, page, plain};
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::problem::{FieldCode, FieldError, Problem};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// Answered with this status, such as `404`, or one of its class, such as `4xx`.
    status: Option<String>,
    /// To this route: the pattern of a path such as `/api/v1/messages/{id}`, or a method, a space and that.
    route: Option<String>,
    /// By this key, also where it was refused.
    key: Option<String>,
    /// Then or later: an RFC 3339 time such as `2026-01-31T12:00:00Z`.
    from: Option<String>,
    /// Before that time.
    to: Option<String>,
    /// That took so many milliseconds or more until their answer began.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)]
    min_duration_ms: Option<u32>,
    /// Rows of a page; 50 when it is left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before, of the same list.
    cursor: Option<String>,
}

/// What was asked and how it was answered, the newest first
///
/// A request is there half a second after its answer as a rule. Probes, pages and webhooks are left out; of what is refused
/// a few of each client and minute are there. Texts that clients chose are masked.
#[utoipa::path(
    get, path = "/api/v1/requests", operation_id = "list_requests", tag = "operations",
    security(("bearer" = ["audit:read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<LoggedRequest>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<LoggedRequest>>, Problem> {
    let filter = RequestFilter {
        status: parameters.status.as_deref().map(status).transpose()?,
        route: plain("?route", parameters.route)?.map(|route| RequestFilter::route_of(&route)),
        key: plain("?key", parameters.key)?,
        from: moment("?from", parameters.from.as_deref())?,
        to: moment("?to", parameters.to.as_deref())?,
        min_duration_ms: parameters.min_duration_ms,
    };
    let page = page(parameters.limit, parameters.cursor)?;
    Ok(Json(queries.read_model.requests(caller.tenant, &filter, &page).await?))
}

fn status(text: &str) -> Result<(i16, i16), Problem> {
    RequestFilter::status_of(text).ok_or_else(|| {
        let detail = "expected a status such as 404, or a class of them such as 4xx";
        Problem::invalid(vec![FieldError::coded(FieldCode::InvalidValue, "?status", detail)])
    })
}
