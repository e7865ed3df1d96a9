//! What is recorded of requests outside the log of events: the request log, and the part of the audit that no event
//! says. Rows are added, and go with the partition of their time.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use serde_json::Value;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{Error, QueryError, ReadModel};

const ADD_REQUESTS: &str = "
    INSERT INTO access.requests
           (id, tenant_id, request_id, at, method, path, query, route, status, code, actor, key_id, ip,
            user_agent, duration_us, position, touched, body)
    SELECT u.id, u.tenant_id, u.request_id, u.at, u.method, u.path, u.query, u.route, u.status, u.code, u.actor,
           u.key_id, u.ip, u.user_agent, u.duration_us, u.position, string_to_array(u.touched, ' '), u.body::json
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                  $8::text[], $9::smallint[], $10::text[], $11::text[], $12::text[], $13::inet[], $14::text[],
                  $15::bigint[], $16::bigint[], $17::text[], $18::text[])
           AS u(id, tenant_id, request_id, at, method, path, query, route, status, code, actor, key_id, ip,
                user_agent, duration_us, position, touched, body)";

const ADD_AUDITED: &str = "
    INSERT INTO access.audit
           (id, tenant_id, at, actor, key_id, action, object_kind, object_id, details, request_id, ip)
    SELECT u.id, u.tenant_id, u.at, u.actor, u.key_id, u.action, u.object_kind, u.object_id, u.details::json,
           u.request_id, u.ip
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[],
                  $8::text[], $9::text[], $10::text[], $11::inet[])
           AS u(id, tenant_id, at, actor, key_id, action, object_kind, object_id, details, request_id, ip)";

const ENSURE: &str = "SELECT access.ensure_trail_partitions($1, $2)";
const PARTITIONS: &str = "SELECT kind, name, until_at,
            COALESCE(pg_total_relation_size(to_regclass(format('access.%I', name))), 0)
       FROM access.trail_partitions ORDER BY until_at";
const DROP: &str = "SELECT access.drop_trail_partition($1)";
const FORGET: &str = "SELECT access.forget_caught_trail($1, $2)";

/// A request that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct AnsweredRequest {
    /// Of its row.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its own id.
    pub request_id: String,
    /// When it came.
    pub at: DateTime<Utc>,
    /// Its method.
    pub method: &'static str,
    /// Its path, masked.
    pub path: String,
    /// Its query, masked.
    pub query: Option<String>,
    /// The pattern of its path.
    pub route: String,
    /// How it was answered.
    pub status: u16,
    /// That of the problem, where it was answered by one.
    pub code: Option<String>,
    /// Who asked, where that is known.
    pub actor: Option<String>,
    /// The key that was presented.
    pub key_id: Option<String>,
    /// Where it came from.
    pub address: IpAddr,
    /// By which program, as that calls itself.
    pub user_agent: Option<String>,
    /// How long it took until its answer began, in microseconds.
    pub duration_us: i64,
    /// The log position of what it wrote.
    pub position: Option<i64>,
    /// The ids of what it is about; none has a space.
    pub touched: Vec<String>,
    /// The shape of its body.
    pub body: Option<Value>,
}

/// Something that is audited and no event.
#[derive(Debug, Clone, PartialEq)]
pub struct Audited {
    /// Of its row.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: TenantId,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it, where that is known.
    pub actor: Option<String>,
    /// The key that was presented.
    pub key_id: Option<String>,
    /// Such as `request.refused`.
    pub action: &'static str,
    /// What it was done to: its kind and its id.
    pub object: Option<(&'static str, String)>,
    /// What there is to say of it.
    pub details: Value,
    /// By which request.
    pub request_id: Option<String>,
    /// From where.
    pub address: Option<IpAddr>,
}

/// What is kept in partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrailKind {
    /// The request log.
    Requests,
    /// The audit of what is no event.
    Audit,
}

/// A partition that lies before a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailPartition {
    /// Of what.
    pub kind: TrailKind,
    /// The table's name.
    pub name: String,
    /// Its rows are of a time before this.
    pub until: DateTime<Utc>,
    /// With its indexes.
    pub bytes: u64,
}

/// Parameters of a statement.
type Values<'a> = Vec<&'a (dyn ToSql + Sync)>;

impl ReadModel {
    /// Adds `rows` to the request log, in one statement.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn add_requests(&self, rows: &[AnsweredRequest]) -> Result<(), QueryError> {
        fn column<'r, T>(
            rows: &'r [AnsweredRequest],
            of: impl Fn(&'r AnsweredRequest) -> T,
        ) -> Vec<T> {
            rows.iter().map(of).collect()
        }
        let ids = column(rows, |row| row.id);
        let tenants = column(rows, |row| row.tenant.0);
        let request_ids = column(rows, |row| row.request_id.as_str());
        let times = column(rows, |row| row.at);
        let methods = column(rows, |row| row.method);
        let paths = column(rows, |row| row.path.as_str());
        let queries = column(rows, |row| row.query.as_deref());
        let routes = column(rows, |row| row.route.as_str());
        let statuses = column(rows, |row| i16::try_from(row.status).unwrap_or(i16::MAX));
        let codes = column(rows, |row| row.code.as_deref());
        let actors = column(rows, |row| row.actor.as_deref());
        let keys = column(rows, |row| row.key_id.as_deref());
        let addresses = column(rows, |row| row.address);
        let programs = column(rows, |row| row.user_agent.as_deref());
        let durations = column(rows, |row| row.duration_us);
        let positions = column(rows, |row| row.position);
        let touched = column(rows, |row| row.touched.join(" "));
        let bodies = column(rows, |row| row.body.as_ref().map(Value::to_string));
        let values: Values<'_> = vec![
            &ids,
            &tenants,
            &request_ids,
            &times,
            &methods,
            &paths,
            &queries,
            &routes,
            &statuses,
            &codes,
            &actors,
            &keys,
            &addresses,
            &programs,
            &durations,
            &positions,
            &touched,
            &bodies,
        ];
        self.prepared(ADD_REQUESTS, &values).await?;
        Ok(())
    }

    /// Adds `rows` to the audit, in one statement. When it returns they are there.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn add_audited(&self, rows: &[Audited]) -> Result<(), QueryError> {
        fn column<'r, T>(rows: &'r [Audited], of: impl Fn(&'r Audited) -> T) -> Vec<T> {
            rows.iter().map(of).collect()
        }
        let ids = column(rows, |row| row.id);
        let tenants = column(rows, |row| row.tenant.0);
        let times = column(rows, |row| row.at);
        let actors = column(rows, |row| row.actor.as_deref());
        let keys = column(rows, |row| row.key_id.as_deref());
        let actions = column(rows, |row| row.action);
        let kinds = column(rows, |row| row.object.as_ref().map(|(kind, _)| *kind));
        let objects = column(rows, |row| row.object.as_ref().map(|(_, id)| id.as_str()));
        let details = column(rows, |row| row.details.to_string());
        let request_ids = column(rows, |row| row.request_id.as_deref());
        let addresses = column(rows, |row| row.address);
        let values: Values<'_> = vec![
            &ids,
            &tenants,
            &times,
            &actors,
            &keys,
            &actions,
            &kinds,
            &objects,
            &details,
            &request_ids,
            &addresses,
        ];
        self.prepared(ADD_AUDITED, &values).await?;
        Ok(())
    }

    /// Makes sure of the partitions of `at` and of the `ahead` days after it, and says how many were made.
    ///
    /// # Errors
    /// [`QueryError::Database`]; [`QueryError::is_busy`] when it is to be tried again.
    pub async fn ensure_trail_partitions(
        &self,
        at: DateTime<Utc>,
        ahead: i32,
    ) -> Result<i32, QueryError> {
        let rows = self.prepared(ENSURE, &[&at, &ahead]).await?;
        Ok(rows[0].try_get(0).map_err(Error::from)?)
    }

    /// The partitions, the oldest first.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn trail_partitions(&self) -> Result<Vec<TrailPartition>, QueryError> {
        let mut all = Vec::new();
        for row in self.prepared(PARTITIONS, &[]).await? {
            let kind = match row.try_get::<_, &str>(0).map_err(Error::from)? {
                "requests" => TrailKind::Requests,
                _ => TrailKind::Audit,
            };
            let name = row.try_get(1).map_err(Error::from)?;
            let until = row.try_get(2).map_err(Error::from)?;
            let bytes = row.try_get::<_, i64>(3).map_err(Error::from)?;
            let bytes = u64::try_from(bytes).unwrap_or_default();
            all.push(TrailPartition { kind, name, until, bytes });
        }
        Ok(all)
    }

    /// Drops a partition that lies in the past; false when somebody else has done so.
    ///
    /// # Errors
    /// [`QueryError::Database`]; [`QueryError::is_busy`] when it is to be tried again.
    pub async fn drop_trail_partition(&self, name: &str) -> Result<bool, QueryError> {
        let rows = self.prepared(DROP, &[&name]).await?;
        Ok(rows[0].try_get(0).map_err(Error::from)?)
    }

    /// Lets go what came of before `before` when its partition was missing; says how many rows.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn forget_caught_trail(
        &self,
        kind: TrailKind,
        before: DateTime<Utc>,
    ) -> Result<i64, QueryError> {
        let kind = match kind {
            TrailKind::Requests => "requests",
            TrailKind::Audit => "audit",
        };
        let rows = self.prepared(FORGET, &[&kind, &before]).await?;
        Ok(rows[0].try_get(0).map_err(Error::from)?)
    }
}
