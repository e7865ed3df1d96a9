//! A message: one on its way out through attempts and receipts, or one that came in.
//!
//! A message that goes well is four events long: requested, attempted, sent, delivered. The claim
//! ([`MessageCommand::StartAttempt`]) is what makes a send happen once: the provider is called only
//! by the holder of the token that stands in the committed [`event::SendAttempted`].

pub mod command;
mod decide;
mod doubt;
pub mod due;
mod ending;
pub mod event;
mod evolve;
pub mod mail_id;
pub mod recipients;
mod state;
pub mod status;
#[cfg(test)]
mod tests;
use uuid::Uuid;

use self::command::{MessageCommand, MessageRejection};
use self::event::MessageEvent;
pub use self::state::{Doubt, Message, Tried};
use crate::Channel;
use crate::decider::{Decider, Ending, Routing};
use crate::ids::MessageId;

/// The aggregate's name in the log and in subjects.
pub const AGGREGATE: &str = "message";

/// Namespace of [`inbound_message_id`]: a UUIDv4 drawn once for hatch.
const INBOUND_NAMESPACE: Uuid = Uuid::from_u128(0x5c0c_9a3e_41d7_4b0f_9c86_2b1e_7f3a_d415);

/// The id, and so the stream, of the message that a provider calls `provider_message_id`. The same
/// webhook again meets a stream that exists already, whichever instance takes it in. A provider's
/// names are unique among its phone messages (SMS and MMS alike), among its mails, and so on.
#[must_use]
pub fn inbound_message_id(
    provider: &str,
    account: &str,
    channel: Channel,
    provider_message_id: &str,
) -> MessageId {
    let kind = match channel {
        Channel::Sms | Channel::Mms => "message",
        Channel::Email | Channel::Chat => channel.as_str(),
    };
    let name = format!("{provider}\n{account}\n{kind}\n{provider_message_id}");
    MessageId(Uuid::new_v5(&INBOUND_NAMESPACE, name.as_bytes()))
}

/// Namespace of [`confirmation_id`]: a UUIDv4 drawn once for hatch.
const CONFIRMATION_NAMESPACE: Uuid = Uuid::from_u128(0x2f6a_81c4_d90b_4e37_b5d2_93fe_067a_c81d);

/// The id of the message that answers the word in `inbound`: there is one at most, whoever decides on it.
#[must_use]
pub fn confirmation_id(inbound: MessageId) -> MessageId {
    MessageId(Uuid::new_v5(&CONFIRMATION_NAMESPACE, inbound.0.as_bytes()))
}

impl Decider for Message {
    const KIND: &'static str = AGGREGATE;

    type Command = MessageCommand;
    type Event = MessageEvent;
    type Rejection = MessageRejection;

    fn decide(&self, command: &MessageCommand) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.decide_command(command)
    }

    fn evolve(self, event: &MessageEvent) -> Self {
        self.after(event)
    }

    fn ending(&self, event: &MessageEvent) -> Option<Ending> {
        self.ending_by(event)
    }

    fn routing(&self) -> Routing {
        self.columns()
    }
}
