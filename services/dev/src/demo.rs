//! `hatch demo`: the main path, shown on a running hatch.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use hatch_process::terminal::{counted, field, line};
use serde_json::{Value, json};

/// Our number and the customer's.
const SENDER: &str = "+12016661234";
const CUSTOMER: &str = "+18045551234";
/// Our mailbox and the customer's.
const MAIL_SENDER: &str = "user@usehatchapp.com";
const MAIL_CUSTOMER: &str = "customer@example.com";

/// How long a message may take to be delivered.
const DELIVERY_MAX: Duration = Duration::from_secs(20);
/// Between two looks at a message.
const POLL: Duration = Duration::from_millis(5);
/// How long one request of the demo may take.
pub const REQUEST_MAX: Duration = Duration::from_secs(10);

/// A hatch and its simulator.
#[derive(Debug)]
pub struct Demo {
    /// What asks them.
    pub http: reqwest::Client,
    /// Where hatch serves.
    pub url: String,
    /// Where its simulator serves.
    pub simulator: String,
    /// The provider by which a reply comes.
    pub provider: &'static str,
}

/// Sends an SMS, an MMS and a mail, waits for their receipts, receives a reply, and prints what
/// happened.
///
/// # Errors
/// When hatch or its simulator does not answer, or something does not happen in time.
pub async fn run(demo: Demo) -> anyhow::Result<()> {
    line("An SMS, an MMS and a mail go out, their receipts and a reply come back.\n")?;

    let mut sent = Vec::new();
    for (name, request) in messages() {
        let (message, took) = demo.send_and_await(&request).await?;
        let (id, status) = (text(&message, "id"), text(&message, "status"));
        line(format!("{name:<6} {id}  {status} after {}", milliseconds(took)))?;
        sent.push((name, message));
    }

    let (reply, took) = demo.receive("Thanks! When will it arrive?").await?;
    let (reply_id, status) = (text(&reply, "id"), text(&reply, "status"));
    line(format!("reply  {reply_id}  {status} after {}\n", milliseconds(took)))?;

    demo.print_conversation(text(&reply, "conversation_id")).await?;
    for (name, message) in &sent {
        demo.print_timeline(name, text(message, "id")).await?;
    }
    demo.print_timeline("reply", reply_id).await?;
    Ok(())
}

/// What goes out, by name.
fn messages() -> [(&'static str, Value); 3] {
    [
        (
            "SMS",
            json!({
                "channel": "sms", "from": SENDER, "to": CUSTOMER,
                "body": "Your order 42 is on its way.",
            }),
        ),
        (
            "MMS",
            json!({
                "channel": "mms", "from": SENDER, "to": CUSTOMER, "body": "This is how it looks.",
                "attachments": [{"url": "https://example.com/order-42.jpg"}],
            }),
        ),
        (
            "mail",
            json!({
                "channel": "email", "from": MAIL_SENDER, "to": MAIL_CUSTOMER,
                "subject": "Your order 42", "body": "It is on its way.",
                "html": "<p>It is <b>on its way</b>.</p>",
            }),
        ),
    ]
}

impl Demo {
    async fn send_and_await(&self, request: &Value) -> anyhow::Result<(Value, Duration)> {
        let started = Instant::now();
        let accepted = self.post(&format!("{}/api/v1/messages", self.url), request).await?;
        let id = text(&accepted, "id").to_owned();
        let path = format!("messages/{id}?after={}&wait=10", accepted["position"]);
        loop {
            let message = self.get(&path).await?;
            match text(&message, "status") {
                "delivered" => return Ok((message, started.elapsed())),
                status @ ("failed" | "undelivered" | "partly_delivered" | "in_doubt") => {
                    bail!("message {id} is {status}: {}", message["error"])
                }
                status if started.elapsed() > DELIVERY_MAX => {
                    bail!("message {id} is still {status} after {DELIVERY_MAX:?}")
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Has the simulator deliver a reply, and waits until it can be read.
    async fn receive(&self, body: &str) -> anyhow::Result<(Value, Duration)> {
        let started = Instant::now();
        let provider_message_id = format!("SM{}", SystemEnvironment.new_id().simple());
        let inbound = json!({
            "provider": self.provider, "from": CUSTOMER, "to": SENDER, "body": body,
            "provider_message_id": provider_message_id,
        });
        let answer = self.post(&format!("{}/_sim/inbound", self.simulator), &inbound).await?;
        ensure!(
            answer["status"].as_u64().is_some_and(|status| status / 100 == 2),
            "hatch refused the reply's webhook: {answer}"
        );
        loop {
            let received =
                self.get("messages?direction=inbound&participant=%2B18045551234&limit=20").await?;
            let mut messages = received["data"].as_array().into_iter().flatten();
            if let Some(reply) = messages.find(|m| m["provider_message_id"] == *provider_message_id)
            {
                return Ok((reply.clone(), started.elapsed()));
            }
            ensure!(started.elapsed() < DELIVERY_MAX, "the reply cannot be read after all");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn print_conversation(&self, id: &str) -> anyhow::Result<()> {
        let conversation = self.get(&format!("conversations/{id}")).await?;
        let messages = self.get(&format!("conversations/{id}/messages?limit=10")).await?;
        let participants: Vec<&str> = conversation["participants"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        line(format!("Conversation {id}: {}", field(&participants.join(" and "))))?;
        let count = |field: &str| conversation[field].as_i64().unwrap_or_default();
        line(format!("  {}; the newest:", counted(count("message_count"), "message"),))?;
        for message in messages["data"].as_array().into_iter().flatten().rev() {
            let arrow = if message["direction"] == "outbound" { "->" } else { "<-" };
            line(format!(
                "  {}  {arrow} {CUSTOMER}  {:<12} {}",
                at(message, "created_at")?.format("%H:%M:%S%.3f"),
                text(message, "status"),
                field(text(message, "visible_body")),
            ))?;
        }
        line("").map_err(Into::into)
    }

    async fn print_timeline(&self, what: &str, id: &str) -> anyhow::Result<()> {
        line(format!("Timeline of the {what} {id}"))?;
        line("  position  event               after")?;
        let events = self.get(&format!("messages/{id}/events")).await?;
        let events = events["data"].as_array().context("a list of events")?;
        let Some(first) = events.first() else { bail!("message {id} has no event") };
        let begin = at(first, "time")?;
        for event in events {
            let after = at(event, "time")? - begin;
            line(format!(
                "  {:>8}  {:<18}  {:>6.1} ms",
                event["position"].to_string(),
                type_name(text(event, "type")),
                after.as_seconds_f64() * 1_000.0,
            ))?;
        }
        line("").map_err(Into::into)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1/{path}", self.url);
        checked(self.http.get(&url).send().await, &url).await
    }

    async fn post(&self, url: &str, body: &Value) -> anyhow::Result<Value> {
        checked(self.http.post(url).json(body).send().await, url).await
    }
}

/// The name of the event in the type of a CloudEvent, `hatch.<name>.v<version>`.
fn type_name(of: &str) -> &str {
    of.split('.').nth(1).unwrap_or(of)
}

/// The answer's body, or what is wrong in one sentence.
async fn checked(
    answer: Result<reqwest::Response, reqwest::Error>,
    url: &str,
) -> anyhow::Result<Value> {
    let answer =
        answer.with_context(|| format!("nothing answers at {url}: is `./dev up` running?"))?;
    let status = answer.status();
    let body = answer.text().await.context("failed to read the answer")?;
    ensure!(status.is_success(), "{url} answered {status}: {body}");
    serde_json::from_str(&body).with_context(|| format!("{url} answered no JSON: {body}"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn at(value: &Value, field: &str) -> anyhow::Result<DateTime<Utc>> {
    let time = text(value, field);
    time.parse().with_context(|| format!("{field}: expected a time, got {time:?}"))
}

fn milliseconds(took: Duration) -> String {
    format!("{:.0} ms", took.as_secs_f64() * 1_000.0)
}
