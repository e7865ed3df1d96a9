//! `hatch projections`.

use hatch_readmodel::ReadModel;

use super::pool;
use crate::output::line;
use crate::settings::Settings;

/// Prints a table of all projections.
pub(crate) async fn list(settings: &Settings) -> anyhow::Result<()> {
    let projections = ReadModel::new(pool(settings)?).projections().await?;
    line(format!(
        "{:<16} {:>7} {:>12} {:>11} {:>9}  status",
        "projection", "version", "position", "lag events", "lag s"
    ))?;
    for p in projections {
        line(format!(
            "{:<16} {:>7} {:>12} {:>11} {:>9.1}  {}",
            p.name, p.version, p.position, p.lag_events, p.lag_seconds, p.status
        ))?;
    }
    Ok(())
}
