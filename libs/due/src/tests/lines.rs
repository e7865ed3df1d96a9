//! Lines and turns, on a real server.

use super::*;
use crate::{InLine, LINES, LastTurns, Line, Look, Standing, Turn};

const PARKED: [&str; 1] = ["sms waiting"];
const HOME: [&str; 1] = ["sms"];
const BOTH_PARKED: [&str; 2] = ["sms waiting", "mms waiting"];
const BOTH_HOME: [&str; 2] = ["sms", "mms"];
const PRIORITIES: [&str; 3] = ["high", "normal", "bulk"];
const LINE: &str = "rate:one";

fn tenant(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn one(n: i64, tenant_id: Uuid, priority: &'static str) -> InLine {
    InLine {
        stream_id: stream(n),
        tenant_id,
        due_at: at(1_000 + n),
        position: Position(n),
        lane: "sms waiting",
        priority,
        waits_for: LINE.to_owned(),
    }
}

async fn let_go(timers: &Timers, last: &mut LastTurns, without: &[Uuid], limit: usize) -> Vec<i64> {
    let_go_of((timers, (&PARKED, &HOME)), (&PRIORITIES, last), without, limit).await
}

/// Lets some go of the line in these lanes, by these priorities.
async fn let_go_of(
    (timers, lanes): (&Timers, (&[&str], &[&str])),
    (priorities, last): (&[&str], &mut LastTurns),
    without: &[Uuid],
    limit: usize,
) -> Vec<i64> {
    let line = Line { lanes, waits_for: &[LINE] };
    let turn = Turn { priorities, last, without };
    let hold = Duration::from_secs(60);
    let released = timers.let_go(line, turn, (limit, hold)).await.expect("let go");
    last.note(&released);
    released.iter().map(|one| one.timer.position.0).collect()
}

async fn standing(
    timers: &Timers,
    (prefix, after): (&str, &str),
    (lines, tenants): (i64, i64),
) -> Vec<Standing> {
    let priorities = &PRIORITIES;
    let look = Look { parked: &PARKED, prefix, after, priorities, lines, tenants };
    timers.standing(look).await.expect("asked").0
}

#[tokio::test]
async fn a_line_goes_on_by_priority_then_in_turns_of_tenants_and_of_each_in_order() {
    let (_database, timers) = timers().await;
    let many = (1..=50).map(|n| one(n, tenant(1), "bulk"));
    let others = [
        one(60, tenant(2), "bulk"),
        one(61, tenant(3), "bulk"),
        one(62, tenant(3), "bulk"),
        one(70, tenant(4), "normal"),
        one(80, tenant(1), "high"),
    ];
    timers.enter(&many.chain(others).collect::<Vec<_>>()).await.expect("entered");
    let seen = standing(&timers, (LINES, ""), (100, 100)).await;
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(standing(&timers, ("other:", ""), (100, 100)).await.is_empty());

    let mut last = LastTurns::default();
    assert_eq!(let_go(&timers, &mut last, &[], 2).await, [80, 70], "the urgent ones first");
    assert_eq!(let_go(&timers, &mut last, &[], 1).await, [1], "from the first tenant on");
    assert_eq!(let_go(&timers, &mut last, &[], 1).await, [60], "the next one's turn");
    assert_eq!(let_go(&timers, &mut last, &[], 2).await, [2, 61], "each has one");
    assert_eq!(let_go(&timers, &mut last, &[tenant(1)], 9).await, [62], "without the first");
    assert_eq!(let_go(&timers, &mut last, &[], 3).await, [3, 4, 5], "in its order");

    // Nobody else has them meanwhile, and who is put back stands where he stood.
    assert!(take_now(&timers, (&HOME, &PRIORITIES), 9).await.is_empty());
    timers
        .enter_again(stream(3), at(1_003), &[("sms", "sms waiting")], LINE)
        .await
        .expect("put back");
    timers
        .enter_again(stream(4), at(9), &[("sms", "sms waiting")], LINE)
        .await
        .expect("it is due at another time by now");
    assert_eq!(let_go(&timers, &mut last, &[], 2).await, [3, 6]);
}

#[tokio::test]
async fn what_is_older_than_who_entered_a_line_takes_nobody_out_of_it() {
    let (_database, timers) = timers().await;
    timers.enter(&[one(3, TENANT, "normal")]).await.expect("entered");
    // The fold comes seconds later, and reaches the request, an attempt and its end one after the other.
    for due in [
        DueTime::At { step: None, at: at(1) },
        DueTime::At { step: Some(1), at: at(10) },
        DueTime::Over,
    ] {
        let before = timers.checkpoint().await.expect("a checkpoint").position.0;
        fold(&timers, &[fact(before + 1, stream(3), due)]).await;
        assert!(take_now(&timers, (&HOME, &PRIORITIES), 9).await.is_empty(), "{due:?}");
        let seen = standing(&timers, (LINES, ""), (100, 100)).await;
        // What ends it at the position of its own row, ends it.
        assert_eq!(seen.len(), usize::from(before + 1 < 3), "{due:?}");
    }
}

#[tokio::test]
async fn who_entered_a_line_at_once_is_left_there_by_the_fold_and_cleared_by_it() {
    let (database, timers) = timers().await;
    timers.enter(&[one(2, TENANT, "normal")]).await.expect("entered");
    let in_line = |position, due| {
        let mut fact = fact(position, stream(2), due);
        let stream = fact.stream.as_mut().expect("a stream's");
        stream.place = WorkClass { lane: "sms waiting", priority: "normal" };
        stream.waits_for = Some(LINE.to_owned());
        fact
    };
    let mut begins = fact(1, stream(2), DueTime::At { step: None, at: at(1) });
    begins.stream.as_mut().expect("a stream's").begins = true;
    let entered = in_line(2, DueTime::At { step: None, at: at(1_002) });
    // The same fold meets what ends it: its row is there, although the stream began in this fold.
    fold(&timers, &[begins, entered.clone(), fact(3, stream(2), DueTime::Over)]).await;
    let session = database.connect().await;
    let rows = async || -> i64 {
        session.query_one("SELECT count(*) FROM due.timers", &[]).await.expect("a count").get(0)
    };
    assert_eq!(rows().await, 0);
    fold(&timers, &[in_line(4, DueTime::At { step: None, at: at(1_002) })]).await;
    // What is older than what the fold has said already changes nothing.
    timers
        .enter(&[InLine { waits_for: "rate:other".to_owned(), ..one(2, TENANT, "normal") }])
        .await
        .expect("too late");
    let mut last = LastTurns::default();
    assert_eq!(let_go(&timers, &mut last, &[], 9).await, [4]);
}

#[tokio::test]
async fn where_more_is_due_than_can_be_looked_at_each_tenant_has_its_turn() {
    let (_database, timers) = timers().await;
    let due = |n, tenant_id| {
        let mut fact = fact(n, stream(n), DueTime::At { step: None, at: at(0) });
        fact.stream.as_mut().expect("a stream's").tenant_id = tenant_id;
        fact
    };
    let mut facts: Vec<_> = (1..=500).map(|n| due(n, tenant(1))).collect();
    facts.extend((501..=600).map(|n| due(n, tenant(n.unsigned_abs().into()))));
    fold(&timers, &facts).await;
    let ahead = set_forward(&timers, 10).await;
    let (mut last, mut seen) = (LastTurns::default(), HashSet::new());
    let until = (Duration::from_secs(100), SystemEnvironment.now());
    for _ in 0..3 {
        let of = (&HOME[..], &PRIORITIES[..]);
        let taken = timers.take_in_turn(of, &mut last, 64, until).await.expect("taken");
        assert!(taken.len() <= 64);
        seen.extend(taken.iter().map(|timer| timer.tenant_id));
    }
    shift(&timers, -ahead).await;
    assert_eq!(seen.len(), 101, "all of them within three looks");
}

#[tokio::test]
async fn however_few_can_be_looked_at_each_tenant_has_its_turn_of_each_priority() {
    let (_database, timers) = timers().await;
    let due = |n: i64, priority| {
        let mut fact = fact(n, stream(n), DueTime::At { step: None, at: at(n) });
        let stream = fact.stream.as_mut().expect("a stream's");
        stream.tenant_id = tenant((1 + n % 5).unsigned_abs().into());
        stream.place = WorkClass { lane: "sms", priority };
        fact
    };
    // Five tenants with five each, and the first one has as many of bulk.
    let normal = (1..=25).map(|n| due(n, "normal"));
    let bulk = (6..=10).map(|n| due(5 * n, "bulk"));
    fold(&timers, &normal.chain(bulk).collect::<Vec<_>>()).await;
    let ahead = set_forward(&timers, 100).await;
    let mut last = LastTurns::default();
    let until = (Duration::from_secs(100), SystemEnvironment.now());
    let mut taken = async |priorities: &[&str]| {
        let one = timers.take_in_turn((&HOME, priorities), &mut last, 1, until).await;
        one.expect("taken").pop().expect("one is due").tenant_id
    };
    let mut turns = Vec::new();
    for turn in 1..=7 {
        let bulk_first = turn % 3 == 0;
        let priorities: &[&str] = if bulk_first { &["bulk", "normal"] } else { &PRIORITIES };
        turns.push(taken(priorities).await.as_u128());
    }
    shift(&timers, -ahead).await;
    assert_eq!(turns, [1, 2, 1, 3, 4, 1, 5]);
}

#[tokio::test]
async fn a_line_is_served_by_its_index_however_many_stand_in_it() {
    let (database, timers) = timers().await;
    let session = database.connect().await;
    let kind = timers.kind;
    session
        .batch_execute(&format!(
            "INSERT INTO due.timers (stream_id, kind, tenant_id, due_at, position, lane, priority, look_at, waits_for)
             SELECT gen_random_uuid(), '{kind}', '00000000-0000-0000-0000-000000000001', now() + n * interval '1 ms',
                    n, 'sms waiting', 'bulk', now() + interval '1 day', 'rate:one'
               FROM generate_series(1, 50000) AS n;
             ANALYZE due.timers"
        ))
        .await
        .expect("filled");
    timers.enter(&[one(90_000, tenant(2), "bulk")]).await.expect("entered");
    let mut last = LastTurns::default();
    let released = let_go(&timers, &mut last, &[], 2).await;
    assert!(released.contains(&90_000), "{released:?}");
    let read = "SELECT coalesce(seq_tup_read, 0) FROM pg_stat_user_tables WHERE relid = 'due.timers'::regclass";
    session.batch_execute("SELECT pg_stat_force_next_flush()").await.expect("flushed");
    let before: i64 = session.query_one(read, &[]).await.expect("a count").get(0);
    for _ in 0..20 {
        let_go(&timers, &mut last, &[], 4).await;
    }
    session.batch_execute("SELECT pg_stat_force_next_flush()").await.expect("flushed");
    let after: i64 = session.query_one(read, &[]).await.expect("a count").get(0);
    assert!(after - before < 50_000, "no look reads them all: {}", after - before);
}

#[tokio::test]
async fn every_line_is_found_whatever_else_is_waited_for_and_however_many_stand_before_it() {
    let (database, timers) = timers().await;
    let kind = timers.kind;
    let session = database.connect().await;
    // Of very many tenants, what waits for an account that is down, and a line.
    for waits_for in ["mailgun/one", "rate:first"] {
        let many = format!(
            "INSERT INTO due.timers (stream_id, kind, tenant_id, due_at, position, lane, priority, look_at, waits_for)
             SELECT gen_random_uuid(), '{kind}', gen_random_uuid(), now(), n, 'sms waiting', 'bulk', now() + interval '1 day',
                    '{waits_for}'
               FROM generate_series(1, 300) AS n"
        );
        session.batch_execute(&many).await.expect("filled");
    }
    let in_line = |n: i64, line: &str, priority| InLine {
        waits_for: line.to_owned(),
        ..one(n, tenant(1), priority)
    };
    let entered = [
        in_line(1, "rate:first", "high"),
        in_line(2, "rate:second", "normal"),
        in_line(3, "rate:third", "normal"),
    ];
    timers.enter(&entered).await.expect("entered");
    let lines = |seen: &[Standing]| {
        let mut lines: Vec<_> = seen.iter().map(|one| one.waits_for.clone()).collect();
        lines.dedup();
        lines
    };
    let seen = standing(&timers, (LINES, ""), (9, 90)).await;
    assert_eq!(lines(&seen), ["rate:first", "rate:second", "rate:third"]);
    let is_high = |one: &Standing| one.priority == "high" && one.tenant_id == tenant(1);
    assert!(seen.iter().any(is_high), "very many of another priority hide nobody");
    assert!(seen.len() <= 33, "{}", seen.len());
    let some = standing(&timers, (LINES, ""), (2, 90)).await;
    assert_eq!(lines(&some), ["rate:first", "rate:second"]);
    let rest = standing(&timers, (LINES, "rate:second"), (2, 90)).await;
    assert_eq!(lines(&rest), ["rate:third"]);
    let waited_for = timers.waited_for(&PARKED).await.expect("asked");
    assert_eq!(waited_for, ["mailgun/one"], "nobody is asked for by a line");
}

#[tokio::test]
async fn no_lane_waits_for_another_and_of_a_batch_the_first_goes_first() {
    let (_database, timers) = timers().await;
    let of_batch = |n| InLine { due_at: at(1_000), ..one(n, tenant(1), "normal") };
    let mms = |n| InLine { lane: "mms waiting", ..of_batch(n) };
    let entered = [of_batch(5), of_batch(2), of_batch(4), of_batch(3)];
    timers.enter(&entered).await.expect("entered");
    timers.enter(&[InLine { due_at: at(999), ..mms(9) }]).await.expect("entered");
    let (lanes, mut last) = ((&BOTH_PARKED[..], &BOTH_HOME[..]), LastTurns::default());
    let mut order = Vec::new();
    for _ in 0..5 {
        order.extend(let_go_of((&timers, lanes), (&PRIORITIES, &mut last), &[], 1).await);
    }
    assert_eq!(order, [9, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_tenants_many_of_one_lane_stand_before_no_others_one_of_another() {
    let (_database, timers) = timers().await;
    let many = (1..=20).map(|n| one(n, tenant(1), "normal"));
    timers.enter(&many.collect::<Vec<_>>()).await.expect("entered");
    // It came last.
    let newest = InLine { lane: "mms waiting", ..one(50, tenant(2), "normal") };
    timers.enter(&[newest]).await.expect("entered");
    let (lanes, mut last) = ((&BOTH_PARKED[..], &BOTH_HOME[..]), LastTurns::default());
    let mut order = Vec::new();
    for _ in 0..4 {
        order.extend(let_go_of((&timers, lanes), (&PRIORITIES, &mut last), &[], 1).await);
    }
    assert_eq!(order, [1, 50, 2, 3]);
}

#[tokio::test]
async fn who_goes_of_one_priority_takes_nobodys_turn_of_another() {
    const BULK_FIRST: [&str; 3] = ["high", "bulk", "normal"];
    let (_database, timers) = timers().await;
    // Two of each of five tenants, and the first one has bulk, too.
    let of = |n: i64| tenant((1 + (n - 1) % 5).unsigned_abs().into());
    let normal = (1..=10).map(|n| one(n, of(n), "normal"));
    let bulk = (20..=29).map(|n| one(n, tenant(1), "bulk"));
    timers.enter(&normal.chain(bulk).collect::<Vec<_>>()).await.expect("entered");
    let (lanes, mut last) = ((&PARKED[..], &HOME[..]), LastTurns::default());
    let mut order = Vec::new();
    for turn in 1..=8 {
        let priorities = if turn % 4 == 0 { &BULK_FIRST } else { &PRIORITIES };
        order.extend(let_go_of((&timers, lanes), (priorities, &mut last), &[], 1).await);
    }
    assert_eq!(order, [1, 2, 3, 20, 4, 5, 6, 21]);
}

#[tokio::test]
async fn who_stands_in_no_line_is_counted_by_an_index_without_lines() {
    let (database, _timers) = timers().await;
    let definition = "SELECT pg_get_indexdef('due.timers_waiting_alone'::regclass)";
    let session = database.connect().await;
    let definition: String = session.query_one(definition, &[]).await.expect("an index").get(0);
    assert!(definition.contains(&format!("'{LINES}'")), "{definition}");
}
