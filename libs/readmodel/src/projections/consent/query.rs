//! The consents of some addresses.

use hatch_domain::ids::{ConsentId, TenantId};

use crate::{Error, QueryError, ReadModel};

/// Consents that are found at most: an address has one for each programme that somebody said something about.
const CONSENTS_MAX: i64 = 2_000;

const OF_ADDRESSES: &str =
    "SELECT id FROM rm.consents WHERE tenant_id = $1 AND address = ANY($2) ORDER BY id LIMIT $3";

impl ReadModel {
    /// The consents of `addresses` of which somebody said something, by their streams; 2,000 at most.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn consents_of(
        &self,
        tenant: TenantId,
        addresses: &[String],
    ) -> Result<Vec<ConsentId>, QueryError> {
        let rows = self.prepared(OF_ADDRESSES, &[&tenant.0, &addresses, &CONSENTS_MAX]).await?;
        let ids: Result<Vec<_>, tokio_postgres::Error> =
            rows.iter().map(|row| row.try_get(0).map(ConsentId)).collect();
        Ok(ids.map_err(Error::from)?)
    }
}
