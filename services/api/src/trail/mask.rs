//! What may be seen of a request: its form, and ids. Whatever else a client has written may be a secret. Pure.

use hatch_domain::api_key::KeyId;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// In the place of what is not shown.
const MASK: &str = "***";

/// Bytes of a program's name at most.
const USER_AGENT_BYTES_MAX: usize = 256;

/// Parameters of a query at most.
const PARAMETERS_MAX: usize = 32;

/// Characters at most of a name that a client has chosen.
const NAME_CHARACTERS_MAX: usize = 32;

/// How deep the shape of a body is, how many fields of an object it has, and how many items of a list.
const DEPTH_MAX: u8 = 4;
const FIELDS_MAX: usize = 40;
const ITEMS_MAX: usize = 3;

/// Fields of objects whose fields the client names.
const FREE: [&str; 4] = ["metadata", "variables", "headers", "attributes"];

/// Where the ids of keys stand, which look like any other word.
const KEYS: &str = "/api/v1/api-keys/";

/// A program's name as a table takes it.
pub(super) fn readable(name: &str) -> String {
    let mut text: String = name.chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(USER_AGENT_BYTES_MAX.min(text.len())));
    text
}

/// A path, as the router matched it with `route`: ids in it stay.
pub(super) fn path(route: &str, path: &str) -> String {
    let segments = segments(route, path).map(|(pattern, said)| match is_variable(pattern) {
        false => pattern,
        true if is_id(route, pattern, said) => said,
        true => MASK,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The ids that stand in a path.
pub(super) fn ids_of_path(route: &str, path: &str) -> Vec<String> {
    let ids = segments(route, path)
        .filter(|(pattern, said)| is_variable(pattern) && is_id(route, pattern, said));
    ids.map(|(_, id)| id.to_owned()).collect()
}

/// The id of what an answer says to have made.
pub(super) fn ids_of_location(location: &str) -> Option<String> {
    let last = location.rsplit('/').next()?;
    is_id(location, "{id}", last).then(|| last.to_owned())
}

/// A query: the names of its parameters.
pub(super) fn query(query: &str) -> String {
    let parameter = |text: &str| match text.split_once('=') {
        Some((name, _)) if is_name(name) => format!("{name}={MASK}"),
        Some(_) => format!("{MASK}={MASK}"),
        None => MASK.to_owned(),
    };
    query.split('&').take(PARAMETERS_MAX).map(parameter).collect::<Vec<_>>().join("&")
}

/// The names and types of a body's fields; of what is no JSON, how long it is.
pub(super) fn shape(body: &[u8]) -> Value {
    match serde_json::from_slice(body) {
        Ok(value) => of_value(&value, DEPTH_MAX),
        Err(_) => json!({ "bytes": body.len() }),
    }
}

fn of_value(value: &Value, depth: u8) -> Value {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Number(_) => "number".into(),
        // How long a text is, would say something of a password.
        Value::String(text) if text.is_empty() => "empty string".into(),
        Value::String(_) => "string".into(),
        Value::Array(_) if depth == 0 => "array".into(),
        Value::Object(_) if depth == 0 => "object".into(),
        Value::Array(items) => {
            let shown = items.iter().take(ITEMS_MAX).map(|item| of_value(item, depth - 1));
            shown.collect()
        }
        Value::Object(fields) => {
            let shown = fields.iter().take(FIELDS_MAX).map(|(name, value)| match is_name(name) {
                true if FREE.contains(&name.as_str()) => (name.clone(), of_value(value, 0)),
                true => (name.clone(), of_value(value, depth - 1)),
                false => (MASK.to_owned(), of_value(value, 0)),
            });
            Value::Object(shown.collect::<Map<_, _>>())
        }
    }
}

fn segments<'a>(route: &'a str, path: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    route.split('/').zip(path.split('/'))
}

fn is_variable(pattern: &str) -> bool {
    pattern.starts_with('{')
}

/// Whether what stands in the place of `pattern` is an id of ours, in a path such as `route`.
fn is_id(route: &str, pattern: &str, said: &str) -> bool {
    match pattern {
        "{id}" if route.starts_with(KEYS) => said.parse::<KeyId>().is_ok(),
        "{id}" => Uuid::try_parse(said).is_ok(),
        "{position}" => said.parse::<i64>().is_ok(),
        _ => false,
    }
}

/// Whether it is such a name as ours are.
fn is_name(name: &str) -> bool {
    (1..=NAME_CHARACTERS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hk_live_0123456789AB_s3cretS3cretS3cret";
    const ID: &str = "0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11";

    #[test]
    fn of_a_path_ids_stay_and_nothing_else_that_a_client_chose() {
        let key = "/api/v1/api-keys/0123456789AB";
        let (events, secret) = (format!("/x/{ID}/events"), format!("/x/{SECRET}"));
        for (route, said, shown) in [
            ("/api/v1/messages", "/api/v1/messages", "/api/v1/messages"),
            ("/x/{id}/events", events.as_str(), events.as_str()),
            ("/api/v1/api-keys/{id}", key, key),
            ("/x/{id}", "/x/conversation", "/x/***"),
            ("/x/{id}", secret.as_str(), "/x/***"),
            ("/x/{position}", "/x/42", "/x/42"),
            ("/x/{address}", "/x/%2B18045551234", "/x/***"),
            ("/x/{token}/accept", "/x/abc/accept", "/x/***/accept"),
        ] {
            assert_eq!(path(route, said), shown, "{said}");
        }
        assert_eq!(ids_of_path("/x/{id}", &format!("/x/{ID}")), [ID]);
        assert_eq!(ids_of_path("/x/{id}", "/x/y"), Vec::<String>::new());
        assert_eq!(ids_of_location(&format!("/api/v1/messages/{ID}")).as_deref(), Some(ID));
        assert_eq!(ids_of_location(key).as_deref(), Some("0123456789AB"));
        assert_eq!(ids_of_location("/api/v1/conversation"), None);
    }

    #[test]
    fn of_a_query_the_names_stay() {
        let (value, name) = (format!("access_token={SECRET}"), format!("{SECRET}=1"));
        for (said, shown) in [
            ("limit=20&status=failed", "limit=***&status=***"),
            (value.as_str(), "access_token=***"),
            (SECRET, "***"),
            (name.as_str(), "***=***"),
            ("secret", "***"),
        ] {
            assert_eq!(query(said), shown, "{said}");
        }
    }

    #[test]
    fn of_a_body_the_form_stays() {
        let body = json!({
            "to": ["+18045551234"], "body": SECRET, "send_at": null, "topic": "", "n": 1, SECRET: 2,
            "metadata": {"password": SECRET}, "attributes": {"password": SECRET}, "email": {"cc": [SECRET], "is": true},
        });
        let shown = shape(body.to_string().as_bytes());
        assert_eq!(
            shown,
            json!({
                "to": ["string"], "body": "string", "send_at": "null", "topic": "empty string", "n": "number",
                "***": "number", "metadata": "object", "attributes": "object", "email": {"cc": ["string"], "is": "boolean"},
            })
        );
        assert_eq!(shape(b"password=x"), json!({"bytes": 10}));
        assert_eq!(shape(br#"[[[[[["x"]]]]]]"#), json!([[[["array"]]]]));
    }
}
