//! Ways through the document.

use serde_json::{Map, Value};

/// Calls `visit` with every answer of every operation: its path, its status and its content by media type.
pub(super) fn each_answer(
    document: &mut Value,
    mut visit: impl FnMut(&str, &str, &mut Map<String, Value>),
) {
    for (path, item) in fields(&mut document["paths"]) {
        for (_, operation) in fields(item) {
            for (status, answer) in fields(&mut operation["responses"]) {
                if let Some(Value::Object(content)) = answer.get_mut("content") {
                    visit(path, status, content);
                }
            }
        }
    }
}

/// The fields of an object; none of what is no object.
pub(super) fn fields(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}
