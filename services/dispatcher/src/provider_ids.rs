//! Which message has which provider's id, so that a look-up takes no other message of ours for the one in doubt.

use std::time::Duration;

use deadpool_postgres::Transaction;
use hatch_due::KeptNote;
use hatch_eventstore::values::{integer, natural};
use hatch_eventstore::{Connection, Connections, Unanswered};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// How long PostgreSQL may take to answer, the wait for a connection included.
const ASK_MAX: Duration = Duration::from_secs(4);

const KEEP: &str = "
    INSERT INTO dispatch.provider_ids (provider_message_id, tenant_id, message_id, attempt)
    SELECT unnest($1::text[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::int[])
    ON CONFLICT DO NOTHING";

const CLAIM: &str = "
    INSERT INTO dispatch.provider_ids AS p (provider_message_id, tenant_id, message_id, attempt)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (provider_message_id) DO UPDATE SET attempt = p.attempt
    RETURNING tenant_id, message_id, attempt";

const HOLDER: &str = "
    SELECT tenant_id, message_id, attempt FROM dispatch.provider_ids
     WHERE provider_message_id = $1";

/// What a provider calls a message, and in which attempt it took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderId {
    /// The provider's id.
    pub provider_message_id: String,
    /// The attempt.
    pub attempt: u32,
}

/// Why it is not known whose an id is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no answer from the database of the providers' ids")]
    Unanswered(#[from] Unanswered),
    #[error("the database of the providers' ids refused or was lost")]
    Postgres(#[from] tokio_postgres::Error),
}

/// Writes the ids that a fold of the log has met.
pub(crate) async fn keep(
    transaction: &Transaction<'_>,
    kept: &[KeptNote<ProviderId>],
) -> Result<(), tokio_postgres::Error> {
    if kept.is_empty() {
        return Ok(());
    }
    let statement = transaction.prepare_cached(KEEP).await?;
    let ids: Vec<_> = kept.iter().map(|id| id.note.provider_message_id.as_str()).collect();
    let tenants: Vec<_> = kept.iter().map(|id| id.tenant_id).collect();
    let messages: Vec<_> = kept.iter().map(|id| id.stream_id).collect();
    let attempts: Vec<_> = kept.iter().map(|id| integer(id.note.attempt)).collect();
    transaction.execute(&statement, &[&ids, &tenants, &messages, &attempts]).await?;
    Ok(())
}

/// The providers' ids that are known; cheap to clone.
#[derive(Clone)]
pub(crate) struct ProviderIds(Connections);

impl ProviderIds {
    pub(crate) const fn new(pool: Connections) -> Self {
        Self(pool)
    }

    /// Makes a provider's id the message's, if it is nobody's yet, and says whose it is: tenant,
    /// message, attempt. Of two messages that ask for the same one, one gets it.
    pub(crate) async fn claim(
        &self,
        provider_message_id: &str,
        (tenant_id, message_id, attempt): (Uuid, Uuid, u32),
    ) -> Result<(Uuid, Uuid, u32), Error> {
        let attempt = integer(attempt);
        let claim = async |client: &mut Connection| {
            let statement = client.prepare_cached(CLAIM).await?;
            let values: [&(dyn ToSql + Sync); 4] =
                [&provider_message_id, &tenant_id, &message_id, &attempt];
            Ok::<_, Error>(client.query_one(&statement, &values).await?)
        };
        let row = self.0.within(ASK_MAX, claim).await?;
        Ok(holder(&row)?)
    }

    /// The owner of a provider's id: tenant, message, attempt; none when it has none.
    pub(crate) async fn holder(
        &self,
        provider_message_id: &str,
    ) -> Result<Option<(Uuid, Uuid, u32)>, Error> {
        let ask = async |client: &mut Connection| {
            let statement = client.prepare_cached(HOLDER).await?;
            Ok::<_, Error>(client.query_opt(&statement, &[&provider_message_id]).await?)
        };
        let row = self.0.within(ASK_MAX, ask).await?;
        Ok(row.as_ref().map(holder).transpose()?)
    }
}

fn holder(row: &tokio_postgres::Row) -> Result<(Uuid, Uuid, u32), tokio_postgres::Error> {
    let attempt: i32 = row.try_get(2)?;
    Ok((row.try_get(0)?, row.try_get(1)?, natural(attempt)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hatch_eventstore::testing::{Template, TestDatabase};

    use super::*;

    const TEMPLATE: Template =
        Template { name: "dispatch", schemas: || vec![hatch_due::SCHEMA, crate::SCHEMA], sql: "" };

    #[tokio::test]
    async fn of_two_messages_that_claim_a_providers_id_one_gets_it() {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let ids =
            ProviderIds::new(hatch_eventstore::pool(&database.config(), 8, Duration::from_secs(5)));
        let tenant = Uuid::from_u128(1);
        let claims = (1..=8).map(|n| ids.claim("SM1", (tenant, Uuid::from_u128(n), 1)));
        let holders: HashSet<_> = futures::future::join_all(claims)
            .await
            .into_iter()
            .map(|holder| holder.expect("claimed"))
            .collect();
        assert_eq!(holders.len(), 1);
    }
}
