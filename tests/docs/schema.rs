//! Whether a value is what a schema of `schema/openapi.json` says.

use serde_json::{Map, Value};

const DOCUMENT: &str = include_str!("../../schema/openapi.json");

/// What is wrong with `value` as the schema of that name, each fault with its place.
pub(super) fn faults(name: &str, value: &Value) -> Vec<String> {
    let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
    let Some(schema) = document["components"]["schemas"].get(name) else {
        return vec![format!("there is no schema {name}")];
    };
    let mut faults = Vec::new();
    Checker { document: &document, faults: &mut faults }.check(schema, value, "", true);
    faults
}

struct Checker<'a> {
    document: &'a Value,
    faults: &'a mut Vec<String>,
}

impl Checker<'_> {
    /// Where it is `closed`, a field that the schema does not name is a fault.
    fn check(&mut self, schema: &Value, value: &Value, at: &str, closed: bool) {
        if let Some(reference) = schema["$ref"].as_str() {
            let pointer = reference.trim_start_matches('#');
            let schema = self.document.pointer(pointer);
            return self.check(schema.expect("a schema"), value, at, closed);
        }
        for schema in list(&schema["allOf"]) {
            self.check(schema, value, at, false);
        }
        for key in ["oneOf", "anyOf"] {
            let choices = list(&schema[key]);
            if !choices.is_empty() && !choices.iter().any(|choice| self.fits(choice, value, at)) {
                self.faults.push(format!("{at}: none of its forms"));
            }
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            self.faults.push(format!("{at}: {value} is none of {allowed:?}"));
        }
        if !has_type(&schema["type"], value) {
            self.faults.push(format!("{at}: {value} is no {}", schema["type"]));
        }
        if let Some(fields) = value.as_object() {
            let composed = ["allOf", "oneOf", "anyOf"].iter().any(|key| schema.get(key).is_some());
            self.fields(schema, fields, at, closed && !composed);
        }
        for (n, item) in value.as_array().into_iter().flatten().enumerate() {
            if let Some(items) = schema.get("items") {
                self.check(items, item, &format!("{at}/{n}"), true);
            }
        }
    }

    fn fields(&mut self, schema: &Value, fields: &Map<String, Value>, at: &str, closed: bool) {
        for name in list(&schema["required"]) {
            let name = name.as_str().expect("a name");
            if !fields.contains_key(name) {
                self.faults.push(format!("{at}: {name} is missing"));
            }
        }
        let others = schema.get("additionalProperties");
        for (name, value) in fields {
            let at = format!("{at}/{name}");
            match (schema["properties"].get(name), others) {
                (Some(schema), _) => self.check(schema, value, &at, true),
                (None, Some(Value::Bool(false))) => {
                    self.faults.push(format!("{at}: no such field"))
                }
                (None, Some(schema @ Value::Object(_))) => self.check(schema, value, &at, true),
                (None, None) if closed && schema["properties"].is_object() => {
                    self.faults.push(format!("{at}: no such field"));
                }
                (None, _) => {}
            }
        }
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) -> bool {
        let mut faults = Vec::new();
        Checker { document: self.document, faults: &mut faults }.check(schema, value, at, true);
        faults.is_empty()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn has_type(types: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().expect("a type's name") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    };
    match types {
        Value::Null => true,
        Value::Array(types) => types.iter().any(is),
        one => is(one),
    }
}

#[test]
fn a_value_that_is_not_what_its_schema_says_is_found_out() {
    let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
    let problem = document["components"]["schemas"]["Problem"]["example"].clone();
    assert_eq!(faults("Problem", &problem), [""; 0]);
    for (field, value) in [("status", "404"), ("surplus", "1")] {
        let mut wrong = problem.clone();
        wrong[field] = value.into();
        assert_ne!(faults("Problem", &wrong), [""; 0], "{wrong}");
    }
    assert_ne!(faults("Problem", &Value::Object(Map::new())), [""; 0]);
    assert_ne!(faults("NoSuchThing", &problem), [""; 0]);
}
