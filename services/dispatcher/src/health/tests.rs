//! When an account counts as down, who may try it, and when it is back.

use hatch_domain::{ErrorClass, SendError};
use hatch_providers::Lack;

use super::*;
use crate::testing::at;

const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

fn health() -> Arc<Health> {
    KnownAccounts::default().of("twilio", "AC0")
}

fn call(health: &Arc<Health>, outcome: &Outcome) {
    health.admit().expect("leave").called(outcome, at(0), BACKOFF);
}

fn refused() -> Outcome {
    let (code, detail) = ("20003".to_owned(), "Authenticate".to_owned());
    Outcome::Account { trouble: Trouble::Credentials, code, detail }
}

fn accepted() -> Outcome {
    Outcome::Accepted { provider_message_id: "SM1".to_owned(), segments: None }
}

fn silence() -> Outcome {
    Outcome::Unavailable { code: "connect".to_owned(), detail: "refused".to_owned() }
}

fn throttled() -> Outcome {
    Outcome::Throttled { retry_after: None, detail: String::new() }
}

#[tokio::test(start_paused = true)]
async fn a_refused_account_is_tried_by_one_at_a_time_later_and_later() {
    let health = health();
    let side_by_side: Vec<_> = (0..9).map(|_| health.admit().expect("leave")).collect();
    for pass in side_by_side {
        pass.called(&refused(), at(0), BACKOFF);
    }
    assert_eq!(health.condition().reason(), "credentials");
    let mut waits = Vec::new();
    for _ in 0..7 {
        let begun = Instant::now();
        while health.admit().is_none() {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        waits.push(begun.elapsed().as_secs());
        let trial = health.admit().expect("the one before was given back");
        assert!(health.admit().is_none() && !health.admits(), "one at a time");
        assert_eq!(health.releasable(), 0);
        trial.called(&refused(), at(0), BACKOFF);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    tokio::time::advance(BACKOFF.1).await;
    assert_eq!(health.releasable(), 1);
    call(&health, &accepted());
    assert_eq!(health.condition(), Condition::Up);
    assert_eq!(health.releasable(), RELEASED.1);
    assert!(health.admit().is_some() && health.admit().is_some(), "all go on");
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_when_it_went_or_came_back_says_nothing() {
    let health = health();
    let early = health.admit().expect("leave");
    call(&health, &refused());
    early.called(&accepted(), at(0), BACKOFF);
    assert_eq!(health.condition().reason(), "credentials", "taken before it went");
    tokio::time::advance(BACKOFF.0).await;
    let trial = health.admit().expect("a trial");
    trial.called(&accepted(), at(0), BACKOFF);
    assert_eq!(health.condition(), Condition::Up);

    let (late, other) = (health.admit().expect("leave"), health.admit().expect("leave"));
    other.called(&refused(), at(0), BACKOFF);
    assert_eq!(health.condition(), Condition::Up, "it began in the moment in which it came back");
    drop(late);
    tokio::time::advance(Duration::from_millis(1)).await;
    call(&health, &refused());
    assert_eq!(health.condition().reason(), "credentials");
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_tells_nothing_is_followed_by_a_later_one() {
    let health = health();
    call(&health, &refused());
    for outcome in [silence(), throttled(), Outcome::Shortage(Lack::Files)] {
        tokio::time::advance(BACKOFF.1).await;
        call(&health, &outcome);
        assert!(!health.admits() && health.refusal().is_some(), "{outcome:?}");
    }
    tokio::time::advance(BACKOFF.1).await;
    let class = ErrorClass::InvalidRecipient;
    let (code, detail) = ("21211".to_owned(), String::new());
    let error = SendError { code, class, detail, permanent: true };
    call(&health, &Outcome::Refused { error });
    assert_eq!(health.condition(), Condition::Up, "it refused the message, and not the account");
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_away_after_some_calls_in_a_row_until_one_is_answered_or_for_a_while() {
    let health = health();
    let silent = || matches!(health.condition(), Condition::Silent { .. });
    for _ in 0..SILENT_CALLS {
        assert!(!silent());
        call(&health, &silence());
    }
    let since = Condition::Silent { calls: SILENT_CALLS, since: at(0) };
    assert_eq!(health.condition(), since);
    call(&health, &Outcome::Shortage(Lack::Files));
    assert!(silent(), "our own want tells nothing");
    call(&health, &throttled());
    assert!(!silent());
    for _ in 0..SILENT_CALLS {
        call(&health, &silence());
    }
    health.answered();
    assert!(!silent(), "it answers look-ups");
    for _ in 0..SILENT_CALLS {
        call(&health, &silence());
    }
    tokio::time::advance(SILENCE_KNOWN).await;
    assert!(!silent());
}
