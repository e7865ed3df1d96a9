//! What an event says that Mailgun posts
//! (<https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure>).

use hatch_domain::address::Address;
use hatch_domain::{ErrorClass, SendError};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::{Uuid, uuid};

use super::codes;
use super::signature::Signature;
use super::wire::EventBody;
use crate::Correlation;
use crate::adapter::bounded;
use crate::webhook::{
    NotUnderstood, Observation, Receipt, ReportedOutcome, Suppression, provider_id,
};

/// Namespace of receipt ids. It never changes: streams remember the ids.
const RECEIPTS: Uuid = uuid!("3f6f0c5e-92d8-4b1c-8a67-51e0d7c49b2a");

/// Events have ids that are unique among those of a day.
const DAY_S: f64 = 86_400.0;

/// What is posted, as far as it proves who posts it.
#[derive(Deserialize)]
struct Signed {
    signature: Signature,
}

/// What is posted, as far as it says something.
#[derive(Deserialize)]
struct Says<E> {
    #[serde(rename = "event-data")]
    event: E,
}

/// The signature that stands in the body.
pub(super) fn signature(body: &[u8]) -> Option<Signature> {
    serde_json::from_slice(body).ok().map(|Signed { signature }| signature)
}

/// A SHA-256 of what the body says, however it is written.
pub(super) fn said(body: &[u8]) -> [u8; 32] {
    match serde_json::from_slice::<Says<Value>>(body) {
        Ok(Says { event }) => Sha256::digest(event.to_string()).into(),
        Err(_) => Sha256::digest(body).into(),
    }
}

/// Reads the event. One of an unknown kind is progress, since Mailgun adds kinds.
pub(super) fn parse(account: &str, body: &[u8]) -> Result<Observation, NotUnderstood> {
    let Says { event } = serde_json::from_slice::<Says<EventBody>>(body)
        .map_err(|_| NotUnderstood::ContentType { expected: "a JSON object with event-data" })?;
    event.receipt(account).map(Observation::Receipt)
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}

impl EventBody {
    fn receipt(&self, account: &str) -> Result<Receipt, NotUnderstood> {
        let mail_id = self.mail_id();
        let mail_id =
            mail_id.ok_or(NotUnderstood::Missing { field: "message.headers.message-id" })?;
        if self.id.is_empty() {
            return Err(NotUnderstood::Missing { field: "id" });
        }
        let at = self.at().ok_or(NotUnderstood::Missing { field: "timestamp" })?;
        let day = (at / DAY_S).floor().to_string();
        let said = [account, &self.id, &day].join("\n");
        Ok(Receipt {
            correlation: self.correlation(),
            account: account.to_owned(),
            provider_message_id: provider_id("message.headers.message-id", mail_id)?.to_owned(),
            receipt_id: Uuid::new_v5(&RECEIPTS, said.as_bytes()),
            recipient: self.recipient(),
            outcome: self.outcome(),
            suppression: self.suppression(),
        })
    }

    fn correlation(&self) -> Option<Correlation> {
        Some(Correlation {
            tenant_id: self.variable("tenant_id")?.parse().ok()?,
            message_id: self.variable("message_id")?.parse().ok()?,
            attempt: self.variable("attempt")?.parse().ok().filter(|attempt| *attempt > 0)?,
        })
    }

    fn recipient(&self) -> Option<Address> {
        text(&self.recipient).and_then(|recipient| Address::email(recipient).ok())
    }

    /// What follows for the mail. `accepted` says that Mailgun took it, which settles a send without an answer. A
    /// failure that is temporary is none: Mailgun goes on trying.
    fn outcome(&self) -> ReportedOutcome {
        match self.event.as_str() {
            "delivered" => ReportedOutcome::Delivered,
            // A program opened the mail, for its recipient's privacy or to look into it.
            "opened" if text(&self.client["bot"]).is_none() => ReportedOutcome::Read,
            "failed" if !self.is_permanent() => ReportedOutcome::Progress,
            "failed" if self.is_suppressed() => ReportedOutcome::Failed(self.error()),
            "failed" => ReportedOutcome::Bounced(self.error()),
            "rejected" => ReportedOutcome::Failed(self.rejection()),
            "complained" => ReportedOutcome::Complained(self.event.clone()),
            "unsubscribed" => ReportedOutcome::Unsubscribed(self.event.clone()),
            _ => ReportedOutcome::Progress,
        }
    }

    /// What follows for the address, whatever becomes of this mail. One that came back is no wish of the person's.
    fn suppression(&self) -> Option<Suppression> {
        let is_wish = match self.event.as_str() {
            "complained" | "unsubscribed" => true,
            "failed" => self.is_permanent() && self.class() == ErrorClass::OptedOut,
            _ => false,
        };
        let reason = text(&self.reason).filter(|_| self.event == "failed").unwrap_or(&self.event);
        is_wish.then(|| Suppression {
            address: self.recipient(),
            reason: bounded(reason),
            lifted: false,
        })
    }

    fn is_permanent(&self) -> bool {
        text(&self.severity) != Some("temporary")
    }

    fn reason(&self) -> &str {
        text(&self.reason).unwrap_or_default()
    }

    /// The reply of the recipient's server, or Mailgun's own code.
    fn code(&self) -> Option<u64> {
        match &self.delivery["code"] {
            Value::String(text) => text.parse().ok(),
            code => code.as_u64(),
        }
    }

    fn is_suppressed(&self) -> bool {
        codes::is_suppressed(self.reason(), self.code())
    }

    fn class(&self) -> ErrorClass {
        codes::of_failure(self.reason(), self.code(), text(&self.delivery["enhanced-code"]))
    }

    /// The status of RFC 3463 where there is one, else the code, else the reason. What the recipient's provider blocks,
    /// or did not take for too long, is refused this once: another mail may be taken.
    fn error(&self) -> SendError {
        let status = text(&self.delivery["enhanced-code"]).map(str::to_owned);
        let code = status.or_else(|| self.code().filter(|code| *code > 0).map(|n| n.to_string()));
        let said = [&self.delivery["message"], &self.delivery["description"], &self.reason];
        let said = said.into_iter().find_map(text);
        let class = self.class();
        SendError {
            class,
            code: bounded(&code.unwrap_or_else(|| self.reason().to_owned())),
            detail: bounded(said.unwrap_or("Mailgun reported the mail as failed")),
            permanent: !matches!(class, ErrorClass::Expired | ErrorClass::Unreachable)
                && !self.reason().eq_ignore_ascii_case("espblock"),
        }
    }

    /// Why Mailgun did not take the mail after all.
    fn rejection(&self) -> SendError {
        let said = [&self.reject["description"], &self.reject["reason"]];
        let said = said.into_iter().find_map(text);
        SendError {
            class: ErrorClass::Content,
            code: self.event.clone(),
            detail: bounded(said.unwrap_or("Mailgun reported the mail as rejected")),
            permanent: true,
        }
    }
}
