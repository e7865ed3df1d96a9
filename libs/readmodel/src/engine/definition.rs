//! What a projection is: its name, its tables, and who writes them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use deadpool_postgres::Transaction;
use futures::future::BoxFuture;
use hatch_eventstore::RecordedEvent;
use hatch_eventstore::schema::Schema;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::tables::Tables;
use crate::Error;

/// The projections of a build, each once.
pub type Projections = &'static [&'static Definition];

/// A function from the log to tables, with a checkpoint of its own.
///
/// Tables that one page of events changes together belong to one projection: they become visible together,
/// and one pass over the log rebuilds them. What may lag or halt alone is a projection of its own.
pub struct Definition {
    /// The name of its checkpoint. Copies of its tables are in schemas of this name, too.
    pub(crate) name: &'static str,
    /// The version of its tables. One that the log has to be applied to anew has another number.
    pub(crate) version: i32,
    /// The migrations that make its tables.
    pub(crate) schema: Schema,
    /// The PostgreSQL schema that holds its tables and nothing else. Statements name it.
    pub(crate) tables: &'static str,
    /// The aggregates whose events it reads. Other events only move its checkpoint.
    pub(crate) aggregates: &'static [&'static str],
    /// The read models that it writes, by the names that the API lists.
    pub(crate) read_models: &'static [&'static str],
    /// Whether a message counts as done only once this projection shows it. Then messages are refused while
    /// it is too far behind.
    pub(crate) gates_admission: bool,
    /// The statements that its writer reads with, which are prepared before a page's transaction begins.
    pub(crate) reads: &'static [&'static str],
    /// Makes a writer that remembers nothing yet.
    pub(crate) writer: fn() -> Box<dyn Writer>,
    /// How streams are replayed side by side; without it a replay is one page after the other.
    pub(crate) parallel: Option<&'static dyn Parallel>,
}

/// Turns pages of the log into rows.
pub(crate) trait Writer: Send {
    /// Writes into `into` what `page` changes. What it reads first is to be asked for before it writes, by the
    /// definition's `reads`.
    ///
    /// # Errors
    /// What refuses the page, which is rolled back then.
    fn apply<'a>(
        &'a mut self,
        into: WriteContext<'a>,
        page: &'a [Arc<RecordedEvent>],
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// The page that was applied last is committed: what it left may be remembered for the next one.
    fn committed(&mut self) {}
}

/// How a stretch of the log is replayed by several connections.
pub(crate) trait Parallel: Sync {
    /// Writes what belongs to one stream each, for some of the stretch's streams. Returns what
    /// [`shared`](Self::shared) needs to know of them.
    ///
    /// # Errors
    /// As [`Writer::apply`].
    fn streams<'a>(
        &'a self,
        into: WriteContext<'a>,
        events: &'a [Arc<RecordedEvent>],
    ) -> BoxFuture<'a, Result<Half, Error>>;

    /// Writes what several streams have a say in, given what the first halves of all streams of the stretch
    /// returned. Stretches come in the order of the log.
    ///
    /// # Errors
    /// As [`Writer::apply`].
    fn shared<'a>(
        &'a self,
        into: WriteContext<'a>,
        halves: Vec<Half>,
    ) -> BoxFuture<'a, Result<(), Error>>;
}

/// The result of a projection's first half of a replay, for its second half.
pub(crate) type Half = Box<dyn Any + Send>;

/// Which tables are read and written, and in which transaction.
#[derive(Clone, Copy)]
pub(crate) struct WriteContext<'a> {
    pub(crate) tables: Tables,
    pub(crate) transaction: &'a Transaction<'a>,
}

impl WriteContext<'_> {
    /// The rows that `sql` finds by `keys`; nothing is asked for none.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub(crate) async fn query<K: ToSql + Sync>(
        self,
        sql: &'static str,
        keys: &[K],
    ) -> Result<Vec<Row>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let statement = self.transaction.prepare_cached(&self.tables.sql(sql)).await?;
        Ok(self.transaction.query(&statement, &[&keys]).await?)
    }
}

impl Definition {
    /// The name of its checkpoint.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The version of its tables.
    #[must_use]
    pub const fn version(&self) -> i32 {
        self.version
    }

    /// The migrations that make its tables.
    #[must_use]
    pub const fn schema(&self) -> Schema {
        self.schema
    }

    /// The read models that it writes, by the names that the API lists.
    #[must_use]
    pub const fn read_models(&self) -> &'static [&'static str] {
        self.read_models
    }

    /// Whether messages are refused while it is too far behind.
    #[must_use]
    pub const fn gates_admission(&self) -> bool {
        self.gates_admission
    }

    /// The projection of `projections` that writes `read_model`.
    #[must_use]
    pub fn of_read_model(projections: Projections, read_model: &str) -> Option<&'static Self> {
        projections.iter().copied().find(|one| one.read_models.contains(&read_model))
    }

    /// The projection of `projections` with this name and version, if this build has it.
    pub(crate) fn find(
        projections: Projections,
        name: &str,
        version: i32,
    ) -> Option<&'static Self> {
        projections.iter().copied().find(|one| one.name == name && one.version == version)
    }

    /// Its key among advisory locks: its name, as FNV-1a has it.
    pub(crate) const fn key(&self) -> i32 {
        let (bytes, mut hash, mut at) = (self.name.as_bytes(), 0x811c_9dc5_u32, 0);
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
            at += 1;
        }
        hash.cast_signed()
    }

    /// Whether `event` is of an aggregate that it reads.
    #[must_use]
    pub fn reads_event(&self, event: &RecordedEvent) -> bool {
        self.aggregates.contains(&event.aggregate.as_str())
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.version) == (other.name, other.version)
    }
}

impl Eq for Definition {}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.name, self.version)
    }
}
