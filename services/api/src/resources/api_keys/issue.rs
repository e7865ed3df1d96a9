//! Making, changing and ending keys, by whatever way somebody asks for it.
//!
//! The text of a key is in the answer that makes it and nowhere else: the log holds its hash. So the answer to an
//! idempotency key that was used before has the key without its text. Who has lost that answer rotates the key, or makes
//! another and revokes this one.

use std::sync::Arc;

use chrono::TimeDelta;
use hatch_domain::Decider as _;
use hatch_domain::actor::Actor;
use hatch_domain::api_key::command::{ApiKeyCommand, ApiKeyRejection};
use hatch_domain::api_key::event::{ApiKeyCreated, ApiKeyEvent};
use hatch_domain::api_key::{ApiKey, ApiKeyText, KeyId, Minted, api_key_id};
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scopes;
use hatch_eventstore::{
    Appended, CommandKey, Execute, ExecuteError, Loaded, Metadata, Position, RecordedEvent, Store,
    SystemEnvironment,
};

use super::power::Power;
use super::request::{KeyRequest, Wanted};
use crate::auth::{Caller, Door};
use crate::problem::{FieldCode, FieldError, Problem};
use crate::resources::{first_use, position_after};

/// What keys are called where there is none.
const WHAT: &str = "API key";

/// How often bytes are drawn for a key. Nearly all are good for one.
const DRAWS_MAX: usize = 8;

/// Who makes a key, or changes one, and for which tenant.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Whose keys they are.
    pub tenant_id: TenantId,
    /// As events have it.
    pub actor: Actor,
    /// What may be given to a key: no more than this.
    pub scopes: Scopes,
    /// The key by which it is asked for, which bounds senders, channels, places and time likewise.
    pub key: Option<Arc<ApiKey>>,
}

/// A key that was made, or has another text.
pub struct Issued {
    /// Which key.
    pub id: KeyId,
    /// What is known of it.
    pub key: ApiKey,
    /// What its user presents, this once; none where it was shown before.
    pub text: Option<String>,
    /// The position of the write in the log.
    pub position: Position,
    /// Whether the idempotency key was used before.
    pub replayed: bool,
}

/// Without its text.
impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A key that was changed.
#[derive(Debug)]
pub struct Changed {
    /// Which key.
    pub id: KeyId,
    /// What is known of it.
    pub key: ApiKey,
    /// A position by which whoever reads sees the change.
    pub position: Position,
}

impl From<Caller> for Issuer {
    fn from(Caller { tenant, actor, scopes, key, .. }: Caller) -> Self {
        Self { tenant_id: tenant, actor, scopes, key }
    }
}

/// Makes a key.
///
/// # Errors
/// A request that names no such key, one for more than `issuer` may do, or a log that does not answer.
pub async fn create(
    store: &Store,
    issuer: &Issuer,
    request: KeyRequest,
) -> Result<Issued, Problem> {
    let wanted = request.validate().map_err(Problem::invalid)?;
    create_once(store, issuer, wanted, None, None).await
}

/// Makes a key, or finds the one that `key` made. The door knows whether there may be another; without one there may.
pub(super) async fn create_once(
    store: &Store,
    issuer: &Issuer,
    wanted: Wanted,
    key: Option<CommandKey>,
    door: Option<&Door>,
) -> Result<Issued, Problem> {
    issuer.refuse_stronger(&Power::of_wanted(&wanted))?;
    // It may have been in time then.
    if let Some(first) = first_use(store, key).await? {
        return made_before(store, issuer.tenant_id, &first).await;
    }
    if let Some(door) = door {
        door.room_for_a_key(issuer.tenant_id)?;
    }
    let at = store.environment().now();
    if wanted.expires_at.is_some_and(|end| end <= at) {
        let detail = "expected a time to come";
        let error = FieldError::coded(FieldCode::OutOfRange, "/expires_at", detail);
        return Err(Problem::invalid(vec![error]));
    }
    let Minted { text, id, hash } = mint(|entropy| ApiKeyText::mint(wanted.key_type, entropy))?;
    let Wanted { name, key_type, scopes, senders, channels, ip_ranges, expires_at } = wanted;
    let command = ApiKeyCommand::Create(Box::new(ApiKeyCreated {
        key_id: id.clone(),
        name,
        key_type,
        scopes,
        senders,
        channels,
        ip_ranges,
        secret_hash: hash,
        expires_at,
        created_by: issuer.actor.to_string(),
        at,
    }));
    let execute = issuer.execute(&id, &command).at(ApiKey::default(), 0).key(key);
    let executed = store.execute(execute).await?;
    match executed.appended {
        Some(Appended::Committed { first: position, .. }) => {
            let key = executed.state;
            Ok(Issued { id, key, text: Some(text), position, replayed: false })
        }
        // A twin was faster.
        Some(Appended::Duplicate { first, .. }) => {
            let first = store.log().read_at(first).await?;
            let first = first.ok_or_else(|| Problem::not_found(WHAT))?;
            made_before(store, issuer.tenant_id, &first).await
        }
        None => Err(Problem::unavailable("the request made no event")),
    }
}

/// Gives a key another text. The one before works for `keep_old` longer.
///
/// # Errors
/// A key that there is not, that has ended, or that may do more than `issuer`; or a log that does not answer.
pub async fn rotate(
    store: &Store,
    issuer: &Issuer,
    id: &KeyId,
    keep_old: TimeDelta,
    key: Option<CommandKey>,
) -> Result<Issued, Problem> {
    let (tenant_id, stream_id) = (issuer.tenant_id, api_key_id(id));
    let Loaded::<ApiKey> { state, version, .. } = store.load(tenant_id.0, stream_id.0).await?;
    if version == 0 {
        return Err(Problem::not_found(WHAT));
    }
    // Whoever gets its text can do what it may.
    issuer.refuse_stronger(&Power::of_key(&state))?;
    if let Some(first) = first_use(store, key).await? {
        return rotated_before(store, tenant_id, id, first.position).await;
    }
    let Minted { text, hash, .. } =
        mint(|entropy| ApiKeyText::mint_for(state.key_type(), id.clone(), entropy))?;
    let at = store.environment().now();
    let command = ApiKeyCommand::Rotate { hash, old_until: at + keep_old, at };
    let execute = issuer.execute(id, &command).at(state, version).key(key);
    let executed = store.execute(execute).await.map_err(refusal)?;
    match executed.appended {
        Some(Appended::Committed { first: position, .. }) => {
            let (id, key) = (id.clone(), executed.state);
            Ok(Issued { id, key, text: Some(text), position, replayed: false })
        }
        Some(Appended::Duplicate { first, .. }) => {
            rotated_before(store, tenant_id, id, first).await
        }
        None => Err(Problem::unavailable("the request made no event")),
    }
}

/// Ends a key, at once and for good. One that is ended already stays so.
///
/// # Errors
/// A key that there is not, with scopes that `issuer` has not, or of a type that it does not cover; or a log that does
/// not answer.
pub async fn revoke(store: &Store, issuer: &Issuer, id: &KeyId) -> Result<Changed, Problem> {
    let Loaded::<ApiKey> { state, .. } = store.load(issuer.tenant_id.0, api_key_id(id).0).await?;
    // Else who finds a weak key keeps everybody out. Whoever has a key may end it.
    if issuer.actor != Actor::Key(id.clone()) {
        issuer.refuse_beyond(&state)?;
    }
    let command = ApiKeyCommand::Revoke { at: store.environment().now() };
    let executed = match store.execute(issuer.execute(id, &command)).await {
        Err(ExecuteError::Rejected(ApiKeyRejection::Revoked)) => None,
        executed => Some(executed.map_err(refusal)?),
    };
    let (state, appended) = match executed {
        Some(executed) => (executed.state, executed.appended),
        None => {
            let loaded = store.load::<ApiKey>(issuer.tenant_id.0, api_key_id(id).0).await?;
            (loaded.state, None)
        }
    };
    let position = position_after(store, appended.as_ref()).await?;
    Ok(Changed { id: id.clone(), key: state, position })
}

impl Issuer {
    fn execute<'a>(&self, id: &KeyId, command: &'a ApiKeyCommand) -> Execute<'a, ApiKey> {
        let stream_id = api_key_id(id).0;
        let metadata = Metadata {
            correlation_id: stream_id,
            actor: self.actor.to_string(),
            ..Metadata::default()
        };
        Execute::new(self.tenant_id.0, stream_id, command, metadata)
    }
}

/// Draws until there is a key.
fn mint(of: impl Fn(&[u8; 64]) -> Option<Minted>) -> Result<Minted, Problem> {
    let minted = (0..DRAWS_MAX).find_map(|_| of(&SystemEnvironment::entropy()));
    minted.ok_or_else(|| Problem::fault(&std::io::Error::other("chance makes no key")))
}

/// The key that was made by `first`, as it was then.
async fn made_before(
    store: &Store,
    tenant_id: TenantId,
    first: &RecordedEvent,
) -> Result<Issued, Problem> {
    match first.decode() {
        Ok(ApiKeyEvent::ApiKeyCreated(event)) => {
            rotated_before(store, tenant_id, &event.key_id, first.position).await
        }
        Ok(_) => Err(Problem::key_reused()),
        Err(error) => Err(Problem::fault(&error)),
    }
}

/// The key as it was at `position`, without its text.
async fn rotated_before(
    store: &Store,
    tenant_id: TenantId,
    id: &KeyId,
    position: Position,
) -> Result<Issued, Problem> {
    let stream_id = api_key_id(id).0;
    let events = store.log().read_stream_of(ApiKey::KIND, tenant_id.0, stream_id).await?;
    let mut key = ApiKey::default();
    for recorded in events.iter().filter(|recorded| recorded.position <= position) {
        let event: ApiKeyEvent = recorded.decode().map_err(|error| Problem::fault(&error))?;
        key = key.evolve(&event);
    }
    Ok(Issued { id: id.clone(), key, text: None, position, replayed: true })
}

fn refusal(error: ExecuteError<ApiKeyRejection>) -> Problem {
    match error {
        ExecuteError::Rejected(ApiKeyRejection::Unknown) => Problem::not_found(WHAT),
        ExecuteError::Rejected(ApiKeyRejection::Revoked) => {
            Problem::key_ended("the key is revoked")
        }
        ExecuteError::Rejected(ApiKeyRejection::Expired) => {
            Problem::key_ended("the key has expired")
        }
        error => error.into(),
    }
}
