//! What a consent becomes by each of its events.

use super::event::ConsentEvent;
use super::{Blocker, Consent, Wish};

impl Consent {
    pub(super) fn after(mut self, event: &ConsentEvent) -> Self {
        use ConsentEvent as E;
        let conversation_id = match event {
            E::ConsentGiven(e) => {
                self.wish = Some((Wish::OptedIn, e.at));
                e.conversation_id
            }
            E::ConsentWithdrawn(e) => {
                self.wish = Some((Wish::OptedOut, e.at));
                e.conversation_id
            }
            E::ConsentBlocked(e) => {
                self.blocks.entry(Blocker::of(&e.provider, &e.account)).or_insert(e.at);
                self.receipts.extend(e.receipt_id);
                e.conversation_id
            }
            E::ConsentUnblocked(e) => {
                let blocker = Blocker::of(&e.provider, &e.account);
                self.blocks.remove(&blocker);
                self.lifted.insert(blocker, e.at);
                self.receipts.extend(e.receipt_id);
                e.conversation_id
            }
            E::WordAnswered(e) => {
                self.answers.answered(e.confirms, e.at);
                e.conversation_id
            }
        };
        // The event belongs to its own conversation or to none, and not to the one before it.
        self.conversation_id = conversation_id;
        self
    }
}
