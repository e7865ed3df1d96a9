//! `--fairness`: how long a message waits while another tenant has a long queue, and an urgent one beside that queue.
//!
//! A tenant fills the queue of an account that has a rate. Then each second another tenant sends one message, and the
//! first one an urgent one. The simulator's record says when each of them went out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hatch::commands::tenant_with_key;
use hatch::output::line;
use hatch_domain::Environment as _;
use hatch_eventstore::SystemEnvironment;
use hdrhistogram::Histogram;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::evidence::each_line;
use crate::flags::Flags;
use crate::load::Load;
use crate::report::Latencies;
use crate::target::Target;

/// Longer waits count as this long, in microseconds.
const WAIT_MAX_US: u64 = 3_600_000_000;

/// No message waits longer for those of others.
const DELAY_MAX_MS: f64 = 2_000.0;

/// How long a request may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// A request that was told to come again does so after this, for so long.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(120);

/// Between two probes of a kind.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// What is not sent by then counts as never sent.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Probes have numbers of their own, above those of every queue.
const PROBES: u64 = 5_000_000;

/// What is compared. The names are those of the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fairness {
    /// Messages of the queue, and how many of them were left when the last probe was sent.
    pub(crate) queue: u64,
    pub(crate) queue_left: u64,
    /// A message a second of another tenant.
    pub(crate) other_tenant: Waits,
    /// An urgent message a second of the tenant whose queue it is.
    pub(crate) high: Waits,
}

/// How long messages waited, from the request until the provider took them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Waits {
    pub(crate) sent: u64,
    /// Those that the provider never took.
    pub(crate) missing: u64,
    pub(crate) delay_ms: Option<Latencies>,
}

impl Waits {
    fn of(probes: &[Probe], taken: &HashMap<Uuid, DateTime<Utc>>) -> Self {
        let mut delays = Histogram::new_with_max(WAIT_MAX_US, 3).expect("valid bounds");
        let mut missing = 0;
        for probe in probes {
            match taken.get(&probe.id) {
                Some(at) => {
                    let waited = (*at - probe.asked_at).num_microseconds().unwrap_or(i64::MAX);
                    delays.saturating_record(u64::try_from(waited).unwrap_or_default());
                }
                None => missing += 1,
            }
        }
        Self { sent: probes.len() as u64, missing, delay_ms: Latencies::of(&delays) }
    }

    fn is_short(&self) -> bool {
        self.missing == 0 && self.delay_ms.is_some_and(|delay| delay.max <= DELAY_MAX_MS)
    }
}

impl Fairness {
    /// Whether no message waited for too long.
    pub(crate) fn is_fair(&self) -> bool {
        self.other_tenant.is_short() && self.high.is_short()
    }

    /// The figures as a table.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "\nqueue         {:>9}, {} left at the end\n\n{:<14}{:>9} {:>9} {:>9} {:>9} {:>9}",
            self.queue, self.queue_left, "delay, ms", "sent", "missing", "p50", "p99", "max"
        );
        for (name, waits) in [("other tenant", &self.other_tenant), ("high", &self.high)] {
            let of = |value: fn(&Latencies) -> f64| {
                waits
                    .delay_ms
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |ms| format!("{:.1}", value(ms)))
            };
            // Writing to a String does not fail.
            let _ = write!(
                table,
                "\n{name:<14}{:>9} {:>9} {:>9} {:>9} {:>9}",
                waits.sent,
                waits.missing,
                of(|ms| ms.p50),
                of(|ms| ms.p99),
                of(|ms| ms.max),
            );
        }
        table
    }
}

/// A message whose wait is measured.
#[derive(Clone, Copy, Debug)]
struct Probe {
    id: Uuid,
    asked_at: DateTime<Utc>,
}

/// Fills the queue, sends the probes, and looks how long they waited.
///
/// # Errors
/// Hatch, its database or its simulator does not answer, or the queue was empty before the last probe.
pub(crate) async fn measured(target: &Target, flags: &Flags) -> anyhow::Result<Fairness> {
    let [.., a, b, c, d] = SystemEnvironment.new_id().into_bytes();
    let load = Load::new(flags.seed, u32::from_be_bytes([a, b, c, d]));
    let own = match &flags.api_key_file {
        Some(file) => Some(std::fs::read_to_string(file).context("failed to read --api-key-file")?),
        None => None,
    };
    let other =
        tenant_with_key(&target.settings, "bench").await.context("failed to make a tenant")?;
    let sender = Sender {
        http: hatch::http_client(REQUEST_MAX)?,
        messages: format!("{}/api/v1/messages", target.url),
        load,
    };
    let queue = u64::from(flags.fairness_queue);
    line(format!("{queue} messages of one tenant, then one a second of another"))?;
    let own = own.as_deref().map(str::trim);
    let flood = sender.fill(queue, flags.clients, own).await?;
    let seconds = u64::from(flags.duration);
    let (others, urgent) = tokio::try_join!(
        sender.probe(PROBES, seconds, "normal", Some(other.as_str())),
        sender.probe(2 * PROBES, seconds, "high", own),
    )?;
    let taken_then = taken(&target.simulator).await?;
    let left = flood.iter().filter(|id| !taken_then.contains_key(*id)).count() as u64;
    ensure!(
        left > 0,
        "the queue was empty before the last probe: give the account a rate (rate_per_s), or the queue more messages \
         (--fairness-queue)"
    );
    let taken = wait_for(&target.simulator, &[&others[..], &urgent[..]].concat()).await?;
    Ok(Fairness {
        queue,
        queue_left: left,
        other_tenant: Waits::of(&others, &taken),
        high: Waits::of(&urgent, &taken),
    })
}

/// Sends to one hatch.
struct Sender {
    http: Client,
    messages: String,
    load: Load,
}

impl Sender {
    /// Has so many messages accepted, over so many connections.
    async fn fill(&self, queue: u64, clients: u16, key: Option<&str>) -> anyhow::Result<Vec<Uuid>> {
        // By one account, so none by mail.
        let numbers = (0..).filter(|n| !Load::is_mail(*n)).take(usize::try_from(queue)?);
        let send = |n: u64| self.send(n, self.load.body(n), key);
        stream::iter(numbers.map(send)).buffer_unordered(clients.into()).try_collect().await
    }

    /// One message a second, of which the first is number `first`.
    async fn probe(
        &self,
        first: u64,
        seconds: u64,
        priority: &str,
        key: Option<&str>,
    ) -> anyhow::Result<Vec<Probe>> {
        let mut ticks = tokio::time::interval(PROBE_EVERY);
        let mut probes = Vec::new();
        for n in first..first + seconds {
            ticks.tick().await;
            let asked_at = SystemEnvironment.now();
            let id = self.send(n, self.load.probe(n, priority), key).await?;
            probes.push(Probe { id, asked_at });
        }
        Ok(probes)
    }

    /// Sends a message until it is accepted.
    async fn send(&self, n: u64, body: String, key: Option<&str>) -> anyhow::Result<Uuid> {
        #[derive(Deserialize)]
        struct Accepted {
            id: Uuid,
        }
        let began = Instant::now();
        loop {
            let mut request = self
                .http
                .post(&self.messages)
                .header("content-type", "application/json")
                .header("idempotency-key", self.load.key(n))
                .body(body.clone());
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            let answer = request.send().await?;
            match answer.status() {
                StatusCode::ACCEPTED => return Ok(answer.json::<Accepted>().await?.id),
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
                    if began.elapsed() < AGAIN_MAX =>
                {
                    tokio::time::sleep(AGAIN).await;
                }
                other => {
                    let said = answer.text().await.unwrap_or_default();
                    bail!("a message was answered {}: {said}", other.as_u16());
                }
            }
        }
    }
}

/// When the provider took each message.
async fn taken(simulator: &str) -> anyhow::Result<HashMap<Uuid, DateTime<Utc>>> {
    #[derive(Deserialize)]
    struct Line {
        hatch_message_id: Option<Uuid>,
        accepted_at: DateTime<Utc>,
    }
    let mut taken = HashMap::new();
    each_line(simulator, |line| {
        let line: Line = serde_json::from_slice(line)?;
        if let Some(id) = line.hatch_message_id {
            taken.entry(id).or_insert(line.accepted_at);
        }
        Ok(())
    })
    .await?;
    Ok(taken)
}

/// The same, once it took all of these, or they are waited for no longer.
async fn wait_for(
    simulator: &str,
    probes: &[Probe],
) -> anyhow::Result<HashMap<Uuid, DateTime<Utc>>> {
    let began = Instant::now();
    loop {
        let taken = taken(simulator).await?;
        let are_there = probes.iter().all(|probe| taken.contains_key(&probe.id));
        if are_there || began.elapsed() > PATIENCE {
            return Ok(taken);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn waits(delays_ms: &[Option<i64>]) -> Waits {
        let asked_at = DateTime::UNIX_EPOCH;
        let ids = || (0..).map(Uuid::from_u128);
        let probes: Vec<Probe> =
            ids().take(delays_ms.len()).map(|id| Probe { id, asked_at }).collect();
        let taken = ids()
            .zip(delays_ms)
            .filter_map(|(id, delay)| Some((id, asked_at + TimeDelta::milliseconds((*delay)?))));
        Waits::of(&probes, &taken.collect())
    }

    #[test]
    fn one_message_that_waits_too_long_or_is_never_sent_is_unfair() {
        let short = || waits(&[Some(10), Some(1_900)]);
        let of = |other_tenant: Waits, high: Waits| Fairness {
            queue: 9,
            queue_left: 1,
            other_tenant,
            high,
        };
        assert!(of(short(), short()).is_fair());
        assert!(!of(waits(&[Some(10), Some(2_100)]), short()).is_fair());
        assert!(!of(short(), waits(&[Some(10), None])).is_fair());
        assert!(!of(short(), waits(&[])).is_fair(), "nothing was measured");
    }

    #[test]
    fn the_table_has_a_line_for_each_kind() {
        let (other_tenant, high) = (waits(&[Some(10), Some(20)]), waits(&[None]));
        let table = Fairness { queue: 9, queue_left: 1, other_tenant, high }.table();
        let lines: Vec<Vec<&str>> =
            table.lines().skip(4).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][..4], ["other", "tenant", "2", "0"]);
        assert_eq!(lines[1], ["high", "1", "1", "-", "-", "-"]);
    }
}
