//! Reading: fresh, in pages, by filter.

use std::collections::BTreeSet;

use hatch::roles::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{CUSTOMER, Hatch, SENDER};

#[tokio::test]
async fn one_reads_ones_own_write() {
    let hatch = Hatch::start().await;
    for n in 0..20 {
        let request = json!({"from": SENDER, "to": CUSTOMER, "body": format!("number {n}")});
        let accepted = hatch.post("/api/v1/messages", &request).await;
        let (id, position) = (accepted.text("id"), accepted.header("hatch-position"));
        let read = hatch.get(&format!("/api/v1/messages/{id}?after={position}")).await;
        assert_eq!(read.status, StatusCode::OK, "{}", read.body);
        let conversation = accepted.text("conversation_id");
        let path = format!("/api/v1/conversations/{conversation}?after={position}");
        assert!(hatch.get(&path).await.body["message_count"].as_i64() > Some(n));
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_is_found_before_the_projection_has_come_to_it() {
    let hatch = Hatch::start_with(&[Role::Command, Role::Query], |_| {}).await;
    let request = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let accepted = hatch.post("/api/v1/messages", &request).await;
    let path = accepted.header("location").to_owned();
    let read = hatch.get(&path).await;
    assert_eq!(read.status, StatusCode::OK, "{}", read.body);
    for field in ["id", "conversation_id", "status", "channel", "created_at", "position"] {
        assert_eq!(read.body[field], accepted.body[field], "{field}");
    }
    assert_eq!(read.body["body"], "Hello");
    // Who asks for more than that is told that it is not there yet.
    let position = accepted.header("hatch-position");
    let fresh = hatch.get(&format!("{path}?after={position}&wait=0.05")).await;
    assert_eq!(fresh.status, StatusCode::SERVICE_UNAVAILABLE, "{}", fresh.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_position_of_the_future_is_not_waited_for() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let events = format!("messages/{id}/events");
    for path in ["messages", "conversations", "dead-letters", "webhook-log", "projections", &events]
    {
        for wait in ["", "&wait=0"] {
            let answer = hatch.get(&format!("/api/v1/{path}?after=1{wait}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}{wait}: {}", answer.body);
        }
        let answer = hatch.get(&format!("/api/v1/{path}?after=1000000&wait=30")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
        assert_eq!(answer.body["errors"][0]["pointer"], "?after");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn pages_hold_every_message_once_while_others_are_written() {
    let hatch = Hatch::start().await;
    let mut expected = BTreeSet::new();
    for n in 0..25 {
        expected.insert(hatch.send_sms(CUSTOMER, &format!("number {n}")).await);
    }
    let position = hatch.log_length().await;
    let mut path = format!("/api/v1/messages?limit=10&after={position}&wait=30");
    let mut seen = Vec::new();
    loop {
        let page = hatch.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let data = page.body["data"].as_array().expect("a list");
        assert!(data.len() <= 10);
        seen.extend(data.iter().map(|m| m["id"].as_str().expect("an id").to_owned()));
        let Value::String(cursor) = &page.body["next_cursor"] else { break };
        path = format!("/api/v1/messages?limit=10&cursor={cursor}");
        hatch.send_sms(CUSTOMER, "written meanwhile").await;
    }
    assert_eq!(seen.len(), 25, "each once");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    hatch.finish().await;
}

#[tokio::test]
async fn lists_are_filtered() {
    let hatch = Hatch::start().await;
    let other = "+18045559876";
    let mine = hatch.send_sms(CUSTOMER, "Hello").await;
    let theirs = hatch.send_sms(other, "Hello").await;
    for id in [&mine, &theirs] {
        hatch.message_with_status(id, "delivered").await;
    }
    let conversation = hatch.get(&format!("/api/v1/messages/{mine}")).await.body["conversation_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let cases = [
        ("participant=%2B18045551234".to_owned(), vec![&mine]),
        ("participant=%2B1%20804%20555%209876".to_owned(), vec![&theirs]),
        (format!("conversation={conversation}"), vec![&mine]),
        ("direction=outbound".to_owned(), vec![&theirs, &mine]),
        ("direction=inbound".to_owned(), vec![]),
        ("status=delivered&channel=sms".to_owned(), vec![&theirs, &mine]),
        ("status=failed".to_owned(), vec![]),
    ];
    for (filter, expected) in cases {
        let list = hatch.get(&format!("/api/v1/messages?{filter}")).await;
        let data = list.body["data"].as_array().unwrap_or_else(|| panic!("{}", list.body));
        let ids: Vec<_> = data.iter().map(|m| m["id"].as_str().expect("an id")).collect();
        assert_eq!(ids, expected, "{filter}");
    }
    let conversations = hatch.get("/api/v1/conversations?participant=%2B18045551234").await;
    assert_eq!(conversations.body["data"].as_array().map(Vec::len), Some(1));
    hatch.finish().await;
}

#[tokio::test]
async fn a_message_has_every_field_of_the_contract() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    let message = hatch.message_with_status(&id, "delivered").await;
    let fields = "id conversation_id contact_id direction channel from to to_count cc cc_count bcc \
        bcc_count subject body body_truncated html html_truncated attachments status provider provider_message_id attempts next_attempt_at error segments \
        metadata created_at scheduled_at sent_at delivered_at read_at updated_at position authentication cut \
        programme suggests people message_id_header kind reply_to envelope signs repeated_id visible_body linked_to recipients recipients_count folded test";
    let expected: BTreeSet<&str> = fields.split_whitespace().collect();
    let actual: BTreeSet<&str> =
        message.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(actual, expected);

    let conversation = message["conversation_id"].as_str().expect("an id");
    let conversation = hatch.get(&format!("/api/v1/conversations/{conversation}")).await.body;
    let fields = "id participants participants_count channels topic message_count \
        last_message metadata created_at updated_at";
    let expected: BTreeSet<&str> = fields.split_whitespace().collect();
    let actual: BTreeSet<&str> =
        conversation.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(actual, expected);
    hatch.finish().await;
}

#[tokio::test]
async fn events_are_shown_oldest_first_with_positions_and_versions() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    let events = hatch.get(&format!("/api/v1/messages/{id}/events")).await;
    let data = events.body["data"].as_array().expect("a list");
    for (n, event) in (1_i64..).zip(data) {
        assert_eq!(event["streamversion"], n);
        assert!(event["time"].is_string() && event["correlationid"].is_string());
    }
    assert_eq!(data[0]["type"], "hatch.MessageRequested.v1");
    assert_eq!(data[0]["data"]["body"], "Hello");
    hatch.finish().await;
}

#[tokio::test]
async fn readiness_names_each_dependency_and_projections_their_lag() {
    let hatch = Hatch::start().await;
    assert_eq!(hatch.get("/health").await.status, StatusCode::OK);
    let ready = hatch.get("/ready").await;
    for name in ["postgresql", "schema", "nats"] {
        assert_eq!(ready.body["dependencies"][name]["status"], "up", "{}", ready.body);
    }
    let projections = hatch.get("/api/v1/projections").await;
    let data = projections.body["data"].as_array().expect("a list");
    let names: Vec<_> = data.iter().map(|p| p["name"].as_str().expect("a name")).collect();
    let all = hatch_readmodel::PROJECTIONS.iter().flat_map(|one| one.read_models().iter().copied());
    assert_eq!(names, all.collect::<Vec<_>>());
    assert!(data.iter().all(|p| p["lag_events"].is_i64() && p["lag_seconds"].is_number()));
    hatch.finish().await;
}

#[tokio::test]
async fn readiness_is_degraded_while_a_provider_does_not_answer() {
    let hatch = Hatch::start().await;
    assert_eq!(hatch.get("/ready").await.body["dependencies"]["twilio"]["status"], "up");
    let account = format!("{}/_sim/accounts/{}", hatch.simulator, crate::harness::ACCOUNT);
    let down = hatch.http.put(account).json(&serde_json::json!({"mode": "down"})).send().await;
    assert!(down.expect("an answer").status().is_success());
    for _ in 0..3 {
        hatch.send_sms(CUSTOMER, "Is anybody there?").await;
    }
    hatch
        .eventually("the provider is said to be away", async |hatch| {
            let ready = hatch.get("/ready").await;
            let twilio = &ready.body["dependencies"]["twilio"]["status"];
            (ready.status == StatusCode::OK
                && twilio == "down"
                && ready.body["status"] == "degraded")
                .then_some(())
        })
        .await;
    hatch.finish().await;
}

#[tokio::test]
async fn dead_letters_are_the_messages_that_were_given_up() {
    let hatch = Hatch::start().await;
    let mut failed = Vec::new();
    for _ in 0..3 {
        let id = hatch.send_sms("+18045550400", "to nobody").await;
        hatch.message_with_status(&id, "failed").await;
        failed.insert(0, id);
    }
    let fine = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&fine, "delivered").await;
    let first = hatch.get("/api/v1/dead-letters?limit=2").await;
    let cursor = first.text("next_cursor");
    let rest = hatch.get(&format!("/api/v1/dead-letters?limit=2&cursor={cursor}")).await;
    let ids = |answer: &crate::harness::Answer| {
        let data = answer.body["data"].as_array().expect("a list").clone();
        data.into_iter().map(|m| m["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!([ids(&first), ids(&rest)].concat(), failed, "newest first");
    assert_eq!(rest.body["next_cursor"], Value::Null);
    assert_eq!(first.body["data"][0]["error"]["permanent"], true);
    let none = hatch.get("/api/v1/dead-letters?channel=email").await;
    assert_eq!(none.body["data"], json!([]));
    hatch.finish().await;
}
