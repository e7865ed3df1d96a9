//! Messages for which their account has no room now: each says so in the log, once, and stands in a line.

use std::collections::BTreeMap;

use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, WaitInLine};
use hatch_domain::{Channel, Decider as _};
use hatch_due::InLine;
use hatch_routing::Busy;
use tokio_postgres::{Client, Error};

use super::Load;
use super::entering::Spot;
use super::lines::{PREFIX, line_of};
use crate::Dispatcher;
use crate::account::SendingAccount;
use crate::attempt::{Next, PendingMessage};
use crate::due::after;
use crate::outcome::execution;
use crate::progress::Taken;
use crate::waiting::waiting_lane;

/// The messages that stand in the lines of accounts, by what their provider and its name there are: as `twilio/AC0`.
/// 100,000 are counted at most.
///
/// # Errors
/// PostgreSQL's.
pub async fn in_lines(client: &Client) -> Result<Vec<(String, i64)>, Error> {
    let lanes = Channel::ALL.map(waiting_lane);
    let lines = hatch_due::in_lines(client, Message::KIND, (&lanes, PREFIX)).await?;
    let mut accounts = BTreeMap::<String, i64>::new();
    for (line, number) in lines {
        let of = line.strip_prefix(PREFIX).unwrap_or(&line);
        let account = of.split(' ').next().unwrap_or(of);
        *accounts.entry(account.to_owned()).or_default() += number;
    }
    Ok(accounts.into_iter().collect())
}

impl Dispatcher {
    /// Has a message stand in the line of its account, which has no room for it now. `taken` is acknowledged: the log
    /// brings it back, and whoever comes after it in its queue does not wait for it.
    pub(crate) async fn park_for_rate(
        &self,
        pending: PendingMessage,
        taken: Option<Taken>,
        account: &SendingAccount,
        busy: Busy,
    ) -> Next {
        // What fails here is left to the next sweep.
        if let Err(error) = self.stand_in_line(pending, account, busy).await {
            tracing::debug!(error = %error, "a message stands in no line yet");
        }
        if let Some(taken) = taken {
            taken.ack().await;
        }
        Next::Done
    }

    async fn stand_in_line(
        &self,
        pending: PendingMessage,
        account: &SendingAccount,
        busy: Busy,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Some(request) = pending.message.requested().cloned() else { return Ok(()) };
        let own = self.account_of_line(&pending);
        let account = own.as_ref().unwrap_or(account);
        let (tenant_id, message) = (pending.tenant_id, pending.message_id);
        let (from, tenant, priority) = (&request.from, TenantId(tenant_id), request.priority);
        let load = Load { account, from, tenant, priority, message };
        let (line, at) = (line_of(account, from), self.now());
        let round_from = pending.message.round_from().unwrap_or(at);
        let is_its = pending.message.waits_in_line() == Some(line.as_str());
        // Its place is the one that it has, whatever was set since.
        let has_place = pending.message.waits_in_line_until().filter(|_| is_its);
        let due_at = has_place.unwrap_or_else(|| after(round_from, self.config.waits.validity));
        let on_its_way = self.entering.begin(Spot::new(&load, &line, due_at));
        self.rates.stands(&load, busy);
        if has_place.is_some() {
            return Ok(self.stand_again(message, due_at, &line).await?);
        }
        let until = (busy == Busy::DailyCap).then(|| self.rates.day_ends(&load)).flatten();
        // As long as nobody knows that the day is used up, it may go on at any time.
        let is_early = busy == Busy::DailyCap && until.is_none();
        let reason = if is_early { Busy::Rate.as_str() } else { busy.as_str() };
        let wait = WaitInLine {
            reason: reason.to_owned(),
            waits_for: line.clone(),
            until,
            expires_at: due_at,
            at,
        };
        let command = MessageCommand::WaitInLine(wait);
        let known = Some((pending.message.clone(), pending.version));
        let execute = execution(&pending, &command, known);
        let executed = self.dependencies.store.execute(execute).await?;
        let Some(appended) = executed.appended else { return Ok(()) };
        let deferred = (account.name.to_string(), reason);
        self.dependencies.stats.rates.deferred.of(&deferred).increment();
        let (lane, priority) = (waiting_lane(request.channel), priority.as_str());
        let (position, waits_for) = (appended.last(), line);
        let stream_id = message;
        let in_line = InLine { stream_id, tenant_id, due_at, position, lane, priority, waits_for };
        self.entering.push(in_line, on_its_way);
        Ok(())
    }
}
