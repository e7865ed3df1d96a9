//! The parts that are measured.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use futures::future::join_all;
use hatch_domain::Decider;
use hatch_domain::message::Message;
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    Append, Appender, AppenderConfig, ExpectedVersion, Log, Position, StreamWrite,
};
use hatch_readmodel::{Origin, Projection, messages};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::raw::Raw;
use crate::shared::{LIFE_EVENTS, Life, TENANT, commands, life, page as page_of};

const APPENDERS: usize = 4;
const APPENDERS_BATCH: usize = 32;
const PAGE_EVENTS: usize = 1_000;
/// Events that pages are read from, at random.
const LOG_EVENTS: usize = 20_000;
const PROJECTED_MESSAGES: u32 = 125;
const POOL_WAIT_MAX: Duration = Duration::from_secs(5);

/// What is measured, and where.
pub(crate) struct Parts<'a> {
    runtime: &'a Runtime,
    database: &'a TestDatabase,
    numbers: Numbers,
    /// Of the next row of the raw tables.
    position: Cell<i64>,
    /// Whether the log has what pages are read from.
    filled: Cell<bool>,
}

/// Numbers that were not used before.
struct Numbers(Cell<u32>);

impl Numbers {
    fn lives(&self, count: usize) -> Vec<Life> {
        (0..count).map(|_| life(self.next(1))).collect()
    }

    fn next(&self, count: u32) -> u32 {
        self.0.replace(self.0.get() + count)
    }
}

/// One command an event: each begins a stream.
fn appends(lives: Vec<Life>) -> Vec<Append> {
    let append = |Life { stream_id, mut events }: Life| {
        events.truncate(1);
        let expected = ExpectedVersion::NoStream;
        let write = StreamWrite { stream_id, tenant_id: TENANT.0, expected, events };
        Append { writes: vec![write], ..Append::default() }
    };
    lives.into_iter().map(append).collect()
}

async fn append_all(appender: &Appender, appends: Vec<Append>) {
    for answer in join_all(appends.into_iter().map(|append| appender.append(append))).await {
        answer.expect("new streams are accepted");
    }
}

impl<'a> Parts<'a> {
    pub(crate) fn new(runtime: &'a Runtime, database: &'a TestDatabase) -> Self {
        let (numbers, position) = (Numbers(Cell::new(0)), Cell::new(1));
        Self { runtime, database, numbers, position, filled: Cell::new(false) }
    }

    /// One round.
    pub(crate) fn measure(&self, criterion: &mut Criterion) {
        self.append(criterion);
        self.append_by_four(criterion);
        self.page(criterion);
        self.project(criterion);
        self.decide(criterion);
    }

    fn appender(&self, shutdown: &CancellationToken) -> Appender {
        let _inside = self.runtime.enter();
        Appender::start(AppenderConfig::default(), self.database.config(), shutdown.clone()).0
    }

    /// The first of `count` positions that no raw row has.
    fn positions(&self, count: usize) -> i64 {
        self.position.replace(self.position.get() + count as i64)
    }

    fn append(&self, criterion: &mut Criterion) {
        let Self { runtime, database, numbers, .. } = self;
        let shutdown = CancellationToken::new();
        let appender = self.appender(&shutdown);
        let client = runtime.block_on(database.connect());
        let raw = runtime.block_on(Raw::new(&client));
        let mut group = criterion.benchmark_group("append, batch of");
        for batch in [1, 32, 256] {
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new("hatch", batch), |bencher| {
                bencher.iter_custom(|times| {
                    timed(
                        times,
                        || appends(numbers.lives(batch)),
                        |appends| {
                            runtime.block_on(append_all(&appender, appends));
                        },
                    )
                });
            });
            group.bench_function(BenchmarkId::new("raw", batch), |bencher| {
                bencher.iter_custom(|times| {
                    timed(
                        times,
                        || numbers.lives(batch),
                        |lives| {
                            runtime.block_on(raw.insert(self.positions(batch), &lives));
                        },
                    )
                });
            });
        }
        shutdown.cancel();
    }

    /// Four processes' worth of appenders take turns at the log; raw connections need not.
    fn append_by_four(&self, criterion: &mut Criterion) {
        let Self { runtime, database, numbers, .. } = self;
        let shutdown = CancellationToken::new();
        let appenders: Vec<Appender> = (0..APPENDERS).map(|_| self.appender(&shutdown)).collect();
        let clients: Vec<_> =
            (0..APPENDERS).map(|_| runtime.block_on(database.connect())).collect();
        let raws = runtime.block_on(join_all(clients.iter().map(|client| Raw::new(client))));
        let lives = || (0..APPENDERS).map(|_| numbers.lives(APPENDERS_BATCH)).collect::<Vec<_>>();
        let mut group = criterion.benchmark_group("append by 4 appenders, batches of");
        group.throughput(Throughput::Elements((APPENDERS * APPENDERS_BATCH) as u64));
        group.bench_function(BenchmarkId::new("hatch", APPENDERS_BATCH), |bencher| {
            bencher.iter_custom(|times| {
                timed(times, lives, |lives| {
                    let all = appenders.iter().zip(lives);
                    let all = all.map(|(appender, lives)| append_all(appender, appends(lives)));
                    runtime.block_on(join_all(all));
                })
            });
        });
        group.bench_function(BenchmarkId::new("raw", APPENDERS_BATCH), |bencher| {
            bencher.iter_custom(|times| {
                timed(times, lives, |lives| {
                    let all = raws
                        .iter()
                        .zip(&lives)
                        .map(|(raw, lives)| raw.insert(self.positions(lives.len()), lives));
                    runtime.block_on(join_all(all));
                })
            });
        });
        shutdown.cancel();
    }

    fn page(&self, criterion: &mut Criterion) {
        let Self { runtime, database, numbers, .. } = self;
        let shutdown = CancellationToken::new();
        let appender = self.appender(&shutdown);
        if !self.filled.replace(true) {
            for _ in 0..LOG_EVENTS / PAGE_EVENTS {
                runtime.block_on(append_all(&appender, appends(numbers.lives(PAGE_EVENTS))));
            }
        }
        let client = runtime.block_on(database.connect());
        let raw = runtime.block_on(Raw::new(&client));
        let log = Log::new(hatch_eventstore::pool(&database.config(), 1, POOL_WAIT_MAX));
        let offset = || i64::from(numbers.next(7_919)) % (LOG_EVENTS - PAGE_EVENTS) as i64;
        let mut group = criterion.benchmark_group("read of the log, page of");
        group.throughput(Throughput::Elements(PAGE_EVENTS as u64));
        group.bench_function(BenchmarkId::new("hatch", PAGE_EVENTS), |bencher| {
            bencher.iter_custom(|times| {
                timed(times, offset, |after| {
                    let page = runtime.block_on(log.read_page(Position(after), PAGE_EVENTS));
                    assert_eq!(page.expect("the log can be read").len(), PAGE_EVENTS);
                })
            });
        });
        group.bench_function(BenchmarkId::new("raw", PAGE_EVENTS), |bencher| {
            bencher.iter_custom(|times| {
                timed(times, offset, |after| {
                    let rows = runtime.block_on(raw.page(after, PAGE_EVENTS as i64));
                    assert_eq!(rows, PAGE_EVENTS);
                })
            });
        });
        shutdown.cancel();
    }

    /// Pages of whole lives; raw is one row an event, written to one table without looking at anything.
    fn project(&self, criterion: &mut Criterion) {
        let Self { runtime, database, numbers, .. } = self;
        let pool = hatch_eventstore::pool(&database.config(), 1, POOL_WAIT_MAX);
        let client = runtime.block_on(database.connect());
        let raw = runtime.block_on(Raw::new(&client));
        let without_waiting = client.batch_execute("SET synchronous_commit = off");
        runtime.block_on(without_waiting).expect("a setting");
        let last = Cell::new(Position::START);
        let events = PROJECTED_MESSAGES as usize * LIFE_EVENTS;
        let mut group = criterion.benchmark_group("projection, page of");
        group.throughput(Throughput::Elements(events as u64));
        group.bench_function(BenchmarkId::new("hatch", events), |bencher| {
            bencher.iter_custom(|times| {
                let mut object = runtime.block_on(pool.get()).expect("a connection");
                let mut projection = Projection::of(&messages::DEFINITION);
                let checkpoint = runtime.block_on(messages::DEFINITION.checkpoint(&object));
                let mut checkpoint = checkpoint.expect("the checkpoint can be read");
                last.set(checkpoint.position);
                let next = || {
                    let first = numbers.next(PROJECTED_MESSAGES);
                    let page = page_of(last.get(), first, PROJECTED_MESSAGES);
                    last.set(page[page.len() - 1].position);
                    page
                };
                timed(times, next, |page| {
                    let advanced =
                        projection.advance(&mut object, &checkpoint, (&page, Origin::MadeUp));
                    checkpoint = runtime.block_on(advanced).expect("the next page");
                })
            });
        });
        group.bench_function(BenchmarkId::new("raw", events), |bencher| {
            let next = || (self.positions(events)..).take(events).collect::<Vec<i64>>();
            bencher.iter_custom(|times| {
                timed(times, next, |positions| runtime.block_on(raw.upsert(&positions)))
            });
        });
    }

    /// Raw is the commit of one row, which is what a decision waits for.
    fn decide(&self, criterion: &mut Criterion) {
        let Self { runtime, database, numbers, .. } = self;
        let client = runtime.block_on(database.connect());
        let raw = runtime.block_on(Raw::new(&client));
        let mut group = criterion.benchmark_group("decisions of a message");
        group.throughput(Throughput::Elements(LIFE_EVENTS as u64));
        group.bench_function(BenchmarkId::new("hatch", LIFE_EVENTS), |bencher| {
            let commands = commands(numbers.next(1));
            bencher.iter(|| {
                let mut message = Message::default();
                for command in &commands {
                    for event in message.decide(black_box(command)).expect("it goes well") {
                        message = message.evolve(&event);
                    }
                }
                message
            });
        });
        group.bench_function(BenchmarkId::new("raw", LIFE_EVENTS), |bencher| {
            bencher.iter_custom(|times| {
                timed(
                    times,
                    || numbers.lives(LIFE_EVENTS),
                    |lives| {
                        for life in lives {
                            runtime.block_on(raw.insert(self.positions(1), &[life]));
                        }
                    },
                )
            });
        });
    }
}

/// The time that `measured` takes, `times` over; what it is given is made outside of that time.
fn timed<T>(times: u64, make: impl Fn() -> T, mut measured: impl FnMut(T)) -> Duration {
    let mut taken = Duration::ZERO;
    for _ in 0..times {
        let given = make();
        let begun = Instant::now();
        measured(given);
        taken += begun.elapsed();
    }
    taken
}
