//! Messages that wait for an account: none carries their channel, or nothing is given to any of those that do.
//!
//! Each says so in the log, once. Its timer is then in a lane apart, where nobody looks at it before its validity ends.
//! There they are sorted by the account for which they wait. Whoever has one that works brings its messages back, and
//! whoever is to try one brings one back: those of an account that stays down are in nobody's way.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, WaitForAccount};
use hatch_domain::message::event::MessageRequested;
use hatch_domain::{Channel, Decider as _, ErrorClass, SendError};
use hatch_due::{DueTimer, Parked};
use hatch_eventstore::LoadError;
use tokio::time::sleep;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error};

use crate::Dispatcher;
use crate::account::{Carriers, SendingAccount, any_of};
use crate::attempt::{Next, PendingMessage};
use crate::choose::Sought;
use crate::due::after;
use crate::health::{Failing, RELEASED, Refusal};
use crate::progress::Taken;
use crate::rates::is_line_of;
use crate::sorted::{Again, Sorted};
use crate::sweep::PRIORITIES;

/// What a message waits for that no account carries, in events and in its error.
const NO_ACCOUNT: &str = "waiting_for_account";

/// What a message waits for whose accounts' breakers are open, in events.
const BREAKER_OPEN: &str = "account_unavailable";

/// Between two looks at whether messages may go on, and between two parts of many that may.
const RELEASE_EVERY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(20));

/// Where so many go on in one go, there may be more: each tenant has but its share of those.
const MANY: usize = 64;

/// Messages that are sorted at a time, and that are read side by side for it.
const SORTED_AT_ONCE: (usize, usize) = (256, 4);

/// How long after midnight, in UTC, everybody knows that accounts have room that had none the day before.
const NEW_DAY_AFTER: TimeDelta = TimeDelta::seconds(60);

/// For whom a message waits that no account of this process takes, or more than can be named.
const NOBODY: &str = "-";

/// Lines of accounts that nobody has, of which some are let go at a time.
const NOBODYS_LINES: usize = 32;

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
                    WHERE kind = $1 AND timers.lane = l.lane AND timers.lane LIKE '% waiting'
                      AND NOT starts_with(timers.waits_for, 'rate:') LIMIT $3) AS t) AS counted
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
    let values: [&(dyn ToSql + Sync); 3] = [&Message::KIND, &lanes.as_slice(), &COUNTED_MAX];
    let rows = client.query(COUNT, &values).await?;
    let of = |row: &tokio_postgres::Row| {
        let lane: &str = row.try_get(0)?;
        let channel = Channel::ALL.into_iter().find(|channel| waiting_lane(*channel) == lane);
        let (count, since) = (row.try_get(1)?, row.try_get(2)?);
        Ok(channel.map(|channel| Waiting { channel, count, since }))
    };
    rows.iter().filter_map(|row| of(row).transpose()).collect()
}

impl Dispatcher {
    /// For which accounts the message waits, none of which is given anything now; none where it need not wait for one that
    /// works.
    pub(crate) fn must_wait(&self, pending: &PendingMessage) -> Option<Vec<SendingAccount>> {
        let request = pending.message.requested()?;
        self.waits(Sought::of(pending, request))
    }

    /// Has a message wait for any of these accounts; for nobody, where there is none. `taken` is acknowledged: the log brings
    /// it back.
    pub(crate) async fn wait_for_account(
        &self,
        pending: PendingMessage,
        taken: Option<Taken>,
        accounts: &[SendingAccount],
    ) -> Next {
        // What fails here is left to the next sweep.
        if let Some(wait) = self.waits_for(&pending.message, accounts)
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
        accounts: &[SendingAccount],
    ) -> Result<Next, hatch_due::Error> {
        let Some(request) = pending.message.requested() else { return Ok(Next::Done) };
        let wait = self.waits_for(&pending.message, accounts);
        if let Some(wait) = wait
            && pending.message.waits_for_account() == Some(wait.reason.as_str())
        {
            // It was let go, and somebody else tries, or it goes by another account by now.
            let (lane, waits_for) = (waiting_lane(request.channel), waited_for(accounts));
            self.timers.park(timer, (lane, waits_for.as_str()), wait.expires_at).await?;
            return Ok(Next::Done);
        }
        Ok(self.wait_for_account(pending, None, accounts).await)
    }

    /// What a message waits for; none where one of its accounts works again by now.
    fn waits_for(&self, message: &Message, accounts: &[SendingAccount]) -> Option<WaitForAccount> {
        let (reason, class, code, detail) = match accounts.first() {
            Some(first) => match (first.health.refusal(), first.health.failing()) {
                (Some(refusal), _) => {
                    let Refusal { trouble, code, detail, .. } = refusal;
                    (trouble.reason(), ErrorClass::Account, code, detail)
                }
                // What the provider said last may be about a message of another tenant.
                (None, Some(Failing { failures, calls, .. })) => {
                    let detail = format!("{failures} of {calls} calls by the account failed");
                    (BREAKER_OPEN, ErrorClass::Unreachable, "breaker_open".to_owned(), detail)
                }
                (None, None) => return None,
            },
            None => {
                let detail = message.requested().map_or_else(String::new, nobody_carries);
                (NO_ACCOUNT, ErrorClass::Account, NO_ACCOUNT.to_owned(), detail)
            }
        };
        let error = SendError { code, class, detail, permanent: false };
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
        let channel = Channel::ALL.into_iter().find(|channel| lanes.contains(&channel.as_str()));
        let carriers = self.carriers();
        let Some(channel) = channel.filter(|channel| carriers.width(*channel) > 0) else {
            return Some(WITHOUT_ACCOUNT);
        };
        let pause = |account: &SendingAccount| account.health.pause(self.config.account_backoff.0);
        // One that works need not wait for another.
        let pauses: Option<Vec<Duration>> = carriers.on(channel).map(pause).collect();
        pauses?.into_iter().min()
    }

    /// Brings back what waits for the accounts of this process, for ever: all of it for one that works, and one
    /// message for one that is to be tried.
    pub(crate) async fn release(&self) {
        let mut sorted = Sorted::default();
        loop {
            self.dependencies.head.fence().opened().await;
            let has_more = self.release_waiting(&mut sorted).await.unwrap_or_else(|error| {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "messages that wait for an account stay where they are");
                false
            });
            sleep(if has_more { RELEASE_EVERY.1 } else { RELEASE_EVERY.0 }).await;
        }
    }

    /// Whether there may be more.
    async fn release_waiting(&self, sorted: &mut Sorted) -> Result<bool, hatch_due::Error> {
        let carriers = self.carriers();
        let today = (self.now() - NEW_DAY_AFTER).date_naive();
        sorted.go_by(&carriers, &self.dependencies.routes.current(), today);
        let carried = Channel::ALL.into_iter().filter(|channel| carriers.width(*channel) > 0);
        let (parked, home): (Vec<_>, Vec<_>) =
            carried.map(|channel| (waiting_lane(channel), channel.as_str())).unzip();
        if parked.is_empty() {
            return Ok(false);
        }
        let mut has_more = self.sort(&parked).await?;
        let mut nobodys = Vec::new();
        for called in self.timers.waited_for(&parked).await? {
            let healths = carriers.waited_for(&called);
            // Any of them will do.
            let Some(limit) = healths.iter().map(|health| health.releasable()).max() else {
                nobodys.push(called);
                continue;
            };
            if limit > 0 {
                let (of, lanes) = ([called.as_str()], (parked.as_slice(), home.as_slice()));
                let released = self.timers.release(lanes, &of, (PRIORITIES, true), limit).await?;
                // Of an account that nobody has tried yet, some go ahead of the others.
                has_more |= limit == RELEASED.1 && reaches(released, MANY);
            }
        }
        nobodys.extend(self.nobodys_lines(&carriers));
        if sorted.nobodys_go(!nobodys.is_empty(), self.config.account_backoff.1) {
            let of: Vec<_> = nobodys.iter().map(String::as_str).collect();
            // Whose high ones nobody takes at all, they would stand before all others for ever.
            let (lanes, priorities) = ((&parked[..], &home[..]), (PRIORITIES, false));
            self.timers.release(lanes, &of, priorities, RELEASED.1).await?;
        }
        // Last, as it may read very many: they hold up none that may go on.
        Ok(self.sort_again(&mut sorted.again).await? || has_more)
    }

    /// Some of the lines of accounts that nobody here has: nobody serves those.
    fn nobodys_lines(&self, carriers: &Carriers) -> Vec<String> {
        let is_served =
            |line: &str| carriers.accounts().iter().any(|one| is_line_of(line, one).is_some());
        let all = self.rates.lines().into_iter();
        all.filter(|line| !is_served(line)).take(NOBODYS_LINES).collect()
    }

    /// Finds out for whom messages wait of which nobody knows it yet. Whether there may be more.
    async fn sort(&self, parked: &[&str]) -> Result<bool, hatch_due::Error> {
        let unsorted = self.timers.unsorted(parked, SORTED_AT_ONCE.0).await?;
        Ok(self.sort_these(&unsorted).await? > 0)
    }

    /// Finds out once more for whom some messages wait whose accounts were replaced. Whether there may be more.
    async fn sort_again(&self, again: &mut Again) -> Result<bool, hatch_due::Error> {
        let Some((tenant, after)) = again.next() else { return Ok(false) };
        let some = self.timers.sorted(tenant, after, SORTED_AT_ONCE.0).await?;
        if self.sort_these(&some).await? < some.len() {
            return Ok(false);
        }
        let has_more = some.len() == SORTED_AT_ONCE.0;
        Ok(again.go_on(some.last().filter(|_| has_more).map(|last| last.stream_id)))
    }

    /// Of how many it is known by now.
    async fn sort_these(&self, parked: &[Parked]) -> Result<usize, hatch_due::Error> {
        let mut sorted = Vec::with_capacity(parked.len());
        for some in parked.chunks(SORTED_AT_ONCE.1) {
            let found = join_all(some.iter().map(|one| self.sorted(*one))).await;
            sorted.extend(found.into_iter().flatten());
        }
        if !sorted.is_empty() {
            self.timers.sort(&sorted).await?;
        }
        Ok(sorted.len())
    }

    /// For whom the message waits; none while the log cannot be read.
    async fn sorted(&self, one: Parked) -> Option<(Parked, String)> {
        let loaded = self.dependencies.store.load::<Message>(one.tenant_id, one.stream_id).await;
        let accounts = match &loaded {
            Ok(loaded) => loaded.state.requested().map(|request| {
                let (tenant_id, message_id) = (one.tenant_id, one.stream_id);
                self.able(Sought { tenant_id, message_id, message: &loaded.state, request })
            }),
            Err(LoadError::Log(error)) if error.is_unavailable() => return None,
            // Whoever can read it is another.
            Err(_) => None,
        };
        Some((one, waited_for(&accounts.unwrap_or_default())))
    }
}

/// How the timers call those of whom a message waits for any.
fn waited_for(accounts: &[SendingAccount]) -> String {
    any_of(accounts).unwrap_or_else(|| NOBODY.to_owned())
}

fn nobody_carries(request: &MessageRequested) -> String {
    match &request.options.account {
        Some(name) => {
            format!(
                "the account {name}, which the request names, does not carry it: it is sent when that does"
            )
        }
        None => {
            let channel = request.channel.as_str();
            format!("no account carries {channel}: it is sent when there is one")
        }
    }
}

fn reaches(released: u64, limit: usize) -> bool {
    usize::try_from(released).is_ok_and(|released| released >= limit)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_message_of_an_account_that_is_gone_is_not_said_to_have_no_channel() {
        let mut request = hatch_domain::testing::request(DateTime::UNIX_EPOCH);
        assert_eq!(
            nobody_carries(&request),
            "no account carries sms: it is sent when there is one"
        );
        request.options.account = Some("gone".parse().expect("a name"));
        assert!(nobody_carries(&request).starts_with("the account gone, which the request names"));
    }

    #[test]
    fn each_channel_has_a_lane_of_its_own_for_those_that_wait() {
        let lanes = Channel::ALL.map(|channel| [channel.as_str(), waiting_lane(channel)]);
        let lanes: BTreeSet<_> = lanes.as_flattened().iter().collect();
        assert_eq!(lanes.len(), 2 * Channel::ALL.len());
        let indexed = Channel::ALL.map(waiting_lane).iter().all(|lane| lane.ends_with(" waiting"));
        assert!(indexed, "the index of those that wait holds lanes with such names");
    }
}
