//! Units of work over several streams of the counter that may not exceed ten.

use futures::future::join_all;
use hatch_eventstore::{
    AppendError, Appended, ExecuteError, ExpectedVersion as Expected, Loaded, Position, Store,
};
use tokio::sync::Mutex;

use crate::store::{Counter, TooMuch, metadata, store, to};
use crate::support::*;

type Failed = ExecuteError<TooMuch>;

async fn value(store: &Store, n: u128) -> (i64, i64) {
    let loaded = store.load::<Counter>(TENANT, stream(n)).await.expect("readable");
    (loaded.state.0, loaded.version)
}

#[tokio::test]
async fn what_is_decided_on_several_streams_is_appended_together_or_not_at_all() {
    let database = database().await;
    let store = store(&database);
    store.execute(to(stream(1), &9)).await.expect("accepted");
    let both = async |by: i64| {
        store
            .transact::<_, Failed, _>(TENANT, metadata(), |mut work| async move {
                work.decide::<Counter>(stream(2), &by).await?;
                work.decide::<Counter>(stream(1), &by).await?;
                work.row(audit(i32::try_from(by).expect("small"), "seen"));
                let value = work.load::<Counter>(stream(1)).await?.state.0;
                Ok((work, value))
            })
            .await
    };
    let refused = both(2).await;
    assert!(matches!(refused, Err(ExecuteError::Rejected(TooMuch))), "{refused:?}");
    assert_eq!((value(&store, 2).await, audits(&database).await), ((0, 0), vec![]));
    let mut done = both(1).await.expect("accepted");
    assert_eq!((done.answer, done.appended), (10, Some(committed(10, 11))));
    let left = done.streams.take::<Counter>(stream(2)).expect("a part of the work");
    assert_eq!((left.state, left.version), (Counter(1), 1));
    assert_eq!(audits(&database).await, [1]);
    check(&database).await;
}

#[tokio::test]
async fn commands_to_one_stream_are_decided_one_after_the_other_and_appended_as_one() {
    let database = database().await;
    let store = store(&database);
    let done = store
        .transact::<_, Failed, _>(TENANT, metadata(), |mut work| async {
            work.decide::<Counter>(stream(1), &6).await?;
            let refused = work.decide::<Counter>(stream(1), &5).await;
            assert!(matches!(refused, Err(ExecuteError::Rejected(TooMuch))), "it counts the first");
            work.decide::<Counter>(stream(1), &4).await?;
            Ok((work, ()))
        })
        .await
        .expect("accepted");
    assert_eq!(done.appended, Some(committed(1, 10)));
    assert_eq!(value(&store, 1).await, (10, 10));
}

#[tokio::test]
async fn whatever_stream_moves_the_work_is_decided_again_on_all_as_they_are() {
    let database = database().await;
    let stores = [store(&database), store(&database)];
    // Each takes what it finds in the first stream to its own; together they never take more than there is.
    stores[0].execute(to(stream(1), &1)).await.expect("accepted");
    let works = (0..8_u128).map(|n| {
        let store = &stores[usize::from(n % 2 == 0)];
        store.transact::<_, Failed, _>(TENANT, metadata(), move |mut work| async move {
            let first = work.load::<Counter>(stream(1)).await?.state.0;
            work.decide::<Counter>(stream(1), &1).await?;
            work.decide::<Counter>(stream(10 + n), &first).await?;
            Ok((work, first))
        })
    });
    let mut found: Vec<i64> =
        join_all(works).await.into_iter().map(|done| done.expect("in eight runs").answer).collect();
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4, 5, 6, 7, 8], "each saw what those before it did");
    check(&database).await;
}

#[tokio::test]
async fn a_guard_that_has_moved_makes_the_work_run_again_and_not_for_ever() {
    let database = database().await;
    let store = store(&database);
    store.execute(to(stream(1), &1)).await.expect("accepted");
    let runs = Mutex::new(0);
    let stubborn = store
        .transact::<_, Failed, _>(TENANT, metadata(), |mut work| async {
            *runs.lock().await += 1;
            work.decide::<Counter>(stream(2), &1).await?;
            work.guard::<Counter>(stream(1), Expected::NoStream);
            Ok((work, ()))
        })
        .await;
    let Err(ExecuteError::Append(AppendError::Conflict { guarded: true, .. })) = stubborn else {
        panic!("{stubborn:?}")
    };
    assert_eq!(*runs.lock().await, 8);
    let done = store
        .transact::<_, Failed, _>(TENANT, metadata(), |mut work| async {
            work.decide::<Counter>(stream(2), &1).await?;
            let expected = match work.conflict() {
                None => Expected::NoStream,
                Some(_) => Expected::Exact(1),
            };
            work.guard::<Counter>(stream(1), expected);
            Ok((work, ()))
        })
        .await;
    assert_eq!(done.expect("accepted").appended, Some(committed(2, 2)));
}

#[tokio::test]
async fn what_is_assumed_is_not_read_and_is_checked_even_where_it_decides_nothing() {
    let database = database().await;
    let store = store(&database);
    let work = async |by: i64| {
        store
            .transact::<_, Failed, _>(TENANT, metadata(), |mut work| async {
                work.assume(stream(1), Loaded::at(Counter(5), 1));
                work.decide::<Counter>(stream(1), &by).await?;
                let value = work.load::<Counter>(stream(1)).await?.state.0;
                Ok((work, value))
            })
            .await
            .expect("accepted")
    };
    store.execute(to(stream(1), &1)).await.expect("accepted");
    // A lie that only a reader would notice: at the right version it is believed.
    let (nothing, head) = (work(0).await, Some(committed(1, 1)));
    assert_eq!((nothing.answer, nothing.appended), (5, head), "the head, since nothing is written");
    assert_eq!(work(1).await.answer, 6);
    // By now it has passed.
    assert_eq!(work(0).await.answer, 2);
    assert_eq!(work(1).await.answer, 3);
}

#[tokio::test]
async fn what_a_work_relies_on_is_as_it_was_read_though_nothing_was_decided_on_it() {
    let database = database().await;
    let store = store(&database);
    store.execute(to(stream(1), &1)).await.expect("accepted");
    let done = store
        .transact::<_, Failed, _>(TENANT, metadata(), |mut work| async {
            work.decide::<Counter>(stream(1), &0).await?;
            work.rely_on(stream(1));
            if work.conflict().is_none() {
                store.execute(to(stream(1), &1)).await.expect("accepted");
            }
            work.decide::<Counter>(stream(2), &1).await?;
            let value = work.load::<Counter>(stream(1)).await?.state.0;
            Ok((work, value))
        })
        .await
        .expect("accepted");
    assert_eq!(done.answer, 2, "it was decided again");
}

#[tokio::test]
async fn a_key_that_was_used_makes_the_work_a_duplicate() {
    let database = database().await;
    let store = store(&database);
    let work = async || {
        store
            .transact::<_, Failed, _>(TENANT, metadata(), |mut work| async {
                work.key(key(7, 1));
                work.decide::<Counter>(stream(1), &1).await?;
                work.decide::<Counter>(stream(2), &1).await?;
                Ok((work, ()))
            })
            .await
            .expect("accepted")
            .appended
    };
    assert_eq!(work().await, Some(committed(1, 2)));
    let first = Appended::Duplicate { first: Position(1), last: Position(2) };
    assert_eq!(work().await, Some(first));
    assert_eq!(events(store.log()).await.len(), 2);
}
