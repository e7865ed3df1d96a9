//! What is kept of webhooks outside the log of events: how much there is of each kind, and the partitions
//! that come and go.

use chrono::{DateTime, Utc};
use hatch_domain::ids::TenantId;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::{Error, QueryError, ReadModel};

const PARTITIONS: &str = "
    SELECT kind, name, until_at, coalesce(pg_total_relation_size(relation), 0) AS bytes,
           coalesce(pg_stat_get_live_tuples(relation), 0) AS rows
      FROM hatch.webhook_partitions
     ORDER BY until_at, name";

/// The oldest row of each kind. Each reads the first entries of its partitions' indexes.
const OLDEST: &str = "
    SELECT 'refused', (SELECT received_at FROM hatch.webhook_log
            WHERE tenant_id = $1 AND outcome = 'rejected_signature' ORDER BY received_at LIMIT 1)
     UNION ALL
    SELECT 'nothing_new', (SELECT received_at FROM hatch.webhook_log
            WHERE tenant_id = $1 AND outcome IN ('duplicate', 'ignored') ORDER BY received_at LIMIT 1)
     UNION ALL
    SELECT 'applied', (SELECT received_at FROM hatch.webhook_log
            WHERE tenant_id = $1 AND outcome = 'applied' ORDER BY received_at LIMIT 1)
     UNION ALL
    SELECT 'quarantined', (SELECT received_at FROM hatch.webhook_log
            WHERE tenant_id = $1 AND outcome = 'quarantined' ORDER BY received_at LIMIT 1)";

const ENSURE: &str = "SELECT hatch.ensure_webhook_partitions($1, $2)";
const DROP: &str = "SELECT hatch.drop_webhook_partition($1)";
const EMPTY: &str = "SELECT hatch.empty_webhook_net($1, $2, $3)";

/// One page of those that wait, by id: how many of each provider, and where the page ends.
const WAITING: &str = "
    WITH page AS (
        SELECT id, provider FROM hatch.waiting_receipts WHERE id > $1 ORDER BY id LIMIT 2000)
    SELECT provider, count(*), (array_agg(id ORDER BY id DESC))[1] FROM page GROUP BY provider";

/// A kind of what is kept; each has partitions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeptKind {
    /// Webhooks whose signature was missing or wrong.
    Refused,
    /// Duplicates, and what changes no message.
    NothingNew,
    /// What became events.
    Applied,
    /// Signed, but not understood.
    Quarantined,
    /// Bodies that are longer than a row holds.
    Bodies,
}

/// A partition that lies between two moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPartition {
    /// The table's name.
    pub name: String,
    /// Its rows came before this time.
    pub until: DateTime<Utc>,
    /// Bytes that it uses, with its indexes.
    pub bytes: i64,
}

/// How much there is of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The kind.
    pub kind: KeptKind,
    /// Rows, about.
    pub rows: i64,
    /// Bytes that they use, with indexes.
    pub bytes: i64,
    /// Those of the rows that are in the kind's net, because their time has no partition.
    pub net_rows: i64,
    /// When the oldest came, where that is known.
    pub oldest: Option<DateTime<Utc>>,
    /// The partitions, the oldest first.
    pub partitions: Vec<KeptPartition>,
}

/// Receipts that wait, of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingCount {
    /// The provider.
    pub provider: String,
    /// How many.
    pub count: u64,
}

impl KeptKind {
    /// All of them; those that go first when there is too much come first.
    pub const ALL: [Self; 5] =
        [Self::Refused, Self::NothingNew, Self::Applied, Self::Quarantined, Self::Bodies];

    /// The kind's name in the database and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NothingNew => "nothing_new",
            Self::Applied => "applied",
            Self::Quarantined => "quarantined",
            Self::Bodies => "bodies",
        }
    }
}

impl ReadModel {
    /// How much there is of every kind, in the order of [`KeptKind::ALL`].
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn kept(&self) -> Result<Vec<Kept>, QueryError> {
        let partitions = self.prepared(PARTITIONS, &[]).await?;
        let tenant = TenantId::DEFAULT.0;
        let oldest = self.prepared(OLDEST, &[&tenant]).await?;
        let mut all = Vec::with_capacity(KeptKind::ALL.len());
        for kind in KeptKind::ALL {
            let of_kind = |row: &&Row| row.get::<_, String>(0) == kind.as_str();
            let mut kept = Kept::nothing(kind);
            if let Some(row) = oldest.iter().find(of_kind) {
                kept.oldest = row.try_get(1).map_err(Error::from)?;
            }
            for row in partitions.iter().filter(of_kind) {
                kept.add(row).map_err(Error::from)?;
            }
            all.push(kept);
        }
        Ok(all)
    }

    /// Makes sure of the partitions of `at` and of the `ahead` days after it, and says how many were made.
    ///
    /// # Errors
    /// [`QueryError::Database`]; [`QueryError::is_busy`] when it is to be tried again.
    pub async fn ensure_webhook_partitions(
        &self,
        at: DateTime<Utc>,
        ahead: i32,
    ) -> Result<i32, QueryError> {
        let rows = self.prepared(ENSURE, &[&at, &ahead]).await?;
        Ok(rows[0].try_get(0).map_err(Error::from)?)
    }

    /// Drops a partition that lies in the past, and says how many bytes that frees; `None` when somebody
    /// else has done so.
    ///
    /// # Errors
    /// [`QueryError::Database`]; [`QueryError::is_busy`] when it is to be tried again.
    pub async fn drop_webhook_partition(&self, name: &str) -> Result<Option<i64>, QueryError> {
        let rows = self.prepared(DROP, &[&name]).await?;
        Ok(rows[0].try_get(0).map_err(Error::from)?)
    }

    /// Takes at most `rows_max` rows that came before `before` out of a kind's net, and says how many.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn empty_webhook_net(
        &self,
        kind: KeptKind,
        before: DateTime<Utc>,
        rows_max: i32,
    ) -> Result<i64, QueryError> {
        let rows = self.prepared(EMPTY, &[&kind.as_str(), &before, &rows_max]).await?;
        Ok(rows[0].try_get(0).map_err(Error::from)?)
    }

    /// How many receipts wait, by provider. They are counted page by page: no statement reads all.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn count_waiting_receipts(&self) -> Result<Vec<WaitingCount>, QueryError> {
        let mut counts: Vec<WaitingCount> = Vec::new();
        let mut after = Uuid::nil();
        loop {
            let page = self.prepared(WAITING, &[&after]).await?;
            if page.is_empty() {
                return Ok(counts);
            }
            for row in &page {
                let (provider, count): (String, i64) =
                    (row.try_get(0).map_err(Error::from)?, row.try_get(1).map_err(Error::from)?);
                let count = u64::try_from(count).unwrap_or_default();
                after = after.max(row.try_get(2).map_err(Error::from)?);
                match counts.iter_mut().find(|known| known.provider == provider) {
                    Some(known) => known.count += count,
                    None => counts.push(WaitingCount { provider, count }),
                }
            }
        }
    }
}

impl Kept {
    /// Nothing of `kind`.
    #[must_use]
    pub const fn nothing(kind: KeptKind) -> Self {
        Self { kind, rows: 0, bytes: 0, net_rows: 0, oldest: None, partitions: Vec::new() }
    }

    /// Until when there are partitions, if there are any.
    #[must_use]
    pub fn prepared_until(&self) -> Option<DateTime<Utc>> {
        self.partitions.last().map(|partition| partition.until)
    }

    fn add(&mut self, row: &Row) -> Result<(), tokio_postgres::Error> {
        let (bytes, rows): (i64, i64) = (row.try_get("bytes")?, row.try_get("rows")?);
        self.bytes += bytes;
        self.rows += rows;
        match row.try_get("until_at")? {
            Some(until) => {
                self.partitions.push(KeptPartition { name: row.try_get("name")?, until, bytes });
            }
            None => self.net_rows += rows,
        }
        Ok(())
    }
}

impl QueryError {
    /// Whether a table was in use, and the same may succeed in a moment.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let Self::Database(Error::Postgres(error)) = self else { return false };
        error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }
}
