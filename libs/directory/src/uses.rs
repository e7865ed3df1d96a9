//! When each key was used last: noted in memory, and written some seconds later in one statement for all.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::Environment;
use hatch_domain::api_key::KeyId;
use hatch_domain::ids::TenantId;
use hatch_eventstore::{Connection, Connections, Unanswered, log_unless_away};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Between two writes.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// How long PostgreSQL may take for one.
const WRITE_MAX: Duration = Duration::from_secs(4);

/// Keys of one write at most; the others are in the next one.
const WRITE_KEYS_MAX: usize = 1_000;

/// Bytes of a program's name at most; what is beyond is left out.
const USER_AGENT_BYTES_MAX: usize = 256;

/// In one order for all writers, so that two never wait for each other.
const WRITE: &str = "
    INSERT INTO access.key_uses AS k (key_id, tenant_id, at, ip, user_agent)
    SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::inet[], $5::text[])
                  AS u(key_id, tenant_id, at, ip, user_agent)
     ORDER BY key_id
    ON CONFLICT (key_id) DO UPDATE
       SET tenant_id = EXCLUDED.tenant_id, at = EXCLUDED.at, ip = EXCLUDED.ip,
           user_agent = EXCLUDED.user_agent
     WHERE k.at < EXCLUDED.at";

/// A use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// When.
    pub at: DateTime<Utc>,
    /// From where.
    pub ip: IpAddr,
    /// By which program, as that calls itself.
    user_agent: Option<String>,
}

impl Use {
    /// The program, as it calls itself.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// A use at that time, from there, by the program that calls itself so. Of its name 256 bytes are kept, without
    /// control characters.
    #[must_use]
    pub fn new(at: DateTime<Utc>, ip: IpAddr, user_agent: Option<&str>) -> Self {
        Self { at, ip, user_agent: user_agent.map(readable) }
    }
}

/// The last use of each key that was used since the last write.
#[derive(Default)]
pub(crate) struct Uses(Mutex<Noted>);

type Noted = BTreeMap<KeyId, (TenantId, Use)>;

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// There is no connection, or no answer in time.
    #[error("no answer from the database")]
    Unanswered(#[from] Unanswered),
    /// PostgreSQL refused or was lost.
    #[error("the database refused or was lost")]
    Postgres(#[from] tokio_postgres::Error),
}

impl Uses {
    pub(crate) fn note(&self, id: &KeyId, tenant_id: TenantId, used: Use) {
        keep(&mut self.lock(), id.clone(), (tenant_id, used));
    }

    /// How many writes what is noted now takes.
    fn writes(&self) -> usize {
        self.lock().len().div_ceil(WRITE_KEYS_MAX)
    }

    /// What is to be written now.
    fn take(&self) -> Noted {
        let mut noted = self.lock();
        let rest = match noted.keys().nth(WRITE_KEYS_MAX).cloned() {
            Some(first) => noted.split_off(&first),
            None => Noted::new(),
        };
        std::mem::replace(&mut *noted, rest)
    }

    /// It was not written: it waits for the next time, beside what came meanwhile.
    fn put_back(&self, unwritten: Noted) {
        let mut noted = self.lock();
        for (id, used) in unwritten {
            keep(&mut noted, id, used);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest use of a key is kept.
fn keep(noted: &mut Noted, id: KeyId, used: (TenantId, Use)) {
    if noted.get(&id).is_none_or(|(_, before)| before.at <= used.1.at) {
        noted.insert(id, used);
    }
}

/// A program's name as a table takes it.
fn readable(name: &str) -> String {
    let mut text: String = name.chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(USER_AGENT_BYTES_MAX));
    text
}

/// Writes what is noted every some seconds, for ever. Nothing is asked where nothing is noted.
pub(crate) async fn write_for_ever(
    uses: &Uses,
    connections: &Connections,
    environment: &dyn Environment,
) -> Infallible {
    loop {
        environment.sleep(WRITE_INTERVAL).await;
        write_noted(uses, connections).await;
    }
}

/// Writes all that is noted by now.
pub(crate) async fn write_noted(uses: &Uses, connections: &Connections) {
    for _ in 0..uses.writes() {
        let noted = uses.take();
        if let Err(error) = write(connections, &noted).await {
            log_unless_away!(warn, &error, error = %error, keys = noted.len(), "last uses of keys are not written yet");
            uses.put_back(noted);
            return;
        }
    }
}

async fn write(connections: &Connections, noted: &Noted) -> Result<(), Error> {
    let ids: Vec<&str> = noted.keys().map(KeyId::as_str).collect();
    let tenants: Vec<Uuid> = noted.values().map(|(tenant, _)| tenant.0).collect();
    let times: Vec<DateTime<Utc>> = noted.values().map(|(_, used)| used.at).collect();
    let addresses: Vec<IpAddr> = noted.values().map(|(_, used)| used.ip).collect();
    let programs: Vec<Option<&str>> =
        noted.values().map(|(_, used)| used.user_agent.as_deref()).collect();
    let write = async |client: &mut Connection| {
        let statement = client.prepare_cached(WRITE).await?;
        let values: [&(dyn ToSql + Sync); 5] = [&ids, &tenants, &times, &addresses, &programs];
        client.execute(&statement, &values).await?;
        Ok(())
    };
    connections.within(WRITE_MAX, write).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(second: i64) -> (TenantId, Use) {
        let at = DateTime::from_timestamp(1_800_000_000 + second, 0).expect("in range");
        let ip = IpAddr::from([192, 0, 2, 1]);
        (TenantId::DEFAULT, Use::new(at, ip, None))
    }

    fn key(n: usize) -> KeyId {
        format!("{n:012}").parse().expect("an id")
    }

    #[test]
    fn of_two_uses_the_newer_one_is_kept_whichever_is_noted_first() {
        for order in [[1, 2], [2, 1]] {
            let mut noted = Noted::new();
            for second in order {
                keep(&mut noted, key(1), used(second));
            }
            assert_eq!(noted.get(&key(1)), Some(&used(2)));
        }
    }

    #[test]
    fn a_write_has_some_keys_and_what_it_could_not_write_waits_with_the_rest() {
        let uses = Uses::default();
        for n in 0..=WRITE_KEYS_MAX {
            keep(&mut uses.lock(), key(n), used(1));
        }
        assert_eq!(uses.writes(), 2, "none waits longer than the others");
        let first = uses.take();
        assert_eq!((first.len(), uses.lock().len()), (WRITE_KEYS_MAX, 1));
        keep(&mut uses.lock(), key(0), used(2));
        uses.put_back(first);
        assert_eq!(uses.lock().len(), WRITE_KEYS_MAX + 1);
        assert_eq!(uses.lock().get(&key(0)), Some(&used(2)), "what came meanwhile is newer");
        assert_eq!(
            (uses.take().len(), uses.take().len(), uses.take().len()),
            (WRITE_KEYS_MAX, 1, 0)
        );
    }

    #[test]
    fn a_programs_name_is_short_and_has_no_control_characters() {
        let long = format!("{}é", "x".repeat(USER_AGENT_BYTES_MAX - 1));
        for (name, expected) in [
            ("curl/8.0", "curl/8.0".to_owned()),
            ("a\0b\nc", "abc".to_owned()),
            (long.as_str(), "x".repeat(USER_AGENT_BYTES_MAX - 1)),
        ] {
            assert_eq!(readable(name), expected);
        }
    }
}
