//! `.ci/immutable`, which `./dev lint` runs, in repositories made for it.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::architecture::root;

const MIGRATION: &str = "schema/log/V1__log.sql";
const EVENT: &str = "schema/events/MessageSent.v1.json";

/// A repository whose main branch has a migration and a golden event, with a branch of its own checked out.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().expect("a folder"));
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository.commit(&[(MIGRATION, "CREATE TABLE log ();"), (EVENT, "{}")]);
        repository.git(&["switch", "--quiet", "--create", "work"]);
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, arguments: &[&str]) {
        let output = run("git", arguments, self.path());
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn commit(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            self.write(path, text);
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "a change"]);
    }

    /// Whether all is well, and what is said.
    fn check(&self) -> (bool, String) {
        check(self.path())
    }
}

fn check(folder: &Path) -> (bool, String) {
    let script = root().join(".ci/immutable");
    let output = run("sh", &[script.to_str().expect("UTF-8")], folder);
    (output.status.success(), String::from_utf8(output.stderr).expect("UTF-8"))
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(program);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "hatch").env(format!("GIT_{who}_EMAIL"), "h@h.test");
    }
    // Neither the machine's settings nor those of a hook that this runs in.
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "HATCH_LINT_BASE"] {
        command.env_remove(variable);
    }
    command.args(arguments).current_dir(folder).output().expect("it runs")
}

#[test]
fn what_is_new_or_only_moves_is_taken() {
    let repository = Repository::new();
    repository.commit(&[("schema/log/V2__index.sql", "CREATE INDEX;")]);
    // On its own branch it is not forever yet.
    repository.commit(&[("schema/log/V2__index.sql", "CREATE INDEX i;")]);
    std::fs::create_dir(repository.path().join("schema/events/message")).expect("made");
    repository.git(&["mv", EVENT, "schema/events/message/MessageSent.v1.json"]);
    repository.commit(&[("schema/openapi.json", "{}")]);
    assert_eq!(repository.check(), (true, String::new()));
}

#[test]
fn an_edited_migration_or_golden_event_is_refused() {
    for (path, text) in [(MIGRATION, "CREATE TABLE log (n int);"), (EVENT, "{\"n\": 1}")] {
        let repository = Repository::new();
        repository.write(path, text);
        let (ok, said) = repository.check();
        assert!(!ok && said.contains(path), "not committed yet: {said}");
        repository.commit(&[]);
        repository.commit(&[("README.md", "later")]);
        let (ok, said) = repository.check();
        assert!(!ok && said.contains(path), "committed: {said}");
        // Merged by force, it is what the commit before has.
        repository.git(&["switch", "--quiet", "main"]);
        repository.git(&["merge", "--quiet", "--squash", "work"]);
        repository.commit(&[]);
        let (ok, said) = repository.check();
        assert!(!ok && said.contains(path), "on main: {said}");
    }
}

#[test]
fn one_that_is_gone_or_has_another_number_is_refused() {
    let repository = Repository::new();
    repository.git(&["rm", "--quiet", EVENT]);
    repository.git(&["mv", MIGRATION, "schema/log/V3__log.sql"]);
    repository.commit(&[]);
    let (ok, said) = repository.check();
    assert!(!ok && said.contains(EVENT) && said.contains(MIGRATION), "{said}");
}

#[test]
fn a_clone_without_history_says_that_nothing_is_checked() {
    let repository = Repository::new();
    repository.commit(&[("README.md", "later")]);
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", repository.path().display());
    let clone = run("git", &["clone", "--quiet", "--depth", "1", &url, "clone"], folder.path());
    assert!(clone.status.success(), "{clone:?}");
    let (ok, said) = check(&folder.path().join("clone"));
    assert!(ok && said.contains("--depth 2"), "{said}");
}
