//! A process answers what its roles do, and says of everything else which role does that.

use hatch::roles::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{CUSTOMER, Hatch, SENDER};

#[tokio::test]
async fn a_request_for_a_role_that_the_process_does_not_have_is_told_which_has_it() {
    let send = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"}).to_string();
    for (role, asked) in [
        (
            Role::Query,
            [
                (Method::POST, "/api/v1/messages", "command"),
                (Method::POST, "/api/v1/webhooks/twilio", "webhook"),
                (Method::PUT, "/api/v1/consent", "command"),
            ],
        ),
        (
            Role::Command,
            [
                (Method::GET, "/api/v1/messages", "query"),
                (Method::GET, "/api/v1/events", "query"),
                (Method::POST, "/api/webhooks/sms", "webhook"),
            ],
        ),
        (
            Role::Relay,
            [
                (Method::GET, "/api/v1/messages", "query"),
                (Method::POST, "/api/messages/sms", "command"),
                (Method::GET, "/api/v1/openapi.json", "query"),
            ],
        ),
    ] {
        let hatch = Hatch::start_with(&[role], |_| {}).await;
        for (method, path, other) in asked {
            let body = (method != Method::GET).then(|| send.clone());
            let answer = hatch.request(method.clone(), path, &[], body).await;
            let said = &answer.body;
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{method} {path}: {said}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!((&said["code"], &said["status"]), (&json!("other_role"), &json!(421)));
            let roles = format!("hatch serve --roles {other}");
            assert!(answer.text("detail").contains(&roles), "{method} {path}: {said}");
        }
        // What nobody has and what nobody may stay what they are.
        let nowhere = hatch.request(Method::POST, "/api/v1/nothing", &[], None).await;
        assert_eq!(nowhere.status, StatusCode::NOT_FOUND, "{}", nowhere.body);
        let method = hatch.request(Method::DELETE, "/api/v1/messages", &[], None).await;
        assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED, "{}", method.body);
        assert_eq!(hatch.log_length().await, 0);
        hatch.finish().await;
    }
}
