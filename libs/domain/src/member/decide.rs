//! What a member decides. Whether another owner is left, one stream cannot know: whoever asks for less of an owner looks.

use chrono::{DateTime, Utc};

use super::command::{Joining, MemberCommand, MemberRejection};
use super::event::{
    MemberEvent, MemberInvited, MemberJoined, MemberRemoved, MemberRoleChanged, OidcLinked,
    PasswordSet, RecoveryCodeUsed, SessionEnded, SessionStarted, TotpDisabled, TotpEnabled,
    TotpRewrapped,
};
use super::role::Standing;
use super::{IDENTITIES_MAX, Identity, Member, MemberStatus, PasswordHash, SignInWay};
use crate::api_key::SecretHash;
use crate::ids::SessionId;
use crate::sealed::Sealed;

type Decided = Result<Vec<MemberEvent>, MemberRejection>;

impl Member {
    pub(super) fn decide_command(&self, command: &MemberCommand) -> Decided {
        use MemberCommand as C;
        match command {
            C::Invite(invited) => self.invite(invited),
            C::Join { invitation, by, name, at } => self.join(invitation.as_ref(), by, name, *at),
            C::Link { identity, at } => self.active().and_then(|()| self.link(identity, *at)),
            C::ChangeRole { standing, at } => self.change_role(*standing, *at),
            C::SetPassword { hash, at } => self.set_password(hash, true, *at),
            C::RehashPassword { from, to, at } => {
                let is_it = self.password() == Some(from);
                if is_it { self.set_password(to, false, *at) } else { Ok(Vec::new()) }
            }
            C::EnableTotp { secret, recovery, at } => self.enable_totp(secret, recovery, *at),
            C::DisableTotp { at } => {
                self.active()?;
                Ok(self.totp.iter().map(|_| TotpDisabled { at: *at }.into()).collect())
            }
            C::RewrapTotp { from, to, at } => {
                let is_it = self.totp_secret() == Some(from) && from != to;
                let event = TotpRewrapped { secret: to.clone(), at: *at };
                Ok(if is_it { vec![event.into()] } else { Vec::new() })
            }
            C::SignIn { session_id, by, recovery, second_factor, at } => {
                let how = (*by, recovery.as_ref(), *second_factor);
                self.sign_in(*session_id, how, *at)
            }
            C::EndSession { session_id, at } => {
                self.known()?;
                if self.ended == Some(*session_id) {
                    return Ok(Vec::new());
                }
                Ok(vec![SessionEnded { session_id: *session_id, at: *at }.into()])
            }
            C::Remove { at } => match self.status() {
                None => Err(MemberRejection::Unknown),
                Some(MemberStatus::Removed) => Ok(Vec::new()),
                Some(_) => Ok(vec![MemberRemoved { at: *at }.into()]),
            },
        }
    }

    fn invite(&self, invited: &MemberInvited) -> Decided {
        if self.is_active() {
            return Err(MemberRejection::Joined);
        }
        let same = self.invitation.as_ref().is_some_and(|one| one.hash == invited.invitation_hash);
        Ok(if same { Vec::new() } else { vec![invited.clone().into()] })
    }

    fn join(
        &self,
        invitation: Option<&SecretHash>,
        by: &Joining,
        name: &Option<String>,
        at: DateTime<Utc>,
    ) -> Decided {
        match self.status() {
            None => return Err(MemberRejection::Unknown),
            Some(MemberStatus::Removed) => return Err(MemberRejection::Removed),
            Some(MemberStatus::Active) => return Err(MemberRejection::Joined),
            Some(MemberStatus::Invited) => {}
        }
        let counts = match invitation {
            Some(hash) => self.admits(hash, at),
            None => self.invitation_expires_at().is_some_and(|end| at < end),
        };
        // Without a link there is nothing but an identity provider's word.
        if !counts || (invitation.is_none() && matches!(by, Joining::Password(_))) {
            return Err(MemberRejection::NoInvitation);
        }
        let way = match by {
            Joining::Password(_) => SignInWay::Password,
            Joining::Oidc(_) => SignInWay::Oidc,
        };
        let mut events: Vec<MemberEvent> =
            vec![MemberJoined { by: way, name: name.clone(), at }.into()];
        match by {
            Joining::Password(hash) => {
                let hash = hash.clone();
                events.push(PasswordSet { hash, ends_sessions: true, at }.into());
            }
            Joining::Oidc(identity) => events.extend(self.link(identity, at)?),
        }
        Ok(events)
    }

    fn link(&self, identity: &Identity, at: DateTime<Utc>) -> Decided {
        if self.identities.contains(identity) {
            return Ok(Vec::new());
        }
        if self.identities.len() >= IDENTITIES_MAX {
            return Err(MemberRejection::TooManyIdentities);
        }
        let Identity { issuer, subject } = identity.clone();
        Ok(vec![OidcLinked { issuer, subject, at }.into()])
    }

    fn change_role(&self, standing: Standing, at: DateTime<Utc>) -> Decided {
        self.known()?;
        if self.standing == standing {
            return Ok(Vec::new());
        }
        // Who made the link, and may have kept it, could not have given so much: that takes another link.
        if !self.is_active() && self.standing.is_less_than(standing) {
            return Err(MemberRejection::NotJoined);
        }
        let ends_sessions = standing.is_less_than(self.standing);
        let (role, scopes) = (standing.role(), standing.chosen());
        Ok(vec![MemberRoleChanged { role, scopes, ends_sessions, at }.into()])
    }

    fn set_password(&self, hash: &PasswordHash, is_new: bool, at: DateTime<Utc>) -> Decided {
        self.active()?;
        if self.password.as_ref() == Some(hash) {
            return Ok(Vec::new());
        }
        Ok(vec![PasswordSet { hash: hash.clone(), ends_sessions: is_new, at }.into()])
    }

    fn enable_totp(&self, secret: &Sealed, recovery: &[SecretHash], at: DateTime<Utc>) -> Decided {
        self.active()?;
        match self.totp_secret() {
            Some(present) if present == secret => Ok(Vec::new()),
            Some(_) => Err(MemberRejection::HasTotp),
            None => {
                let (secret, recovery_hashes) = (secret.clone(), recovery.to_vec());
                Ok(vec![TotpEnabled { secret, recovery_hashes, at }.into()])
            }
        }
    }

    fn sign_in(
        &self,
        session_id: SessionId,
        (by, recovery, second_factor): (SignInWay, Option<&SecretHash>, bool),
        at: DateTime<Utc>,
    ) -> Decided {
        self.active()?;
        if self.started == Some(session_id) {
            return Ok(Vec::new());
        }
        let mut events: Vec<MemberEvent> = Vec::new();
        if let Some(code) = recovery {
            if !self.has_recovery_code(code) {
                return Err(MemberRejection::NoSuchCode);
            }
            events.push(RecoveryCodeUsed { code_hash: code.clone(), at }.into());
        }
        events.push(SessionStarted { session_id, by, second_factor, at }.into());
        Ok(events)
    }

    /// Refuses what is asked of nobody, or of somebody who was removed.
    fn known(&self) -> Result<(), MemberRejection> {
        match self.status() {
            None => Err(MemberRejection::Unknown),
            Some(MemberStatus::Removed) => Err(MemberRejection::Removed),
            Some(MemberStatus::Invited | MemberStatus::Active) => Ok(()),
        }
    }

    fn active(&self) -> Result<(), MemberRejection> {
        self.known()?;
        if self.is_active() { Ok(()) } else { Err(MemberRejection::NotJoined) }
    }
}
