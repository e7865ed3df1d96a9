//! These tests fail when a step is forgotten on adding a kind, a type of event or a version.

use std::collections::BTreeSet;

use super::golden_folder;
use crate::kind::event_types;
use crate::{KINDS, Kind};

/// The names of the files, or folders, in a folder.
fn names(folder: &std::path::Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn every_kind_has_a_name_of_its_own_and_so_has_every_type_of_event() {
    let kinds: BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(kinds.len(), KINDS.len());
    let types: BTreeSet<_> = event_types().map(|known| known.name).collect();
    assert_eq!(types.len(), event_types().count(), "the live feed's filter goes by name alone");
    for kind in KINDS {
        assert_eq!(Kind::named(kind.name).map(|found| found.name), Some(kind.name));
    }
}

/// Every version of every type has a golden file and no file is left of what nobody knows; each is read, and
/// the newest is written again as it was.
#[test]
fn golden_events_of_every_kind_and_version_are_read() {
    assert_eq!(names(&golden_folder("")), KINDS.iter().map(|kind| kind.name.to_owned()).collect());
    for kind in KINDS {
        let versions = kind.event_types.iter().flat_map(|known| {
            (1..=known.version).map(|version| (known.name, version, version == known.version))
        });
        let mut expected = BTreeSet::new();
        for (name, version, newest) in versions {
            let file = format!("{name}.v{version}.json");
            let golden = std::fs::read_to_string(golden_folder(kind.name).join(&file));
            let golden =
                golden.unwrap_or_else(|e| panic!("{} {file}: {e}: just golden", kind.name));
            assert!(kind.reads(name, version), "{file}");
            let read = kind.decode_any(name, version, &golden).expect("readable");
            assert_eq!(read.event_type, name, "{file}");
            assert!(
                !newest || read.payload == golden.trim_end(),
                "{file} is written otherwise now"
            );
            expected.insert(file);
        }
        assert_eq!(names(&golden_folder(kind.name)), expected, "{}", kind.name);
    }
}

#[test]
fn a_kind_reads_none_but_its_own_events() {
    for kind in KINDS {
        for (name, version) in [("MessageTeleported", 1), (kind.event_types[0].name, i16::MAX)] {
            assert!(!kind.reads(name, version), "{name} {version}");
            assert!(kind.decode_any(name, version, "{}").is_err(), "{name} {version}");
        }
    }
    assert!(Kind::named("mess").is_none());
}
