//! The key pair of the files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{PRIVATE_KEY, PUBLIC_KEY};
use crate::{Error, key_pair};

#[test]
fn a_pair_is_made_once_and_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let private = folder.path().join("simulator/sendgrid.private.pem");
    let public = folder.path().join("simulator/sendgrid.public.pem");
    let pair = key_pair(&private, &public).expect("made");
    assert_eq!(fs::read_to_string(&private).expect("written"), pair.private_pem);
    assert_eq!(fs::read_to_string(&public).expect("written"), pair.public_pem);
    let mode = fs::metadata(&private).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner's eyes only");
    assert!(pair == key_pair(&private, &public).expect("found"));
    let files = fs::read_dir(folder.path().join("simulator")).expect("a folder").count();
    assert_eq!(files, 2, "no draft is left");
}

#[test]
fn the_public_key_is_that_of_the_private_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (private, public) = (folder.path().join("k.pem"), folder.path().join("p.pem"));
    fs::write(&private, PRIVATE_KEY).expect("written");
    fs::write(&public, "another").expect("written");
    let pair = key_pair(&private, &public).expect("found");
    assert_eq!(pair.public_pem, PUBLIC_KEY);
    assert_eq!(fs::read_to_string(&public).expect("written"), PUBLIC_KEY);
}

#[test]
fn everybody_who_makes_a_pair_at_once_has_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (private, public) = (folder.path().join("k.pem"), folder.path().join("p.pem"));
    let make = || key_pair(&private, &public).expect("a pair").private_pem;
    let made: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(made.iter().all(|pem| *pem == made[0]));
}

#[test]
fn a_file_that_is_no_key_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (private, public) = (folder.path().join("k.pem"), folder.path().join("p.pem"));
    fs::write(&private, "milk").expect("written");
    assert!(matches!(key_pair(&private, &public), Err(Error::Key(_))));
    assert_eq!(fs::read_to_string(&private).expect("read"), "milk");
    assert!(!public.exists());
}

#[test]
fn every_provider_finds_its_key_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("simulator");
    for _ in 0..2 {
        crate::prepare(&folder).expect("made, and found again");
    }
    for kind in crate::registry::KINDS {
        for (_, file) in kind.settings().iter().filter_map(|setting| setting.file) {
            assert!(folder.join(file).is_file(), "{file}");
        }
    }
    let private = folder.join("vonage.private.pem");
    let mode = fs::metadata(&private).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner's eyes only");
}
