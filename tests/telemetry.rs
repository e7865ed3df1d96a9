//! One message is one trace, and `/metrics` is what its page says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use hatch::roles::Role;
use hatch::settings::Settings;
use hatch::telemetry::{self, Telemetry};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;

use crate::harness::{ACCOUNT, CUSTOMER, Hatch, SENDER};

/// What the client of these tests says that its request belongs to.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

#[tokio::test]
async fn one_sms_is_one_trace_from_the_request_to_the_receipt() {
    let collector = Collector::start().await;
    let telemetry = collector.export();
    let hatch = Hatch::start().await;
    let id = send(&hatch, Some(&format!("00-{TRACE}-{CLIENT_SPAN}-01"))).await;
    hatch.message_with_status(&id, "delivered").await;
    let contexts = traceparents(&hatch, &id).await;
    hatch.finish().await;
    telemetry.finish().await;

    let tree = Tree::of(collector.trace(TRACE));
    println!("{}", tree.print());
    let request = tree.only("request", CLIENT_SPAN);
    tree.only("append", &request);
    tree.only("publish", &request);
    let dispatch = tree.only("dispatch", &request);
    let call = tree.only("provider call", &dispatch);
    assert_eq!(tree.attribute(&call, "outcome"), "accepted");
    assert_eq!(tree.children("append", &dispatch).len(), 2, "the claim and its outcome");
    assert_eq!(tree.children("publish", &dispatch).len(), 2, "the same two events");
    // One a status of the provider; each follows the last event that there was.
    let receipts = tree.named("receipt");
    let delivered = receipts.iter().find(|id| !tree.children("publish", id).is_empty());
    let delivered = delivered.expect("a receipt whose event was published");
    tree.only("append", delivered);
    assert!(tree.ancestors(delivered).contains(&dispatch), "the receipt follows the attempt");
    assert_eq!(tree.spans[delivered].links.len(), 1, "the request that brought it");
    assert!(contexts.len() >= 4, "{contexts:?}");
    assert!(contexts.iter().all(|context| context.contains(TRACE)), "{contexts:?}");
}

#[tokio::test]
async fn the_trace_of_a_request_is_exported_unless_its_client_says_not_to() {
    let collector = Collector::start().await;
    let telemetry = collector.export();
    let hatch = Hatch::start().await;
    let hidden = send(&hatch, Some(&format!("00-{TRACE}-{CLIENT_SPAN}-00"))).await;
    let own = send(&hatch, None).await;
    hatch.message_with_status(&hidden, "delivered").await;
    hatch.message_with_status(&own, "delivered").await;
    let hidden = traceparents(&hatch, &hidden).await;
    let own = traceparents(&hatch, &own).await;
    hatch.finish().await;
    telemetry.finish().await;

    assert_eq!(collector.trace(TRACE), [], "not sampled");
    assert!(hidden.iter().all(|context| context.contains(TRACE) && context.ends_with("-00")));
    let trace = own[0].get(3..35).expect("a trace id");
    let names: BTreeSet<_> = collector.trace(trace).into_iter().map(|span| span.name).collect();
    let all = ["append", "dispatch", "provider call", "publish", "receipt", "request"];
    assert!(names.iter().eq(all), "{names:?}");
}

#[tokio::test]
async fn without_a_collector_a_clients_trace_is_carried_to_every_event() {
    let hatch = Hatch::start().await;
    let traceparent = format!("00-{TRACE}-{CLIENT_SPAN}-01");
    let traced = send(&hatch, Some(&traceparent)).await;
    let untraced = send(&hatch, Some("nonsense")).await;
    hatch.message_with_status(&traced, "delivered").await;
    hatch.message_with_status(&untraced, "delivered").await;
    let contexts = traceparents(&hatch, &traced).await;
    assert!(contexts.len() >= 4 && contexts.iter().all(|c| *c == traceparent), "{contexts:?}");
    assert_eq!(traceparents(&hatch, &untraced).await, [""; 0]);
    hatch.finish().await;
}

/// What has no value until something goes wrong that does not here, or accounts share messages.
const SELDOM: [&str; 12] = [
    "hatch_account_share",
    "hatch_bus_foreign_messages_total",
    "hatch_dispatch_failovers_total",
    "hatch_dispatch_shortages_total",
    "hatch_messages_in_line",
    "hatch_rate_deferred_total",
    "hatch_rate_leases_total",
    "hatch_rate_limit_refused_total",
    "hatch_webhook_cut_total",
    "hatch_webhook_refused_kept_total",
    "hatch_webhook_refused_total",
    "hatch_webhook_unanswered_total",
];

#[tokio::test]
async fn the_metrics_are_those_of_their_page() {
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        // The limits have metrics, too, and none is to be reached.
        settings.rate_limit.enabled = Some(true);
        settings.rate_limit.requests = 1_000_000;
    })
    .await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    let documented = documented();
    let exposed = hatch
        .eventually("every metric has a value", async |hatch| {
            let answer = hatch.get("/metrics").await;
            assert_eq!(answer.status, StatusCode::OK);
            let exposed = exposed(answer.body.as_str().expect("text"));
            let is_there = |(name, metric): (&String, &Metric)| {
                metric.samples > 0 || SELDOM.contains(&name.as_str())
            };
            exposed.iter().all(is_there).then_some(exposed)
        })
        .await;
    for (name, metric) in &exposed {
        let page = documented.get(name).unwrap_or_else(|| panic!("{name} is not on the page"));
        assert_eq!((&page.kind, &page.meaning), (&metric.kind, &metric.meaning), "{name}");
        assert!(metric.samples == 0 || page.labels == metric.labels, "{name}");
    }
    let missing: Vec<_> = documented.keys().filter(|name| !exposed.contains_key(*name)).collect();
    assert!(missing.is_empty(), "on the page only: {missing:?}");
    hatch.finish().await;
}

/// What `/metrics` of a process is at most, in bytes.
const METRICS_BYTES_MAX: usize = 100_000;

/// Methods that clients may think of.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

#[tokio::test]
async fn the_metrics_stay_small_whatever_clients_ask_for_and_count_what_became_of_messages() {
    let hatch = Hatch::start().await;
    let document = hatch.get("/api/v1/openapi.json").await.body;
    let paths: Vec<_> = document["paths"].as_object().expect("paths").keys().cloned().collect();
    let mut delivered = Vec::new();
    for (to, status) in
        [(CUSTOMER, "delivered"), ("+18045550400", "failed"), ("+18045550666", "undelivered")]
    {
        let id = hatch.send_sms(to, "Hello").await;
        hatch.message_with_status(&id, status).await;
        delivered.push(id);
    }
    // Those that do not end are opened and left.
    let endless = ["/api/v1/events", "/api/events"];
    for path in paths.iter().filter(|path| !endless.contains(&path.as_str())) {
        for id in [delivered[0].as_str(), "nonsense"] {
            let path = path.split('/').map(|part| if part.starts_with('{') { id } else { part });
            let path = path.collect::<Vec<_>>().join("/");
            for method in METHODS {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                for body in [None, Some("{}".to_owned())] {
                    hatch.request(method.clone(), &path, &[], body).await;
                }
            }
        }
    }
    let metrics = hatch.get("/metrics").await;
    let text = metrics.body.as_str().expect("text");
    println!("/metrics: {} bytes, {} lines", text.len(), text.lines().count());
    assert!(text.len() < METRICS_BYTES_MAX, "{} bytes", text.len());
    for (outcome, class, count) in [
        ("sent", "-", 2),
        ("delivered", "-", 1),
        ("failed", "invalid_recipient", 1),
        ("undelivered", "invalid_recipient", 1),
    ] {
        let sample = format!(
            "hatch_message_outcomes_total{{outcome=\"{outcome}\",channel=\"sms\",account=\"{ACCOUNT}\",\
             class=\"{class}\"}} {count}"
        );
        assert!(text.lines().any(|line| line == sample), "{sample} in\n{text}");
    }
    hatch.finish().await;
}

/// Two of them compile, and the spans of one are lost in silence.
#[test]
fn there_is_one_opentelemetry() {
    let lock = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));
    let lock = std::fs::read_to_string(lock).expect("the lock file");
    for name in ["opentelemetry", "opentelemetry_sdk", "tracing-opentelemetry"] {
        let line = format!("name = \"{name}\"");
        assert_eq!(lock.lines().filter(|found| *found == line).count(), 1, "{name}");
    }
}

async fn send(hatch: &Hatch, traceparent: Option<&str>) -> String {
    let body = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let headers: Vec<_> = traceparent.map(|text| ("traceparent", text)).into_iter().collect();
    let body = Some(body.to_string());
    let answer = hatch.request(Method::POST, "/api/v1/messages", &headers, body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.text("id").to_owned()
}

/// The contexts of a message's events in the log, oldest first.
async fn traceparents(hatch: &Hatch, id: &str) -> Vec<String> {
    let sql = format!(
        "SELECT metadata->>'traceparent' FROM es.events \
         WHERE stream_id = '{id}' AND metadata->>'traceparent' IS NOT NULL ORDER BY version"
    );
    hatch.rows(&sql).await.iter().map(|row| row.get(0)).collect()
}

/// An OpenTelemetry collector that keeps what it gets.
struct Collector {
    endpoint: String,
    spans: Spans,
}

type Spans = Arc<Mutex<Vec<Span>>>;

impl Collector {
    async fn start() -> Self {
        let spans = Spans::default();
        let app = Router::new().route("/v1/traces", post(keep)).with_state(Arc::clone(&spans));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { endpoint, spans }
    }

    /// Exports what this process traces from now on.
    fn export(&self) -> Telemetry {
        let mut settings = Settings::default();
        settings.telemetry.otlp_endpoint = Some(self.endpoint.clone());
        telemetry::start(&settings, "warn").expect("telemetry")
    }

    fn trace(&self, id: &str) -> Vec<Span> {
        let spans = self.spans.lock().expect("no panic").clone();
        spans.into_iter().filter(|span| hex(&span.trace_id) == id).collect()
    }
}

async fn keep(State(spans): State<Spans>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    spans.lock().expect("no panic").extend(scopes.flat_map(|scope| scope.spans));
}

/// The spans of one trace, by their ids.
struct Tree {
    spans: BTreeMap<String, Span>,
}

impl Tree {
    fn of(spans: Vec<Span>) -> Self {
        Self { spans: spans.into_iter().map(|span| (hex(&span.span_id), span)).collect() }
    }

    fn named(&self, name: &str) -> Vec<String> {
        let named = self.spans.iter().filter(|(_, span)| span.name == name);
        named.map(|(id, _)| id.clone()).collect()
    }

    fn children(&self, name: &str, parent: &str) -> Vec<String> {
        let children = self.named(name).into_iter();
        children.filter(|id| hex(&self.spans[id].parent_span_id) == parent).collect()
    }

    fn only(&self, name: &str, parent: &str) -> String {
        let children = self.children(name, parent);
        assert_eq!(children.len(), 1, "{name} under {parent} in\n{}", self.print());
        children[0].clone()
    }

    fn ancestors(&self, id: &str) -> Vec<String> {
        let parent = |id: &String| self.spans.get(id).map(|span| hex(&span.parent_span_id));
        std::iter::successors(parent(&id.to_owned()), parent).collect()
    }

    fn attribute(&self, id: &str, key: &str) -> String {
        let attributes = &self.spans[id].attributes;
        let found = attributes.iter().find(|attribute| attribute.key == key);
        let value = found.and_then(|attribute| attribute.value.clone()?.value);
        value.as_ref().map_or_else(|| panic!("no {key}: {attributes:?}"), text)
    }

    fn print(&self) -> String {
        let mut out = String::new();
        let roots =
            self.spans.values().filter(|s| !self.spans.contains_key(&hex(&s.parent_span_id)));
        let mut left: Vec<_> = roots.map(|span| (0, span)).collect();
        while let Some((depth, span)) = left.pop() {
            let took = (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000;
            let attributes = span.attributes.iter().filter_map(|attribute| {
                let value = text(attribute.value.as_ref()?.value.as_ref()?);
                Some(format!("{}={value}", attribute.key))
            });
            let attributes = attributes.collect::<Vec<_>>().join(" ");
            let indent = 2 * depth;
            let name = &span.name;
            writeln!(out, "{:indent$}{name} {took} us  {attributes}", "").expect("a string");
            let id = hex(&span.span_id);
            let mut children: Vec<_> =
                self.spans.values().filter(|s| hex(&s.parent_span_id) == id).collect();
            children.sort_by_key(|span| std::cmp::Reverse(span.start_time_unix_nano));
            left.extend(children.into_iter().map(|child| (depth + 1, child)));
        }
        out
    }
}

fn text(value: &Attribute) -> String {
    match value {
        Attribute::StringValue(text) => text.clone(),
        Attribute::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string");
        out
    })
}

/// A metric as page and process have it.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
    meaning: String,
    samples: usize,
}

fn documented() -> BTreeMap<String, Metric> {
    let page = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/telemetry.md"));
    let page = std::fs::read_to_string(page).expect("the page");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).map(|row| {
        let cells: Vec<_> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        let name = cells[0].trim_end_matches('`').to_owned();
        (name, cells)
    });
    let metrics = rows.filter(|(_, cells)| ["counter", "gauge", "histogram"].contains(&cells[1]));
    let metrics = metrics.map(|(name, cells)| {
        let labels = cells[2].split(", ").filter(|label| !label.is_empty());
        let metric = Metric {
            kind: cells[1].to_owned(),
            labels: labels.map(str::to_owned).collect(),
            meaning: cells[4].to_owned(),
            samples: 0,
        };
        (name, metric)
    });
    metrics.collect()
}

/// Reads OpenMetrics text, as far as it is used.
fn exposed(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: Vec<(String, Metric)> = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, meaning] => {
                let meaning = (*meaning).to_owned();
                metrics.push(((*name).to_owned(), Metric { meaning, ..Metric::default() }));
            }
            ["#", "TYPE", _, kind] => {
                let (name, metric) = metrics.last_mut().expect("HELP comes first");
                metric.kind = (*kind).to_owned();
                if *kind == "counter" {
                    name.push_str("_total");
                }
            }
            ["#", ..] => {}
            [sample, ..] => {
                let (name, metric) = metrics.last_mut().expect("HELP comes first");
                assert!(sample.starts_with(name.as_str()), "{sample} under {name}");
                metric.samples += 1;
                let labels = sample.split_once('{').map_or("", |(_, labels)| labels);
                let labels = labels.split("\",").filter_map(|label| label.split_once("=\""));
                let labels = labels.map(|(label, _)| label.to_owned());
                metric.labels.extend(labels.filter(|label| label != "le"));
            }
            [] => {}
        }
    }
    metrics.into_iter().collect()
}
