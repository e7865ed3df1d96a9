//! When an account counts as down, who may try it, and when it is back.

use hatch_domain::carrier::event::{BreakerClosed, BreakerOpened, CarrierEvent};
use hatch_domain::{Decider as _, ErrorClass, SendError};
use hatch_providers::{Lack, Trouble};

use super::*;
use crate::testing::at;

const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Calls that fail in a row open no breaker here.
const BREAKER: BreakerRules = BreakerRules {
    failures: 100,
    ratio: 1.0,
    calls_min: 100,
    window_ms: 30_000,
    open_ms: 1_000,
    probes: 1,
};
const RULES: Rules<'static> = Rules { breaker: &BREAKER, backoff: BACKOFF };
const SEVERE: Rules<'static> =
    Rules { breaker: &BreakerRules { failures: 5, ..BREAKER }, backoff: BACKOFF };

fn health() -> Arc<Health> {
    KnownAccounts::default().of("twilio", "AC0")
}

fn call(health: &Arc<Health>, outcome: &Outcome) {
    health.admit().expect("leave").called(outcome, at(0), RULES);
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

fn throttled(retry_after: Option<Duration>) -> Outcome {
    Outcome::Throttled { code: "20429".to_owned(), retry_after, detail: String::new() }
}

#[tokio::test(start_paused = true)]
async fn a_refused_account_is_tried_by_one_at_a_time_later_and_later() {
    let health = health();
    let side_by_side: Vec<_> = (0..9).map(|_| health.admit().expect("leave")).collect();
    for pass in side_by_side {
        pass.called(&refused(), at(0), RULES);
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
        trial.called(&refused(), at(0), RULES);
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
    early.called(&accepted(), at(0), RULES);
    assert_eq!(health.condition().reason(), "credentials", "taken before it went");
    tokio::time::advance(BACKOFF.0).await;
    let trial = health.admit().expect("a trial");
    trial.called(&accepted(), at(0), RULES);
    assert_eq!(health.condition(), Condition::Up);

    let (late, other) = (health.admit().expect("leave"), health.admit().expect("leave"));
    other.called(&refused(), at(0), RULES);
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
    for outcome in [silence(), throttled(None), Outcome::Shortage(Lack::Files)] {
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
    for _ in 0..FAILED_CALLS {
        assert!(!silent());
        call(&health, &silence());
    }
    let since = Condition::Silent { calls: FAILED_CALLS, since: at(0) };
    assert_eq!(health.condition(), since);
    call(&health, &Outcome::Shortage(Lack::Files));
    assert!(silent(), "our own want tells nothing");
    call(&health, &throttled(None));
    assert!(!silent());
    for _ in 0..FAILED_CALLS {
        call(&health, &silence());
    }
    health.answered();
    assert!(!silent(), "it answers look-ups");
    for _ in 0..FAILED_CALLS {
        call(&health, &silence());
    }
    tokio::time::advance(FAILURE_KNOWN).await;
    assert!(!silent());
}

/// Its provider answers by an error.
fn call_answered_by_error(health: &Arc<Health>, rules: Rules<'_>) {
    let (code, detail) = ("20503".to_owned(), "unavailable".to_owned());
    let mut pass = health.admit().expect("leave");
    pass.answered();
    pass.called(&Outcome::Unavailable { code, detail }, at(0), rules);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_answered_by_errors_is_failing_and_not_silent() {
    let health = health();
    for _ in 0..FAILED_CALLS {
        call_answered_by_error(&health, RULES);
    }
    assert_eq!(health.condition(), Condition::Erring { calls: FAILED_CALLS, since: at(0) });
    assert_eq!(health.condition().reason(), "failing");
    call(&health, &accepted());
    for _ in 0..FAILED_CALLS {
        call(&health, &silence());
    }
    assert_eq!(health.condition().reason(), "silent", "what was answered before is over");

    for (is_answered, cause, reason) in [(true, "failures", "failing"), (false, "silent", "silent")]
    {
        let health = self::health();
        for n in 0..5 {
            if is_answered && n == 0 {
                call_answered_by_error(&health, SEVERE);
            } else {
                health.admit().expect("leave").called(&silence(), at(0), SEVERE);
            }
        }
        assert_eq!(health.failing().expect("its breaker is open").cause, cause);
        assert_eq!(health.condition().reason(), reason);
        // The others say the same of it.
        let late = self::health();
        let Some(Transition::Opened { cause, detail, failures, calls, at }) = health.untold()
        else {
            panic!("it opened")
        };
        let CarrierEvent::BreakerOpened(opened) = opened(0) else { unreachable!("it is one") };
        let opened = BreakerOpened { cause, detail, failures, calls, at, ..opened };
        late.hear(&told(&[opened.into()]), at, RULES);
        assert_eq!(late.condition().reason(), reason);
    }
}

/// The account fails so often that its breaker opens, at this second.
fn fail(health: &Arc<Health>, second: i64) {
    for _ in 0..5 {
        health.admit().expect("leave").called(&silence(), at(second), SEVERE);
    }
}

fn opened(second: i64) -> CarrierEvent {
    BreakerOpened {
        account: "main".parse().expect("a name"),
        provider: "twilio".to_owned(),
        key: "AC0".to_owned(),
        cause: "account_credit".to_owned(),
        detail: "30002: pay first".to_owned(),
        failures: 1,
        calls: 1,
        window_s: 30,
        at: at(second),
    }
    .into()
}

fn closed(second: i64) -> CarrierEvent {
    BreakerClosed {
        account: "main".parse().expect("a name"),
        provider: "twilio".to_owned(),
        key: "AC0".to_owned(),
        open_for_ms: 1,
        at: at(second),
    }
    .into()
}

fn told(history: &[CarrierEvent]) -> Carrier {
    history.iter().fold(Carrier::default(), Carrier::evolve)
}

#[tokio::test(start_paused = true)]
async fn what_calls_told_of_an_account_is_told_to_the_others_once() {
    let health = health();
    fail(&health, 10);
    assert_eq!(health.breaker(), BreakerState::Open);
    let Standing { condition, breaker, tried_in } = health.standing();
    assert_eq!((condition.reason(), breaker), ("silent", BreakerState::Open));
    assert_eq!(tried_in, Some(BACKOFF.0));
    assert!(matches!(health.availability(at(10)), Availability::Open { until: Some(_), .. }));
    let Some(news) = health.untold() else { panic!("it opened") };
    assert!(matches!(&news, Transition::Opened { cause, .. } if cause == "silent"), "{news:?}");
    health.is_told(&news);
    assert_eq!(health.untold(), None);
    tokio::time::advance(BACKOFF.0).await;
    assert_eq!(health.breaker(), BreakerState::HalfOpen);
    assert_eq!(health.availability(at(11)), Availability::Ready, "for one");
    let probe = health.admit().expect("a probe");
    assert!(matches!(health.availability(at(11)), Availability::Open { .. }));
    probe.called(&accepted(), at(12), SEVERE);
    let news = health.untold().expect("it closed");
    assert!(matches!(news, Transition::Closed { opened_at, .. } if opened_at == at(10)));
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_said_of_a_call_is_not_told_in_public() {
    let health = health();
    fail(&health, 10);
    let told = |condition: Condition| condition.told("AC0").expect("it is down").what;
    assert!(told(health.condition()).contains("connect: refused"));
    let public = told(health.condition().in_public());
    assert!(public.contains("5 of 5 calls failed") && !public.contains("refused"), "{public}");
}

#[tokio::test(start_paused = true)]
async fn what_opens_and_closes_before_anybody_is_told_is_no_news() {
    let health = health();
    fail(&health, 10);
    tokio::time::advance(BACKOFF.0).await;
    health.admit().expect("a probe").called(&accepted(), at(12), SEVERE);
    assert_eq!(health.untold(), None);
}

#[tokio::test(start_paused = true)]
async fn what_others_told_holds_here_unless_more_is_known_by_now() {
    let health = health();
    health.hear(&told(&[opened(10)]), at(10), RULES);
    assert_eq!(health.condition().reason(), "credit");
    let refusal = health.refusal().expect("refused");
    assert_eq!((refusal.code.as_str(), refusal.detail.as_str()), ("30002", "pay first"));
    assert_eq!((health.untold(), health.admits()), (None, false), "it is known");
    health.hear(&told(&[opened(10), closed(20)]), at(20), RULES);
    assert_eq!(health.condition(), Condition::Up);
    assert!(health.admits());

    health.hear(&told(&[opened(10)]), at(21), RULES);
    assert_eq!(health.condition(), Condition::Up, "it was closed since");
    tokio::time::advance(Duration::from_millis(1)).await;
    fail(&health, 30);
    health.hear(&told(&[opened(10), closed(20)]), at(31), RULES);
    assert_eq!(health.breaker(), BreakerState::Open, "it opened since");
    let late = KnownAccounts::default().of("twilio", "AC0");
    late.hear(&told(&[opened(10)]), at(3_000), RULES);
    assert!(late.admits(), "whoever begins long after tries at once");
    assert_eq!(late.releasable(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_begins_late_waits_for_an_account_that_flaps_as_long_as_all_others() {
    let health = health();
    let flaps = [opened(0), closed(1), opened(10), closed(11), opened(20)];
    health.hear(&told(&flaps), at(20), RULES);
    tokio::time::advance(Duration::from_millis(8_900)).await;
    assert!(!health.admits(), "three times as long for each time before");
    tokio::time::advance(Duration::from_millis(200)).await;
    assert!(health.admits());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_others_brought_back_is_silent_since_it_fell_silent_again() {
    let health = health();
    for _ in 0..FAILED_CALLS {
        call(&health, &silence());
    }
    health.hear(&told(&[opened(10)]), at(10), RULES);
    health.hear(&told(&[opened(10), closed(20)]), at(20), RULES);
    tokio::time::advance(Duration::from_millis(1)).await;
    for _ in 0..FAILED_CALLS {
        health.admit().expect("leave").called(&silence(), at(30), RULES);
    }
    let since = Condition::Silent { calls: FAILED_CALLS, since: at(30) };
    assert_eq!(health.condition(), since);
}

#[tokio::test(start_paused = true)]
async fn what_the_log_has_open_and_works_by_now_is_told_once() {
    let health = health();
    fail(&health, 10);
    let opening = health.untold().expect("it opened");
    tokio::time::advance(BACKOFF.0).await;
    // The opening is being appended while it closes, and is in the log after all.
    health.admit().expect("a probe").called(&accepted(), at(12), SEVERE);
    health.is_told(&opening);
    assert_eq!(health.untold(), None);
    health.hear(&told(&[opened(10)]), at(13), RULES);
    assert_eq!(health.condition(), Condition::Up);
    let news = health.untold().expect("the others believe that it is open");
    let Transition::Closed { opened_at, at: closed_at, .. } = &news else { panic!("{news:?}") };
    assert_eq!((*opened_at, *closed_at), (at(10), at(12)));
    health.is_told(&news);
    health.hear(&told(&[opened(10)]), at(14), RULES);
    assert_eq!(health.untold(), None, "once, whatever became of it");
}

#[tokio::test(start_paused = true)]
async fn what_opens_again_while_it_is_told_that_it_closed_is_told() {
    let health = health();
    fail(&health, 10);
    health.is_told(&health.untold().expect("it opened"));
    tokio::time::advance(BACKOFF.0).await;
    health.admit().expect("a probe").called(&accepted(), at(12), SEVERE);
    tokio::time::advance(Duration::from_millis(1)).await;
    call(&health, &refused());
    assert_eq!(health.untold(), None, "the others believe that it is open");
    health.hear(&told(&[opened(10), closed(12)]), at(13), RULES);
    let news = health.untold().expect("they were told that it closed");
    assert!(matches!(&news, Transition::Opened { cause, .. } if cause == "account_credentials"));
    assert!(news.at() > at(12), "also where a clock is behind");
}

#[tokio::test(start_paused = true)]
async fn who_opens_what_another_opened_closes_that() {
    let health = health();
    fail(&health, 10);
    health.hear(&told(&[opened(11)]), at(12), RULES);
    tokio::time::advance(BACKOFF.0).await;
    health.is_told(&health.untold().expect("it opened"));
    health.admit().expect("a probe").called(&accepted(), at(14), SEVERE);
    let news = health.untold().expect("it closed");
    assert!(matches!(news, Transition::Closed { opened_at, .. } if opened_at == at(11)));
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_throttled_again_and_again_is_left_alone_as_long_as_it_says() {
    let health = health();
    let throttled = || throttled(Some(Duration::from_secs(7)));
    for _ in 0..2 {
        call(&health, &throttled());
        assert_eq!(health.availability(at(0)), Availability::Ready, "it may be about a message");
    }
    call(&health, &throttled());
    let busy = Availability::Busy { why: Busy::Rate, until: Some(at(7)) };
    assert_eq!(health.availability(at(0)), busy);
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(health.availability(at(7)), Availability::Ready);
    call(&health, &accepted());
    call(&health, &throttled());
    assert_eq!(health.availability(at(7)), Availability::Ready, "it counts anew");
}
