//! Who is let in to a process, and whether it may listen where it does.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use hatch_api::Door;
use hatch_domain::Environment;

use super::configured::sites;
use super::process::Process;
use crate::settings::Authentication;

/// How long the keys may take to be read, where nobody listens before; and where it is only to say how to make one.
const KEYS_SECONDS_MAX: u32 = 60;
const HINT_SECONDS_MAX: u32 = 2;

/// What to do where there is no key.
pub(crate) const FIRST_KEY: &str =
    "make the first one: `hatch keys create --name first --scope admin --scope platform`";

/// How long the keys of issuers are waited for before anybody listens: requests before that would be refused.
const ISSUERS_MAX: Duration = Duration::from_secs(6);

/// The door of a process that listens on `address`.
///
/// # Errors
/// Others than this machine reach it, and nobody has a key or can get a token.
pub(super) async fn of(process: &Process, address: IpAddr) -> anyhow::Result<Door> {
    let clock: Arc<dyn Environment> = Arc::new(process.head.clock().clone());
    let (directory, tokens) = (process.directory.clone(), process.tokens.clone());
    tokens.looked(ISSUERS_MAX).await;
    let with_people = |door: Door| {
        let sites = sites(&process.settings);
        door.with_tokens(tokens.clone()).with_sessions(process.sessions.clone(), sites)
    };
    if process.settings.authentication == Authentication::Off {
        return Ok(with_people(Door::open(directory, clock)));
    }
    if !process.settings.jwt.is_empty() {
        return Ok(with_people(Door::closed(directory, clock)));
    }
    let is_near = address.is_loopback();
    let patience = if is_near { HINT_SECONDS_MAX } else { KEYS_SECONDS_MAX };
    match (has_key(process, patience).await?, is_near) {
        (true, _) => {}
        (false, true) => {
            tracing::warn!("no client can ask anything, because there is no key yet: {FIRST_KEY}");
        }
        (false, false) => bail!(refusal(address)),
    }
    Ok(with_people(Door::closed(directory, clock)))
}

/// Why a process without keys does not listen on `address`.
pub(crate) fn refusal(address: IpAddr) -> String {
    format!(
        "there is no key yet, and no issuer of tokens (`[[jwt]]`), so hatch listens on loopback only, not on \
         {address}: {FIRST_KEY}"
    )
}

/// Whether a key was ever made, once the directory has read as far as the log goes now. Where all have ended, nobody is
/// let in, and nothing is gained by roles that do not start.
async fn has_key(process: &Process, seconds: u32) -> anyhow::Result<bool> {
    let (directory, head) = (&process.directory, process.log.head().await?);
    for _ in 0..seconds {
        let has_all = directory.wait_for(head, Duration::from_secs(1)).await;
        // One is enough, and may be known long before the end of the log.
        if has_all || directory.has_keys() {
            break;
        }
    }
    Ok(directory.has_keys())
}
