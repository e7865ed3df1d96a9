//! Whether a value is as its schema says. It knows what schemas made from types use, and refuses the rest.

use std::collections::BTreeMap;

use chrono::DateTime;
use hatch_domain::shape;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Words of schemas that say nothing of values.
const REMARKS: [&str; 5] = ["description", "title", "example", "default", "discriminator"];

/// Schemas by the names that others refer to them by.
pub(crate) type Parts = BTreeMap<String, Value>;

/// Why `value` is not as `schema` says, with where.
pub(crate) fn complaint(schema: &Value, value: &Value, parts: &Parts, at: &str) -> Option<String> {
    let fields = schema.as_object().expect("a schema is an object");
    fields.iter().find_map(|(word, says)| {
        let fits = match word.as_str() {
            remark if REMARKS.contains(&remark) => true,
            "$ref" => {
                let part = &parts[shape::referred(schema).expect("a part")];
                return complaint(part, value, parts, at);
            }
            "oneOf" => {
                let choices = says.as_array().expect("a list").iter();
                choices.filter(|one| complaint(one, value, parts, at).is_none()).count() == 1
            }
            "type" => match says {
                Value::Array(types) => types.iter().any(|one| is_of(one, value)),
                one => is_of(one, value),
            },
            // More values may come, but not from this build.
            "enum" | "x-extensible-enum" => says.as_array().expect("a list").contains(value),
            "format" => has_format(says, value),
            "allOf" => return of_all(says, value, parts, at),
            "maximum" => value.as_f64().zip(says.as_f64()).is_none_or(|(is, max)| is <= max),
            "minimum" => value.as_f64().zip(says.as_f64()).is_none_or(|(is, min)| is >= min),
            "maxLength" => {
                value.as_str().is_none_or(|text| Some(text.chars().count() as u64) <= says.as_u64())
            }
            "maxItems" => {
                value.as_array().is_none_or(|items| Some(items.len() as u64) <= says.as_u64())
            }
            "items" => {
                let items = value.as_array().into_iter().flatten();
                return items.into_iter().find_map(|item| complaint(says, item, parts, at));
            }
            "required" => {
                let mut names = says.as_array().expect("a list").iter();
                names.all(|name| value.get(name.as_str().expect("a name")).is_some())
            }
            "properties" => return of_object(schema, value, parts, at),
            "additionalProperties" => match schema.get("properties") {
                // Fields of any name.
                None => {
                    let mut values = value.as_object().into_iter().flatten();
                    return values.find_map(|(name, value)| {
                        complaint(says, value, parts, &format!("{at}/{name}"))
                    });
                }
                Some(_) => true,
            },
            // The types that say these are read by no other text.
            "propertyNames" | "pattern" => true,
            _ => panic!("{at}: no schema of ours says {word}"),
        };
        (!fits).then(|| format!("{at}: {value} is not of {word} {says}"))
    })
}

/// What of an object is not as all of the schemas say together.
fn of_all(schemas: &Value, value: &Value, parts: &Parts, at: &str) -> Option<String> {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for schema in schemas.as_array().expect("a list") {
        let schema = shape::referred(schema).map_or(schema, |name| &parts[name]);
        properties.extend(schema["properties"].as_object().cloned().into_iter().flatten());
        required.extend(schema["required"].as_array().cloned().into_iter().flatten());
    }
    let whole = json!({"type": "object", "properties": properties, "required": required});
    complaint(&whole, value, parts, at)
}

/// What of an object is not as it should be. A field that is not described is wrong here, although readers
/// ignore those that they do not know.
fn of_object(schema: &Value, value: &Value, parts: &Parts, at: &str) -> Option<String> {
    value.as_object()?.iter().find_map(|(name, value)| match schema["properties"].get(name) {
        Some(property) => complaint(property, value, parts, &format!("{at}/{name}")),
        None => Some(format!("{at}/{name} is not described")),
    })
}

fn is_of(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a name") {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("no type is {other}"),
    }
}

fn has_format(format: &Value, value: &Value) -> bool {
    let Some(text) = value.as_str() else { return true };
    match format.as_str() {
        // What is no number is complained of by its type.
        Some("int32" | "int64" | "double") => true,
        Some("uuid") => text.parse::<Uuid>().is_ok(),
        Some("date-time") => DateTime::parse_from_rfc3339(text).is_ok(),
        other => panic!("no format of a text is {other:?}"),
    }
}

#[test]
fn a_value_that_is_not_what_its_schema_says_is_found_out() {
    let parts = crate::openapi::schemas();
    let wrong = |value: &Value| complaint(&parts["Problem"], value, &parts, "");
    let problem = parts["Problem"]["example"].clone();
    assert_eq!(wrong(&problem), None);
    for (field, value) in [("status", "404"), ("surplus", "1")] {
        let mut other = problem.clone();
        other[field] = value.into();
        assert!(wrong(&other).is_some(), "{other}");
    }
    assert!(wrong(&json!({})).is_some());
}
