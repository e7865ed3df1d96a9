//! Moves messages away from an account that is slow to deliver or fails to those that share its messages, and back.
//!
//! Every process counts what becomes of its attempts and adds that to a table every few seconds. One of them has the turn to
//! look each minute: at that table, and at how a sample of the messages was delivered. What it finds is an event of the log,
//! so that every process knows it within a second, and anybody can ask later why a message went as it did.

mod decide;
mod settings;
mod table;
mod tally;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::carrier::Carrier;
use hatch_domain::carrier::command::CarrierCommand;
use hatch_domain::carrier::event::{CarrierFigures, ShiftedWeight, WeightsShifted};
use hatch_domain::carrier::{Shift, carrier_id};
use hatch_domain::message::command::AttemptOutcome;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::{Channel, time};
use hatch_eventstore::{Execute, LogError, Metadata, Position, log_unless_away};
use hatch_providers::RouteQuestion;
use hatch_routing::RouteTable;
use hatch_routing::balance::Shifts;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use self::settings::{BalanceMode, BalanceSettings};
pub use self::table::balance_advice;

use self::decide::{Found, find};
use self::table::Names;
use self::tally::Tallies;
use crate::account::SendingAccount;
use crate::{Dispatcher, ProgressError};

/// Between two writes of what was counted.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// What this process counts, and how messages are shared.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    tallies: Tallies,
    shifts: RwLock<Arc<Shifts>>,
}

impl Balance {
    /// How messages are shared now.
    fn shifts(&self) -> Arc<Shifts> {
        Arc::clone(&self.shifts.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, shifts: Shifts) {
        *self.shifts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shifts);
    }

    /// How the accounts of the route that decides about a message share such messages, where not as it says.
    pub(crate) fn shift(&self, table: &RouteTable, question: &RouteQuestion<'_>) -> Option<Shift> {
        question.shift(table, &self.shifts()).cloned()
    }
}

/// What the balance would do if it were on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// How the messages travel.
    pub channel: Channel,
    /// The calling code of the country that they go to; none where they go to no phone.
    pub country: Option<u16>,
    /// Why: `slow` or `failing`.
    pub reason: String,
    /// The part of each account, of 10,000, before and after.
    pub weights: Vec<ShiftedWeight>,
    /// What was seen of each.
    pub figures: Vec<CarrierFigures>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Why nothing was looked at.
#[derive(Debug, thiserror::Error)]
enum Unseen {
    #[error(transparent)]
    Figures(#[from] ProgressError),
    #[error("the log cannot be read")]
    Log(#[from] LogError),
}

impl Dispatcher {
    /// Counts what became of an attempt.
    pub(crate) fn count(
        &self,
        account: &SendingAccount,
        request: &MessageRequested,
        outcome: &AttemptOutcome,
    ) {
        if self.config.balance.mode != BalanceMode::Off {
            self.balance.tallies.note(&account.name, request, outcome);
        }
    }

    /// Balances, for ever.
    pub(crate) async fn balance(&self) {
        let settings = self.config.balance;
        if settings.mode == BalanceMode::Off {
            // What was said before is no advice any more.
            if let Err(error) = table::advise(&self.dependencies.pool, &[]).await {
                tracing::debug!(error = %error, "what was advised before is not taken back");
            }
            return;
        }
        let mut changes = self.dependencies.directory.carrier_changes();
        let mut ticks = interval(WRITE_EVERY.min(settings.every()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut look_at, mut told) = (Instant::now(), Vec::new());
        loop {
            changes.mark_unchanged();
            if settings.mode == BalanceMode::On {
                let carriers = self.dependencies.directory.carriers();
                self.balance.replace(Shifts::of(carriers.iter().map(|carrier| &**carrier)));
            }
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        // The process ends.
                        std::future::pending::<()>().await;
                    }
                }
                _ = ticks.tick() => {
                    self.write_counted().await;
                    if Instant::now() >= look_at {
                        look_at = Instant::now() + settings.every();
                        if let Err(error) = self.look(&mut told).await {
                            tracing::warn!(error = %error, "accounts are not balanced");
                        }
                    }
                }
            }
        }
    }

    async fn write_counted(&self) {
        let counted = self.balance.tallies.take();
        if counted.is_empty() {
            return;
        }
        if let Err(error) = table::add(&self.dependencies.pool, &counted).await {
            tracing::debug!(error = %error, "what became of attempts is written later");
            self.balance.tallies.put_back(counted);
        }
    }

    /// Looks at the figures, if it is this process' turn, and does what follows, or says so. `told` is what was said last.
    async fn look(&self, told: &mut Vec<Advice>) -> Result<(), Unseen> {
        let settings = self.config.balance;
        let pool = &self.dependencies.pool;
        let table = self.dependencies.routes.current();
        let groups = decide::groups(&table);
        // Whoever has the turn forgets what is old, also where nobody shares anything.
        if !table::turn(pool, settings.every(), settings.window()).await? {
            return Ok(());
        }
        if groups.is_empty() {
            told.clear();
            table::advise(pool, &[]).await?;
            return Ok(());
        }
        let now = self.now();
        let outcomes = table::outcomes(pool, settings.window()).await?;
        let range = self.range(settings.window()).await?;
        let deliveries = table::deliveries(pool, range, now, settings.slow_after()).await?;
        let figures = table::together(outcomes, deliveries, &self.names());
        let shifts = self.balance.shifts();
        let found = find(&groups, &figures, &shifts, now, &settings.rules());
        if settings.mode == BalanceMode::On {
            for one in found {
                self.shift(one).await;
            }
            table::advise(pool, &[]).await?;
            return Ok(());
        }
        let advice: Vec<Advice> = found.into_iter().map(|one| one.advice(now)).collect();
        let is_same = |one: &Advice, told: &Advice| {
            (one.channel, one.country) == (told.channel, told.country)
                && one.weights == told.weights
        };
        let is_told = |one: &&Advice| told.iter().any(|told| is_same(one, told));
        for one in advice.iter().filter(|one| !is_told(one)) {
            let Advice { channel, country, reason, .. } = one;
            let (channel, weights) = (channel.as_str(), one.worded());
            tracing::info!(
                channel,
                country,
                reason,
                weights,
                "messages would be shared in another way if balance.mode were on"
            );
        }
        table::advise(pool, &advice).await?;
        *told = advice;
        Ok(())
    }

    /// The positions of what was recorded in the last while.
    async fn range(&self, window: Duration) -> Result<(Position, Position), LogError> {
        let log = self.dependencies.store.log();
        let from = log.position_at(self.now() - time::delta(window)).await?;
        Ok((from, log.head().await?))
    }

    /// hatch's names of accounts, by what their providers call them.
    fn names(&self) -> Names {
        let mut names = Names::new();
        for account in self.carriers().accounts() {
            let (provider, key) = account.key();
            let of = (provider.to_owned(), key.to_owned());
            names.entry(of).or_default().push(account.name.clone());
        }
        names
    }

    /// Tells everybody how messages are shared from now on.
    async fn shift(&self, found: Found) {
        let carriers = self.carriers();
        let Some(first) = found.weights.first().and_then(|one| carriers.named(&one.account)) else {
            return;
        };
        let store = &self.dependencies.store;
        let (at, (provider, key)) = (self.now(), first.key());
        let (tenant, account) = (first.tenants.home(), first.name.clone());
        let stream = carrier_id(tenant, provider, key, at);
        let metadata = Metadata {
            correlation_id: store.environment().new_id(),
            actor: "dispatcher".to_owned(),
            ..Metadata::default()
        };
        let advice = found.advice(at);
        let (channel, country, weights) = (advice.channel, advice.country, advice.worded());
        let reason = advice.reason.clone();
        let command = CarrierCommand::Shift(WeightsShifted {
            account,
            provider: provider.to_owned(),
            key: key.to_owned(),
            channel,
            country,
            weights: advice.weights,
            reason: advice.reason,
            figures: advice.figures,
            at,
        });
        let execute = Execute::<Carrier>::new(tenant.0, stream.0, &command, metadata);
        match store.execute(execute).await {
            // Somebody was faster, or the stream of this month is full.
            Ok(executed) if executed.events.is_empty() => {}
            Ok(_) => {
                let channel = channel.as_str();
                tracing::info!(
                    channel,
                    country,
                    reason,
                    weights,
                    "messages are shared in another way"
                );
            }
            Err(error) => {
                let channel = channel.as_str();
                log_unless_away!(warn, &error, channel, country, error = %error, "messages are shared as before");
            }
        }
    }
}

impl Advice {
    /// The parts, for people.
    fn worded(&self) -> String {
        let percent = |part: u16| f64::from(part) / 100.0;
        let part = |one: &ShiftedWeight| {
            format!("{} {} % -> {} %", one.account, percent(one.before), percent(one.after))
        };
        self.weights.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}

impl From<Advice> for Shift {
    fn from(advice: Advice) -> Self {
        let Advice { channel, country, reason, weights, at, .. } = advice;
        Self { channel, country, weights, reason, at }
    }
}

impl Found {
    fn advice(self, at: DateTime<Utc>) -> Advice {
        let Self { channel, country, reason, weights, figures } = self;
        Advice { channel, country, reason: reason.as_str().to_owned(), weights, figures, at }
    }
}
