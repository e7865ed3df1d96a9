//! Buckets on a real server: whatever processes ask, the fleet never has more than there is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hatch_eventstore::Connection;
use hatch_eventstore::testing::{Template, TestDatabase};
use tokio::time::interval;

use super::bucket::{Ask, Grant, Settled};
use super::*;

const TEMPLATE: Template =
    Template { name: "dispatch", schemas: || vec![hatch_due::SCHEMA, crate::SCHEMA], sql: "" };

async fn pool() -> (TestDatabase, Connections) {
    let database = TestDatabase::create_from(&TEMPLATE).await;
    let pool = hatch_eventstore::pool(&database.config(), 8, Duration::from_secs(5));
    (database, pool)
}

/// One process of the fleet, with one hand.
struct Process {
    buckets: Buckets,
    hand: Hand,
    key: String,
}

impl Process {
    fn new(pool: &Connections, number: u128, key: &str, size: Size) -> Self {
        let buckets = Buckets::new(pool.clone(), Uuid::from_u128(number));
        Self { buckets, hand: Hand::new(size, Instant::now()), key: key.to_owned() }
    }

    /// Leases once, if there is something to be leased.
    async fn lease(&mut self) {
        let begun = Instant::now();
        let Some((ask, settled)) = self.hand.ask(&self.key, begun) else { return };
        let wanted = ask.wanted;
        for grant in self.buckets.lease(&[ask], &settled).await.expect("leased") {
            self.hand.granted(wanted, &grant, begun, Instant::now());
        }
    }
}

/// Between two leases of a process.
const PACE: Duration = Duration::from_millis(20);

/// Takes all that can be had for so long, and says when each was used.
async fn greedy(mut process: Process, lasts: Duration) -> Vec<Instant> {
    let (end, mut used) = (Instant::now() + lasts, Vec::new());
    let mut pace = interval(PACE);
    while Instant::now() < end {
        pace.tick().await;
        while let Some(lease) = process.hand.take(Instant::now()) {
            let now = Instant::now();
            process.hand.spend(lease, now);
            used.push(now);
        }
        process.lease().await;
    }
    used
}

#[tokio::test]
async fn in_no_second_the_fleet_uses_more_than_the_rate_and_it_uses_nearly_all() {
    const RATE: usize = 40;
    let (_database, pool) = pool().await;
    let size = Size::per_second(RATE as f64);
    let processes = (1..=3).map(|number| Process::new(&pool, number, "second a/b", size));
    let lasts = Duration::from_secs(4);
    let used = futures::future::join_all(processes.map(|one| greedy(one, lasts))).await;
    assert!(used.iter().all(|used| !used.is_empty()), "all of them have some");
    let mut used = used.concat();
    used.sort_unstable();
    for span in used.windows(RATE + 1) {
        let apart = span[RATE].duration_since(span[0]);
        assert!(apart >= Duration::from_secs(1), "{} within {apart:?}", RATE + 1);
    }
    let least = RATE * 4 / 2;
    assert!(used.len() >= least, "{} of {}", used.len(), RATE * 4);
}

#[tokio::test]
async fn a_day_has_so_many_and_what_was_not_used_is_not_lost() {
    let (_database, pool) = pool().await;
    let size = Size::per_day(100);
    let (mut one, mut other) =
        (Process::new(&pool, 1, "day a/b", size), Process::new(&pool, 2, "day a/b", size));
    let mut used = 0;
    for turn in 0..400 {
        let process = if turn % 2 == 0 { &mut one } else { &mut other };
        match process.hand.take(Instant::now()) {
            // Of some nothing comes.
            Some(lease) if turn % 5 == 0 => process.hand.give_back(lease),
            Some(lease) => {
                process.hand.spend(lease, Instant::now());
                used += 1;
            }
            None => process.lease().await,
        }
    }
    assert!((96..=100).contains(&used), "{used}");
    let until = match one.hand.tokens(Instant::now()) {
        Tokens::None(until) => until,
        // It may hold what the other one lacks.
        _ => return,
    };
    let until = until.expect("midnight").timestamp();
    assert_eq!(until % 86_400, 0, "in UTC");
}

#[tokio::test]
async fn no_more_calls_go_on_than_may_and_those_of_a_process_that_is_gone_end() {
    let (_database, pool) = pool().await;
    let size = Size::at_a_time(3);
    let (mut one, mut other) =
        (Process::new(&pool, 1, "calls a/b", size), Process::new(&pool, 2, "calls a/b", size));
    let under_way = Arc::new(Mutex::new(0_u32));
    let mut out = Vec::new();
    for turn in 0..60 {
        let process = if turn % 2 == 0 { &mut one } else { &mut other };
        match process.hand.take(Instant::now()) {
            Some(lease) => {
                *under_way.lock().expect("not poisoned") += 1;
                out.push((turn % 2, lease));
            }
            None => process.lease().await,
        }
        assert!(*under_way.lock().expect("not poisoned") <= 3);
        if turn % 7 == 0
            && let Some((whose, lease)) = out.pop()
        {
            let process = if whose == 0 { &mut one } else { &mut other };
            process.hand.give_back(lease);
            *under_way.lock().expect("not poisoned") -= 1;
        }
    }
    assert!(!out.is_empty());
}

/// What PostgreSQL has of a bucket: tokens that are not in it, by when they are again.
async fn out_of(pool: &Connections, key: &str) -> i64 {
    let ask = async |client: &mut Connection| {
        let sql = "SELECT coalesce(sum(n), 0)::bigint FROM dispatch.buckets, unnest(tokens) AS n WHERE key = $1";
        Ok::<i64, super::bucket::Error>(client.query_one(sql, &[&key]).await?.get(0))
    };
    pool.within(Duration::from_secs(5), ask).await.expect("a sum")
}

#[tokio::test]
async fn a_bucket_that_there_is_not_is_made_and_one_nobody_uses_is_forgotten() {
    let (_database, pool) = pool().await;
    let buckets = Buckets::new(pool.clone(), Uuid::from_u128(1));
    let ask = |wanted| Ask {
        key: "second a/b".to_owned(),
        wanted,
        capacity: 5,
        back: Some(Duration::from_secs(60)),
    };
    assert!(buckets.lease(&[ask(3)], &[]).await.expect("asked").is_empty(), "it is made");
    let tokens = async |wanted| -> Vec<u64> {
        let granted = buckets.lease(&[ask(wanted)], &[]).await.expect("asked");
        granted.iter().map(|grant: &Grant| grant.tokens).collect()
    };
    assert_eq!((tokens(3).await, tokens(3).await, tokens(3).await), (vec![3], vec![2], vec![0]));
    assert_eq!(out_of(&pool, "second a/b").await, 5);
    buckets.forget().await.expect("nothing is old");
    assert_eq!(tokens(1).await, [0]);
}

#[tokio::test]
async fn leases_of_many_processes_at_once_are_never_more_than_the_bucket_holds() {
    let (_database, pool) = pool().await;
    let ask = || Ask {
        key: "second a/b".to_owned(),
        wanted: 7,
        capacity: 50,
        back: Some(Duration::from_secs(60)),
    };
    let processes: Vec<_> =
        (0..32).map(|number| Buckets::new(pool.clone(), Uuid::from_u128(number))).collect();
    processes[0].lease(&[ask()], &[]).await.expect("made");
    let asked = processes.iter().map(|buckets| async { buckets.lease(&[ask()], &[]).await });
    let granted = futures::future::join_all(asked).await;
    let granted: u64 =
        granted.into_iter().flat_map(|granted| granted.expect("asked")).map(|one| one.tokens).sum();
    assert_eq!(granted, 50);
    assert_eq!(out_of(&pool, "second a/b").await, 50, "and each is remembered");
}

#[tokio::test]
async fn leases_of_a_day_that_are_settled_at_once_are_counted_once() {
    let (_database, pool) = pool().await;
    let buckets = Buckets::new(pool.clone(), Uuid::from_u128(1));
    let key = "day a/b".to_owned();
    let ask = |wanted| Ask { key: key.clone(), wanted, capacity: 100, back: None };
    assert!(buckets.lease(&[ask(0)], &[]).await.expect("asked").is_empty(), "it is made");
    let mut returns = Vec::new();
    for _ in 0..3 {
        let granted = buckets.lease(&[ask(10)], &[]).await.expect("asked");
        returns.extend(granted.iter().map(|grant| grant.returns));
    }
    assert_eq!((returns.len(), out_of(&pool, &key).await), (3, 30));
    let settled: Vec<_> = [0, 0, 4]
        .into_iter()
        .zip(returns)
        .map(|(unused, returns)| Settled {
            key: key.clone(),
            returns,
            sooner: Duration::ZERO,
            unused,
        })
        .collect();
    let granted = buckets.lease(&[ask(1)], &settled).await.expect("asked");
    assert_eq!(granted.first().map(|grant| grant.tokens), Some(1));
    assert_eq!(out_of(&pool, &key).await, 27);
}

#[tokio::test]
async fn of_very_many_buckets_each_is_asked_for_in_turn() {
    const MANY: usize = 3_000;
    let (_database, pool) = pool().await;
    let rates = Rates::new(pool, Uuid::nil(), TenantCaps::default(), Arc::default());
    let key = |n: usize| Key { what: What::Sender, of: n.to_string().into() };
    let keys: Vec<_> = (0..MANY).map(key).collect();
    let mut asked = std::collections::HashSet::new();
    for _ in 0..2 {
        // All of them want one, those that were asked for as well.
        for key in &keys {
            assert_eq!(take_one(&mut rates.0.lock(), key, Size::per_second(1.0)), None);
        }
        let (some, ..) = rates.asks(Instant::now());
        asked.extend(some);
    }
    assert_eq!(asked.len(), MANY);
}

#[test]
fn a_message_waits_for_what_is_known_to_be_used_up_and_else_for_what_others_wait() {
    let midnight = Some(DateTime::<Utc>::UNIX_EPOCH);
    let busy = |why, until| Availability::Busy { why, until };
    let (day, second) = (Busy::DailyCap, Busy::Rate);
    let (all, no_day) = ([(day, Tokens::Some), (second, Tokens::Some)], (day, Tokens::Unknown));
    for (known, joins, others, expected) in [
        (all, None, None, Availability::Ready),
        (all, None, Some(second), Availability::Ready),
        (all, Some(second), Some(second), busy(second, None)),
        ([no_day, (second, Tokens::Some)], None, None, Availability::Ready),
        // That nobody knows of the day is no reason to go by a backup.
        ([no_day, (second, Tokens::Some)], None, Some(second), busy(second, None)),
        ([no_day, (second, Tokens::None(None))], None, Some(day), busy(second, None)),
        (
            [(day, Tokens::None(midnight)), (second, Tokens::Some)],
            Some(second),
            None,
            busy(day, midnight),
        ),
    ] {
        assert_eq!(available(&known, joins, others), expected, "{known:?} {joins:?} {others:?}");
    }
}

#[test]
fn what_an_account_lacks_as_a_rule_is_what_it_is_limited_by() {
    let (per_s, per_sender_per_s) = (Some(1.0), Some(1.0));
    let of_sender = Limits { per_sender_per_s, ..Limits::default() };
    assert_eq!(likely(&of_sender), Busy::SenderRate);
    assert_eq!(likely(&Limits { per_s, ..of_sender }), Busy::Rate);
    assert_eq!(likely(&Limits::default()), Busy::Concurrency);
}
