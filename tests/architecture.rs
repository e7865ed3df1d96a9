//! The dependencies between our crates are those that `docs/ARCHITECTURE.md` allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

type Dependencies = BTreeMap<String, BTreeSet<String>>;

#[test]
fn crates_depend_on_each_other_as_the_architecture_allows() {
    let allowed = documented();
    for (name, dependencies) in actual() {
        let may = allowed.get(&name).unwrap_or_else(|| panic!("{name} has no row in the table"));
        let extra: Vec<_> = dependencies.difference(may).collect();
        assert!(extra.is_empty(), "{name} may not depend on {extra:?}");
    }
}

#[test]
fn the_table_names_only_crates_that_exist() {
    let known: BTreeSet<_> = actual().into_keys().collect();
    for (name, may) in documented() {
        let unknown: Vec<_> = may.union(&BTreeSet::from([name])).cloned().collect();
        assert!(unknown.iter().all(|n| known.contains(n)), "unknown crate among {unknown:?}");
    }
}

#[test]
fn every_dependency_is_used() {
    let mut unused = Vec::new();
    for package in packages() {
        let folder = folder_of(package.manifest_path.as_std_path());
        let own = code_in(&folder.join("src"));
        // The scenarios lie outside of their package.
        let targets = package.targets.iter().map(|target| folder_of(target.src_path.as_std_path()));
        let outside = targets.filter(|of_target| !of_target.starts_with(&folder));
        let folders: BTreeSet<_> = outside.chain([folder.clone()]).collect();
        let all: String = folders.iter().map(|folder| code_in(folder)).collect();
        for dependency in &package.dependencies {
            let name = dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_");
            let code = if dependency.kind == DependencyKind::Normal { &own } else { &all };
            if !names(code, &name) {
                unused.push(format!("{} has no use for {name}", package.name));
            }
        }
    }
    assert!(unused.is_empty(), "{unused:#?}");
}

fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().expect("a file is in a folder");
    folder.canonicalize().expect("a folder that is there")
}

/// The text of all sources below `folder`.
fn code_in(folder: &Path) -> String {
    let (mut folders, mut code) = (vec![folder.to_owned()], String::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code += &std::fs::read_to_string(path).expect("text");
            }
        }
    }
    code
}

/// Whether `code` names something of the crate, and not only of a module of the same name.
fn names(code: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices(&format!("{name}::")).any(|(at, _)| !code[..at].ends_with(is_part))
}

#[test]
fn every_path_that_the_page_names_exists() {
    let page = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("the page");
    let mut folder = String::new();
    let mut paths = 0;
    for name in page.split('`').skip(1).step_by(2) {
        let file = name.ends_with(".rs") && !name.contains('/');
        let path = if file { format!("{folder}/{name}") } else { name.to_owned() };
        if !["libs/", "services/", "tests/"].iter().any(|start| path.starts_with(start)) {
            continue;
        }
        assert!(root().join(&path).exists(), "{path} does not exist");
        if let Some((of, _)) = path.rsplit_once('/') {
            of.clone_into(&mut folder);
        }
        paths += 1;
    }
    assert!(paths > 20, "{paths} paths were found, so they are written in another way now");
}

/// Where a connection may be had otherwise than from the pool, and why its waits have limits all the same.
const OWN_CONNECTIONS: [(&str, &str); 5] = [
    ("libs/eventstore/src/appender/session.rs", "each flight has its limit"),
    ("libs/eventstore/src/head.rs", "each look has its limit"),
    ("libs/devservers/src/postgres.rs", "makes a developer's database"),
    ("services/relay/src/session.rs", "each statement has its limit"),
    ("services/hatch/src/commands/doctor/tls.rs", "each check has its limit"),
];

/// Whoever asks PostgreSQL says how long he waits. The pool sees to it, and lets nobody around it.
#[test]
fn postgresql_is_asked_by_the_pool_or_by_a_connection_that_has_its_limits() {
    const POOL: [&str; 2] =
        ["libs/eventstore/src/postgres.rs", "libs/eventstore/src/postgres/ask.rs"];
    let (mut files, mut owners) = (0, BTreeSet::new());
    for path in sources() {
        let text = std::fs::read_to_string(root().join(&path)).expect("text");
        let uses = |line: &&str| {
            let line = line.trim_start();
            let pooled = line.contains("deadpool") || line.contains("PoolConfig");
            pooled
                && ["Pool,", "Pool}", "Pool;", "Pool<", "Object"].iter().any(|n| line.contains(n))
        };
        let of_the_pool = text.lines().find(uses);
        assert!(
            of_the_pool.is_none() || POOL.contains(&path.as_str()),
            "{path} goes around hatch_eventstore::Connections: {of_the_pool:?}"
        );
        const MAKES: [&str; 5] = [
            "hatch_eventstore::connect(",
            "hatch_eventstore::open(",
            "postgres::connect(",
            "postgres::open(",
            "tokio_postgres::connect(",
        ];
        let makes = |line: &&str| {
            MAKES.iter().any(|call| line.contains(call))
                || line.contains("use hatch_eventstore") && line.contains(" connect")
                || line.contains("use hatch_eventstore") && line.contains(" open")
        };
        let own = text.lines().find(makes);
        assert!(
            own.is_none() || OWN_CONNECTIONS.iter().any(|(may, _)| *may == path),
            "{path} has a connection of its own: {own:?}"
        );
        owners.extend(own.map(|_| path.clone()));
        files += 1;
    }
    let unused = OWN_CONNECTIONS.iter().find(|(may, _)| !owners.contains(*may));
    assert_eq!(unused, None, "it has no connection of its own any more");
    assert!(files > 200, "{files} files were found, so they lie elsewhere now");
}

/// Every file of the crates that is no test.
pub(crate) fn sources() -> Vec<String> {
    let mut folders = vec![root().join("libs"), root().join("services")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
            let passed = ["tests", "tests.rs", "testing", "testing.rs", "benches", "target"];
            if passed.contains(&name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let path = path.strip_prefix(root()).expect("in it");
                files.push(path.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    files
}

/// Our crates.
pub(crate) fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec();
    metadata.expect("cargo metadata").packages
}

pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn documented() -> Dependencies {
    let page = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("the page");
    let table = page
        .split_once("<!-- dependencies -->")
        .and_then(|(_, rest)| rest.split_once("<!-- /dependencies -->"))
        .map(|(table, _)| table)
        .expect("the table is marked");
    let rows = table.lines().filter(|line| line.starts_with("| hatch"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().expect("a name").to_owned();
        let names = cells.next().unwrap_or_default().split(',').map(str::trim);
        (name, names.filter(|n| !n.is_empty()).map(str::to_owned).collect())
    })
    .collect()
}

fn actual() -> Dependencies {
    packages()
        .into_iter()
        .map(|package| {
            let ours = package.dependencies.iter().filter(|dependency| {
                dependency.kind != DependencyKind::Development
                    && (dependency.name == "hatch" || dependency.name.starts_with("hatch-"))
            });
            (package.name.to_string(), ours.map(|d| d.name.clone()).collect())
        })
        .collect()
}
