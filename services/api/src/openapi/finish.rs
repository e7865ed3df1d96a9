//! What the document says beyond what the types say of themselves.
//!
//! A type says how one thing looks. Here is what holds of all of them: which fields an answer always has, what
//! the events are, and how each answer looks, by an example.

use std::collections::BTreeSet;

use hatch_domain::shape::{self, plain};
use serde_json::{Value, json};

use super::walk::each_answer;
use super::{codes, events, examples, posted};

/// Answers that leave out a field which has nothing to say: an error is as RFC 9457 has it, and older clients
/// know the one or the other id.
const SPARSE: [&str; 3] = ["CompatSent", "FieldError", "Problem"];

/// Completes the document that was made of the types.
pub(super) fn finish(document: &mut Value) {
    name_lists(document);
    require(document);
    events::describe(document);
    posted::describe(document);
    examples::add(document);
    codes::name(document);
    in_plain_words(document);
}

/// A page of `X` is an `XList` that refers to `X`.
fn name_lists(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object_mut().expect("there are schemas");
    let generic: Vec<String> =
        schemas.keys().filter(|name| name.starts_with("List_")).cloned().collect();
    let mut renamed = Vec::new();
    for name in generic {
        let mut list = schemas.remove(&name).expect("it was there");
        let of = name.trim_start_matches("List_").to_owned();
        list["properties"]["data"]["items"] = shape::reference(&of);
        schemas.insert(format!("{of}List"), list);
        renamed.push((shape::reference(&name), shape::reference(&format!("{of}List"))));
    }
    each_answer(document, |_, _, content| {
        for media in content.values_mut() {
            if let Some((_, to)) = renamed.iter().find(|(from, _)| *from == media["schema"]) {
                media["schema"] = to.clone();
            }
        }
    });
}

/// Marks every field of an answer as required: an answer has all its keys, and what is not known is `null`.
fn require(document: &mut Value) {
    let mut answered = Vec::new();
    each_answer(document, |_, _, content| {
        answered.extend(content.values().map(|media| media["schema"].clone()));
    });
    let schemas = document["components"]["schemas"].as_object_mut().expect("there are schemas");
    let mut seen = BTreeSet::new();
    while let Some(schema) = answered.pop() {
        for name in references(&schema) {
            if SPARSE.contains(&name.as_str()) || !seen.insert(name.clone()) {
                continue;
            }
            let schema = schemas.get_mut(&name).expect("what is referred to is there");
            require_all(schema);
            answered.push(schema.clone());
        }
    }
}

fn require_all(schema: &mut Value) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        schema["required"] = properties.keys().map(|name| json!(name)).collect();
    }
    for part in ["allOf", "oneOf"] {
        schema
            .get_mut(part)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .for_each(require_all);
    }
}

/// The names of all schemas that a part of the document refers to.
fn references(part: &Value) -> Vec<String> {
    match part {
        Value::Object(fields) => {
            let own = shape::referred(part).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Takes the links out of all texts that only the documentation of the code can follow.
fn in_plain_words(part: &mut Value) {
    match part {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if ["description", "summary"].contains(&name.as_str()) => {
                        *text = plain(text);
                    }
                    value => in_plain_words(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(in_plain_words),
        _ => {}
    }
}
