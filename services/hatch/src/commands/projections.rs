//! `hatch projections`.

use hatch_domain::Environment;
use hatch_eventstore::{Log, SystemEnvironment};
use hatch_readmodel::ReadModel;

use super::pool;
use crate::output::line;
use crate::settings::Settings;

/// Prints a table of all projections.
pub(crate) async fn list(settings: &Settings) -> anyhow::Result<()> {
    let pool = pool(settings)?;
    let (read_model, log) = (ReadModel::new(pool.clone()), Log::new(pool));
    let projections = read_model.projections(&log, SystemEnvironment.now()).await?;
    line(format!("{:<16} {:>7} {:>12} {:>11} {:>9}  status", "projection", "version", "position", "lag events", "lag s"))?;
    for p in projections {
        line(format!(
            "{:<16} {:>7} {:>12} {:>11} {:>9.1}  {}",
            p.name, p.version, p.position, p.lag_events, p.lag_seconds, p.status.as_str()
        ))?;
    }
    Ok(())
}
