//! Reading streams, many at once.
//!
//! A webhook reads the stream that it is about, and webhooks come by the hundred: while one query is
//! under way the next ones gather, as appends do. A lone read goes at once; a busy process reads
//! dozens of streams for the price of one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::archive::Archives;
use crate::rows::{LogError, READ_TIMEOUT, STREAM_EVENTS_MAX, STREAMS, read};
use crate::{Connection, Connections, RecordedEvent};

/// Streams of a query at most.
const BATCH_STREAMS_MAX: usize = 128;

/// Events of a query over several streams at most; streams with more are read one by one.
const BATCH_EVENTS_MAX: usize = 4_096;

/// Queries under way at most: a slow one holds up only some.
const QUERIES_MAX: usize = 2;

type Events = Result<Vec<RecordedEvent>, LogError>;

/// Reads streams; cheap to clone.
#[derive(Clone)]
pub(crate) struct StreamReader {
    connections: Connections,
    archives: Archives,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<QueuedRead>,
    queries: usize,
}

struct QueuedRead {
    tenant_id: Uuid,
    stream_id: Uuid,
    reply: oneshot::Sender<Events>,
}

impl StreamReader {
    pub(crate) fn new(connections: Connections, archives: Archives) -> Self {
        Self { connections, archives, queue: Arc::default() }
    }

    /// The events of a stream, by version, at most one more than [`STREAM_EVENTS_MAX`]; none when it
    /// is another tenant's. The caller limits how long it waits, and with that the queue: dropped
    /// reads are not made.
    pub(crate) async fn read(&self, tenant_id: Uuid, stream_id: Uuid) -> Events {
        let (reply, events) = oneshot::channel();
        {
            let mut queue = self.lock();
            queue.waiting.push_back(QueuedRead { tenant_id, stream_id, reply });
            if queue.queries < QUERIES_MAX {
                queue.queries += 1;
                tokio::spawn(self.clone().answer_all());
            }
        }
        events.await.unwrap_or(Err(LogError::Unavailable(None)))
    }

    /// Answers batch after batch until nobody waits.
    async fn answer_all(self) {
        while let Some(batch) = self.take() {
            self.answer(batch).await;
        }
    }

    /// The next batch; none ends the caller's turn.
    fn take(&self) -> Option<Vec<QueuedRead>> {
        let mut queue = self.lock();
        let (mut batch, mut again) = (Vec::new(), VecDeque::new());
        let mut taken = HashSet::new();
        while batch.len() < BATCH_STREAMS_MAX
            && let Some(waiting) = queue.waiting.pop_front()
        {
            if waiting.reply.is_closed() {
                continue;
            }
            // Who asks for the same stream again waits for the next batch.
            if taken.insert(waiting.stream_id) {
                batch.push(waiting);
            } else {
                again.push_back(waiting);
            }
        }
        again.append(&mut queue.waiting);
        queue.waiting = again;
        if batch.is_empty() {
            queue.queries -= 1;
            return None;
        }
        Some(batch)
    }

    async fn answer(&self, batch: Vec<QueuedRead>) {
        let found = self.query(&batch, BATCH_EVENTS_MAX + 1).await;
        match found {
            Ok(found) if found.len() <= BATCH_EVENTS_MAX => {
                let mut streams: HashMap<Uuid, Vec<RecordedEvent>> = HashMap::new();
                for event in found {
                    streams.entry(event.stream_id).or_default().push(event);
                }
                for QueuedRead { tenant_id, stream_id, reply } in batch {
                    let events = streams.get_mut(&stream_id).map(mem::take).unwrap_or_default();
                    let _ = reply.send(Ok(of_tenant(tenant_id, events)));
                }
            }
            Err(LogError::Unavailable(_)) => {
                for waiting in batch {
                    let _ = waiting.reply.send(Err(LogError::Unavailable(None)));
                }
            }
            // Some stream is long, or some row is damaged: each for itself.
            _ => {
                for waiting in batch {
                    let alone = std::slice::from_ref(&waiting);
                    let events = self.query(alone, STREAM_EVENTS_MAX + 1).await;
                    let events = events.map(|events| of_tenant(waiting.tenant_id, events));
                    let _ = waiting.reply.send(events);
                }
            }
        }
    }

    async fn query(&self, streams: &[QueuedRead], limit: usize) -> Events {
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let ids: Vec<Uuid> = streams.iter().map(|stream| stream.stream_id).collect();
        let mut tenants: Vec<Uuid> = streams.iter().map(|stream| stream.tenant_id).collect();
        tenants.sort_unstable();
        tenants.dedup();
        // The callers that wait for it may have given up: the query ends in time by itself.
        let ask = async |client: &mut Connection| {
            let events = read(client, STREAMS, &[&ids, &tenants, &rows], usize::MAX).await?;
            if events.len() >= limit {
                return Ok(events);
            }
            self.archives.complete_streams(client, &ids, &tenants, events).await
        };
        self.connections.within(READ_TIMEOUT, ask).await
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics while it holds the queue")
    }
}

/// A stream has one tenant: all of its events, or none.
fn of_tenant(tenant_id: Uuid, mut events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
    events.retain(|event| event.tenant_id == tenant_id);
    events
}
