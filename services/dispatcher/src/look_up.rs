//! Asks a provider what became of an attempt in doubt, and takes no other message of ours for it.

use std::time::{Duration, Instant};

use hatch_domain::message::Message;
use hatch_providers::{Candidate, LookUp, LookedUp};
use hatch_telemetry::{span, trace};
use tokio::time::{sleep, timeout};

use crate::attempt::Pending;
use crate::{Account, Config, Dispatcher, LEASE_MARGIN};

/// What asking may take, the pages of a long answer included.
const ASK_MAX: Duration = Duration::from_secs(30);

/// How far off the age of a candidate may be: the provider's times have no fractions.
const AGE_EXACTNESS: Duration = Duration::from_secs(1);

/// How long a look-up waits that something of our own kept from being made.
const UNASKED_WAIT: Duration = Duration::from_secs(5);

/// How long the timers may take, beyond their lag, to come by what they are waited for.
const FOLD_MARGIN: Duration = Duration::from_secs(10);

/// Between two looks at how far the timers are.
const POLL: Duration = Duration::from_millis(100);

/// What is known of the attempt after asking.
pub(crate) enum Answer {
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
    pub(crate) async fn ask(&self, pending: &Pending, account: &Account) -> Answer {
        let (Some(doubt), Some(request)) = (pending.message.doubt(), pending.message.requested())
        else {
            return Answer::Superseded;
        };
        let asked = LookUp {
            message: pending.outbound(request, doubt.attempt),
            attempted_at: doubt.attempted_at,
            asked_at: self.now(),
        };
        let (provider, attempt) = (account.provider, doubt.attempt);
        let span = span!("look-up", otel.kind = "client", provider, attempt);
        let looked_up = timeout(ASK_MAX, account.adapter.look_up(&asked));
        match trace::within(span, pending.traceparent.as_deref(), looked_up).await {
            Err(_) => inconclusive("no answer in time"),
            Ok(LookedUp::Inconclusive { detail }) => Answer::Inconclusive { detail },
            Ok(LookedUp::Shortage(lack)) => {
                self.dependencies.stats.shortage.could_not_call(lack);
                unasked(&format!("this process lacks {}", lack.as_str()))
            }
            Ok(LookedUp::NotFound) => Answer::NotFound,
            Ok(LookedUp::Found { candidates }) => {
                self.choose(pending, doubt.attempt, candidates).await
            }
        }
    }

    /// The first candidate that is no other message of ours; one that is not certain leaves the doubt. Candidates that all are others say that
    /// the provider knows nothing of this one. One that nobody has yet, and that is so young that it may be of
    /// a call still unanswered, says nothing until that call's outcome must be in the log.
    async fn choose(&self, pending: &Pending, attempt: u32, candidates: Vec<Candidate>) -> Answer {
        if let Err(detail) = self.fold_catches_up().await {
            return unasked(&detail);
        }
        let ours = (pending.tenant_id, pending.message_id, attempt);
        let recorded_within = self.config.recorded_within();
        for Candidate { provider_message_id, certain, age } in candidates {
            let wait = age.map(|age| recorded_within.saturating_sub(age));
            let holder = match wait {
                Some(Duration::ZERO) if certain => {
                    self.timers.claim_provider_id(&provider_message_id, ours).await.map(Some)
                }
                _ => self.timers.provider_id_holder(&provider_message_id).await,
            };
            let Ok(holder) = holder else {
                return unasked("whose the candidate is cannot be read");
            };
            let Some((tenant_id, message_id, held_by)) = holder else {
                let detail = "a candidate may be of a call that is not answered yet";
                return match wait {
                    Some(Duration::ZERO) => {
                        inconclusive(&format!("{provider_message_id} may be the message"))
                    }
                    Some(wait) => Answer::Unasked { detail: detail.to_owned(), wait },
                    None => inconclusive("the provider does not say how old a candidate is"),
                };
            };
            if message_id == pending.message_id {
                return Answer::Sent { provider_message_id };
            }
            let store = &self.dependencies.store;
            let Ok((other, _)) = store.load::<Message>(tenant_id, message_id).await else {
                return unasked("the message that has the candidate cannot be read");
            };
            if other.attempted_via(held_by) != pending.message.attempted_via(attempt) {
                return inconclusive("another provider uses the same id");
            }
        }
        Answer::NotFound
    }

    /// Waits until the timers have folded every outcome that is recorded by now.
    async fn fold_catches_up(&self) -> Result<(), String> {
        let head = self.dependencies.store.log().head().await;
        let head = head.map_err(|error| error.to_string())?;
        let deadline = Instant::now() + self.config.timers_lag + FOLD_MARGIN;
        loop {
            let checkpoint = self.timers.checkpoint().await;
            if checkpoint.is_ok_and(|checkpoint| checkpoint.position >= head) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("the timers are too far behind to tell".to_owned());
            }
            sleep(POLL).await;
        }
    }
}

impl Config {
    /// How long after a provider took a message the outcome of its call is in the log, unless the attempt is
    /// in doubt itself.
    fn recorded_within(&self) -> Duration {
        self.http_timeout + LEASE_MARGIN + AGE_EXACTNESS
    }
}

fn unasked(detail: &str) -> Answer {
    Answer::Unasked { detail: detail.to_owned(), wait: UNASKED_WAIT }
}

fn inconclusive(detail: &str) -> Answer {
    Answer::Inconclusive { detail: detail.to_owned() }
}
