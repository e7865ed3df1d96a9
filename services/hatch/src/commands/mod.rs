//! The smaller subcommands, one file each.

pub(crate) mod archive;
pub(crate) mod bench;
pub(crate) mod dead_letters;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod fence;
pub(crate) mod migrate;
pub(crate) mod projections;
pub(crate) mod serve;
pub(crate) mod simulator;
pub(crate) mod verify_log;

use std::time::Duration;

use deadpool_postgres::Pool;

use crate::embedded::Servers;
use crate::roles::postgres;
use crate::settings::Settings;

/// The settings with the servers of a running `up` where no others are set.
pub(crate) fn running(mut settings: Settings) -> anyhow::Result<Settings> {
    if let Some(servers) = Servers::read(&settings.data_dir)? {
        settings.database_url.get_or_insert(servers.database_url);
        settings.nats_url.get_or_insert(servers.nats_url);
        settings.archive.directory.get_or_insert_with(|| settings.data_dir.join("archive"));
    }
    Ok(settings)
}

/// A few connections for a command.
pub(crate) fn pool(settings: &Settings) -> anyhow::Result<Pool> {
    const CONNECTIONS_MAX: usize = 2;
    const WAIT_MAX: Duration = Duration::from_secs(5);
    Ok(hatch_eventstore::pool(&postgres(settings)?, CONNECTIONS_MAX, WAIT_MAX))
}
