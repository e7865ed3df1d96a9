//! The record of a running `hatch up`, by which commands in its folder find it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::children::is_alive;

/// The record of the process that runs on a data folder.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Servers {
    /// The supervisor.
    pub hatch_pid: u32,
    /// `postgres://` URL with its password.
    pub database_url: String,
    /// `nats://` URL with its password.
    pub nats_url: String,
    /// The processes of the supervisor that are up, by name: `postgres`, `nats-server`, and each role
    /// and the `simulator` where they are processes of their own.
    #[serde(default)]
    pub pids: BTreeMap<String, u32>,
    /// Where hatch serves.
    #[serde(default)]
    pub url: Option<String>,
    /// Where the provider simulator serves.
    #[serde(default)]
    pub simulator_url: Option<String>,
    /// What the supervisor's settings call this installation.
    #[serde(default)]
    pub deployment: Option<String>,
    /// By what name they have the database's server count as the same one.
    #[serde(default)]
    pub database_host: Option<String>,
}

/// Without its URLs, which hold passwords.
impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers").field("hatch_pid", &self.hatch_pid).finish_non_exhaustive()
    }
}

impl Servers {
    /// Where the record is, in the data folder.
    pub const FILE: &str = "servers.json";

    /// What runs on the data folder at `path`; `None` where nothing does.
    ///
    /// # Errors
    /// There is a record and it cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let path = path.join(Self::FILE);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("failed to read {}", path.display()))?,
        };
        let servers: Self = serde_json::from_str(&text)
            .with_context(|| format!("failed to understand {}", path.display()))?;
        Ok(is_alive(servers.hatch_pid).then_some(servers))
    }
}
