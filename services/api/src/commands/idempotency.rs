//! `Idempotency-Key`: the same key and request make one message, for ever.

use axum::http::HeaderMap;
use hatch_domain::ids::TenantId;
use hatch_eventstore::CommandKey;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::Problem;
use crate::problem::FieldError;

const HEADER: &str = "idempotency-key";

/// The header, as the document has it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what is read from the headers by name")]
pub(crate) struct IdempotencyKey {
    /// One key for one request, such as `order-42`, for ever: repeated with the same request it is answered as the first
    /// time, with another it is a 422.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[ -~]+$")]
    key: Option<String>,
}

/// Characters of a key at most.
const KEY_LENGTH_MAX: usize = 255;

/// Namespace of command keys: a UUIDv4 drawn once for hatch.
const NAMESPACE: Uuid = Uuid::from_u128(0x9d3f_5f0a_6c1e_4f7b_8a52_0e4c_b7d1_93a6);

/// The command key of a request, if its client gave one. It covers the tenant, the route and the
/// request as it was understood: two spellings of one number are the same request.
pub(crate) fn command_key(
    headers: &HeaderMap,
    tenant: TenantId,
    route: &str,
    normalised: &impl Serialize,
) -> Result<Option<CommandKey>, Problem> {
    let Some(key) = client_key(headers)? else { return Ok(None) };
    of(&format!("{tenant}\n{route}\n{key}"), normalised).map(Some)
}

/// The command key of one item of a batch: each item is a command of its own, so that a batch that
/// was interrupted can be repeated.
pub(super) fn item_key(
    headers: &HeaderMap,
    tenant: TenantId,
    route: &str,
    index: usize,
    normalised: &impl Serialize,
) -> Result<Option<CommandKey>, Problem> {
    let Some(key) = client_key(headers)? else { return Ok(None) };
    of(&format!("{tenant}\n{route}\n{index}\n{key}"), normalised).map(Some)
}

/// Refuses a key that is none, for requests that use it later.
pub(super) fn check_key(headers: &HeaderMap) -> Result<(), Problem> {
    client_key(headers).map(|_| ())
}

fn client_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let printable = value
        .to_str()
        .ok()
        .filter(|key| (1..=KEY_LENGTH_MAX).contains(&key.len()) && !key.contains(char::is_control));
    if let (Some(key), None) = (printable, values.next()) {
        return Ok(Some(key));
    }
    let detail = format!("expected one key of 1 to {KEY_LENGTH_MAX} printable ASCII characters");
    Err(Problem::invalid(vec![FieldError::new("Idempotency-Key", detail)]))
}

fn of(name: &str, normalised: &impl Serialize) -> Result<CommandKey, Problem> {
    let request = serde_json::to_vec(normalised).map_err(|error| Problem::fault(&error))?;
    Ok(CommandKey {
        id: Uuid::new_v5(&NAMESPACE, name.as_bytes()),
        request_hash: Sha256::digest(request).into(),
    })
}
