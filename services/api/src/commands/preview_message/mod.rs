//! `POST /api/v1/messages/preview`: what would become of a send.

mod view;

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hatch_domain::account_name::AccountName;
use hatch_domain::consent::Programme;
use hatch_domain::ids::TenantId;
use hatch_eventstore::Position;
use hatch_providers::{RouteQuestion, Wanted};
use hatch_readmodel::{Moment, QueryError};
use hatch_routing::Step;
use serde::Deserialize;
use utoipa::IntoParams;

use self::view::Preview;
use super::Commands;
use super::answer::Asked;
use super::send_request::{Send, SendRequest, time_to_send};
use crate::auth::Caller;
use crate::extract::{JsonBody, QueryParameters};
use crate::planning::{Planned, PlanningError};
use crate::problem::{Body as ProblemBody, FieldError, Problem};
use crate::resources::consent::{self, ConsentView};

/// Consents that are read at a time.
const READS_MAX: usize = 16;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// The moment that the answer is to be of, as an RFC 3339 time such as `2026-01-31T12:00:00Z` or a log position; now,
    /// if none. Accounts and routes of the installation's files, and pools, have no history here: they count as they are
    /// now.
    at: Option<String>,
}

/// Shows what would become of a send, and sends nothing
///
/// It takes what a send takes, refuses what that refuses, and records nothing. Where accounts share the messages of a route
/// by weight, each message has its own by its id: `account` is the one with the greatest share.
#[utoipa::path(
    post, path = "/api/v1/messages/preview", operation_id = "preview_message", tag = "messages",
    security(("bearer" = ["messages:write"])),
    params(Parameters),
    request_body(content = SendRequest, example = json!({
        "from": "+12016661234", "to": "+18045551234", "body": "Hello"})),
    responses(
        (status = 200, description = "What would become of it.", body = Preview),
        (status = 404, description = "There is no conversation of that `conversation_id`.",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The conversation cannot be answered; `detail` says why.",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "No account carries the channel.",
         body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(commands): State<Arc<Commands>>,
    caller: Caller,
    QueryParameters(parameters): QueryParameters<Parameters>,
    JsonBody(request): JsonBody<SendRequest>,
) -> Result<Json<Preview>, Problem> {
    let asked = Asked::read(&commands, request)?;
    let until = match &parameters.at {
        Some(at) => Some(position(&commands, at).await?),
        None => None,
    };
    commands.preview(&caller, asked, until).await.map(Json)
}

async fn position(commands: &Commands, at: &str) -> Result<Position, Problem> {
    let moment: Moment = at.parse().map_err(QueryError::Moment)?;
    let read_model = &commands.conversations.read_model;
    Ok(read_model.position_at(commands.store.log(), moment).await?)
}

impl Commands {
    /// What would become of the send now, or would have at `until`.
    async fn preview(
        &self,
        caller: &Caller,
        asked: Asked,
        until: Option<Position>,
    ) -> Result<Preview, Problem> {
        let mut send = self.understood(caller, asked).await?;
        let wants_pool = self.wants_pool(&send);
        if !wants_pool {
            caller.may_send(send.channel, &send.from)?;
        }
        caller.may_reach(&send.to, send.email.as_deref())?;
        if wants_pool && let Some(pooled) = self.pooled(caller, &send, caller.is_test()).await? {
            (send.from, send.pool_choice) = (pooled.sender, Some(pooled.choice));
        }
        caller.may_send(send.channel, &send.from)?;
        let in_range = time_to_send(send.send_at, self.store.environment().now());
        let is_test = caller.is_test() || self.is_test(caller.tenant, &send).await?;
        // Which account there was then, the plan says.
        if until.is_none() {
            self.check_kind(caller.tenant, &send, is_test)?;
            self.check_carried(caller.tenant, &send, is_test)?;
        }
        in_range.map_err(|error| Problem::invalid(vec![error]))?;
        let planned = self.planned(caller.tenant, &send, is_test, until).await?;
        let planned = planned.map(|planned| self.without_those_of_others(caller.tenant, planned));
        let consents = self.consents(caller.tenant, &send, until).await?;
        Ok(Preview::of(&send, planned, consents, until.is_some()))
    }

    /// The plan for the send; none where no provider carries it.
    async fn planned(
        &self,
        tenant: TenantId,
        send: &Send,
        is_test: bool,
        until: Option<Position>,
    ) -> Result<Option<Planned>, Problem> {
        let Some(to) = send.to.first().filter(|_| send.channel.has_provider()) else {
            return Ok(None);
        };
        let question = RouteQuestion {
            wanted: Wanted { tenant, channel: send.channel, from: &send.from, is_test },
            to,
            priority: send.priority,
            account: send.account.as_ref(),
            tried: &[],
            seed: None,
        };
        match until {
            None => Ok(Some(self.planning.now(&question))),
            Some(until) => Ok(Some(self.planning.at(&question, until).await?)),
        }
    }

    /// The plan without accounts that a route of the files names and that are of other tenants: those are not told of.
    fn without_those_of_others(&self, tenant: TenantId, mut planned: Planned) -> Planned {
        let (accounts, states) = (self.accounts.current(), &planned.states);
        let is_of_others = |name: &AccountName| {
            let mut called_so = accounts.iter().filter(|one| one.name == *name).peekable();
            called_so.peek().is_some() && !called_so.any(|one| one.tenants.has(tenant))
        };
        let is_told =
            |step: &Step| states.contains_key(&step.account) || !is_of_others(&step.account);
        planned.plan.steps.retain(is_told);
        planned
    }

    /// What each recipient wishes, by the streams that the claim of an attempt guards.
    async fn consents(
        &self,
        tenant: TenantId,
        send: &Send,
        until: Option<Position>,
    ) -> Result<Vec<ConsentView>, Problem> {
        let Some(default) = Programme::default_of(send.channel) else { return Ok(Vec::new()) };
        let programme = send.programme.as_ref().unwrap_or(&default);
        let copies = send.email.iter().flat_map(|email| email.cc.iter().chain(&email.bcc));
        let mut known = HashSet::new();
        let recipients = send.to.iter().chain(copies).filter(|one| known.insert(one.identity()));
        let reads = recipients.map(|address| {
            let log = self.store.log();
            consent::shown(log, tenant, address.clone(), programme.clone(), until)
        });
        let reads: Vec<_> = reads.collect();
        stream::iter(reads).buffered(READS_MAX).try_collect().await
    }
}

impl From<PlanningError> for Problem {
    fn from(error: PlanningError) -> Self {
        match error {
            PlanningError::Log(error) => error.into(),
            PlanningError::Event(error) => Self::fault(&error),
            PlanningError::Changed(_) => {
                Self::invalid(vec![FieldError::new("?at", error.to_string())])
            }
        }
    }
}

#[cfg(test)]
mod tests;
