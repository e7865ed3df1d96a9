//! The senders of a pool, and for which messages they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::address::{Address, SenderKind};
use crate::channel::Channel;

/// Senders of a pool at most.
pub const SENDERS_MAX: usize = 500;

/// The greatest weight, which a sender has where none is said.
pub const WEIGHT_MAX: u16 = 100;

/// Digits of an area code.
const AREA_DIGITS: usize = 3;

/// A sender of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolSender {
    /// A phone number, a short code, a name, or a messaging service of a provider.
    pub address: Address,
    /// Its weight, 0 to 100: how much it gets in relation to the others. At 0 it gets no new recipients.
    #[schema(minimum = 0, maximum = 100)]
    pub weight: u16,
    /// The area code in North America that it stands for, where that is not the one of its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
}

impl PoolSender {
    /// The area code that it stands for.
    #[must_use]
    pub fn area(&self) -> Option<&str> {
        self.area.as_deref().or_else(|| self.address.area_code())
    }
}

/// The senders of a pool, and for which messages they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolTerms {
    /// How the messages travel: `sms` or `mms`, or both where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Whether a message that names neither a sender nor a pool has one of these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_default: bool,
    /// The senders.
    pub senders: Vec<PoolSender>,
}

/// What is wrong with a pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPool {
    /// It is for mails or chats.
    #[error("expected sms or mms, or none for both")]
    Channel,
    /// It has no sender, or too many.
    #[error("expected 1 to 500 senders")]
    Count,
    /// The weight of the sender at that place is too great.
    #[error("expected a weight of 0 to 100")]
    Weight(usize),
    /// All weights are 0.
    #[error("expected a weight of more than 0 for one sender at least")]
    Weights,
    /// The sender at that place is there before.
    #[error("expected each sender once")]
    Twice(usize),
    /// What stands at that place sends no text messages.
    #[error(
        "expected a phone number, a short code, a name of at most 11 characters, or a messaging service"
    )]
    Sender(usize),
    /// What stands at that place is the name of a sender, which carries no files.
    #[error("expected a sender of mms: a name sends none")]
    Name(usize),
    /// The area of the sender at that place is no area code.
    #[error("expected an area code of three digits")]
    Area(usize),
}

impl BadPool {
    /// The field that it is about, as a JSON Pointer has it.
    #[must_use]
    pub fn pointer(&self) -> String {
        match self {
            Self::Channel => "/channel".to_owned(),
            Self::Count | Self::Weights => "/senders".to_owned(),
            Self::Twice(place) | Self::Sender(place) | Self::Name(place) => {
                format!("/senders/{place}")
            }
            Self::Weight(place) => format!("/senders/{place}/weight"),
            Self::Area(place) => format!("/senders/{place}/area"),
        }
    }
}

impl PoolTerms {
    /// Refuses terms by which no sender would ever be chosen.
    ///
    /// # Errors
    /// [`BadPool`].
    pub fn check(&self) -> Result<(), BadPool> {
        if self.channel.is_some_and(|channel| !is_text(channel)) {
            return Err(BadPool::Channel);
        }
        if !(1..=SENDERS_MAX).contains(&self.senders.len()) {
            return Err(BadPool::Count);
        }
        for (place, sender) in self.senders.iter().enumerate() {
            let Some(kind) = SenderKind::of(&sender.address) else {
                return Err(BadPool::Sender(place));
            };
            if kind == SenderKind::Alphanumeric && self.channel == Some(Channel::Mms) {
                return Err(BadPool::Name(place));
            }
            if sender.weight > WEIGHT_MAX {
                return Err(BadPool::Weight(place));
            }
            if sender.area.as_deref().is_some_and(|area| !is_area(area)) {
                return Err(BadPool::Area(place));
            }
            let is_same = |one: &PoolSender| one.address.identity() == sender.address.identity();
            if self.senders[..place].iter().any(is_same) {
                return Err(BadPool::Twice(place));
            }
        }
        if self.senders.iter().all(|sender| sender.weight == 0) {
            return Err(BadPool::Weights);
        }
        Ok(())
    }

    /// Whether its senders are for messages of the channel.
    #[must_use]
    pub fn is_for(&self, channel: Channel) -> bool {
        is_text(channel) && self.channel.is_none_or(|own| own == channel)
    }

    /// The sender of that address.
    #[must_use]
    pub fn sender(&self, address: &Address) -> Option<&PoolSender> {
        self.senders.iter().find(|one| one.address.identity() == address.identity())
    }
}

const fn is_text(channel: Channel) -> bool {
    matches!(channel, Channel::Sms | Channel::Mms)
}

fn is_area(text: &str) -> bool {
    text.len() == AREA_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}
