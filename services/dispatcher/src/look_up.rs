//! Asks a provider what became of an attempt in doubt, and takes no other message of ours for it.

use std::time::{Duration, Instant};

use hatch_domain::message::Message;
use hatch_eventstore::Position;
use hatch_providers::{Candidate, LookUp, LookedUp, Trouble};
use hatch_telemetry::{span, trace};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::account::SendingAccount;
use crate::attempt::PendingMessage;
use crate::health::Refusal;
use crate::{Dispatcher, LEASE_MARGIN, calls};
use hatch_due::Timers;

/// The longest time for a look-up, the pages of a long answer included.
const ASK_MAX: Duration = Duration::from_secs(30);

/// How far off the age of a candidate may be: the provider's times have no fractions.
const AGE_EXACTNESS: Duration = Duration::from_secs(1);

/// How long a look-up waits that something of our own kept from being made.
const UNASKED_WAIT: Duration = Duration::from_secs(5);

/// How long the timers may take, beyond their lag, to come by what they are waited for.
const FOLD_MARGIN: Duration = Duration::from_secs(10);

/// Between two looks at how far the timers are.
const POLL: Duration = Duration::from_millis(100);

/// How long a doubt waits for which there is no room: at least, at most.
const ROOM_WAIT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(6));

/// The cache that the look-ups of this process share.
#[derive(Default)]
pub(crate) struct LookUps {
    folded: Mutex<Folded>,
}

/// How far the timers were folded at a time; none where PostgreSQL did not say.
#[derive(Default)]
struct Folded {
    seen: Option<Instant>,
    position: Option<Position>,
}

impl LookUps {
    /// How far the timers are folded. Those who wait for that share the answers, as many as they may be.
    async fn folded(&self, timers: &Timers) -> Option<Position> {
        let mut folded = self.folded.lock().await;
        if folded.seen.is_none_or(|seen| seen.elapsed() >= POLL) {
            let position = timers.checkpoint().await.ok().map(|checkpoint| checkpoint.position);
            *folded = Folded { seen: Some(Instant::now()), position };
        }
        folded.position
    }
}

/// The result of a look-up.
pub(crate) enum LookUpAnswer {
    /// It sent the message.
    Sent { provider_message_id: String },
    /// The provider has nothing that may come of it.
    NotFound,
    /// Nothing follows from what the provider said.
    Inconclusive { detail: String },
    /// Nothing follows, because of something of our own: it is as if nobody had asked. After `wait` it may be
    /// otherwise.
    Unasked { detail: String, wait: Duration },
    /// The message is not in doubt.
    Superseded,
}

impl Dispatcher {
    /// Asks about the latest attempt of `pending`.
    pub(crate) async fn ask(
        &self,
        pending: &PendingMessage,
        account: &SendingAccount,
    ) -> LookUpAnswer {
        let (Some(doubt), Some(request)) = (pending.message.doubt(), pending.message.requested())
        else {
            return LookUpAnswer::Superseded;
        };
        let asked = LookUp {
            message: pending.outbound(request, doubt.attempt),
            attempted_at: doubt.attempted_at,
            asked_at: self.now(),
        };
        // Credentials that are refused read nothing either, until it is time to try them again. What else is wrong with
        // an account keeps it from sending, and perhaps not from telling.
        let health = &account.health;
        let is_unknown =
            |refusal: Refusal| matches!(refusal.trouble, Trouble::Credentials | Trouble::NotFound);
        if health.refusal().is_some_and(is_unknown) && !health.admits() {
            return unasked("the provider refuses the account");
        }
        let Ok(room) = account.asked.try_acquire() else {
            let chance = self.dependencies.store.environment().chance();
            let wait = ROOM_WAIT.0 + (ROOM_WAIT.1 - ROOM_WAIT.0).mul_f64(chance);
            let detail = "many others of the account are looked up".to_owned();
            return LookUpAnswer::Unasked { detail, wait };
        };
        let (provider, attempt) = (account.provider, doubt.attempt);
        let span = span!("look-up", otel.kind = "client", provider, attempt);
        let looked_up = timeout(ASK_MAX, account.adapter.look_up(&asked));
        let looked_up = trace::within(span, pending.traceparent.as_deref(), looked_up).await;
        drop(room);
        if let Ok(LookedUp::Found { .. } | LookedUp::NotFound) = looked_up {
            health.answered();
        }
        match looked_up {
            Err(_) => inconclusive("no answer in time"),
            Ok(LookedUp::Inconclusive { detail }) => LookUpAnswer::Inconclusive { detail },
            Ok(LookedUp::Shortage(lack)) => {
                self.dependencies.stats.shortage.could_not_call(lack);
                unasked(&format!("this process lacks {}", lack.as_str()))
            }
            Ok(LookedUp::NotFound) => LookUpAnswer::NotFound,
            Ok(LookedUp::Found { candidates }) => {
                self.settle_on(pending, doubt.attempt, account, candidates).await
            }
        }
    }

    /// The first candidate that is no other message of ours; one that is not certain leaves the doubt. Candidates that all are others say that
    /// the provider knows nothing of this one. One that nobody has yet, and that is so young that it may be of
    /// a call still unanswered, says nothing until that call's outcome must be in the log.
    async fn settle_on(
        &self,
        pending: &PendingMessage,
        attempt: u32,
        account: &SendingAccount,
        candidates: Vec<Candidate>,
    ) -> LookUpAnswer {
        if let Err(detail) = self.fold_catches_up().await {
            return unasked(&detail);
        }
        let ours = (pending.tenant_id, pending.message_id, attempt);
        for candidate in candidates {
            let (tenant_id, message_id, held_by) =
                match self.holder(&candidate, ours, account).await {
                    Ok(holder) => holder,
                    Err(answer) => return answer,
                };
            if message_id == pending.message_id {
                let Candidate { provider_message_id, .. } = candidate;
                return LookUpAnswer::Sent { provider_message_id };
            }
            let store = &self.dependencies.store;
            let Ok(other) = store.load::<Message>(tenant_id, message_id).await else {
                return unasked("the message that has the candidate cannot be read");
            };
            if other.state.attempted_via(held_by) != pending.message.attempted_via(attempt) {
                return inconclusive("another provider uses the same id");
            }
        }
        LookUpAnswer::NotFound
    }

    /// The owner of a candidate: tenant, message, attempt. A candidate without one becomes `ours`, if it certainly is
    /// the message and no other call may have made it; else that is the answer.
    async fn holder(
        &self,
        candidate: &Candidate,
        ours: (Uuid, Uuid, u32),
        account: &SendingAccount,
    ) -> Result<(Uuid, Uuid, u32), LookUpAnswer> {
        let id = &candidate.provider_message_id;
        let unread = |_| unasked("whose the candidate is cannot be read");
        if let Some(holder) = self.provider_ids.holder(id).await.map_err(unread)? {
            return Ok(holder);
        }
        let Some(age) = candidate.age else {
            return Err(inconclusive("the provider does not say how old a candidate is"));
        };
        let wait = self.recorded_within(account).await?.saturating_sub(age);
        if !wait.is_zero() {
            let detail = "a candidate may be of a call that is not answered yet".to_owned();
            return Err(LookUpAnswer::Unasked { detail, wait });
        }
        if !candidate.certain {
            return Err(inconclusive(&format!("{id} may be the message")));
        }
        // A call that was answered just now is not among the open ones, and what it made is not folded yet.
        self.fold_catches_up().await.map_err(|detail| unasked(&detail))?;
        self.provider_ids.claim(id, ours).await.map_err(unread)
    }

    /// How long after a provider took a message the outcome of its call is in the log, unless the attempt is
    /// in doubt itself. Another dispatcher may wait longer for an answer than this one: its claim says so.
    async fn recorded_within(&self, account: &SendingAccount) -> Result<Duration, LookUpAnswer> {
        let longest =
            calls::longest(&self.dependencies.pool, account.provider, &account.account).await;
        let longest = longest.map_err(|_| unasked("which calls are open cannot be read"))?;
        let ours = self.config.http_timeout.max(account.http_timeout);
        Ok(longest.max(ours + LEASE_MARGIN) + AGE_EXACTNESS)
    }

    /// Waits until the timers have folded every outcome that is recorded by now.
    async fn fold_catches_up(&self) -> Result<(), String> {
        let head = self.dependencies.store.log().head().await;
        let head = head.map_err(|error| error.to_string())?;
        let deadline = Instant::now() + self.config.timers_lag + FOLD_MARGIN;
        loop {
            if self.look_ups.folded(&self.timers).await.is_some_and(|folded| folded >= head) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("the timers are too far behind to tell".to_owned());
            }
            sleep(POLL).await;
        }
    }
}

fn unasked(detail: &str) -> LookUpAnswer {
    LookUpAnswer::Unasked { detail: detail.to_owned(), wait: UNASKED_WAIT }
}

fn inconclusive(detail: &str) -> LookUpAnswer {
    LookUpAnswer::Inconclusive { detail: detail.to_owned() }
}
