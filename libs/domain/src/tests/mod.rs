//! What holds of every kind in [`KINDS`](crate::KINDS), and what the tests of each kind share.

mod kinds;

use std::path::PathBuf;

use crate::{Decider, DomainEvent};

/// A stream's state after `history`.
pub(crate) fn fold<D: Decider>(history: &[D::Event]) -> D {
    history.iter().fold(D::default(), D::evolve)
}

/// Whatever the history: deciding and applying does not panic, and the same command decided again adds nothing.
pub(crate) fn decided_twice_adds_nothing<D: Decider>(history: &[D::Event], command: &D::Command) {
    let state = fold::<D>(history);
    let Ok(events) = state.decide(command) else { return };
    let after = events.iter().fold(state, D::evolve);
    let again = after.decide(command).map_or(0, |events| events.len());
    assert_eq!(again, 0, "the command, decided again, adds events");
}

/// The golden files of a kind: one for each type and version that was ever written.
fn golden_folder(kind: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/events")).join(kind)
}

/// Holds `examples`, one of each type of event of `D`, against the golden files. They are never edited: a
/// new shape is a new version with a file of its own. With `HATCH_TEST_WRITE` set, a missing file of the
/// newest version is written.
pub(crate) fn examples_are_the_golden_events<D: Decider>(examples: &[D::Event])
where
    D::Event: PartialEq + std::fmt::Debug,
{
    let shown: Vec<_> = examples.iter().map(DomainEvent::event_type).collect();
    let known: Vec<_> = D::Event::TYPES.iter().map(|known| known.name).collect();
    assert_eq!(shown, known, "one example of each type, in the order of their declaration");
    for event in examples {
        let (name, newest) = (event.event_type(), event.schema_version());
        let file = |version: i16| golden_folder(D::KIND).join(format!("{name}.v{version}.json"));
        if std::env::var_os("HATCH_TEST_WRITE").is_some() && !file(newest).exists() {
            std::fs::create_dir_all(golden_folder(D::KIND)).expect("a folder");
            std::fs::write(file(newest), event.encode() + "\n").expect("writable");
        }
        for version in 1..=newest {
            let file = file(version);
            let golden = std::fs::read_to_string(&file);
            let golden = golden.unwrap_or_else(|e| panic!("{}: {e}: just golden", file.display()));
            let read = D::Event::decode(name, version, &golden);
            assert_eq!(&read.expect("readable"), event, "{}", file.display());
            if version == newest {
                assert_eq!(event.encode(), golden.trim_end(), "{}", file.display());
            }
        }
    }
}
