//! Making, changing and removing routes.

use hatch_domain::account::account_id;
use hatch_domain::account_name::AccountName;
use hatch_domain::ids::{RouteId, TenantId};
use hatch_domain::route::command::{RouteCommand, RouteRejection};
use hatch_domain::route::event::{RouteChanged, RouteCreated, RouteEvent};
use hatch_domain::route::{CHANGES_MAX, Route};
use hatch_domain::{Channel, Decider as _};
use hatch_eventstore::{
    Appended, CommandKey, Execute, ExecuteError, Executed, Loaded, Position, RecordedEvent, Store,
};
use hatch_providers::provider;
use hatch_readmodel::RouteInfo;

use super::WHAT;
use super::request::{Asked, Wanted};
use crate::auth::{Caller, Door};
use crate::commands::Commands;
use crate::problem::{FieldCode, FieldError, Problem};
use crate::resources::{first_use, position_after};

/// How often a change is made up anew, where others change the route as well.
const TRIALS_MAX: usize = 8;

/// A route that was made, changed or removed.
#[derive(Debug)]
pub(super) struct Written {
    /// As it is shown.
    pub(super) route: RouteInfo,
    /// A position by which whoever reads sees it so.
    pub(super) position: Position,
    /// Whether the idempotency key was used before.
    pub(super) replayed: bool,
}

/// Makes a route, or finds the one that `key` made.
pub(super) async fn create(
    commands: &Commands,
    (caller, door): (&Caller, &Door),
    asked: Asked,
    key: Option<CommandKey>,
) -> Result<Written, Problem> {
    let (store, tenant) = (&commands.store, caller.tenant);
    if let Some(first) = first_use(store, key).await? {
        return made_before(&first);
    }
    door.room_for_a_route(tenant)?;
    let wanted = asked.of(&Route::default()).map_err(|error| Problem::invalid(vec![error]))?;
    let id = RouteId(store.environment().new_id());
    check(commands, (tenant, door), id, &wanted, true)?;
    let Wanted { name, order, terms } = wanted;
    let (created_by, at) = (caller.actor.to_string(), store.environment().now());
    let created = RouteCreated { name, order, terms, created_by, at };
    let command = RouteCommand::Create(Box::new(created));
    let executed = store.execute(execute(caller, id, &command).key(key)).await?;
    match executed.appended {
        Some(Appended::Committed { first: position, .. }) => {
            Ok(Written { route: RouteInfo::of(id, &executed.state), position, replayed: false })
        }
        // A twin was faster.
        Some(Appended::Duplicate { first, .. }) => {
            let first = store.log().read_at(first).await?;
            made_before(&first.ok_or_else(|| Problem::not_found(WHAT))?)
        }
        None => Err(Problem::unavailable("the request made no event")),
    }
}

/// Changes a route. What is so already leaves no event.
pub(super) async fn change(
    commands: &Commands,
    (caller, door): (&Caller, &Door),
    id: RouteId,
    asked: &Asked,
) -> Result<Written, Problem> {
    let (store, tenant) = (&commands.store, caller.tenant);
    for _ in 0..TRIALS_MAX {
        let Loaded::<Route> { state, version, .. } = store.load(tenant.0, id.0).await?;
        if !state.is_there() {
            return Err(Problem::not_found(WHAT));
        }
        let revision = state.revision();
        let wanted = asked.of(&state).map_err(|error| Problem::invalid(vec![error]))?;
        // An account that has gone since keeps nobody from changing something else.
        check(commands, (tenant, door), id, &wanted, asked.is_about_accounts())?;
        let Wanted { name, order, terms } = wanted;
        let to = RouteChanged { name, order, terms, at: store.environment().now() };
        let command = RouteCommand::Change { to: Box::new(to), revision };
        match store.execute(execute(caller, id, &command).at(state, version)).await {
            Ok(executed) => return written(store, id, executed).await,
            Err(ExecuteError::Rejected(RouteRejection::Moved)) => {}
            Err(error) => return Err(refusal(error)),
        }
    }
    Err(Problem::unavailable("others change the route time and again: try again in a second"))
}

/// Removes a route. One that was removed leaves no event.
pub(super) async fn remove(
    commands: &Commands,
    caller: &Caller,
    id: RouteId,
) -> Result<Written, Problem> {
    let store = &commands.store;
    let command = RouteCommand::Remove { at: store.environment().now() };
    match store.execute(execute(caller, id, &command)).await {
        Ok(executed) => written(store, id, executed).await,
        Err(error) => Err(refusal(error)),
    }
}

/// Refuses accounts that are not the tenant's, and a name that another route has.
fn check(
    commands: &Commands,
    (tenant, door): (TenantId, &Door),
    id: RouteId,
    wanted: &Wanted,
    with_accounts: bool,
) -> Result<(), Problem> {
    let errors = if with_accounts { unfit(commands, (tenant, door), wanted) } else { Vec::new() };
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    match wanted.name.as_deref() {
        Some(name) if door.has_route_called(tenant, name, id) => Err(Problem::route_exists(name)),
        _ => Ok(()),
    }
}

/// What is wrong with the accounts.
fn unfit(
    commands: &Commands,
    (tenant, door): (TenantId, &Door),
    wanted: &Wanted,
) -> Vec<FieldError> {
    let current = commands.accounts.current();
    let terms = &wanted.terms;
    let shared = terms.accounts.iter().map(|one| &one.account).enumerate();
    let shared = shared.map(|(n, name)| (format!("/accounts/{n}"), name));
    let backup = terms.backup.iter().enumerate().map(|(n, name)| (format!("/backup/{n}"), name));
    let error = |(pointer, name): (String, &AccountName)| {
        let mut own = current.iter().filter(|one| one.name == *name && one.tenants.has(tenant));
        // One that was made a moment ago is used in a moment.
        let carried = own.next().map(|one| one.channels.clone());
        let carried = carried.or_else(|| made(door, tenant, name));
        let detail = match (carried, terms.channel) {
            // Those of others are not told of.
            (None, _) => "expected an account that the tenant has".to_owned(),
            (Some(channels), Some(channel)) if !channels.contains(&channel) => {
                format!("expected an account that carries {}", channel.as_str())
            }
            (Some(_), _) => return None,
        };
        Some(FieldError::coded(FieldCode::UnknownValue, pointer, detail))
    };
    shared.chain(backup).filter_map(error).collect()
}

/// What an account of the log carries that no process may use yet.
fn made(door: &Door, tenant: TenantId, name: &AccountName) -> Option<Vec<Channel>> {
    let entry = door.account(account_id(name)).filter(|entry| entry.tenant_id == tenant)?;
    let account = entry.account.filter(|account| account.is_there())?;
    Some(match account.channels() {
        [] => provider(account.provider())?.channels().to_vec(),
        these => these.to_vec(),
    })
}

fn execute<'a>(caller: &Caller, id: RouteId, command: &'a RouteCommand) -> Execute<'a, Route> {
    Execute::new(caller.tenant.0, id.0, command, caller.metadata(id.0))
}

async fn written(
    store: &Store,
    id: RouteId,
    executed: Executed<Route>,
) -> Result<Written, Problem> {
    let position = position_after(store, executed.appended.as_ref()).await?;
    Ok(Written { route: RouteInfo::of(id, &executed.state), position, replayed: false })
}

/// The route that was made by `first`, as it was then.
fn made_before(first: &RecordedEvent) -> Result<Written, Problem> {
    let made: RouteEvent = first.decode().map_err(|error| Problem::fault(&error))?;
    if !matches!(made, RouteEvent::RouteCreated(_)) {
        return Err(Problem::key_reused());
    }
    let route = RouteInfo::of(RouteId(first.stream_id), &Route::default().evolve(&made));
    Ok(Written { route, position: first.position, replayed: true })
}

fn refusal(error: ExecuteError<RouteRejection>) -> Problem {
    match error {
        ExecuteError::Rejected(RouteRejection::Unknown) => Problem::not_found(WHAT),
        ExecuteError::Rejected(RouteRejection::TooOften) => Problem::too_many_routes(format!(
            "the route was changed {CHANGES_MAX} times, which is as often as may be: remove it, and make another"
        )),
        error => error.into(),
    }
}
