//! Inviting, changing and removing members, by whatever way somebody asks for it.
//!
//! Nobody gives, or takes from another, more than what he has himself; and an owner is made, changed and removed by owners
//! alone, or by who has the database. A tenant that has had an owner keeps one: the decision rests on another owner's
//! stream as well, so that two who remove each other at the same time do not both succeed.

use chrono::TimeDelta;
use hatch_domain::actor::Actor;
use hatch_domain::ids::{MemberId, TenantId};
use hatch_domain::member::command::{MemberCommand, MemberRejection};
use hatch_domain::member::event::MemberInvited;
use hatch_domain::member::{Member, Role, Standing, member_id};
use hatch_domain::scope::Scopes;
use hatch_eventstore::{
    Appended, CommandKey, Execute, ExecuteError, Loaded, Metadata, Position, Store,
    SystemEnvironment,
};
use hatch_readmodel::MemberInfo;

use super::request::{InviteRequest, Wanted};
use crate::auth::{Caller, Door};
use crate::people::{Link, invitation_url};
use crate::problem::Problem;
use crate::resources::position_after;

/// What members are called where there is none.
pub(super) const WHAT: &str = "member";

/// How long a link counts.
const INVITATION_LIFE: TimeDelta = TimeDelta::days(3);

/// Members of a tenant at most, and with those that were removed: each process has all of them in memory.
const MEMBERS_MAX: usize = 1_000;
const MEMBERS_EVER_MAX: usize = 10_000;

/// Who changes members, and for which tenant.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Whose members they are.
    pub tenant_id: TenantId,
    /// As events have it.
    pub actor: Actor,
    /// What may be given: no more than this.
    pub scopes: Scopes,
    /// Whether owners are made and changed.
    pub over_owners: bool,
}

/// A member who was changed.
pub struct Written {
    /// What is known of him.
    pub member: MemberInfo,
    /// What lets him in, this once: where he was invited, and was not by the same request before.
    pub url: Option<String>,
    /// A position by which whoever reads sees the write.
    pub position: Position,
    /// Whether the idempotency key was used before.
    pub replayed: bool,
}

/// Without the link.
impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written").field("member", &self.member).finish_non_exhaustive()
    }
}

impl Authority {
    /// Who makes a request.
    pub(crate) fn of(caller: &Caller, door: &Door) -> Self {
        let is_owner = || {
            let entry = caller.member().and_then(|id| door.directory().member(id));
            entry.is_some_and(|entry| entry.member.is_active_owner())
        };
        // Who needs no credentials has the machine.
        let over_owners = matches!(caller.actor, Actor::System(_)) || is_owner();
        let (tenant_id, actor, scopes) = (caller.tenant, caller.actor.clone(), caller.scopes);
        Self { tenant_id, actor, scopes, over_owners }
    }

    /// Refuses to give, or take away, what who asks has not.
    pub(crate) fn refuse_stronger(&self, standing: Standing) -> Result<(), Problem> {
        if standing.role() == Role::Owner && !self.over_owners {
            return Err(Problem::stronger_role(
                "role: owners are made, changed and removed by owners",
            ));
        }
        match standing.scopes().iter().find(|scope| !self.scopes.allows(*scope)) {
            Some(scope) => {
                Err(Problem::stronger_role(format!("{scope} is none of the caller's scopes")))
            }
            None => Ok(()),
        }
    }

    fn metadata(&self, id: MemberId) -> Metadata {
        let actor = self.actor.to_string();
        Metadata { correlation_id: id.0, actor, ..Metadata::default() }
    }
}

/// Gives somebody a link, or another one in its place.
///
/// # Errors
/// A request that names no such person, and as of [`remove`].
pub async fn invite(
    store: &Store,
    authority: &Authority,
    request: InviteRequest,
    public_url: &str,
) -> Result<Written, Problem> {
    let wanted = request.validate().map_err(Problem::invalid)?;
    invite_once(store, authority, (wanted, public_url), None, None).await
}

/// Gives somebody a link, or finds that `key` did.
///
/// # Errors
/// A person who is a member already, more than `authority` may give, or a log that does not answer.
pub(super) async fn invite_once(
    store: &Store,
    authority: &Authority,
    (wanted, public_url): (Wanted, &str),
    key: Option<CommandKey>,
    door: Option<&Door>,
) -> Result<Written, Problem> {
    let Wanted { email, name, standing } = wanted;
    authority.refuse_stronger(standing)?;
    let (tenant, id) = (authority.tenant_id, member_id(authority.tenant_id, &email));
    let Loaded::<Member> { state, version, .. } = store.load(tenant.0, id.0).await?;
    // Another link would take the place of one that might give more.
    if state.status().is_some() && state.removed_at().is_none() {
        authority.refuse_stronger(*state.standing())?;
    }
    if let Some(door) = door {
        room_for(door, tenant, id)?;
    }
    let link = Link::mint(id, &SystemEnvironment::entropy());
    let at = store.environment().now();
    let command = MemberCommand::Invite(Box::new(MemberInvited {
        email,
        name,
        role: standing.role(),
        scopes: standing.chosen(),
        invitation_hash: link.hash(),
        expires_at: at + INVITATION_LIFE,
        invited_by: authority.actor.to_string(),
        at,
    }));
    let execute = Execute::<Member>::new(tenant.0, id.0, &command, authority.metadata(id));
    let executed = store.execute(execute.at(state, version).key(key)).await.map_err(refusal)?;
    let member = MemberInfo::of(id, &executed.state);
    match executed.appended {
        Some(Appended::Committed { first: position, .. }) => {
            let url = Some(invitation_url(public_url, &link));
            Ok(Written { member, url, position, replayed: false })
        }
        Some(Appended::Duplicate { first: position, .. }) => {
            Ok(Written { member, url: None, position, replayed: true })
        }
        None => Err(Problem::unavailable("the request made no event")),
    }
}

/// Each process has all members in memory. Those of the last half second are not counted yet.
fn room_for(door: &Door, tenant: TenantId, id: MemberId) -> Result<(), Problem> {
    let all = door.directory().members_of(tenant);
    if all.iter().any(|entry| entry.id == id && entry.member.removed_at().is_none()) {
        return Ok(());
    }
    let present = all.iter().filter(|entry| entry.member.removed_at().is_none()).count();
    let detail = match () {
        () if present >= MEMBERS_MAX => {
            format!("{present} members have not been removed, of {MEMBERS_MAX} at most: remove one")
        }
        () if all.len() >= MEMBERS_EVER_MAX => {
            format!("{} were ever invited, of {MEMBERS_EVER_MAX} at most", all.len())
        }
        () => return Ok(()),
    };
    Err(Problem::too_many_members(detail))
}

/// Gives a member another role. One that he has already changes nothing.
///
/// # Errors
/// A member that there is not, more than `authority` may give or take, the last owner, or a log that does not answer.
pub(super) async fn change_role(
    store: &Store,
    authority: &Authority,
    id: MemberId,
    standing: Standing,
    others: &[MemberId],
) -> Result<Written, Problem> {
    authority.refuse_stronger(standing)?;
    let at = store.environment().now();
    let command = MemberCommand::ChangeRole { standing, at };
    let keeps_owner = standing.role() == Role::Owner;
    take_away(store, authority, (id, &command, keeps_owner), others).await
}

/// Removes a member. His sessions end with that.
///
/// # Errors
/// A member that there is not, who has more than `authority`, the last owner, or a log that does not answer.
pub async fn remove(
    store: &Store,
    authority: &Authority,
    id: MemberId,
    others: &[MemberId],
) -> Result<Written, Problem> {
    let command = MemberCommand::Remove { at: store.environment().now() };
    take_away(store, authority, (id, &command, false), others).await
}

/// Lets a member decide on something that may take his ownership from him. `others` are those who may be owners, too.
async fn take_away(
    store: &Store,
    authority: &Authority,
    (id, command, keeps_owner): (MemberId, &MemberCommand, bool),
    others: &[MemberId],
) -> Result<Written, Problem> {
    let metadata = authority.metadata(id);
    let transacted = store
        .transact(authority.tenant_id.0, metadata, move |mut work| async move {
            let loaded = work.load::<Member>(id.0).await.map_err(refusal)?;
            let (standing, is_owner) = (*loaded.state.standing(), loaded.state.is_active_owner());
            if loaded.version == 0 {
                return Err(Problem::not_found(WHAT));
            }
            // Everybody may go himself.
            if authority.actor != Actor::User(id.0) {
                authority.refuse_stronger(standing)?;
            }
            if is_owner && !keeps_owner {
                let mut is_last = true;
                for other in others.iter().filter(|other| **other != id) {
                    let loaded = work.load::<Member>(other.0).await.map_err(refusal)?;
                    if loaded.state.is_active_owner() {
                        work.rely_on(other.0);
                        is_last = false;
                        break;
                    }
                }
                if is_last {
                    return Err(Problem::last_owner());
                }
            }
            work.decide::<Member>(id.0, command).await.map_err(refusal)?;
            Ok((work, ()))
        })
        .await;
    let mut transacted = transacted?;
    let Loaded::<Member> { state, .. } = transacted.streams.take(id.0).unwrap_or_default();
    let position = position_after(store, transacted.appended.as_ref()).await?;
    Ok(Written { member: MemberInfo::of(id, &state), url: None, position, replayed: false })
}

/// Who may be an owner beside him, as far as the directory knows.
pub(super) fn owners(door: &Door, tenant: TenantId) -> Vec<MemberId> {
    let all = door.directory().members_of(tenant).into_iter();
    all.filter(|entry| entry.member.is_active_owner()).map(|entry| entry.id).collect()
}

/// What a client is told of a member's "no".
pub(crate) fn refusal(error: ExecuteError<MemberRejection>) -> Problem {
    use MemberRejection as R;
    match error {
        ExecuteError::Rejected(R::Unknown) => Problem::not_found(WHAT),
        ExecuteError::Rejected(R::Joined) => Problem::member_joined(),
        ExecuteError::Rejected(R::NotJoined | R::Removed) => Problem::member_inactive(),
        ExecuteError::Rejected(R::NoInvitation) => Problem::invitation_invalid(),
        ExecuteError::Rejected(R::NoSuchCode | R::TooManyIdentities) => Problem::wrong_sign_in(),
        ExecuteError::Rejected(R::HasTotp) => Problem::totp_enabled(),
        error => error.into(),
    }
}
