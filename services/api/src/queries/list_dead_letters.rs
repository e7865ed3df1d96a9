//! `GET /api/v1/dead-letters`: the messages that were given up, the newest first. What is in doubt or
//! waits for another attempt is none of them; `POST /api/v1/messages/{id}/retry` takes one out.

use axum::Json;
use axum::extract::State;
use hatch_domain::ErrorClass;
use hatch_domain::message::status::Status;
use hatch_eventstore::Position;
use hatch_readmodel::{List, Message, MessageFilter, messages};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Queries;
use super::parameters::{Freshness, channel, moment, one_of, page, participant, plain};
use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::names::{ChannelName, ErrorClassName};
use crate::problem::Problem;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// With this address among its participants.
    participant: Option<String>,
    /// By this channel.
    #[param(value_type = Option<ChannelName>)]
    channel: Option<String>,
    /// Whose error is of this class.
    #[param(value_type = Option<ErrorClassName>)]
    class: Option<String>,
    /// Whose error has this code: a provider's, or one of ours such as `expired`.
    code: Option<String>,
    /// Whose last attempt was by this account: hatch's name of it, or its provider's.
    account: Option<String>,
    /// Those that were given up then or later: an RFC 3339 time such as `2026-01-31T12:00:00Z`.
    from: Option<String>,
    /// Those that were given up before that time.
    to: Option<String>,
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

/// Messages that failed for good, the newest first
///
/// Each says why (`error`). `POST /api/v1/messages/{id}/retry` takes one out, `POST /api/v1/dead-letters/redrive` many.
#[utoipa::path(
    get, path = "/api/v1/dead-letters", operation_id = "list_dead_letters", tag = "messages",
    security(("bearer" = ["messages:read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Message>))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<Message>>, Problem> {
    let account = plain("?account", parameters.account)?;
    let class =
        one_of("?class", parameters.class.as_deref(), &ErrorClass::ALL, ErrorClass::as_str)?;
    let filter = MessageFilter {
        class,
        code: plain("?code", parameters.code)?,
        account: account.map(|named| queries.doubts.used(caller.tenant, named)),
        from: moment("?from", parameters.from.as_deref())?,
        to: moment("?to", parameters.to.as_deref())?,
        participant: participant(parameters.participant.as_deref())?,
        channel: channel(parameters.channel.as_deref())?,
        status: Some(Status::Failed),
        ..MessageFilter::default()
    };
    let page = page(parameters.limit, parameters.cursor)?;
    Freshness::new(parameters.after, parameters.wait)
        .wait(&queries, &[&messages::DEFINITION])
        .await?;
    Ok(Json(queries.read_model.failed_messages(caller.tenant, &filter, &page).await?))
}
