//! Status callbacks: what becomes of an accepted message, told in Twilio's fields.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::resource::{UNKNOWN_DESTINATION, status};
use super::signature::signed_form;
use super::{API_VERSION, PROVIDER};
use crate::behaviour::{self, Receipt};
use crate::delivery::Callback;
use crate::record::Message;
use crate::server::Simulator;

/// Posts the receipts of a message as they become due, one after the other. `_place` is held until
/// the last of them was taken or given up.
pub(super) fn begin(
    simulator: &Arc<Simulator>,
    message: Arc<Message>,
    callback: String,
    place: OwnedSemaphorePermit,
) {
    let shared = Arc::clone(simulator);
    simulator.delivery.run(async move {
        deliver(&shared, &message, &callback).await;
        shared.record.settle(&message);
        drop(place);
    });
}

/// Begins again with the receipts of a message that was accepted before a restart.
pub(crate) fn resume(simulator: &Arc<Simulator>, message: Arc<Message>, callback: String) {
    debug_assert_eq!(message.provider, PROVIDER);
    match simulator.delivery.reserve() {
        Some(place) => begin(simulator, message, callback, place),
        None => tracing::warn!("too many receipts are due: some are given up"),
    }
}

/// Posts the receipt of the delivery once, before the send is answered. If it is not taken, nothing
/// is lost: it comes again in its turn.
pub(super) async fn deliver_early(simulator: &Simulator, message: &Message, callback: &str) {
    if let Some(request) = request(simulator, message, callback, Receipt::Delivered)
        && let Err(error) = simulator.delivery.post_once(&request).await
    {
        tracing::debug!(%error, "an early receipt found nobody");
    }
}

async fn deliver(simulator: &Simulator, message: &Message, callback: &str) {
    let receipts = behaviour::course(&message.to).receipts;
    for (n, receipt) in receipts.iter().enumerate() {
        let delay_ms = simulator.config.receipt_delay_ms;
        let due = Duration::from_millis(if n == 0 { delay_ms / 2 } else { delay_ms });
        let age = (simulator.config.clock.now() - message.accepted_at).to_std().unwrap_or_default();
        tokio::time::sleep(due.saturating_sub(age)).await;
        if let Some(request) = request(simulator, message, callback, *receipt) {
            simulator.delivery.post(&request).await;
        }
    }
}

/// The signed request; `None` when its account is not configured any more.
fn request(
    simulator: &Simulator,
    message: &Message,
    callback: &str,
    receipt: Receipt,
) -> Option<Callback> {
    // The record may be that of another hatch.
    if !simulator.config.calls_back(callback) {
        tracing::warn!("a receipt is given up: it was to go to another place than hatch's");
        return None;
    }
    let accounts = &simulator.config.twilio;
    let account = accounts.iter().find(|account| account.account_sid == message.account)?;
    let (sid, status) = (message.provider_message_id.as_str(), status(receipt));
    let mut fields = vec![
        ("AccountSid", message.account.as_str()),
        ("ApiVersion", API_VERSION),
        ("From", &message.from),
        ("MessageSid", sid),
        ("MessageStatus", status),
        ("SmsSid", sid),
        ("SmsStatus", status),
        ("To", &message.to),
    ];
    let done = message.accepted_at.format("%y%m%d%H%M").to_string();
    if receipt != Receipt::Sent {
        fields.push(("RawDlrDoneDate", &done));
    }
    if receipt == Receipt::Undelivered {
        fields.push(("ErrorCode", UNKNOWN_DESTINATION));
    }
    Some(signed_form(callback, &fields, &account.auth_token))
}
