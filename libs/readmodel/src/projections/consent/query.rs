//! The consents of one address.

use chrono::{DateTime, Utc};
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use utoipa::ToSchema;

use crate::{Error, QueryError, ReadModel};

/// Programmes of one address that are shown at most.
const PROGRAMMES_MAX: i64 = 200;

const OF_ADDRESS: &str = "SELECT programme, wish, wish_since, evidence, blocks FROM rm.consents \
     WHERE tenant_id = $1 AND address = $2 ORDER BY programme LIMIT $3";

/// What is known of one address and programme.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConsentEntry {
    /// What it is for.
    pub programme: String,
    /// `opted_in` or `opted_out`; none where the person never said.
    pub wish: Option<String>,
    /// Since when the person wishes it.
    #[serde(serialize_with = "hatch_domain::time::serialize_option")]
    pub since: Option<DateTime<Utc>>,
    /// How the wish is known.
    #[schema(value_type = Option<Object>)]
    pub evidence: Option<Value>,
    /// The provider accounts that send nothing to the address.
    pub blocked_by: Vec<ConsentBlock>,
}

/// A provider account that sends nothing to an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsentBlock {
    /// The provider, such as `twilio`.
    pub provider: String,
    /// The account there.
    pub account: String,
    /// The provider's own code or word for it.
    pub reason: String,
    /// Since when it is known.
    #[serde(serialize_with = "hatch_domain::time::serialize")]
    pub since: DateTime<Utc>,
}

impl ReadModel {
    /// What is known of `address`, a row for each programme that somebody said something about.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn consents(
        &self,
        tenant: TenantId,
        address: &Address,
    ) -> Result<Vec<ConsentEntry>, QueryError> {
        let rows =
            self.prepared(OF_ADDRESS, &[&tenant.0, &address.as_str(), &PROGRAMMES_MAX]).await?;
        Ok(rows.iter().map(entry).collect::<Result<_, Error>>()?)
    }
}

fn entry(row: &Row) -> Result<ConsentEntry, Error> {
    let evidence: Option<Json<Value>> = row.try_get("evidence")?;
    let Json(blocked_by) = row.try_get("blocks")?;
    Ok(ConsentEntry {
        programme: row.try_get("programme")?,
        wish: row.try_get("wish")?,
        since: row.try_get("wish_since")?,
        evidence: evidence.map(|Json(evidence)| evidence),
        blocked_by,
    })
}
