//! The statements about sessions.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::ids::{MemberId, SessionId, TenantId};
use hatch_eventstore::{Connection, Connections, Position};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::held::Seen;
use super::{
    ANSWER_MAX, Begun, LISTED_MAX, SESSION_IDLE_MAX, SESSIONS_OF_MEMBER_MAX, Session, SessionError,
    SessionHash, SessionInfo,
};

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

const INSERT: &str = "
    WITH ended AS (
        DELETE FROM access.sessions
         WHERE secret_hash IN (SELECT secret_hash FROM access.sessions
                               WHERE tenant_id = $3 AND member_id = $4
                               ORDER BY started_at DESC OFFSET $11)
    )
    INSERT INTO access.sessions (secret_hash, id, tenant_id, member_id, generation, way, started_at,
                                 seen_at, ends_at, ip, user_agent, position)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $12)";

/// The tenant is what it is asked for.
const FIND: &str = "
    SELECT id, tenant_id, member_id, generation, ends_at, position, seen_at FROM access.sessions
     WHERE secret_hash = $1 AND ends_at > $2 AND seen_at > $3";

const MEMBER_OF: &str = "SELECT member_id FROM access.sessions WHERE id = $1 AND tenant_id = $2";

const DELETE: &str = "
    DELETE FROM access.sessions
     WHERE id = $1 AND tenant_id = $2 AND ($3::uuid IS NULL OR member_id = $3)
    RETURNING member_id";

const LIST: &str = "
    SELECT id, tenant_id, member_id, generation, ends_at, position, seen_at, way, started_at, ip,
           user_agent
      FROM access.sessions
     WHERE tenant_id = $1 AND ($2::uuid IS NULL OR member_id = $2) AND ends_at > $3 AND seen_at > $4
     ORDER BY started_at DESC LIMIT $5";

const THERE: &str = "SELECT secret_hash, seen_at FROM access.sessions WHERE secret_hash = ANY($1)";

/// Rows are locked in one order by everybody, so that nobody waits for somebody who waits for him.
const SEEN: &str = "
    WITH seen AS (
        SELECT s.secret_hash, u.at, u.ip
          FROM access.sessions s
          JOIN unnest($1::bytea[], $2::timestamptz[], $3::inet[]) AS u(secret_hash, at, ip)
            ON u.secret_hash = s.secret_hash AND s.seen_at < u.at
         ORDER BY s.secret_hash
           FOR UPDATE OF s
    )
    UPDATE access.sessions s SET seen_at = seen.at, ip = seen.ip
      FROM seen WHERE s.secret_hash = seen.secret_hash";

const DELETE_OVER: &str = "
    DELETE FROM access.sessions
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM access.sessions WHERE ends_at < $1
                              LIMIT 1000 FOR UPDATE SKIP LOCKED))";

async fn ask(
    connections: &Connections,
    statement: &'static str,
    values: Values<'_>,
) -> Result<Vec<Row>, SessionError> {
    let ask = async |client: &mut Connection| {
        let statement = client.prepare_cached(statement).await?;
        Ok(client.query(&statement, values).await?)
    };
    connections.within(ANSWER_MAX, ask).await
}

fn bytes(hash: &SessionHash) -> &[u8] {
    &hash.0
}

fn session(row: &Row) -> Result<Session, tokio_postgres::Error> {
    Ok(Session {
        id: SessionId(row.try_get(0)?),
        tenant_id: TenantId(row.try_get(1)?),
        member_id: MemberId(row.try_get(2)?),
        generation: row.try_get(3)?,
        ends_at: row.try_get(4)?,
        position: Position(row.try_get(5)?),
    })
}

pub(super) async fn insert(
    connections: &Connections,
    hash: SessionHash,
    begun: &Begun,
) -> Result<(), SessionError> {
    let Begun { session, way, used } = begun;
    let values: [&(dyn ToSql + Sync); 12] = [
        &bytes(&hash),
        &session.id.0,
        &session.tenant_id.0,
        &session.member_id.0,
        &session.generation,
        way,
        &used.at,
        &session.ends_at,
        &used.ip,
        &used.user_agent(),
        &(SESSIONS_OF_MEMBER_MAX - 1),
        &session.position.0,
    ];
    ask(connections, INSERT, &values).await.map(|_| ())
}

/// The session, and when it was seen last.
pub(super) async fn find(
    connections: &Connections,
    hash: SessionHash,
    now: DateTime<Utc>,
) -> Result<Option<(Session, DateTime<Utc>)>, SessionError> {
    let values: [&(dyn ToSql + Sync); 3] = [&bytes(&hash), &now, &(now - SESSION_IDLE_MAX)];
    let rows = ask(connections, FIND, &values).await?;
    let found = rows.first().map(|row| Ok::<_, SessionError>((session(row)?, row.try_get(6)?)));
    found.transpose()
}

pub(super) async fn member_of(
    connections: &Connections,
    tenant: TenantId,
    id: SessionId,
) -> Result<Option<MemberId>, SessionError> {
    let rows = ask(connections, MEMBER_OF, &[&id.0, &tenant.0]).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.map(MemberId))
}

pub(super) async fn delete(
    connections: &Connections,
    tenant: TenantId,
    member: Option<MemberId>,
    id: SessionId,
) -> Result<Option<MemberId>, SessionError> {
    let member: Option<Uuid> = member.map(|member| member.0);
    let values: [&(dyn ToSql + Sync); 3] = [&id.0, &tenant.0, &member];
    let rows = ask(connections, DELETE, &values).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.map(MemberId))
}

pub(super) async fn list(
    connections: &Connections,
    tenant: TenantId,
    member: Option<MemberId>,
    now: DateTime<Utc>,
) -> Result<Vec<SessionInfo>, SessionError> {
    let member: Option<Uuid> = member.map(|member| member.0);
    let values: [&(dyn ToSql + Sync); 5] =
        [&tenant.0, &member, &now, &(now - SESSION_IDLE_MAX), &LISTED_MAX];
    let info = |row: &Row| {
        Ok::<_, SessionError>(SessionInfo {
            session: session(row)?,
            seen_at: row.try_get(6)?,
            way: row.try_get(7)?,
            started_at: row.try_get(8)?,
            ip: row.try_get(9)?,
            user_agent: row.try_get(10)?,
        })
    };
    ask(connections, LIST, &values).await?.iter().map(info).collect()
}

/// Those of `asked` that are there, and when each was seen last.
pub(super) async fn there(
    connections: &Connections,
    asked: &[SessionHash],
) -> Result<HashMap<SessionHash, DateTime<Utc>>, SessionError> {
    let hashes: Vec<&[u8]> = asked.iter().map(bytes).collect();
    let rows = ask(connections, THERE, &[&hashes]).await?;
    let mut there = HashMap::with_capacity(rows.len());
    for row in &rows {
        let hash: &[u8] = row.try_get(0)?;
        if let Ok(hash) = <[u8; 32]>::try_from(hash) {
            there.insert(SessionHash(hash), row.try_get(1)?);
        }
    }
    Ok(there)
}

pub(super) async fn seen(
    connections: &Connections,
    seen: &[(SessionHash, Seen)],
) -> Result<(), SessionError> {
    let hashes: Vec<&[u8]> = seen.iter().map(|(hash, _)| bytes(hash)).collect();
    let times: Vec<DateTime<Utc>> = seen.iter().map(|(_, seen)| seen.at).collect();
    let addresses: Vec<std::net::IpAddr> = seen.iter().map(|(_, seen)| seen.ip).collect();
    ask(connections, SEEN, &[&hashes, &times, &addresses]).await.map(|_| ())
}

/// Deletes some that are over since a day.
pub(super) async fn delete_over(
    connections: &Connections,
    now: DateTime<Utc>,
) -> Result<(), SessionError> {
    let before = now - TimeDelta::days(1);
    ask(connections, DELETE_OVER, &[&before]).await.map(|_| ())
}
