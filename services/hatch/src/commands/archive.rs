//! `hatch log archive`: cold partitions of the log become compressed files.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use hatch_bus::{Bus, StreamState};
use hatch_eventstore::{
    ArchiveProgress, ArchiveRequest, Archived, Need, Position, RemainingPartition, archive,
};
use indicatif::ProgressBar;

use crate::cli::Archive;
use crate::output::line;
use crate::progress;
use crate::roles::postgres;
use crate::settings::Settings;

/// How long NATS may take to be connected.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long PostgreSQL may take to answer a question, of a block of events at most.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How long a partition may wait for transactions that began before, such as of a backup.
const DETACH_MAX: Duration = Duration::from_secs(600);

const NO_DIRECTORY: &str = "no folder for archives is known: give --directory, or set \
     HATCH_ARCHIVE__DIRECTORY, to one that every process of hatch reaches by the same path";

/// Prints what was archived and what was not; fails when the one that was asked for was not.
pub(crate) async fn run(settings: &Settings, flags: Archive) -> anyhow::Result<ExitCode> {
    let directory = flags.directory.or_else(|| settings.archive.directory.clone());
    let request = ArchiveRequest {
        directory: directory.context(NO_DIRECTORY)?,
        partition: flags.partition,
        needs: bus(settings).await?.into_iter().collect(),
        answer_max: ANSWER_MAX,
        detach_max: DETACH_MAX,
    };
    let mut display = Display { bar: progress::bar("archiving", 0), archived: 0, printed: Ok(()) };
    let done = archive(&postgres(settings)?, &request, |progress| display.show(progress)).await;
    display.bar.finish_and_clear();
    display.printed?;
    done.context("failed to archive")?;
    if display.archived > 0 {
        line("back these folders up with the database: no event in them is anywhere else")?;
    } else if request.partition.is_some() {
        return Ok(ExitCode::FAILURE);
    } else {
        line("nothing is cold: there is nothing to archive")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How far the relay has come; none where there is no stream, to which nothing old would go.
async fn bus(settings: &Settings) -> anyhow::Result<Option<Need>> {
    let bus = Bus::connect(settings.bus()?).await?;
    let asked = async {
        bus.connected().await;
        bus.stream_state().await
    };
    let asked = tokio::time::timeout(CONNECT_MAX, asked).await;
    let unknown = "NATS does not answer, so nobody knows what the relay has yet to publish";
    Ok(match asked.context(unknown)?.context(unknown)? {
        StreamState::Absent => None,
        // How far it is needs no proof: a position that is wrong delays the archive, or lets the relay
        // read from it.
        StreamState::Present { last_sequence, .. } => {
            Some(Need { who: "the relay".to_owned(), position: Position(last_sequence) })
        }
    })
}

/// Shows how far it is, and prints each partition.
struct Display {
    bar: ProgressBar,
    archived: usize,
    /// Whether somebody still reads what is printed.
    printed: std::io::Result<()>,
}

impl Display {
    fn show(&mut self, progress: ArchiveProgress) {
        match progress {
            ArchiveProgress::Writing { position, last } => self.step("archiving", position, last),
            ArchiveProgress::Verifying { position, last } => self.step("verifying", position, last),
            ArchiveProgress::Written => {}
            ArchiveProgress::Recorded => {
                self.bar.set_message("waiting for transactions that began before")
            }
            ArchiveProgress::Detached => self.bar.set_message("dropping the table"),
            ArchiveProgress::Archived(Archived { partition, first, last, folder }) => {
                self.archived += 1;
                let folder = folder.display();
                self.print(format!(
                    "archived    partition {partition}, positions {first} to {last}: {folder}"
                ));
            }
            ArchiveProgress::Kept(RemainingPartition { partition, first, last, reasons }) => self
                .print(format!(
                    "kept        partition {partition}, positions {first} to {last}: {}",
                    reasons.join("; ")
                )),
        }
    }

    fn step(&self, what: &'static str, position: Position, last: Position) {
        self.bar.set_message(what);
        self.bar.set_length(last.0.unsigned_abs());
        self.bar.set_position(position.0.unsigned_abs());
    }

    fn print(&mut self, text: String) {
        let printed = self.bar.suspend(|| line(text));
        if self.printed.is_ok() {
            self.printed = printed;
        }
    }
}
