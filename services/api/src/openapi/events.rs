//! The events in the document: a schema for each type, made from the kinds.

use hatch_domain::{KINDS, shape};
use serde_json::{Map, Value, json};

use super::walk::each_answer;

/// Lists whose rows are events.
const LISTS: [&str; 2] = ["EventList", "ConversationEvents"];

/// Adds the schemas of all events, and refers to them where events are answered.
pub(super) fn describe(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object_mut().expect("there are schemas");
    let (mut choices, mut mapping) = (Vec::new(), Map::new());
    for kind in KINDS {
        for (known, shape) in kind.event_types.iter().zip(kind.shapes()) {
            for (name, part) in shape.parts {
                // The document has some of them already.
                schemas.entry(name).or_insert(part);
            }
            for version in 1..=known.version {
                let (name, data) = if version == known.version {
                    (format!("{}Event", known.name), shape::reference(&shape.name))
                } else {
                    let older = json!({"type": "object", "additionalProperties": {}});
                    (format!("{}V{version}Event", known.name), older)
                };
                choices.push(shape::reference(&name));
                let at = format!("hatch.{}.v{version}", known.name);
                mapping.insert(at, shape::reference(&name)["$ref"].clone());
                let about = shape.data["description"].as_str().unwrap_or_default();
                let event = shape::event(known.name, version, about, &data);
                schemas.insert(name, whole(event));
            }
            schemas.insert(shape.name, shape.data);
        }
    }
    schemas.insert("Event".to_owned(), json!({
        "description": "An event of the log, a structured CloudEvents 1.0 JSON: `type` says what `data` looks like.",
        "oneOf": choices,
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }));
    for list in LISTS {
        schemas[list]["properties"]["data"]["items"] = shape::reference("Event");
    }
    each_answer(document, |_, _, content| {
        if let Some(media) = content.get_mut("application/cloudevents+json") {
            media["schema"] = shape::reference("Event");
        }
    });
}

/// As answers show it: with its data, whatever the size.
fn whole(mut event: Value) -> Value {
    let required = event["required"].as_array_mut().expect("attributes are required");
    required.push(json!("data"));
    if let Some(properties) = event["properties"].as_object_mut() {
        properties.remove("dataref");
    }
    event
}
