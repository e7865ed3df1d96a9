//! The keys of clients: whether there is one, which end soon, whether the hatch that answers knows all of them, and which
//! rate limits are of none of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_directory::{Directory, KeyEntry};
use hatch_readmodel::ReadModel;
use serde_json::Value;
use tokio::net::lookup_host;

use super::database::{Database, Reached};
use super::finding::Finding;
use super::{bounded, made};
use crate::http_client::{http_client, near_client};
use crate::limits;
use crate::output::{counted, moment};
use crate::roles::{FIRST_KEY, refusal};
use crate::settings::{Authentication, Settings};

const KEYS: &str = "keys";
const LISTEN: &str = "listen";
const DIRECTORY: &str = "directory";
const RATE_LIMITS: &str = "rate limits";

/// Limits that are named in a line at most.
const NAMED_MAX: usize = 5;

/// A key that ends within this is spoken of.
const ENDS_SOON: TimeDelta = TimeDelta::days(14);

/// How long a hatch may take to say how it is.
const READY_MAX: Duration = Duration::from_secs(3);

/// All of it. Without a key `serve` listens on the loopback only: then that replaces what is said of `listen`.
pub(super) async fn check(settings: &Settings, database: &Reached) -> Vec<Finding> {
    let mut findings = match database {
        Ok(database) => of_the_log(settings, database).await,
        Err(why) => vec![Finding::not_checked(KEYS, why)],
    };
    findings.push(made(DIRECTORY, directory(settings)).await);
    findings
}

/// What the log says of the keys, and of the limits that are theirs.
async fn of_the_log(settings: &Settings, database: &Database) -> Vec<Finding> {
    // The tables alone would lack the first keys, which no projector has read.
    let read_model = ReadModel::new(database.pool.clone());
    let read = bounded(async { Ok(Directory::read(&read_model, &database.log).await?) });
    let known = match read.await {
        Ok(known) => known,
        Err(error) => return vec![made(KEYS, std::future::ready(Err(error))).await],
    };
    let looked = Looked::at(database.now, &known.keys());
    let looked = Looked { has_issuers: !settings.jwt.is_empty(), ..looked };
    let beyond = beyond_loopback(&settings.listen).await;
    let keys = found(&looked, settings.authentication, beyond);
    let of_nobody = limits::of_nobody(&settings.rate_limit, &known);
    std::iter::once(keys).chain(limits_of_nobody(&of_nobody)).collect()
}

/// Where some limits are of a route, a tenant or a key that there is not.
fn limits_of_nobody(keys: &[String]) -> Option<Finding> {
    let named = keys.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if keys.is_empty() {
        return None;
    }
    let more = if keys.len() > NAMED_MAX { " and others" } else { "" };
    let what = format!("these are of a route, a tenant or a key that there is not: {named}{more}");
    let remedy = "correct the names, which tell upper from lower case, or take the limits away";
    Some(Finding::warning(RATE_LIMITS, what, remedy))
}

/// Takes what is said of `listen` away where one of `found` says that nobody may listen there.
pub(super) fn tell(findings: &mut Vec<Finding>, found: &[Finding]) {
    if found.iter().any(|one| one.is_failure_of(LISTEN)) {
        findings.retain(|one| !one.is_good(LISTEN));
    }
}

/// What is known of the keys of all tenants.
#[derive(Debug, Default)]
struct Looked {
    live: i64,
    /// Revoked or expired.
    ended: i64,
    /// Those of the live ones that end soon.
    ending: i64,
    /// The one that ends first, and when.
    first: Option<(String, DateTime<Utc>)>,
    /// Whether others than those who have keys are let in, by tokens.
    has_issuers: bool,
}

impl Looked {
    /// What there is to say of `keys` at `now`.
    fn at(now: DateTime<Utc>, keys: &[KeyEntry]) -> Self {
        let mut looked = Self::default();
        for KeyEntry { key, .. } in keys {
            let end = key.expires_at();
            if key.revoked_at().is_some() || end.is_some_and(|end| end <= now) {
                looked.ended += 1;
                continue;
            }
            looked.live += 1;
            let Some(end) = end.filter(|end| *end <= now + ENDS_SOON) else { continue };
            looked.ending += 1;
            if looked.first.as_ref().is_none_or(|(_, first)| end < *first) {
                looked.first = Some((key.id().to_string(), end));
            }
        }
        looked
    }
}

/// The address that others than this machine reach, where it is one.
async fn beyond_loopback(listen: &str) -> Option<IpAddr> {
    let resolved: Option<SocketAddr> = match lookup_host(listen).await {
        Ok(mut addresses) => addresses.next(),
        Err(_) => None,
    };
    resolved.map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

fn found(looked: &Looked, authentication: Authentication, beyond: Option<IpAddr>) -> Finding {
    let Looked { live, ended, ending, first, has_issuers } = looked;
    if authentication == Authentication::Off {
        return Finding::good(KEYS, "authentication is off: who sends no key may do everything");
    }
    match (live, beyond) {
        (0, _) if *has_issuers => {
            return Finding::good(KEYS, "there is no key: clients come with tokens only");
        }
        (0, _) if *ended > 0 => {
            let what = format!("no key can be used: {} ended", counted(*ended, "key"));
            return Finding::warning(KEYS, what, "make another by `hatch keys create`");
        }
        (0, Some(address)) => {
            let remedy =
                "run that command with the settings of `serve`, which does not start before";
            return Finding::failure(LISTEN, refusal(address), remedy);
        }
        (0, None) => {
            return Finding::warning(
                KEYS,
                "there is no key yet: no client can ask anything",
                FIRST_KEY,
            );
        }
        _ => {}
    }
    let what = format!("{} can be used", counted(*live, "key"));
    let Some((id, end)) = first else { return Finding::good(KEYS, what) };
    let ends = if *ending == 1 { "ends" } else { "end" };
    let end = moment(*end);
    let what = format!(
        "{what}; {} {ends} within 14 days, {id} first, at {end} UTC",
        counted(*ending, "key")
    );
    let remedy =
        "make another by `hatch keys create`, give it to whoever uses that one, and let it end";
    Finding::warning(KEYS, what, remedy)
}

/// Where this machine reaches what listens on `listen`.
fn near(listen: &str) -> String {
    let Ok(mut address) = listen.parse::<SocketAddr>() else { return listen.to_owned() };
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address.to_string()
}

/// Whether the hatch that answers where one is to listen knows all keys.
async fn directory(settings: &Settings) -> anyhow::Result<Finding> {
    let listen = near(&settings.listen);
    let asked = match settings.tls.certificate_file {
        None => http_client(READY_MAX)?.get(format!("http://{listen}/ready")),
        Some(_) => near_client(READY_MAX)?.get(format!("https://{listen}/ready")),
    };
    let asked = asked.send().await;
    let said: Option<Value> = match asked {
        Ok(answer) => answer.json().await.ok(),
        Err(_) => None,
    };
    let Some(said) = said.as_ref().and_then(|said| said["dependencies"].get(DIRECTORY)) else {
        return Ok(Finding::not_checked(DIRECTORY, &format!("no hatch answers on {listen}")));
    };
    Ok(match said["status"].as_str() {
        Some("up") => {
            Finding::good(DIRECTORY, "tenants and keys are known up to the end of the log")
        }
        _ => {
            let detail = said["detail"].as_str().unwrap_or("it is behind");
            let remedy = "see the log lines of that process: keys that were made or ended just now are not \
                known there";
            Finding::failure(DIRECTORY, detail, remedy)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hatch_domain::Decider as _;
    use hatch_domain::api_key::event::{ApiKeyCreated, ApiKeyEvent, ApiKeyRevoked};
    use hatch_domain::api_key::{ApiKey, KeyType, SecretHash};
    use hatch_domain::ids::TenantId;
    use hatch_domain::scope::Scopes;

    use super::*;

    #[test]
    fn who_has_no_key_is_told_how_to_make_one_and_whose_key_ends_when() {
        let end = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let of = |live, ending| Looked {
            live,
            ending,
            first: (ending > 0).then(|| ("7Qm2xVb9Lk4R".to_owned(), end)),
            ..Looked::default()
        };
        let with_tokens = Looked { has_issuers: true, ..of(0, 0) };
        let all_ended = || Looked { ended: 2, ..of(0, 0) };
        let (required, off) = (Authentication::Required, Authentication::Off);
        let open: IpAddr = [0, 0, 0, 0].into();
        for (looked, authentication, beyond, start, says) in [
            (of(0, 0), required, None, "warning", "hatch keys create"),
            (of(0, 0), required, Some(open), "WRONG", "loopback only, not on 0.0.0.0"),
            (with_tokens, required, Some(open), "ok", "tokens only"),
            (all_ended(), required, Some(open), "warning", "no key can be used: 2 keys ended"),
            (all_ended(), off, None, "ok", "authentication is off"),
            (of(0, 0), off, None, "ok", "authentication is off"),
            (of(2, 0), required, Some(open), "ok", "2 keys can be used"),
            (of(2, 1), required, None, "warning", "1 key ends within 14 days, 7Qm2xVb9Lk4R first"),
            (of(3, 2), required, None, "warning", "2 keys end within 14 days"),
        ] {
            let line = found(&looked, authentication, beyond).to_string();
            assert!(line.starts_with(start) && line.contains(says), "{looked:?}: {line}");
        }
    }

    #[test]
    fn limits_of_nobody_are_named_and_not_all_of_many() {
        assert!(limits_of_nobody(&[]).is_none());
        let keys: Vec<String> = (1..=6).map(|n| format!("rate_limit.keys.\"{n}\"")).collect();
        let line = |keys: &[String]| limits_of_nobody(keys).expect("a warning").to_string();
        let one = line(&keys[..1]);
        assert!(
            one.starts_with("warning") && one.contains("is not: rate_limit.keys.\"1\" ->"),
            "{one}"
        );
        let six = line(keys.as_slice());
        assert!(six.contains("\"5\" and others") && !six.contains("\"6\""), "{six}");
    }

    #[test]
    fn a_key_counts_until_it_ends_and_the_first_that_does_is_named() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let key = |id: &str, days: Option<i64>| {
            let created = ApiKeyEvent::from(ApiKeyCreated {
                key_id: id.parse().expect("an id"),
                name: "shop".to_owned(),
                key_type: KeyType::Live,
                scopes: Scopes::all(),
                senders: Vec::new(),
                channels: Vec::new(),
                ip_ranges: Vec::new(),
                secret_hash: SecretHash::of("a secret"),
                expires_at: days.map(|days| now + TimeDelta::days(days)),
                created_by: "cli".to_owned(),
                at: now,
            });
            ApiKey::default().evolve(&created)
        };
        let revoked = ApiKeyEvent::from(ApiKeyRevoked { at: now });
        let keys = [
            key("000000000001", None),
            key("000000000002", Some(13)),
            key("000000000003", Some(1)),
            key("000000000004", Some(15)),
            key("000000000005", Some(0)),
            key("000000000006", None).evolve(&revoked),
        ];
        let tenant_id = TenantId::DEFAULT;
        let entry = |key| KeyEntry { tenant_id, key: Arc::new(key) };
        let Looked { live, ended, ending, first, .. } = Looked::at(now, &keys.map(entry));
        assert_eq!((live, ended, ending), (4, 2, 2));
        assert_eq!(first, Some(("000000000003".to_owned(), now + TimeDelta::days(1))));
    }
}
