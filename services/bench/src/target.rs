//! What is measured: a hatch, with its simulator, its database and its processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hatch::settings::Settings;
use hatch_process::Servers;

use crate::cpu::Usage;
use crate::flags::Flags;

/// What the benchmark itself is called among the processes.
const GENERATOR: &str = "generator";
/// `hatch up` where it does all the work, and where it only passes requests on.
const ONE_PROCESS: &str = "hatch";
const FRONT: &str = "front";
/// A role that is a process of its own only in `hatch up --split`.
const SPLIT_ROLE: &str = "command";

/// A hatch to measure.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it serves.
    pub(crate) url: String,
    /// Where its simulator serves.
    pub(crate) simulator: String,
    /// The settings, with its database.
    pub(crate) settings: Settings,
    /// Whether it is the `hatch up` of the data folder.
    ours: bool,
}

impl Target {
    /// The hatch that the flags name, else the `hatch up` that runs on the data folder, else the one
    /// that the settings describe.
    ///
    /// # Errors
    /// The record of the data folder cannot be read, or no database is known.
    pub(crate) fn find(mut settings: Settings, flags: &Flags) -> anyhow::Result<Self> {
        let given = flags.url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
        let running = Servers::read(&settings.data_dir)?;
        // Another hatch than the one that runs here has another database.
        let running = running.filter(|up| given.is_none() || given == up.url);
        let ours = running.is_some();
        let running = running.unwrap_or_default();
        if ours {
            settings.database_url.get_or_insert(running.database_url);
        }
        settings
            .database_url()
            .context("the messages are looked for in the database of that hatch")?;
        let url = given.or(running.url).unwrap_or_else(|| format!("http://{}", settings.listen));
        let simulator = flags.simulator.clone().or(running.simulator_url);
        let simulator =
            simulator.unwrap_or_else(|| format!("http://{}", settings.simulator_listen));
        Ok(Self { url, simulator, settings, ours })
    }

    /// The processor time of its processes, and of this one.
    pub(crate) fn usage(&self) -> Usage {
        let mut processes = BTreeMap::new();
        if self.ours
            && let Ok(Some(up)) = Servers::read(&self.settings.data_dir)
        {
            let name = if up.pids.contains_key(SPLIT_ROLE) { FRONT } else { ONE_PROCESS };
            processes = up.pids;
            processes.insert(name.to_owned(), up.hatch_pid);
        }
        processes.insert(GENERATOR.to_owned(), std::process::id());
        Usage::of(&processes)
    }

    /// A folder on the disk that the database writes to, as far as that is known.
    pub(crate) fn disk(&self) -> PathBuf {
        let folder = &self.settings.data_dir;
        let candidates = [folder.join("data"), folder.clone()];
        let found = candidates.into_iter().find(|folder| folder.is_dir());
        found.unwrap_or_else(|| Path::new(".").to_owned())
    }
}
