//! `hatch keys`: who may ask for what. Its texts are printed once, when they are made.

use std::cmp::Reverse;

use anyhow::{Context, anyhow, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use hatch_api::api_keys::{
    Changed, Issued, IssuedApiKey, Issuer, KeyRequest, create, revoke, rotate, shown,
};
use hatch_api::tenants;
use hatch_directory::{Directory, KeyEntry};
use hatch_domain::api_key::{AGGREGATE, KeyId, KeyType, api_key_id};
use hatch_domain::ids::TenantId;
use hatch_domain::scope::{Scope, Scopes};
use hatch_domain::{Environment as _, time};
use hatch_eventstore::{Connection, Connections, Log, Store, SystemEnvironment};
use hatch_readmodel::{KeyInfo, Page, ReadModel};

use super::writer::{Writer, actor};
use super::{ANSWER_MAX, pool, print_first};
use crate::cli::{CreateKey, Keys};
use crate::output::{field, line, moment, note};
use crate::settings::Settings;

/// Whose a key is. An id of a key stands for itself, so that nobody has to know its tenant.
const TENANT_OF: &str = "SELECT tenant_id FROM es.streams WHERE stream_id = $1 AND kind = $2";

/// Runs one of its subcommands.
pub(crate) async fn run(settings: &Settings, what: Keys) -> anyhow::Result<()> {
    match what {
        Keys::Create(flags) => make(settings, flags).await,
        Keys::List { tenant, limit, json } => list(settings, tenant, limit, json).await,
        Keys::Rotate { id, keep_old, json } => turn(settings, &id, keep_old, json).await,
        Keys::Revoke { id, json } => end(settings, &id, json).await,
    }
}

async fn make(settings: &Settings, flags: CreateKey) -> anyhow::Result<()> {
    let tenant_id = flags.tenant.unwrap_or(TenantId::DEFAULT);
    let writer = Writer::start(settings).await?;
    let made = async {
        let known = tenants::exists(&writer.store, tenant_id).await;
        let known = known.map_err(|problem| anyhow!("{problem}"))?;
        ensure!(known, "there is no tenant {tenant_id}: `hatch tenants list` shows them");
        let now = writer.store.environment().now();
        let issued = create(&writer.store, &issuer(tenant_id), request(&flags, now)?).await;
        let issued = issued.map_err(|problem| anyhow!("{problem}"))?;
        anyhow::Ok(IssuedApiKey::of(&writer.read_model, tenant_id, issued).await)
    };
    let made = made.await;
    writer.end().await?;
    print(&made?, flags.json)
}

/// The text of a key that sends messages, the first of a new tenant.
pub(super) async fn first(store: &Store, tenant: &str) -> anyhow::Result<String> {
    let made = tenants::create(store, &actor(), tenant.to_owned(), None).await;
    let tenant_id = made.map_err(|problem| anyhow!("{problem}"))?.tenant.id;
    let request = KeyRequest {
        name: Some(tenant.to_owned()),
        key_type: Some(KeyType::Live.as_str().to_owned()),
        scopes: Some(vec![Scope::MessagesWrite.to_string()]),
        senders: None,
        channels: None,
        ip_ranges: None,
        expires_at: None,
    };
    let issued = create(store, &issuer(tenant_id), request).await;
    issued.map_err(|problem| anyhow!("{problem}"))?.text.context("the key has no text")
}

/// What the flags ask for.
fn request(flags: &CreateKey, now: DateTime<Utc>) -> anyhow::Result<KeyRequest> {
    let expires_at = match flags.expires_in {
        Some(life) => {
            let end = now.checked_add_signed(life).context("--expires-in: expected less")?;
            Some(time::text(end))
        }
        None => None,
    };
    Ok(KeyRequest {
        name: Some(flags.name.clone()),
        key_type: Some(flags.key_type.as_str().to_owned()),
        scopes: Some(scopes(flags).iter().map(ToString::to_string).collect()),
        senders: Some(flags.senders.iter().map(ToString::to_string).collect()),
        channels: Some(flags.channels.iter().map(|one| one.as_str().to_owned()).collect()),
        ip_ranges: Some(flags.ip_ranges.iter().map(ToString::to_string).collect()),
        expires_at,
    })
}

/// What it may do: where nothing is said, all of its tenant, as far as its type goes.
fn scopes(flags: &CreateKey) -> Vec<Scope> {
    match (flags.scopes.is_empty(), flags.key_type) {
        (false, _) => flags.scopes.clone(),
        (true, KeyType::Live) => vec![Scope::Admin],
        (true, other) => {
            Scope::ALL.iter().copied().filter(|scope| other.may_have(*scope)).collect()
        }
    }
}

async fn turn(
    settings: &Settings,
    id: &KeyId,
    keep_old: TimeDelta,
    json: bool,
) -> anyhow::Result<()> {
    let writer = Writer::start(settings).await?;
    let turned = async {
        let tenant_id = tenant_of(&writer.pool, id).await?;
        let issued = rotate(&writer.store, &issuer(tenant_id), id, keep_old, None).await;
        let issued: Issued = issued.map_err(|problem| anyhow!("{problem}"))?;
        anyhow::Ok(IssuedApiKey::of(&writer.read_model, tenant_id, issued).await)
    };
    let turned = turned.await;
    writer.end().await?;
    print(&turned?, json)
}

async fn end(settings: &Settings, id: &KeyId, json: bool) -> anyhow::Result<()> {
    let writer = Writer::start(settings).await?;
    let ended = async {
        let tenant_id = tenant_of(&writer.pool, id).await?;
        let changed = revoke(&writer.store, &issuer(tenant_id), id).await;
        let Changed { id, key, .. } = changed.map_err(|problem| anyhow!("{problem}"))?;
        anyhow::Ok(shown(&writer.read_model, tenant_id, &id, &key).await)
    };
    let ended = ended.await;
    writer.end().await?;
    let ended = ended?;
    let now = SystemEnvironment.now();
    line(if json { serde_json::to_string(&ended)? } else { row(&ended, now) })?;
    Ok(())
}

async fn list(
    settings: &Settings,
    tenant: Option<TenantId>,
    limit: u32,
    json: bool,
) -> anyhow::Result<()> {
    let (pool, tenant) = (pool(settings)?, tenant.unwrap_or(TenantId::DEFAULT));
    let read_model = ReadModel::new(pool.clone());
    // The tables alone would lack the first keys, which no projector has read.
    let mut entries = Directory::read(&read_model, &Log::new(pool)).await?.keys();
    entries.retain(|entry| entry.tenant_id == tenant);
    entries.sort_by_key(|entry| Reverse((entry.key.created_at(), entry.key.id().clone())));
    // A key that they lack was never used.
    let used = read_model.api_keys(tenant, &Page::new(Some(limit), None)?).await?.data;
    let info = |KeyEntry { key, .. }: &KeyEntry| {
        let known = used.iter().find(|one| one.id == key.id().as_str());
        KeyInfo::of(key, known.and_then(|known| known.last_used.clone()))
    };
    let (keys, now): (Vec<_>, _) = (entries.iter().map(info).collect(), SystemEnvironment.now());
    let none = "there is no key: `hatch keys create --name first` makes one";
    print_first(&keys, (limit, json), none, |key| row(key, now))
}

/// Who has the database may give every right.
fn issuer(tenant_id: TenantId) -> Issuer {
    Issuer { tenant_id, actor: actor(), scopes: Scopes::all(), key: None }
}

async fn tenant_of(pool: &Connections, id: &KeyId) -> anyhow::Result<TenantId> {
    let stream_id = api_key_id(id).0;
    let look = async |client: &mut Connection| {
        let row = client.query_opt(TENANT_OF, &[&stream_id, &AGGREGATE]).await?;
        anyhow::Ok(row.map(|row| row.try_get(0)).transpose()?)
    };
    let found = pool.within(ANSWER_MAX, look).await?;
    found
        .map(TenantId)
        .with_context(|| format!("there is no key {id}: `hatch keys list` shows them"))
}

/// The text alone goes to the standard output, so that a script can take it.
fn print(issued: &IssuedApiKey, json: bool) -> anyhow::Result<()> {
    if json {
        line(serde_json::to_string(issued)?)?;
        return Ok(());
    }
    line(issued.text().unwrap_or_default())?;
    let info = issued.info();
    let ends = info.expires_at.map(|end| format!(", until {}", time::text(end)));
    let of_type = if info.key_type == KeyType::Live.as_str() {
        String::new()
    } else {
        format!("{} ", info.key_type)
    };
    note(format!(
        "{of_type}key {} ({}), which may do {}{}. This is its text, shown this once",
        info.id,
        field(&info.name),
        names(info),
        ends.unwrap_or_default(),
    ));
    Ok(())
}

fn names(key: &KeyInfo) -> String {
    key.scopes.iter().map(|scope| scope.to_string()).collect::<Vec<_>>().join(" ")
}

fn row(key: &KeyInfo, now: DateTime<Utc>) -> String {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "expired",
        (None, _) => key.key_type.as_str(),
    };
    let used = key.last_used.as_ref().map_or_else(
        || "never used".to_owned(),
        |used| format!("used {} from {}", moment(used.at), used.ip),
    );
    format!("{}  {state:<7}  {:<24}  {}  {used}", key.id, field(&key.name), names(key))
}
