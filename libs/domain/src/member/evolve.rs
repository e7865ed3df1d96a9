//! What a member becomes by each of its events.

use super::event::MemberEvent;
use super::role::{Role, Standing};
use super::{Identity, Invitation, Member, Totp};
use crate::scope::Scopes;

impl Member {
    pub(super) fn after(mut self, event: &MemberEvent) -> Self {
        use MemberEvent as E;
        match event {
            E::MemberInvited(e) => {
                // Who comes back brings nothing along but the number of his sessions' ends.
                let generation = self.generation.saturating_add(1);
                let e = (**e).clone();
                self = Self {
                    email: Some(e.email),
                    name: e.name,
                    standing: standing(e.role, e.scopes),
                    invited_by: e.invited_by,
                    invitation: Some(Invitation {
                        hash: e.invitation_hash,
                        expires_at: e.expires_at,
                    }),
                    invited_at: Some(e.at),
                    generation,
                    ..Self::default()
                };
            }
            E::MemberJoined(e) => {
                self.joined_at.get_or_insert(e.at);
                self.name = e.name.clone().or(self.name);
                self.invitation = None;
            }
            E::MemberRoleChanged(e) => {
                self.standing = standing(e.role, e.scopes);
                self.end_sessions(e.ends_sessions);
            }
            E::PasswordSet(e) => {
                self.password = Some(e.hash.clone());
                self.end_sessions(e.ends_sessions);
            }
            E::OidcLinked(e) => {
                let (issuer, subject) = (e.issuer.clone(), e.subject.clone());
                let identity = Identity { issuer, subject };
                if !self.identities.contains(&identity) {
                    self.identities.push(identity);
                }
            }
            E::TotpEnabled(e) => {
                let (secret, recovery) = (e.secret.clone(), e.recovery_hashes.clone());
                self.totp = Some(Totp { secret, recovery });
            }
            E::TotpRewrapped(e) => {
                if let Some(totp) = &mut self.totp {
                    totp.secret = e.secret.clone();
                }
            }
            E::TotpDisabled(_) => self.totp = None,
            E::RecoveryCodeUsed(e) => {
                if let Some(totp) = &mut self.totp {
                    totp.recovery.retain(|code| *code != e.code_hash);
                }
            }
            E::SessionStarted(e) => self.started = Some(e.session_id),
            E::SessionEnded(e) => self.ended = Some(e.session_id),
            E::MemberRemoved(e) => {
                self.removed_at.get_or_insert(e.at);
                (self.invitation, self.password, self.totp) = (None, None, None);
                self.identities.clear();
                self.end_sessions(true);
            }
        }
        self
    }

    const fn end_sessions(&mut self, all: bool) {
        if all {
            self.generation = self.generation.saturating_add(1);
        }
    }
}

fn standing(role: Role, scopes: Scopes) -> Standing {
    match role {
        Role::Custom => Standing::custom(scopes),
        role => Standing::of(role),
    }
}
