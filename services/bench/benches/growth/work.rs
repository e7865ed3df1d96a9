//! The work whose rate is measured.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use futures::future::join_all;
use hatch_domain::ids::{ConversationId, MessageId};
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Append, Appender, AppenderConfig, Connections, ExpectedVersion, Log, Position, RecordedEvent,
    StreamWrite,
};
use hatch_readmodel::{
    ConversationFilter, MessageFilter, Origin, Page, Projection, ReadModel, messages,
};
use tokio_util::sync::CancellationToken;

use crate::Rates;
use crate::shared::{LIFE_EVENTS, Life, TENANT, life, page};

/// How long each kind of work is done.
const MEASURE: Duration = Duration::from_secs(4);
const BATCH: usize = 256;
/// Messages and conversations that are looked at, at random.
const SAMPLES: usize = 2_000;
const PAGE_MESSAGES: u32 = 20;
const PROJECTED_MESSAGES: u32 = 125;

/// Numbers of messages that the fill never reaches.
const UNUSED: u32 = 1 << 30;

/// Measures everything on a log of `filled` events.
pub(crate) async fn measure(
    database: &TestDatabase,
    pool: &Connections,
    filled: i64,
) -> anyhow::Result<Rates> {
    let log = Log::new(pool.clone());
    let samples = sample(&log, filled).await?;
    let mut rates = reads(pool, &log, &samples).await?;
    rates.extend(appends(database).await?);
    rates.push(("projection, events", project(pool).await?));
    Ok(rates)
}

/// First events of messages, from everywhere in the log.
async fn sample(log: &Log, filled: i64) -> anyhow::Result<Vec<RecordedEvent>> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: i64| {
        // Xorshift (Marsaglia, 2003) is random enough for that.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        i64::try_from(seed % below.unsigned_abs()).unwrap_or_default()
    };
    let looks = SAMPLES * LIFE_EVENTS;
    let positions: Vec<Position> = (0..looks).map(|_| Position(1 + random(filled))).collect();
    let mut found = log.read_positions(&positions).await.context("the samples")?;
    found.retain(|event| event.version == 1);
    anyhow::ensure!(found.len() > SAMPLES / 4, "the log is not as it was filled");
    // By position they would be read in the order in which they lie.
    found.sort_unstable_by_key(|event| event.event_id.as_u128().reverse_bits());
    Ok(found)
}

async fn reads(pool: &Connections, log: &Log, samples: &[RecordedEvent]) -> anyhow::Result<Rates> {
    let read_model = ReadModel::new(pool.clone());
    let next = Cell::new(0);
    let any = || &samples[next.replace(next.get() + 1) % samples.len()];
    let conversation = || ConversationId(any().conversation_id.unwrap_or_default());
    let newest = Page::new(Some(PAGE_MESSAGES), None).context("a page")?;
    let client = pool.get().await?;
    let rates = vec![
        (
            "a round trip: what the machine does",
            rate(async || Ok(client.simple_query("SELECT 1").await.map(drop)?)).await?,
        ),
        (
            "GET messages/{id}",
            rate(async || {
                let found = read_model.message(TENANT, MessageId(any().stream_id)).await?;
                found.context("a message is missing").map(drop)
            })
            .await?,
        ),
        (
            "GET messages, the newest 20",
            rate(async || {
                let filter = MessageFilter::default();
                read_model.messages(TENANT, &filter, &newest).await?;
                Ok(())
            })
            .await?,
        ),
        (
            "GET conversations/{id}/messages, 20",
            rate(async || {
                let id = conversation();
                let found = read_model.conversation_messages(TENANT, id, &newest).await?;
                found.context("a conversation is missing").map(drop)
            })
            .await?,
        ),
        (
            "GET conversations, the newest 20",
            rate(async || {
                let filter = ConversationFilter::default();
                read_model.conversations(TENANT, &filter, &newest).await?;
                Ok(())
            })
            .await?,
        ),
        (
            "read of a stream",
            rate(async || {
                let events = log.read_stream(TENANT.0, any().stream_id).await?;
                anyhow::ensure!(!events.is_empty(), "a stream is missing");
                Ok(())
            })
            .await?,
        ),
        (
            "read of the log, page of 1,000",
            rate(async || {
                let after = Position(any().position.0 - 1);
                log.read_page(after, 1_000).await?;
                Ok(())
            })
            .await?,
        ),
    ];
    Ok(rates)
}

/// How often a second `work` is done.
async fn rate(mut work: impl AsyncFnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (begun, mut done) = (Instant::now(), 0_u32);
    while begun.elapsed() < MEASURE {
        work().await?;
        done += 1;
    }
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}

async fn appends(database: &TestDatabase) -> anyhow::Result<Rates> {
    let shutdown = CancellationToken::new();
    let (appender, ended) =
        Appender::start(AppenderConfig::default(), database.config(), shutdown.clone());
    let number = Cell::new(UNUSED);
    let batch = async |size: usize| {
        let appends = (0..size).map(|_| appender.append(one(number.replace(number.get() + 1))));
        for answer in join_all(appends).await {
            answer?;
        }
        Ok(())
    };
    let alone = rate(async || batch(1).await).await?;
    let together = rate(async || batch(BATCH).await).await? * BATCH as f64;
    shutdown.cancel();
    ended.await?;
    Ok(vec![("append, one at a time", alone), ("append in batches of 256, events", together)])
}

fn one(number: u32) -> Append {
    let Life { stream_id, mut events } = life(number);
    events.truncate(1);
    let expected = ExpectedVersion::NoStream;
    let write = StreamWrite { stream_id, tenant_id: TENANT.0, expected, events };
    Append { writes: vec![write], ..Append::default() }
}

/// Pages that are not in the log, which a projection does not ask. The next rebuild removes what they
/// leave.
async fn project(pool: &Connections) -> anyhow::Result<f64> {
    let mut client = pool.get().await?;
    let mut checkpoint = messages::DEFINITION.checkpoint(&client).await?;
    let (mut number, mut events) = (UNUSED, 0);
    let begun = Instant::now();
    let (mut taken, mut projection) = (Duration::ZERO, Projection::of(&messages::DEFINITION));
    while begun.elapsed() < MEASURE {
        let page = page(checkpoint.position, number, PROJECTED_MESSAGES);
        number += PROJECTED_MESSAGES;
        events += page.len();
        let started = Instant::now();
        checkpoint = projection.advance(&mut client, &checkpoint, (&page, Origin::MadeUp)).await?;
        taken += started.elapsed();
    }
    drop(client);
    project_to_head(pool).await?;
    Ok(events as f64 / taken.as_secs_f64())
}

/// Lets the projection stand where the log ends, as far as its checkpoint says: a rebuild goes as far.
pub(crate) async fn project_to_head(pool: &Connections) -> anyhow::Result<()> {
    let client = pool.get().await?;
    messages::DEFINITION.checkpoint(&client).await?;
    let head = "UPDATE es.checkpoints SET position = (SELECT max(position) FROM es.events)";
    client.batch_execute(head).await?;
    Ok(())
}
