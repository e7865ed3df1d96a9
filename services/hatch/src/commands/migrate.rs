//! `hatch migrate`.

use anyhow::Context;

use super::pool;
use crate::output::line;
use crate::schemas;
use crate::settings::Settings;

/// Brings the database to the schemas of this build.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    migrate(settings).await?;
    line("the database is at the schema of this version").map_err(Into::into)
}

/// Applies what is missing; safe to repeat, and beside another that does the same.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let mut client = pool(settings)?.get().await.context("failed to reach PostgreSQL")?;
    for schema in schemas() {
        schema.migrate(&mut client).await.context("failed to migrate")?;
    }
    Ok(())
}
