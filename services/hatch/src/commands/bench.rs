//! `hatch bench`: runs the benchmark, prints its figures and writes them where they are wanted.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::bench::{self, html};
use crate::cli;
use crate::output::line;
use crate::settings::Settings;

/// Fails when a message is lost, doubled or stuck.
pub(crate) async fn run(settings: Settings, flags: cli::Bench) -> anyhow::Result<ExitCode> {
    // Made first: nobody wants to hear after an hour that there is nowhere to write to.
    let json = flags.json.as_deref().map(create).transpose()?;
    let page = flags.html.as_deref().map(create).transpose()?;
    let outcome = bench::run(settings, &flags).await?;
    line(outcome.report.table(&outcome.measured.entries.failures))?;
    if let Some(mut file) = json {
        writeln!(file, "{}", serde_json::to_string_pretty(&outcome.report)?)
            .context("failed to write the figures (--json)")?;
    }
    if let Some(mut file) = page {
        file.write_all(html::page(&outcome).as_bytes())
            .context("failed to write the page (--html)")?;
    }
    let sound = outcome.report.reconciliation.is_sound();
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes the file, or closes one that is there, to the eyes of others.
fn create(path: &Path) -> anyhow::Result<File> {
    let opened = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    let closed = opened.and_then(|file| {
        // A device such as /dev/null is everybody's.
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        Ok(file)
    });
    closed.with_context(|| format!("failed to make {}", path.display()))
}
