//! `hatch events`: the log, one CloudEvent a line, as every reader of an event gets it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use hatch_domain::Kind;
use hatch_domain::envelope::Envelope;
use hatch_domain::ids::TenantId;
use hatch_eventstore::{Log, Position, RecordedEvent};
use serde::Deserialize;
use uuid::Uuid;

use super::pool;
use crate::cli::{Export, Tail};
use crate::output::{line, note, visible};
use crate::progress;
use crate::settings::Settings;

/// Events of a page.
const PAGE_EVENTS: usize = 500;
/// Between two looks at the log's head.
const POLL: Duration = Duration::from_millis(200);

/// Prints the newest events, then what comes, until it is interrupted.
pub(crate) async fn tail(settings: &Settings, flags: &Tail) -> anyhow::Result<()> {
    let log = Log::new(pool(settings)?);
    let head = log.head().await?;
    let mut after = Position((head.0 - i64::from(flags.lines)).max(0));
    loop {
        let page = log.read_page(after, PAGE_EVENTS).await?;
        let at_the_end = page.is_empty();
        for event in page {
            after = event.position;
            print(event)?;
        }
        if at_the_end {
            if flags.no_follow {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Prints one stream.
pub(crate) async fn show(settings: &Settings, stream: Uuid) -> anyhow::Result<()> {
    let events = Log::new(pool(settings)?).read_stream(TenantId::DEFAULT.0, stream).await?;
    ensure!(!events.is_empty(), "there is no stream {stream}");
    for event in events {
        print(event)?;
    }
    Ok(())
}

/// Writes the log, from and to the positions asked for.
pub(crate) async fn export(settings: &Settings, flags: &Export) -> anyhow::Result<()> {
    let log = Log::new(pool(settings)?);
    let head = log.head().await?.0;
    let last = flags.to.unwrap_or(head);
    ensure!(last <= head, "--to {last} is after the end of the log, which is {head}");
    let from = flags.from;
    // The position after the head is no mistake: repeated exports come to it.
    ensure!(from <= head + 1, "--from {from} is after the end of the log, which is {head}");
    ensure!(flags.to.is_none_or(|to| from <= to), "--from {from} is after --to {last}");
    let mut after = flags.from - 1;
    let mut out: Box<dyn Write> = match &flags.output {
        None => Box::new(std::io::stdout().lock()),
        Some(path) => {
            let file = if flags.resume {
                let (file, exported) = reopen(path)?;
                after = exported.unwrap_or(after);
                file
            } else {
                File::options().write(true).create_new(true).mode(0o600).open(path).with_context(
                    || format!("failed to make {} (is it there? then --resume)", path.display()),
                )?
            };
            Box::new(BufWriter::new(file))
        }
    };
    let bar = progress::bar("exporting", last);
    let begun = after;
    while after < last {
        let page = log.read_page(Position(after), PAGE_EVENTS).await?;
        ensure!(!page.is_empty(), "the log ends at {after}, it was at {head}");
        for event in page.into_iter().take_while(|event| event.position.0 <= last) {
            after = event.position.0;
            let text = Envelope::from(event).whole().to_json();
            // A file gets the text unchanged, because a program reads it.
            let text = if flags.output.is_none() { visible(&text) } else { text.as_str().into() };
            writeln!(out, "{text}")?;
        }
        bar.set_position(u64::try_from(after)?);
    }
    out.flush()?;
    bar.finish_and_clear();
    if after == begun {
        note(format_args!("nothing to export after position {after}: the log ends at {head}"));
    } else if let Some(path) = &flags.output {
        note(format_args!("{} holds the log up to position {after}", path.display()));
    }
    Ok(())
}

/// The file of an earlier export without a last line that was cut off, and the last position in it.
fn reopen(path: &Path) -> anyhow::Result<(File, Option<i64>)> {
    #[derive(Deserialize)]
    struct Exported {
        position: i64,
    }
    let cannot = || format!("failed to resume {}", path.display());
    let mut file = File::options().read(true).append(true).open(path).with_context(cannot)?;
    let (mut whole, mut last) = (0, None);
    let mut reader = BufReader::new(&mut file);
    let mut text = String::new();
    while reader.read_line(&mut text).with_context(cannot)? > 0 && text.ends_with('\n') {
        let exported: Exported = serde_json::from_str(&text).with_context(cannot)?;
        whole += u64::try_from(text.len())?;
        last = Some(exported.position);
        text.clear();
    }
    file.set_len(whole).with_context(cannot)?;
    Ok((file, last))
}

fn print(event: RecordedEvent) -> anyhow::Result<()> {
    let RecordedEvent { aggregate, event_type, schema_version, .. } = &event;
    let read = Kind::named(aggregate).is_some_and(|kind| kind.reads(event_type, *schema_version));
    if !read {
        note(format_args!(
            "{event_type} version {schema_version} in {aggregate} streams is unknown to this build"
        ));
    }
    line(Envelope::from(event).whole().to_json()).map_err(Into::into)
}
