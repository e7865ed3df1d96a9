//! The catalogue has what hatch answers, and `docs/errors.md` and the pages have the catalogue.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use axum::http::{Method, StatusCode};
use utoipa::PartialSchema as _;

use super::*;
use crate::field_error::FieldCode;
use crate::testing::Api;

/// What `docs/errors.md` says before the codes.
const INTRODUCTION: &str = "\
# Errors

<!-- Written by `just errors` from services/api/src/problem/catalogue.rs: change that. -->

This page lists every error of hatch by its code: when it comes, and what to do. The
[vocabulary](VOCABULARY.md) explains words such as quarantine and in doubt.

[api.md](api.md#problems) says how an answer with an error looks. Its `type` is the address of the code's page in the
installation (`/docs/errors/` and the code with dashes), where an example stands, too. A code keeps its meaning. Titles
and sentences are for people, and may change.
";

/// Where messages get their errors.
const OF_MESSAGES: [&str; 5] = [
    "libs/domain/src/message",
    "libs/providers/src",
    "libs/readmodel/src/projections/messages",
    "services/api/src/webhooks",
    "services/dispatcher/src",
];

/// Codes that errors of messages have which earlier builds wrote, and no newer ones.
const EARLIER: [&str; 1] = ["throttled"];

/// What stands before a code of ours there.
const BEFORE_A_CODE: [&str; 7] = [
    "unsendable(\"",
    "code: \"",
    "CODE: &str = \"",
    "NO_ACCOUNT: &str = \"",
    "BOUNCED: &str = \"",
    "(code, class) = (\"",
    "::not_sent(",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The code of each source file below `folder`, without its tests.
fn sources(folder: &str) -> Vec<String> {
    let (mut folders, mut sources) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if name == "tests" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                let code = text.split("#[cfg(test)]").next().expect("a first part");
                sources.push(code.to_owned());
            }
        }
    }
    sources
}

async fn text(api: &Api, path: &str, headers: &[(&str, &str)]) -> String {
    let answer = api.request(Method::GET, path, headers, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    answer.body.as_str().unwrap_or_else(|| panic!("{path}: {}", answer.body)).to_owned()
}

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    for group in Group::ALL {
        text.push_str(&format!("\n## {}\n\n{}\n", group.title(), group.about()));
        for entry in group.entries() {
            text.push_str(&format!(
                "\n### `{}`\n\n{}.\n{}",
                entry.code,
                entry.title,
                explained(entry)
            ));
        }
    }
    text
}

#[test]
fn the_page_in_docs_is_written_from_the_catalogue() {
    let (page, path) = (document(), root().join("docs/errors.md"));
    if std::env::var_os("HATCH_TEST_WRITE").is_some() {
        std::fs::write(&path, &page).expect("written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/errors.md is out of date: run just errors");
}

#[test]
fn each_code_stands_once_and_is_explained() {
    for group in Group::ALL {
        let entries = group.entries();
        let codes: BTreeSet<&str> = entries.iter().map(|entry| entry.code).collect();
        assert_eq!(codes.len(), entries.len(), "{group:?}");
        for Entry { code, title, cause, fix, example, .. } in entries {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            assert!(!title.ends_with('.') && !example.is_empty(), "{code}");
            for sentence in [cause, fix] {
                assert!(sentence.ends_with(['.', '`']), "{code}: {sentence}");
                assert_eq!(sentence.matches('`').count() % 2, 0, "{code}: {sentence}");
            }
        }
    }
    for entry in PROBLEMS {
        let is_error = |status: &StatusCode| status.is_client_error() || status.is_server_error();
        assert!(entry.statuses.iter().all(is_error), "{}", entry.code);
    }
}

#[test]
fn each_problem_of_the_catalogue_is_answered_somewhere() {
    let sources = sources("services/api/src").join("\n");
    for entry in PROBLEMS {
        let named = format!("catalogue::{}", entry.code.to_ascii_uppercase());
        let is_named = sources.match_indices(&named).any(|(at, _)| {
            let after = sources[at + named.len()..].chars().next();
            !after.is_some_and(|next| next.is_ascii_alphanumeric() || next == '_')
        });
        assert!(is_named, "nothing answers {}", entry.code);
    }
}

#[test]
fn the_codes_of_fields_are_those_of_the_schema() {
    let schema = serde_json::to_value(FieldCode::schema()).expect("JSON");
    let codes = schema["enum"].as_array().expect("a list of codes").iter();
    let codes: BTreeSet<&str> = codes.map(|code| code.as_str().expect("a text")).collect();
    let explained: BTreeSet<&str> = FIELDS.iter().map(|entry| entry.code).collect();
    assert_eq!(codes, explained);
}

#[test]
fn the_codes_of_messages_are_those_that_the_code_has() {
    let mut given = BTreeSet::from(EARLIER.map(str::to_owned));
    for source in OF_MESSAGES.into_iter().flat_map(sources) {
        for before in BEFORE_A_CODE {
            for after in source.split(before).skip(1) {
                // A call may name the message first.
                let after = if before.ends_with('"') {
                    Some(after)
                } else {
                    after.split_once('"').map(|(_, it)| it)
                };
                let code = after.and_then(|after| after.split_once('"')).map(|(code, _)| code);
                given.extend(code.map(str::to_owned));
            }
        }
    }
    let explained: BTreeSet<String> = MESSAGES.iter().map(|entry| entry.code.to_owned()).collect();
    assert_eq!(given, explained);
}

#[test]
fn a_page_is_plain_html() {
    let page = html(
        "a<b",
        "# `a` & b\n\ntext **bold** `<c>`\n\n- [`d`](/e): f.\n- g\n\n```json\n{\"h\": 1}\n```\n",
    );
    for part in [
        "<title>a&lt;b: hatch</title>",
        "<h1><code>a</code> &amp; b</h1>",
        "<p>text <b>bold</b> <code>&lt;c&gt;</code></p>",
        "<ul><li><a href=\"/e\"><code>d</code></a>: f.</li>\n<li>g</li></ul>",
        "<pre>{&quot;h&quot;: 1}</pre>",
        "width=device-width",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("<script"), "{page}");
}

#[tokio::test]
async fn each_code_has_a_page_that_everybody_may_read() {
    let api = Api::start_closed().await;
    let list = text(&api, "/docs/errors", &[]).await;
    for group in Group::ALL {
        for entry in group.entries() {
            let path = format!("{PATH}/{}", entry.name());
            assert!(list.contains(&format!("href=\"{path}\"")), "{path}");
            let page = text(&api, &path, &[]).await;
            assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
            assert!(page.contains(&inline(entry.fix)), "{path}");
            let said = text(&api, &path, &[("accept", "text/markdown, */*;q=0.1")]).await;
            assert!(said.starts_with(&format!("# `{}`\n", entry.code)), "{said}");
            assert_eq!(text(&api, &format!("{path}.md"), &[]).await, said);
        }
    }
    let underscored = text(&api, "/docs/errors/missing_scope", &[]).await;
    assert!(underscored.contains("403 Forbidden"), "{underscored}");
    let unknown = api.get("/docs/errors/no-such-code").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{}", unknown.body);
    assert_eq!(unknown.body["code"], "not_found");
}
