//! Provider accounts, one or many, as the API shows them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::account::{Account, account_id};
use hatch_domain::account_name::AccountName;
use hatch_domain::ids::TenantId;
use hatch_domain::traffic::Traffic;
use hatch_domain::{Channel, OnDoubt};
use hatch_eventstore::Position;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use utoipa::ToSchema;

use crate::query::conditions::Conditions;
use crate::query::page::{List, ListKind, Page};
use crate::{Error, QueryError, ReadModel};

/// The columns that every query of accounts reads.
const ACCOUNTS: &str =
    "SELECT a.name, a.state, a.created_position FROM rm_configuration.accounts a\n";

const ACCOUNT: &str = "SELECT a.name, a.state, a.created_position FROM rm_configuration.accounts a
     WHERE a.tenant_id = $1 AND a.id = $2 AND a.removed_at IS NULL";

/// A provider account that is kept in the log, without its secrets. Serialises to exactly the API's object.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountInfo {
    /// What hatch calls it.
    pub name: String,
    /// The provider that it is at, such as `twilio`.
    pub provider: String,
    /// What it carries; all that its provider can where there is none.
    pub channels: Vec<Channel>,
    /// The addresses that it sends from; any where there is none.
    pub senders: Vec<String>,
    /// Which messages it takes.
    pub traffic: Traffic,
    /// Messages that it is given a second, by all processes together; `null` where there is no limit, as below.
    pub rate_per_s: Option<f64>,
    /// Messages that each of its senders is given a second.
    pub rate_per_sender_per_s: Option<f64>,
    /// Messages that it is given a day, in UTC.
    pub per_day: Option<u64>,
    /// Calls of its provider under way at a time.
    pub concurrency_max: Option<u32>,
    /// What becomes of its attempts in doubt; `null` where the setting of the installation says it.
    pub on_doubt: Option<OnDoubt>,
    /// The provider's settings that are no secrets, by their keys.
    #[schema(value_type = Object)]
    pub settings: BTreeMap<String, Value>,
    /// The keys of those that are, and are set. Their values are never shown.
    pub secrets: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub created_at: DateTime<Utc>,
    /// When it was changed last; `null` where it never was.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub updated_at: Option<DateTime<Utc>>,
    /// When it was removed; `null` while it is there.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub removed_at: Option<DateTime<Utc>>,
}

impl AccountInfo {
    /// What may be shown of an account.
    #[must_use]
    pub fn of(account: &Account) -> Self {
        let limits = account.limits();
        Self {
            name: account.name().map(ToString::to_string).unwrap_or_default(),
            provider: account.provider().to_owned(),
            channels: account.channels().to_vec(),
            senders: account.senders().iter().map(ToString::to_string).collect(),
            traffic: account.traffic(),
            rate_per_s: limits.rate_per_s,
            rate_per_sender_per_s: limits.rate_per_sender_per_s,
            per_day: limits.per_day,
            concurrency_max: limits.concurrency_max,
            on_doubt: account.on_doubt(),
            settings: account.settings().clone(),
            secrets: account.secrets().keys().cloned().collect(),
            created_by: account.created_by().to_owned(),
            created_at: account.created_at().unwrap_or_default(),
            updated_at: account.changed_at(),
            removed_at: account.removed_at(),
        }
    }
}

impl ReadModel {
    /// The accounts of `tenant` that the log keeps, the newest first.
    ///
    /// # Errors
    /// [`QueryError::Page`] for a cursor that is none; [`QueryError::Database`].
    pub async fn accounts(
        &self,
        tenant: TenantId,
        page: &Page,
    ) -> Result<List<AccountInfo>, QueryError> {
        let before = page.before(ListKind::Accounts)?;
        let (sql, conditions) = accounts_sql(tenant, before, page.limit());
        let kind = ListKind::Accounts;
        Ok(self.list(kind, page.limit(), &sql, &conditions, keyed_account).await?)
    }

    /// One account of `tenant`.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn account(
        &self,
        tenant: TenantId,
        name: &AccountName,
    ) -> Result<Option<AccountInfo>, QueryError> {
        let rows = self.prepared(ACCOUNT, &[&tenant.0, &account_id(name).0]).await?;
        Ok(rows.first().map(account).transpose()?)
    }
}

/// The statement of the accounts' list.
pub(super) fn accounts_sql(tenant: TenantId, before: Position, limit: u32) -> (String, Conditions) {
    let conditions = Conditions::of(tenant, "a.tenant_id").and(
        "a.removed_at IS NULL AND a.created_position < ",
        "",
        before.0,
        Type::INT8,
    );
    let order = format!("ORDER BY a.created_position DESC LIMIT {}", limit + 1);
    (format!("{ACCOUNTS}{}{order}", conditions.sql()), conditions)
}

fn keyed_account(row: &Row) -> Result<(Position, AccountInfo), Error> {
    Ok((Position(row.try_get("created_position")?), account(row)?))
}

fn account(row: &Row) -> Result<AccountInfo, Error> {
    let Json(state): Json<Account> = row.try_get("state")?;
    Ok(AccountInfo::of(&state))
}
