//! Each mail of `tests/corpus/mail` is read as the file beside it says.
//!
//! The expectation says what is right. One that is not met yet says why in `known`, and is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use hatch_domain::Attachment;
use hatch_domain::mailbox::Mailbox;
use hatch_mail::visible::{Reading, Written};
use hatch_mail::{Cut, Facts, Mail, kind_of};
use serde_json::{Map, Value, json};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus/mail");

/// A smaller corpus has lost mails.
const MAILS_MIN: usize = 270;

/// The mails that are not read right, each of which says why.
const KNOWN: usize = 3;

/// What an expectation says of the mail rather than of its reading.
const ABOUT: [&str; 5] = ["client", "language", "shape", "without_sender", "known"];

/// A mail of the corpus, and what became of it.
struct Row {
    name: String,
    expected: Map<String, Value>,
    /// What differs, in words.
    differences: Vec<String>,
}

impl Row {
    fn about(&self, key: &str) -> &str {
        self.expected.get(key).and_then(Value::as_str).unwrap_or("-")
    }

    fn is_known(&self) -> bool {
        self.expected.contains_key("known")
    }
}

#[test]
fn each_mail_of_the_corpus_is_read_as_the_file_beside_it_says() {
    let rows = rows();
    let (mut failed, mut known) = (String::new(), 0);
    for row in &rows {
        if row.is_known() {
            known += 1;
            assert!(!row.differences.is_empty(), "{} is read right by now: say so", row.name);
        } else if !row.differences.is_empty() {
            write!(failed, "\n{}:\n{}", row.name, row.differences.join("\n")).expect("a text");
        }
    }
    eprintln!("{}", table(&rows));
    assert!(failed.is_empty(), "{failed}");
    assert_eq!(known, KNOWN, "exceptions");
    assert!(rows.len() >= MAILS_MIN, "{} mails", rows.len());
}

#[test]
fn the_corpus_has_mails_of_each_client_language_and_kind() {
    let rows = rows();
    for (key, least) in [("client", 40), ("language", 25), ("kind", 4), ("shape", 10)] {
        let found: BTreeSet<&str> = rows.iter().map(|row| row.about(key)).collect();
        assert!(found.len() >= least, "{key}: {found:?}");
    }
}

/// All mails by name, each read and compared.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for file in std::fs::read_dir(CORPUS).expect("the corpus") {
        let path = file.expect("readable").path();
        if path.extension().is_some_and(|ending| ending == "eml") {
            rows.push(row(&path));
        }
    }
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
}

fn row(path: &Path) -> Row {
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mail = std::fs::read(path).expect("readable");
    let beside = std::fs::read(path.with_extension("json")).expect("the expectation beside it");
    let expected: Map<String, Value> = serde_json::from_slice(&beside).expect("JSON");
    let without_sender = expected.get("without_sender").is_some();
    let read = reading(&mail, without_sender);
    let keys: BTreeSet<&String> = read.keys().chain(expected.keys()).collect();
    let differs =
        |key: &&&String| !ABOUT.contains(&key.as_str()) && read.get(**key) != expected.get(**key);
    let say = |key: &String| {
        let of = |all: &Map<String, Value>| all.get(key).unwrap_or(&Value::Null).to_string();
        format!("  {key}\n    right {}\n    read  {}", of(&expected), of(&read))
    };
    let differences = keys.iter().filter(differs).map(|key| say(key)).collect();
    Row { name, expected, differences }
}

/// What is read of a mail. What it does not have is left out.
fn reading(bytes: &[u8], without_sender: bool) -> Map<String, Value> {
    let mail = Mail::read(bytes, &mut Cut::default());
    let headers = &mail.headers;
    let from = headers.from.as_ref();
    let kind = kind_of(
        &headers.signs,
        &Facts {
            from: from.map_or("", |from| from.address.as_str()),
            from_name: from.and_then(|from| from.name.as_deref()),
            to: &headers.to,
            subject: headers.subject.as_deref(),
            without_sender,
            text: mail.text.as_deref(),
            html: mail.html.as_deref(),
            files: &mail.files,
            in_reply_to: headers.in_reply_to.as_ref(),
            references: &headers.references,
        },
    );
    let written = Written {
        subject: headers.subject.as_deref(),
        text: mail.text.as_deref(),
        html: mail.html.as_deref(),
    };
    let reading = Reading::of(&written);
    let folded: BTreeSet<&str> = reading.folded().map(|(kind, _)| kind.as_str()).collect();
    let bounced = kind.bounce.as_ref().map(|bounce| {
        let recipients = bounce.recipients.iter();
        recipients.map(|one| json!([one.address.as_str(), one.status])).collect::<Vec<_>>()
    });
    let all = json!({
        "from": from.map(shown),
        "to": headers.to.iter().map(shown).collect::<Vec<_>>(),
        "cc": headers.cc.iter().map(shown).collect::<Vec<_>>(),
        "reply_to": headers.reply_to.as_ref().map(shown),
        "subject": headers.subject,
        "mail_id": headers.mail_id,
        "in_reply_to": headers.in_reply_to,
        "references": headers.references,
        "kind": kind.kind,
        "bounced": bounced,
        "bounced_mail": kind.bounce.and_then(|bounce| bounce.mail_id),
        "text": mail.text.as_deref().map(lines),
        "html": mail.html.is_some(),
        "visible": reading.visible().as_deref().map(words),
        "folded": folded,
        "files": mail.files.iter().map(file).collect::<Vec<_>>(),
    });
    let Value::Object(all) = all else { return Map::new() };
    let is_nothing = |value: &Value| {
        value.is_null() || *value == json!(false) || value.as_array().is_some_and(Vec::is_empty)
    };
    all.into_iter().filter(|(_, value)| !is_nothing(value)).collect()
}

fn shown(mailbox: &Mailbox) -> String {
    let address = mailbox.address.as_str();
    mailbox.name.as_ref().map_or_else(|| address.to_owned(), |name| format!("{name} <{address}>"))
}

/// A text without regard to how its lines end, and to what is blank around it.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").trim().to_owned()
}

/// The words of a text: where a line of HTML ends is a matter of taste.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn file(file: &Attachment) -> Value {
    let content = file.content.as_deref().unwrap_or_default();
    let bytes = BASE64_STANDARD.decode(content).expect("base64").len();
    let all = json!({
        "filename": file.filename,
        "content_type": file.content_type,
        "bytes": bytes,
        "content_id": file.content_id,
        "inline": file.inline,
    });
    let Value::Object(all) = all else { return Value::Null };
    let is_nothing = |value: &Value| value.is_null() || *value == json!(false);
    all.into_iter().filter(|(_, value)| !is_nothing(value)).collect::<Map<_, _>>().into()
}

/// The corpus as a table, with how many there are of each client, language and kind.
fn table(rows: &[Row]) -> String {
    let mut table = String::from("name | kind | client | language | ok\n");
    for row in rows {
        let ok = match (row.differences.is_empty(), row.is_known()) {
            (true, _) => "ok",
            (false, true) => "known",
            (false, false) => "WRONG",
        };
        let [kind, client, language] = ["kind", "client", "language"].map(|key| row.about(key));
        writeln!(table, "{} | {kind} | {client} | {language} | {ok}", row.name).expect("a text");
    }
    for key in ["kind", "client", "language", "shape"] {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            *counts.entry(row.about(key)).or_default() += 1;
        }
        writeln!(table, "{key}: {counts:?}").expect("a text");
    }
    table
}
