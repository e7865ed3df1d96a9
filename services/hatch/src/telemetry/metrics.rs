//! `GET /metrics`, as OpenMetrics text: what the crates count, read when it is asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use hatch_api::{OneLook, TrailStats};
use hatch_domain::Ending;
use hatch_eventstore::FenceState;
use hatch_telemetry::measure::{Counter, Family, Histogram};

use super::exposition::{Metric, Samples, Values, encode};
use crate::files;
use crate::roles::{Instances, Process};

/// How long PostgreSQL may take to tell how far relay and projections are; without its answer they
/// are left out.
pub(crate) const LAG_MAX: Duration = Duration::from_secs(1);

/// The endpoint: what every process counts, and what its roles count.
pub(crate) fn router(process: Arc<Process>, instances: Instances) -> Router {
    let sources = Sources { process, instances, looked: Arc::default() };
    Router::new().route("/metrics", get(answer)).with_state(sources)
}

/// Where the numbers of a process come from.
#[derive(Clone)]
struct Sources {
    process: Arc<Process>,
    instances: Instances,
    /// Anybody may ask, and each look asks PostgreSQL.
    looked: Arc<OneLook<Bytes>>,
}

async fn answer(State(sources): State<Sources>) -> Response {
    let text = sources.looked.by(|| sources.look()).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], text).into_response()
}

impl Sources {
    async fn look(&self) -> Bytes {
        let mut metrics = self.process.metrics().await;
        for (_, instance) in self.instances.iter() {
            metrics.extend(instance.metrics(&self.process).await);
        }
        encode(metrics).into()
    }
}

impl Process {
    async fn metrics(&self) -> Vec<Metric> {
        let mut metrics = vec![Metric {
            name: "process_start_time_seconds",
            help: "When this process started, as Unix time",
            values: Values::gauge(seconds(self.started_at)),
        }];
        metrics.extend(self.requests());
        metrics.extend(self.limits());
        metrics.extend(self.rate_limits());
        metrics.extend(self.trail());
        metrics.extend(self.appends());
        metrics.push(self.outcomes());
        metrics.extend(self.fence());
        metrics.push(self.offset());
        metrics.push(self.foreign());
        metrics.push(self.partitions().await);
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
            durations.push((vec![("route", route)], stats.seconds.get()));
        }
        [
            Metric {
                name: "hatch_http_requests",
                help: "Requests answered; route is the pattern, - where there is none; method is - \
                       where the route does not have it",
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

    /// Where there are no rate limits, nothing is refused, and the others have no values.
    fn rate_limits(&self) -> [Metric; 3] {
        let limits = &self.rate_limits;
        let refused = limits.refused().into_iter();
        let refused = refused.map(|(route, refused)| (vec![("route", route)], refused)).collect();
        let clients = limits.clients();
        let alone = clients.map(|_| (vec![], flag(limits.is_alone()))).into_iter().collect();
        let clients = clients.map(|clients| (vec![], count(clients))).into_iter().collect();
        [
            Metric {
                name: "hatch_rate_limit_refused",
                help: "Requests of clients that asked too often, by route; wrong-credentials is those whose \
                       address presented too many",
                values: Values::Counter(refused),
            },
            gauge(
                "hatch_rate_limit_clients",
                "Pairs of client and route whose requests are remembered",
                clients,
            ),
            gauge(
                "hatch_rate_limit_alone",
                "Whether the counts of the other processes are not known, so that this one decides alone",
                alone,
            ),
        ]
    }

    fn trail(&self) -> [Metric; 2] {
        let stats = self.trail.stats();
        let counted = |family: fn(&TrailStats) -> &Family<&'static str, Counter>| {
            stats
                .map_or_else(|| Values::Counter(vec![]), |stats| labelled("outcome", family(stats)))
        };
        [
            Metric {
                name: "hatch_request_log_rows",
                help: "Requests for the request log: written, left_out where a client asks too often, or dropped \
                       because too many waited, PostgreSQL did not take them or it has `requests.bytes_max`",
                values: counted(|stats| &stats.requests),
            },
            Metric {
                name: "hatch_audit_refusals",
                help: "Refused requests: kept in the audit, left_out where a client had too many, or lost",
                values: counted(|stats| &stats.refusals),
            },
        ]
    }

    fn appends(&self) -> [Metric; 5] {
        let appender = self.store.appender();
        let stats = appender.stats();
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
                values: Values::gauge(count(appender.queue_commands())),
            },
        ]
    }

    /// Each process counts what it appended itself.
    fn outcomes(&self) -> Metric {
        let endings = self.store.endings().into_iter().map(|(ending, count)| {
            let Ending { outcome, channel, account, class } = ending;
            let labels = vec![
                ("outcome", outcome.to_owned()),
                ("channel", channel.to_owned()),
                ("account", account),
                ("class", class.to_owned()),
            ];
            (labels, count)
        });
        Metric {
            name: "hatch_message_outcomes",
            help: "Messages by what became of them: sent, delivered, partly_delivered, undelivered, \
                   failed, expired, in_doubt or canceled; class is that of the error",
            values: Values::Counter(endings.collect()),
        }
    }

    /// A process that does not know has no values.
    fn fence(&self) -> [Metric; 2] {
        let (epoch, reason) = match self.head.fence().state() {
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
        let offset = self.head.clock().offset().map(|offset| (vec![], offset.as_seconds_f64()));
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
pub(crate) const fn gauge(name: &'static str, help: &'static str, values: Samples<f64>) -> Metric {
    Metric { name, help, values: Values::Gauge(values) }
}

pub(crate) fn labelled<L: Ord + Clone + Into<String>>(
    label: &'static str,
    family: &Family<L, Counter>,
) -> Values {
    let all = family.all().into_iter();
    Values::Counter(all.map(|(key, c)| (vec![(label, key.into())], c.get())).collect())
}

pub(crate) fn by_provider(family: &Family<(&'static str, &'static str), Counter>) -> Values {
    let all = family.all().into_iter().map(|((provider, outcome), counter)| {
        let labels = vec![("provider", provider.to_owned()), ("outcome", outcome.to_owned())];
        (labels, counter.get())
    });
    Values::Counter(all.collect())
}

pub(super) fn seconds(time: DateTime<Utc>) -> f64 {
    number(time.timestamp_millis()) / 1_000.0
}

pub(crate) fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Exact to 2^53, which no position comes near.
#[expect(clippy::cast_precision_loss, reason = "positions stay far below 2^53")]
pub(crate) fn number(value: i64) -> f64 {
    value as f64
}

/// An amount, however it is counted.
pub(crate) fn amount(value: u64) -> f64 {
    number(i64::try_from(value).unwrap_or(i64::MAX))
}

fn count(value: usize) -> f64 {
    number(i64::try_from(value).unwrap_or(i64::MAX))
}
