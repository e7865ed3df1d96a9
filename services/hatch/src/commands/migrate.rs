//! `hatch migrate`.

use std::time::Duration;

use anyhow::Context;

use super::pool;
use crate::output::line;
use crate::schemas::schemas;
use crate::settings::Settings;
use hatch_eventstore::Connection;

/// How long a connection is waited for.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long the migrations may take: one may read a large table as a whole.
const MIGRATE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Brings the database to the schemas of this build.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    migrate(settings).await?;
    line("the database is at the schema of this version").map_err(Into::into)
}

/// Applies what is missing; safe to repeat, and beside another that does the same.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let mut held = pool(settings)?.own(CONNECT_MAX).await.context("failed to reach PostgreSQL")?;
    let migrate = async |client: &mut Connection| {
        for schema in schemas() {
            schema.migrate(client).await.context("failed to migrate")?;
        }
        Ok(())
    };
    held.within(MIGRATE_MAX, migrate).await
}
