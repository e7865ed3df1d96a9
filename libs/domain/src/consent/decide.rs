//! What a consent decides. What is so already is no event.

use uuid::Uuid;

use super::command::ConsentCommand;
use super::event::ConsentEvent;
use super::{Blocker, Consent, Wish};

impl Consent {
    pub(super) fn decide_command(&self, command: &ConsentCommand) -> Vec<ConsentEvent> {
        let wish = self.wish.map(|(wish, _)| wish);
        let blocks = |provider: &str, account: &str| {
            let blocker = Blocker { provider: provider.to_owned(), account: account.to_owned() };
            self.blocks.contains_key(&blocker)
        };
        let is_new = |receipt: Option<Uuid>| receipt.is_none_or(|id| !self.receipts.contains(&id));
        let event: Option<ConsentEvent> = match command {
            ConsentCommand::Give(given) => {
                (wish != Some(Wish::OptedIn)).then(|| given.clone().into())
            }
            ConsentCommand::GiveBack(given) => {
                (wish == Some(Wish::OptedOut)).then(|| given.clone().into())
            }
            ConsentCommand::Withdraw(withdrawn) => {
                (wish != Some(Wish::OptedOut)).then(|| withdrawn.clone().into())
            }
            ConsentCommand::Block(blocked) => {
                let changes = !blocks(&blocked.provider, &blocked.account);
                (changes && is_new(blocked.receipt_id)).then(|| blocked.clone().into())
            }
            ConsentCommand::Unblock(lifted) => {
                let changes = blocks(&lifted.provider, &lifted.account);
                (changes && is_new(lifted.receipt_id)).then(|| lifted.clone().into())
            }
        };
        event.into_iter().collect()
    }
}
