//! The request log: what clients asked, and how it was answered.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use utoipa::ToSchema;
use uuid::Uuid;

use super::conditions::Conditions;
use super::page::{List, ListKind, Page};
use super::{QueryError, ReadModel, TimeKey};
use crate::Error;

/// The columns that every query of requests reads.
macro_rules! requests {
    ($body:literal, $rest:literal) => {
        concat!(
            "SELECT id, request_id, at, method, path, query, route, status, code, actor, key_id, ip, user_agent,
                    duration_us, position, touched, ",
            $body,
            " AS body FROM access.requests\n",
            $rest
        )
    };
}

const LIST: &str = requests!("NULL::json", "");
const ONE: &str =
    requests!("body", "WHERE tenant_id = $1 AND request_id = $2 ORDER BY at DESC, id DESC LIMIT 1");
const SINCE: &str = requests!(
    "NULL::json",
    "WHERE tenant_id = $1 AND at >= $2 AND id >= $3 ORDER BY id DESC LIMIT $4"
);

/// A request that a client made. Serialises to exactly the API's object.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LoggedRequest {
    /// Of the row, by which lists go on.
    #[serde(skip)]
    pub row: Uuid,
    /// Its id, as its answer had it in `X-Request-Id`.
    pub id: String,
    /// When it came.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub at: DateTime<Utc>,
    /// Its method.
    pub method: String,
    /// Its path; what is not an id in it is masked.
    pub path: String,
    /// The names of its parameters; the values are masked.
    pub query: Option<String>,
    /// The pattern of its path.
    pub route: String,
    /// The status of its answer.
    pub status: i16,
    /// The code of the problem, where it was answered by one.
    pub code: Option<String>,
    /// Who made it, where that is known.
    pub actor: Option<String>,
    /// The key that was presented.
    pub key: Option<String>,
    /// Where it came from.
    #[schema(value_type = String)]
    pub ip: IpAddr,
    /// By which program, as that calls itself.
    pub user_agent: Option<String>,
    /// Milliseconds until its answer began.
    pub duration_ms: f64,
    /// The log position of what it wrote.
    pub position: Option<i64>,
    /// The ids of what it was about, such as those of its path and that of the message that it made.
    pub touched: Vec<String>,
    /// The names and types of the fields of its body; a single request has it, for who has the scope `raw:read`.
    #[schema(value_type = Option<Object>)]
    pub body: Option<Value>,
}

/// Which requests are wanted: those that every given field holds for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Answered with one of these statuses: the lowest and the highest.
    pub status: Option<(i16, i16)>,
    /// To this route: the pattern of a path, with the method before it where that counts.
    pub route: Option<(Option<String>, String)>,
    /// By this key.
    pub key: Option<String>,
    /// Then or later.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
    /// That took so many milliseconds or more.
    pub min_duration_ms: Option<u32>,
}

impl RequestFilter {
    /// The statuses that `text` says, such as `404` or `4xx`.
    #[must_use]
    pub fn status_of(text: &str) -> Option<(i16, i16)> {
        let (class, of_class) = match text.strip_suffix("xx") {
            Some(class) => (class.parse::<i16>().ok()?.checked_mul(100)?, 99),
            None => (text.parse().ok()?, 0),
        };
        (100..=599).contains(&class).then_some((class, class + of_class))
    }

    /// The route that `text` says: the pattern of a path, with a method and a space before it or not.
    #[must_use]
    pub fn route_of(text: &str) -> (Option<String>, String) {
        match text.split_once(' ') {
            Some((method, route)) => (Some(method.to_owned()), route.to_owned()),
            None => (None, text.to_owned()),
        }
    }

    /// Whether it lets `request` through.
    #[must_use]
    pub fn admits(&self, request: &LoggedRequest) -> bool {
        let Self { status, route, key, from, to, min_duration_ms } = self;
        status.is_none_or(|(from, to)| (from..=to).contains(&request.status))
            && route.as_ref().is_none_or(|(method, route)| {
                method.as_ref().is_none_or(|method| *method == request.method)
                    && *route == request.route
            })
            && (key.is_none() || *key == request.key)
            && from.is_none_or(|from| request.at >= from)
            && to.is_none_or(|to| request.at < to)
            && min_duration_ms.is_none_or(|least| request.duration_ms >= f64::from(least))
    }
}

impl ReadModel {
    /// The requests of `tenant` that `filter` lets through, the newest first, without their bodies.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn requests(
        &self,
        tenant: TenantId,
        filter: &RequestFilter,
        page: &Page,
    ) -> Result<List<LoggedRequest>, QueryError> {
        let before = page.key(ListKind::Requests)?;
        let (sql, conditions) = list_sql(tenant, filter, before, page.limit);
        let keyed = |row: &Row| request(row).map(|one| (TimeKey(one.at, one.row), one));
        Ok(self.list(ListKind::Requests, page.limit, &sql, &conditions, keyed).await?)
    }

    /// The request of `tenant` with that id, the newest if a client has used the id again.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn request(
        &self,
        tenant: TenantId,
        id: &str,
    ) -> Result<Option<LoggedRequest>, QueryError> {
        let rows = self.prepared(ONE, &[&tenant.0, &id]).await?;
        Ok(rows.first().map(request).transpose()?)
    }

    /// The requests of `tenant` that came at `since` or later and have this row or one that was made later, at most so
    /// many, the one first that was answered last.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn requests_since(
        &self,
        tenant: TenantId,
        (since, row): (DateTime<Utc>, Uuid),
        max: i64,
    ) -> Result<Vec<LoggedRequest>, QueryError> {
        let rows = self.prepared(SINCE, &[&tenant.0, &since, &row, &max]).await?;
        Ok(rows.iter().map(request).collect::<Result<_, _>>()?)
    }
}

/// The statement of the list.
fn list_sql(
    tenant: TenantId,
    filter: &RequestFilter,
    before: Option<TimeKey>,
    limit: u32,
) -> (String, Conditions) {
    let mut conditions = Conditions::of(tenant, "tenant_id");
    if let Some((lowest, highest)) = filter.status {
        conditions = conditions.and("status >= ", "", lowest, Type::INT2);
        conditions = conditions.and("status <= ", "", highest, Type::INT2);
    }
    if let Some((method, route)) = filter.route.clone() {
        conditions = conditions.and("route = ", "", route, Type::TEXT);
        if let Some(method) = method {
            conditions = conditions.and("method = ", "", method, Type::TEXT);
        }
    }
    if let Some(key) = filter.key.clone() {
        conditions = conditions.and("key_id = ", "", key, Type::TEXT);
    }
    for (place, at) in [("at >= ", filter.from), ("at < ", filter.to)] {
        if let Some(at) = at {
            conditions = conditions.and(place, "", at, Type::TIMESTAMPTZ);
        }
    }
    if let Some(least) = filter.min_duration_ms {
        conditions = conditions.and("duration_us >= ", "", i64::from(least) * 1_000, Type::INT8);
    }
    if let Some(TimeKey(at, id)) = before {
        conditions = conditions.and("at <= ", "", at, Type::TIMESTAMPTZ);
        let place = format!("(at, id) < (${}, ", conditions.values().len());
        conditions = conditions.and(&place, ")", id, Type::UUID);
    }
    let sql = format!("{LIST}{}ORDER BY at DESC, id DESC LIMIT {}", conditions.sql(), limit + 1);
    (sql, conditions)
}

fn request(row: &Row) -> Result<LoggedRequest, Error> {
    let duration_us: i64 = row.try_get("duration_us")?;
    let body: Option<Json<Value>> = row.try_get("body")?;
    Ok(LoggedRequest {
        row: row.try_get("id")?,
        id: row.try_get("request_id")?,
        at: row.try_get("at")?,
        method: row.try_get("method")?,
        path: row.try_get("path")?,
        query: row.try_get("query")?,
        route: row.try_get("route")?,
        status: row.try_get("status")?,
        code: row.try_get("code")?,
        actor: row.try_get("actor")?,
        key: row.try_get("key_id")?,
        ip: row.try_get("ip")?,
        user_agent: row.try_get("user_agent")?,
        duration_ms: milliseconds(duration_us),
        position: row.try_get("position")?,
        touched: row.try_get("touched")?,
        body: body.map(|Json(body)| body),
    })
}

#[expect(clippy::cast_precision_loss, reason = "no request takes 2^53 microseconds")]
fn milliseconds(us: i64) -> f64 {
    us as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_or_a_class_of_them_is_read() {
        for (text, expected) in [
            ("404", Some((404, 404))),
            ("4xx", Some((400, 499))),
            ("5xx", Some((500, 599))),
            ("0xx", None),
            ("999", None),
            ("xx", None),
            ("9999xx", None),
            ("delivered", None),
        ] {
            assert_eq!(RequestFilter::status_of(text), expected, "{text}");
        }
    }
}
