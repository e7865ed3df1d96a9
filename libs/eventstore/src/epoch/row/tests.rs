use super::*;

fn identity() -> Identity {
    Identity {
        system_identifier: 7,
        timeline: 1,
        data_directory: Some("/data".to_owned()),
        place: DatabasePlace { host: Some("db1".to_owned()), deployment_name: None },
    }
}

fn fence_row(regression: Option<&str>, epoch: i32, generation: Option<(i32, i32)>) -> FenceRow {
    let regression = regression.map(ToOwned::to_owned);
    let (recorded, foreign) = (identity(), None);
    let now = DateTime::UNIX_EPOCH;
    FenceRow { epoch, recorded, regression, generation, head: Position(9), foreign, now }
}

#[test]
fn the_same_server_is_not_fenced_and_what_is_not_known_is_no_difference() {
    let open = FenceState::Open { epoch: 1, generation: None, foreign: None };
    assert_eq!(fence_row(None, 1, None).state(&identity(), None), open);
    let unknown = Identity { data_directory: None, place: DatabasePlace::default(), ..identity() };
    assert_eq!(fence_row(None, 1, None).state(&unknown, None), open);
    let named = Some("production".to_owned());
    let place = DatabasePlace { deployment_name: named, ..identity().place };
    assert_eq!(fence_row(None, 1, None).state(&Identity { place, ..identity() }, None), open);
}

#[test]
fn each_part_of_the_identity_fences_and_is_named() {
    let host = DatabasePlace { host: Some("db2".to_owned()), deployment_name: None };
    let others = [
        (Identity { system_identifier: 8, ..identity() }, "system identifier was 7 and is 8"),
        (Identity { timeline: 2, ..identity() }, "timeline was 1 and is 2"),
        (
            Identity { data_directory: Some("/copy".to_owned()), ..identity() },
            "data directory was /data and is /copy",
        ),
        (Identity { place: host, ..identity() }, "host was db1 and is db2"),
    ];
    for (found, what) in others {
        let FenceState::Closed(closed) = fence_row(None, 1, None).state(&found, None) else {
            panic!("not fenced: {what}")
        };
        let text = closed.to_string();
        assert!(text.starts_with("FENCED: ") && text.contains(what), "{text}");
        assert!(text.contains("hatch fence lift"), "{text}");
    }
}

#[test]
fn a_regression_on_record_closes_the_fence() {
    let state = fence_row(Some("the bus is ahead"), 1, None).state(&identity(), None);
    let FenceState::Closed(closed) = state else { panic!("{state:?}") };
    let text = closed.to_string();
    assert!(text.starts_with("LOG_REGRESSED: ") && text.contains("the bus is ahead"), "{text}");
}

#[test]
fn a_generation_is_trusted_that_was_compared_and_begun_in_this_epoch() {
    let trusted = |fence_row: FenceRow, compared| match fence_row.state(&identity(), compared) {
        FenceState::Open { generation, .. } => generation,
        state => panic!("{state:?}"),
    };
    assert_eq!(trusted(fence_row(None, 1, Some((3, 1))), Some(3)), Some(3));
    assert_eq!(trusted(fence_row(None, 1, Some((3, 1))), Some(4)), None, "another is on the bus");
    assert_eq!(trusted(fence_row(None, 1, Some((3, 1))), None), None, "not compared");
    assert_eq!(trusted(fence_row(None, 2, Some((3, 1))), Some(3)), None, "of an earlier epoch");
    let ended = FenceRow { foreign: Some("a note".to_owned()), ..fence_row(None, 1, Some((3, 1))) };
    assert_eq!(trusted(ended, Some(3)), None, "something foreign was found in it");
    assert!(fence_row(None, 2, Some((3, 1))).bus_is_of_earlier_epoch());
    assert!(fence_row(None, 2, None).bus_is_of_earlier_epoch());
    assert!(!fence_row(None, 1, None).bus_is_of_earlier_epoch());
}
