//! Reading much of the log at once: ahead of whoever writes, in stretches.

use std::sync::Arc;
use std::time::Duration;

use hatch_eventstore::{Log, LogError, PAGE_EVENTS_MAX, Position, RecordedEvent};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Events of a stretch, at most. A message whose whole life is in one is written once.
const STRETCH_EVENTS_MAX: usize = 4 * PAGE_EVENTS_MAX;

/// Bytes of their payloads at which a stretch ends, too: a log of mails with files has large ones. A page may go
/// beyond it.
const STRETCH_BYTES_MAX: usize = 64 << 20;

/// Stretches that are read ahead.
const STRETCHES_AHEAD: usize = 1;

/// How often a page of the log is asked for while PostgreSQL does not answer in time.
const READS_MAX: usize = 10;
const READ_PAUSE: Duration = Duration::from_secs(1);

/// Events that follow each other in the log.
pub(super) type Stretch = Vec<Arc<RecordedEvent>>;

/// The stretches of a part of the log, in order. Reading ends with the value.
pub(super) struct Stretches {
    next: mpsc::Receiver<Result<Stretch, LogError>>,
    _reading: JoinSet<()>,
}

impl Stretches {
    /// The events of `log` after `after`, up to and with `target`, which the log has reached.
    pub(super) fn read(log: Log, after: Position, target: Position) -> Self {
        let (sender, next) = mpsc::channel(STRETCHES_AHEAD);
        let mut reading = JoinSet::new();
        reading.spawn(read_ahead(log, after, target, sender));
        Self { next, _reading: reading }
    }

    /// The next one; none after the last.
    pub(super) async fn next(&mut self) -> Option<Result<Stretch, LogError>> {
        self.next.recv().await
    }
}

async fn read_ahead(
    log: Log,
    mut after: Position,
    target: Position,
    stretches: mpsc::Sender<Result<Stretch, LogError>>,
) {
    while after < target {
        let stretch = read_stretch(&log, after, target).await;
        let last = stretch.as_ref().ok().and_then(|stretch| stretch.last());
        let end = last.map_or(target, |event| event.position);
        if stretches.send(stretch).await.is_err() {
            return;
        }
        after = end;
    }
}

async fn read_stretch(
    log: &Log,
    mut after: Position,
    target: Position,
) -> Result<Stretch, LogError> {
    let (mut stretch, mut bytes) = (Vec::new(), 0);
    while after < target && stretch.len() < STRETCH_EVENTS_MAX && bytes < STRETCH_BYTES_MAX {
        let page = read_page(log, after, target).await?;
        bytes += page.iter().map(|event| event.payload.get().len()).sum::<usize>();
        after = page.last().map_or(target, |event| event.position);
        stretch.extend(page.into_iter().map(Arc::new));
    }
    Ok(stretch)
}

/// The next page after `after`, at most up to `target`, which the log has reached.
pub(super) async fn read_page(
    log: &Log,
    after: Position,
    target: Position,
) -> Result<Vec<RecordedEvent>, LogError> {
    let events = usize::try_from(target.0 - after.0).unwrap_or(PAGE_EVENTS_MAX);
    let mut reads = 1;
    loop {
        match log.read_page(after, events).await {
            Ok(page) if page.is_empty() => {
                return Err(LogError::Regressed { seen: target, head: log.head().await? });
            }
            // A missing file of the archives is named at once, so that an operator can bring it back.
            Err(LogError::Unavailable(_)) if reads < READS_MAX => {
                reads += 1;
                sleep(READ_PAUSE).await;
            }
            read => return read,
        }
    }
}
