//! `GET /metrics`, as OpenMetrics text: what the crates count, read when it is asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use hatch_api::RequestStats;
use hatch_api::admission::Admission;
use hatch_api::webhooks::{Keeping, WebhookStats};
use hatch_bus::Bus;
use hatch_domain::Environment;
use hatch_eventstore::{
    Appender, Connection, Connections, Fence, FenceState, Log, LogError, ServerClock,
};
use hatch_readmodel::ReadModel;
use hatch_telemetry::limit::Limits;
use hatch_telemetry::measure::{Counter, Family, Histogram};

use super::exposition::{Metric, Samples, Values, encode};
use super::kept;
use crate::files;

/// How long PostgreSQL may take to tell how far relay and projections are; without its answer they
/// are left out.
const LAG_MAX: Duration = Duration::from_secs(1);

/// Where the numbers of a process come from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) requests: Arc<RequestStats>,
    pub(crate) webhooks: Arc<WebhookStats>,
    pub(crate) limits: Limits,
    /// Where this process takes webhooks.
    pub(crate) keeping: Option<Arc<Keeping>>,
    /// Where this process takes messages.
    pub(crate) admission: Option<Admission>,
    pub(crate) dispatcher: Arc<hatch_dispatcher::Stats>,
    /// Whether this process runs the dispatcher.
    pub(crate) dispatches: bool,
    pub(crate) appender: Appender,
    pub(crate) pool: Connections,
    pub(crate) log: Log,
    pub(crate) fence: Fence,
    pub(crate) clock: ServerClock,
    pub(crate) bus: Bus,
    /// Where this process runs the relay.
    pub(crate) relay: Option<hatch_relay::StatusHandle>,
    /// Where this process runs the projector.
    pub(crate) projections: Option<ReadModel>,
}

/// The endpoint.
pub(crate) fn router(sources: Sources) -> Router {
    Router::new().route("/metrics", get(answer)).with_state(sources)
}

async fn answer(State(sources): State<Sources>) -> Response {
    let text = encode(sources.metrics().await);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], text).into_response()
}

impl Sources {
    async fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![Metric {
            name: "process_start_time_seconds",
            help: "When this process started, as Unix time",
            values: Values::gauge(seconds(self.started_at)),
        }];
        metrics.extend(self.requests());
        metrics.extend(self.limits());
        metrics.extend(self.admission());
        metrics.extend(self.appends());
        metrics.extend(self.fence());
        metrics.push(self.offset());
        metrics.push(self.foreign());
        metrics.push(self.partitions().await);
        metrics.extend(self.relay().await);
        metrics.extend(self.projections().await);
        metrics.extend(self.timers().await);
        metrics.extend(self.providers());
        metrics.extend(self.webhooks());
        metrics.extend(kept::refused(&self.webhooks));
        metrics.extend(kept::kept(self.keeping.as_deref()));
        metrics.extend(self.pool());
        metrics
    }

    fn requests(&self) -> [Metric; 2] {
        let (mut answers, mut durations) = (Samples::new(), Samples::new());
        for (route, stats) in self.requests.routes.all() {
            for ((method, status), counter) in stats.answers.all() {
                let labels = vec![
                    ("route", route.clone()),
                    ("method", method.to_owned()),
                    ("status", status.to_string()),
                ];
                answers.push((labels, counter.get()));
            }
            for (method, histogram) in stats.seconds.all() {
                let labels = vec![("route", route.clone()), ("method", method.to_owned())];
                durations.push((labels, histogram.get()));
            }
        }
        [
            Metric {
                name: "hatch_http_requests",
                help: "Requests answered; route is the pattern, - where there is none",
                values: Values::Counter(answers),
            },
            Metric {
                name: "hatch_http_request_duration_seconds",
                help: "From a request to the beginning of its answer",
                values: Values::Histogram(durations),
            },
        ]
    }

    fn limits(&self) -> [Metric; 3] {
        files::observe(&files::limit(&self.limits));
        let (mut used, mut max, mut refused) = (Samples::new(), Samples::new(), Samples::new());
        for limit in self.limits.all() {
            let labels = vec![("limit", limit.name().to_owned())];
            let amount = |value| number(i64::try_from(value).unwrap_or(i64::MAX));
            used.push((labels.clone(), amount(limit.used())));
            max.push((labels.clone(), amount(limit.max())));
            refused.push((labels, limit.refused()));
        }
        [
            gauge("hatch_limit_used", "How much of a limit of this process is used", used),
            gauge("hatch_limit_max", "How much of it there is", max),
            Metric {
                name: "hatch_limit_refused",
                help: "How often it was reached, and something refused",
                values: Values::Counter(refused),
            },
        ]
    }

    fn admission(&self) -> [Metric; 5] {
        let stats = self.admission.as_ref().and_then(Admission::stats);
        let admitted = stats.map(|stats| (vec![], stats.admitted.get())).into_iter().collect();
        let mut samples = [const { Samples::new() }; 3];
        for window in self.admission.iter().flat_map(Admission::windows) {
            let messages = |count| number(i64::try_from(count).unwrap_or(i64::MAX));
            let values = [
                messages(window.waiting),
                window.waiting_max.map_or(f64::INFINITY, messages),
                window.wait.as_secs_f64(),
            ];
            for (samples, value) in samples.iter_mut().zip(values) {
                samples.push((vec![("window", window.name.clone())], value));
            }
        }
        let [waiting, waiting_max, wait] = samples;
        [
            Metric {
                name: "hatch_admission_admitted",
                help: "Messages that admission let in",
                values: Values::Counter(admitted),
            },
            Metric {
                name: "hatch_admission_refused",
                help: "Messages that it refused: dispatch, projections, log or backlog says for what",
                values: stats.map_or_else(
                    || Values::Counter(Samples::new()),
                    |stats| labelled("reason", &stats.refused),
                ),
            },
            gauge(
                "hatch_admission_waiting_messages",
                "Messages of this process that wait for their turn, by what they wait for",
                waiting,
            ),
            gauge("hatch_admission_limit_messages", "How many of them may wait", waiting_max),
            gauge("hatch_admission_wait_seconds", "How long a new one would wait", wait),
        ]
    }

    fn appends(&self) -> [Metric; 5] {
        let stats = self.appender.stats();
        let single = |histogram: &Histogram| Values::Histogram(vec![(vec![], histogram.get())]);
        [
            Metric {
                name: "hatch_appends",
                help: "Appends answered: committed, duplicate, conflict, key_reused, \
                       foreign_tenant, foreign_kind, fenced, refused, overloaded or unavailable",
                values: labelled("outcome", &stats.appends),
            },
            Metric {
                name: "hatch_append_batch_events",
                help: "Events of a committed batch",
                values: single(&stats.batch_events),
            },
            Metric {
                name: "hatch_append_batch_commands",
                help: "Commands of a committed batch",
                values: single(&stats.batch_commands),
            },
            Metric {
                name: "hatch_append_batch_duration_seconds",
                help: "What a committed batch took",
                values: single(&stats.batch_seconds),
            },
            Metric {
                name: "hatch_append_queue_commands",
                help: "Commands that wait or are being committed",
                values: Values::gauge(count(self.appender.queue_commands())),
            },
        ]
    }

    /// A process that does not know has no values.
    fn fence(&self) -> [Metric; 2] {
        let (epoch, reason) = match self.fence.state() {
            FenceState::Unknown => (vec![], vec![]),
            FenceState::Open { epoch, .. } => (vec![epoch], vec![("-", 0)]),
            FenceState::Closed(closed) => (vec![closed.epoch()], vec![(closed.code(), 1)]),
        };
        let closed = reason
            .into_iter()
            .map(|(reason, closed)| (vec![("reason", reason.to_owned())], f64::from(closed)));
        let epoch = epoch.into_iter().map(|epoch| (vec![], f64::from(epoch)));
        [
            Metric {
                name: "hatch_log_epoch",
                help: "The log's epoch",
                values: Values::Gauge(epoch.collect()),
            },
            Metric {
                name: "hatch_fence_closed",
                help: "Whether nothing is sent until hatch fence lift, by reason: FENCED or \
                       LOG_REGRESSED, and - while it is open",
                values: Values::Gauge(closed.collect()),
            },
        ]
    }

    fn offset(&self) -> Metric {
        let offset = self.clock.offset().map(|offset| (vec![], offset.as_seconds_f64()));
        Metric {
            name: "hatch_clock_offset_seconds",
            help: "By how much this machine's clock is ahead of PostgreSQL's, which hatch goes by",
            values: Values::Gauge(offset.into_iter().collect()),
        }
    }

    fn foreign(&self) -> Metric {
        let counts = self.bus.foreign_counts().into_iter();
        let counts = counts.map(|(why, count)| (vec![("reason", why.as_str().to_owned())], count));
        Metric {
            name: "hatch_bus_foreign_messages",
            help: "Messages of the event stream that hatch did not write, by reason: no_mac, \
                   wrong_mac, out_of_place, other_work, missing or changed",
            values: Values::Counter(counts.collect()),
        }
    }

    async fn partitions(&self) -> Metric {
        let asked = tokio::time::timeout(LAG_MAX, self.log.partitions_ahead()).await;
        let ahead = asked.ok().and_then(Result::ok).map(|ahead| (vec![], number(ahead)));
        Metric {
            name: "hatch_log_partitions_ahead",
            help: "Empty partitions of the log that wait for the positions to come",
            values: Values::Gauge(ahead.into_iter().collect()),
        }
    }

    async fn relay(&self) -> [Metric; 5] {
        let (mut leader, mut halted) = (Samples::new(), Samples::new());
        let (mut published, mut events, mut waited) =
            (Samples::new(), Samples::new(), Samples::new());
        if let Some(relay) = &self.relay {
            let status = relay.get();
            leader.push((vec![], flag(status.leader)));
            halted.push((vec![], flag(status.halted.is_some())));
            // Only the leader knows: what another one published, this process has not seen.
            if let Some(position) = status.published.filter(|_| status.leader) {
                published.push((vec![], number(position.0)));
                let lag = tokio::time::timeout(LAG_MAX, self.lag(position)).await;
                if let Ok(Ok((lag_events, lag_seconds))) = lag {
                    events.push((vec![], number(lag_events)));
                    waited.push((vec![], lag_seconds));
                }
            }
        }
        [
            gauge("hatch_relay_leader", "Whether this relay publishes, 1 or 0", leader),
            gauge(
                "hatch_relay_halted",
                "Whether the leader publishes nothing: the fence is closed or the log damaged",
                halted,
            ),
            gauge("hatch_relay_published_position", "The last position on the bus", published),
            gauge("hatch_relay_lag_events", "Events of the log that are not on the bus", events),
            gauge("hatch_relay_lag_seconds", "How long the oldest of them has waited", waited),
        ]
    }

    /// How many events come after `position`, and for how many seconds the first has been there.
    async fn lag(&self, position: hatch_eventstore::Position) -> Result<(i64, f64), LogError> {
        let head = self.log.head().await?;
        let oldest = self.log.read_at(position.next()).await?;
        let now = self.clock.now();
        let waited = oldest.map_or(0.0, |event| (now - event.recorded_at).as_seconds_f64());
        Ok(((head.0 - position.0).max(0), waited.max(0.0)))
    }

    async fn projections(&self) -> [Metric; 4] {
        let mut samples = [const { Samples::new() }; 4];
        if let Some(read_model) = &self.projections
            && let Ok(Ok(statuses)) = tokio::time::timeout(LAG_MAX, read_model.projections()).await
        {
            for status in statuses {
                let values = [
                    number(status.position.0),
                    number(status.lag_events),
                    status.lag_seconds,
                    flag(status.halt.is_some()),
                ];
                for (samples, value) in samples.iter_mut().zip(values) {
                    let labels = vec![
                        ("projection", status.name.to_owned()),
                        ("version", status.version.to_string()),
                    ];
                    samples.push((labels, value));
                }
            }
        }
        let [position, events, waited, halted] = samples;
        [
            gauge("hatch_projection_position", "The projection's checkpoint", position),
            gauge("hatch_projection_lag_events", "Events that it has yet to apply", events),
            gauge("hatch_projection_lag_seconds", "How long the oldest of them has waited", waited),
            gauge(
                "hatch_projection_halted",
                "Whether it met an event that it cannot apply",
                halted,
            ),
        ]
    }

    async fn timers(&self) -> [Metric; 2] {
        let (mut halted, mut undecodable) = (Samples::new(), Samples::new());
        if self.dispatches {
            halted.push((vec![], flag(self.dispatcher.timers.why().is_some())));
            let count = async |client: &mut Connection| {
                anyhow::Ok(hatch_dispatcher::undecodable(client).await?)
            };
            if let Ok(count) = self.pool.within(LAG_MAX, count).await {
                undecodable.push((vec![], number(count)));
            }
        }
        [
            gauge(
                "hatch_timers_halted",
                "Whether damage of the log keeps this dispatcher from folding the timers",
                halted,
            ),
            gauge(
                "hatch_timers_undecodable",
                "Due messages with an event that no dispatcher which looked could read",
                undecodable,
            ),
        ]
    }

    fn providers(&self) -> [Metric; 5] {
        let calls = self.dispatcher.call_seconds.all().into_iter();
        let calls = calls.map(|(provider, histogram)| {
            (vec![("provider", provider.to_owned())], histogram.get())
        });
        [
            Metric {
                name: "hatch_dispatch_attempts",
                help: "Attempts by outcome: accepted, refused, throttled, unavailable, unknown, \
                       shortage (of our own), or abandoned before the call",
                values: by_provider(&self.dispatcher.attempts),
            },
            Metric {
                name: "hatch_dispatch_shortages",
                help: "Calls that were not made because this process lacked files, memory, ports or \
                       threads",
                values: labelled("lack", &self.dispatcher.shortage.unmade),
            },
            Metric {
                name: "hatch_dispatch_undecodable",
                help: "Requests of the bus that this build cannot read; it leaves them to the log",
                values: Values::Counter(vec![(vec![], self.dispatcher.undecodable.get())]),
            },
            Metric {
                name: "hatch_dispatch_under_way",
                help: "Attempts that are being claimed, made or recorded",
                values: Values::gauge(number(self.dispatcher.under_way.get())),
            },
            Metric {
                name: "hatch_provider_call_duration_seconds",
                help: "What a provider took to answer, or not to",
                values: Values::Histogram(calls.collect()),
            },
        ]
    }

    fn webhooks(&self) -> [Metric; 5] {
        let reading = &self.webhooks.reading;
        let single = |counter: &Counter| Values::Counter(vec![(vec![], counter.get())]);
        let cut = self.webhooks.cut.all().into_iter();
        let cut = cut.map(|(of, counter)| (vec![("of", of)], counter.get()));
        [
            Metric {
                name: "hatch_webhook_observations",
                help: "What webhooks said: applied, duplicate, ignored, rejected_signature or \
                       quarantined",
                values: by_provider(&self.webhooks.observations),
            },
            Metric {
                name: "hatch_webhook_cut",
                help: "Mails of which something beyond a limit was left out, by what it is",
                values: Values::Counter(cut.collect()),
            },
            Metric {
                name: "hatch_webhook_reading",
                help: "Large webhooks that are being read or wait for it",
                values: Values::gauge(number(reading.under_way.get())),
            },
            Metric {
                name: "hatch_webhook_sent_away",
                help: "Large webhooks that were answered 503, because too many waited to be read",
                values: single(&reading.sent_away),
            },
            Metric {
                name: "hatch_webhook_reader_panics",
                help: "Webhooks that a reader failed over; they are in the quarantine",
                values: single(&reading.panics),
            },
        ]
    }

    fn pool(&self) -> [Metric; 4] {
        let counts = self.pool.counts();
        let gauge = |name, help, value| Metric { name, help, values: Values::gauge(count(value)) };
        [
            gauge("hatch_pool_connections_max", "Connections that the pool may open", counts.max),
            gauge("hatch_pool_connections", "Connections that are open", counts.open),
            gauge("hatch_pool_connections_available", "Of those, not in use", counts.idle),
            gauge("hatch_pool_waiting", "Reads that wait for a connection", counts.waiting),
        ]
    }
}

/// A gauge with these samples.
pub(super) const fn gauge(name: &'static str, help: &'static str, values: Samples<f64>) -> Metric {
    Metric { name, help, values: Values::Gauge(values) }
}

pub(super) fn labelled(label: &'static str, family: &Family<&'static str, Counter>) -> Values {
    let all = family.all().into_iter();
    Values::Counter(all.map(|(key, c)| (vec![(label, key.to_owned())], c.get())).collect())
}

fn by_provider(family: &Family<(&'static str, &'static str), Counter>) -> Values {
    let all = family.all().into_iter().map(|((provider, outcome), counter)| {
        let labels = vec![("provider", provider.to_owned()), ("outcome", outcome.to_owned())];
        (labels, counter.get())
    });
    Values::Counter(all.collect())
}

pub(super) fn seconds(time: DateTime<Utc>) -> f64 {
    number(time.timestamp_millis()) / 1_000.0
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Exact to 2^53, which no position comes near.
#[expect(clippy::cast_precision_loss, reason = "positions stay far below 2^53")]
pub(super) fn number(value: i64) -> f64 {
    value as f64
}

fn count(value: usize) -> f64 {
    number(i64::try_from(value).unwrap_or(i64::MAX))
}
