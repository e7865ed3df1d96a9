//! Gathers for the reconciliation what the log, the read model and the simulator say.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use hatch::progress;
use hatch_domain::ids::TenantId;
use hatch_eventstore::{Connection, Connections, Log, PAGE_EVENTS_MAX, Position, RecordedEvent};
use hatch_readmodel::{ReadModel, messages};
use serde::Deserialize;
use uuid::Uuid;

use crate::load::Load;
use crate::reconcile::{Standing, Trace};

/// Between two looks at messages that are still open.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the read model may take to reach the log's head, once all is settled.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// Rows of the read model that are read at a time.
const PAGE_ROWS: i64 = 5_000;
/// How long a page of them may take.
const PAGE_MAX: Duration = Duration::from_secs(30);
/// A line of the simulator's record is some 300 bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// For the whole record.
const RECORD_MAX: Duration = Duration::from_secs(600);

const SHOWN: &str = "SELECT created_position, id, status FROM rm.messages \
     WHERE tenant_id = $1 AND created_position > $2 ORDER BY created_position LIMIT $3";

/// What is known of the messages of one call of the program.
pub(crate) struct Gathering<'a> {
    load: &'a Load,
    /// The log has been read up to here.
    at: Position,
    /// The log's head before the first request.
    before: Position,
    traces: HashMap<Uuid, Trace>,
    /// What the simulator took, where that is wanted.
    sends: Option<Vec<Taken>>,
}

/// What was gathered.
pub(crate) struct Evidence {
    pub(crate) traces: HashMap<Uuid, Trace>,
    /// What the simulator took of the load, in its order; nothing where nobody asked for it.
    pub(crate) sends: Vec<Taken>,
}

/// A message that the simulator took.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Taken {
    /// Hatch's id of it.
    #[serde(rename = "hatch_message_id")]
    pub(crate) id: Uuid,
    /// What the provider calls the account.
    pub(crate) account: String,
    pub(crate) to: String,
    pub(crate) accepted_at: DateTime<Utc>,
}

impl Taken {
    /// Whether it went to a mailbox.
    pub(crate) fn is_mail(&self) -> bool {
        self.to.contains('@')
    }
}

impl<'a> Gathering<'a> {
    /// Of the messages of `load`, which are all after `before` in the log.
    pub(crate) fn new(load: &'a Load, before: Position) -> Self {
        Self { load, at: before, before, traces: HashMap::new(), sends: None }
    }

    /// Keeps, too, by which account the simulator took each message, and when.
    pub(crate) fn with_sends(self, are_wanted: bool) -> Self {
        Self { sends: are_wanted.then(Vec::new), ..self }
    }

    /// Reads the log and the read model until no message is open there, or they stay open for `wait`;
    /// then the simulator's record.
    ///
    /// Most messages have been waited for before. This is for those whose answer never came, of which
    /// the log alone tells.
    ///
    /// # Errors
    /// One of them does not answer, or is not what it should be.
    pub(crate) async fn gather(
        mut self,
        pool: &Connections,
        simulator: &str,
        wait: Duration,
    ) -> anyhow::Result<Evidence> {
        let log = Log::new(pool.clone());
        let (mut open, mut since) = (usize::MAX, Instant::now());
        loop {
            self.read_log(&log).await?;
            catch_up(pool, self.at).await?;
            self.read_model(pool).await?;
            let still_open = self.open();
            if still_open != open {
                (open, since) = (still_open, Instant::now());
            }
            if open == 0 || since.elapsed() > wait {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        each_line(simulator, |line| self.take_line(line)).await?;
        Ok(Evidence { traces: self.traces, sends: self.sends.unwrap_or_default() })
    }

    /// How many messages are not settled, by the read model.
    fn open(&self) -> usize {
        self.traces.values().filter(|trace| trace.shown == Some(Standing::Open)).count()
    }

    async fn read_log(&mut self, log: &Log) -> anyhow::Result<()> {
        let (from, head) = (self.at, log.head().await?);
        let bar = progress::bar("reconciling", head.0 - from.0);
        while self.at < head {
            let page = log.read_page(self.at, PAGE_EVENTS_MAX).await?;
            let Some(last) = page.last() else { break };
            self.at = last.position;
            for event in &page {
                self.take(event)?;
            }
            bar.set_position(u64::try_from(self.at.0 - from.0)?);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn take(&mut self, event: &RecordedEvent) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Requested {
            body: Option<String>,
        }
        match event.event_type.as_str() {
            "MessageRequested" => {
                let requested: Requested = serde_json::from_str(event.payload.get())?;
                let request = requested.body.and_then(|text| self.load.number(&text));
                if request.is_some() {
                    self.traces.insert(event.stream_id, Trace { request, ..Trace::default() });
                }
            }
            "MessageSent" | "MessageDelivered" => {
                if let Some(trace) = self.traces.get_mut(&event.stream_id) {
                    trace.sent = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn read_model(&mut self, pool: &Connections) -> anyhow::Result<()> {
        let (tenant, mut after) = (TenantId::DEFAULT.0, self.before.0);
        loop {
            let read = async |client: &mut Connection| {
                let statement = client.prepare_cached(SHOWN).await?;
                Ok::<_, anyhow::Error>(
                    client.query(&statement, &[&tenant, &after, &PAGE_ROWS]).await?,
                )
            };
            let rows = pool.within(PAGE_MAX, read).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.try_get(0)?;
            for row in &rows {
                if let Some(trace) = self.traces.get_mut(&row.try_get(1)?) {
                    trace.shown = Some(Standing::of(row.try_get(2)?));
                }
            }
        }
    }

    fn take_line(&mut self, text: &[u8]) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Line {
            hatch_message_id: Option<Uuid>,
        }
        let line: Line = serde_json::from_slice(text)?;
        if let Some(id) = line.hatch_message_id
            && let Some(trace) = self.traces.get_mut(&id)
        {
            trace.taken += 1;
            if let Some(sends) = &mut self.sends {
                sends.push(serde_json::from_slice(text)?);
            }
        }
        Ok(())
    }
}

/// Hands each line of the simulator's record to `take`.
///
/// # Errors
/// The simulator does not answer, the record is none, or `take` does not take a line.
pub(crate) async fn each_line(
    simulator: &str,
    take: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    read_record(simulator, take).await.context("failed to read the simulator's record")
}

async fn read_record(
    simulator: &str,
    mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let answer = hatch::http_client(RECORD_MAX)?;
    let answer = answer.get(format!("{simulator}/_sim/messages")).send().await?;
    let mut pieces = answer.error_for_status()?.bytes_stream();
    let mut rest = Vec::new();
    while let Some(piece) = pieces.try_next().await? {
        rest.extend_from_slice(&piece);
        let Some(whole) = rest.iter().rposition(|byte| *byte == b'\n') else {
            ensure!(rest.len() <= LINE_BYTES_MAX, "a line of it does not end");
            continue;
        };
        for line in rest[..whole].split(|byte| *byte == b'\n') {
            take(line)?;
        }
        rest.drain(..=whole);
    }
    ensure!(rest.is_empty(), "it breaks off");
    Ok(())
}

/// Waits until the read model shows everything up to `position`.
async fn catch_up(pool: &Connections, position: Position) -> anyhow::Result<()> {
    let read_model = ReadModel::new(pool.clone());
    let name = messages::DEFINITION.name();
    let deadline = Instant::now() + CATCH_UP_MAX;
    loop {
        let shown = read_model.projections().await?;
        let messages = shown.iter().find(|one| one.name == name);
        if messages.is_some_and(|messages| messages.position >= position) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the read model does not reach position {position} of the log within {CATCH_UP_MAX:?}: \
             see `hatch projections list`"
        );
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_record_count_for_the_messages_of_the_load_alone() {
        let load = Load::new(1, 1);
        let mut gathering = Gathering::new(&load, Position::START);
        let id = Uuid::from_u128(1);
        gathering.traces.insert(id, Trace::default());
        let line = format!(r#"{{"hatch_message_id":"{id}","provider_message_id":"SM1"}}"#);
        gathering.take_line(line.as_bytes()).expect("a line");
        gathering.take_line(line.as_bytes()).expect("a line");
        gathering.take_line(br#"{"hatch_message_id":null}"#).expect("another's");
        let other = line.replace('1', "2");
        gathering.take_line(other.as_bytes()).expect("another's");
        assert_eq!(gathering.traces[&id].taken, 2);
        assert_eq!(gathering.traces.len(), 1);
        assert!(gathering.take_line(b"{").is_err());
    }
}
