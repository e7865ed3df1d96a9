//! From which sender of a pool somebody is written to.

use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use tokio_postgres::Row;

use crate::{Error, QueryError, ReadModel};

const SENDER_OF: &str = "SELECT hatch.sender_of($1, $2, $3)";
const REMEMBER: &str = "SELECT hatch.remember_sender($1, $2, $3, $4, $5)";

impl ReadModel {
    /// The sender that `tenant` last wrote to `to` from, by this pool.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn sender_of(
        &self,
        tenant: TenantId,
        pool: &str,
        to: &Address,
    ) -> Result<Option<Address>, QueryError> {
        let whom = to.identity();
        let rows = self.prepared(SENDER_OF, &[&tenant.0, &pool, &whom.as_str()]).await?;
        Ok(read(&rows)?.map(Address::recorded))
    }

    /// Remembers `chosen` in place of `before`. The sender that is remembered now: another one, where somebody was
    /// faster.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn remember_sender(
        &self,
        tenant: TenantId,
        pool: &str,
        to: &Address,
        (before, chosen): (Option<&Address>, &Address),
    ) -> Result<Address, QueryError> {
        let whom = to.identity();
        let before = before.map(Address::as_str);
        let rows = self
            .prepared(REMEMBER, &[&tenant.0, &pool, &whom.as_str(), &before, &chosen.as_str()])
            .await?;
        Ok(read(&rows)?.map_or_else(|| chosen.clone(), Address::recorded))
    }
}

fn read(rows: &[Row]) -> Result<Option<String>, Error> {
    let sender = rows.first().map(|row| row.try_get::<_, Option<String>>(0)).transpose()?;
    Ok(sender.flatten())
}
