//! Messages that wait for an account: none carries their channel, or its provider refuses the one that does.
//!
//! Each says so in the log, once. Its timer is then in a lane apart, where nobody looks at it before its validity ends.
//! Whoever has an account that works brings them back, and whoever is to try one brings one back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, WaitForAccount};
use hatch_domain::{Channel, Decider as _, ErrorClass, SendError};
use hatch_due::DueTimer;
use tokio::time::sleep;
use tokio_postgres::{Client, Error};

use crate::Dispatcher;
use crate::account::{ChannelGroup, SendingAccount};
use crate::attempt::{Next, PendingMessage};
use crate::due::after;
use crate::health::RELEASED;
use crate::progress::Taken;
use crate::sweep::PRIORITIES;

/// What a message waits for that no account carries, in events and in its error.
const NO_ACCOUNT: &str = "waiting_for_account";

/// Between two looks at whether messages may go on, and between two parts of many that may.
const RELEASE_EVERY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(20));

/// How long the lanes wait that no account of this process carries: others may have one, and come first.
const WITHOUT_ACCOUNT: Duration = Duration::from_secs(2);

/// Messages that are counted, of a channel.
const COUNTED_MAX: i64 = 10_000;

const COUNT: &str = "
    SELECT l.lane, counted.number, e.recorded_at
      FROM unnest($2::text[]) AS l(lane)
     CROSS JOIN LATERAL (
           SELECT count(*) AS number, min(position) AS first
             FROM (SELECT position FROM due.timers
                    WHERE kind = $1 AND timers.lane = l.lane AND timers.lane LIKE '% waiting' LIMIT $3) AS t) AS counted
      LEFT JOIN es.events e ON e.position = counted.first
     WHERE counted.number > 0";

/// Messages of a channel that wait for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The channel.
    pub channel: Channel,
    /// How many, at most 10,000.
    pub count: i64,
    /// Since when the first of them waits.
    pub since: Option<DateTime<Utc>>,
}

/// Where the timers of a channel's messages are that wait for an account.
pub(crate) const fn waiting_lane(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "sms waiting",
        Channel::Mms => "mms waiting",
        Channel::Email => "email waiting",
        Channel::Chat => "chat waiting",
    }
}

/// The messages that wait for an account, of the channels of which some do.
///
/// # Errors
/// PostgreSQL's.
pub async fn waiting_for_account(client: &Client) -> Result<Vec<Waiting>, Error> {
    let lanes = Channel::ALL.map(waiting_lane);
    let rows = client.query(COUNT, &[&Message::KIND, &lanes.as_slice(), &COUNTED_MAX]).await?;
    let of = |row: &tokio_postgres::Row| {
        let lane: &str = row.try_get(0)?;
        let channel = Channel::ALL.into_iter().find(|channel| waiting_lane(*channel) == lane);
        let (count, since) = (row.try_get(1)?, row.try_get(2)?);
        Ok(channel.map(|channel| Waiting { channel, count, since }))
    };
    rows.iter().filter_map(|row| of(row).transpose()).collect()
}

impl Dispatcher {
    /// Whether there is no account by which the message may be attempted now.
    pub(crate) fn must_wait(&self, pending: &PendingMessage) -> bool {
        let request = pending.message.requested();
        let account = request.and_then(|request| self.account_for(pending.tenant_id, request));
        account.is_none_or(|account| !self.health(account).admits())
    }

    /// Has a message wait for an account. `taken` is acknowledged: the log brings it back.
    pub(crate) async fn wait_for_account(
        &self,
        pending: PendingMessage,
        taken: Option<Taken>,
        account: Option<&SendingAccount>,
    ) -> Next {
        // What fails here is left to the next sweep.
        if let Some(wait) = self.waits_for(&pending.message, account)
            && pending.message.waits_for_account() != Some(wait.reason.as_str())
        {
            self.change(pending, MessageCommand::WaitForAccount(wait)).await;
        }
        if let Some(taken) = taken {
            taken.ack().await;
        }
        Next::Done
    }

    /// The same for one whose timer was due. Where the log says already that it waits, only the timer moves.
    pub(crate) async fn leave_waiting(
        &self,
        timer: &DueTimer,
        pending: PendingMessage,
    ) -> Result<Next, hatch_due::Error> {
        let Some(request) = pending.message.requested() else { return Ok(Next::Done) };
        let (account, channel) = (self.account_for(pending.tenant_id, request), request.channel);
        let wait = self.waits_for(&pending.message, account);
        if let Some(wait) = wait
            && pending.message.waits_for_account() == Some(wait.reason.as_str())
        {
            // It was let go. Where one account alone carries its channel, that one is about to be tried.
            let group = self.group_of(channel);
            if let Some(group) = group.filter(|group| account.is_none() || group.width() > 1) {
                group.came_back();
            }
            self.timers.park(timer, waiting_lane(channel), wait.expires_at).await?;
            return Ok(Next::Done);
        }
        Ok(self.wait_for_account(pending, None, account).await)
    }

    /// What a message waits for; none where its account works again by now.
    fn waits_for(
        &self,
        message: &Message,
        account: Option<&SendingAccount>,
    ) -> Option<WaitForAccount> {
        let (class, permanent) = (ErrorClass::Account, false);
        let refusal = account.and_then(|account| self.health(account).refusal());
        let (reason, code, detail) = match (account, refusal) {
            (Some(_), Some(refusal)) => (refusal.trouble.reason(), refusal.code, refusal.detail),
            (Some(_), None) => return None,
            (None, _) => {
                let channel = message.requested().map_or("", |request| request.channel.as_str());
                let detail = format!("no account carries {channel}: it is sent when there is one");
                (NO_ACCOUNT, NO_ACCOUNT.to_owned(), detail)
            }
        };
        let error = SendError { code, class, detail, permanent };
        let (expires_at, at) = (self.expires_at(message), self.now());
        Some(WaitForAccount { reason: reason.to_owned(), error, expires_at, at })
    }

    /// When the message is given up, if it was not sent.
    pub(crate) fn expires_at(&self, message: &Message) -> DateTime<Utc> {
        let from = message.round_from().unwrap_or_else(|| self.now());
        after(from, self.config.waits.validity)
    }

    /// How long the sweep of these lanes waits: while their account is down, what is due there is left to others.
    pub(crate) fn pause(&self, lanes: &[&'static str]) -> Option<Duration> {
        let channel = Channel::ALL.into_iter().find(|channel| lanes.contains(&channel.as_str()))?;
        let group = self.group_of(channel).filter(|group| group.width() > 0);
        let Some(group) = group else { return Some(WITHOUT_ACCOUNT) };
        let pause =
            |account: &SendingAccount| self.health(account).pause(self.config.account_backoff.0);
        // One that works need not wait for another.
        let pauses: Option<Vec<Duration>> = group.carriers(&self.accounts).map(pause).collect();
        pauses?.into_iter().min()
    }

    /// Brings back what waits for the accounts of this process, for ever: all of it for one that works, and one
    /// message for one that is to be tried.
    pub(crate) async fn release(&self) {
        loop {
            self.dependencies.head.fence().opened().await;
            let mut has_more = false;
            for group in self.groups.iter().filter(|group| group.width() > 0) {
                has_more |= self.release_of(group).await;
            }
            sleep(if has_more { RELEASE_EVERY.1 } else { RELEASE_EVERY.0 }).await;
        }
    }

    /// Whether there may be more.
    async fn release_of(&self, group: &ChannelGroup) -> bool {
        let healths: Vec<_> =
            group.carriers(&self.accounts).map(|account| self.health(account)).collect();
        let limit = healths.iter().map(|health| health.releasable()).max().unwrap_or_default();
        let up = healths.iter().map(|health| health.refusal().is_none()).collect();
        if limit == 0 || !group.may_release(up, self.config.account_backoff.1) {
            return false;
        }
        let parked: Vec<_> = group.channels.iter().copied().map(waiting_lane).collect();
        let home: Vec<_> = group.channels.iter().copied().map(Channel::as_str).collect();
        match self.timers.release((&parked, &home), PRIORITIES, limit).await {
            // Of an account that nobody has tried yet, some go ahead of the others.
            Ok(released) => {
                limit == RELEASED.1 && usize::try_from(released).is_ok_and(|n| n == limit)
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "messages that wait for an account stay where they are");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_channel_has_a_lane_of_its_own_for_those_that_wait() {
        let lanes = Channel::ALL.map(|channel| [channel.as_str(), waiting_lane(channel)]);
        let lanes: BTreeSet<_> = lanes.as_flattened().iter().collect();
        assert_eq!(lanes.len(), 2 * Channel::ALL.len());
        let indexed = Channel::ALL.map(waiting_lane).iter().all(|lane| lane.ends_with(" waiting"));
        assert!(indexed, "the index of those that wait holds lanes with such names");
    }
}
