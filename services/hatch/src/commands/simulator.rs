//! `hatch simulator`: the provider simulator alone.

use tokio_util::sync::CancellationToken;

use crate::settings::Settings;
use crate::supervise;

/// Runs until a signal asks for the end.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    supervise::cancel_on_stop(shutdown.clone())?;
    crate::up::simulate(settings, shutdown).await
}
