//! `hatch master-key`: the key that seals what the log keeps of secrets.

mod rewrap;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use hatch_directory::Directory;
use hatch_domain::account::Account;
use hatch_domain::member::Member;
use hatch_eventstore::{HeadWatch, Log, SystemEnvironment};
use hatch_seal::{Keyring, MasterKey};
use tokio_util::sync::CancellationToken;

use self::rewrap::{Outcome, rewrap};
use super::pool;
use super::writer::Writer;
use crate::output::{counted, line, note};
use crate::roles::postgres;
use crate::settings::Settings;

/// How long it may take to read who has secrets.
const READ_MAX: Duration = Duration::from_secs(120);

/// Prints a new key. The key alone goes to the standard output, so that a file can take it.
pub(crate) fn create() -> anyhow::Result<()> {
    let key = MasterKey::draw().context("failed to draw a key")?;
    let id = key.parse::<MasterKey>().context("failed to read what was drawn")?.id().to_owned();
    line(key.as_str())?;
    note(format!(
        "master key {id}, shown this once. Write it to a file that hatch alone can read, and give every process its path \
         as HATCH_MASTER_KEY_FILE. Where it takes the place of another, give them that one's as \
         HATCH_MASTER_KEY_PREVIOUS_FILE, and then run `hatch master-key rotate`"
    ));
    Ok(())
}

/// Wraps all secrets anew that are not under the present key.
pub(crate) async fn rotate(settings: &Settings) -> anyhow::Result<ExitCode> {
    let keyring = settings.keyring()?;
    let current = keyring.current_id().map(str::to_owned);
    let current = current.context("no master key is set: `hatch master-key create` makes one")?;
    let (writer, ending) = (Writer::start(settings).await?, CancellationToken::new());
    let all = all(settings, &writer, &keyring, &ending).await;
    ending.cancel();
    writer.end().await?;
    let outcome = all?;
    for (what, why) in &outcome.left {
        line(format!("{what}: {why}"))?;
    }
    line(format!(
        "{} wrapped anew, {} under master key {current} already",
        counted(outcome.wrapped, "secret"),
        outcome.there,
    ))?;
    if !outcome.left.is_empty() {
        let left = counted(i64::try_from(outcome.left.len()).unwrap_or(i64::MAX), "stream");
        note(format!("the secrets of {left} are not under it: leave the key before where it is"));
        return Ok(ExitCode::FAILURE);
    }
    match keyring.previous_id() {
        Some(previous) => note(format!(
            "no secret is under {previous} any more. Once every process runs with {current} as its master key, run \
             this once more; then take HATCH_MASTER_KEY_PREVIOUS away. Backups and the log's past still hold what was \
             under {previous}: if somebody else may have it, replace the secrets themselves"
        )),
        None => note("there is no key before it to take away"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(
    settings: &Settings,
    writer: &Writer,
    keyring: &Keyring,
    ending: &CancellationToken,
) -> anyhow::Result<Outcome> {
    let directory = directory(settings, ending).await?;
    let mut outcome = Outcome::default();
    // A kind of stream that has secrets is a line here, and its code in `rewrap.rs`.
    rewrap::<Account>(&writer.store, keyring, &directory, &mut outcome).await?;
    rewrap::<Member>(&writer.store, keyring, &directory, &mut outcome).await?;
    Ok(outcome)
}

/// All that the log has of accounts and people, as far as it goes now.
async fn directory(settings: &Settings, ending: &CancellationToken) -> anyhow::Result<Directory> {
    let pool = pool(settings)?;
    let log = Log::new(pool.clone());
    let (head, _) = HeadWatch::start(postgres(settings)?, ending.clone());
    let end = log.head().await?;
    let (directory, following) =
        Directory::start(pool, log, head, Arc::new(SystemEnvironment), ending.clone());
    tokio::spawn(following);
    let is_read = directory.wait_for(end, READ_MAX).await;
    ensure!(is_read, "the log was not read to its end within {} s", READ_MAX.as_secs());
    Ok(directory)
}
