//! Each alert that is shipped has a page, and asks for metrics that there are.

use std::collections::BTreeSet;
use std::path::Path;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of a key, however deep it stands.
fn values<'a>(rules: &'a str, key: &str) -> Vec<&'a str> {
    let of =
        |line: &'a str| line.trim().trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": ");
    rules.lines().filter_map(of).collect()
}

/// The names that begin as all of ours do.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.split(move |c| !is_of_name(c)).filter(|word| word.starts_with("hatch_"))
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_its_alert() {
    let rules = read("deploy/alerts.yml");
    let (alerts, pages) = (values(&rules, "alert"), values(&rules, "runbook"));
    assert!(!alerts.is_empty() && alerts.len() == pages.len(), "{alerts:?} {pages:?}");
    let index = read("docs/runbooks/README.md");
    for (alert, page) in alerts.iter().zip(&pages) {
        let text = read(page);
        assert!(text.starts_with(&format!("# {alert}\n")), "{page} is of {alert}");
        for part in ["**Meaning.**", "**See the cause.**", "**What to do.**"] {
            assert!(text.contains(part), "{page}: {part}");
        }
        let name = page.rsplit('/').next().expect("a path");
        assert!(
            index.contains(&format!("| {alert} | [{name}]({name}) |")),
            "{name} is in the index"
        );
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks");
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    let files: BTreeSet<String> = files
        .map(|file| format!("docs/runbooks/{}", file.file_name().to_string_lossy()))
        .filter(|file| !file.ends_with("README.md"))
        .collect();
    let named: BTreeSet<String> = pages.iter().map(|&page| page.to_owned()).collect();
    assert_eq!(files, named);
}

#[test]
fn every_alert_asks_for_metrics_that_there_are() {
    let (rules, known) = (read("deploy/alerts.yml"), read("docs/telemetry.md"));
    let expressions = values(&rules, "expr");
    assert!(!expressions.is_empty());
    for expression in expressions {
        for metric in metrics(expression) {
            assert!(known.contains(&format!("| `{metric}` |")), "{metric} of {expression}");
        }
    }
}

/// What stands in the first brackets that follow `before`, each up to the sign that ends it.
fn listed<'a>(text: &'a str, before: &str, brackets: [char; 2], end: char) -> Vec<&'a str> {
    let [open, close] = brackets;
    let begins = |part: &'a str| part.trim_start().strip_prefix(open)?.split_once(close);
    let lists = text.split(before).skip(1).filter_map(begins);
    let names = lists.flat_map(move |(list, _)| list.split(','));
    names.map(|name| name.split(end).next().unwrap_or(name).trim()).collect()
}

#[test]
fn every_alert_asks_by_labels_that_its_metric_has_and_for_values_that_it_takes() {
    let (rules, known) = (read("deploy/alerts.yml"), read("docs/telemetry.md"));
    let summaries = values(&rules, "summary");
    let expressions = values(&rules, "expr");
    assert_eq!(expressions.len(), summaries.len());
    for (expression, summary) in expressions.into_iter().zip(summaries) {
        let metric = metrics(expression).next().expect("a metric");
        let row = known.lines().find(|line| line.starts_with(&format!("| `{metric}` |")));
        let row: Vec<&str> = row.expect("a row").split('|').map(str::trim).collect();
        let labels: Vec<&str> = row[3].split(',').map(str::trim).collect();
        let by = listed(expression, "by ", ['(', ')'], ')');
        let asked = listed(expression, metric, ['{', '}'], '=');
        for label in by.iter().chain(&asked) {
            assert!(labels.contains(label), "{label} of {expression}");
        }
        let shown = summary.split("$labels.").skip(1);
        for label in shown.filter_map(|rest| rest.split_whitespace().next()) {
            assert!(by.contains(&label), "{label} of {summary}");
        }
        let value = expression.rsplit(' ').next().expect("a value");
        assert!(row[4] != "0 or 1" || ["0", "1"].contains(&value), "{expression}");
    }
}
