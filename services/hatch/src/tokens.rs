//! Tokens at the door of a process, and who signs people in, by the settings.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use futures::future::BoxFuture;
use hatch_api::oidc::Oidc;
use hatch_api::tokens::Tokens;
use hatch_domain::Environment;
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// The issuers whose tokens are taken, and what fetches their keys until `shutdown`.
pub(crate) fn start(
    settings: &Settings,
    clock: Arc<dyn Environment>,
    shutdown: CancellationToken,
) -> anyhow::Result<(Tokens, BoxFuture<'static, ()>)> {
    let tokens = Tokens::of(settings.issuers()?);
    let keeping = tokens.keep(clock, shutdown).context("failed to make an HTTP client")?;
    Ok((tokens, keeping))
}

/// Who signs people in, if not hatch alone.
pub(crate) fn oidc(
    settings: &Settings,
    clock: Arc<dyn Environment>,
) -> anyhow::Result<Option<Oidc>> {
    let Some(provider) = settings.identity_provider()? else { return Ok(None) };
    let oidc = Oidc::new(provider, clock);
    oidc.map(Some).map_err(|error| anyhow!("configuration: oidc.{error}"))
}
