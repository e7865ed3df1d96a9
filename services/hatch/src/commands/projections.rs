//! `hatch projections`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use hatch_readmodel::{
    Comparison, Definition, PROJECTIONS, ReadModel, RebuildProgress, rebuild, verify,
};
use indicatif::ProgressBar;
use tokio::time::Instant;

use super::pool;
use crate::cli::Projections;
use crate::output::{self, line};
use crate::progress;
use crate::settings::Settings;

/// Between two lines of progress, where there is no terminal for a bar.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// Characters of a differing row that are shown.
const ROW_CHARACTERS_MAX: usize = 400;

/// Runs one of its subcommands.
pub(crate) async fn run(settings: &Settings, what: Projections) -> anyhow::Result<ExitCode> {
    match what {
        Projections::List => list(settings).await?,
        Projections::Rebuild(of) => rebuild_one(settings, &of.name).await?,
        Projections::Verify(of) => return verify_one(settings, &of.name).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a table of all projections.
async fn list(settings: &Settings) -> anyhow::Result<()> {
    let projections = ReadModel::new(pool(settings)?).projections().await?;
    line(format!(
        "{:<16} {:>7} {:>12} {:>11} {:>9}  status",
        "projection", "version", "position", "lag events", "lag s"
    ))?;
    for p in projections {
        line(format!(
            "{:<16} {:>7} {:>12} {:>11} {:>9.1}  {}",
            p.name, p.version, p.position, p.lag_events, p.lag_seconds, p.status
        ))?;
    }
    Ok(())
}

async fn rebuild_one(settings: &Settings, name: &str) -> anyhow::Result<()> {
    let projection = find(name)?;
    let (names, begun) = (projection.read_models().join(" and "), Instant::now());
    let mut display = Display::new();
    let rebuilt = rebuild(&pool(settings)?, projection, |progress| display.show(progress)).await;
    display.finish();
    let position = rebuilt.with_context(|| format!("failed to rebuild {names}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    line(format!("rebuilt {names} up to position {position} in {seconds:.1} s"))?;
    Ok(())
}

async fn verify_one(settings: &Settings, name: &str) -> anyhow::Result<ExitCode> {
    let projection = find(name)?;
    let names = projection.read_models().join(" and ");
    let mut display = Display::new();
    let verified = verify(&pool(settings)?, projection, |progress| display.show(progress)).await;
    display.finish();
    let verified = verified.with_context(|| format!("failed to verify {names}"))?;
    for table in &verified.tables {
        print(table)?;
    }
    let position = verified.position;
    if verified.is_equal() {
        line(format!("{names} are what the log says, at position {position}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    line(format!(
        "{names} are not what the log says, at position {position}: \
         run `hatch projections rebuild {name}`"
    ))?;
    Ok(ExitCode::FAILURE)
}

/// The projection that shows itself as `name`. Whoever asks for one of several hears of the others.
fn find(name: &str) -> anyhow::Result<&'static Definition> {
    let projection = Definition::of_read_model(PROJECTIONS, name).with_context(|| {
        let names = PROJECTIONS.iter().map(|one| one.read_models().join(" and "));
        let names = names.collect::<Vec<_>>().join(", ");
        format!("there is no projection {name:?}, only {names}")
    })?;
    if let [_, _, ..] = projection.read_models() {
        let names = projection.read_models().join(" and ");
        output::note(format!("{names} are one projection: this is about all of it"));
    }
    Ok(projection)
}

fn print(table: &Comparison) -> std::io::Result<()> {
    let Comparison { table, rows, surplus, missing } = table;
    let differences = match (surplus.count, missing.count) {
        (0, 0) => "equal".to_owned(),
        (surplus, missing) => format!("{surplus} not in the log, {missing} missing"),
    };
    line(format!("{table:<26} {rows:>12} rows  {differences}"))?;
    let shown = [("not in the log", surplus), ("missing", missing)];
    for (what, rows) in shown {
        for row in &rows.first {
            let row: String = row.chars().take(ROW_CHARACTERS_MAX).collect();
            line(format!("  {what}: {row}"))?;
        }
    }
    Ok(())
}

/// Shows how far something is: by a bar on a terminal, by a line now and then elsewhere.
enum Display {
    Bar(ProgressBar),
    Lines {
        /// When the next one is due.
        due: Instant,
    },
}

impl Display {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { due: Instant::now() };
        }
        Self::Bar(progress::bar("replaying", 0))
    }

    fn show(&mut self, progress: RebuildProgress) {
        let (what, events) = match progress {
            RebuildProgress::Replaying { position, target } => {
                ("replaying", Some((position, target)))
            }
            RebuildProgress::Indexing => ("building indexes", None),
            RebuildProgress::TakingOver => ("taking over", None),
            RebuildProgress::Comparing => ("comparing", None),
        };
        match (self, events) {
            (Self::Bar(bar), events) => {
                bar.set_message(what);
                if let Some((position, target)) = events {
                    bar.set_length(target.0.unsigned_abs());
                    bar.set_position(position.0.unsigned_abs());
                }
            }
            (Self::Lines { due }, Some((position, target))) if *due <= Instant::now() => {
                *due = Instant::now() + LINE_EVERY;
                output::note(format!("{what}: position {position} of {target}"));
            }
            (Self::Lines { .. }, Some(_)) => {}
            (Self::Lines { .. }, None) => output::note(what),
        }
    }

    fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
