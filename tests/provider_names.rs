//! A provider is two folders and two lines: no code elsewhere knows the name of one.

use std::collections::BTreeSet;

use hatch_providers::PROVIDERS;

use crate::architecture::{root, sources};

/// The folders that a provider has, before its name.
const FOLDERS: [&str; 2] = ["libs/providers/src/", "services/simulator/src/"];

/// Where its two lines are, and the declarations of its modules.
const REGISTRIES: [&str; 4] = [
    "libs/providers/src/lib.rs",
    "libs/providers/src/registry.rs",
    "services/simulator/src/lib.rs",
    "services/simulator/src/registry.rs",
];

/// The lines of `text` that are code: no comments, no attributes, which hold examples for readers, and no tests.
fn code(text: &str) -> Vec<&str> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let text = text.split("#[cfg(test)]\npub(super) mod tests").next().unwrap_or_default();
    let mut open = 0_usize;
    let mut is_code = |line: &&str| {
        let line = line.trim_start();
        if open > 0 || line.starts_with("#[") || line.starts_with("#![") {
            open += line.matches(['[', '(', '{']).count();
            open = open.saturating_sub(line.matches([']', ')', '}']).count());
            return false;
        }
        !line.starts_with("//")
    };
    text.lines().filter(|line| is_code(line)).collect()
}

/// The modules that `text` declares for tests alone.
fn of_tests(text: &str) -> impl Iterator<Item = String> {
    let declared = text.split("#[cfg(test)]\n").skip(1);
    let lines = declared.filter_map(|rest| rest.lines().next());
    lines.filter_map(|line| Some(format!("{}.rs", line.strip_suffix(';')?.split(' ').next_back()?)))
}

#[test]
fn no_provider_is_named_outside_of_its_folders_and_its_two_lines() {
    let names: BTreeSet<String> = PROVIDERS
        .iter()
        .flat_map(|provider| [provider.name(), provider.title()])
        .map(str::to_lowercase)
        .collect();
    let is_own = |file: &str| {
        FOLDERS.iter().any(|folder| {
            let folder = file.strip_prefix(folder).and_then(|rest| rest.split_once('/'));
            folder.is_some_and(|(folder, _)| names.contains(folder))
        })
    };
    let files = sources();
    let read = |file: &String| std::fs::read_to_string(root().join(file)).expect("UTF-8");
    let tests: BTreeSet<String> =
        files.iter().flat_map(|file| of_tests(&read(file)).collect::<Vec<_>>()).collect();
    let mut named = Vec::new();
    for file in files.iter().filter(|file| !REGISTRIES.contains(&file.as_str()) && !is_own(file)) {
        if file.rsplit('/').next().is_some_and(|last| tests.contains(last)) {
            continue;
        }
        for line in code(&read(file)) {
            let lower = line.to_lowercase();
            if names.iter().any(|name| lower.contains(name.as_str())) {
                named.push(format!("{file}: {}", line.trim()));
            }
        }
    }
    assert!(named.is_empty(), "{named:#?}");
}

#[test]
fn what_is_code_is_found_and_what_is_for_readers_is_not() {
    let text = "//! a\n/// b\n#[schema(\n    example = \"c\",\n)]\nlet d = 1;\n    // e\nf(); // g\n\
                #[cfg(test)]\nmod tests {\n    h();\n}\n";
    assert_eq!(code(text), ["let d = 1;", "f(); // g"]);
    let declared: Vec<_> = of_tests("mod a;\n#[cfg(test)]\nmod history;\nmod b;\n").collect();
    assert_eq!(declared, ["history.rs"]);
}
