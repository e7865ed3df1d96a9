//! Errors of the settings, with the file and the key. A value is shown only where it cannot be a secret.

use std::path::Path;

use figment::Figment;
use figment::error::{Actual, Kind};

use super::environment;

/// How an error of TOML begins, before it quotes the line.
const TOML: &str = "TOML parse error at ";

/// The error in one line.
pub(super) fn describe(error: &figment::Error) -> anyhow::Error {
    let key = error.path.join(".");
    let source = error.metadata.as_ref().and_then(|metadata| metadata.source.as_ref());
    let file = source.and_then(figment::Source::file_path);
    if let (Kind::Message(text), Some(file)) = (&error.kind, file)
        && let Some(said) = text.strip_prefix(TOML)
    {
        return broken(file, said.lines().next().unwrap_or_default());
    }
    if let (Some(Err(unread)), "") = (file.map(std::fs::read_to_string), key.as_str()) {
        let file = file.unwrap_or_else(|| Path::new("")).display();
        return anyhow::anyhow!("configuration: {file} cannot be read as text: {unread}");
    }
    let kind = kind(&error.kind, &key);
    let named = shown(&key);
    let place = file.and_then(|file| Some((file, place_of(file, &key)?)));
    match (key.as_str(), place) {
        ("", _) => anyhow::anyhow!("configuration: {kind}"),
        (_, None) => anyhow::anyhow!("configuration: {named}: {kind}"),
        (_, Some((file, (line, column)))) => anyhow::anyhow!(
            "configuration: {named}: {kind} ({}: line {line}, column {column})",
            file.display()
        ),
    }
}

/// Where a file sets `key`, in brackets; nothing where none does.
pub(super) fn place(figment: &Figment, key: &str) -> String {
    let place = || {
        let file = figment.find_metadata(key)?.source.as_ref()?.file_path()?;
        let (line, column) = place_of(file, key)?;
        Some(format!(" ({}: line {line}, column {column})", file.display()))
    };
    place().unwrap_or_default()
}

/// The file is no TOML at `place`, which is `line 3, column 14`.
fn broken(file: &Path, place: &str) -> anyhow::Error {
    let line = place.strip_prefix("line ").and_then(|rest| rest.split(',').next()?.parse().ok());
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let key = line.and_then(|line: usize| keys(&text).find(|(at, ..)| *at == line));
    let key = key.map_or_else(String::new, |(_, _, key)| format!(" {}:", shown(&key)));
    let file = file.display();
    anyhow::anyhow!(
        "configuration:{key} {file} is no TOML: {place}: see the quotes and brackets there"
    )
}

/// Letters of a key that is not one at most; a secret is longer, or has digits and capitals.
const WORDS_MAX: usize = 32;

/// `key` as far as it is one, or nearly, or made of words as keys are: somebody may have written a secret where a key
/// belongs.
pub(super) fn shown(key: &str) -> String {
    let schema = environment::schema();
    let (mut at, mut shown) = (&schema, Vec::new());
    for name in key.split('.') {
        if let Some(item) = at.get("items").filter(|_| environment::is_index(name)) {
            shown.push(name);
            at = item;
            continue;
        }
        let known = at["properties"].as_object();
        let is_word = name.len() <= WORDS_MAX
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let mut known = known.into_iter().flatten();
        let is_near = is_word || known.any(|(known, _)| distance(known, name) <= 2);
        let is_account = shown == ["accounts"] && is_account_name(name);
        shown.push(if is_near || is_account { name } else { "\u{2026}" });
        match at["properties"].get(name).or_else(|| at.get("additionalProperties")) {
            Some(next) => at = next,
            None => break,
        }
    }
    shown.join(".")
}

/// Whether it can be the name of an account, and no token: those are longer.
fn is_account_name(name: &str) -> bool {
    const CHARACTERS_MAX: usize = 24;
    name.len() <= CHARACTERS_MAX && name.parse::<hatch_domain::account_name::AccountName>().is_ok()
}

/// How many letters have to be changed, added or left out to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (n, a) in (1..).zip(one.bytes()) {
        let mut diagonal = std::mem::replace(&mut row[0], n);
        for (m, b) in (1..).zip(other.bytes()) {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[m];
            row[m] = changed.min(row[m] + 1).min(row[m - 1] + 1);
        }
    }
    row[other.len()]
}

/// What is wrong with the value of `key`.
fn kind(kind: &Kind, key: &str) -> String {
    match kind {
        Kind::InvalidType(found, expected) => {
            format!("invalid type: found {}, expected {}", found_at(found, key), in_words(expected))
        }
        Kind::InvalidValue(found, expected) => {
            format!(
                "invalid value: found {}, expected {}",
                found_at(found, key),
                in_words(expected)
            )
        }
        Kind::UnknownField(_, known) => {
            format!("unknown key, expected one of {}", known.join(", "))
        }
        // These name keys, and lengths.
        Kind::MissingField(_)
        | Kind::DuplicateField(_)
        | Kind::InvalidLength(..)
        | Kind::ISizeOutOfRange(_)
        | Kind::USizeOutOfRange(_) => kind.to_string(),
        Kind::UnknownVariant(_, known) => {
            format!("unknown value, expected one of {}", known.join(", "))
        }
        other if is_open(key) => other.to_string(),
        _ => "the value is not of the form that docs/configuration.md says".to_owned(),
    }
}

/// What was found: its text only where that can be no secret.
fn found_at(found: &Actual, key: &str) -> String {
    match found {
        Actual::Str(_) | Actual::Other(_) | Actual::Char(_) if !is_open(key) => "a text".to_owned(),
        found => found.to_string(),
    }
}

/// Whether the value of `key` can be no secret: it is a number, a truth, or one of some words.
fn is_open(key: &str) -> bool {
    let schema = environment::schema();
    environment::find(&schema, key).is_some_and(|schema| {
        matches!(environment::kind(schema), Some("integer" | "number" | "boolean"))
            || schema.get("enum").is_some()
    })
}

/// Where the file sets `key`, or what it is in.
fn place_of(file: &Path, key: &str) -> Option<(usize, usize)> {
    let text = std::fs::read_to_string(file).ok()?;
    let within = |set: &str| {
        let inside = |long: &str, short: &str| {
            long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        inside(key, set) || inside(set, key)
    };
    let mut found: Vec<_> = keys(&text).filter(|(_, _, set)| within(set)).collect();
    found.sort_by_key(|(line, _, set)| (*set != key, *line));
    found.first().map(|(line, column, _)| (*line, *column))
}

/// Each key that a line of `text` sets, and each table that it begins, by line and column from 1.
fn keys(text: &str) -> impl Iterator<Item = (usize, usize, String)> {
    let mut table = String::new();
    text.lines().enumerate().filter_map(move |(n, line)| {
        let content = line.trim_start();
        let column = line.len() - content.len() + 1;
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            table = name.trim().to_owned();
            return is_bare(&table).then(|| (n + 1, column, table.clone()));
        }
        let name = content.split_once('=')?.0.trim();
        let key = if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
        is_bare(&key).then_some((n + 1, column, key))
    })
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// What was expected, where serde says it by a type of Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        other => other,
    }
}
