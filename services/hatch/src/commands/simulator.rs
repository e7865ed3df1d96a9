//! `hatch simulator`: the provider simulator alone.

use tokio_util::sync::CancellationToken;

use crate::settings::Settings;
use crate::{development, supervise};

/// Runs until a signal asks for the end.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    supervise::stop_on_signal(&shutdown)?;
    supervise::stop_with_parent(&shutdown);
    development::simulate(settings, &settings.data_dir, shutdown).await
}
