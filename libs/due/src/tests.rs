//! Timers on a real server, of a tiny kind of streams.

mod lines;
mod second_kind;

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::Environment as _;
use hatch_eventstore::testing::{Template, TestDatabase};
use hatch_eventstore::{Checkpoint, CheckpointError, Connection, Position, SystemEnvironment};
use uuid::Uuid;

use self::second_kind::Reminders;
use crate::fold::{Fact, Fold, StreamFact};
use crate::{DueTime, DueTimer, Error, Timers, WorkClass, undecodable};

const TEMPLATE: Template = Template { name: "due", schemas: || vec![crate::SCHEMA], sql: "" };

const TENANT: Uuid = Uuid::from_u128(1);

/// A second of the test's time.
pub(crate) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("in range")
}

async fn timers() -> (TestDatabase, Timers) {
    let database = TestDatabase::create_from(&TEMPLATE).await;
    let pool = hatch_eventstore::pool(&database.config(), 8, Duration::from_secs(5));
    (database, Timers::of::<Reminders>(pool))
}

fn stream(n: i64) -> Uuid {
    Uuid::from_u64_pair(1_000, n.unsigned_abs())
}

fn fact(position: i64, stream_id: Uuid, due: DueTime) -> Fact<()> {
    let stream = StreamFact {
        tenant_id: TENANT,
        stream_id,
        due,
        begins: false,
        note: None,
        place: WorkClass { lane: "sms", priority: "normal" },
        waits_for: None,
        undecodable: false,
    };
    Fact { position: Position(position), epoch: 1, recorded_at: at(0), stream: Some(stream) }
}

/// A stream that waits for somebody.
fn parked(n: i64, tenant_id: Uuid, priority: &'static str) -> Fact<()> {
    let mut fact = fact(n, stream(n), DueTime::At { step: None, at: at(n) });
    let stream = fact.stream.as_mut().expect("a stream's");
    (stream.tenant_id, stream.place) = (tenant_id, WorkClass { lane: "sms waiting", priority });
    fact
}

/// Folds `facts` onto the checkpoint as it is.
async fn fold(timers: &Timers, facts: &[Fact<()>]) -> Checkpoint {
    let checkpoint = timers.checkpoint().await.expect("a checkpoint");
    let fold = Fold::of(facts.iter(), std::iter::empty());
    let last = facts.last().expect("facts").position;
    timers.apply::<Reminders>(&checkpoint, &fold, last, 1).await.expect("applied")
}

async fn take(timers: &Timers, second: i64, limit: usize) -> Vec<DueTimer> {
    take_of(timers, (&["sms"], &["normal"]), second, limit).await
}

/// Takes what is due at this second of the test's time, by which the timers are set.
async fn take_of(
    timers: &Timers,
    of: (&[&str], &[&str]),
    second: i64,
    limit: usize,
) -> Vec<DueTimer> {
    let ahead = set_forward(timers, second).await;
    let taken = take_now(timers, of, limit).await;
    shift(timers, -ahead).await;
    taken
}

async fn take_now(timers: &Timers, of: (&[&str], &[&str]), limit: usize) -> Vec<DueTimer> {
    let now = SystemEnvironment.now();
    timers.take(of, limit, Duration::from_secs(100), now).await.expect("taken")
}

/// Makes this second of the test's time the present, and says by how many seconds that moved the timers.
async fn set_forward(timers: &Timers, second: i64) -> f64 {
    let ask = async |client: &mut Connection| {
        let sql = "SELECT extract(epoch FROM clock_timestamp() - $1::timestamptz)::float8";
        Ok::<f64, Error>(client.query_one(sql, &[&at(second)]).await?.get(0))
    };
    let ahead = timers.pool.within(Duration::from_secs(5), ask).await.expect("seconds");
    shift(timers, ahead).await;
    ahead
}

async fn shift(timers: &Timers, seconds: f64) {
    let shift = async |client: &mut Connection| {
        let sql = "UPDATE due.timers SET look_at = look_at + make_interval(secs => $1)";
        Ok::<u64, Error>(client.execute(sql, &[&seconds]).await?)
    };
    timers.pool.within(Duration::from_secs(5), shift).await.expect("shifted");
}

#[tokio::test]
async fn of_two_folders_of_the_same_events_one_is_refused_and_writes_nothing() {
    let (_database, timers) = timers().await;
    let checkpoint = timers.checkpoint().await.expect("a checkpoint");
    fold(&timers, &[fact(1, stream(1), DueTime::At { step: None, at: at(1) })]).await;
    let other = [fact(1, stream(2), DueTime::At { step: None, at: at(1) })];
    let other = Fold::of(other.iter(), std::iter::empty());
    let refused = timers.apply::<Reminders>(&checkpoint, &other, Position(1), 1).await;
    assert!(matches!(refused, Err(Error::Checkpoint(CheckpointError::Fenced { .. }))));
    let taken = take(&timers, 1, 10).await;
    assert_eq!(taken.iter().map(|timer| timer.stream_id).collect::<Vec<_>>(), [stream(1)]);
}

#[tokio::test]
async fn nothing_is_taken_while_postgresqls_clock_is_another_than_it_was() {
    let (_database, timers) = timers().await;
    fold(&timers, &[fact(1, stream(1), DueTime::At { step: None, at: at(1) })]).await;
    set_forward(&timers, 2).await;
    let (of, hold) = ((&["sms"][..], &["normal"][..]), Duration::from_secs(100));
    for apart in [-3_600, -70, 70, 90_000] {
        let now = SystemEnvironment.now() + TimeDelta::seconds(apart);
        let taken = timers.take(of, 1, hold, now).await.expect("asked");
        assert!(taken.is_empty(), "{apart} s");
    }
    assert_eq!(take_now(&timers, of, 1).await.len(), 1);
}

#[tokio::test]
async fn two_sweepers_never_take_the_same_stream_and_what_one_lost_comes_back() {
    let (_database, timers) = timers().await;
    let facts: Vec<_> =
        (1..=200).map(|n| fact(n, stream(n), DueTime::At { step: None, at: at(n) })).collect();
    fold(&timers, &facts).await;
    let ahead = set_forward(&timers, 150).await;
    let sweeps = (0..8).map(|_| take_now(&timers, (&["sms"], &["normal"]), 25));
    let taken: Vec<_> =
        futures::future::join_all(sweeps).await.concat().iter().map(|t| t.stream_id).collect();
    shift(&timers, -ahead).await;
    let unique: HashSet<_> = taken.iter().collect();
    assert_eq!(unique.len(), taken.len());
    assert!(taken.len() <= 150, "what is not due is not taken");
    while !take(&timers, 150, 25).await.is_empty() {}
    assert_eq!(take(&timers, 255, 500).await.len(), 200, "after its hold, and what is due by now");
}

#[tokio::test]
async fn a_lanes_timers_are_taken_by_priority_and_then_by_time() {
    let (_database, timers) = timers().await;
    let due = |n, lane, priority, second| {
        let mut fact = fact(n, stream(n), DueTime::At { step: None, at: at(second) });
        fact.stream.as_mut().expect("a stream's").place = WorkClass { lane, priority };
        fact
    };
    let (sms, email) = ("sms", "email");
    let facts = [
        due(1, sms, "low", 1),
        due(2, sms, "high", 3),
        due(3, sms, "high", 2),
        due(4, sms, "high", 99),
        due(5, email, "high", 1),
        due(6, "", "normal", 1),
    ];
    fold(&timers, &facts).await;
    // The last two are one priority: rows of earlier builds have its old name.
    let high_first: &[&str] = &["high", "normal", "bulk", "low"];
    let taken = async |channels: &[&str], limit| {
        let mut taken = take_of(&timers, (channels, high_first), 9, limit).await;
        taken.sort_by_key(|timer| timer.position);
        taken.iter().map(|timer| timer.position.0).collect::<Vec<_>>()
    };
    assert_eq!(taken(&["sms", "mms"], 1).await, [3]);
    assert_eq!(taken(&["sms", "mms"], 9).await, [1, 2]);
    assert_eq!(taken(&["email"], 9).await, [5]);
    assert_eq!(taken(&["", "chat"], 9).await, [6], "of a lane without a name");
}

#[tokio::test]
async fn a_sweepers_note_does_not_outlive_a_word_of_the_log() {
    let (_database, timers) = timers().await;
    fold(&timers, &[fact(1, stream(1), DueTime::At { step: Some(1), at: at(1) })]).await;
    let taken = take(&timers, 1, 1).await.pop().expect("due");
    fold(&timers, &[fact(2, stream(1), DueTime::At { step: Some(1), at: at(2) })]).await;
    let noted = DueTimer { looks: 7, not_found: 1, ..taken.clone() };
    timers.look_again(&noted, at(999)).await.expect("not noted");
    timers.forget(&taken).await.expect("not forgotten");
    let again = take(&timers, 2, 1).await.pop().expect("due again");
    assert_eq!((again.looks, again.not_found), (0, 0));
    let noted = DueTimer { looks: 1, not_found: 1, ..again.clone() };
    timers.look_again(&noted, at(50)).await.expect("noted");
    assert!(take(&timers, 49, 1).await.is_empty());
    let noted = take(&timers, 50, 1).await.pop().expect("due at its time");
    assert_eq!((noted.looks, noted.not_found), (1, 1));
    let (same, next) = (noted.of_step(1), noted.of_step(2));
    assert_eq!((same.looks, same.not_found), (1, 1));
    assert_eq!((next.looks, next.not_found), (0, 0), "what is known of one step");
    timers.forget(&noted).await.expect("forgotten");
    assert!(take(&timers, 999, 1).await.is_empty());
}

#[tokio::test]
async fn a_settled_step_clears_its_own_timer_and_no_later_one() {
    let (_database, timers) = timers().await;
    let at_step = |step| DueTime::At { step, at: at(1) };
    let held = [(1, Some(1)), (2, Some(2)), (3, None)];
    let facts: Vec<_> = held.map(|(n, step)| fact(n, stream(n), at_step(step))).to_vec();
    fold(&timers, &facts).await;
    let settled: Vec<_> =
        (1..=3).map(|n| fact(3 + n, stream(n), DueTime::Settled { step: 1 })).collect();
    fold(&timers, &settled).await;
    let left: HashSet<_> = take(&timers, 1, 9).await.iter().map(|t| t.stream_id).collect();
    assert_eq!(left, HashSet::from([stream(2), stream(3)]));
    let over: Vec<_> = (2..=3).map(|n| fact(5 + n, stream(n), DueTime::Over)).collect();
    fold(&timers, &over).await;
    assert!(take(&timers, 999, 9).await.is_empty());
}

#[tokio::test]
async fn what_nobody_can_read_is_looked_at_ever_more_seldom_until_somebody_can() {
    let (database, timers) = timers().await;
    let mut unread = fact(1, stream(1), DueTime::At { step: None, at: at(1) });
    unread.stream.as_mut().expect("a stream's").undecodable = true;
    fold(&timers, &[unread, fact(2, stream(2), DueTime::At { step: None, at: at(1) })]).await;
    let session = database.connect().await;
    let marked = async || undecodable::<Reminders>(&session).await.expect("a count");
    assert_eq!(marked().await, 1);
    let mut taken = take(&timers, 1, 2).await;
    taken.sort_by_key(|timer| timer.stream_id);
    assert_eq!(taken.iter().map(|timer| timer.undecodable).collect::<Vec<_>>(), [true, false]);
    let unreadable = async |n: usize| timers.unreadable(&taken[n]).await.expect("noted");
    assert_eq!((unreadable(0).await, unreadable(1).await), (false, true), "the second is news");
    assert_eq!((unreadable(1).await, marked().await), (false, 2));
    let wait = "SELECT extract(epoch FROM look_at - clock_timestamp())::float8 \
                FROM due.timers ORDER BY stream_id LIMIT 1";
    let wait = async || -> f64 { session.query_one(wait, &[]).await.expect("a wait").get(0) };
    assert!((1.0..=5.0).contains(&wait().await), "soon at first");
    for (since, least) in [("100 s", 99.0), ("1 day", 599.0)] {
        let aged = format!(
            "UPDATE due.timers SET undecodable_at = clock_timestamp() - interval '{since}'"
        );
        session.batch_execute(&aged).await.expect("aged");
        unreadable(0).await;
        let wait = wait().await;
        assert!((least - 9.0..=601.0).contains(&wait), "after {since}: {wait}");
    }
    timers.readable(&taken[0]).await.expect("noted");
    assert_eq!(marked().await, 1);
}

#[tokio::test]
async fn a_parked_stream_comes_back_for_the_one_it_waits_for_whatever_else_is_parked() {
    let (_database, timers) = timers().await;
    let (parked, home): ([&str; 1], [&str; 1]) = (["sms waiting"], ["sms"]);
    let apart = |n| {
        let mut fact = fact(n, stream(n), DueTime::At { step: None, at: at(1) });
        let place = WorkClass { lane: "sms waiting", priority: "normal" };
        fact.stream.as_mut().expect("a stream's").place = place;
        fact
    };
    fold(&timers, &[apart(1), apart(2)]).await;
    let unsorted = async || timers.unsorted(&parked, 9).await.expect("asked");
    let waited_for = async || {
        let mut all = timers.waited_for(&parked).await.expect("asked");
        all.sort_unstable();
        all
    };
    assert!(waited_for().await.is_empty(), "nobody has said it");
    let whom = |id: Uuid| if id == stream(1) { "one" } else { "other" };
    let sorted = unsorted().await.into_iter().map(|one| (one, whom(one.stream_id).to_owned()));
    timers.sort(&sorted.collect::<Vec<_>>()).await.expect("sorted");
    assert_eq!(waited_for().await, ["one", "other"]);
    assert!(unsorted().await.is_empty());

    let release = async |whom: &str| {
        let lanes = (parked.as_slice(), home.as_slice());
        timers.release(lanes, &[whom], (&["normal"], true), 9).await.expect("released")
    };
    assert_eq!((release("nobody").await, release("other").await), (0, 1));
    let back = take_now(&timers, (&home, &["normal"]), 9).await;
    assert_eq!(back.iter().map(|timer| timer.stream_id).collect::<Vec<_>>(), [stream(2)]);
    timers.park(&back[0], ("sms waiting", "one"), at(1)).await.expect("parked");
    assert_eq!(waited_for().await, ["one"]);

    let known = async |tenant, after, limit| -> Vec<Uuid> {
        let sorted = timers.sorted(tenant, after, limit).await.expect("asked");
        sorted.iter().map(|one| one.stream_id).collect()
    };
    assert!(known(Some(Uuid::from_u128(2)), Uuid::nil(), 9).await.is_empty(), "of nobody");
    for tenant in [Some(TENANT), None] {
        assert_eq!(known(tenant, Uuid::nil(), 1).await, [stream(1)]);
        assert_eq!(known(tenant, stream(1), 9).await, [stream(2)], "from there on");
    }
    let again = timers.sorted(None, Uuid::nil(), 9).await.expect("asked");
    let again: Vec<_> = again.into_iter().map(|one| (one, "third".to_owned())).collect();
    timers.sort(&again).await.expect("sorted");
    assert_eq!(waited_for().await, ["third"], "by others than before");
}

#[tokio::test]
async fn a_tenants_parked_streams_are_found_whatever_others_have() {
    const MANY: i64 = 600;
    let (_database, timers) = timers().await;
    let other = Uuid::from_u128(2);
    let mut facts: Vec<_> = (1..=MANY).map(|n| parked(n, TENANT, "high")).collect();
    facts.push(parked(MANY + 1, other, "low"));
    fold(&timers, &facts).await;
    let (mut seen, mut first) = (HashSet::new(), None);
    loop {
        let some = timers.unsorted(&["sms waiting"], 16).await.expect("asked");
        if some.is_empty() {
            break;
        }
        assert!(some.len() <= 16);
        first.get_or_insert_with(|| some.iter().any(|one| one.tenant_id == other));
        seen.extend(some.iter().map(|one| one.stream_id));
        let said: Vec<_> = some.into_iter().map(|one| (one, "one".to_owned())).collect();
        timers.sort(&said).await.expect("sorted");
    }
    assert_eq!(first, Some(true), "among the first");
    assert_eq!(seen.len(), facts.len(), "and all of them");
}

#[tokio::test]
async fn who_comes_back_is_one_of_each_tenant_however_many_another_has_parked() {
    let (_database, timers) = timers().await;
    let other = Uuid::from_u128(2);
    let mut facts: Vec<_> = (1..=600).map(|n| parked(n, TENANT, "normal")).collect();
    facts.extend([parked(601, other, "normal"), parked(602, other, "high")]);
    fold(&timers, &facts).await;
    let unsorted = timers.unsorted(&["sms waiting"], 2_000).await.expect("asked");
    assert_eq!(unsorted.len(), facts.len());
    let said: Vec<_> = unsorted.into_iter().map(|one| (one, "one".to_owned())).collect();
    timers.sort(&said).await.expect("sorted");

    let lanes: (&[&str], &[&str]) = (&["sms waiting"], &["sms"]);
    let priorities: &[&str] = &["high", "normal"];
    let release = async |limit| {
        timers.release(lanes, &["one"], (priorities, true), limit).await.expect("released")
    };
    assert_eq!(release(1).await, 1, "a probe");
    assert!(release(300).await >= 100);
    let mut back = take_now(&timers, (&["sms"], priorities), 1_000).await;
    let of_other = back.iter().filter(|timer| timer.tenant_id == other).count();
    assert_eq!(of_other, 2, "of {}", back.len());
    while release(300).await > 0 {
        back.extend(take_now(&timers, (&["sms"], priorities), 1_000).await);
    }
    assert_eq!(back.len(), facts.len(), "and all of them");
}
