//! Numbered, immutable migrations of one PostgreSQL schema, and which of them a database has.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use refinery::Runner;
use tokio_postgres::{Client, error::SqlState};

use crate::locks::MIGRATION_LOCK;

mod embedded {
    refinery::embed_migrations!("../../schema/eventstore");
}

/// The event store's own tables, in the PostgreSQL schema `es`.
pub const EVENTSTORE: Schema = Schema::new("es", embedded::migrations::runner);

/// Applies the event store's migrations that `client`'s database lacks.
///
/// # Errors
/// [`SchemaError`] when one fails, or when the database has others than this build knows.
pub async fn migrate(client: &mut Client) -> Result<(), SchemaError> {
    EVENTSTORE.migrate(client).await
}

/// A PostgreSQL schema whose tables are made by migrations embedded in the program.
///
/// Each schema keeps its own history in its table `schema_history`, so that the event store and the
/// read models evolve apart.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    name: &'static str,
    runner: fn() -> Runner,
    /// The schema that the history is in, if it is in another one.
    history_in: Option<&'static str>,
}

/// Why a schema could not be migrated or is not the expected one.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// PostgreSQL refused or did not answer.
    #[error("use the schema history")]
    Postgres(#[source] tokio_postgres::Error),
    /// A migration failed, or the applied ones are not those of this build.
    #[error("apply the migrations")]
    Migration(#[source] Box<refinery::Error>),
    /// The database has another version than this build expects.
    #[error(
        "schema {schema} is at version {current}, this build expects {expected}: migrate first, or run the build that fits"
    )]
    Unexpected {
        /// The PostgreSQL schema.
        schema: &'static str,
        /// The version found; 0 when it was never migrated.
        current: i32,
        /// The version that this build knows.
        expected: i32,
    },
}

impl Schema {
    /// The schema `name`, made by the migrations of `runner` (what `refinery::embed_migrations!`
    /// generates).
    #[must_use]
    pub const fn new(name: &'static str, runner: fn() -> Runner) -> Self {
        Self { name, runner, history_in: None }
    }

    /// The same with its history in the schema `other`, which is migrated before it. So a schema that is replaced
    /// as a whole holds nothing but its tables.
    #[must_use]
    pub const fn with_history_in(self, other: &'static str) -> Self {
        Self { history_in: Some(other), ..self }
    }

    /// Applies the migrations that `client`'s database lacks; one process at a time, others wait.
    ///
    /// # Errors
    /// [`SchemaError`] when one fails, or when the database has others than this build knows.
    pub async fn migrate(&self, client: &mut Client) -> Result<(), SchemaError> {
        client
            .execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
            .await
            .map_err(SchemaError::Postgres)?;
        let migrated = self.migrate_locked(client).await;
        let unlocked = client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await;
        migrated?;
        unlocked.map_err(SchemaError::Postgres)?;
        Ok(())
    }

    async fn migrate_locked(&self, client: &mut Client) -> Result<(), SchemaError> {
        // The history's table lives in the schema, so the schema comes before the first migration.
        client
            .batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", self.name))
            .await
            .map_err(SchemaError::Postgres)?;
        let mut runner = (self.runner)();
        runner.set_migration_table_name(self.history_table());
        let report = runner
            .run_async(client)
            .await
            .map_err(|error| SchemaError::Migration(Box::new(error)))?;
        for migration in report.applied_migrations() {
            tracing::info!(schema = self.name, %migration, "migration applied");
        }
        Ok(())
    }

    /// The version that the database has; 0 when it was never migrated.
    ///
    /// # Errors
    /// [`SchemaError::Postgres`] when the history cannot be read.
    pub async fn current_version(&self, client: &Client) -> Result<i32, SchemaError> {
        let sql = format!("SELECT coalesce(max(version), 0) FROM {}", self.history_table());
        match client.query_one(&sql, &[]).await {
            Ok(row) => Ok(row.get(0)),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
            Err(error) => Err(SchemaError::Postgres(error)),
        }
    }

    /// When the database came to the version that it has; `None` when it was never migrated.
    ///
    /// # Errors
    /// [`SchemaError::Postgres`] when the history cannot be read.
    pub async fn changed_at(&self, client: &Client) -> Result<Option<DateTime<Utc>>, SchemaError> {
        let sql = format!("SELECT max(applied_on::timestamptz) FROM {}", self.history_table());
        match client.query_one(&sql, &[]).await {
            Ok(row) => row.try_get(0).map_err(SchemaError::Postgres),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
            Err(error) => Err(SchemaError::Postgres(error)),
        }
    }

    /// The PostgreSQL schema's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The version that this build expects: its last migration's.
    #[must_use]
    pub fn expected_version(&self) -> i32 {
        let runner = (self.runner)();
        runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0)
    }

    /// Refuses a database that has another version than this build expects.
    ///
    /// # Errors
    /// [`SchemaError::Unexpected`] then; [`SchemaError::Postgres`] when it cannot be read.
    pub async fn check(&self, client: &Client) -> Result<(), SchemaError> {
        let current = self.current_version(client).await?;
        let expected = self.expected_version();
        if current == expected {
            Ok(())
        } else {
            Err(SchemaError::Unexpected { schema: self.name, current, expected })
        }
    }

    /// A number that changes with the migrations' content.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut checksums: Vec<u64> =
            (self.runner)().get_migrations().iter().map(refinery::Migration::checksum).collect();
        checksums.sort_unstable();
        (self.name, checksums).hash(&mut hasher);
        hasher.finish()
    }

    fn history_table(&self) -> String {
        match self.history_in {
            None => format!("{}.schema_history", self.name),
            Some(other) => format!("{other}.{}_schema_history", self.name),
        }
    }
}
