//! What is kept of webhooks outside the log of events: for how long, and how much of it.
//!
//! Every process of the webhook role measures each kind every ten seconds, makes partitions ahead, and drops
//! those that are past their retention or, the oldest first, beyond their quota. What providers signed is
//! recorded whatever the quotas say. Several processes may do this at the same time: each partition is made and
//! dropped once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use hatch_eventstore::is_away;
use hatch_readmodel::{Kept, KeptKind, QueryError, ReadModel, WaitingCount};
use hatch_telemetry::limit::Limit;
use tokio_util::sync::CancellationToken;

use super::refused::{REASONS, RefusedRates, Sampler};
use super::{WebhookAccount, Webhooks};

/// Between two looks at how much there is; the first and then one in ten minutes also drops what is old.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
const LOOKS_PER_ROUND: u32 = 60;

/// Between two looks for episodes of refusals that are over.
const EPISODES_INTERVAL: Duration = Duration::from_secs(5);

/// Days whose partitions are made ahead.
const DAYS_AHEAD: i32 = 3;

/// How often, and how long after each other, a partition is tried that is in use. Nobody waits for a lock on it,
/// because everybody else would wait behind.
const TRIES_MAX: u32 = 100;
const TRY_PAUSE: Duration = Duration::from_millis(50);

/// Rows that one statement takes out of a net.
const EMPTY_ROWS_MAX: i32 = 1_000;

/// What is kept, for how long and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepRules {
    /// How many refused webhooks are kept.
    pub refused_rates: RefusedRates,
    /// How long refused ones are kept.
    pub refused: TimeDelta,
    /// How long those are kept that became events, were known, or changed nothing.
    pub settled: TimeDelta,
    /// How long those in quarantine are kept.
    pub quarantined: TimeDelta,
    /// How long bodies are kept that are longer than a row holds.
    pub bodies: TimeDelta,
    /// How long the requests that brought mails are kept whole; for ever, if none.
    pub raw_mails: Option<TimeDelta>,
    /// Bytes of refused ones; beyond them the oldest go, and then no more are kept.
    pub refused_bytes_max: u64,
    /// Bytes of those in quarantine; beyond them an alert is raised.
    pub quarantined_bytes_max: u64,
    /// Bytes of everything; beyond them the oldest go that providers have signed and that are in the log.
    pub bytes_max: u64,
    /// Receipts of one account that wait for their message.
    pub waiting_receipts_max: u64,
}

impl Default for KeepRules {
    fn default() -> Self {
        Self {
            refused_rates: RefusedRates { by_address_per_minute: 20, by_path_per_minute: 60 },
            refused: TimeDelta::days(7),
            settled: TimeDelta::days(30),
            quarantined: TimeDelta::days(90),
            bodies: TimeDelta::days(365),
            raw_mails: None,
            refused_bytes_max: 256 << 20,
            quarantined_bytes_max: 4 << 30,
            bytes_max: 64 << 30,
            waiting_receipts_max: 100_000,
        }
    }
}

impl KeepRules {
    /// How long `kind` is kept.
    #[must_use]
    pub fn retention(&self, kind: KeptKind) -> TimeDelta {
        match kind {
            KeptKind::Refused => self.refused,
            KeptKind::NothingNew | KeptKind::Applied => self.settled,
            KeptKind::Quarantined => self.quarantined,
            // What is in quarantine is replayed with its body.
            KeptKind::Bodies => self.bodies.max(self.quarantined),
        }
    }

    /// Each quota, with the bytes of `kept` that count in it, and its bytes.
    #[must_use]
    pub fn quotas(&self, kept: &[Kept]) -> [Quota; 3] {
        let bytes = |wanted: &dyn Fn(KeptKind) -> bool| {
            let kept = kept.iter().filter(|kept| wanted(kept.kind));
            kept.map(|kept| u64::try_from(kept.bytes).unwrap_or_default()).sum()
        };
        let quota = |name, used, max| Quota { name, used, max };
        [
            quota("refused", bytes(&|kind| kind == KeptKind::Refused), self.refused_bytes_max),
            quota(
                "quarantined",
                bytes(&|kind| kind == KeptKind::Quarantined),
                self.quarantined_bytes_max,
            ),
            quota("all", bytes(&|_| true), self.bytes_max),
        ]
    }
}

/// How much of a quota is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// `refused`, `quarantined` or `all`.
    pub name: &'static str,
    /// Bytes that count in it.
    pub used: u64,
    /// Its bytes.
    pub max: u64,
}

impl Quota {
    /// Whether there is no room left in it.
    #[must_use]
    pub const fn is_reached(&self) -> bool {
        self.used >= self.max
    }
}

/// What a process knows of what is kept; shared by its requests and its rounds.
#[derive(Debug)]
pub struct Keeping {
    rules: KeepRules,
    pub(super) sampler: Sampler,
    refused_full: AtomicBool,
    waiting: Mutex<BTreeMap<String, u64>>,
    waiting_limit: Arc<Limit>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    kept: Vec<Kept>,
    reached: BTreeSet<&'static str>,
}

impl Default for Keeping {
    fn default() -> Self {
        let rules = KeepRules::default();
        Self::new(rules, Arc::new(Limit::new("waiting_receipts", rules.waiting_receipts_max)))
    }
}

impl Keeping {
    /// Keeps by `rules`. `waiting` is the limit that shows how many receipts of an account wait at most.
    #[must_use]
    pub fn new(rules: KeepRules, waiting: Arc<Limit>) -> Self {
        Self {
            rules,
            sampler: Sampler::new(rules.refused_rates),
            refused_full: AtomicBool::new(false),
            waiting: Mutex::default(),
            waiting_limit: waiting,
            seen: Mutex::default(),
        }
    }

    /// How much there was of each kind at the last look; nothing before the first.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).kept.clone()
    }

    /// The rules.
    #[must_use]
    pub const fn rules(&self) -> &KeepRules {
        &self.rules
    }

    /// How many receipts wait, by provider, about.
    #[must_use]
    pub fn waiting(&self) -> Vec<(String, u64)> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().map(|(provider, count)| (provider.clone(), *count)).collect()
    }

    pub(super) fn has_room_for_refused(&self) -> bool {
        !self.refused_full.load(Ordering::Relaxed)
    }

    /// Whether one more receipt of the provider's account may wait.
    pub(super) fn admits_waiting(&self, provider: &str) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.entry(provider.to_owned()).or_default();
        if *count >= self.rules.waiting_receipts_max {
            drop(waiting);
            self.waiting_limit.refuse();
            return false;
        }
        *count += 1;
        let most = waiting.values().max().copied().unwrap_or_default();
        self.waiting_limit.set_used(most);
        true
    }

    fn show_waiting(&self, provider: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(provider.to_owned()).or_default();
    }

    fn note_waiting(&self, counts: Vec<WaitingCount>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values_mut().for_each(|count| *count = 0);
        waiting.extend(counts.into_iter().map(|one| (one.provider, one.count)));
        self.waiting_limit.set_used(waiting.values().max().copied().unwrap_or_default());
    }

    /// Remembers what there is, and says once when a quota is reached, and once when it is not any more.
    fn note_kept(&self, kept: Vec<Kept>) {
        let quotas = self.rules.quotas(&kept);
        let full = quotas.iter().any(|quota| quota.name != "quarantined" && quota.is_reached());
        self.refused_full.store(full, Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for Quota { name: quota, used, max } in quotas {
            let is_reached = used >= max;
            match (is_reached, seen.reached.contains(quota)) {
                (true, false) => {
                    seen.reached.insert(quota);
                    tracing::warn!(quota, used, max, "a quota of the webhook log is reached");
                }
                (false, true) => {
                    seen.reached.remove(quota);
                    tracing::info!(quota, used, max, "a quota of the webhook log has room again");
                }
                _ => {}
            }
        }
        seen.kept = kept;
    }
}

/// Looks after what is kept, until `shutdown`.
///
/// The future is in a box, so that this crate compiles it, and not each crate that awaits it.
pub fn keep_webhooks(webhooks: Webhooks, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
    Box::pin(keep(webhooks, shutdown))
}

async fn keep(webhooks: Webhooks, shutdown: CancellationToken) {
    webhooks.show_from_the_start();
    let rounds = async {
        let mut looks = 0_u32;
        loop {
            let environment = webhooks.store.environment();
            let is_certain = environment.is_certain();
            let round =
                Round { read_model: &webhooks.read_model, keeping: &webhooks.keeping, is_certain };
            let done = round.run(environment.now(), looks.is_multiple_of(LOOKS_PER_ROUND)).await;
            if let Err(error) = done {
                let (away, error) = (is_away(&error), &error as &dyn std::error::Error);
                if away {
                    tracing::debug!(error, "the webhook log is not looked after");
                } else {
                    tracing::warn!(error, "the webhook log is not looked after; it is tried again");
                }
            }
            looks = looks.wrapping_add(1);
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    let episodes = async {
        loop {
            tokio::time::sleep(EPISODES_INTERVAL).await;
            webhooks.keeping.sampler.end_episodes();
        }
    };
    let both = futures::future::join(rounds, episodes);
    let _: Option<((), ())> = shutdown.run_until_cancelled(both).await;
}

impl Webhooks {
    /// Shows with zeroes what has not happened yet.
    fn show_from_the_start(&self) {
        for WebhookAccount { path, provider, .. } in self.all_posting() {
            for reason in REASONS {
                self.stats.refused.of(&(path.to_string(), reason));
            }
            self.stats.refused_kept.of(&*path);
            self.keeping.show_waiting(provider);
        }
        self.stats.cut.of("parts");
    }
}

/// One look at what is kept.
struct Round<'a> {
    read_model: &'a ReadModel,
    keeping: &'a Keeping,
    /// Whether the clock says what nothing contradicts.
    is_certain: bool,
}

impl Round<'_> {
    async fn run(&self, now: DateTime<Utc>, whole: bool) -> Result<(), QueryError> {
        self.keeping.note_waiting(self.read_model.count_waiting_receipts().await?);
        if whole {
            let made = self.ensure_partitions(now).await?;
            tracing::debug!(made, "partitions of the webhook log are ready");
        }
        // What is dropped cannot be had back, so it waits until it is certain what the time is.
        if self.is_certain {
            if whole {
                self.drop_old(now).await?;
            }
            self.drop_excess(now).await?;
        }
        self.keeping.note_kept(self.read_model.kept().await?);
        Ok(())
    }

    /// Drops what is past its retention.
    async fn drop_old(&self, now: DateTime<Utc>) -> Result<(), QueryError> {
        for kept in self.read_model.kept().await? {
            let before = now - self.keeping.rules.retention(kept.kind);
            for partition in kept.partitions.iter().filter(|one| one.until <= before) {
                self.drop_partition(&partition.name, "retention").await?;
            }
            while self.read_model.empty_webhook_net(kept.kind, before, EMPTY_ROWS_MAX).await?
                == i64::from(EMPTY_ROWS_MAX)
            {}
        }
        if let Some(raw_mails) = self.keeping.rules.raw_mails {
            let before = now - raw_mails;
            while self.read_model.drop_raw_mails(before, EMPTY_ROWS_MAX).await?
                == i64::from(EMPTY_ROWS_MAX)
            {}
        }
        Ok(())
    }

    /// Drops the oldest of what is beyond a quota: refused ones first, then what said nothing new, then what is in
    /// the log as events. What is in quarantine, and whole bodies, stay.
    async fn drop_excess(&self, now: DateTime<Utc>) -> Result<(), QueryError> {
        let kept = self.read_model.kept().await?;
        let [refused, _, all] = self.keeping.rules.quotas(&kept);
        let over = |quota: Quota| quota.used.saturating_sub(quota.max);
        let (mut refused, mut all) = (over(refused), over(all));
        let order = [KeptKind::Refused, KeptKind::NothingNew, KeptKind::Applied];
        for kept in order.iter().filter_map(|kind| kept.iter().find(|kept| kept.kind == *kind)) {
            for partition in kept.partitions.iter().filter(|one| one.until <= now) {
                let is_excess = all > 0 || (kept.kind == KeptKind::Refused && refused > 0);
                if is_excess && self.drop_partition(&partition.name, "quota").await? {
                    let bytes = u64::try_from(partition.bytes).unwrap_or_default();
                    refused = refused.saturating_sub(bytes);
                    all = all.saturating_sub(bytes);
                }
            }
        }
        Ok(())
    }

    /// Drops a partition, and says whether it is gone; one that is in use all the time stays until the next look.
    async fn drop_partition(&self, name: &str, because: &str) -> Result<bool, QueryError> {
        match self.try_to_drop(name).await {
            Ok(Some(bytes)) => {
                tracing::info!(partition = name, bytes, because, "webhooks are no longer kept");
                Ok(true)
            }
            Ok(None) => Ok(true),
            Err(error) if error.is_busy() => {
                tracing::info!(partition = name, because, "webhooks are in use, and go later");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn ensure_partitions(&self, now: DateTime<Utc>) -> Result<i32, QueryError> {
        let mut tries = 1;
        loop {
            match self.read_model.ensure_webhook_partitions(now, DAYS_AHEAD).await {
                Err(error) if error.is_busy() && tries < TRIES_MAX => tries += 1,
                done => return done,
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
    }

    async fn try_to_drop(&self, name: &str) -> Result<Option<i64>, QueryError> {
        let mut tries = 1;
        loop {
            match self.read_model.drop_webhook_partition(name).await {
                Err(error) if error.is_busy() && tries < TRIES_MAX => tries += 1,
                done => return done,
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
    }
}
