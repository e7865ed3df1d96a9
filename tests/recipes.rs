//! The recipes for contributors name files and tests. Every one of them exists.

use std::path::{Path, PathBuf};

/// An identifier of so many characters, written as code, is the name of a test.
const TEST_NAME_CHARACTERS_MIN: usize = 25;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The guide and the recipes, by name.
fn pages() -> Vec<(String, String)> {
    let recipes = std::fs::read_dir(root().join("docs/recipes")).expect("the recipes");
    let recipes = recipes.map(|entry| entry.expect("an entry").path());
    let pages = recipes.chain([root().join("CONTRIBUTING.md")]);
    let page = |path: PathBuf| (path.display().to_string(), read(&path));
    pages.map(page).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("UTF-8")
}

/// What `page` writes as code.
fn code(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

/// Every Rust source of the repository, as one text.
fn sources() -> String {
    let mut folders = ["libs", "services", "tests"].map(|name| root().join(name)).to_vec();
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&read(&path));
            }
        }
    }
    text
}

#[test]
fn every_path_that_a_recipe_names_exists() {
    let mut paths = 0;
    for (name, page) in pages() {
        for path in code(&page) {
            let ours = ["libs/", "services/", "tests/", "schema/", "docs/"];
            // One with a name to be filled in is a pattern.
            let pattern = path.contains(['<', '*', ' ']);
            if pattern || !ours.iter().any(|start| path.starts_with(start)) {
                continue;
            }
            assert!(root().join(path).exists(), "{name}: {path} does not exist");
            paths += 1;
        }
    }
    assert!(paths > 40, "{paths} paths were found, so they are written in another way now");
}

#[test]
fn every_test_that_a_recipe_names_exists() {
    let (sources, mut tests) = (sources(), 0);
    for (name, page) in pages() {
        for test in code(&page) {
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if test.len() < TEST_NAME_CHARACTERS_MIN || !test.chars().all(is_name) {
                continue;
            }
            assert!(sources.contains(&format!("fn {test}(")), "{name}: there is no test {test}");
            tests += 1;
        }
    }
    assert!(tests > 8, "{tests} tests were found, so they are written in another way now");
}
