//! What an account decides.

use super::Account;
use super::command::{AccountCommand, AccountRejection};
use super::event::{AccountChanged, AccountEvent, AccountRemoved, AccountSecretsRewrapped};

impl Account {
    pub(super) fn decide_command(
        &self,
        command: &AccountCommand,
    ) -> Result<Vec<AccountEvent>, AccountRejection> {
        let event = match command {
            AccountCommand::Create(_) if self.is_there() => return Err(AccountRejection::Exists),
            AccountCommand::Create(created) => (**created).clone().into(),
            AccountCommand::Change { to, revision } => {
                self.require()?;
                if *revision != self.revision {
                    return Err(AccountRejection::Moved);
                }
                if self.is_so(to) {
                    return Ok(Vec::new());
                }
                (**to).clone().into()
            }
            AccountCommand::Rewrap { master_key_id, from, to, at } => {
                self.require()?;
                // Others are not what was wrapped anew, and must not be lost to it.
                if self.secrets != *from || from == to {
                    return Ok(Vec::new());
                }
                let (master_key_id, secrets) = (master_key_id.clone(), to.clone());
                AccountSecretsRewrapped { master_key_id, secrets, at: *at }.into()
            }
            AccountCommand::Remove { at } => {
                if self.removed_at.is_some() {
                    return Ok(Vec::new());
                }
                self.require()?;
                AccountRemoved { at: *at }.into()
            }
        };
        Ok(vec![event])
    }

    fn require(&self) -> Result<(), AccountRejection> {
        if self.is_there() { Ok(()) } else { Err(AccountRejection::Unknown) }
    }

    fn is_so(&self, to: &AccountChanged) -> bool {
        let AccountChanged {
            channels,
            senders,
            traffic,
            limits,
            on_doubt,
            settings,
            secrets,
            at: _,
        } = to;
        self.channels == *channels
            && self.senders == *senders
            && self.traffic == *traffic
            && self.limits == *limits
            && self.on_doubt == *on_doubt
            && self.settings == *settings
            && self.secrets == *secrets
    }
}
