//! How answers look, by an example each. Those of errors are made as the errors themselves are.

use hatch_domain::Channel;
use hatch_domain::address::AddressError;
use hatch_domain::shape;
use hatch_domain::tenant::command::TenantRejection;
use hatch_readmodel::PageError;
use serde_json::{Map, Value, json};

use super::walk::{each_answer, fields};
use crate::admission::AdmissionRefusal;
use crate::problem::{ErrorPages, FieldCode, FieldError, Problem};

/// The examples of what is answered, by the name of the schema.
const BODIES: &str = include_str!("examples.json");

/// What answers have that no schema describes, by their media type.
const TEXTS: [(&str, &str); 5] = [
    (
        "text/event-stream",
        "id: 4711\nevent: MessageCanceled\ndata: {\"specversion\":\"1.0\",...}\n\n",
    ),
    (
        "application/x-ndjson",
        "{\"id\":\"01a1fc66-0b51-7c3e-9d20-5f6a1b2c3d4e\",\"action\":\"api_key.revoked\",...}\n",
    ),
    ("application/openmetrics-text", "hatch_log_position 4711\n# EOF\n"),
    ("application/octet-stream", "Order 42\n"),
    ("*/*", "Order 42\n"),
];

/// The installation of the examples.
const PUBLIC_URL: &str = "https://hatch.example.com";

/// Adds an example to every answer that has none.
pub(super) fn add(document: &mut Value) {
    let bodies: Map<String, Value> = serde_json::from_str(BODIES).expect("a JSON object");
    let schemas = document["components"]["schemas"].clone();
    each_answer(document, |path, status, content| {
        for (media_type, media) in content {
            let said = match media_type.as_str() {
                "application/problem+json" => Some(error(path, status)),
                _ => None,
            };
            let text = TEXTS.iter().find(|(of, _)| of == media_type).map(|(_, text)| json!(text));
            // What is not ready says so.
            let named = |name| if status == "503" { "Unready" } else { name };
            let body = || {
                let name = shape::referred(&media["schema"]).map(named);
                name.and_then(|name| body(name, &bodies, &schemas))
            };
            if let Some(example) = said.or(text).or_else(body) {
                media["example"] = example;
            }
        }
    });
    with_query_errors(document);
    let schemas = document["components"]["schemas"].as_object_mut().expect("there are schemas");
    // Those that answers show are theirs.
    for name in bodies.keys() {
        if let Some(Value::Object(schema)) = schemas.get_mut(name) {
            schema.remove("example");
        }
    }
    let document_itself = &mut document["paths"]["/api/v1/openapi.json"]["get"]["responses"]["200"];
    document_itself["content"]["application/json"]["example"] = json!({"openapi": "3.1.0"});
}

/// The example of a schema. A list has one row. A field that the example leaves out has nothing to say.
fn body(name: &str, bodies: &Map<String, Value>, schemas: &Value) -> Option<Value> {
    let rows = |of: &str| body(of, bodies, schemas).map(|row| json!([row]));
    let mut example = match (bodies.get(name), name.strip_suffix("List")) {
        (Some(example), _) => example.clone(),
        (None, Some(of)) => json!({"data": rows(of)?}),
        (None, None) => match name {
            "CompatConversations" => json!({"conversations": rows("Conversation")?}),
            "ConversationEvents" => json!({"data": rows("Event")?}),
            "CompatMessages" => json!({"messages": rows("Message")?}),
            _ => return None,
        },
    };
    let schema = &schemas[name];
    for field in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if example.get(field).is_none() {
            example[field] = match schema["properties"][field]["type"].as_str() {
                Some("array") => json!([]),
                Some("object") => json!({}),
                Some("boolean") => json!(false),
                _ => Value::Null,
            };
        }
    }
    Some(example)
}

/// The error of that status, as the server says it.
fn error(path: &str, status: &str) -> Value {
    let what = if path.contains("conversation") { "conversation" } else { "message" };
    let problem = match status {
        "400" => Problem::invalid(vec![FieldError::of("/to", &AddressError::Impossible)]),
        "401" if path == "/api/v1/session" => Problem::wrong_sign_in(),
        "401" if !path.contains("/webhooks/") || path.contains("replay") => {
            Problem::no_credentials()
        }
        "401" => Problem::wrong_signature(
            "failed to match the signature to the request and our public URL",
        ),
        "403" => Problem::foreign_site(),
        "404" if path.contains("webhook") => Problem::not_found("webhook"),
        "404" if path.contains("attachments") => Problem::not_found("attachment"),
        "404" if path.contains("/accounts") => Problem::not_found("account"),
        "404" if path.contains("/pools") => Problem::not_found("pool"),
        "404" if path.contains("/routes") => Problem::not_found("route"),
        "404" if path.contains("api-keys") => Problem::not_found("API key"),
        "404" if path.contains("invitations") => Problem::invitation_invalid(),
        "404" if path.contains("members") => Problem::not_found("member"),
        "404" if path.contains("sessions") => Problem::not_found("session"),
        "404" if path.contains("team-recipients") => Problem::not_found("address"),
        "404" if path.contains("tenants") => Problem::not_found("tenant"),
        "404" if path.contains("requests") => Problem::not_found("request"),
        "404" if path.contains("events/") => Problem::not_found("event"),
        "404" => Problem::not_found(what),
        "409" if path.contains("replay") => Problem::not_replayed("it is not in the quarantine"),
        "409" if path.contains("/accounts") => Problem::no_master_key(),
        "409" if path.ends_with("/pools") => Problem::pool_exists("support"),
        "409" if path.contains("/pools") => {
            Problem::too_many_pools("100 pools, of 100 at most: remove one")
        }
        "409" if path.contains("/routes") => Problem::route_exists("Great Britain"),
        "409" if path.ends_with("api-keys") => {
            Problem::too_many_keys("1000 keys have not ended, of 1000 at most: revoke one")
        }
        "409" if path.ends_with("members") => Problem::member_joined(),
        "409" if path.contains("members") => Problem::last_owner(),
        "409" if path.ends_with("session/password") => Problem::no_password(),
        "409" if path.ends_with("totp") => Problem::no_master_key(),
        "409" if path.ends_with("session") => Problem::several_tenants(vec![
            "00000000-0000-0000-0000-000000000001 default".to_owned(),
        ]),
        "409" if path.contains("team-recipients") => {
            Problem::team_list_full(TenantRejection::TeamListFull.to_string())
        }
        "409" if path.contains("api-keys") => Problem::key_ended("the key is revoked"),
        "409"
            if ["retry", "cancel", "resolve"]
                .iter()
                .any(|end| path.contains(&format!("{{id}}/{end}"))) =>
        {
            Problem::conflict("the message is delivered")
        }
        "409" => Problem::unanswerable("it has no message that could be answered"),
        "413" => Problem::too_large(1_048_576),
        "415" => Problem::unsupported_media_type("application/json"),
        "421" => Problem::misdirected(),
        "422" if path.ends_with("/preview") => Problem::no_account(Channel::Sms, None, false),
        "422" => Problem::key_reused(),
        "429" => AdmissionRefusal::Dispatch { retry_after_seconds: 1 }.into(),
        _ => Problem::unavailable("the log did not answer"),
    };
    shown(problem)
}

fn shown(problem: Problem) -> Value {
    problem.shown(ErrorPages::of(PUBLIC_URL))
}

/// What is wrong with a request that only has a query is wrong there.
fn with_query_errors(document: &mut Value) {
    for (_, item) in fields(&mut document["paths"]) {
        let Some(get) = item.get_mut("get") else { continue };
        let takes = |name: &str| {
            let parameters = get["parameters"].as_array().into_iter().flatten();
            parameters.into_iter().any(|parameter| parameter["name"] == name)
        };
        let error = if takes("limit") {
            FieldError::coded(FieldCode::OutOfRange, "?limit", PageError::Limit.to_string())
        } else if takes("wait") {
            let detail = "expected 0 to 30 seconds, got 31";
            FieldError::coded(FieldCode::OutOfRange, "?wait", detail)
        } else {
            FieldError::new(
                "?from",
                "expected the id of an event of the stream, or 0 for the first one",
            )
        };
        let example = shown(Problem::invalid(vec![error]));
        if let Some(answer) = get.pointer_mut("/responses/400/content/application~1problem+json") {
            answer["example"] = example;
        }
    }
}
