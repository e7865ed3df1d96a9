//! What became of each recipient of a message to several: a fold that the decider and the read models share, and the
//! status of the message that follows from it.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::{MessageEvent, MessageRequested};
use super::status::{AttemptStatus, Status};
use crate::SendError;
use crate::address::Address;

/// Recipients at most whom a message does not name and receipts speak of, such as the members of a list. More of them
/// are not heard of.
pub const OTHERS_MAX: usize = 100;

/// How a message names a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecipientRole {
    /// As somebody whom it is to.
    #[default]
    To,
    /// As somebody who gets a copy.
    Cc,
    /// As somebody who gets a copy unseen.
    Bcc,
    /// Not at all: only a receipt does, such as one from behind a list.
    Other,
}

impl RecipientRole {
    /// The role's name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::Cc => "cc",
            Self::Bcc => "bcc",
            Self::Other => "other",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    const fn is_to(&self) -> bool {
        matches!(self, Self::To)
    }
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The recipient, as the message has it.
    pub address: Address,
    /// How the message names it.
    #[serde(default, skip_serializing_if = "RecipientRole::is_to")]
    pub role: RecipientRole,
    /// Where the message stands for it.
    pub status: Status,
    /// Why it did not get the message, where something was said of it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<SendError>,
    /// Since when it has that status.
    pub at: DateTime<Utc>,
    /// When it called the message spam.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complained_at: Option<DateTime<Utc>>,
    /// When it unsubscribed by the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribed_at: Option<DateTime<Utc>>,
}

impl Recipient {
    const fn new(address: Address, role: RecipientRole, status: Status, at: DateTime<Utc>) -> Self {
        let (error, complained_at, unsubscribed_at) = (None, None, None);
        Self { address, role, status, error, at, complained_at, unsubscribed_at }
    }

    fn becomes(&mut self, status: Status, at: DateTime<Utc>, error: Option<SendError>) {
        (self.status, self.at, self.error) = (status, at, error);
    }

    const fn has_it(&self) -> bool {
        matches!(self.status, Status::Delivered | Status::Read)
    }

    const fn has_it_not(&self) -> bool {
        matches!(self.status, Status::Undelivered | Status::Failed)
    }
}

/// The recipients of a message to several. One that is to a single recipient has none here until that one says
/// something that is no status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recipients(Vec<Recipient>);

impl Recipients {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the message is to several.
    #[must_use]
    pub const fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Each of them, in the order in which the message names them.
    pub fn iter(&self) -> impl Iterator<Item = &Recipient> {
        self.0.iter()
    }

    /// The one of that address, however it is written.
    #[must_use]
    pub fn find(&self, address: &Address) -> Option<&Recipient> {
        self.place(address).and_then(|place| self.0.get(place))
    }

    /// Why the message is not with all of them: of the first one who has it not and of whom that is known.
    #[must_use]
    pub fn error(&self) -> Option<&SendError> {
        self.0.iter().filter(|one| one.has_it_not()).find_map(|one| one.error.as_ref())
    }

    /// Applies one event, and says where the message stands by all that is known of its recipients. What is said of
    /// no recipient is said of each.
    pub fn after(&mut self, progress: AttemptStatus, event: &MessageEvent) -> AttemptStatus {
        let whole = progress.after(event);
        match event {
            MessageEvent::MessageRequested(request) if self.0.is_empty() => {
                if progress == AttemptStatus::default() {
                    self.0 = several(request, whole.status);
                }
                return whole;
            }
            MessageEvent::RecipientComplained(e) => {
                if let Some(one) = self.with(&e.recipient, progress, e.at) {
                    one.complained_at.get_or_insert(e.at);
                }
                return whole;
            }
            MessageEvent::RecipientUnsubscribed(e) => {
                if let Some(one) = self.with(&e.recipient, progress, e.at) {
                    one.unsubscribed_at.get_or_insert(e.at);
                }
                return whole;
            }
            _ => {}
        }
        match event.recipient() {
            _ if self.0.is_empty() => return whole,
            Some(recipient) if self.are_several() => self.said_of(recipient, progress, event),
            _ => self.said_of_all(progress, event),
        }
        AttemptStatus { status: self.status(), ..whole }
    }

    /// Whether `event` tells anything new, if that it came back was not told before.
    pub(super) fn changes(&self, progress: AttemptStatus, event: &MessageEvent) -> bool {
        let moves = |one: &Recipient| tells(one.status, progress, event);
        match event {
            MessageEvent::RecipientComplained(e) => {
                self.find(&e.recipient).is_none_or(|one| one.complained_at.is_none())
            }
            MessageEvent::RecipientUnsubscribed(e) => {
                self.find(&e.recipient).is_none_or(|one| one.unsubscribed_at.is_none())
            }
            _ => match event.recipient() {
                Some(recipient) if self.are_several() => match self.find(recipient) {
                    Some(one) => moves(one),
                    None => self.has_room() && moved(UNHEARD, progress, event).is_some(),
                },
                _ if self.0.is_empty() => {
                    progress.after(event) != progress || tells(progress.status, progress, event)
                }
                _ => self.0.iter().any(moves),
            },
        }
    }

    fn said_of_all(&mut self, progress: AttemptStatus, event: &MessageEvent) {
        for one in &mut self.0 {
            if let Some(status) = moved(one.status, progress, event) {
                one.becomes(status, event.at(), None);
            }
        }
        // Whom the message does not name was heard of by an attempt that is over.
        if matches!(event, MessageEvent::SendAttempted(_)) {
            self.0.retain(|one| one.role != RecipientRole::Other || one.has_it());
        }
    }

    /// What is said of one recipient says of the others that the provider took the message.
    fn said_of(&mut self, recipient: &Address, progress: AttemptStatus, event: &MessageEvent) {
        let place = self.place(recipient);
        let before = place.and_then(|place| self.0.get(place)).map_or(UNHEARD, |one| one.status);
        let Some(status) = moved(before, progress, event) else { return };
        if place.is_none() {
            if !self.has_room() {
                return;
            }
            let (address, role) = (recipient.clone(), RecipientRole::Other);
            self.0.push(Recipient::new(address, role, UNHEARD, event.at()));
        }
        let place = place.unwrap_or(self.0.len() - 1);
        for (other, one) in self.0.iter_mut().enumerate() {
            if other == place {
                one.becomes(status, event.at(), error_of(event).cloned());
            } else if one.status.rank() < Status::Sent.rank() || one.status == Status::Canceled {
                one.becomes(Status::Sent, event.at(), None);
            }
        }
    }

    /// The one of that address, which a message to a single recipient has here from now on.
    fn with(
        &mut self,
        address: &Address,
        progress: AttemptStatus,
        at: DateTime<Utc>,
    ) -> Option<&mut Recipient> {
        if self.0.is_empty() {
            let role = RecipientRole::default();
            self.0.push(Recipient::new(address.clone(), role, progress.status, at));
        }
        let place = self.place(address)?;
        self.0.get_mut(place)
    }

    fn place(&self, address: &Address) -> Option<usize> {
        let identity = address.identity();
        self.0.iter().position(|one| one.address.identity() == identity)
    }

    fn has_room(&self) -> bool {
        self.0.iter().filter(|one| one.role == RecipientRole::Other).count() < OTHERS_MAX
    }

    /// Where the message stands. As soon as it is with some and came back from some, that is what is said of it; and
    /// otherwise it is not over before it is for each.
    fn status(&self) -> Status {
        let any = |is: fn(&Recipient) -> bool| self.0.iter().any(is);
        let all_are = |status: Status| self.0.iter().all(|one| one.status == status);
        let open = self.0.iter().filter(|one| !one.has_it() && !one.has_it_not());
        match open.map(|one| one.status).max_by_key(|status| status.rank()) {
            _ if any(Recipient::has_it) && any(Recipient::has_it_not) => Status::PartlyDelivered,
            Some(status) => status,
            None if all_are(Status::Read) => Status::Read,
            None if any(Recipient::has_it) => Status::Delivered,
            None if all_are(Status::Failed) => Status::Failed,
            None => Status::Undelivered,
        }
    }
}

/// Where a message stands for whom nobody has heard of.
const UNHEARD: Status = Status::Sending;

/// The status that `event` leads to; none where it leads to no other.
fn moved(status: Status, progress: AttemptStatus, event: &MessageEvent) -> Option<Status> {
    let after = AttemptStatus { status, ..progress }.after(event).status;
    (after != status).then_some(after)
}

/// Whether `event` leads to another status, or says for certain what was only likely: that it came back.
fn tells(status: Status, progress: AttemptStatus, event: &MessageEvent) -> bool {
    let came_back = match event {
        MessageEvent::MessageUndelivered(e) => e.bounced && e.attempt == progress.attempt,
        _ => false,
    };
    (came_back && status == Status::Undelivered) || moved(status, progress, event).is_some()
}

const fn error_of(event: &MessageEvent) -> Option<&SendError> {
    match event {
        MessageEvent::MessageUndelivered(e) => Some(&e.error),
        MessageEvent::MessageFailed(e) => Some(&e.error),
        _ => None,
    }
}

/// The recipients of a message, each once; none for a message to one.
fn several(request: &MessageRequested, status: Status) -> Vec<Recipient> {
    let email = request.email.as_deref();
    let copies = email.map_or(0, |email| email.cc.len() + email.bcc.len());
    if request.to.len() + copies < 2 {
        return Vec::new();
    }
    let to = request.to.iter().map(|address| (address, RecipientRole::To));
    let cc = email.into_iter().flat_map(|email| &email.cc);
    let bcc = email.into_iter().flat_map(|email| &email.bcc);
    let cc = cc.map(|address| (address, RecipientRole::Cc));
    let bcc = bcc.map(|address| (address, RecipientRole::Bcc));
    let mut known = HashSet::new();
    let mut all = Vec::with_capacity(request.to.len() + copies);
    for (address, role) in to.chain(cc).chain(bcc) {
        if known.insert(address.identity()) {
            all.push(Recipient::new(address.clone(), role, status, request.at));
        }
    }
    if all.len() < 2 { Vec::new() } else { all }
}

/// Of which recipients something was said of one attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Told {
    of_all: bool,
    of: Vec<Address>,
}

impl Told {
    /// Notes that it was said of that recipient; without one, of all of them.
    pub(super) fn note(&mut self, recipient: Option<&Address>) {
        match recipient {
            None => self.of_all = true,
            Some(one) if !self.is_of(recipient) => self.of.push(one.identity().into_owned()),
            Some(_) => {}
        }
    }

    /// Whether it was said of that recipient; without one, of all of them.
    pub(super) fn is_of(&self, recipient: Option<&Address>) -> bool {
        self.of_all || recipient.is_some_and(|one| self.of.contains(&one.identity()))
    }
}
