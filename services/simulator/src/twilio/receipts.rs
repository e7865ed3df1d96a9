//! Status callbacks: what becomes of an accepted message, told in Twilio's fields.

use super::resource::{UNKNOWN_DESTINATION, status};
use super::signature::signed_form;
use super::{API_VERSION, Account};
use crate::behaviour::Receipt;
use crate::delivery::Callback;
use crate::record::Message;

/// The signed request.
pub(super) fn request(
    account: &Account,
    message: &Message,
    callback: &str,
    receipt: Receipt,
) -> Callback {
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
    signed_form(callback, &fields, &account.auth_token)
}
