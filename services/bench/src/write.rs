//! Where the figures go: to the terminal, and to the files that are wanted.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use hatch::output::line;

use crate::fairness::Fairness;
use crate::flags::Flags;
use crate::{Outcome, html};

/// The files that the flags name, open.
pub(crate) struct Files {
    json: Option<File>,
    page: Option<File>,
}

impl Files {
    /// Makes them, before anything is measured: nobody wants to hear after an hour that there is nowhere
    /// to write to.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub(crate) fn create(flags: &Flags) -> anyhow::Result<Self> {
        Ok(Self {
            json: flags.json.as_deref().map(create).transpose()?,
            page: flags.html.as_deref().map(create).transpose()?,
        })
    }

    /// Prints the figures and writes them.
    ///
    /// # Errors
    /// They cannot be printed, or a file cannot be written.
    pub(crate) fn write(self, outcome: &Outcome) -> anyhow::Result<()> {
        line(outcome.report.table(&outcome.measured.entries.failures))?;
        if let Some(mut file) = self.json {
            writeln!(file, "{}", serde_json::to_string_pretty(&outcome.report)?)
                .context("failed to write the figures (--json)")?;
        }
        if let Some(mut file) = self.page {
            file.write_all(html::page(outcome).as_bytes())
                .context("failed to write the page (--html)")?;
        }
        Ok(())
    }

    /// The same of `--fairness`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn write_fairness(self, fairness: &Fairness) -> anyhow::Result<()> {
        line(fairness.table())?;
        if let Some(mut file) = self.json {
            writeln!(file, "{}", serde_json::to_string_pretty(fairness)?)
                .context("failed to write the figures (--json)")?;
        }
        Ok(())
    }
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
