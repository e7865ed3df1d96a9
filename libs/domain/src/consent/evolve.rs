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
                let (provider, account) = (e.provider.clone(), e.account.clone());
                self.blocks.entry(Blocker { provider, account }).or_insert(e.at);
                self.receipts.extend(e.receipt_id);
                e.conversation_id
            }
            E::ConsentUnblocked(e) => {
                let (provider, account) = (e.provider.clone(), e.account.clone());
                self.blocks.remove(&Blocker { provider, account });
                self.receipts.extend(e.receipt_id);
                e.conversation_id
            }
        };
        // The event belongs to its own conversation or to none, and not to the one before it.
        self.conversation_id = conversation_id;
        self
    }
}
