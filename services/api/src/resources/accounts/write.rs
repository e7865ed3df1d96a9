//! Making, changing and removing accounts.
//!
//! What its provider would refuse is refused before anything is written, by the provider's own reading. So an account in
//! the log is one that was good when it was written.

use std::collections::BTreeMap;

use hatch_domain::Decider as _;
use hatch_domain::account::command::{AccountCommand, AccountRejection};
use hatch_domain::account::event::{AccountChanged, AccountCreated, AccountEvent};
use hatch_domain::account::{Account, account_id};
use hatch_domain::account_name::AccountName;
use hatch_domain::ids::{AccountId, TenantId};
use hatch_domain::scope::Scope;
use hatch_domain::sealed::Sealed;
use hatch_eventstore::{
    AppendError, Appended, CommandKey, Execute, ExecuteError, Executed, Loaded, Position,
    RecordedEvent, Store,
};
use hatch_providers::{faults, is_of_this_machine, provider};
use hatch_readmodel::AccountInfo;
use hatch_seal::SealError;
use serde_json::{Map, Value};

use super::WHAT;
use super::request::{Asked, Secrets, Wanted, parted};
use super::vault::{Draft, Unusable, Vault, place};
use crate::auth::{Caller, Door};
use crate::commands::Commands;
use crate::field_error::token;
use crate::problem::{FieldCode, FieldError, Problem};
use crate::resources::{first_use, position_after};

/// How often a change is made up anew, where others change the account as well.
const TRIALS_MAX: usize = 8;

/// What an account has that is no setting of its provider.
const COMMON: [&str; 3] = ["channels", "senders", "traffic"];

/// An account that was made, changed or removed.
#[derive(Debug)]
pub(super) struct Written {
    /// What may be shown of it.
    pub(super) account: AccountInfo,
    /// A position by which whoever reads sees it so.
    pub(super) position: Position,
    /// Whether the idempotency key was used before.
    pub(super) replayed: bool,
}

/// Makes an account, or finds the one that `key` made.
pub(super) async fn create(
    commands: &Commands,
    (caller, door): (&Caller, &Door),
    wanted: Wanted,
    key: Option<CommandKey>,
) -> Result<Written, Problem> {
    let (store, vault, tenant) = (&commands.store, &commands.vault, caller.tenant);
    if let Some(first) = first_use(store, key).await? {
        return made_before(&first);
    }
    if !vault.keyring.can_seal() {
        return Err(Problem::no_master_key());
    }
    let draft = Draft {
        name: &wanted.name,
        provider: wanted.provider,
        channels: &wanted.channels,
        senders: &wanted.senders,
        traffic: wanted.traffic,
        limits: wanted.limits,
        on_doubt: wanted.on_doubt,
        settings: &wanted.settings,
        secrets: &wanted.secrets.0,
    };
    check(vault, caller, &draft)?;
    let id = account_id(&wanted.name);
    door.room_for_an_account(tenant, id)?;
    // Those of the log, the log itself tells of.
    if is_used(vault, &wanted.name) && door.account(id).is_none() {
        return Err(Problem::account_exists(&wanted.name));
    }
    let secrets = sealed(vault, (tenant, id), &wanted.secrets.0)?;
    let Wanted { name, provider, channels, senders, traffic, limits, on_doubt, settings, .. } =
        wanted;
    let (provider, created_by) = (provider.to_owned(), caller.actor.to_string());
    let at = store.environment().now();
    let command = AccountCommand::Create(Box::new(AccountCreated {
        name: name.clone(),
        provider,
        channels,
        senders,
        traffic,
        limits,
        on_doubt,
        settings,
        secrets,
        created_by,
        at,
    }));
    let executed = store.execute(execute(caller, id, &command).key(key)).await;
    let executed = executed.map_err(|error| match error {
        ExecuteError::Rejected(AccountRejection::Exists)
        | ExecuteError::Append(AppendError::ForeignTenant(_)) => Problem::account_exists(&name),
        error => error.into(),
    })?;
    match executed.appended {
        Some(Appended::Committed { first: position, .. }) => {
            Ok(Written { account: AccountInfo::of(&executed.state), position, replayed: false })
        }
        // A twin was faster.
        Some(Appended::Duplicate { first, .. }) => {
            let first = store.log().read_at(first).await?;
            let first = first.ok_or_else(|| Problem::not_found(WHAT))?;
            made_before(&first)
        }
        None => Err(Problem::unavailable("the request made no event")),
    }
}

/// Changes an account. What is so already leaves no event.
pub(super) async fn change(
    commands: &Commands,
    caller: &Caller,
    name: &AccountName,
    asked: Asked,
) -> Result<Written, Problem> {
    let (store, id) = (&commands.store, account_id(name));
    for _ in 0..TRIALS_MAX {
        let Loaded::<Account> { state, version, .. } = store.load(caller.tenant.0, id.0).await?;
        if !state.is_there() {
            break;
        }
        let revision = state.revision();
        let to = changed(commands, caller, (id, &state), &asked)?;
        let command = AccountCommand::Change { to: Box::new(to), revision };
        let execute = execute(caller, id, &command).at(state, version);
        match store.execute(execute).await {
            Ok(executed) => return written(store, executed).await,
            Err(ExecuteError::Rejected(AccountRejection::Moved)) => {}
            Err(error) => return Err(refusal(error)),
        }
    }
    Err(Problem::not_found(WHAT))
}

/// Removes an account. One that was removed leaves no event.
pub(super) async fn remove(
    commands: &Commands,
    caller: &Caller,
    name: &AccountName,
) -> Result<Written, Problem> {
    let (store, id) = (&commands.store, account_id(name));
    let command = AccountCommand::Remove { at: store.environment().now() };
    match store.execute(execute(caller, id, &command)).await {
        Ok(executed) => written(store, executed).await,
        Err(error) => Err(refusal(error)),
    }
}

/// The account as it is to be after `asked`, whole.
fn changed(
    commands: &Commands,
    caller: &Caller,
    (id, state): (AccountId, &Account),
    asked: &Asked,
) -> Result<AccountChanged, Problem> {
    let (vault, tenant) = (&commands.vault, caller.tenant);
    let name = state.name().ok_or_else(|| Problem::not_found(WHAT))?;
    let Some(provider) = provider(state.provider()) else {
        let unknown = Unusable::Provider(state.provider().to_owned());
        return Err(Problem::fault(&unknown));
    };
    let (mut settings, mut kept) = (state.settings().clone(), state.secrets().clone());
    let (public, Secrets(secret)) = parted(provider, asked.settings.0.clone());
    for (key, value) in public {
        set(&mut settings, key, value);
    }
    // What is replaced or taken away need not open.
    kept.retain(|key, _| !secret.contains_key(key));
    let before = vault.opened(tenant, id, &kept).map_err(|why| refused(&why))?;
    let new: BTreeMap<String, Value> =
        secret.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let mut secrets = before;
    secrets.extend(new.iter().map(|(key, value)| (key.clone(), value.clone())));
    let channels = asked.channels.clone().unwrap_or_else(|| state.channels().to_vec());
    let senders = asked.senders.clone().unwrap_or_else(|| state.senders().to_vec());
    let traffic = asked.traffic.unwrap_or_else(|| state.traffic());
    let limits = asked.limits.of(state.limits());
    let on_doubt = asked.on_doubt.unwrap_or_else(|| state.on_doubt());
    check(
        vault,
        caller,
        &Draft {
            name,
            provider: provider.name(),
            channels: &channels,
            senders: &senders,
            traffic,
            limits,
            on_doubt,
            settings: &settings,
            secrets: &secrets,
        },
    )?;
    kept.extend(resealed(vault, (tenant, id), state.secrets(), &new)?);
    let at = commands.store.environment().now();
    Ok(AccountChanged { channels, senders, traffic, limits, on_doubt, settings, secrets: kept, at })
}

fn set(settings: &mut BTreeMap<String, Value>, key: String, value: Value) {
    if value.is_null() {
        settings.remove(&key);
    } else {
        settings.insert(key, value);
    }
}

/// Secrets that somebody has sent, sealed. One that is kept already stays as it is sealed, so that a request that is
/// repeated changes nothing.
fn resealed(
    vault: &Vault,
    (tenant, id): (TenantId, AccountId),
    kept: &BTreeMap<String, Sealed>,
    new: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Sealed>, Problem> {
    let is_kept = |key: &String, value: &Value| {
        let sealed = kept.get(key)?;
        let one = BTreeMap::from([(key.clone(), sealed.clone())]);
        let opened = vault.opened(tenant, id, &one).ok()?;
        (opened.get(key) == Some(value)).then(|| sealed.clone())
    };
    let (mut all, mut unknown) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in new {
        match is_kept(key, value) {
            Some(sealed) => {
                all.insert(key.clone(), sealed);
            }
            None => {
                unknown.insert(key.clone(), value.clone());
            }
        }
    }
    all.extend(sealed(vault, (tenant, id), &unknown)?);
    Ok(all)
}

/// Refuses what no account can be, and what the caller may not make one.
fn check(vault: &Vault, caller: &Caller, draft: &Draft<'_>) -> Result<(), Problem> {
    // All that is wrong at once, where that can be seen of each setting by itself.
    if let Some(provider) = provider(draft.provider) {
        let all = draft.settings.iter().chain(draft.secrets);
        let all: Map<String, Value> =
            all.map(|(key, value)| (key.clone(), value.clone())).collect();
        let faults = faults(&all, provider.schema());
        let errors: Vec<FieldError> = faults.iter().filter_map(setting_error).collect();
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
    }
    let made = vault.made(caller.tenant, draft).map_err(|why| refused(&why))?;
    // A tenant must not have hatch call whatever it reaches.
    if !made.is_at_provider {
        caller.require(Scope::Platform)?;
    } else if is_of_this_machine(&made.reached_by) {
        return Err(unreached(draft.provider));
    }
    // Whoever has the same one could sign its webhooks by a token of his own, or have it paused.
    let current = vault.accounts.current();
    if current.iter().any(|one| one.name != made.name && one.key() == made.key()) {
        return Err(Problem::account_in_use(made.provider));
    }
    Ok(())
}

/// Refuses an account whose provider could not tell what became of a message.
fn unreached(named: &str) -> Problem {
    let provider = provider(named);
    let title = provider.map_or(named, |provider| provider.title());
    let sets_it =
        provider.is_some_and(|one| one.schema()["properties"].get("public_url").is_some());
    let pointer = if sets_it { "/settings/public_url" } else { "/settings" };
    let detail = format!(
        "expected an account that {title} can report to: its public_url, or else that of the installation, leads to \
         this machine only"
    );
    Problem::invalid(vec![FieldError::new(pointer, detail)])
}

fn is_used(vault: &Vault, name: &AccountName) -> bool {
    vault.accounts.current().iter().any(|one| one.name == *name)
}

fn sealed(
    vault: &Vault,
    (tenant, id): (TenantId, AccountId),
    secrets: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Sealed>, Problem> {
    let seal = |(key, value): (&String, &Value)| {
        let json = serde_json::to_vec(value).map_err(|error| Problem::fault(&error))?;
        let sealed = vault.keyring.seal(&json, &place(tenant, id, key));
        sealed.map(|sealed| (key.clone(), sealed)).map_err(|error| match error {
            SealError::NoMasterKey => Problem::no_master_key(),
            SealError::TooLong => {
                let pointer = format!("/settings{}", token(key));
                let error = FieldError::coded(FieldCode::TooLong, pointer, error.to_string());
                Problem::invalid(vec![error])
            }
            SealError::NoChance => Problem::fault(&error),
        })
    };
    secrets.iter().map(seal).collect()
}

/// What is said of an account that could not be used.
fn refused(why: &Unusable) -> Problem {
    let error = match why {
        Unusable::Sealed { why: hatch_seal::OpenError::Damaged, .. } => None,
        Unusable::Sealed { .. } => return Problem::without_master_key(why.to_string()),
        Unusable::Unreadable | Unusable::Provider(_) => None,
        Unusable::Name => {
            let detail = "expected a name that is no provider's, such as main";
            Some(FieldError::new("/name", detail))
        }
        Unusable::Slow(max) => {
            let detail = format!("expected at most {} here", max.as_millis());
            let pointer = "/settings/http_timeout_ms";
            Some(FieldError::coded(FieldCode::OutOfRange, pointer, detail))
        }
        Unusable::Setting(error) => setting_error(error),
    };
    error.map_or_else(|| Problem::fault(why), |error| Problem::invalid(vec![error]))
}

/// What is said of a wrong setting; none where the settings are not at fault.
fn setting_error(error: &hatch_providers::Error) -> Option<FieldError> {
    use hatch_providers::Error as E;

    Some(match error {
        E::Client(_) => return None,
        E::Setting { setting, expected } => {
            FieldError::new(pointer(setting), format!("expected {expected}"))
        }
        E::SettingType { setting, expected } => {
            let detail = format!("expected {expected}");
            FieldError::coded(FieldCode::WrongType, pointer(setting), detail)
        }
        E::UnknownSetting { setting, known } => {
            let detail = format!("expected one of {known}");
            FieldError::coded(FieldCode::UnknownField, pointer(setting), detail)
        }
        E::MissingSetting { setting } => {
            FieldError::coded(FieldCode::Required, pointer(setting), "is required")
        }
        E::SettingForm => {
            FieldError::new("/settings", "expected what docs/configuration.md says of them")
        }
    })
}

fn pointer(setting: &str) -> String {
    let is_common = COMMON.contains(&setting);
    if is_common { token(setting) } else { format!("/settings{}", token(setting)) }
}

fn execute<'a>(
    caller: &Caller,
    id: AccountId,
    command: &'a AccountCommand,
) -> Execute<'a, Account> {
    Execute::new(caller.tenant.0, id.0, command, caller.metadata(id.0))
}

async fn written(store: &Store, executed: Executed<Account>) -> Result<Written, Problem> {
    let position = position_after(store, executed.appended.as_ref()).await?;
    Ok(Written { account: AccountInfo::of(&executed.state), position, replayed: false })
}

/// The account that was made by `first`, as it was then.
fn made_before(first: &RecordedEvent) -> Result<Written, Problem> {
    let made: AccountEvent = first.decode().map_err(|error| Problem::fault(&error))?;
    if !matches!(made, AccountEvent::AccountCreated(_)) {
        return Err(Problem::key_reused());
    }
    let account = AccountInfo::of(&Account::default().evolve(&made));
    Ok(Written { account, position: first.position, replayed: true })
}

fn refusal(error: ExecuteError<AccountRejection>) -> Problem {
    match error {
        ExecuteError::Rejected(AccountRejection::Unknown) => Problem::not_found(WHAT),
        error => error.into(),
    }
}
