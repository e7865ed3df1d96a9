//! The OpenAPI document: that it is the one in `schema/`, and that the program does what it says.

use std::collections::BTreeSet;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::harness::Hatch;

const DOCUMENT: &str = include_str!("../schema/openapi.json");

#[test]
fn the_document_in_schema_is_the_one_that_is_served() {
    assert!(
        hatch_api::openapi::document_json() == DOCUMENT,
        "schema/openapi.json is not what the program makes: run `just openapi` and look at the diff"
    );
}

/// Each operation of the document: method, path, operation.
fn operations() -> Vec<(Method, String, Value)> {
    let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
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
    assert_eq!(served.body, serde_json::from_str::<Value>(DOCUMENT).expect("JSON"));
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
