//! Making and changing tenants, by whatever way somebody asks for it.
//!
//! A tenant is a stream of its own, which belongs to itself. The default tenant is there without any event: its first
//! change is recorded after its beginning.

use hatch_domain::Decider as _;
use hatch_domain::actor::Actor;
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_domain::tenant::Tenant;
use hatch_domain::tenant::command::{TenantCommand, TenantRejection};
use hatch_domain::tenant::event::TenantEvent;
use hatch_eventstore::{
    Appended, CommandKey, Execute, ExecuteError, Loaded, Log, Metadata, Position, Store,
};
use hatch_readmodel::TenantInfo;

use crate::problem::{FieldCode, FieldError, Problem};
use crate::resources::api_keys::name_of;
use crate::resources::first_use;

/// Characters of the reason of a suspension at most.
const REASON_CHARACTERS_MAX: usize = 500;

/// What tenants are called where there is none.
const WHAT: &str = "tenant";

/// A tenant that was made or changed.
#[derive(Debug)]
pub struct Written {
    /// What is known of it.
    pub tenant: TenantInfo,
    /// A position by which whoever reads sees the write.
    pub position: Position,
    /// Whether the idempotency key was used before.
    pub replayed: bool,
}

/// What becomes of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It has another name.
    Rename(String),
    /// Nothing is done for it, for a reason that somebody may have said.
    Suspend(Option<String>),
    /// Everything is done for it again.
    Resume,
}

/// What becomes of a tenant's team list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeamChange {
    /// The address is on it.
    Add(Address),
    /// The address is not on it.
    Remove(Address),
}

impl TeamChange {
    /// The address.
    #[must_use]
    pub const fn address(&self) -> &Address {
        match self {
            Self::Add(address) | Self::Remove(address) => address,
        }
    }
}

/// A team list that was changed.
#[derive(Debug)]
pub struct TeamChanged {
    /// Whose it is, with the list.
    pub tenant: Tenant,
    /// A position by which whoever reads sees the change.
    pub position: Position,
}

/// Makes a tenant, or finds the one that `key` made.
///
/// # Errors
/// A name that is none, or a log that does not answer.
pub async fn create(
    store: &Store,
    actor: &Actor,
    name: String,
    key: Option<CommandKey>,
) -> Result<Written, Problem> {
    let name = checked_name(Some(name)).map_err(Problem::invalid)?;
    if let Some(first) = first_use(store, key).await? {
        return made_before(store, TenantId(first.stream_id), first.position).await;
    }
    let environment = store.environment();
    let (id, at) = (TenantId(environment.new_id()), environment.now());
    let command = TenantCommand::Create { name, at };
    let execute = execute(actor, id, &command).at(Tenant::default(), 0).key(key);
    match store.execute(execute).await?.appended {
        Some(Appended::Committed { first: position, .. }) => {
            let tenant = known(store.log(), id, position).await?.unwrap_or_else(|| empty(id));
            Ok(Written { tenant, position, replayed: false })
        }
        // A twin was faster.
        Some(Appended::Duplicate { first, .. }) => {
            let recorded = store.log().read_at(first).await?;
            let recorded = recorded.ok_or_else(|| Problem::not_found(WHAT))?;
            made_before(store, TenantId(recorded.stream_id), first).await
        }
        None => Err(Problem::unavailable("the request made no event")),
    }
}

/// Changes a tenant. What is so already leaves no event.
///
/// # Errors
/// A tenant that there is not, a name or reason that is none, or a log that does not answer.
pub async fn change(
    store: &Store,
    actor: &Actor,
    id: TenantId,
    changes: Vec<Change>,
) -> Result<Written, Problem> {
    let changes = changes.into_iter().map(checked).collect::<Result<Vec<_>, _>>();
    let changes = changes.map_err(Problem::invalid)?;
    let mut position = None;
    for change in changes {
        let at = store.environment().now();
        let command = match change {
            Change::Rename(name) => TenantCommand::Rename { name, at },
            Change::Suspend(reason) => TenantCommand::Suspend { reason, at },
            Change::Resume => TenantCommand::Resume { at },
        };
        position = apply(store, actor, id, &command).await?.or(position);
    }
    let position = match position {
        Some(position) => position,
        // It was so already: whoever reads up to here sees it.
        None => store.log().head().await?,
    };
    let tenant = known(store.log(), id, position).await?.ok_or_else(|| Problem::not_found(WHAT))?;
    Ok(Written { tenant, position, replayed: false })
}

/// Changes a tenant's team list. What is so already leaves no event.
///
/// # Errors
/// A tenant that there is not, a list that is full, or a log that does not answer.
pub async fn change_team(
    store: &Store,
    actor: &Actor,
    id: TenantId,
    change: &TeamChange,
) -> Result<TeamChanged, Problem> {
    let Loaded { state: tenant, version, .. } = store.load::<Tenant>(id.0, id.0).await?;
    if version == 0 && !is_default(id) {
        return Err(Problem::not_found(WHAT));
    }
    let (address, at) = (change.address().clone(), store.environment().now());
    let (command, is_so) = match change {
        TeamChange::Add(_) => {
            let is_so = tenant.is_of_team(&address);
            (TenantCommand::AddTeamRecipient { address, at }, is_so)
        }
        TeamChange::Remove(_) => {
            let is_so = !tenant.is_of_team(&address);
            (TenantCommand::RemoveTeamRecipient { address, at }, is_so)
        }
    };
    let appended = if is_so { None } else { apply(store, actor, id, &command).await? };
    let position = match appended {
        Some(position) => position,
        // It was so already: whoever reads up to here sees it.
        None => store.log().head().await?,
    };
    let Loaded { state: tenant, .. } = store.load::<Tenant>(id.0, id.0).await?;
    Ok(TeamChanged { tenant, position })
}

/// Whether there is such a tenant.
///
/// # Errors
/// When the log does not answer.
pub async fn exists(store: &Store, id: TenantId) -> Result<bool, Problem> {
    Ok(find(store.log(), id).await?.is_some())
}

/// The tenant as the log tells of it, which no projector has to have read.
///
/// # Errors
/// When the log does not answer.
pub async fn find(log: &Log, id: TenantId) -> Result<Option<TenantInfo>, Problem> {
    known(log, id, log.head().await?).await
}

/// Where it was recorded; nowhere if it was so already.
async fn apply(
    store: &Store,
    actor: &Actor,
    id: TenantId,
    command: &TenantCommand,
) -> Result<Option<Position>, Problem> {
    let mut executed = store.execute(execute(actor, id, command)).await;
    let is_unknown = matches!(&executed, Err(ExecuteError::Rejected(TenantRejection::Unknown)));
    if is_unknown && is_default(id) {
        let TenantInfo { name, .. } = TenantInfo::default_tenant();
        let begin = TenantCommand::Create { name, at: store.environment().now() };
        match store.execute(execute(actor, id, &begin)).await {
            // Another was faster.
            Ok(_) | Err(ExecuteError::Rejected(_)) => {}
            Err(error) => return Err(error.into()),
        }
        executed = store.execute(execute(actor, id, command)).await;
    }
    match executed {
        Ok(executed) => Ok(executed.appended.map(|appended| appended.last())),
        Err(ExecuteError::Rejected(TenantRejection::Unknown)) => Err(Problem::not_found(WHAT)),
        Err(ExecuteError::Rejected(full @ TenantRejection::TeamListFull)) => {
            Err(Problem::team_list_full(full.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

fn execute<'a>(actor: &Actor, id: TenantId, command: &'a TenantCommand) -> Execute<'a, Tenant> {
    let metadata =
        Metadata { correlation_id: id.0, actor: actor.to_string(), ..Metadata::default() };
    Execute::new(id.0, id.0, command, metadata)
}

/// The tenant that was made at `position`, as it was then.
async fn made_before(store: &Store, id: TenantId, position: Position) -> Result<Written, Problem> {
    let tenant = known(store.log(), id, position).await?.ok_or_else(|| Problem::not_found(WHAT))?;
    Ok(Written { tenant, position, replayed: true })
}

/// The tenant as its events up to `until` tell of it.
async fn known(log: &Log, id: TenantId, until: Position) -> Result<Option<TenantInfo>, Problem> {
    let events = log.read_stream_of(Tenant::KIND, id.0, id.0).await?;
    let mut tenant = (is_default(id)).then(TenantInfo::default_tenant);
    for recorded in events.iter().filter(|recorded| recorded.position <= until) {
        let event: TenantEvent = recorded.decode().map_err(|error| Problem::fault(&error))?;
        evolve(tenant.get_or_insert_with(|| empty(id)), event);
    }
    Ok(tenant)
}

/// Whether it is the tenant that is there without any event.
fn is_default(id: TenantId) -> bool {
    TenantInfo::default_tenant().id == id
}

/// A tenant of which nothing is known yet.
fn empty(id: TenantId) -> TenantInfo {
    TenantInfo { id, name: String::new(), ..TenantInfo::default_tenant() }
}

fn evolve(tenant: &mut TenantInfo, event: TenantEvent) {
    let at = match event {
        TenantEvent::TenantCreated(event) => {
            (tenant.name, tenant.created_at) = (event.name, Some(event.at));
            event.at
        }
        TenantEvent::TenantRenamed(event) => {
            tenant.name = event.name;
            event.at
        }
        TenantEvent::TenantSuspended(event) => {
            tenant.suspended_at.get_or_insert(event.at);
            tenant.suspended_for = event.reason;
            event.at
        }
        TenantEvent::TenantResumed(event) => {
            (tenant.suspended_at, tenant.suspended_for) = (None, None);
            event.at
        }
        TenantEvent::TeamRecipientAdded(event) => event.at,
        TenantEvent::TeamRecipientRemoved(event) => event.at,
    };
    tenant.updated_at = Some(at);
}

/// A name of 1 to 100 characters.
pub(super) fn checked_name(name: Option<String>) -> Result<String, Vec<FieldError>> {
    let mut errors = Vec::new();
    name_of("/name", name, &mut errors).ok_or(errors)
}

fn checked(change: Change) -> Result<Change, Vec<FieldError>> {
    match change {
        Change::Rename(name) => checked_name(Some(name)).map(Change::Rename),
        Change::Suspend(Some(reason)) => match reason_fault(&reason) {
            Some(error) => Err(vec![error]),
            None => Ok(Change::Suspend(Some(reason))),
        },
        change => Ok(change),
    }
}

/// What is wrong with the reason of a suspension.
fn reason_fault(reason: &str) -> Option<FieldError> {
    let (code, detail) = match reason.chars().count() {
        0 => (FieldCode::Required, format!("expected 1 to {REASON_CHARACTERS_MAX} characters")),
        1..=REASON_CHARACTERS_MAX if reason.contains(char::is_control) => {
            (FieldCode::ForbiddenCharacter, "expected no control characters".to_owned())
        }
        1..=REASON_CHARACTERS_MAX => return None,
        _ => (FieldCode::TooLong, format!("expected 1 to {REASON_CHARACTERS_MAX} characters")),
    };
    Some(FieldError::coded(code, "/reason", detail))
}
