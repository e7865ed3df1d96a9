//! The OpenAPI document: that it is the one in `schema/`, and that the program does what it says.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::conforms::{Parts, complaint};
use crate::harness::{CUSTOMER, Hatch, SENDER};

/// The document in the checkout.
pub(crate) static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let file = crate::architecture::root().join("schema/openapi.json");
    std::fs::read_to_string(file).expect("the document")
});

#[test]
fn the_document_in_schema_is_the_one_that_is_served() {
    assert!(
        hatch_api::openapi::document_json() == *DOCUMENT,
        "schema/openapi.json is not what the program makes: run `just openapi` and look at the diff"
    );
}

/// Each operation of the document: method, path, operation.
pub(crate) fn operations() -> Vec<(Method, String, Value)> {
    let document: Value = serde_json::from_str(&DOCUMENT).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").clone();
    let operations = paths.into_iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("operations").clone();
        item.into_iter().map(move |(method, operation)| {
            let method = method.to_uppercase().parse().expect("a method");
            (method, path.clone(), operation)
        })
    });
    operations.collect()
}

#[test]
fn each_operation_says_what_it_does_and_has_an_id_of_its_own() {
    let operations = operations();
    let mut ids: Vec<&str> = Vec::new();
    for (method, path, operation) in &operations {
        let id = operation["operationId"].as_str();
        assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        ids.push(id.expect("an id"));
    }
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all);
    assert!(all > 20, "only {all} operations");
}

/// Operations that record no event.
const NO_WRITES: [&str; 2] = ["POST /api/v1/messages/preview", "POST /api/v1/session/totp"];

#[test]
fn each_write_says_its_position_and_each_401_how_to_say_who_asks() {
    for (method, path, operation) in operations() {
        let name = format!("{method} {path}");
        // Older clients know nothing of it, and providers do not look at it.
        let is_posted = path.starts_with("/api/v1/webhooks/") && !path.contains("/replay/");
        let is_write = method != Method::GET && path.starts_with("/api/v1/") && !is_posted;
        let is_write = is_write && !NO_WRITES.contains(&name.as_str());
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let says = |header: &str| response["headers"].get(header).is_some();
            assert!(says("Hatch-Position") || !is_write || !status.starts_with('2'), "{name}");
            assert!(says("WWW-Authenticate") || status != "401", "{name}");
        }
    }
}

pub(crate) fn schemas() -> Parts {
    let document: Value = serde_json::from_str(&DOCUMENT).expect("JSON");
    let schemas = document["components"]["schemas"].as_object().expect("schemas").clone();
    schemas.into_iter().collect()
}

/// Each answer of the document that has a body: where, its status, its content by media type.
fn answers() -> Vec<(String, String, Value)> {
    let of_operation = |(method, path, operation): (Method, String, Value)| {
        let responses = operation["responses"].as_object().expect("responses").clone();
        responses.into_iter().map(move |(status, answer)| {
            (format!("{method} {path} {status}"), status, answer["content"].clone())
        })
    };
    let all = operations().into_iter().flat_map(of_operation);
    all.filter(|(_, _, content)| !content.is_null()).collect()
}

#[test]
fn every_answer_is_shown_by_an_example_that_is_as_its_schema_says() {
    let (parts, mut examples) = (schemas(), 0);
    for (at, _, content) in answers() {
        for (media_type, media) in content.as_object().expect("media types") {
            let example = &media["example"];
            assert!(!example.is_null(), "{at} {media_type} has no example");
            let schema = &media["schema"];
            let wrong =
                media_type.contains("json").then(|| complaint(schema, example, &parts, &at));
            assert_eq!(wrong.flatten(), None);
            examples += 1;
        }
    }
    assert!(examples > 100, "{examples} examples");
}

#[test]
fn an_answer_always_has_all_its_keys_and_each_thing_has_one_schema() {
    let parts = schemas();
    for (at, status, content) in answers() {
        let Some(schema) = content["application/json"].get("schema") else { continue };
        let Some(name) = hatch_domain::shape::referred(schema) else { continue };
        if status.starts_with('2') && name != "CompatSent" {
            let properties =
                parts[name]["properties"].as_object().map(|fields| fields.keys().cloned());
            let properties: BTreeSet<String> = properties.into_iter().flatten().collect();
            let required = parts[name]["required"].as_array().into_iter().flatten();
            let required: BTreeSet<String> =
                required.map(|name| name.as_str().expect("a name").to_owned()).collect();
            assert_eq!(properties, required, "{at}: {name}");
        }
    }
    for (list, of) in [("MessageList", "Message"), ("ConversationList", "Conversation")] {
        let rows = &parts[list]["properties"]["data"]["items"];
        assert_eq!(hatch_domain::shape::referred(rows), Some(of), "{list}");
    }
    assert!(!DOCUMENT.contains("List_"), "generic lists have plain names");
}

#[test]
fn no_description_needs_the_code_to_be_understood() {
    fn check(part: &Value, at: &str) {
        match part {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let at = format!("{at}/{name}");
                    if let ("description" | "summary", Some(text)) = (name.as_str(), value.as_str())
                    {
                        assert!(!text.contains("::") && !text.contains("[`"), "{at}: {text}");
                    }
                    check(value, &at);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, at)),
            _ => {}
        }
    }
    check(&serde_json::from_str(&DOCUMENT).expect("JSON"), "");
}

/// Asks by GET and holds the answer against the document.
async fn answered(hatch: &Hatch, operation: &str, path: &str) -> Value {
    let answer = hatch.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    let (_, _, content) = answers()
        .into_iter()
        .find(|(at, _, _)| *at == format!("GET {operation} 200"))
        .unwrap_or_else(|| panic!("{operation} is not in the document"));
    let media = content.as_object().and_then(|types| types.values().next()).expect("a body");
    assert_eq!(complaint(&media["schema"], &answer.body, &schemas(), path), None);
    answer.body
}

/// An answer that has more than its schema says, or less, is found here; schemathesis does not look for more.
#[tokio::test]
async fn what_is_answered_has_exactly_what_the_document_says() {
    let hatch = Hatch::start().await;
    let mms = json!({"from": SENDER, "to": CUSTOMER, "body": "Look", "metadata": {"order": "42"},
        "attachments": ["https://example.com/a.jpg"]});
    let mms = hatch.post("/api/v1/messages", &mms).await.text("id").to_owned();
    let mail = json!({"to": ["ann@example.com", "bob@example.com"], "cc": ["cy@example.com"],
        "subject": "Hello", "html": "<p>Hello</p>",
        "attachments": [{"filename": "a.txt", "content_type": "text/plain", "content": "aGVsbG8="}]});
    let mail = hatch.post("/api/v1/messages", &mail).await.text("id").to_owned();
    let refused = hatch.send_sms("+18045550400", "Nobody is there").await;
    hatch.message_with_status(&refused, "failed").await;
    let inbound = json!({"provider": "sendgrid", "from": "ann@example.com", "to": "user@usehatchapp.com",
        "subject": "Re: Hello", "body": "Hi back"});
    let simulator = hatch.http.post(format!("{}/_sim/inbound", hatch.simulator));
    simulator.json(&inbound).send().await.expect("an answer");
    for id in [&mms, &mail] {
        let message = hatch.message_with_status(id, "delivered").await;
        let at = "/api/v1/messages/{id}";
        answered(&hatch, at, &format!("/api/v1/messages/{id}")).await;
        answered(&hatch, &format!("{at}/events"), &format!("/api/v1/messages/{id}/events")).await;
        let recipients = format!("/api/v1/messages/{id}/recipients");
        answered(&hatch, &format!("{at}/recipients"), &recipients).await;
        answered(&hatch, &format!("{at}/attempts"), &format!("/api/v1/messages/{id}/attempts"))
            .await;
        let conversation = message["conversation_id"].as_str().expect("an id");
        let at = "/api/v1/conversations/{id}";
        let path = format!("/api/v1/conversations/{conversation}");
        answered(&hatch, at, &path).await;
        answered(&hatch, &format!("{at}/messages"), &format!("{path}/messages")).await;
        answered(&hatch, &format!("{at}/events"), &format!("{path}/events")).await;
        let old = format!("/api/conversations/{conversation}/messages");
        answered(&hatch, "/api/conversations/{id}/messages", &old).await;
    }
    let position = "/api/v1/events/{position}";
    answered(&hatch, position, "/api/v1/events/1").await;
    hatch
        .eventually("the mail has come in", async |hatch| {
            let list = hatch.get("/api/v1/messages?direction=inbound").await;
            (list.body["data"].as_array().map(Vec::len) == Some(1)).then_some(())
        })
        .await;
    for path in [
        "/api/v1/messages",
        "/api/v1/conversations",
        "/api/v1/dead-letters",
        "/api/v1/in-doubt",
        "/api/v1/projections",
        "/api/v1/providers",
        "/api/conversations",
        "/health",
        "/ready",
    ] {
        answered(&hatch, path, path).await;
    }
    let task = hatch.post("/api/v1/dead-letters/redrive", &json!({"all": true})).await;
    let path = format!("/api/v1/tasks/{}", task.text("id"));
    answered(&hatch, "/api/v1/tasks/{id}", &path).await;
    let log = answered(&hatch, "/api/v1/webhook-log", "/api/v1/webhook-log").await;
    let webhook = log["data"][0]["id"].as_str().expect("a webhook");
    let path = format!("/api/v1/webhook-log/{webhook}");
    answered(&hatch, "/api/v1/webhook-log/{id}", &path).await;
    who_there_is(&hatch).await;
    who_may_ask(&hatch).await;
    what_was_asked(&hatch).await;
    by_whom_is_sent(&hatch).await;
    hatch.finish().await;
}

/// The same of lists of tenants, members, keys and sessions.
async fn who_there_is(hatch: &Hatch) {
    let key = json!({"name": "shop", "scopes": ["admin"]});
    let key = hatch.post("/api/v1/api-keys", &key).await;
    let position = key.headers["hatch-position"].to_str().expect("text").to_owned();
    let after = format!("?after={position}&wait=30");
    for (at, path) in [
        ("api-keys", "api-keys".to_owned()),
        ("api-keys/{id}", format!("api-keys/{}", key.text("id"))),
        ("members", "members".to_owned()),
        ("tenants", "tenants".to_owned()),
        ("tenants/{id}", format!("tenants/{}", hatch_domain::ids::TenantId::DEFAULT)),
    ] {
        answered(hatch, &format!("/api/v1/{at}"), &format!("/api/v1/{path}{after}")).await;
    }
    let pool = json!({"name": "kept", "channel": "mms", "senders": ["+12015550100", "73822"]});
    let made = hatch.post("/api/v1/pools", &pool).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let after = format!("?after={}&wait=30", made.header("hatch-position"));
    for (at, path) in [("pools", "pools"), ("pools/{name}", "pools/kept")] {
        answered(hatch, &format!("/api/v1/{at}"), &format!("/api/v1/{path}{after}")).await;
    }
    let consent = "/api/v1/consent?address=%2B18045551234";
    answered(hatch, "/api/v1/consent", consent).await;
    for path in ["/api/v1/session", "/api/v1/sessions"] {
        answered(hatch, path, path).await;
    }
}

/// The same of keys and tenants.
async fn who_may_ask(hatch: &Hatch) {
    let key = json!({"name": "shop", "scopes": ["messages:write"], "senders": [SENDER],
        "channels": ["sms"], "ip_ranges": ["10.0.0.0/8"]});
    let member = json!({"email": "ann@example.com", "role": "agent"});
    for (path, made) in [
        ("/api/v1/api-keys", key),
        ("/api/v1/tenants", json!({"name": "second"})),
        ("/api/v1/members", member),
    ] {
        let made = hatch.post(path, &made).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let after = format!("after={}&wait=30", made.header("hatch-position"));
        let one = format!("{path}/{}?{after}", made.text("id"));
        answered(hatch, &format!("{path}/{{id}}"), &one).await;
        answered(hatch, path, &format!("{path}?{after}")).await;
    }
}

/// The same of the audit and of the request log.
async fn what_was_asked(hatch: &Hatch) {
    let position = hatch.log_length().await;
    let audit = format!("/api/v1/audit?after={position}&wait=30");
    answered(hatch, "/api/v1/audit", &audit).await;
    let logged = hatch
        .eventually("a request with a body is logged", async |hatch| {
            let path = "/api/v1/requests?status=2xx&limit=1&route=POST%20/api/v1/messages";
            hatch.get(path).await.body["data"].as_array()?.first().cloned()
        })
        .await;
    answered(hatch, "/api/v1/requests", "/api/v1/requests").await;
    let one = format!("/api/v1/requests/{}", logged["id"].as_str().expect("an id"));
    answered(hatch, "/api/v1/requests/{id}", &one).await;
}

/// The same of accounts at providers.
async fn by_whom_is_sent(hatch: &Hatch) {
    let sid = format!("AC{}", "7".repeat(32));
    // Nobody sends from there, so nothing is sent by it.
    let account = json!({"name": "kept", "provider": "twilio", "senders": ["+12015550100"],
        "settings": {"account_sid": sid, "auth_token": "12345", "public_url": "https://hatch.example.com"}});
    let made = hatch.post("/api/v1/accounts", &account).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let after = format!("?after={}&wait=30", made.header("hatch-position"));
    for (at, path) in [("accounts", "accounts"), ("accounts/{name}", "accounts/kept")] {
        answered(hatch, &format!("/api/v1/{at}"), &format!("/api/v1/{path}{after}")).await;
    }
    let route =
        json!({"name": "kept", "from": "+12015550100", "accounts": ["kept"], "backup": ["twilio"]});
    let made = hatch.post("/api/v1/routes", &route).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let after = format!("?after={}&wait=30", made.header("hatch-position"));
    answered(hatch, "/api/v1/routes", &format!("/api/v1/routes{after}")).await;
    let one = format!("/api/v1/routes/{}{after}", made.text("id"));
    answered(hatch, "/api/v1/routes/{id}", &one).await;
}

/// What `just schemathesis` has to know of operations, which nobody would miss before it fails.
#[test]
fn schemathesis_knows_the_operations_that_wait_and_those_that_never_end() {
    const STREAM: &str = "text/event-stream";
    let file = crate::architecture::root().join(".config/schemathesis.toml");
    let settings: Value = Figment::from(Toml::file_exact(file)).extract().expect("TOML");
    let sections = settings["operations"].as_array().expect("sections");
    let named = |is_one: fn(&Value) -> bool| {
        let ids = &sections.iter().find(|section| is_one(section)).expect("a section");
        let ids = ids["include-operation-id"].as_array().expect("a list").iter();
        ids.map(|id| id.as_str().expect("an id").to_owned()).collect::<BTreeSet<_>>()
    };
    let documented = |is_one: fn(&Value) -> bool| {
        let all = operations().into_iter().filter(|(_, _, operation)| is_one(operation));
        all.map(|(_, _, operation)| operation["operationId"].as_str().expect("an id").to_owned())
            .collect::<BTreeSet<_>>()
    };
    let waits = documented(|operation| {
        let parameters = operation["parameters"].as_array();
        parameters.into_iter().flatten().any(|parameter| parameter["name"] == "after")
    });
    assert_eq!(named(|section| section.to_string().contains("\"503\"")), waits);
    let streams =
        documented(|operation| !operation["responses"]["200"]["content"][STREAM].is_null());
    assert_eq!(named(|section| section["enabled"] == false), streams);
}

#[tokio::test]
async fn each_operation_exists_and_the_page_shows_them() {
    let hatch = Hatch::start().await;
    for (method, path, _) in
        operations().into_iter().filter(|(_, path, _)| !path.ends_with("/events"))
    {
        let path = path
            .replace("{id}", "00000000-0000-0000-0000-000000000000")
            .replace("{address}", "ann@example.com")
            .replace("{provider}", "twilio")
            .replace("{position}", "0");
        let request = hatch.http.request(method.clone(), format!("{}{path}", hatch.url));
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(!text.contains("no endpoint has this path"), "{method} {path}: {text}");
        assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
    }
    let served = hatch.get("/api/v1/openapi.json").await;
    assert_eq!(served.status, StatusCode::OK);
    assert_eq!(served.body, serde_json::from_str::<Value>(&DOCUMENT).expect("JSON"));
    for page in ["/docs/", "/api/v1/docs/"] {
        let url = format!("{}{page}", hatch.url);
        let html = hatch.http.get(url).send().await.expect("an answer").text().await.expect("text");
        assert!(html.contains("swagger-ui"), "{html}");
        assert!(html.contains("<title>hatch: the API</title>"), "{html}");
        let url = format!("{}{page}swagger-initializer.js", hatch.url);
        let script = hatch.http.get(url).send().await.expect("an answer").text().await;
        assert!(script.expect("text").contains("/api/v1/openapi.json"));
    }
}
