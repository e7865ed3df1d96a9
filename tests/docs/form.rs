//! What every page has, and what a page says of the database's privileges.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::blocks::{Page, pages};
use crate::architecture::root;
use crate::harness::database;

/// What can be said in one breath.
const WORDS_MAX: usize = 40;
/// Decisions begin with their status.
const BEGIN_OTHERWISE: &str = "docs/decisions/";

/// The first paragraph, without the addresses of its links.
fn first_paragraph(page: &Page) -> String {
    let mut paragraphs = page.text.split("\n\n").map(str::trim);
    let is_text = |text: &&str| !text.is_empty() && !text.starts_with(['#', '<']);
    let text = paragraphs.find(is_text).unwrap_or_default();
    text.split("](").enumerate().fold(String::new(), |said, (n, part)| {
        let part = if n == 0 { part } else { part.split_once(')').map_or("", |(_, rest)| rest) };
        said + part
    })
}

#[test]
fn each_page_begins_with_what_can_be_said_in_one_breath() {
    for page in pages().iter().filter(|page| !page.name.starts_with(BEGIN_OTHERWISE)) {
        let first = first_paragraph(page);
        let words = first.split_whitespace().count();
        assert!((5..=WORDS_MAX).contains(&words), "{}: {words} words: {first}", page.name);
    }
}

#[test]
fn each_page_leads_to_the_vocabulary() {
    for page in pages().iter().filter(|page| !page.name.starts_with(BEGIN_OTHERWISE)) {
        let leads = page.text.contains("VOCABULARY.md)") || page.name == "docs/VOCABULARY.md";
        assert!(leads, "{} has no link to the vocabulary", page.name);
    }
}

#[test]
fn each_page_is_in_the_table_of_the_readme() {
    let pages = pages();
    let readme = pages.iter().find(|page| page.name == "README.md").expect("the first page");
    for page in &pages {
        let deeper =
            ["docs/recipes/", "docs/decisions/"].iter().any(|at| page.name.starts_with(at));
        let listed = readme.text.contains(&format!("| [{}]({})", short(&page.name), page.name));
        assert!(!page.name.starts_with("docs/") || deeper || listed, "{}", page.name);
    }
}

fn short(name: &str) -> &str {
    name.trim_start_matches("docs/")
}

/// The name by which a link reaches a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Whether a page has such a heading.
fn has_heading(page: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(page).expect("UTF-8");
    text.lines().any(|line| line.starts_with('#') && anchor(line) == name)
}

#[test]
fn each_link_within_the_repository_leads_somewhere() {
    let (mut links, mut wrong) = (0, Vec::new());
    for page in pages() {
        let path = root().join(&page.name);
        let prose = page.prose();
        let targets = prose.split("](").skip(1).filter_map(|text| text.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => path.clone(),
                file => path.with_file_name(file),
            };
            if !file.exists() || !heading.is_empty() && !has_heading(&file, heading) {
                wrong.push(format!("{}: {target}", page.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(links > 100, "{links} links were found, so they are written in another way now");
}

#[test]
fn the_proxies_of_the_page_pass_on_what_the_gateway_does() {
    let gateway = std::fs::read_to_string(root().join("deploy/gateway.conf")).expect("UTF-8");
    let pages = pages();
    let page = pages.iter().find(|page| page.name == "docs/going-live.md").expect("the page");
    let proxies = page.blocks().into_iter();
    let proxies = proxies.filter(|block| ["nginx", "caddyfile"].contains(&block.language.as_str()));
    let proxies: Vec<_> = proxies.collect();
    assert_eq!(proxies.len(), 2, "nginx and Caddy");
    for path in ["/health", "/docs/errors", "/api/", "/auth/"] {
        assert!(gateway.contains(path), "{path}");
        for proxy in &proxies {
            assert!(proxy.text().contains(path), "{}: {path}", proxy.place);
        }
    }
}

/// Tables and their privileges, as the page about going live has them.
fn privileges_of_the_page() -> BTreeMap<String, BTreeSet<String>> {
    let pages = pages();
    let page = pages.iter().find(|page| page.name == "docs/going-live.md").expect("the page");
    let (_, rest) = page.text.split_once("<!-- privileges -->").expect("a table");
    let (table, _) = rest.split_once("<!-- /privileges -->").expect("its end");
    let mut privileges = BTreeMap::new();
    for row in table.lines() {
        let Some((tables, granted)) = row.trim_matches(['|', ' ']).split_once('|') else {
            continue;
        };
        let of_the_table = granted.split(';').next().unwrap_or_default();
        let words = of_the_table.split([',', ' ']).filter(|word| !word.is_empty());
        let granted: BTreeSet<String> = words.map(str::to_owned).collect();
        for table in tables.split('`').skip(1).step_by(2).filter(|name| name.contains('.')) {
            privileges.insert(table.to_owned(), granted.clone());
        }
    }
    privileges
}

#[tokio::test]
async fn the_privileges_of_hatch_app_are_those_on_the_page() {
    const GRANTS: &str = "
        SELECT n.nspname || '.' || c.relname, a.privilege_type
          FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
          CROSS JOIN LATERAL aclexplode(c.relacl) AS a
         WHERE a.grantee = 'hatch_app'::regrole AND c.relkind IN ('r', 'p', 'v', 'm')";
    let database = database().await;
    let session = database.connect().await;
    let mut granted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in session.query(GRANTS, &[]).await.expect("rows") {
        granted.entry(row.get(0)).or_default().insert(row.get(1));
    }
    session.close().await;
    let shown = privileges_of_the_page();
    assert!(shown.len() > 8, "the table is written in another way now: {shown:?}");
    for (table, privileges) in &shown {
        assert_eq!(granted.get(table), Some(privileges), "{table}");
    }
    let others = granted.iter().filter(|(table, _)| !shown.contains_key(*table));
    for (table, privileges) in others {
        let usual = ["SELECT", "INSERT", "UPDATE"];
        let more = privileges.iter().find(|privilege| !usual.contains(&privilege.as_str()));
        assert_eq!(more, None, "{table}: the page has to name it");
    }
}
