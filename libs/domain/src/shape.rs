//! What an event looks like to those who read it, as a JSON schema (2020-12) made from its type.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema as _, ToSchema};

use crate::envelope::CloudEvent;

/// Where schemas of parts are, for those that refer to them.
const PARTS: &str = "#/components/schemas/";

/// What the data of a type of event looks like.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The name of the schema, such as `MessageRequestedData`.
    pub name: String,
    /// The schema of the data.
    pub data: Value,
    /// The schemas that it refers to, by the name in `#/components/schemas/`.
    pub parts: BTreeMap<String, Value>,
}

impl Shape {
    /// The shape of `E` as it is published.
    #[must_use]
    pub fn of<E: ToSchema>() -> Self {
        let mut parts = Vec::new();
        E::schemas(&mut parts);
        Self {
            name: E::name().into_owned(),
            data: published(&E::schema()),
            parts: parts.iter().map(|(name, schema)| (name.clone(), published(schema))).collect(),
        }
    }
}

/// The schema of an event of that type, which is described so and whose data has the schema `data`.
#[must_use]
pub fn event(event_type: &str, version: i16, description: &str, data: &Value) -> Value {
    let mut event = attributes();
    event["description"] = json!(description);
    let properties = &mut event["properties"];
    // A list of one is what every reader of schemas knows.
    properties["type"]["enum"] = json!([format!("hatch.{event_type}.v{version}")]);
    properties["data"] = data.clone();
    event
}

/// The schema of what every event has: the attributes of the CloudEvent.
#[must_use]
pub fn attributes() -> Value {
    published(&CloudEvent::schema())
}

/// The schema as JSON. A field that need not be there is absent then and never null.
fn published(schema: &impl serde::Serialize) -> Value {
    let mut schema = serde_json::to_value(schema).expect("a schema is JSON");
    complete(&mut schema);
    schema
}

fn complete(schema: &mut Value) {
    let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties.iter_mut() {
            if !required.contains(&json!(name)) {
                without_null(property);
            }
        }
    }
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = plain(text);
            }
            fields.values_mut().for_each(complete);
        }
        Value::Array(items) => items.iter_mut().for_each(complete),
        _ => {}
    }
}

/// What is left of `a or null` without the null.
fn without_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|one| one != "null");
        if let [only] = &types[..] {
            schema["type"] = only.clone();
        }
    }
    let Some(Value::Array(choices)) = schema.get("oneOf") else { return };
    let choices: Vec<Value> = choices.iter().filter(|one| one["type"] != "null").cloned().collect();
    if let [Value::Object(only)] = &choices[..] {
        let mut only: Map<String, Value> = only.clone();
        // What is said of the field itself says more than what is said of its type.
        if let Some(description) = schema.get("description") {
            only.insert("description".to_owned(), description.clone());
        }
        *schema = Value::Object(only);
    }
}

/// A text without the links that only the documentation of the code can follow.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        plain.push_str(before);
        let Some((name, after)) = link.split_once("`]") else {
            rest = &rest[before.len()..];
            break;
        };
        plain.push_str(&format!("`{name}`"));
        rest = match after.strip_prefix('(').and_then(|target| target.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

/// The name of the schema that `schema` refers to, if it does.
#[must_use]
pub fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix(PARTS)
}

/// A schema that refers to the one of that name.
#[must_use]
pub fn reference(name: &str) -> Value {
    json!({"$ref": format!("{PARTS}{name}")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_code_are_plain_words_outside() {
        for (text, expected) in [
            ("of one", "of one"),
            ("see [`Other`].", "see `Other`."),
            ("an id ([`of`](crate::of)), or [`b`]", "an id (`of`), or `b`"),
            ("a list [`x", "a list [`x"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn what_need_not_be_there_is_absent_and_never_null() {
        let shape = Shape::of::<crate::message::event::MessageRequested>();
        assert_eq!(shape.name, "MessageRequestedData");
        let properties = &shape.data["properties"];
        assert_eq!(properties["topic"]["type"], "string");
        assert_eq!(properties["body"]["type"], json!(["string", "null"]), "it is always there");
        assert_eq!(referred(&properties["email"]), Some("EventEmail"));
        assert!(shape.parts.contains_key("EventEmail"), "{:?}", shape.parts.keys());
        let claim = Shape::of::<crate::message::event::SendAttempted>();
        assert!(claim.data["properties"]["token"].is_null(), "{}", claim.data);
    }
}
