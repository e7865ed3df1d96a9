use proptest::prelude::*;

use super::*;
use crate::tests::at;

const STREAM: Uuid = Uuid::from_u128(7);

const BEGUN: DueTime = DueTime::At { step: None, at: DateTime::UNIX_EPOCH };

fn due(step: impl Into<Option<u32>>, second: i64) -> DueTime {
    DueTime::At { step: step.into(), at: at(second) }
}

/// A step is claimed until second 10.
fn claimed(step: u32) -> DueTime {
    due(step, 10)
}

const fn settled(step: u32) -> DueTime {
    DueTime::Settled { step }
}

fn facts(first_position: i64, said: &[DueTime]) -> Vec<Fact<()>> {
    let place = WorkClass { lane: "sms", priority: "normal" };
    (first_position..)
        .zip(said)
        .map(|(position, due)| Fact {
            position: Position(position),
            epoch: 1,
            recorded_at: at(0),
            stream: Some(StreamFact {
                tenant_id: Uuid::nil(),
                stream_id: STREAM,
                due: *due,
                begins: position == 1,
                note: None,
                place,
                waits_for: None,
                undecodable: false,
            }),
        })
        .collect()
}

/// What a table that begins empty holds after `fold`.
fn write(table: &mut Option<Timer>, fold: &Fold<()>) {
    for (_, upto) in fold.cleared() {
        let goes = |timer: &Timer| match upto {
            Some(upto) => timer.step.is_some_and(|step| step <= upto),
            None => true,
        };
        if table.as_ref().is_some_and(goes) {
            *table = None;
        }
    }
    for (_, timer) in fold.set() {
        *table = Some(timer.clone());
    }
}

fn fold(said: &[DueTime]) -> Fold<()> {
    Fold::of(facts(1, said).iter(), std::iter::empty())
}

#[test]
fn what_begins_and_ends_in_a_page_writes_nothing() {
    let fold = fold(&[BEGUN, claimed(1), settled(1), DueTime::Over]);
    assert_eq!((fold.set().count(), fold.cleared().count()), (0, 0));
}

#[test]
fn what_is_settled_just_ahead_writes_nothing() {
    let all = facts(1, &[BEGUN, claimed(1), settled(1)]);
    let fold = Fold::of(all[..1].iter(), all[1..].iter());
    assert_eq!((fold.set().count(), fold.cleared().count()), (0, 0));
    let under_way = Fold::of(all[..1].iter(), all[1..2].iter());
    let timers: Vec<_> = under_way.set().map(|(_, timer)| timer.position).collect();
    assert_eq!(timers, [Position(1)], "as of its checkpoint");
}

#[test]
fn what_is_under_way_has_the_time_of_its_last_word() {
    let fold = fold(&[BEGUN, claimed(1), due(1, 20)]);
    let (_, timer) = fold.set().next().expect("a timer");
    assert_eq!((timer.step, timer.due_at), (Some(1), at(20)));
}

#[test]
fn a_late_event_of_an_earlier_step_keeps_the_due_time_of_a_later_step() {
    let history = [BEGUN, claimed(1), due(1, 20), claimed(2)];
    let mut table = None;
    write(&mut table, &fold(&history));
    let late = facts(5, &[settled(1)]);
    write(&mut table, &Fold::of(late.iter(), std::iter::empty()));
    assert_eq!(table.as_ref().map(|timer| timer.step), Some(Some(2)));
    let own = facts(6, &[settled(2)]);
    write(&mut table, &Fold::of(own.iter(), std::iter::empty()));
    assert_eq!(table, None);
}

#[test]
fn no_word_of_an_earlier_step_clears_the_time_of_the_next() {
    let mut table = None;
    write(&mut table, &fold(&[BEGUN, claimed(1), due(None, 7)]));
    let late = facts(4, &[settled(1)]);
    write(&mut table, &Fold::of(late.iter(), std::iter::empty()));
    assert_eq!(table.map(|timer| timer.due_at), Some(at(7)));
}

#[test]
fn what_cannot_be_read_is_looked_at_until_the_stream_is_over() {
    let mut history = facts(1, &[BEGUN, claimed(1), settled(1)]);
    let unread = history[1].stream.as_mut().expect("a stream's");
    (unread.undecodable, unread.due) = (true, due(None, 0));
    let marked = |fold: &Fold<()>| fold.set().any(|(_, timer)| timer.undecodable);
    let ahead = || std::iter::empty();
    assert!(marked(&Fold::of(history.iter(), ahead())), "also when a step is settled");
    let over = facts(4, &[DueTime::Over]);
    assert!(!marked(&Fold::of(history.iter().chain(&over), ahead())));
    let again = facts(4, &[due(None, 7)]);
    let again = Fold::of(history.iter().chain(&again), ahead());
    let (_, timer) = again.set().next().expect("a timer");
    assert_eq!((timer.undecodable, timer.due_at), (false, at(7)), "who looks then, finds out");
}

fn any_word() -> impl Strategy<Value = DueTime> {
    prop_oneof![
        (1..4_u32).prop_map(claimed),
        (1..4_u32).prop_map(settled),
        (1..4_u32, 0..40_i64).prop_map(|(step, second)| due(step, second)),
        (0..40_i64).prop_map(|second| due(None, second)),
        Just(DueTime::Over),
    ]
}

proptest! {
    #[test]
    fn however_the_log_is_cut_into_pages_the_table_ends_the_same(
        rest in prop::collection::vec(any_word(), 0..20),
        cuts in prop::collection::vec(0..20_usize, 0..4),
    ) {
        let said: Vec<_> = std::iter::once(BEGUN).chain(rest).collect();
        let all = facts(1, &said);
        let mut whole = None;
        write(&mut whole, &Fold::of(all.iter(), std::iter::empty()));
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
        cuts.push(all.len());
        cuts.sort_unstable();
        let (mut table, mut done) = (None, 0);
        for cut in cuts {
            write(&mut table, &Fold::of(all[done..cut].iter(), all[cut..].iter()));
            done = cut;
        }
        prop_assert_eq!(table, whole);
    }
}
