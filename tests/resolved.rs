//! What a person does about a message of which nobody knows whether it was sent: looks at its attempts, says what it
//! was, and sends it again.

use hatch::roles::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::Hatch;
use crate::time::as_in_production;
use crate::tools::run;

/// A recipient of whom the provider neither takes a message nor says a word.
const HOLE: &str = "+18045550503";

async fn in_doubt(hatch: &Hatch, body: &str, on_doubt: &str) -> String {
    let message = json!({"to": HOLE, "body": body, "on_doubt": on_doubt});
    let answer = hatch.post("/api/v1/messages", &message).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let id = answer.text("id").to_owned();
    hatch.message_with_status(&id, "in_doubt").await;
    id
}

#[tokio::test]
async fn a_person_says_what_a_message_in_doubt_was_and_sends_it_again() {
    let hatch = Hatch::start_with(&Role::ALL, as_in_production).await;
    let id = in_doubt(&hatch, "Hello", "wait").await;
    let list = hatch.get("/api/v1/in-doubt").await;
    let doubt = &list.body["data"][0]["doubt"];
    assert_eq!((&list.body["data"][0]["id"], &doubt["attempt"]), (&json!(id), &json!(1)));
    assert_eq!(
        (&doubt["account"], &doubt["policy"]),
        (&json!("twilio"), &json!("wait")),
        "{doubt}"
    );
    let (ok, table) = run(&hatch, &["in-doubt", "list"]).await;
    assert!(ok && table.contains(&id), "{table}");

    let kept = hatch
        .eventually("what was said is kept", async |hatch| {
            let attempts = hatch.get(&format!("/api/v1/messages/{id}/attempts")).await.body;
            attempts["data"][0]["request"].is_object().then(|| attempts["data"][0].clone())
        })
        .await;
    assert_eq!((&kept["outcome"], &kept["http_status"]), (&json!("in_doubt"), &Value::Null));
    let sent = kept["request"]["body"].as_str().expect("a form");
    assert!(sent.contains("Body=Hello"), "{kept}");
    assert!(!kept.to_string().to_lowercase().contains("authorization"), "{kept}");
    assert!(kept["total_ms"].as_i64() >= Some(300), "{kept}");

    let path = format!("/api/v1/messages/{id}/resolve");
    let said = json!({"as": "not_sent", "reason": "their log has nothing of it"});
    let resolved = hatch.post(&path, &said).await;
    assert_eq!((resolved.status, resolved.text("status")), (StatusCode::OK, "failed"));
    let late = hatch.post(&path, &said).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.body);
    hatch.message_with_status(&id, "failed").await;
    let filter = "class=other&code=resolved_not_sent&account=twilio";
    let dead = hatch.get(&format!("/api/v1/dead-letters?{filter}")).await;
    assert_eq!(dead.body["data"][0]["error"]["detail"], "their log has nothing of it");

    let asked = json!({"filter": {"code": "resolved_not_sent"}, "rate_per_s": 100});
    let task = hatch.post("/api/v1/dead-letters/redrive", &asked).await;
    assert_eq!(task.status, StatusCode::ACCEPTED, "{}", task.body);
    let path = format!("/api/v1/tasks/{}", task.text("id"));
    hatch
        .eventually("the task is done", async |hatch| {
            let task = hatch.get(&path).await.body;
            (task["status"] == "done" && task["done"] == 1).then_some(())
        })
        .await;
    hatch
        .eventually("the second round is in doubt, too", async |hatch| {
            let attempts = hatch.get(&format!("/api/v1/messages/{id}/attempts")).await.body;
            let second = &attempts["data"][1];
            (second["round"] == 2 && second["outcome"] == "in_doubt").then_some(())
        })
        .await;

    let said = ["in-doubt", "resolve", &id, "--as", "sent", "--reason", "seen by their support"];
    let (ok, printed) = run(&hatch, &said).await;
    assert!(ok && printed.contains("1 of 1 message"), "{printed}");
    hatch.message_with_status(&id, "sent").await;
    let (ok, no) = run(&hatch, &said).await;
    assert!(!ok && no.contains("NOT resolved") && no.contains("sent"), "{no}");
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_says_itself_what_becomes_of_its_doubt() {
    let hatch = Hatch::start_with(&Role::ALL, as_in_production).await;
    let message = json!({"to": HOLE, "body": "Worthless later", "on_doubt": "fail"});
    let answer = hatch.post("/api/v1/messages", &message).await;
    let message = hatch.message_with_status(answer.text("id"), "failed").await;
    assert_eq!((&message["attempts"], &message["error"]["code"]), (&json!(1), &json!("in_doubt")));
    let refused = json!({"to": HOLE, "body": "Hello", "on_doubt": "guess"});
    let refused = hatch.post("/api/v1/messages", &refused).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    hatch.finish().await;
}
