//! The pages of errors: a list, and one page a code with its cause, what to do, and an example. Programs that ask for
//! Markdown get that.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::address::{ErrorPages, PATH};
use super::catalogue::{self, FIELDS, MESSAGES, PROBLEMS};
use super::entry::Entry;
use super::{Hint, Problem};
use crate::field_error::FieldError;

/// What a page ends with that is asked for as Markdown.
const MARKDOWN_END: &str = ".md";

/// The request id in examples.
const REQUEST_ID: &str = "01a1fc66-08e6-7294-8005-e216d05b09c5";

/// How all pages look: one column that fits the screen of a telephone.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}\
h1{font-size:1.4rem;line-height:1.3}h2{font-size:1.1rem;margin-top:2rem}\
code,pre{font-family:ui-monospace,monospace;font-size:.95em}\
pre{border:1px solid #8888;border-radius:4px;padding:.75rem;white-space:pre-wrap}\
dt{margin-top:.75rem;font-weight:600}dd{margin:0}";

/// Where a code stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Problem,
    Field,
    Message,
}

impl Group {
    const ALL: [Self; 3] = [Self::Problem, Self::Field, Self::Message];

    const fn title(self) -> &'static str {
        match self {
            Self::Problem => "Problems",
            Self::Field => "Codes of fields",
            Self::Message => "Codes of messages",
        }
    }

    const fn about(self) -> &'static str {
        match self {
            Self::Problem => "`code` of an answer with an error.",
            Self::Field => "`code` of each entry of `errors`, in the answer `invalid_request`.",
            Self::Message => {
                "`code` of a message's `error`, where hatch gives it; others are the provider's."
            }
        }
    }

    fn entries(self) -> Vec<&'static Entry> {
        match self {
            Self::Problem => PROBLEMS.to_vec(),
            Self::Field => FIELDS.iter().collect(),
            Self::Message => MESSAGES.iter().collect(),
        }
    }

    fn has(self, code: &str) -> bool {
        self.entries().iter().any(|entry| entry.code == code)
    }

    /// The answer, or the part of one, that has the code.
    fn example(self, entry: &'static Entry, pages: ErrorPages) -> Value {
        match self {
            Self::Problem => example(entry, pages),
            Self::Field => {
                let (pointer, detail) = entry.example.split_once(": ").unwrap_or_default();
                let mut body = problem_of(FieldError::new(pointer, detail)).shown(pages);
                body["errors"][0]["code"] = json!(entry.code);
                body
            }
            Self::Message => json!({"error": {"code": entry.code, "detail": entry.example}}),
        }
    }
}

/// The list of all codes, and the page of each.
pub(crate) fn router() -> Router {
    let list = |markdown: bool| {
        move |headers: HeaderMap| async move { answer(markdown, &headers, "Errors", all()) }
    };
    Router::new()
        .route(PATH, get(list(false)))
        .route(&format!("{PATH}/"), get(list(false)))
        .route(&format!("{PATH}{MARKDOWN_END}"), get(list(true)))
        .route(&format!("{PATH}/{{code}}"), get(page))
}

/// The page of one code, by its name in `type` or by the code itself.
async fn page(
    Path(name): Path<String>,
    pages: ErrorPages,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stem = name.strip_suffix(MARKDOWN_END);
    let code = stem.unwrap_or(&name).replace('-', "_");
    let text = of_code(&code, &pages).ok_or_else(|| Problem::not_found("error"))?;
    Ok(answer(stem.is_some(), &headers, &code, text))
}

fn answer(markdown: bool, headers: &HeaderMap, title: &str, text: String) -> Response {
    let asked = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let markdown = markdown || asked.into_iter().any(|kinds| kinds.contains("text/markdown"));
    let (kind, text) = match markdown {
        true => ("text/markdown; charset=utf-8", text),
        false => ("text/html; charset=utf-8", html(title, &text)),
    };
    ([(CONTENT_TYPE, kind), (VARY, "accept")], text).into_response()
}

/// All codes, as Markdown.
fn all() -> String {
    let mut text = "# Errors\n\nEach error has a stable code, and a page of its own.\n".to_owned();
    for group in Group::ALL {
        let _ = write!(text, "\n## {}\n\n{}\n", group.title(), group.about());
        for entry in group.entries() {
            let (code, name, title) = (entry.code, entry.name(), entry.title);
            let _ = write!(text, "\n- [`{code}`]({PATH}/{name}): {title}.");
        }
        text.push('\n');
    }
    text
}

/// What `code` means wherever it can stand, as Markdown; none where nothing has it.
fn of_code(code: &str, pages: &ErrorPages) -> Option<String> {
    let is_known = Group::ALL.iter().any(|group| group.has(code));
    if !is_known {
        return None;
    }
    let mut text = format!("# `{code}`\n");
    for group in Group::ALL {
        for entry in group.entries().into_iter().filter(|entry| entry.code == code) {
            let body = group.example(entry, pages.clone());
            let body = serde_json::to_string_pretty(&body).unwrap_or_default();
            let _ = write!(text, "\n## {}\n\n{}\n", entry.title, group.about());
            text.push_str(&explained(entry));
            let _ = write!(text, "\n```json\n{body}\n```\n");
        }
    }
    let _ = write!(text, "\n[All errors]({PATH}), [the API](/docs/).\n");
    Some(text)
}

/// Status, cause and remedy, as Markdown.
fn explained(entry: &Entry) -> String {
    let mut text = String::new();
    if !entry.statuses.is_empty() {
        let statuses: Vec<String> = entry.statuses.iter().map(ToString::to_string).collect();
        let _ = write!(text, "\n**Status.** {}.\n", statuses.join(", "));
    }
    let _ = write!(text, "\n**Cause.** {}\n\n**What to do.** {}\n", entry.cause, entry.fix);
    text
}

fn problem_of(error: FieldError) -> Problem {
    Problem::invalid(vec![error])
}

/// The problem `entry` as an answer.
fn example(entry: &'static Entry, pages: ErrorPages) -> Value {
    let mut problem = Problem::plain(entry);
    if entry.code == catalogue::INVALID_REQUEST.code {
        let (pointer, detail) = entry.example.split_once(": ").unwrap_or_default();
        problem = problem_of(FieldError::new(pointer, detail));
    }
    if entry.code == catalogue::QUOTA_EXCEEDED.code {
        problem.hint = Some(Hint::Policy("default"));
    }
    problem.shown(pages)
}

impl Problem {
    /// The problem as an example of an answer.
    pub(crate) fn shown(self, pages: ErrorPages) -> Value {
        let mut shown = self.explained_by(pages).to_json();
        shown["instance"] = json!(REQUEST_ID);
        shown["request_id"] = json!(REQUEST_ID);
        shown
    }
}

/// A page in HTML of our own Markdown: headings, paragraphs, lists of one line an item, and blocks of code.
fn html(title: &str, markdown: &str) -> String {
    let mut body = String::new();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let _ = writeln!(body, "<pre>{}</pre>", escaped(&code.join("\n")));
        } else if let Some(heading) = line.strip_prefix("## ") {
            let _ = writeln!(body, "<h2>{}</h2>", inline(heading));
        } else if let Some(heading) = line.strip_prefix("# ") {
            let _ = writeln!(body, "<h1>{}</h1>", inline(heading));
        } else if let Some(item) = line.strip_prefix("- ") {
            let mut items = format!("<li>{}</li>", inline(item));
            while let Some(item) = lines.next_if(|line| line.starts_with("- ")) {
                let _ = write!(items, "\n<li>{}</li>", inline(&item[2..]));
            }
            let _ = writeln!(body, "<ul>{items}</ul>");
        } else if !line.is_empty() {
            let _ = writeln!(body, "<p>{}</p>", inline(line));
        }
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}: hatch</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escaped(title)
    )
}

/// A line with its code, bold words and links.
fn inline(line: &str) -> String {
    let mut text = String::new();
    for (at, part) in line.split('`').enumerate() {
        match at % 2 {
            0 => text.push_str(&escaped(part)),
            _ => {
                let _ = write!(text, "<code>{}</code>", escaped(part));
            }
        }
    }
    linked(&bold(&text))
}

fn bold(text: &str) -> String {
    let mut parts = text.split("**").enumerate();
    let first = parts.next().map(|(_, part)| part.to_owned()).unwrap_or_default();
    parts.fold(first, |text, (at, part)| {
        let tag = if at % 2 == 1 { "<b>" } else { "</b>" };
        text + tag + part
    })
}

/// `[text](address)` as a link; our texts have no other brackets.
fn linked(text: &str) -> String {
    let (mut linked, mut rest) = (String::new(), text);
    while let Some([before, name, address, after]) = link(rest) {
        let _ = write!(linked, "{before}<a href=\"{address}\">{name}</a>");
        rest = after;
    }
    linked + rest
}

/// What stands before the first link, its text, its address, and what stands after it.
fn link(text: &str) -> Option<[&str; 4]> {
    let (before, rest) = text.split_once('[')?;
    let (name, rest) = rest.split_once("](")?;
    let (address, after) = rest.split_once(')')?;
    Some([before, name, address, after])
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
