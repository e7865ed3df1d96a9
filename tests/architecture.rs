//! The dependencies between our crates are those that `docs/ARCHITECTURE.md` allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

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

fn root() -> &'static Path {
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
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo metadata");
    let packages = metadata.packages.iter();
    packages
        .map(|package| {
            let ours = package.dependencies.iter().filter(|dependency| {
                dependency.kind != DependencyKind::Development
                    && (dependency.name == "hatch" || dependency.name.starts_with("hatch-"))
            });
            (package.name.to_string(), ours.map(|d| d.name.clone()).collect())
        })
        .collect()
}
