//! What the event webhook says: a JSON array with events of several mails.

use hatch_domain::address::Address;
use hatch_domain::{ErrorClass, SendError};
use serde::Deserialize;
use serde_json::Value;
use uuid::{Uuid, uuid};

use super::wire::x_message_id;
use super::{array, codes};
use crate::Correlation;
use crate::adapter::bounded;
use crate::webhook::{
    NotUnderstood, Observation, Receipt, ReportedOutcome, Suppression, provider_id,
};

/// Namespace of receipt ids. It never changes: streams remember the ids.
const RECEIPTS: Uuid = uuid!("f2b1a7d4-0c53-4c1e-9a35-6f3d8e2b9c71");

/// Events of one request at most; a body within its limit has room for fewer of those that SendGrid sends.
const EVENTS_MAX: usize = 10_000;

/// Reads every event of the array, in its order.
///
/// An event of an unknown kind is progress, since SendGrid adds kinds; one that speaks of no mail,
/// such as a change of the account's status, is left out unless there is nothing else. One that cannot
/// be read takes nothing from the others, also where it breaks the array.
pub(super) fn parse(account: &str, body: &[u8]) -> Result<Vec<Observation>, NotUnderstood> {
    let events = array::events(body, EVENTS_MAX)
        .ok_or(NotUnderstood::ContentType { expected: "a JSON array of events" })?;
    if events.len() > EVENTS_MAX {
        return Err(NotUnderstood::ContentType { expected: "at most 10,000 events" });
    }
    let mut observations = Vec::with_capacity(events.len());
    let mut left_out = None;
    for event in events {
        let Some(event) = event.and_then(|event| Event::deserialize(event).ok()) else {
            let error = NotUnderstood::ContentType { expected: "events of SendGrid's" };
            observations.push(Observation::Unclear(error));
            continue;
        };
        match event.receipt(account) {
            Ok(receipt) => observations.push(Observation::Receipt(receipt)),
            Err(error) if event.is_known() => observations.push(Observation::Unclear(error)),
            Err(error) => left_out = Some(error),
        }
    }
    if let [Observation::Unclear(error)] = observations.as_slice() {
        return Err(error.clone());
    }
    match left_out {
        Some(error) if observations.is_empty() => Err(error),
        Some(error) => {
            tracing::warn!(%error, "left an event of SendGrid's out");
            Ok(observations)
        }
        None => Ok(observations),
    }
}

/// One event. The custom arguments of the mail stand beside SendGrid's own keys, as texts.
#[derive(Deserialize)]
struct Event {
    event: String,
    /// The recipient that it is about.
    #[serde(default)]
    email: Option<String>,
    sg_event_id: Option<String>,
    sg_message_id: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    /// Why a mail came back, in a word of SendGrid's.
    #[serde(default)]
    bounce_classification: Option<String>,
    /// A program opened the mail, for its recipient's privacy.
    #[serde(default)]
    sg_machine_open: bool,
    #[serde(default)]
    message_id: Value,
    #[serde(default)]
    attempt: Value,
    #[serde(default)]
    tenant_id: Value,
}

impl Event {
    /// Whether it tells what became of a mail.
    fn is_known(&self) -> bool {
        let kinds = [
            "processed",
            "deferred",
            "delivered",
            "bounce",
            "dropped",
            "open",
            "spamreport",
            "unsubscribe",
            "group_unsubscribe",
        ];
        kinds.contains(&self.event.as_str())
    }

    fn receipt(&self, account: &str) -> Result<Receipt, NotUnderstood> {
        let present = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let message = present(&self.sg_message_id)
            .ok_or(NotUnderstood::Missing { field: "sg_message_id" })?;
        let event =
            present(&self.sg_event_id).ok_or(NotUnderstood::Missing { field: "sg_event_id" })?;
        Ok(Receipt {
            correlation: self.correlation(),
            account: account.to_owned(),
            provider_message_id: provider_id("sg_message_id", x_message_id(&message))?.to_owned(),
            receipt_id: Uuid::new_v5(&RECEIPTS, [account, &event].join("\n").as_bytes()),
            recipient: self.recipient(),
            outcome: self.outcome(),
            suppression: self.suppression(),
        })
    }

    fn correlation(&self) -> Option<Correlation> {
        Some(Correlation {
            tenant_id: self.tenant_id.as_str()?.parse().ok()?,
            message_id: self.message_id.as_str()?.parse().ok()?,
            attempt: self.attempt.as_str()?.parse().ok().filter(|attempt| *attempt > 0)?,
        })
    }

    /// What follows for the address, whatever becomes of this mail. One that came back is no wish of the person's:
    /// SendGrid drops what is sent to it next, which says so.
    fn suppression(&self) -> Option<Suppression> {
        let lifted = match self.event.as_str() {
            "unsubscribe" | "group_unsubscribe" | "spamreport" => false,
            "group_resubscribe" => true,
            "dropped" if self.drop_class() == ErrorClass::OptedOut => false,
            _ => return None,
        };
        let reason = self.reason.as_deref().map(str::trim).filter(|_| self.event == "dropped");
        Some(Suppression {
            address: self.recipient(),
            reason: bounded(reason.unwrap_or(&self.event)),
            lifted,
        })
    }

    fn recipient(&self) -> Option<Address> {
        self.email.as_deref().and_then(|email| Address::email(email).ok())
    }

    fn drop_class(&self) -> ErrorClass {
        codes::of_drop(self.reason.as_deref().unwrap_or_default())
    }

    /// What follows for the mail. `processed` says that SendGrid took it, which settles a send without
    /// an answer.
    fn outcome(&self) -> ReportedOutcome {
        match self.event.as_str() {
            "delivered" => ReportedOutcome::Delivered,
            "open" if !self.sg_machine_open => ReportedOutcome::Read,
            // A `blocked` mail was refused this once; another one may be taken.
            "bounce" => {
                ReportedOutcome::Bounced(self.error(self.kind.as_deref() != Some("blocked")))
            }
            "dropped" => ReportedOutcome::Failed(self.error(true)),
            "spamreport" => ReportedOutcome::Complained(self.event.clone()),
            "unsubscribe" | "group_unsubscribe" => {
                ReportedOutcome::Unsubscribed(self.event.clone())
            }
            _ => ReportedOutcome::Progress,
        }
    }

    /// The status of RFC 3463 where there is one, else the kind of event.
    fn error(&self, permanent: bool) -> SendError {
        let text = |value: &Option<String>| value.clone().filter(|text| !text.trim().is_empty());
        let kind = if self.event == "bounce" { self.kind.as_ref() } else { None };
        let otherwise = || kind.unwrap_or(&self.event).clone();
        let class = match self.event.as_str() {
            "bounce" => {
                codes::of_bounce(self.bounce_classification.as_deref(), self.status.as_deref())
            }
            _ => self.drop_class(),
        };
        SendError {
            class,
            code: text(&self.status).unwrap_or_else(otherwise),
            detail: bounded(&text(&self.reason).unwrap_or_else(|| {
                format!("SendGrid reported the mail as {}", kind.unwrap_or(&self.event))
            })),
            permanent,
        }
    }
}
