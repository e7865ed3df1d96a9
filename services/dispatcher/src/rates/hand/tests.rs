//! What a hand has, and what it asks for.

use proptest::prelude::*;

use super::*;

const KEY: &str = "second a/b";

fn grant(tokens: u64) -> Grant {
    let returns = DateTime::UNIX_EPOCH;
    Grant { key: KEY.to_owned(), tokens, returns, returns_in: Duration::from_secs(3) }
}

#[test]
fn a_bucket_holds_a_seconds_worth_or_one_in_a_longer_time() {
    for (rate, capacity, span_ms) in [
        (20.0, 20, 1_000),
        (1.0, 1, 1_000),
        (0.5, 1, 2_000),
        (2.5, 3, 1_200),
        (0.001, 1, 1_000_000),
        (10_000.0, 10_000, 1_000),
    ] {
        let size = Size::per_second(rate);
        assert_eq!(size.capacity, capacity, "{rate}");
        assert_eq!(size.per, Per::Span(Duration::from_millis(span_ms)), "{rate}");
        assert!(size.slice() >= 1 && size.slice() <= (rate * 0.2).ceil() as u64, "{rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_is_asked_for_once_and_comes_back_as_soon_as_it_was_used() {
    let begun = Instant::now();
    let mut hand = Hand::new(Size::per_second(100.0), begun);
    assert_eq!((hand.tokens(begun), hand.ask(KEY, begun)), (Tokens::Unknown, None));
    assert!((0..30).all(|_| hand.take(begun).is_none()));
    let (ask, settled) = hand.ask(KEY, begun).expect("wanted");
    assert_eq!((ask.wanted, ask.capacity), (20, 100), "a slice");
    assert_eq!((ask.back, settled), (Some(Duration::from_secs(3)), vec![]));
    assert_eq!(hand.ask(KEY, begun), None, "once");
    hand.granted(20, &grant(3), begun, begun);
    let taken: Vec<_> = (0..3).filter_map(|_| hand.take(begun)).collect();
    assert_eq!(taken, [0, 0, 0]);
    assert_eq!(hand.tokens(begun), Tokens::None(None), "it was empty");
    hand.spend(0, begun + Duration::from_millis(10));
    hand.spend(0, begun + Duration::from_millis(30));
    hand.give_back(0);
    let later = begun + Duration::from_millis(50);
    assert_eq!(hand.tokens(later), Tokens::Some);
    assert!(hand.take(later).is_some());
    hand.spend(0, later);
    let (_, settled) = hand.ask(KEY, later).expect("low");
    let sooner: Vec<_> = settled.iter().map(|one| (one.sooner.as_millis(), one.unused)).collect();
    assert_eq!(sooner, [(1_950, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_taken_in_time_is_lost_and_said_to_be_unused() {
    let begun = Instant::now();
    let mut hand = Hand::new(Size::per_second(10.0), begun);
    hand.granted(2, &grant(2), begun, begun);
    let late = begun + TAKEN_WITHIN;
    assert_eq!((hand.tokens(late), hand.take(late)), (Tokens::Unknown, None));
    let (_, settled) = hand.ask(KEY, late).expect("wanted");
    assert_eq!(settled.first().map(|one| (one.unused, one.sooner)), Some((2, USED_WITHIN)));
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_are_counted_with_every_lease_and_an_idle_share_is_given_back() {
    let now = Instant::now();
    let mut hand = Hand::new(Size::at_a_time(4), now);
    assert_eq!((hand.take(now), hand.take(now)), (None, None));
    assert_eq!(hand.ask(KEY, now).map(|(ask, _)| ask.wanted), Some(2));
    hand.granted(2, &grant(2), now, now);
    assert!(hand.take(now).is_some() && hand.take(now).is_some());
    assert_eq!(hand.take(now), None);
    assert_eq!(hand.ask(KEY, now).map(|(ask, _)| ask.wanted), Some(3));
    hand.granted(3, &grant(1), now, now);
    hand.give_back(0);
    assert_eq!(hand.take(now), None, "others have more by now");
    hand.give_back(0);
    assert!(hand.take(now).is_some());
    hand.give_back(0);
    let later = now + TAKEN_WITHIN * 2;
    hand.ask(KEY, now);
    let (ask, settled) = hand.ask(KEY, later).expect("idle");
    assert_eq!((ask.wanted, settled.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn of_a_share_of_calls_that_is_given_back_nothing_is_taken_meanwhile() {
    let now = Instant::now();
    let mut hand = Hand::new(Size::at_a_time(4), now);
    hand.granted(3, &grant(3), now, now);
    assert!(hand.take(now).is_some());
    let (ask, _) = hand.ask(KEY, now).expect("its end comes");
    assert_eq!((ask.wanted, hand.take(now)), (1, None), "the call that is under way");
    hand.granted(1, &grant(1), now, now);
    hand.give_back(0);
    let later = now + TAKEN_WITHIN * 2;
    let (ask, _) = hand.ask(KEY, later).expect("idle");
    assert_eq!((ask.wanted, hand.take(later)), (0, None));
}

#[tokio::test(start_paused = true)]
async fn who_uses_a_token_too_late_leaves_one_of_the_next_unused() {
    let begun = Instant::now();
    let mut hand = Hand::new(Size::per_second(100.0), begun);
    hand.granted(5, &grant(5), begun, begun);
    let taken: Vec<_> = (0..3).filter_map(|_| hand.take(begun)).collect();
    hand.spend(taken[0], begun + USED_WITHIN);
    let late = begun + USED_WITHIN + Duration::from_millis(1);
    hand.spend(taken[1], late);
    hand.spend(taken[2], late);
    assert!(hand.take(late).is_none());
    let (_, settled) = hand.ask(KEY, late).expect("wanted");
    assert_eq!(settled.first().map(|one| (one.unused, one.sooner)), Some((2, Duration::ZERO)));
    hand.granted(1, &grant(1), late, late);
    assert!(hand.take(late).is_none(), "it stands for the first");
    hand.granted(3, &grant(3), late, late);
    let usable = (0..9).filter_map(|_| hand.take(late)).count();
    assert_eq!(usable, 2, "and one for the second");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_day_that_nobody_wants_go_back_and_all_do_at_the_end() {
    let begun = Instant::now();
    let mut hand = Hand::new(Size::per_day(1_000), begun);
    hand.granted(20, &Grant { returns_in: Duration::from_secs(9_999), ..grant(20) }, begun, begun);
    let lease = hand.take(begun).expect("one");
    let later = begun + DAY_HELD;
    assert_eq!(hand.ask(KEY, later), None, "of one nobody knows yet whether it is used");
    hand.spend(lease, later);
    let (ask, settled) = hand.ask(KEY, later).expect("idle");
    assert_eq!((ask.wanted, settled.len(), settled[0].unused), (0, 1, 19));
    assert_eq!((hand.tokens(later), hand.end(KEY)), (Tokens::Unknown, None));

    for size in [Size::per_second(10.0), Size::per_day(10), Size::at_a_time(10)] {
        let mut hand = Hand::new(size, begun);
        hand.granted(3, &grant(3), begun, begun);
        let (ask, settled) = hand.end(KEY).expect("it holds some");
        assert_eq!((ask.wanted, settled.len()), (0, 1));
        assert!(settled[0].unused >= 3, "{}", settled[0].unused);
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_given_more_of_a_day_does_not_wait_for_the_next_one() {
    let begun = Instant::now();
    let mut hand = Hand::new(Size::per_day(5), begun);
    hand.granted(1, &grant(0), begun, begun);
    hand.resize(Size::per_day(5));
    assert!(matches!(hand.tokens(begun), Tokens::None(Some(_))));
    assert!(hand.take(begun).is_none());
    assert_eq!(hand.ask(KEY, begun), None, "it was asked just now");
    hand.resize(Size::per_day(100));
    assert_eq!(hand.tokens(begun), Tokens::Unknown);
    assert!(hand.ask(KEY, begun).is_some(), "at once");
}

proptest! {
    /// Whatever is done with a hand, no more tokens leave it than were leased, and none of an old lease.
    #[test]
    fn no_more_is_taken_than_was_leased(steps in proptest::collection::vec((0_u8..5, 1_u64..50), 1..200)) {
        let mut now = Instant::now();
        let mut hand = Hand::new(Size::per_second(50.0), now);
        let (mut leased, mut out, mut used) = (0, Vec::new(), 0_u64);
        for (what, number) in steps {
            match what {
                0 => now += Duration::from_millis(number * 10),
                1 => if let Some((ask, _)) = hand.ask(KEY, now) {
                    let tokens = ask.wanted.min(number);
                    hand.granted(ask.wanted, &grant(tokens), now, now);
                    leased += tokens;
                },
                2 => out.extend(hand.take(now)),
                3 => if let Some(lease) = out.pop() { hand.spend(lease, now); used += 1; },
                _ => if let Some(lease) = out.pop() { hand.give_back(lease) },
            }
            prop_assert!(used + out.len() as u64 <= leased);
        }
    }
}
