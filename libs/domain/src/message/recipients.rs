//! What became of each recipient of a message to several: a fold that the decider and the read models share, and the
//! status of the message that follows from it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
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
        is_there(self.status)
    }

    const fn has_it_not(&self) -> bool {
        is_lost(self.status)
    }
}

/// The recipients of a message to several. One that is to a single recipient has none here until that one says
/// something that is no status.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "Vec<Recipient>")]
pub struct Recipients {
    list: Vec<Recipient>,
    /// Where in the list each one is, by its identity: a receipt would else cost as much as there are recipients.
    places: HashMap<Address, usize>,
}

impl Serialize for Recipients {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

impl From<Vec<Recipient>> for Recipients {
    fn from(list: Vec<Recipient>) -> Self {
        let places = places(&list);
        Self { list, places }
    }
}

impl PartialEq for Recipients {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for Recipients {}

impl Recipients {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether the message is to several.
    #[must_use]
    pub const fn are_several(&self) -> bool {
        self.list.len() > 1
    }

    /// Each of them, in the order in which the message names them.
    pub fn iter(&self) -> impl Iterator<Item = &Recipient> {
        self.list.iter()
    }

    /// The one of that address, however it is written.
    #[must_use]
    pub fn find(&self, address: &Address) -> Option<&Recipient> {
        self.place(address).and_then(|place| self.list.get(place))
    }

    /// Why the message is not with all of them: of the first one who has it not and of whom that is known.
    #[must_use]
    pub fn error(&self) -> Option<&SendError> {
        self.list.iter().filter(|one| one.has_it_not()).find_map(|one| one.error.as_ref())
    }

    /// Applies one event, and says where the message stands by all that is known of its recipients. What is said of
    /// no recipient is said of each.
    pub fn after(&mut self, progress: AttemptStatus, event: &MessageEvent) -> AttemptStatus {
        let whole = progress.after(event);
        match event {
            MessageEvent::MessageRequested(request) if self.list.is_empty() => {
                if progress == AttemptStatus::default() {
                    *self = several(request, whole.status);
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
            _ if self.list.is_empty() => return whole,
            Some(recipient) if self.are_several() => self.said_of(recipient, progress, event),
            _ => self.said_of_all(progress, event),
        }
        AttemptStatus { status: status_of(self.list.iter().map(|one| one.status)), ..whole }
    }

    /// Where the message stands once `event` is applied, which is a receipt.
    pub(super) fn status_by(&self, progress: AttemptStatus, event: &MessageEvent) -> Status {
        match event.recipient() {
            _ if self.list.is_empty() => progress.after(event).status,
            Some(recipient) if self.are_several() => {
                let place = self.place(recipient);
                let Some(status) = self.told(place, progress, event) else {
                    return status_of(self.list.iter().map(|one| one.status));
                };
                let known = self.list.iter().enumerate().map(|(other, one)| match place {
                    Some(place) if other == place => status,
                    _ if is_open(one.status) => Status::Sent,
                    _ => one.status,
                });
                status_of(known.chain(place.is_none().then_some(status)))
            }
            _ => {
                let after = |one: &Recipient| moved(one.status, progress, event);
                status_of(self.list.iter().map(|one| after(one).unwrap_or(one.status)))
            }
        }
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
                    None => self.told(None, progress, event).is_some(),
                },
                _ if self.list.is_empty() => {
                    progress.after(event) != progress || tells(progress.status, progress, event)
                }
                _ => self.list.iter().any(moves),
            },
        }
    }

    fn said_of_all(&mut self, progress: AttemptStatus, event: &MessageEvent) {
        for one in &mut self.list {
            if let Some(status) = moved(one.status, progress, event) {
                one.becomes(status, event.at(), None);
            }
        }
        // Whom the message does not name was heard of by an attempt that is over.
        if matches!(event, MessageEvent::SendAttempted(_)) {
            self.list.retain(|one| one.role != RecipientRole::Other || one.has_it());
            if self.list.len() < self.places.len() {
                self.places = places(&self.list);
            }
        }
    }

    /// What is said of one recipient says of the others that the provider took the message.
    fn said_of(&mut self, recipient: &Address, progress: AttemptStatus, event: &MessageEvent) {
        let known = self.place(recipient);
        let Some(status) = self.told(known, progress, event) else { return };
        let place = known.unwrap_or(self.list.len());
        if known.is_none() {
            let (address, role) = (recipient.clone(), RecipientRole::Other);
            self.add(Recipient::new(address, role, UNHEARD, event.at()));
        }
        for (other, one) in self.list.iter_mut().enumerate() {
            if other == place {
                one.becomes(status, event.at(), error_of(event).cloned());
            } else if is_open(one.status) {
                one.becomes(Status::Sent, event.at(), None);
            }
        }
    }

    /// Where the message stands after `event` for the recipient at `place`, or for one who is new; none where that is
    /// nothing new, or nobody new is heard of any more.
    fn told(
        &self,
        place: Option<usize>,
        progress: AttemptStatus,
        event: &MessageEvent,
    ) -> Option<Status> {
        let before = place.and_then(|place| self.list.get(place)).map_or(UNHEARD, |one| one.status);
        let after = moved(before, progress, event)?;
        (place.is_some() || self.has_room()).then_some(after)
    }

    /// The one of that address, which a message to a single recipient has here from now on.
    fn with(
        &mut self,
        address: &Address,
        progress: AttemptStatus,
        at: DateTime<Utc>,
    ) -> Option<&mut Recipient> {
        if self.list.is_empty() {
            let role = RecipientRole::default();
            self.add(Recipient::new(address.clone(), role, progress.status, at));
        }
        let place = self.place(address)?;
        self.list.get_mut(place)
    }

    /// Adds one who is not there yet.
    fn add(&mut self, one: Recipient) {
        if let Entry::Vacant(place) = self.places.entry(one.address.identity().into_owned()) {
            place.insert(self.list.len());
            self.list.push(one);
        }
    }

    fn place(&self, address: &Address) -> Option<usize> {
        self.places.get(&*address.identity()).copied()
    }

    fn has_room(&self) -> bool {
        self.list.iter().filter(|one| one.role == RecipientRole::Other).count() < OTHERS_MAX
    }
}

/// Where each of `list` is, by its identity.
fn places(list: &[Recipient]) -> HashMap<Address, usize> {
    let mut places = HashMap::with_capacity(list.len());
    for (place, one) in list.iter().enumerate() {
        places.entry(one.address.identity().into_owned()).or_insert(place);
    }
    places
}

/// Where a message stands that stands so for each recipient. As soon as it is with some and came back from some, that
/// is what is said of it; and otherwise it is not over before it is for each.
fn status_of(statuses: impl Iterator<Item = Status>) -> Status {
    let (mut any_has_it, mut any_has_it_not) = (false, false);
    let (mut all_read, mut all_failed) = (true, true);
    let mut open: Option<Status> = None;
    for status in statuses {
        any_has_it |= is_there(status);
        any_has_it_not |= is_lost(status);
        all_read &= status == Status::Read;
        all_failed &= status == Status::Failed;
        let is_over = is_there(status) || is_lost(status);
        if !is_over && open.is_none_or(|known| known.rank() <= status.rank()) {
            open = Some(status);
        }
    }
    match open {
        _ if any_has_it && any_has_it_not => Status::PartlyDelivered,
        Some(status) => status,
        None if all_read => Status::Read,
        None if any_has_it => Status::Delivered,
        None if all_failed => Status::Failed,
        None => Status::Undelivered,
    }
}

const fn is_there(status: Status) -> bool {
    matches!(status, Status::Delivered | Status::Read)
}

const fn is_lost(status: Status) -> bool {
    matches!(status, Status::Undelivered | Status::Failed)
}

/// Whether it is news that the provider took the message.
fn is_open(status: Status) -> bool {
    status.rank() < Status::Sent.rank() || status == Status::Canceled
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
fn several(request: &MessageRequested, status: Status) -> Recipients {
    let email = request.email.as_deref();
    let copies = email.map_or(0, |email| email.cc.len() + email.bcc.len());
    if request.to.len() + copies < 2 {
        return Recipients::default();
    }
    let to = request.to.iter().map(|address| (address, RecipientRole::To));
    let cc = email.into_iter().flat_map(|email| &email.cc);
    let bcc = email.into_iter().flat_map(|email| &email.bcc);
    let cc = cc.map(|address| (address, RecipientRole::Cc));
    let bcc = bcc.map(|address| (address, RecipientRole::Bcc));
    let mut all = Recipients::default();
    for (address, role) in to.chain(cc).chain(bcc) {
        all.add(Recipient::new(address.clone(), role, status, request.at));
    }
    if all.are_several() { all } else { Recipients::default() }
}

/// Of which recipients something was said of one attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Told {
    of_all: bool,
    of: HashSet<Address>,
}

impl Told {
    /// Notes that it was said of that recipient; without one, of all of them.
    pub(super) fn note(&mut self, recipient: Option<&Address>) {
        match recipient {
            None => self.of_all = true,
            Some(_) if self.of_all => {}
            Some(one) => {
                self.of.insert(one.identity().into_owned());
            }
        }
    }

    /// Whether it was said of that recipient; without one, of all of them.
    pub(super) fn is_of(&self, recipient: Option<&Address>) -> bool {
        self.of_all || recipient.is_some_and(|one| self.of.contains(&*one.identity()))
    }
}
