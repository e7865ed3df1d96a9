//! What a tenant decides. What is so already is no event.

use super::command::{TenantCommand, TenantRejection};
use super::event::{
    TeamRecipientAdded, TeamRecipientRemoved, TenantCreated, TenantEvent, TenantRenamed,
    TenantResumed, TenantSuspended,
};
use super::{TEAM_RECIPIENTS_MAX, Tenant};

impl Tenant {
    pub(super) fn decide_command(
        &self,
        command: &TenantCommand,
    ) -> Result<Option<TenantEvent>, TenantRejection> {
        let is_there = self.created_at.is_some();
        match command {
            TenantCommand::Create { .. } if is_there => Err(TenantRejection::Exists),
            TenantCommand::Create { name, at } => {
                Ok(Some(TenantCreated { name: name.clone(), at: *at }.into()))
            }
            _ if !is_there => Err(TenantRejection::Unknown),
            TenantCommand::Rename { name, at } => Ok((self.name.as_ref() != Some(name))
                .then(|| TenantRenamed { name: name.clone(), at: *at }.into())),
            TenantCommand::Suspend { reason, at } => {
                // Who says no reason keeps the one that was said.
                let has_another = reason.is_some() && *reason != self.suspended_for;
                let suspended = || TenantSuspended { reason: reason.clone(), at: *at };
                Ok((!self.is_suspended() || has_another).then(|| suspended().into()))
            }
            TenantCommand::Resume { at } => {
                Ok(self.is_suspended().then(|| TenantResumed { at: *at }.into()))
            }
            TenantCommand::AddTeamRecipient { address, .. } if self.is_of_team(address) => Ok(None),
            TenantCommand::AddTeamRecipient { .. } if self.team.len() >= TEAM_RECIPIENTS_MAX => {
                Err(TenantRejection::TeamListFull)
            }
            TenantCommand::AddTeamRecipient { address, at } => {
                Ok(Some(TeamRecipientAdded { address: address.clone(), at: *at }.into()))
            }
            TenantCommand::RemoveTeamRecipient { address, at } => {
                let removed = || TeamRecipientRemoved { address: address.clone(), at: *at };
                Ok(self.is_of_team(address).then(|| removed().into()))
            }
        }
    }
}
