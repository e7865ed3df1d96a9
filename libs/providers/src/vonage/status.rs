//! What a status says of a message of ours.

use hatch_domain::address::AddressKind;
use hatch_domain::{ErrorClass, SendError};
use hatch_mail::clean;
use serde_json::Value;
use uuid::{Uuid, uuid};

use super::codes::{DUPLICATE, meaning_of};
use super::webhook::Fields;
use super::wire::{code_of, is_code};
use crate::Correlation;
use crate::adapter::bounded;
use crate::webhook::{NotUnderstood, Receipt, ReportedOutcome, Suppression, provider_id};

/// Namespace of receipt ids. It never changes: streams remember the ids.
const RECEIPTS: Uuid = uuid!("7c0d2a3e-94b1-4f57-8a6d-1be5f3c9d204");

/// Reads a status. A message has each of its statuses once, so that message and status are what a repeat is known by.
pub(super) fn receipt(
    fields: &Fields,
    account: &str,
    status: &str,
) -> Result<Receipt, NotUnderstood> {
    let field = "message_uuid";
    let id = provider_id(field, fields.text(field).ok_or(NotUnderstood::Missing { field })?)?;
    let outcome = outcome(fields, status)?;
    let content = [account, id, status].join("\n");
    Ok(Receipt {
        suppression: suppression(fields, &outcome),
        correlation: fields.text("client_ref").and_then(Correlation::from_reference),
        account: account.to_owned(),
        provider_message_id: id.to_owned(),
        receipt_id: Uuid::new_v5(&RECEIPTS, content.as_bytes()),
        recipient: None,
        outcome,
    })
}

fn outcome(fields: &Fields, status: &str) -> Result<ReportedOutcome, NotUnderstood> {
    let failed = match status {
        "submitted" => return Ok(ReportedOutcome::Sent),
        "delivered" => return Ok(ReportedOutcome::Delivered),
        "read" => return Ok(ReportedOutcome::Read),
        "rejected" => ReportedOutcome::Failed,
        "undeliverable" => ReportedOutcome::Undelivered,
        _ => return Err(NotUnderstood::Status { status: bounded(status) }),
    };
    let error = error(fields, status);
    // The message that was sent before has statuses of its own.
    if error.code.parse::<u32>() == Ok(DUPLICATE) {
        return Ok(ReportedOutcome::Progress);
    }
    Ok(failed(error))
}

/// Vonage's code where it gives one, else the status. The two forms of an error have it in places of their own.
fn error(fields: &Fields, status: &str) -> SendError {
    let part = |part| fields.part("error", part);
    let words = |name| part(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let number = |name| match part(name)? {
        Value::String(text) => Some(text.clone()).filter(|text| text.parse::<u32>().is_ok()),
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        _ => None,
    };
    let code = words("type").and_then(code_of).or_else(|| number("title"));
    let code = code.or_else(|| number("code")).filter(|code| is_code(code));
    let (class, permanent) = code.as_deref().map_or((ErrorClass::Other, true), meaning_of);
    let said = words("detail").or_else(|| words("reason"));
    let said = said.or_else(|| words("title").filter(|title| title.parse::<u32>().is_err()));
    SendError {
        class,
        detail: match (said, &code) {
            (Some(words), _) => bounded(&clean(words)),
            (None, Some(code)) => {
                format!("see https://developer.vonage.com/api-errors/messages#{code}")
            }
            (None, None) => format!("Vonage reported the message as {status}"),
        },
        code: code.unwrap_or_else(|| status.to_owned()),
        permanent,
    }
}

fn suppression(fields: &Fields, outcome: &ReportedOutcome) -> Option<Suppression> {
    let error = outcome.error().filter(|error| error.class == ErrorClass::OptedOut)?;
    let address = Some(fields.address("to")).filter(|to| to.kind() == AddressKind::Phone);
    Some(Suppression { address, reason: error.code.clone(), lifted: false })
}
