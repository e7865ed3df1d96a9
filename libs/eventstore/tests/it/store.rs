//! Executing commands on a small decider: a counter that may not exceed ten.

use std::sync::Arc;

use hatch_domain::{Decider, DecodeError, DomainEvent, EventType, Routing};
use hatch_eventstore::testing::TestDatabase;
use hatch_eventstore::{
    AppendError, Appended, Execute, ExecuteError, ExpectedVersion as Expected, Metadata, Position,
    Store, SystemEnvironment,
};
use uuid::Uuid;

use crate::support::*;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counter(pub(crate) i64);

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Added(i64);

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("it would exceed ten")]
pub(crate) struct TooMuch;

impl Decider for Counter {
    const KIND: &'static str = "counter";

    type Command = i64;
    type Event = Added;
    type Rejection = TooMuch;

    fn decide(&self, by: &i64) -> Result<Vec<Added>, TooMuch> {
        match *by {
            0 => Ok(Vec::new()),
            by if self.0 + by > 10 => Err(TooMuch),
            by => Ok((0..by).map(|_| Added(1)).collect()),
        }
    }

    fn evolve(self, event: &Added) -> Self {
        Self(self.0 + event.0)
    }

    fn routing(&self) -> Routing {
        // Depends on the state, to show which state is asked.
        let channel = if self.0 % 2 == 0 { "even" } else { "odd" };
        Routing { aggregate: Self::KIND, channel: Some(channel), ..Routing::default() }
    }
}

impl DomainEvent for Added {
    const TYPES: &'static [EventType] =
        &[EventType { name: "Added", version: 1, unpublished: &[] }];

    fn event_type(&self) -> &'static str {
        "Added"
    }

    fn schema_version(&self) -> i16 {
        1
    }

    fn encode(&self) -> String {
        self.0.to_string()
    }

    fn decode(event_type: &str, schema_version: i16, payload: &str) -> Result<Self, DecodeError> {
        match (event_type, payload.parse()) {
            ("Added", Ok(by)) => Ok(Self(by)),
            _ => Err(DecodeError::Unknown { event_type: event_type.to_owned(), schema_version }),
        }
    }
}

pub(crate) fn store(database: &TestDatabase) -> Store {
    Store::new(appender(database), log(database), Arc::new(SystemEnvironment))
}

fn add(by: &i64) -> Execute<'_, Counter> {
    to(stream(1), by)
}

pub(crate) fn to(stream_id: Uuid, by: &i64) -> Execute<'_, Counter> {
    Execute::new(TENANT, stream_id, by, metadata())
}

pub(crate) fn metadata() -> Metadata {
    Metadata { actor: "test".to_owned(), ..Metadata::default() }
}

#[tokio::test]
async fn a_command_is_decided_on_the_loaded_state_and_recorded() {
    let database = database().await;
    let store = store(&database);
    let first = store.execute(add(&3)).await.expect("accepted");
    assert_eq!((first.state, first.version), (Counter(3), 3));
    assert_eq!(first.events, vec![Added(1); 3]);
    assert_eq!(first.appended, Some(committed(1, 3)));
    let second = store.execute(add(&1)).await.expect("accepted");
    assert_eq!((second.state, second.version), (Counter(4), 4));

    let recorded = events(store.log()).await;
    let channels: Vec<_> = recorded.iter().filter_map(|e| e.channel.as_deref()).collect();
    assert_eq!(channels, ["odd", "even", "odd", "even"], "of the state after each event");
    assert_eq!(recorded[0].metadata.actor, "test");
}

#[tokio::test]
async fn a_known_state_is_not_read_again_unless_it_is_stale() {
    let database = database().await;
    let store = store(&database);
    let fresh = store.execute(add(&2).at(Counter(0), 0)).await.expect("accepted");
    assert_eq!((fresh.state, fresh.version), (Counter(2), 2));
    // A lie that only a reader would notice: at the right version it is believed.
    let believed = store.execute(add(&1).at(Counter(5), 2)).await.expect("accepted");
    assert_eq!((believed.state, believed.version), (Counter(6), 3));
    let stale = store.execute(add(&1).at(Counter(0), 0)).await.expect("accepted");
    assert_eq!((stale.state, stale.version), (Counter(4), 4), "read after the conflict");
}

#[tokio::test]
async fn concurrent_commands_decide_again_until_the_rule_says_no() {
    let database = database().await;
    let stores = [store(&database), store(&database)];
    let commands = (0..16).map(|n| stores[n % 2].execute(add(&1)));
    let outcomes = futures::future::join_all(commands).await;
    let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    for outcome in outcomes {
        match outcome {
            Ok(_)
            | Err(
                ExecuteError::Rejected(TooMuch)
                | ExecuteError::Append(AppendError::Conflict { .. }),
            ) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    let loaded = stores[0].load::<Counter>(TENANT, stream(1)).await.expect("readable");
    assert!(loaded.state.0 <= 10);
    assert_eq!(i64::try_from(accepted), Ok(loaded.version));
    check(&database).await;
}

#[tokio::test]
async fn a_rejection_appends_nothing() {
    let database = database().await;
    let store = store(&database);
    let command = add(&11).rows(vec![audit(1, "no")]);
    let error = store.execute(command).await.expect_err("too much");
    assert!(matches!(error, ExecuteError::Rejected(TooMuch)), "{error:?}");
    assert!(audits(&database).await.is_empty());
}

#[tokio::test]
async fn with_nothing_decided_only_side_rows_are_recorded() {
    let database = database().await;
    let store = store(&database);
    let nothing = store.execute(add(&0)).await.expect("accepted");
    assert_eq!((nothing.events.len(), nothing.appended), (0, None));
    let rows = add(&0).rows(vec![audit(1, "seen")]);
    let rows = store.execute(rows).await.expect("accepted");
    assert_eq!((rows.version, rows.appended), (0, Some(committed(0, 0))));
    assert_eq!(audits(&database).await, [1]);
    assert_eq!(events(store.log()).await.len(), 0);
}

#[tokio::test]
async fn a_key_answers_as_the_first_time_even_when_it_would_be_rejected_now() {
    let database = database().await;
    let store = store(&database);
    let keyed = |hash| add(&6).key(key(7, hash));
    let first = store.execute(keyed(1)).await.expect("accepted");
    assert_eq!(first.appended, Some(committed(1, 6)));
    let again = store.execute(keyed(1)).await.expect("accepted");
    let duplicate = Appended::Duplicate { first: Position(1), last: Position(6) };
    assert_eq!(again.appended, Some(duplicate));
    assert_eq!((again.state, again.version, again.events.len()), (Counter(6), 6, 0));
    let reused = store.execute(keyed(2)).await.expect_err("another request");
    assert!(matches!(reused, ExecuteError::Append(AppendError::KeyReused)), "{reused:?}");
    // A twin that made another stream of its own.
    let twin = to(stream(2), &6).key(key(7, 1)).at(Counter(0), 0);
    let twin = store.execute(twin).await.expect("accepted");
    assert_eq!((twin.appended, twin.version), (Some(duplicate), 0));
}

#[tokio::test]
async fn a_broken_guard_is_the_callers_to_handle() {
    let database = database().await;
    let store = store(&database);
    store.appender().append(one(stream(100), Expected::Any)).await.expect("accepted");
    let guards = vec![guard(stream(100), Expected::NoStream)];
    let error = store.execute(add(&1).guards(guards)).await;
    let Err(ExecuteError::Append(AppendError::Conflict { stream_id, .. })) = error else {
        panic!("{error:?}")
    };
    assert_eq!(stream_id, stream(100));
}

#[tokio::test]
async fn an_event_that_this_build_does_not_know_stops_the_command() {
    let database = database().await;
    let store = store(&database);
    let mut of_the_future = one(stream(1), Expected::Any);
    of_the_future.writes[0].events[0].routing.aggregate = Counter::KIND;
    store.appender().append(of_the_future).await.expect("accepted");
    let error = store.execute(add(&1)).await.expect_err("unknown");
    assert!(matches!(error, ExecuteError::Decode(_)), "{error:?}");
}

#[tokio::test]
async fn a_stream_of_another_tenant_or_kind_looks_absent_and_cannot_be_written() {
    let database = database().await;
    let store = store(&database);
    store.execute(add(&1)).await.expect("accepted");
    let (other, by) = (Uuid::from_u128(2), 1);
    let foreign = Execute::<Counter>::new(other, stream(1), &by, metadata());
    let error = store.execute(foreign).await.expect_err("refused");
    let ExecuteError::Append(AppendError::ForeignTenant(_)) = error else { panic!("{error:?}") };

    store.appender().append(one(stream(2), Expected::Any)).await.expect("accepted");
    let loaded = store.load::<Counter>(TENANT, stream(2)).await.expect("nothing to decode");
    assert_eq!((loaded.state, loaded.version), (Counter(0), 0));
    let error = store.execute(to(stream(2), &1)).await.expect_err("refused");
    let ExecuteError::Append(AppendError::ForeignKind(_)) = error else { panic!("{error:?}") };
}
