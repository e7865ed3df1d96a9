//! What is written of events for those who read them, from the kinds: `docs/events.md` and
//! `schema/asyncapi.json`.

mod asyncapi;
mod page;

use chrono::DateTime;
use hatch_domain::envelope::Envelope;
use hatch_domain::published::published;
use hatch_domain::shape::{self, Shape};
use hatch_domain::{KINDS, Kind};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::architecture::root;
use crate::conforms::complaint;

/// A version of a type of event, as readers meet it.
struct Described {
    kind: &'static Kind,
    name: &'static str,
    version: i16,
    newest: bool,
    /// The shape of the newest version of the type.
    shape: Shape,
    /// The golden event.
    example: Envelope,
}

/// Every version of every type of event, in the order of their declaration.
fn described() -> Vec<Described> {
    let mut described = Vec::new();
    for kind in KINDS {
        let shapes = kind.shapes();
        assert_eq!(shapes.len(), kind.event_types.len(), "{}", kind.name);
        for (known, shape) in kind.event_types.iter().zip(shapes) {
            for version in (1..=known.version).rev() {
                described.push(Described {
                    kind,
                    name: known.name,
                    version,
                    newest: version == known.version,
                    shape: shape.clone(),
                    example: example(kind, known.name, version),
                });
            }
        }
    }
    described
}

/// The golden event of that version, as it is published, in an envelope.
fn example(kind: &Kind, name: &str, version: i16) -> Envelope {
    let file = root().join(format!("schema/events/{}/{name}.v{version}.json", kind.name));
    let golden =
        std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let golden = RawValue::from_string(golden.trim().to_owned()).expect("JSON");
    let value: Value = serde_json::from_str(golden.get()).expect("JSON");
    let text = |field: &str| value[field].as_str().map(str::to_owned);
    let id = |field: &str| text(field).map(|id| id.parse().expect("an id"));
    Envelope {
        position: 4_711,
        event_id: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0002),
        tenant_id: Uuid::from_u128(1),
        event_type: name.to_owned(),
        schema_version: version,
        stream_id: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0003),
        stream_version: 1,
        epoch: 1,
        recorded_at: DateTime::from_timestamp(1_800_000_000, 0).expect("in range"),
        aggregate: kind.name.to_owned(),
        conversation_id: id("conversation_id"),
        channel: text("channel"),
        priority: text("priority"),
        correlation_id: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0004),
        causation_id: None,
        actor: "api".to_owned(),
        traceparent: None,
        data: Some(published(name, golden)),
    }
}

impl Described {
    /// The schema of its data. What an older version looked like, its example says.
    fn data(&self) -> Value {
        if self.newest {
            return shape::reference(&self.shape.name);
        }
        json!({"type": "object", "description": "As the example shows it."})
    }

    /// The schema of the event.
    fn schema(&self) -> Value {
        shape::event(self.name, self.version, self.description(), &self.data())
    }

    /// The name of the event and its version.
    fn id(&self) -> String {
        format!("{}.v{}", self.name, self.version)
    }

    fn description(&self) -> &str {
        self.shape.data["description"].as_str().expect("every event is documented")
    }
}

/// Compares a file with what it should be, or writes it where that is asked for.
fn is_written(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("HATCH_TEST_WRITE").is_some() {
        std::fs::write(&file, text).expect("written");
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == text, "{path} is out of date: run just events");
}

#[test]
fn every_golden_event_is_as_its_schema_says() {
    let all = described();
    assert!(all.len() > 15, "{} events", all.len());
    for event in all {
        let Shape { name, data, mut parts } = event.shape.clone();
        parts.insert(name, data);
        let shown = serde_json::to_value(event.example.travelling()).expect("JSON");
        let schema = event.schema();
        assert_eq!(complaint(&schema, &shown, &parts, &event.id()), None);
        for (field, wrong) in
            [("type", json!("hatch.X.v1")), ("id", json!("x")), ("position", json!("1"))]
        {
            let mut other = shown.clone();
            other[field] = wrong;
            assert!(complaint(&schema, &other, &parts, "").is_some(), "{field}: {other}");
        }
        let mut other = shown.clone();
        other["data"]["unheard_of"] = json!(1);
        assert!(!event.newest || complaint(&schema, &other, &parts, "").is_some(), "{other}");
        let mut other = shown;
        other["data"].as_object_mut().expect("an object").remove("at");
        assert!(!event.newest || complaint(&schema, &other, &parts, "").is_some(), "{other}");
    }
}
