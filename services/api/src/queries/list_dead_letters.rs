//! `GET /api/v1/dead-letters`: the messages that were given up, the newest first. What is in doubt or
//! waits for another attempt is none of them; `POST /api/v1/messages/{id}/retry` takes one out.

use axum::Json;
use axum::extract::State;
use hatch_domain::message::status::Status;
use hatch_eventstore::Position;
use hatch_readmodel::{List, Message, MessageFilter};
use serde::Deserialize;

use super::parameters::{Freshness, channel, page, participant};
use super::{Queries, TENANT};
use crate::Problem;
use crate::extract::QueryParameters;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    participant: Option<String>,
    channel: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
    after: Option<Position>,
    wait: Option<f64>,
}

pub(super) async fn handler(
    State(queries): State<Queries>,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<List<Message>>, Problem> {
    let filter = MessageFilter {
        participant: participant(parameters.participant.as_deref())?,
        channel: channel(parameters.channel.as_deref())?,
        status: Some(Status::Failed),
        ..MessageFilter::default()
    };
    let page = page(parameters.limit, parameters.cursor)?;
    Freshness::new(parameters.after, parameters.wait).wait(&queries).await?;
    Ok(Json(queries.read_model.messages(TENANT, &filter, &page).await?))
}
