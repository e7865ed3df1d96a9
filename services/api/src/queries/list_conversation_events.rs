//! `GET /api/v1/conversations/{id}/events`: everything that happened in a conversation, oldest first.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hatch_domain::address::Address;
use hatch_domain::consent::{self, Programme, consent_id};
use hatch_domain::envelope::Envelope;
use hatch_domain::ids::{ConsentId, ConversationId, TenantId};
use hatch_domain::message;
use hatch_eventstore::{LogError, Position, RecordedEvent};
use hatch_readmodel::{Timeline, messages};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Queries;
use super::list_message_events::whole;
use super::parameters::{Freshness, page};
use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::problem::Problem;

/// Streams that are read at once.
const LOADS_MAX: usize = 16;

/// Bytes of events after which a page takes no further message.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// Messages of a page, each with all of its events; 50 when it is left out.
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

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConversationEvents)]
pub(super) struct Events {
    /// The events, oldest first.
    #[schema(value_type = Vec<Object>)]
    #[serde(serialize_with = "whole")]
    data: Vec<Envelope>,
    /// Where the next page begins; none when this is the last.
    next_cursor: Option<String>,
}

/// Everything that happened in a conversation
///
/// The events of its messages, and what was learned in it about the consent of those who take part. A page has some
/// messages in the order in which they began, with all events of each, so that an event of an early message may be
/// younger than the next page's first.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/events", operation_id = "list_conversation_events", tag = "conversations",
    security(("bearer" = ["conversations:read"])),
    params(("id" = Uuid, Path, description = "The conversation."), Parameters),
    responses((status = 200, description = "A page, the oldest first.", body = Events))
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<Parameters>,
) -> Result<Json<Events>, Problem> {
    let page = page(parameters.limit, parameters.cursor)?;
    Freshness::new(parameters.after, parameters.wait)
        .wait(&queries, &[&messages::DEFINITION])
        .await?;
    let timeline = queries.read_model.timeline(caller.tenant, ConversationId(id), &page).await?;
    let timeline = timeline.ok_or_else(|| Problem::not_found("conversation"))?;
    let (mut events, next) =
        of_messages((&queries, caller.tenant), &timeline, page.limit() as usize).await?;
    let ids = consents_of(caller.tenant, &timeline.participants);
    let said =
        read((&queries, caller.tenant), consent::AGGREGATE, ids.into_iter().map(|id| id.0)).await?;
    let is_here = |event: &RecordedEvent| {
        event.conversation_id == Some(id)
            && event.position >= timeline.from
            && next.is_none_or(|next| event.position < next)
    };
    events.extend(said.into_iter().filter(is_here));
    events.sort_unstable_by_key(|event| event.position);
    let data = events.into_iter().map(Envelope::from).collect();
    Ok(Json(Events { data, next_cursor: next.map(Timeline::cursor) }))
}

/// The events of the page's messages, as many as there is room for, and where the next message begins.
async fn of_messages(
    of: (&Queries, TenantId),
    timeline: &Timeline,
    limit: usize,
) -> Result<(Vec<RecordedEvent>, Option<Position>), Problem> {
    let (mut events, mut bytes, mut taken) = (Vec::new(), 0, 0);
    let page = &timeline.messages[..timeline.messages.len().min(limit)];
    for some in page.chunks(LOADS_MAX) {
        let ids = some.iter().map(|(id, _)| id.0);
        let read = read(of, message::AGGREGATE, ids).await?;
        bytes += read.iter().map(|event| event.payload.get().len()).sum::<usize>();
        events.extend(read);
        taken += some.len();
        if bytes > PAGE_BYTES_MAX {
            break;
        }
    }
    Ok((events, timeline.messages.get(taken).map(|(_, begun)| *begun)))
}

/// The streams in which something may stand about the consent of `participants` that was learned in a conversation:
/// words and providers speak of the default programmes only.
fn consents_of(tenant: TenantId, participants: &[String]) -> BTreeSet<ConsentId> {
    let addresses = participants.iter().map(Address::recorded);
    let defaults = addresses.filter_map(|address| {
        let programme = Programme::default_for(&address)?;
        Some(consent_id(tenant, &address, &programme))
    });
    defaults.collect()
}

async fn read(
    (queries, tenant): (&Queries, TenantId),
    kind: &'static str,
    ids: impl Iterator<Item = Uuid>,
) -> Result<Vec<RecordedEvent>, LogError> {
    // Collected first: nobody could tell otherwise that the future is `Send`.
    let reads: Vec<_> = ids.map(|id| queries.log.read_stream_of(kind, tenant.0, id)).collect();
    stream::iter(reads)
        .buffered(LOADS_MAX)
        .try_fold(Vec::new(), async |mut all, events| {
            all.extend(events);
            Ok(all)
        })
        .await
}
