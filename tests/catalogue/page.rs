//! The catalogue in `docs/events.md`.

use std::collections::BTreeMap;

use hatch_domain::{KINDS, shape};
use serde_json::{Value, json};

use super::{Described, described, is_written};
use crate::architecture::root;

const PAGE: &str = "docs/events.md";
const BEGIN: &str =
    "<!-- Written by `just events` from the types in libs/domain: change those. -->\n";
const END: &str = "<!-- The end of what `just events` writes. -->\n";

type Parts = BTreeMap<String, Value>;

fn catalogue() -> String {
    let all = described();
    let mut parts = Parts::new();
    for event in &all {
        parts.extend(event.shape.parts.clone());
    }
    let mut page = "\n## Attributes\n\nWhat every event has. The rest is its `data`.\n".to_owned();
    page.push_str(&table("attribute", &shape::attributes(), None, &parts));
    let example = all.iter().find(|one| one.name == "MessageRequested").expect("the first of all");
    page.push_str("\nA whole event:\n\n");
    page.push_str(&block(&example.example.travelling().to_json()));
    for kind in KINDS {
        let article = if kind.name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        page.push_str(&format!("\n## Events of {article} {}\n", kind.name.replace('_', " ")));
        for event in all.iter().filter(|event| event.kind.name == kind.name) {
            page.push_str(&of_event(event, &parts));
        }
    }
    page.push_str("\n## Parts\n\nWhat fields of several events hold.\n");
    for (name, part) in parts.iter().filter(|(_, part)| is_section(part)) {
        page.push_str(&of_part(name, part, &parts));
    }
    page
}

fn of_event(event: &Described, parts: &Parts) -> String {
    let data = event.example.data.as_ref().expect("the golden event").get();
    let mut text = format!("\n### {}, version {}\n\n", event.name, event.version);
    if event.newest {
        text.push_str(&format!("{}\n", one_line(event.description())));
        text.push_str(&table("field", &event.shape.data, Some(data), parts));
    } else {
        text.push_str(
            "An older version, which hatch writes no more. It stays in the log as it is.\n",
        );
    }
    text.push_str(&format!("\n{}", block(data)));
    text
}

fn of_part(name: &str, part: &Value, parts: &Parts) -> String {
    let mut text = format!("\n### {name}\n\n{}\n", one_line(described_as(part)));
    match part["oneOf"].as_array() {
        Some(choices) => {
            for choice in choices {
                let kind = &choice["properties"]["kind"]["enum"][0];
                let about = one_line(described_as(choice));
                text.push_str(&format!(
                    "\n`kind` is `{}`: {about}\n",
                    kind.as_str().expect("a name")
                ));
                text.push_str(&table("field", choice, None, parts));
            }
        }
        None => text.push_str(&table("field", part, None, parts)),
    }
    text
}

/// A row for each field: those of the example in its order, then the others.
fn table(what: &str, schema: &Value, example: Option<&str>, parts: &Parts) -> String {
    let fields = schema["properties"].as_object().expect("fields");
    // What tells variants apart is said above each table.
    let mut names: Vec<&String> =
        fields.keys().filter(|name| !is_tag(&schema["properties"][*name])).collect();
    let place = |name: &String| {
        let place = example.and_then(|example| example.find(&format!("\"{name}\":")));
        (place.is_none(), place, !is_required(schema, name))
    };
    names.sort_by_key(|name| place(name));
    let mut table = format!("\n| {what} | value | there | meaning |\n|---|---|---|---|\n");
    for name in names {
        let property = &schema["properties"][name];
        let there = if is_required(schema, name) { "always" } else { "or not" };
        let about = one_line(described_as(property));
        table.push_str(&format!("| `{name}` | {} | {there} | {about} |\n", value(property, parts)));
    }
    table
}

fn is_tag(property: &Value) -> bool {
    property.get("enum").is_some() && property.get("description").is_none()
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|all| all.contains(&json!(name)))
}

/// Whether it has a section of its own, and is not said where it is used.
fn is_section(part: &Value) -> bool {
    part.get("properties").is_some() || part.get("oneOf").is_some()
}

/// What a value looks like, in words.
fn value(schema: &Value, parts: &Parts) -> String {
    if let Some(name) = shape::referred(schema) {
        let part = &parts[name];
        return match is_section(part) {
            true => format!("[{name}](#{})", name.to_lowercase()),
            false => value(part, parts),
        };
    }
    if let Some(choices) = schema["enum"].as_array() {
        let choices = choices.iter().map(|one| format!("`{}`", one.as_str().expect("a name")));
        return choices.collect::<Vec<_>>().join(", ");
    }
    let (name, or_null) = match &schema["type"] {
        Value::Array(types) => {
            let name = types.iter().find(|one| *one != "null").and_then(Value::as_str);
            (name, " or `null`")
        }
        name => (name.as_str(), ""),
    };
    let plain = match (name, schema["format"].as_str()) {
        (Some("string"), Some("uuid")) => "UUID".to_owned(),
        (Some("string"), Some("date-time")) => "time, RFC 3339 in UTC".to_owned(),
        (Some("string"), _) => "text".to_owned(),
        (Some("integer"), _) => "integer".to_owned(),
        (Some("number"), _) => "number".to_owned(),
        (Some("boolean"), _) => "`true` or `false`".to_owned(),
        (Some("array"), _) => format!("list of: {}", value(&schema["items"], parts)),
        (Some("object"), _) => match &schema["additionalProperties"] {
            of @ Value::Object(fields) if fields.contains_key("type") => {
                format!("by name: {}", value(of, parts))
            }
            _ => "object".to_owned(),
        },
        // Whatever JSON has.
        (None, _) => "anything".to_owned(),
        other => panic!("no words for {other:?}"),
    };
    plain + or_null
}

fn described_as(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_else(|| panic!("not documented: {schema}"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// JSON in a block, a field a line, with the fields in their order.
fn block(json: &str) -> String {
    let (mut text, mut depth, mut in_text, mut escaped) = (String::new(), 0_usize, false, false);
    for c in json.chars() {
        if in_text {
            text.push(c);
            in_text = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
            continue;
        }
        let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
        match c {
            '{' | '[' => {
                depth += 1;
                text.push(c);
                text.push_str(&line(depth));
            }
            '}' | ']' => {
                depth -= 1;
                text.push_str(&line(depth));
                text.push(c);
            }
            ',' => text.push_str(&format!(",{}", line(depth))),
            ':' => text.push_str(": "),
            _ => {
                in_text = c == '"';
                text.push(c);
            }
        }
    }
    format!("```json\n{text}\n```\n")
}

#[test]
fn the_page_has_the_catalogue_of_all_events() {
    let page = std::fs::read_to_string(root().join(PAGE)).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("the place of the catalogue");
    let (_, after) = rest.split_once(END).expect("its end");
    is_written(PAGE, &format!("{before}{BEGIN}{}\n{END}{after}", catalogue()));
}

#[test]
fn a_block_has_a_field_a_line_in_the_order_of_the_text() {
    let json = r#"{"b":"x, {\"y\":1}","a":[1,{"c":null}]}"#;
    let expected = "```json\n{\n  \"b\": \"x, {\\\"y\\\":1}\",\n  \"a\": [\n    1,\n    {\n      \
                    \"c\": null\n    }\n  ]\n}\n```\n";
    assert_eq!(block(json), expected);
}
