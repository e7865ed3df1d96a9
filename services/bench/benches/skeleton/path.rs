//! The bare path, in one process: with as little as a message can have, or with the events and receipts of
//! hatch's messages.

use std::future::IntoFuture;
use std::sync::Arc;

use async_nats::jetstream::{self, consumer, stream};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use futures::StreamExt as _;
use futures::future::{join_all, try_join_all};
use hatch::output;
use hatch_domain::Environment as _;
use hatch_eventstore::SystemEnvironment;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::provider::{Receipt, Sending, Taken};

/// Everything that it keeps.
pub(crate) const TABLES: &str = "CREATE SCHEMA skeleton;
    CREATE TABLE skeleton.events (position bigint PRIMARY KEY, stream_id uuid NOT NULL,
        type text NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), payload json NOT NULL);
    CREATE INDEX ON skeleton.events (stream_id);
    CREATE TABLE skeleton.claims (stream_id uuid PRIMARY KEY);
    CREATE TABLE skeleton.receipts (id uuid PRIMARY KEY, received_at timestamptz NOT NULL DEFAULT now(),
        body text NOT NULL);
    CREATE TABLE skeleton.messages (stream_id uuid PRIMARY KEY, status text NOT NULL, rank int NOT NULL);
    CREATE TABLE skeleton.checkpoint (position bigint NOT NULL);
    INSERT INTO skeleton.checkpoint VALUES (0)";
/// How many messages are readable as delivered.
pub(crate) const COUNT_DELIVERED: &str =
    "SELECT count(*) FROM skeleton.messages WHERE status = 'delivered'";

const LOCK: &str = "SELECT pg_advisory_xact_lock(1)";
const INSERT: &str = "INSERT INTO skeleton.events (position, stream_id, type, payload) \
     SELECT p, s, t, j::json FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[]) \
     AS e(p, s, t, j)";
const INSERT_RECEIPTS: &str = "INSERT INTO skeleton.receipts (id, body) \
     SELECT unnest($1::uuid[]), unnest($2::text[])";
const PAGE: &str = "SELECT position, stream_id, type, payload::text FROM skeleton.events \
     WHERE position > $1 ORDER BY position LIMIT 1000";
const CLAIM: &str = "INSERT INTO skeleton.claims SELECT unnest($1::uuid[]) \
     ON CONFLICT DO NOTHING RETURNING stream_id";
/// A receipt may come before what it is a receipt of: the higher rank stays.
const PROJECT: &str = "INSERT INTO skeleton.messages AS m (stream_id, status, rank) \
     SELECT DISTINCT ON (s) s, t, r FROM unnest($1::uuid[], $2::text[], $3::int[]) AS e(s, t, r) \
     ORDER BY s, r DESC ON CONFLICT (stream_id) DO UPDATE \
     SET status = EXCLUDED.status, rank = EXCLUDED.rank WHERE m.rank < EXCLUDED.rank";
const CHECKPOINT: &str = "UPDATE skeleton.checkpoint SET position = $1";

const REQUESTED: &str = "requested";
const ATTEMPTED: &str = "attempted";
const SENT: &str = "sent";
const DELIVERED: &str = "delivered";
/// The states of a message, by rank.
const STATES: [&str; 4] = [REQUESTED, ATTEMPTED, SENT, DELIVERED];
const STREAM: &str = "SKELETON";
const QUEUE: usize = 4_096;
const BATCH_MAX: usize = 512;
const SENDING_MAX: usize = 256;

#[derive(Serialize, Deserialize)]
struct Requested {
    to: String,
    body: String,
}

/// How much of it there is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// As far as the log.
    Accept,
    /// Three events and one receipt a message; what is claimed is a row of its own.
    Whole,
    /// hatch's four events, of which one is the claim, and its two receipts, each kept in a row.
    Shaped,
}

struct Event {
    stream_id: Uuid,
    state: &'static str,
    payload: String,
}

/// What is to be appended, and who waits for it.
struct Waiting {
    event: Option<Event>,
    /// A receipt that is kept as it came.
    receipt: Option<String>,
    done: oneshot::Sender<()>,
}

#[derive(Clone)]
struct Log(mpsc::Sender<Waiting>);

impl Log {
    async fn append(
        &self,
        stream_id: Uuid,
        state: &'static str,
        payload: String,
    ) -> anyhow::Result<()> {
        self.take(Some(Event { stream_id, state, payload }), None).await
    }

    async fn take(&self, event: Option<Event>, receipt: Option<String>) -> anyhow::Result<()> {
        let (done, committed) = oneshot::channel();
        self.0.send(Waiting { event, receipt, done }).await?;
        Ok(committed.await?)
    }
}

/// An event as it is published.
#[derive(Serialize, Deserialize)]
struct Published {
    position: i64,
    stream_id: Uuid,
    state: String,
    payload: Box<serde_json::value::RawValue>,
}

struct Path {
    log: Log,
    http: reqwest::Client,
    provider: String,
    callback: String,
    claims: Client,
    extent: Extent,
}

/// Serves until it is killed.
pub(crate) async fn run(database: &str, provider: &str, extent: Extent) -> anyhow::Result<()> {
    let (queue, waiting) = mpsc::channel(QUEUE);
    let (head, committed) = watch::channel(0);
    let log = Log(queue);
    let mut tasks = vec![tokio::spawn(append(connect(database).await?, waiting, head))];
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    if extent != Extent::Accept {
        let js = hatch_bus::testing::jetstream(&std::env::var("HATCH_TEST_NATS_URL")?)
            .await
            .map_err(|error| anyhow::anyhow!(error))?;
        drop(js.delete_stream(STREAM).await);
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec!["skeleton.>".to_owned()],
            ..stream::Config::default()
        };
        let stream = js.create_stream(config).await?;
        let path = Arc::new(Path {
            log: log.clone(),
            http: reqwest::Client::builder().tcp_nodelay(true).build()?,
            provider: format!("http://{provider}/send"),
            callback: format!("http://{address}/receipts"),
            claims: connect(database).await?,
            extent,
        });
        let (requests, events) = (subject(REQUESTED), "skeleton.>".to_owned());
        let (requests, events) =
            (consume(&stream, requests).await?, consume(&stream, events).await?);
        tasks.push(tokio::spawn(relay(connect(database).await?, js, committed)));
        tasks.push(tokio::spawn(dispatch(path, requests)));
        tasks.push(tokio::spawn(project(connect(database).await?, events)));
    }
    let router = Router::new()
        .route("/api/v1/messages", post(accept))
        .route("/receipts", post(receive))
        .with_state((log, extent));
    output::line(address)?;
    tasks.push(tokio::spawn(async move { Ok(axum::serve(listener, router).await?) }));
    let (ended, ..) = futures::future::select_all(tasks).await;
    ended?
}

async fn connect(database: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("SET jit = off; SET plan_cache_mode = force_generic_plan").await?;
    Ok(client)
}

async fn accept(
    State((log, _)): State<(Log, Extent)>,
    Json(requested): Json<Requested>,
) -> Result<(StatusCode, Json<Taken>), StatusCode> {
    let id = SystemEnvironment.new_id();
    let payload = serde_json::to_string(&requested).map_err(|_| StatusCode::BAD_REQUEST)?;
    let appended = log.append(id, REQUESTED, payload).await;
    appended.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok((StatusCode::ACCEPTED, Json(Taken { id })))
}

async fn receive(
    State((log, extent)): State<(Log, Extent)>,
    body: String,
) -> Result<StatusCode, StatusCode> {
    let Receipt { id, state } = serde_json::from_str(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let event = (state == DELIVERED).then(|| Event {
        stream_id: id,
        state: DELIVERED,
        payload: "{}".to_owned(),
    });
    let kept = (extent == Extent::Shaped).then_some(body);
    log.take(event, kept).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Group commit: while one batch commits, the next one gathers.
async fn append(
    client: Client,
    mut waiting: mpsc::Receiver<Waiting>,
    head: watch::Sender<i64>,
) -> anyhow::Result<()> {
    let (lock, insert) = (client.prepare(LOCK).await?, client.prepare(INSERT).await?);
    let keep = client.prepare(INSERT_RECEIPTS).await?;
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let events: Vec<&Event> = batch.iter().filter_map(|item| item.event.as_ref()).collect();
        let first = *head.borrow() + 1;
        let last = first + i64::try_from(events.len())? - 1;
        let positions: Vec<i64> = (first..=last).collect();
        let streams: Vec<Uuid> = events.iter().map(|event| event.stream_id).collect();
        let types: Vec<&str> = events.iter().map(|event| event.state).collect();
        let payloads: Vec<&str> = events.iter().map(|event| event.payload.as_str()).collect();
        let columns: [&(dyn ToSql + Sync); 4] = [&positions, &streams, &types, &payloads];
        let receipts: Vec<&str> = batch.iter().filter_map(|item| item.receipt.as_deref()).collect();
        let ids: Vec<Uuid> = receipts.iter().map(|_| SystemEnvironment.new_id()).collect();
        let kept: [&(dyn ToSql + Sync); 2] = [&ids, &receipts];
        let keep = async {
            match receipts.is_empty() {
                true => Ok(0),
                false => client.execute(&keep, &kept).await,
            }
        };
        // Polled in this order, so sent in this order, without waiting in between.
        let (begun, locked, inserted, kept, committed) = futures::join!(
            client.batch_execute("BEGIN"),
            client.execute(&lock, &[]),
            client.execute(&insert, &columns),
            keep,
            client.batch_execute("COMMIT"),
        );
        begun?;
        locked?;
        inserted?;
        kept?;
        committed?;
        head.send_replace(last);
        for waiting in batch.drain(..) {
            // Nobody waits where the client has hung up.
            let _ = waiting.done.send(());
        }
    }
    Ok(())
}

fn subject(state: &str) -> String {
    format!("skeleton.{state}")
}

async fn relay(
    client: Client,
    js: jetstream::Context,
    mut head: watch::Receiver<i64>,
) -> anyhow::Result<()> {
    let page = client.prepare(PAGE).await?;
    let mut position = 0_i64;
    loop {
        let rows = client.query(&page, &[&position]).await?;
        let published = rows.iter().map(|row| {
            let (position, stream_id, state) = (row.get(0), row.get(1), row.get(2));
            let payload = serde_json::value::RawValue::from_string(row.get(3))?;
            let event = Published { position, stream_id, state, payload };
            let body = serde_json::to_vec(&event)?;
            Ok((subject(&event.state), body))
        });
        let published: Vec<(String, Vec<u8>)> = published.collect::<anyhow::Result<_>>()?;
        let acks = published.into_iter().map(|(subject, body)| js.publish(subject, body.into()));
        let acks = try_join_all(acks).await?;
        try_join_all(acks.into_iter().map(IntoFuture::into_future)).await?;
        match rows.last() {
            Some(last) => position = last.get(0),
            None => {
                head.wait_for(|head| *head > position).await?;
            }
        }
    }
}

async fn consume(
    stream: &stream::Stream,
    filter: String,
) -> anyhow::Result<consumer::pull::Stream> {
    let config = consumer::pull::Config {
        filter_subject: filter,
        max_ack_pending: i64::from(u16::MAX),
        ..consumer::pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await?;
    Ok(consumer.stream().max_messages_per_batch(BATCH_MAX).messages().await?)
}

async fn dispatch(path: Arc<Path>, requests: consumer::pull::Stream) -> anyhow::Result<()> {
    let claim = path.claims.prepare(CLAIM).await?;
    let places = Arc::new(Semaphore::new(SENDING_MAX));
    let mut batches = requests.ready_chunks(BATCH_MAX);
    while let Some(batch) = batches.next().await {
        let batch: Vec<jetstream::Message> = batch.into_iter().collect::<Result<_, _>>()?;
        let events: Vec<Published> = parse(&batch)?;
        let ids: Vec<Uuid> = events.iter().map(|event| event.stream_id).collect();
        if path.extent == Extent::Shaped {
            let claims = ids.into_iter().map(|id| path.log.append(id, ATTEMPTED, "{}".to_owned()));
            try_join_all(claims).await?;
        } else {
            let claimed = path.claims.query(&claim, &[&ids]).await?.len();
            anyhow::ensure!(claimed == ids.len(), "somebody else sends them");
        }
        for (message, event) in batch.into_iter().zip(events) {
            let place = Arc::clone(&places).acquire_owned().await?;
            let path = Arc::clone(&path);
            tokio::spawn(async move {
                let sent = path.send(&event, &message).await;
                drop(place);
                sent
            });
        }
    }
    Ok(())
}

fn parse(batch: &[jetstream::Message]) -> anyhow::Result<Vec<Published>> {
    let events = batch.iter().map(|message| serde_json::from_slice(&message.payload));
    Ok(events.collect::<Result<_, _>>()?)
}

impl Path {
    async fn send(&self, event: &Published, message: &jetstream::Message) -> anyhow::Result<()> {
        let Requested { to, body } = serde_json::from_str(event.payload.get())?;
        let (id, callback) = (event.stream_id, self.callback.clone());
        let receipts: &[&str] = match self.extent {
            Extent::Shaped => &[SENT, DELIVERED],
            Extent::Accept | Extent::Whole => &[DELIVERED],
        };
        let receipts = receipts.iter().map(|state| (*state).to_owned()).collect();
        let sending = Sending { id, to, body, callback, receipts };
        let response = self.http.post(&self.provider).json(&sending).send().await?;
        let taken: Taken = response.error_for_status()?.json().await?;
        self.log.append(id, SENT, serde_json::to_string(&taken)?).await?;
        message.ack().await.map_err(anyhow::Error::from_boxed)
    }
}

async fn project(mut client: Client, events: consumer::pull::Stream) -> anyhow::Result<()> {
    client.batch_execute("SET synchronous_commit = off").await?;
    let (apply, checkpoint) = (client.prepare(PROJECT).await?, client.prepare(CHECKPOINT).await?);
    let mut batches = events.ready_chunks(BATCH_MAX);
    while let Some(batch) = batches.next().await {
        let batch: Vec<jetstream::Message> = batch.into_iter().collect::<Result<_, _>>()?;
        let events = parse(&batch)?;
        let Some(position) = events.last().map(|event| event.position) else { continue };
        let streams: Vec<Uuid> = events.iter().map(|event| event.stream_id).collect();
        let states: Vec<&str> = events.iter().map(|event| event.state.as_str()).collect();
        let rank = |state: &&str| STATES.iter().position(|known| known == state);
        let ranks: Vec<i32> =
            states.iter().filter_map(rank).map(i32::try_from).collect::<Result<_, _>>()?;
        let transaction = client.transaction().await?;
        transaction.execute(&apply, &[&streams, &states, &ranks]).await?;
        transaction.execute(&checkpoint, &[&position]).await?;
        transaction.commit().await?;
        for acked in join_all(batch.iter().map(jetstream::Message::ack)).await {
            acked.map_err(|error| anyhow::anyhow!(error))?;
        }
    }
    Ok(())
}
