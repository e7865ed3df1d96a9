//! What providers post, as far as hatch reads it. They define it, so more may be there.

use std::collections::BTreeMap;

use hatch_domain::shape;
use hatch_providers::{PROVIDERS, Posted};
use serde_json::{Map, Value, json};

/// Where providers post.
const WEBHOOKS: &str = "/api/v1/webhooks/";

/// The kind of body that messages of no known provider have.
const JSON: &str = "application/json";

/// Where a provider posts; and the paths for messages that no known provider brings.
const PROVIDER: &str = "/api/v1/webhooks/{provider}";
/// The same of what has a path with an end of its own, of one account, and of both. As `{provider}` could be another
/// path's `replay`, too, each provider has a path of its own.
const MAIL_OF_PROVIDER: &str = "/api/v1/webhooks/{provider}/inbound";
const OF_ACCOUNT: &str = "/api/v1/webhooks/{provider}/{account}";
const MAIL_OF_ACCOUNT: &str = "/api/v1/webhooks/{provider}/{account}/inbound";
const GENERIC: [&str; 2] = ["/api/webhooks/sms", "/api/webhooks/email"];

/// Describes the bodies of webhooks.
pub(super) fn describe(document: &mut Value) {
    let posted: Vec<(&str, Posted)> = PROVIDERS
        .iter()
        .flat_map(|provider| provider.posted().into_iter().map(|one| (provider.name(), one)))
        .collect();
    let schemas = document["components"]["schemas"].as_object_mut().expect("there are schemas");
    for (_, one) in &posted {
        schemas.insert(one.name.to_owned(), one.schema.clone());
    }
    schemas.insert("GenericMessage".to_owned(), generic());
    document["paths"][PROVIDER]["post"]["requestBody"]["content"] = of_all(&posted);
    let paths = document["paths"].as_object_mut().expect("there are paths");
    let [mails, account, mails_of_account] =
        [MAIL_OF_PROVIDER, OF_ACCOUNT, MAIL_OF_ACCOUNT].map(|path| {
            let item = paths.remove(path).expect("providers post there");
            without_provider(item)
        });
    let mails = without_parameters(mails);
    for (provider, one) in posted {
        let content = content(one.media_type, &reference(&one), &one.example);
        let [short, of_account] = one.operations;
        let places = match one.suffix {
            None => vec![(format!("{WEBHOOKS}{provider}/{{account}}"), of_account, &account)],
            Some(end) => vec![
                (format!("{WEBHOOKS}{provider}/{end}"), short, &mails),
                (format!("{WEBHOOKS}{provider}/{{account}}/{end}"), of_account, &mails_of_account),
            ],
        };
        for (path, operation, item) in places {
            let mut item = item.clone();
            item["post"]["operationId"] = json!(operation);
            item["post"]["requestBody"]["content"] = content.clone();
            paths.insert(path, item);
        }
    }
    for path in GENERIC {
        let media =
            &mut document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        media["schema"] = shape::reference("GenericMessage");
    }
}

/// What comes to a path that each provider has: by kind of body, what any of them posts there.
fn of_all(posted: &[(&str, Posted)]) -> Value {
    let mut by_kind: BTreeMap<&str, (Vec<Value>, Value)> = BTreeMap::new();
    for (_, one) in posted.iter().filter(|(_, one)| one.suffix.is_none()) {
        let kind = by_kind.entry(one.media_type);
        kind.or_insert_with(|| (Vec::new(), one.example.clone())).0.push(reference(one));
    }
    let json = by_kind.entry(JSON).or_insert_with(|| (Vec::new(), Value::Null));
    json.0.push(shape::reference("GenericMessage"));
    let mut contents = Map::new();
    for (kind, (mut schemas, example)) in by_kind {
        let schema = match schemas.len() {
            1 => schemas.remove(0),
            _ => json!({"oneOf": schemas}),
        };
        contents.insert(kind.to_owned(), json!({"schema": schema, "example": example}));
    }
    Value::Object(contents)
}

fn reference(posted: &Posted) -> Value {
    let item = shape::reference(posted.name);
    if posted.is_list { json!({"type": "array", "items": item}) } else { item }
}

fn content(kind: &str, schema: &Value, example: &Value) -> Value {
    let mut content = Map::new();
    content.insert(kind.to_owned(), json!({"schema": schema, "example": example}));
    Value::Object(content)
}

/// An operation whose path has the provider's name in it.
fn without_provider(mut item: Value) -> Value {
    if let Some(parameters) = item["post"]["parameters"].as_array_mut() {
        parameters.retain(|parameter| parameter["name"] != "provider");
    }
    item
}

/// The operation of a path without parameters, whose account is the provider's own.
fn without_parameters(mut item: Value) -> Value {
    if let Some(operation) = item["post"].as_object_mut() {
        operation.remove("parameters");
        operation["responses"].as_object_mut().map(|answers| answers.remove("404"));
    }
    item
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn generic() -> Value {
    json!({
        "type": "object",
        "description": "A message that something other than a known provider brings.",
        "required": ["from", "to"],
        "properties": {
            "from": text("The sender."),
            "to": text("The recipient."),
            "type": {"type": ["string", "null"], "enum": ["sms", "mms", "email", null],
                "description": "How it came; inferred when it is left out."},
            "messaging_provider_id": {"type": ["string", "null"], "maxLength": 255,
                "description": "What the provider calls it: of `sms` and `mms`."},
            "xillio_id": {"type": ["string", "null"], "maxLength": 255,
                "description": "What the provider calls it: of `email`."},
            "body": {"type": ["string", "null"], "description": "The text."},
            "attachments": {"type": ["array", "null"], "items": {"type": "string"},
                "description": "URLs of the files."},
            "timestamp": {"type": ["string", "null"], "description": "Kept by the sender; orders nothing."},
        },
        "additionalProperties": false,
    })
}
