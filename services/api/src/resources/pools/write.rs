//! Making, changing and removing pools.

use hatch_domain::Decider as _;
use hatch_domain::ids::PoolId;
use hatch_domain::pool::command::{PoolCommand, PoolRejection};
use hatch_domain::pool::event::{PoolChanged, PoolCreated, PoolEvent};
use hatch_domain::pool::{CHANGES_MAX, Pool, PoolName, pool_id};
use hatch_eventstore::{
    Appended, CommandKey, Execute, ExecuteError, Executed, Loaded, Position, RecordedEvent, Store,
};
use hatch_readmodel::PoolInfo;

use super::WHAT;
use super::request::{Asked, Wanted};
use crate::auth::{Caller, Door};
use crate::commands::Commands;
use crate::problem::Problem;
use crate::resources::{first_use, position_after};

/// How often a change is made up anew, where others change the pool as well.
const TRIALS_MAX: usize = 8;

/// A pool that was made, changed or removed.
#[derive(Debug)]
pub(super) struct Written {
    /// As it is shown.
    pub(super) pool: PoolInfo,
    /// A position by which whoever reads sees it so.
    pub(super) position: Position,
    /// Whether the idempotency key was used before.
    pub(super) replayed: bool,
}

/// Makes a pool, or finds the one that `key` made.
pub(super) async fn create(
    commands: &Commands,
    (caller, door): (&Caller, &Door),
    wanted: Wanted,
    key: Option<CommandKey>,
) -> Result<Written, Problem> {
    let (store, tenant) = (&commands.store, caller.tenant);
    if let Some(first) = first_use(store, key).await? {
        return made_before(&first);
    }
    let Wanted { name, terms } = wanted;
    let id = pool_id(tenant, &name);
    door.room_for_a_pool(tenant, id)?;
    let (created_by, at) = (caller.actor.to_string(), store.environment().now());
    let created = PoolCreated { name: name.clone(), terms, created_by, at };
    let command = PoolCommand::Create(Box::new(created));
    let executed = store.execute(execute(caller, id, &command).key(key)).await;
    let executed = executed.map_err(|error| match error {
        ExecuteError::Rejected(PoolRejection::Exists) => Problem::pool_exists(name.as_str()),
        error => refusal(error),
    })?;
    match executed.appended {
        Some(Appended::Committed { first: position, .. }) => {
            Ok(Written { pool: PoolInfo::of(&executed.state), position, replayed: false })
        }
        // A twin was faster.
        Some(Appended::Duplicate { first, .. }) => {
            let first = store.log().read_at(first).await?;
            made_before(&first.ok_or_else(|| Problem::not_found(WHAT))?)
        }
        None => Err(Problem::unavailable("the request made no event")),
    }
}

/// Changes a pool. What is so already leaves no event.
pub(super) async fn change(
    commands: &Commands,
    caller: &Caller,
    name: &PoolName,
    asked: &Asked,
) -> Result<Written, Problem> {
    let (store, id) = (&commands.store, pool_id(caller.tenant, name));
    for _ in 0..TRIALS_MAX {
        let Loaded::<Pool> { state, version, .. } = store.load(caller.tenant.0, id.0).await?;
        if !state.is_there() {
            return Err(Problem::not_found(WHAT));
        }
        let revision = state.revision();
        let terms = asked.of(state.terms()).map_err(Problem::invalid)?;
        let to = PoolChanged { terms, at: store.environment().now() };
        let command = PoolCommand::Change { to: Box::new(to), revision };
        match store.execute(execute(caller, id, &command).at(state, version)).await {
            Ok(executed) => return written(store, executed).await,
            Err(ExecuteError::Rejected(PoolRejection::Moved)) => {}
            Err(error) => return Err(refusal(error)),
        }
    }
    Err(Problem::unavailable("others change the pool time and again: try again in a second"))
}

/// Removes a pool. One that was removed leaves no event.
pub(super) async fn remove(
    commands: &Commands,
    caller: &Caller,
    name: &PoolName,
) -> Result<Written, Problem> {
    let (store, id) = (&commands.store, pool_id(caller.tenant, name));
    let command = PoolCommand::Remove { at: store.environment().now() };
    match store.execute(execute(caller, id, &command)).await {
        Ok(executed) => written(store, executed).await,
        Err(error) => Err(refusal(error)),
    }
}

fn execute<'a>(caller: &Caller, id: PoolId, command: &'a PoolCommand) -> Execute<'a, Pool> {
    Execute::new(caller.tenant.0, id.0, command, caller.metadata(id.0))
}

async fn written(store: &Store, executed: Executed<Pool>) -> Result<Written, Problem> {
    let position = position_after(store, executed.appended.as_ref()).await?;
    Ok(Written { pool: PoolInfo::of(&executed.state), position, replayed: false })
}

/// The pool that was made by `first`, as it was then.
fn made_before(first: &RecordedEvent) -> Result<Written, Problem> {
    let made: PoolEvent = first.decode().map_err(|error| Problem::fault(&error))?;
    if !matches!(made, PoolEvent::PoolCreated(_)) {
        return Err(Problem::key_reused());
    }
    let pool = PoolInfo::of(&Pool::default().evolve(&made));
    Ok(Written { pool, position: first.position, replayed: true })
}

fn refusal(error: ExecuteError<PoolRejection>) -> Problem {
    match error {
        ExecuteError::Rejected(PoolRejection::Unknown) => Problem::not_found(WHAT),
        ExecuteError::Rejected(PoolRejection::TooOften) => Problem::too_many_pools(format!(
            "the pool was changed {CHANGES_MAX} times, which is as often as may be: make one of another name"
        )),
        error => error.into(),
    }
}
