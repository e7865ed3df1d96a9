//! `schema/asyncapi.json`: what travels NATS, as AsyncAPI 3.0.

use hatch_domain::{Channel, Priority, event_types};
use serde_json::{Map, Value, json};

use super::{Described, described, is_written};

/// What the document says of itself.
const ABOUT: &str = "Every event of hatch's log, one message each, in log order: the stream's sequence is the \
    event's position. Believe a message only once its Hatch-Mac is right: docs/events.md says how.";

fn document() -> Value {
    let all = described();
    let mut schemas = json!({"MessageHeaders": headers()});
    let (mut channels, mut operations, mut messages) = (json!({}), json!({}), json!({}));
    for event in &all {
        for (name, part) in &event.shape.parts {
            schemas[name] = part.clone();
        }
        schemas[&event.shape.name] = event.shape.data.clone();
        schemas[format!("{}V{}", event.name, event.version)] = event.schema();
        messages[event.id()] = message(event);
        let of_type = event.name;
        let channel = &mut channels[of_type];
        if channel.is_null() {
            *channel = channel_of(event);
            operations[format!("send{of_type}")] = json!({
                "action": "send",
                "summary": event.description(),
                "channel": {"$ref": format!("#/channels/{of_type}")},
            });
        }
        channel["messages"][event.id()] =
            json!({"$ref": format!("#/components/messages/{}", event.id())});
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "hatch events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {
            "host": "127.0.0.1:4222",
            "protocol": "nats",
            "description": "The NATS server that hatch publishes on: stream HATCH_EVENTS_<generation>.",
        }},
        "channels": channels,
        "operations": operations,
        "components": {"schemas": schemas, "messages": messages},
    })
}

fn channel_of(event: &Described) -> Value {
    let (kind, name) = (event.kind.name, event.name);
    json!({
        "address": format!("hatch.events.{{tenant}}.{kind}.{name}.{{channel}}.{{priority}}"),
        "description": event.description(),
        "parameters": {
            "tenant": {"description": "The id of the tenant."},
            "channel": {
                "description": "The channel of the stream, or - where it has none.",
                "enum": or_none(&Channel::ALL.map(Channel::as_str)),
            },
            "priority": {
                "description": "The priority of the stream, or - where it has none.",
                "enum": or_none(&Priority::ALL.map(Priority::as_str)),
            },
        },
        "messages": {},
    })
}

fn or_none(names: &[&str]) -> Value {
    json!([names, &["-"]].concat())
}

fn headers() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    json!({
        "type": "object",
        "required": ["Hatch-Position", "Hatch-Event-Id", "Hatch-Mac"],
        "properties": {
            "Hatch-Position": text("The position in the log, in decimal; equals the sequence in the stream."),
            "Hatch-Event-Id": text("The event's id."),
            "Hatch-Mac": text("HMAC-SHA256 in base64, by the secret of the epoch: proves that hatch wrote it."),
            "traceparent": text("W3C Trace Context, where the event has one."),
        },
    })
}

fn message(event: &Described) -> Value {
    let payload = serde_json::to_value(event.example.travelling()).expect("JSON");
    let summary = match event.newest {
        true => event.description().to_owned(),
        false => "An older version, which hatch writes no more.".to_owned(),
    };
    json!({
        "name": format!("hatch.{}", event.id()),
        "title": event.name,
        "summary": summary,
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/MessageHeaders"},
        "payload": {"$ref": format!("#/components/schemas/{}V{}", event.name, event.version)},
        "examples": [{
            "headers": {
                "Hatch-Position": payload["position"].to_string(),
                "Hatch-Event-Id": payload["id"],
                "Hatch-Mac": "5U7UUv0Zhwd2BKwWcsihhnWoRJw/JhKa2Lhhvy26Iiw=",
            },
            "payload": payload,
        }],
    })
}

#[test]
fn the_document_is_the_one_in_schema() {
    let text = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
    is_written("schema/asyncapi.json", &text);
}

#[test]
fn whatever_the_document_refers_to_is_there() {
    fn check(part: &Value, document: &Value) {
        match part {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    let to = to.strip_prefix('#').expect("within the document");
                    assert!(document.pointer(to).is_some(), "{to}");
                }
                fields.values().for_each(|part| check(part, document));
            }
            Value::Array(items) => items.iter().for_each(|part| check(part, document)),
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
    let named = |place: &str| document[place].as_object().map_or(0, Map::len);
    assert_eq!(named("channels"), event_types().count());
    assert_eq!(named("operations"), named("channels"));
}
