//! Partitions that are moved to files: nobody who reads the log may notice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hatch_eventstore::testing::{Proxy, SMALL_PARTITIONS, Template, TestDatabase};
use hatch_eventstore::{
    ArchiveProgress, ArchiveRecord, ArchiveRequest, ArchivingError, AskBus, BusEnd,
    ExpectedVersion, FenceConfig, HeadWatch, Log, LogError, Need, Position, RemainingPartition,
    Subscription, archive, pool, verify,
};
use tempfile::TempDir;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::support::*;

const TEMPLATE: Template =
    Template { name: "eventstore_archive", schemas: Vec::new, sql: SMALL_PARTITIONS };

/// Partitions 0 to 2 are full, and 3 holds the head.
const EVENTS: i64 = 35;
const STREAMS: i64 = 6;

struct World {
    database: TestDatabase,
    log: Log,
    files: TempDir,
}

impl World {
    /// A log of several streams. Each of the first ones ends in partition 0.
    async fn create() -> Self {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let appender = appender(&database);
        for n in 0..EVENTS {
            let stream = if n < 3 { 100 + n } else { n % STREAMS };
            let mut append = one(stream_of(stream), ExpectedVersion::Any);
            append.writes[0].events[0].payload =
                format!("{{ \"n\" :  {n}, \"text\": \"\\u00e4ä\" }}");
            appender.append(append).await.expect("accepted");
        }
        let log = log(&database);
        Self { database, log, files: tempfile::tempdir().expect("a folder") }
    }

    fn request(&self) -> ArchiveRequest {
        ArchiveRequest {
            directory: self.files.path().join("log"),
            partition: None,
            needs: vec![],
            answer_max: PATIENCE,
            detach_max: PATIENCE,
        }
    }

    /// Archives what is cold; what was said on the way.
    async fn archive(&self) -> Result<Vec<ArchiveProgress>, ArchivingError> {
        self.archive_as(self.request()).await
    }

    async fn archive_as(
        &self,
        request: ArchiveRequest,
    ) -> Result<Vec<ArchiveProgress>, ArchivingError> {
        let mut said = Vec::new();
        archive(&self.database.config(), &request, |progress| said.push(progress)).await?;
        Ok(said)
    }

    /// Is killed when it says something that `dies` agrees to.
    async fn archive_killed(&self, dies: fn(&ArchiveProgress) -> bool) {
        let (postgres, request) = (self.database.config(), self.request());
        let task = tokio::spawn(async move {
            archive(&postgres, &request, |progress| assert!(!dies(&progress), "killed")).await
        });
        assert!(task.await.expect_err("it was killed").is_panic());
    }

    /// The tables that hold events.
    async fn tables(&self) -> Vec<String> {
        let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = 'es'::regnamespace \
            AND relkind = 'r' AND relname ~ '^events_' AND relname < 'events_000004' ORDER BY 1";
        let rows = self.database.connect().await.query(sql, &[]).await.expect("readable");
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn sql(&self, sql: &str) {
        self.database.connect().await.batch_execute(sql).await.expect("a superuser may");
    }

    async fn violations(&self) -> Vec<String> {
        let pool = pool(&self.database.config(), 1, Duration::from_secs(5));
        let verified = verify(&pool, |_, _| {}).await.expect("readable");
        assert_eq!(verified.head, Position(EVENTS));
        verified.violations.iter().map(|v| format!("{}: {}", v.promise, v.detail)).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join("log/events-000000000001-000000000009").join(name)
    }
}

fn stream_of(n: i64) -> uuid::Uuid {
    stream(u128::from(n.unsigned_abs()))
}

/// All that can be asked of `log`, as text.
async fn everything(log: &Log) -> Vec<String> {
    let mut said = Vec::new();
    for limit in [1, 7, 5_000] {
        let mut after = Position::START;
        while after < Position(EVENTS) {
            let page = log.read_page(after, limit).await.expect("readable");
            after = page.last().expect("not the end").position;
            said.extend(page.iter().map(|event| format!("{limit}: {event:?}")));
        }
        let counted = said.iter().filter(|line| line.starts_with(&format!("{limit}: "))).count();
        assert_eq!(i64::try_from(counted).expect("few"), EVENTS, "each event once");
    }
    for position in (0..EVENTS + 3).map(Position) {
        let event = log.read_at(position).await.expect("readable");
        if let Some(event) = &event {
            let at = log.position_at(event.recorded_at).await.expect("readable");
            said.push(format!("by {}: {at}", event.recorded_at));
        }
        said.push(format!("at {position}: {event:?}"));
    }
    let positions = [31, 12, 3, 99, 9, 10, 19, 20].map(Position);
    let events = log.read_positions(&positions).await.expect("readable");
    assert_eq!(
        events.iter().map(|event| event.position.0).collect::<Vec<_>>(),
        [3, 9, 10, 12, 19, 20, 31]
    );
    said.push(format!("{events:?}"));
    for n in (0..STREAMS).chain(100..104) {
        let events = log.read_stream(TENANT, stream_of(n)).await.expect("readable");
        said.push(format!("stream {n}: {events:?}"));
        let other = log.read_stream(uuid::Uuid::from_u128(9), stream_of(n)).await;
        assert!(other.expect("readable").is_empty(), "another tenant's");
    }
    said
}

fn kept(said: &[ArchiveProgress]) -> Vec<&RemainingPartition> {
    said.iter()
        .filter_map(|one| if let ArchiveProgress::Kept(kept) = one { Some(kept) } else { None })
        .collect()
}

fn archived(said: &[ArchiveProgress]) -> Vec<i64> {
    said.iter()
        .filter_map(|one| {
            if let ArchiveProgress::Archived(one) = one { Some(one.partition) } else { None }
        })
        .collect()
}

#[tokio::test]
async fn every_read_is_the_same_before_and_after() {
    let world = World::create().await;
    let before = everything(&world.log).await;
    let said = world.archive().await.expect("archived");
    assert_eq!(archived(&said), [0, 1, 2], "the oldest first");
    let kept = kept(&said);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((kept[0].partition, kept[0].first, kept[0].last), (3, Position(30), Position(39)));
    assert_eq!(kept[0].reasons, ["it holds the log's head, position 35"]);
    assert_eq!(world.tables().await, ["events_000003"]);

    assert!(everything(&world.log).await == before, "the same reads");
    assert!(everything(&log(&world.database)).await == before, "by one who knows nothing yet");
    assert_eq!(world.violations().await, [""; 0]);

    let text = std::fs::read(world.file("events.ndjson.zst")).expect("there");
    let text = zstd::decode_all(&text[..]).expect("plain zstd");
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 9, "one event a line");
    let manifest = std::fs::read(world.file("manifest.json")).expect("there");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!((&manifest["count"], &manifest["epochs"][0]), (&9.into(), &1.into()));

    let said = world.archive().await.expect("there is nothing to do");
    assert_eq!((archived(&said), said.len()), (vec![], 1));
}

#[tokio::test]
async fn a_stream_whose_events_are_all_archived_goes_on() {
    let world = World::create().await;
    world.archive().await.expect("archived");
    let appender = appender(&world.database);
    let stale = one(stream_of(100), ExpectedVersion::NoStream);
    appender.append(stale).await.expect_err("the stream is there");
    let next = one(stream_of(100), ExpectedVersion::Exact(1));
    assert_eq!(appender.append(next).await.expect("accepted"), committed(36, 36));
    let events = world.log.read_stream(TENANT, stream_of(100)).await.expect("readable");
    let places: Vec<_> = events.iter().map(|event| (event.version, event.position.0)).collect();
    assert_eq!(places, [(1, 1), (2, 36)]);
}

#[tokio::test]
async fn whoever_is_killed_is_followed_by_one_who_finishes() {
    let world = World::create().await;
    let before = everything(&world.log).await;
    let deaths: [fn(&ArchiveProgress) -> bool; 6] = [
        |said| matches!(said, ArchiveProgress::Writing { .. }),
        |said| matches!(said, ArchiveProgress::Written),
        |said| matches!(said, ArchiveProgress::Verifying { .. }),
        |said| matches!(said, ArchiveProgress::Recorded),
        |said| matches!(said, ArchiveProgress::Detached),
        |said| matches!(said, ArchiveProgress::Archived(_)),
    ];
    for (n, dies) in deaths.into_iter().enumerate() {
        world.archive_killed(dies).await;
        assert!(everything(&log(&world.database)).await == before, "after death {n}");
        assert_eq!(world.violations().await, [""; 0], "after death {n}");
    }
    assert_eq!(world.tables().await, ["events_000001", "events_000002", "events_000003"]);
    let said = world.archive().await.expect("archived");
    assert_eq!(archived(&said), [1, 2]);
    assert!(everything(&world.log).await == before, "the same reads");
}

#[tokio::test]
async fn an_interrupted_detaching_is_finished_and_two_do_not_archive_at_once() {
    let world = World::create().await;
    let before = everything(&world.log).await;
    let reader = world.database.connect().await;
    let begun = "BEGIN; SELECT FROM es.events LIMIT 1";
    reader.batch_execute(begun).await.expect("a transaction");
    let (postgres, request) = (world.database.config(), world.request());
    let first = tokio::spawn(async move { archive(&postgres, &request, |_| {}).await });
    let client = world.database.connect().await;
    eventually("the partition is about to be detached", || async {
        let sql = "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)";
        client.query_one(sql, &[]).await.expect("readable").get::<_, bool>(0)
    })
    .await;
    let second = world.archive().await.expect_err("one at a time");
    assert!(matches!(second, ArchivingError::Busy), "{second:?}");
    assert!(everything(&world.log).await == before, "the same reads");

    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE application_name = 'hatch-archive' AND datname = current_database()";
    client.execute(kill, &[]).await.expect("a superuser may");
    soon(first).await.expect("no panic").expect_err("its connection is gone");
    reader.batch_execute("COMMIT").await.expect("ends");
    assert!(everything(&world.log).await == before, "the same reads");
    assert_eq!(world.violations().await, [""; 0]);
    assert_eq!(archived(&world.archive().await.expect("archived")), [0, 1, 2]);
    assert!(everything(&world.log).await == before, "the same reads");
}

#[tokio::test]
async fn who_archives_waits_for_a_silent_server_and_for_other_transactions_within_limits() {
    let world = World::create().await;
    let proxy = Proxy::start(&world.database.url()).await;
    let postgres = proxy.url().parse().expect("a URL");
    let request = ArchiveRequest { answer_max: Duration::from_millis(500), ..world.request() };
    let silenced = archive(&postgres, &request, |_| proxy.silence());
    let error = soon(silenced).await.expect_err("nothing is answered");
    assert!(matches!(error, ArchivingError::Unanswered(_)), "{error:?}");
    drop(proxy);

    let reader = world.database.connect().await;
    reader.batch_execute("BEGIN; SELECT FROM es.events LIMIT 1").await.expect("a transaction");
    let request = ArchiveRequest { detach_max: Duration::from_millis(300), ..world.request() };
    let error = soon(world.archive_as(request)).await.expect_err("a transaction goes on");
    assert!(matches!(error, ArchivingError::Unanswered(_)), "{error:?}");
    reader.batch_execute("COMMIT").await.expect("ends");
    assert_eq!(archived(&world.archive().await.expect("archived")), [0, 1, 2]);
}

#[tokio::test]
async fn who_pages_meanwhile_sees_no_gap() {
    let world = World::create().await;
    let before = everything(&world.log).await;
    let done = CancellationToken::new();
    let reading = {
        let (log, seen, done) = (world.log.clone(), before.clone(), done.clone());
        tokio::spawn(async move {
            while !done.is_cancelled() {
                assert!(everything(&log).await == seen, "every read is whole");
            }
        })
    };
    let said = world.archive().await.expect("archived");
    assert_eq!(archived(&said), [0, 1, 2]);
    done.cancel();
    soon(reading).await.expect("every read was whole");
}

#[tokio::test]
async fn what_is_not_cold_is_kept_and_the_reason_named() {
    let world = World::create().await;
    world
        .sql(
            "INSERT INTO es.checkpoints VALUES ('messages', 1, 15, 1), ('timers', 1, 40, 1),
             -- An earlier build left the first of these behind.
             ('configuration', 2, 5, 1), ('configuration', 3, 40, 1);
         SELECT es.ensure_partitions(3)",
        )
        .await;
    let only = |partition| ArchiveRequest { partition: Some(partition), ..world.request() };

    let said = world.archive_as(only(1)).await.expect("nothing fails");
    let reasons = [
        "messages version 1 has come to position 15 only",
        "partition 0 is older and not archived",
    ];
    assert_eq!(kept(&said)[0].reasons, reasons);
    let said = world.archive_as(only(4)).await.expect("nothing fails");
    assert!(kept(&said)[0].reasons[0].contains("positions to come"), "{said:?}");
    let error = world.archive_as(only(77)).await.expect_err("no such partition");
    assert!(matches!(error, ArchivingError::NoPartition(77)), "{error:?}");
    let bus = Need { who: "the bus".to_owned(), position: Position(8) };
    let request = ArchiveRequest { needs: vec![bus], ..only(0) };
    let said = world.archive_as(request).await.expect("nothing fails");
    assert_eq!(kept(&said)[0].reasons, ["the bus has come to position 8 only"]);
    assert_eq!(world.tables().await.len(), 4, "nothing was archived");

    let said = world.archive().await.expect("nothing fails");
    assert_eq!(archived(&said), [0]);
    let kept: Vec<_> = kept(&said).iter().map(|kept| kept.partition).collect();
    assert_eq!(kept, [1, 2, 3]);
}

#[tokio::test]
async fn the_application_reads_archives_and_makes_none() {
    let world = World::create().await;
    let before = everything(&world.log).await;
    world.archive().await.expect("archived");
    let mut postgres = world.database.config();
    postgres.options("-c role=hatch_app");
    let log = Log::new(pool(&postgres, 2, Duration::from_secs(5)));
    assert!(everything(&log).await == before, "the same reads");
    let client = hatch_eventstore::connect(&postgres).await.expect("a connection");
    let error = client.batch_execute("DELETE FROM es.archives").await.expect_err("not granted");
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    let error = archive(&postgres, &world.request(), |_| {}).await.expect_err("not the owner");
    assert!(matches!(error, ArchivingError::NotOwner(_)), "{error:?}");
}

fn flip_middle_byte(path: &Path) {
    let mut bytes = std::fs::read(path).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn a_damaged_or_missing_file_is_named_and_nothing_is_skipped() {
    let world = World::create().await;
    let before = everything(&world.log).await;
    world.archive().await.expect("archived");
    for name in ["manifest.json", "events.ndjson.zst", "streams.zst"] {
        let path = world.file(name);
        let sound = std::fs::read(&path).expect("there");
        let damages: [fn(&Path); 2] =
            [flip_middle_byte, |path| std::fs::remove_file(path).expect("removed")];
        for damage in damages {
            damage(&path);
            let log = log(&world.database);
            let errors = [
                log.read_page(Position::START, 5).await.map(|_| ()),
                log.read_at(Position(4)).await.map(|_| ()),
                log.read_stream(TENANT, stream_of(100)).await.map(|_| ()),
            ];
            let named: Vec<String> = errors
                .into_iter()
                .filter_map(Result::err)
                .inspect(|error| assert!(matches!(error, LogError::Archive(_)), "{error:?}"))
                .map(|error| error.to_string())
                .collect();
            let of = |text: &String| text.contains(path.to_str().expect("UTF-8"));
            assert!(!named.is_empty() && named.iter().all(of), "{named:?}");
            if name != "streams.zst" {
                assert_eq!(named.len(), 3, "no read goes without it: {named:?}");
            }
            let violations = world.violations().await;
            let said = violations.iter().filter(|text| text.starts_with("archives: "));
            assert_eq!(said.filter(|text| of(text)).count(), 1, "{violations:?}");
            std::fs::write(&path, &sound).expect("written");
            assert!(everything(&log).await == before, "it is back");
        }
    }
    let records = ArchiveRecord::all(&*world.database.connect().await).await.expect("readable");
    assert_eq!(records.iter().filter_map(ArchiveRecord::missing_file).count(), 0);
    std::fs::remove_file(world.file("streams.zst")).expect("removed");
    assert_eq!(records[0].missing_file(), Some(world.file("streams.zst")));
}

/// As a network mount that is away for a moment: nothing is damaged, and whoever follows waits for it.
#[tokio::test]
async fn a_file_that_cannot_be_read_for_a_moment_is_waited_for() {
    let world = World::create().await;
    world.archive().await.expect("archived");
    let head = HeadWatch::start(world.database.config(), CancellationToken::new()).0;
    let (path, away) = (world.file("events.ndjson.zst"), world.files.path().join("away"));
    std::fs::rename(&path, &away).expect("moved");
    // What is there cannot be read, as in an error of the medium.
    std::fs::create_dir(&path).expect("made");
    let error = world.log.read_at(Position(4)).await.expect_err("it cannot be read");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(path.to_str().expect("UTF-8")), "{error}");
    let mut subscription = Subscription::new(world.log.clone(), &head, None, Position::START, 5);
    let early = tokio::time::timeout(Duration::from_millis(300), subscription.next_batch()).await;
    assert!(early.is_err(), "it waits: {early:?}");
    std::fs::remove_dir(&path).expect("removed");
    std::fs::rename(&away, &path).expect("moved back");
    let batch = soon(subscription.next_batch()).await.expect("it goes on");
    assert_eq!(batch[0].position, Position(1));

    // What is there and is less than was written is damage, and no reason to wait.
    std::fs::OpenOptions::new().write(true).open(&path).expect("there").set_len(9).expect("cut");
    let error = log(&world.database).read_at(Position(4)).await.expect_err("it is cut");
    assert!(!error.is_unavailable(), "{error:?}");
}

#[tokio::test]
async fn moved_files_are_found_where_the_record_says() {
    let world = World::create().await;
    let before = everything(&world.log).await;
    world.archive().await.expect("archived");
    assert!(everything(&world.log).await == before, "the same reads");
    let (old, new) = (world.files.path().join("log"), world.files.path().join("moved"));
    std::fs::rename(&old, &new).expect("moved");
    world.log.read_at(Position(1)).await.expect_err("not found yet");
    let (old, new) = (old.display(), new.display());
    world.sql(&format!("UPDATE es.archives SET folder = replace(folder, '{old}', '{new}')")).await;
    assert!(everything(&log(&world.database)).await == before, "the same reads");
    assert_eq!(world.log.read_at(Position(1)).await.expect("found").expect("there").version, 1);
}

#[tokio::test]
async fn files_that_hold_something_else_are_left_alone() {
    let (world, other) = (World::create().await, World::create().await);
    let before = everything(&world.log).await;
    let request = ArchiveRequest { directory: other.request().directory, ..world.request() };
    other.archive().await.expect("archived");
    let error = world.archive_as(request).await.expect_err("another log's");
    assert!(matches!(error, ArchivingError::Different { partition: 0, .. }), "{error:?}");
    assert_eq!(world.tables().await.len(), 4);
    assert!(everything(&world.log).await == before, "the same reads");
    assert_eq!(other.violations().await, [""; 0]);
    // What changed behind the back of the files, before the table is dropped.
    world.archive_killed(|said| matches!(said, ArchiveProgress::Recorded)).await;
    world
        .sql(
            "SET session_replication_role = replica; -- no triggers
        UPDATE es.events SET payload = '{}' WHERE position = 4",
        )
        .await;
    let error = world.archive().await.expect_err("not what was written");
    assert!(matches!(error, ArchivingError::Different { partition: 0, .. }), "{error:?}");
    assert_eq!(world.tables().await.len(), 4);
}

#[tokio::test]
async fn a_partition_with_a_hole_is_not_archived() {
    let world = World::create().await;
    world
        .sql(
            "SET session_replication_role = replica; -- no triggers
        DELETE FROM es.events WHERE position = 9",
        )
        .await;
    let error = world.archive().await.expect_err("a hole");
    assert!(matches!(error, ArchivingError::Gap(Position(9))), "{error:?}");
    assert_eq!(world.tables().await.len(), 4);
}

#[tokio::test]
async fn a_partition_of_many_blocks_is_read_as_before() {
    const EVENTS: i64 = 5_500;
    let database = database().await;
    let client = database.connect().await;
    client.batch_execute(&SMALL_PARTITIONS.replace("'10'", "'5000'")).await.expect("no event yet");
    // Streams of a hundred, and now and then an event that fills a block.
    client
        .batch_execute(&format!(
            "INSERT INTO es.events
             SELECT n, md5((n % 55)::text)::uuid, (n + 54) / 55,
                    '{TENANT}', md5('e' || n)::uuid, 'Happened', 1, 1,
                    '2026-01-01'::timestamptz + n * interval '1 s', 'thing', NULL, NULL, NULL,
                    json_build_object('correlation_id', md5('c')::uuid, 'actor', 'test'),
                    json_build_object('n', n, 'text', repeat('x', CASE n % 777 WHEN 0 THEN 900000
                        ELSE 10 END))
               FROM generate_series(1, {EVENTS}) AS n;
             INSERT INTO es.streams
             SELECT stream_id, tenant_id, max(version), 'thing' FROM es.events GROUP BY 1, 2"
        ))
        .await
        .expect("a superuser may");
    let log = log(&database);
    let read = async || {
        let (mut all, mut after) = (Vec::new(), Position::START);
        while after < Position(EVENTS) {
            let page = log.read_page(after, 700).await.expect("readable");
            after = page.last().expect("not the end").position;
            all.extend(page.into_iter().map(|event| format!("{event:?}")));
        }
        for n in (0..55).step_by(5) {
            let id = client.query_one("SELECT md5($1)::uuid", &[&n.to_string()]).await;
            let id = id.expect("computed").get(0);
            let stream = log.read_stream(TENANT, id).await.expect("readable");
            assert_eq!(stream.len(), 100);
            all.extend(stream.into_iter().map(|event| format!("{event:?}")));
        }
        all
    };
    let before = read().await;
    let files = tempfile::tempdir().expect("a folder");
    let directory = files.path().to_owned();
    let request = ArchiveRequest {
        directory,
        partition: Some(0),
        needs: vec![],
        answer_max: PATIENCE,
        detach_max: PATIENCE,
    };
    archive(&database.config(), &request, |_| {}).await.expect("archived");
    assert!(read().await == before, "the same reads");
    let pool = pool(&database.config(), 1, Duration::from_secs(5));
    let verified = verify(&pool, |_, _| {}).await.expect("readable");
    assert_eq!((verified.first, verified.violations), (Position(1), vec![]));
}

#[tokio::test]
async fn a_bus_that_slept_since_then_closes_no_fence() {
    let world = World::create().await;
    let event = world.log.read_at(Position(4)).await.expect("readable").expect("there");
    world.archive().await.expect("archived");
    let end = BusEnd { generation: 1, position: event.position, event_id: Some(event.event_id) };
    let asked: AskBus = Arc::new(move |_, _| std::future::ready(Some(end)).boxed());
    let config = FenceConfig { bus: Some(asked), ..FenceConfig::default() };
    let shutdown = CancellationToken::new();
    let (watch, _) = HeadWatch::start_with(config, world.database.config(), shutdown);
    soon(watch.fence().opened()).await;
}
