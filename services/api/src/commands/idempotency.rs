//! `Idempotency-Key`: the same key and request make one message, for ever.

use axum::http::HeaderMap;
use hatch_eventstore::CommandKey;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::auth::Caller;
use crate::problem::{FieldError, Problem};

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

/// What is before a client's key, which has no line break, in the name of its command. Tests have keys of their own, by a
/// line more: a program that is tried with a test key and goes on with a live one repeats its keys, and must not be
/// answered by a test.
fn scope(caller: &Caller, route: &str) -> String {
    let tenant = caller.tenant;
    if caller.is_test() { format!("{tenant}\ntest\n{route}") } else { format!("{tenant}\n{route}") }
}

/// The command key of a request, if its client gave one. It covers the tenant, whether it is for tests, the route and
/// the request as it was understood: two spellings of one number are the same request.
pub(crate) fn command_key(
    headers: &HeaderMap,
    caller: &Caller,
    route: &str,
    normalised: &impl Serialize,
) -> Result<Option<CommandKey>, Problem> {
    let Some(key) = client_key(headers)? else { return Ok(None) };
    of(&format!("{}\n{key}", scope(caller, route)), normalised).map(Some)
}

/// The client's key for a batch. Each item is a command of its own, so that a batch that was interrupted
/// can be repeated, and remembers the whole batch, so that no other one passes for it.
pub(super) struct BatchKey {
    scope: String,
    client_key: String,
    request_hash: [u8; 32],
}

impl BatchKey {
    /// The key, if the client gave one, for the batch as it was understood.
    pub(super) fn of(
        headers: &HeaderMap,
        caller: &Caller,
        route: &str,
        normalised: &impl Serialize,
    ) -> Result<Option<Self>, Problem> {
        let Some(client_key) = client_key(headers)?.map(str::to_owned) else { return Ok(None) };
        let request_hash = hash(normalised)?;
        Ok(Some(Self { scope: scope(caller, route), client_key, request_hash }))
    }

    /// The command key of the item at `index`.
    pub(super) fn item(&self, index: usize) -> CommandKey {
        let Self { scope, client_key, request_hash } = self;
        let name = format!("{scope}\n{index}\n{client_key}");
        CommandKey { id: Uuid::new_v5(&NAMESPACE, name.as_bytes()), request_hash: *request_hash }
    }
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
    let request_hash = hash(normalised)?;
    Ok(CommandKey { id: Uuid::new_v5(&NAMESPACE, name.as_bytes()), request_hash })
}

fn hash(normalised: &impl Serialize) -> Result<[u8; 32], Problem> {
    let request = serde_json::to_vec(normalised).map_err(|error| Problem::fault(&error))?;
    Ok(Sha256::digest(request).into())
}

#[cfg(test)]
mod tests;
