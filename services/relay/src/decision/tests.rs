use hatch_bus::Foreign;

use super::*;

const EVENT: Uuid = Uuid::from_u128(7);
const OTHER: Uuid = Uuid::from_u128(8);

const LOG: LogState = LogState {
    head: 20,
    beyond: false,
    event_at_last: None,
    recorded: Some((3, 1)),
    foreign: false,
    stored: (0, 0),
    mixed: false,
    newer_epoch: false,
};

fn stream(last_sequence: i64, last: Last) -> StreamState {
    StreamState::Present { generation: 3, first_position: 1, last_sequence, last }
}

fn at(position: i64) -> Last {
    Last::Event { position, event_id: EVENT }
}

const FOREIGN: Last = Last::Foreign(Foreign::WrongMac);

const AT_HEAD: Decision = Decision::NewGeneration { first_position: 21 };

#[test]
fn the_first_generation_of_a_log_begins_at_its_first_event() {
    let log = LogState { recorded: None, ..LOG };
    assert_eq!(decide(StreamState::Absent, log), Decision::NewGeneration { first_position: 1 });
}

#[test]
fn a_stream_that_is_gone_is_followed_by_a_generation_at_the_head() {
    assert_eq!(decide(StreamState::Absent, LOG), AT_HEAD);
    let log = LogState { newer_epoch: true, ..LOG };
    assert_eq!(decide(StreamState::Absent, log), AT_HEAD);
}

#[test]
fn publishing_resumes_after_a_last_event_that_the_log_knows() {
    for position in [1, 13, 20] {
        let log = LogState { event_at_last: Some(EVENT), ..LOG };
        let resume = Decision::Resume { generation: 3, after: position };
        assert_eq!(decide(stream(position, at(position)), log), resume);
    }
}

#[test]
fn an_empty_stream_is_resumed_after_its_last_sequence() {
    for after in [0, 12, 20] {
        let resume = Decision::Resume { generation: 3, after };
        assert_eq!(decide(stream(after, Last::Empty), LOG), resume);
    }
}

#[test]
fn a_foreign_message_at_the_end_means_a_new_generation_at_the_head() {
    for sequence in [5, 20, 21, 900] {
        assert_eq!(decide(stream(sequence, FOREIGN), LOG), AT_HEAD);
    }
}

#[test]
fn a_foreign_end_does_not_hide_that_the_stream_goes_beyond_the_log() {
    let log = LogState { beyond: true, ..LOG };
    let ahead = Decision::Halt(LogRegressed::Ahead { bus: 21, head: 20 });
    assert_eq!(decide(stream(900, FOREIGN), log), ahead);
    assert_eq!(decide(stream(900, FOREIGN), LogState { newer_epoch: true, ..log }), AT_HEAD);
}

#[test]
fn a_foreign_message_among_the_last_events_means_a_new_generation_at_the_head() {
    let log = LogState { event_at_last: Some(EVENT), mixed: true, ..LOG };
    assert_eq!(decide(stream(13, at(13)), log), AT_HEAD);
}

#[test]
fn a_generation_in_which_somebody_found_something_foreign_is_followed_by_one_at_the_head() {
    let log = LogState { event_at_last: Some(EVENT), foreign: true, ..LOG };
    assert_eq!(decide(stream(13, at(13)), log), AT_HEAD);
    let ahead = Decision::Halt(LogRegressed::Ahead { bus: 21, head: 20 });
    assert_eq!(decide(stream(21, at(21)), log), ahead, "what is hatch's own is believed");
}

#[test]
fn a_stream_that_is_not_the_one_on_record_is_followed_by_a_generation_at_the_head() {
    for recorded in [None, Some((2, 1)), Some((4, 1)), Some((3, 2))] {
        let log = LogState { recorded, event_at_last: Some(EVENT), ..LOG };
        assert_eq!(decide(stream(13, at(13)), log), AT_HEAD, "{recorded:?}");
        assert_eq!(decide(stream(13, Last::Empty), log), AT_HEAD, "{recorded:?}");
    }
}

#[test]
fn an_empty_stream_beyond_the_head_proves_nothing_and_is_followed_by_a_generation_at_the_head() {
    assert_eq!(decide(stream(21, Last::Empty), LOG), AT_HEAD);
}

#[test]
fn an_event_out_of_its_place_means_a_new_generation_at_the_head() {
    let log = LogState { event_at_last: Some(EVENT), ..LOG };
    assert_eq!(decide(stream(14, at(13)), log), AT_HEAD);
    assert_eq!(decide(stream(13, at(14)), log), AT_HEAD);
}

#[test]
fn an_event_beyond_the_head_of_the_log_halts() {
    let halt = Decision::Halt(LogRegressed::Ahead { bus: 21, head: 20 });
    assert_eq!(decide(stream(21, at(21)), LOG), halt);
}

#[test]
fn another_event_at_the_position_halts() {
    let log = LogState { event_at_last: Some(OTHER), ..LOG };
    let halt = Decision::Halt(LogRegressed::OtherEvent { position: 13, bus: EVENT });
    assert_eq!(decide(stream(13, at(13)), log), halt);
}

#[test]
fn an_event_that_the_log_lacks_halts() {
    let halt = Decision::Halt(LogRegressed::Missing { position: 13 });
    assert_eq!(decide(stream(13, at(13)), LOG), halt);
}

#[test]
fn a_stream_that_lost_what_was_stored_is_followed_by_a_generation_at_the_head() {
    let decided = |stored, last| {
        let log = LogState { event_at_last: Some(EVENT), stored, ..LOG };
        decide(stream(last, at(last)), log)
    };
    let resume = |after| Decision::Resume { generation: 3, after };
    assert_eq!(decided((3, 13), 12), AT_HEAD);
    assert_eq!(decided((3, 13), 13), resume(13));
    assert_eq!(decided((3, 13), 14), resume(14), "of which no answer came");
    assert_eq!(decided((2, 13), 12), resume(12), "of another generation nothing is known");
}

#[test]
fn a_newer_epoch_begins_a_generation_at_the_head_whatever_the_old_one_holds() {
    let newer = LogState { newer_epoch: true, ..LOG };
    assert_eq!(decide(stream(21, at(21)), newer), AT_HEAD);
    assert_eq!(decide(stream(13, at(13)), newer), AT_HEAD);
    let other = LogState { event_at_last: Some(OTHER), ..newer };
    assert_eq!(decide(stream(13, at(13)), other), AT_HEAD);
    let same = LogState { event_at_last: Some(EVENT), ..newer };
    assert_eq!(decide(stream(13, at(13)), same), AT_HEAD);
}
