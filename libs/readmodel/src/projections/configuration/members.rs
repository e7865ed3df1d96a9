//! Members, one or many, as the API shows them.

use chrono::{DateTime, Utc};
use hatch_domain::ids::{MemberId, TenantId};
use hatch_domain::member::{Member, MemberStatus, Role};
use hatch_domain::scope::{Scope, Scopes};
use hatch_eventstore::Position;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use utoipa::ToSchema;

use crate::query::conditions::Conditions;
use crate::query::page::{List, ListKind, Page};
use crate::{Error, QueryError, ReadModel};

const MEMBERS: &str = "SELECT m.id, m.state, m.created_position FROM rm_configuration.members m\n";
const MEMBER: &str = "SELECT m.id, m.state, m.created_position FROM rm_configuration.members m
     WHERE m.tenant_id = $1 AND m.id = $2";

/// A person of the tenant. Serialises to exactly the API's object.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberInfo {
    /// The member.
    #[schema(value_type = Uuid)]
    pub id: MemberId,
    /// His email.
    pub email: String,
    /// What he is called, where somebody said so.
    pub name: Option<String>,
    /// `invited`, `active` or `removed`.
    pub status: MemberStatus,
    /// What he is.
    pub role: Role,
    /// What he may do by it.
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Scopes,
    /// Whether he has a password.
    pub has_password: bool,
    /// Whether he is asked for a second factor.
    pub has_totp: bool,
    /// Who invited him.
    pub invited_by: String,
    /// When he was invited last.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub invited_at: Option<DateTime<Utc>>,
    /// Until when his link counts; none where he has none.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub invitation_expires_at: Option<DateTime<Utc>>,
    /// When he came.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub joined_at: Option<DateTime<Utc>>,
    /// When he was removed.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub removed_at: Option<DateTime<Utc>>,
}

impl MemberInfo {
    /// What is shown of a member.
    #[must_use]
    pub fn of(id: MemberId, member: &Member) -> Self {
        Self {
            id,
            email: member.email().map(|email| email.to_show().into_owned()).unwrap_or_default(),
            name: member.name().map(str::to_owned),
            status: member.status().unwrap_or(MemberStatus::Removed),
            role: member.standing().role(),
            scopes: member.scopes(),
            has_password: member.password().is_some(),
            has_totp: member.totp_secret().is_some(),
            invited_by: member.invited_by().to_owned(),
            invited_at: member.invited_at(),
            invitation_expires_at: member.invitation_expires_at(),
            joined_at: member.joined_at(),
            removed_at: member.removed_at(),
        }
    }
}

impl ReadModel {
    /// The members of `tenant`, the newest first, with those that were removed.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn members(
        &self,
        tenant: TenantId,
        page: &Page,
    ) -> Result<List<MemberInfo>, QueryError> {
        let kind = ListKind::Members;
        let (sql, conditions) = members_sql(tenant, page.before(kind)?, page.limit());
        Ok(self.list(kind, page.limit(), &sql, &conditions, keyed).await?)
    }

    /// One member of `tenant`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn member(
        &self,
        tenant: TenantId,
        id: MemberId,
    ) -> Result<Option<MemberInfo>, QueryError> {
        let rows = self.prepared(MEMBER, &[&tenant.0, &id.0]).await?;
        Ok(rows.first().map(member).transpose()?)
    }
}

/// The statement of the list.
fn members_sql(tenant: TenantId, before: Position, limit: u32) -> (String, Conditions) {
    let conditions = Conditions::of(tenant, "m.tenant_id").and(
        "m.created_position < ",
        "",
        before.0,
        Type::INT8,
    );
    let order = format!("ORDER BY m.created_position DESC LIMIT {}", limit + 1);
    (format!("{MEMBERS}{}{order}", conditions.sql()), conditions)
}

fn keyed(row: &Row) -> Result<(Position, MemberInfo), Error> {
    Ok((Position(row.try_get("created_position")?), member(row)?))
}

fn member(row: &Row) -> Result<MemberInfo, Error> {
    let Json(state): Json<Member> = row.try_get("state")?;
    Ok(MemberInfo::of(MemberId(row.try_get("id")?), &state))
}
