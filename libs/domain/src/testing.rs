//! What tests of other crates need of a message.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::address::Address;
use crate::conversation::conversation_id;
use crate::ids::TenantId;
use crate::message::event::MessageRequested;
use crate::{Channel, Priority, SendOptions};

/// Our number in tests.
pub const SENDER: &str = "+12016661234";

/// The number of a customer.
pub const CUSTOMER: &str = "+18045551234";

/// A request for an SMS from [`SENDER`] to [`CUSTOMER`], made at `at`. Whatever else it is to be, a test changes.
///
/// # Panics
/// Never: both are possible numbers.
#[must_use]
pub fn request(at: DateTime<Utc>) -> MessageRequested {
    request_to(CUSTOMER, at)
}

/// The same to another number.
///
/// # Panics
/// When `to` is no possible number.
#[must_use]
pub fn request_to(to: &str, at: DateTime<Utc>) -> MessageRequested {
    let phone = |text| Address::phone(text).expect("a possible number");
    let (from, to) = (phone(SENDER), phone(to));
    MessageRequested {
        conversation_id: conversation_id(TenantId::DEFAULT, [&from, &to], None),
        channel: Channel::Sms,
        from,
        to: vec![to],
        body: Some("Hello".to_owned()),
        attachments: Vec::new(),
        email: None,
        topic: None,
        send_at: None,
        priority: Priority::Normal,
        programme: None,
        confirms: None,
        metadata: BTreeMap::new(),
        test: false,
        options: SendOptions::default(),
        at,
    }
}
