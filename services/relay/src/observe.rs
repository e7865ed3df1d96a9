//! A report on the relays, for other processes.

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Error};

use crate::session::LOCK;

/// The server splits the lock's number in two halves.
const LEADER: &str = "SELECT a.backend_start FROM pg_locks AS l \
     LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid \
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
       AND l.classid::bigint = $1::bigint >> 32 AND l.objid::bigint = $1::bigint & 4294967295";

const GENERATION: &str = "SELECT generation, created_at FROM es.bus_generations \
     ORDER BY generation DESC LIMIT 1";

/// The last generation in which somebody found something foreign.
const FOREIGN: &str = "SELECT generation, foreign_at, coalesce(foreign_detail, '') \
     FROM es.bus_generations WHERE foreign_at IS NOT NULL ORDER BY generation DESC LIMIT 1";

/// What PostgreSQL knows of the relays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayReport {
    /// Whether a relay leads.
    pub leads: bool,
    /// Since when its session stands, where this may be seen.
    pub leads_since: Option<DateTime<Utc>>,
    /// The newest generation of the stream on record.
    pub generation: Option<Generation>,
    /// The last one in which something foreign was found.
    pub foreign: Option<FoundForeign>,
}

/// A generation that ended because hatch did not write all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundForeign {
    /// Its number.
    pub generation: i32,
    /// When it was found.
    pub at: DateTime<Utc>,
    /// Where, and what is wrong with it.
    pub detail: String,
}

/// A generation of the stream, as it is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    /// Its number, from 1.
    pub number: i32,
    /// When it was put on record.
    pub created_at: DateTime<Utc>,
}

/// Looks once, for commands.
///
/// # Errors
/// PostgreSQL's.
pub async fn observe(client: &Client) -> Result<RelayReport, Error> {
    let leader = client.query_opt(LEADER, &[&LOCK]).await?;
    let leads_since = leader.as_ref().map(|row| row.try_get(0)).transpose()?.flatten();
    let generation = client.query_opt(GENERATION, &[]).await?;
    let generation = generation.map(|row| {
        Ok::<_, Error>(Generation { number: row.try_get(0)?, created_at: row.try_get(1)? })
    });
    let foreign = client.query_opt(FOREIGN, &[]).await?.map(|row| {
        Ok::<_, Error>(FoundForeign {
            generation: row.try_get(0)?,
            at: row.try_get(1)?,
            detail: row.try_get(2)?,
        })
    });
    Ok(RelayReport {
        leads: leader.is_some(),
        leads_since,
        generation: generation.transpose()?,
        foreign: foreign.transpose()?,
    })
}
