//! `POST /api/v1/dead-letters/redrive`: sends messages again that failed for good.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use hatch_domain::address::Address;
use hatch_domain::message::Message;
use hatch_domain::message::status::Status;
use hatch_domain::{Channel, ErrorClass};
use hatch_eventstore::{Loaded, Position};
use hatch_readmodel::{Begun, MessageFilter, NewTask, TASKS_OPEN_MAX, Task, UsedAccount};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::commands::{Commands, IdempotencyKey, command_key, reason_fault, tell_write};
use crate::extract::{JsonBody, NoParameters, QueryParameters};
use crate::names::{ChannelName, ErrorClassName};
use crate::problem::{FieldCode, FieldError, Problem};
use crate::queries::{moment, one_of, plain, used_account};
use crate::resources::position_after;

const ROUTE: &str = "POST /api/v1/dead-letters/redrive";

/// What tasks of this kind are called.
pub(super) const KIND: &str = "dead_letters.redrive";

/// Messages that a request names at most.
const IDS_MAX: usize = 1_000;

/// Messages a second: at least, where nothing is said, and at most.
const RATE: (f64, f64, f64) = (0.1, 50.0, 1_000.0);

/// Which messages are to be sent again: one of `ids`, `filter` and `all`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RedriveRequest {
    /// These: also such that are `undelivered`.
    #[schema(value_type = Option<Vec<Uuid>>, min_items = 1, max_items = 1000)]
    ids: Option<Vec<String>>,
    /// Those that failed and for which all of this holds.
    filter: Option<FilterRequest>,
    /// All that failed: `true`.
    all: Option<bool>,
    /// Messages a second; 50 when it is left out.
    #[schema(minimum = 0.1, maximum = 1000)]
    rate_per_s: Option<f64>,
    /// Why, for whoever looks at the task.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// As the filters of `GET /api/v1/dead-letters`. One of them at least.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FilterRequest {
    /// With this address among their participants.
    participant: Option<String>,
    /// By this channel.
    #[schema(value_type = Option<ChannelName>)]
    channel: Option<String>,
    /// Whose error is of this class.
    #[schema(value_type = Option<ErrorClassName>)]
    class: Option<String>,
    /// Whose error has this code.
    code: Option<String>,
    /// Whose last attempt was by this account.
    account: Option<String>,
    /// Those that were given up then or later.
    #[schema(value_type = Option<DateTime<Utc>>)]
    from: Option<String>,
    /// Those that were given up before that time.
    #[schema(value_type = Option<DateTime<Utc>>)]
    to: Option<String>,
}

/// The same as it was understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Redrive {
    pub(super) which: Which,
    pub(super) rate_per_s: f64,
    reason: Option<String>,
}

/// Which messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Which {
    Ids(Vec<Uuid>),
    Filter(Box<Filter>),
}

/// Those that failed, where all of this holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Filter {
    participant: Option<Address>,
    channel: Option<Channel>,
    class: Option<ErrorClass>,
    code: Option<String>,
    account: Option<(Option<String>, String)>,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

impl Filter {
    /// Those that had failed by `asked_at`: what fails again since is not sent once more by the same task.
    pub(super) fn until(self, asked_at: DateTime<Utc>) -> MessageFilter {
        let used = |(provider, account)| UsedAccount { provider, account };
        MessageFilter {
            participant: self.participant,
            channel: self.channel,
            status: Some(Status::Failed),
            class: self.class,
            code: self.code,
            account: self.account.map(used),
            from: self.from,
            to: Some(self.to.map_or(asked_at, |to| to.min(asked_at))),
            ..MessageFilter::default()
        }
    }
}

/// Sends dead letters again
///
/// Each message gets a new round of attempts, as by `POST /api/v1/messages/{id}/retry`, so many a second. What the task
/// did not begin with, it goes on with when another process does; each message is sent again once by a task.
/// `GET /api/v1/tasks/{id}` says how far it is.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/redrive", operation_id = "redrive_dead_letters", tag = "messages",
    security(("bearer" = ["messages:write"])),
    params(IdempotencyKey),
    request_body(content = RedriveRequest, example = json!({
        "filter": {"class": "unreachable"}, "rate_per_s": 20, "reason": "the provider is back"})),
    responses((status = 202, description = "It is being done, or was asked for before.", body = Task,
        headers(
            ("Hatch-Position" = i64, description = "A log position by which what is sent again had failed."),
            ("Idempotent-Replayed" = bool, description = "`true` when the key was used before."))))
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    QueryParameters(NoParameters {}): QueryParameters<NoParameters>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<RedriveRequest>,
) -> Result<Response, Problem> {
    let redrive = request.understood(&commands, &caller)?;
    allowed(&commands, &caller, &redrive.which).await?;
    let environment = commands.store.environment();
    let key = command_key(&headers, &caller, ROUTE, &redrive)?;
    let total = match &redrive.which {
        Which::Ids(ids) => i64::try_from(ids.len()).ok(),
        Which::Filter(_) => None,
    };
    let new = NewTask {
        id: key.as_ref().map_or_else(|| environment.new_id(), |key| key.id),
        tenant: caller.tenant,
        kind: KIND,
        request: serde_json::to_value(&redrive).map_err(|error| Problem::fault(&error))?,
        request_hash: key.map_or([0; 32], |key| key.request_hash),
        actor: caller.actor.to_string(),
        total,
        at: environment.now(),
    };
    let position = position_after(&commands.store, None).await?;
    match commands.conversations.read_model.begin_task(&new).await? {
        Begun::New(task) => Ok(answer(task, position, false)),
        Begun::Again(task) => Ok(answer(task, position, true)),
        Begun::Other => Err(Problem::key_reused()),
        Begun::TooMany => {
            let detail =
                format!("expected at most {TASKS_OPEN_MAX} tasks at a time: wait for one to end");
            Err(Problem::too_many(detail))
        }
    }
}

fn answer(task: Task, position: Position, is_replayed: bool) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(task)).into_response();
    tell_write(response.headers_mut(), position, is_replayed);
    response
}

/// Refuses what the caller may not send. A key for some messages has to name them.
async fn allowed(commands: &Commands, caller: &Caller, which: &Which) -> Result<(), Problem> {
    if !caller.is_restricted() {
        return Ok(());
    }
    let Which::Ids(ids) = which else {
        let detail = "is required of a key that sends some messages only";
        return Err(Problem::invalid(vec![FieldError::coded(FieldCode::Required, "/ids", detail)]));
    };
    for id in ids {
        let Loaded::<Message> { state, .. } = commands.store.load(caller.tenant.0, *id).await?;
        if let Some(requested) = state.requested() {
            caller.may_change(requested)?;
        }
    }
    Ok(())
}

impl RedriveRequest {
    fn understood(self, commands: &Commands, caller: &Caller) -> Result<Redrive, Problem> {
        let refused = |code, at: &str, detail: String| {
            Problem::invalid(vec![FieldError::coded(code, at, detail)])
        };
        let (least, default, most) = RATE;
        let rate_per_s = self.rate_per_s.unwrap_or(default);
        if !(least..=most).contains(&rate_per_s) {
            let detail = format!("expected {least} to {most}, got {rate_per_s}");
            return Err(refused(FieldCode::OutOfRange, "/rate_per_s", detail));
        }
        let reason = self.reason.map(|reason| reason.trim().to_owned());
        if let Some((code, detail)) = reason.as_deref().and_then(reason_fault) {
            return Err(refused(code, "/reason", detail));
        }
        let all = self.all.unwrap_or_default();
        let which = match (self.ids, self.filter, all) {
            (Some(ids), None, false) => Which::Ids(read_ids(&ids)?),
            (None, Some(filter), false) => {
                Which::Filter(Box::new(filter.understood(commands, caller)?))
            }
            (None, None, true) => Which::Filter(Box::default()),
            (None, None, false) => {
                let detail = "expected ids, a filter or all".to_owned();
                return Err(refused(FieldCode::Required, "/ids", detail));
            }
            _ => {
                let detail = "expected one of ids, filter and all".to_owned();
                return Err(refused(FieldCode::NotAllowed, "/filter", detail));
            }
        };
        Ok(Redrive { which, rate_per_s, reason })
    }
}

/// The messages that are named, each once.
fn read_ids(texts: &[String]) -> Result<Vec<Uuid>, Problem> {
    if texts.is_empty() || texts.len() > IDS_MAX {
        let detail = format!("expected 1 to {IDS_MAX}, got {}", texts.len());
        let error = FieldError::coded(FieldCode::WrongCount, "/ids", detail);
        return Err(Problem::invalid(vec![error]));
    }
    let (mut ids, mut errors) = (Vec::with_capacity(texts.len()), Vec::new());
    for (place, text) in texts.iter().enumerate() {
        match Uuid::try_parse(text) {
            Ok(id) if !ids.contains(&id) => ids.push(id),
            Ok(_) => {}
            Err(_) => {
                errors.push(FieldError::new(
                    format!("/ids/{place}"),
                    "expected a message's id, a UUID",
                ));
            }
        }
    }
    if errors.is_empty() { Ok(ids) } else { Err(Problem::invalid(errors)) }
}

impl FilterRequest {
    fn understood(self, commands: &Commands, caller: &Caller) -> Result<Filter, Problem> {
        let participant = self.participant.as_deref().map(Address::sought).transpose();
        let participant = participant.map_err(|error| {
            Problem::invalid(vec![FieldError::of("/filter/participant", &error)])
        })?;
        let account = plain("/filter/account", self.account)?;
        let account = account.map(|named| {
            let used = used_account(&commands.accounts, caller.tenant, named);
            (used.provider, used.account)
        });
        let (channel, class) = (self.channel.as_deref(), self.class.as_deref());
        let classes = &ErrorClass::ALL;
        let filter = Filter {
            participant,
            channel: one_of("/filter/channel", channel, &Channel::ALL, Channel::as_str)?,
            class: one_of("/filter/class", class, classes, ErrorClass::as_str)?,
            code: plain("/filter/code", self.code)?,
            account,
            from: moment("/filter/from", self.from.as_deref())?,
            to: moment("/filter/to", self.to.as_deref())?,
        };
        if filter == Filter::default() {
            let detail = "expected one of participant, channel, class, code, account, from, to";
            let error = FieldError::coded(FieldCode::Required, "/filter", detail);
            return Err(Problem::invalid(vec![error]));
        }
        Ok(filter)
    }
}
