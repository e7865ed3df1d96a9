//! Work that somebody asked for and that takes its time: what is to be done, for whom, and how far it is.

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Error, QueryError, ReadModel};

/// Tasks of a tenant that are not finished, at most.
pub const TASKS_OPEN_MAX: i64 = 10;

/// Errors of a task that are kept.
pub const TASK_ERRORS_MAX: usize = 100;

const BEGIN: &str = "
    INSERT INTO hatch.tasks (id, tenant_id, kind, status, request, request_hash, actor, total, created_at)
    SELECT $1::uuid, $2::uuid, $3::text, 'queued', $4::json, $5::bytea, $6::text, $7::bigint, $8::timestamptz
     WHERE (SELECT count(*) FROM hatch.tasks WHERE tenant_id = $2 AND finished_at IS NULL) < $9::bigint
    ON CONFLICT (id) DO NOTHING";

const ONE: &str = "
    SELECT id, kind, status, request, request_hash, total, done, failed, errors, created_at, started_at, finished_at
      FROM hatch.tasks
     WHERE tenant_id = $1 AND id = $2";

/// The one that nobody has worked at for longest. What a newer build asks for is left to that.
const LEASE: &str = "
    UPDATE hatch.tasks
       SET status = 'running', lease = $1, leased_until = now() + make_interval(secs => $2),
           started_at = coalesce(started_at, $3)
     WHERE id = (SELECT id FROM hatch.tasks
                  WHERE finished_at IS NULL AND kind = ANY($4) AND (leased_until IS NULL OR leased_until < now())
                  ORDER BY coalesce(leased_until, created_at) LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, tenant_id, kind, request, actor, total, done, failed, errors, place, page";

const ADVANCE: &str = "
    UPDATE hatch.tasks
       SET total = $3, done = $4, failed = $5, errors = $6, place = $7, page = $8,
           leased_until = now() + make_interval(secs => $9)
     WHERE id = $1 AND lease = $2 AND finished_at IS NULL";

const END: &str = "
    UPDATE hatch.tasks
       SET status = $3, finished_at = $4, total = done + failed, page = '{}', lease = NULL, leased_until = NULL
     WHERE id = $1 AND lease = $2 AND finished_at IS NULL";

const FORGET: &str = "
    DELETE FROM hatch.tasks
     WHERE id = ANY(ARRAY(SELECT id FROM hatch.tasks WHERE finished_at < $1 ORDER BY finished_at LIMIT 1000))";

/// A task, as whoever asked for it sees it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Task {
    /// Its id.
    pub id: Uuid,
    /// What it does: `dead_letters.redrive`.
    pub kind: String,
    /// `queued`, `running`, `done`, or `failed` where it could not go on. Parts of it that could not be done do not end it.
    #[schema(value_type = TaskStatus)]
    pub status: String,
    /// How many parts it has, once that is known.
    pub total: Option<i64>,
    /// How many of them are done.
    pub done: i64,
    /// How many of them could not be done.
    pub failed: i64,
    /// When it was asked for.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub created_at: DateTime<Utc>,
    /// When somebody began with it.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over. It is kept for 30 days from then on.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Why parts could not be done, the first hundred.
    #[schema(value_type = Vec<TaskError>)]
    pub errors: Vec<TaskError>,
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Nobody has begun with it.
    Queued,
    /// It is being done, or goes on with the next process that has time.
    Running,
    /// Nothing of it is left to do.
    Done,
    /// It could not go on.
    Failed,
}

/// Why a part of a task could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
pub struct TaskError {
    /// What it is about: a message, or the task itself.
    pub id: Uuid,
    /// Why, for people.
    pub detail: String,
}

/// A task that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it does.
    pub kind: &'static str,
    /// What exactly.
    pub request: Value,
    /// What tells the request from others.
    pub request_hash: [u8; 32],
    /// Who asks.
    pub actor: String,
    /// How many parts it has, where that is known.
    pub total: Option<i64>,
    /// When.
    pub at: DateTime<Utc>,
}

/// What became of the request for a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// It is there now.
    New(Task),
    /// It was there before.
    Again(Task),
    /// Its id is another request's.
    Other,
    /// The tenant has as many as one may have.
    TooMany,
}

/// A task that a process works at.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedTask {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it does.
    pub kind: String,
    /// What exactly.
    pub request: Value,
    /// Who asked.
    pub actor: String,
    /// How many parts it has, once that is known.
    pub total: Option<i64>,
    /// How many are done.
    pub done: i64,
    /// How many could not be.
    pub failed: i64,
    /// Why, the first of them.
    pub errors: Vec<TaskError>,
    /// How far it is.
    pub place: Option<i64>,
    /// The parts that are being done.
    pub page: Vec<Uuid>,
}

impl ReadModel {
    /// Has a task done, once for its id.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn begin_task(&self, new: &NewTask) -> Result<Begun, QueryError> {
        let hash: &[u8] = &new.request_hash;
        let values: [&(dyn ToSql + Sync); 9] = [
            &new.id,
            &new.tenant.0,
            &new.kind,
            &new.request,
            &hash,
            &new.actor,
            &new.total,
            &new.at,
            &TASKS_OPEN_MAX,
        ];
        let begun = self
            .ask(async |client| {
                let statement = client.prepare_cached(BEGIN).await?;
                Ok(client.execute(&statement, &values).await?)
            })
            .await?;
        let rows = self.prepared(ONE, &[&new.tenant.0, &new.id]).await?;
        let Some(row) = rows.first() else {
            // Without a row of the tenant's, there was no room for one, or another tenant has the id.
            return Ok(Begun::TooMany);
        };
        let known: Vec<u8> = row.try_get("request_hash").map_err(Error::from)?;
        if known != new.request_hash {
            return Ok(Begun::Other);
        }
        let task = task(row)?;
        Ok(if begun > 0 { Begun::New(task) } else { Begun::Again(task) })
    }

    /// A task of `tenant`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn task(&self, tenant: TenantId, id: Uuid) -> Result<Option<Task>, QueryError> {
        let rows = self.prepared(ONE, &[&tenant.0, &id]).await?;
        Ok(rows.first().map(task).transpose()?)
    }

    /// Takes the task of one of these kinds that nobody has worked at for longest, of whichever tenant, for so many seconds.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn lease_task(
        &self,
        kinds: &[&str],
        (lease, seconds): (Uuid, f64),
        at: DateTime<Utc>,
    ) -> Result<Option<LeasedTask>, QueryError> {
        let rows = self.prepared(LEASE, &[&lease, &seconds, &at, &kinds]).await?;
        Ok(rows.first().map(leased).transpose()?)
    }

    /// Says how far a leased task is, and holds it for so many seconds more; false where somebody else has it by now.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn advance_task(
        &self,
        task: &LeasedTask,
        lease: Uuid,
        seconds: f64,
    ) -> Result<bool, QueryError> {
        let errors = Json(&task.errors);
        let values: [&(dyn ToSql + Sync); 9] = [
            &task.id,
            &lease,
            &task.total,
            &task.done,
            &task.failed,
            &errors,
            &task.place,
            &task.page,
            &seconds,
        ];
        Ok(self.changed_task(ADVANCE, &values).await?)
    }

    /// Says that a leased task is over.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn end_task(
        &self,
        task: &LeasedTask,
        lease: Uuid,
        (is_done, at): (bool, DateTime<Utc>),
    ) -> Result<bool, QueryError> {
        let status = if is_done { "done" } else { "failed" };
        Ok(self.changed_task(END, &[&task.id, &lease, &status, &at]).await?)
    }

    /// Forgets some of those that were over before then.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn forget_tasks(&self, before: DateTime<Utc>) -> Result<(), QueryError> {
        self.changed_task(FORGET, &[&before]).await?;
        Ok(())
    }

    async fn changed_task(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<bool, Error> {
        self.ask(async |client| {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.execute(&statement, values).await? > 0)
        })
        .await
    }
}

fn task(row: &Row) -> Result<Task, Error> {
    Ok(Task {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        status: row.try_get("status")?,
        total: row.try_get("total")?,
        done: row.try_get("done")?,
        failed: row.try_get("failed")?,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        errors: row.try_get::<_, Json<_>>("errors")?.0,
    })
}

fn leased(row: &Row) -> Result<LeasedTask, Error> {
    Ok(LeasedTask {
        id: row.try_get("id")?,
        tenant: TenantId(row.try_get("tenant_id")?),
        kind: row.try_get("kind")?,
        request: row.try_get("request")?,
        actor: row.try_get("actor")?,
        total: row.try_get("total")?,
        done: row.try_get("done")?,
        failed: row.try_get("failed")?,
        errors: row.try_get::<_, Json<_>>("errors")?.0,
        place: row.try_get("place")?,
        page: row.try_get("page")?,
    })
}
