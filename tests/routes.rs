//! Messages go by the accounts that routes say, and what is said of it beforehand and afterwards is what happened: the
//! simulator's own record is the referee.

use hatch::roles::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::doctor::run;
use crate::harness::{ACCOUNT, Hatch, SECOND_ACCOUNT, SECOND_TOKEN, SENDER};

/// Numbers of two countries.
const BRITISH: &str = "+447700900123";
const AMERICAN: &str = "+18045551234";

/// Messages that two accounts share by halves.
const SHARED: usize = 40;

/// Fewer of these an account has once in a million times.
const SHARE_MIN: usize = 5;

fn routes() -> Value {
    json!([
        {"name": "Great Britain", "channel": "sms", "to": "+44", "accounts": ["second"]},
        {"name": "halves", "channel": "sms", "accounts": [
            {"name": "twilio", "weight": 50}, {"name": "second", "weight": 50}]},
    ])
}

/// A hatch with two accounts for texts, and routes to them.
async fn routed() -> Hatch {
    let mut hatch = Hatch::start().await;
    hatch.stop().await;
    let second = json!({
        "provider": "twilio", "account_sid": SECOND_ACCOUNT, "auth_token": SECOND_TOKEN,
        "http_timeout_ms": 3_000, "connect_timeout_ms": 1_000,
        "base_url": hatch.simulator, "public_url": hatch.url,
    });
    let second = serde_json::from_value(second).expect("settings");
    hatch.settings.accounts.insert("second".to_owned(), second);
    hatch.settings.routes = serde_json::from_value(routes()).expect("routes");
    hatch.start_again(&Role::ALL).await;
    hatch
        .eventually("it is ready", async |hatch| {
            (hatch.get("/ready").await.body["status"] == "ready").then_some(())
        })
        .await;
    hatch
}

/// What `hatch routes explain` says, by the same settings.
async fn explain(hatch: &Hatch, arguments: &[&str]) -> Value {
    let routes = routes().to_string();
    let variables = [
        ("HATCH_ACCOUNTS__SECOND__PROVIDER", "twilio"),
        ("HATCH_ACCOUNTS__SECOND__ACCOUNT_SID", SECOND_ACCOUNT),
        ("HATCH_ACCOUNTS__SECOND__AUTH_TOKEN", SECOND_TOKEN),
        ("HATCH_ROUTES", routes.as_str()),
        ("HATCH_DEFAULT_SMS_SENDER", SENDER),
    ];
    let arguments = [&["routes", "explain", "--json"], arguments].concat();
    let (explained, said) = run(hatch, &arguments, &variables).await;
    assert!(explained, "{said}");
    serde_json::from_str(said.trim()).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// What the provider calls the account that a message went by, as the simulator knows it.
async fn went_by(hatch: &Hatch, id: &str) -> String {
    let record = hatch.record().await;
    let mut lines = record.iter().filter(|line| line["hatch_message_id"] == id);
    let line = lines.next().unwrap_or_else(|| panic!("{id} was not sent"));
    assert!(lines.next().is_none() && line["calls"] == 1, "{line}");
    line["account"].as_str().expect("a name").to_owned()
}

/// The provider's name of an account that hatch calls so.
fn at_provider(name: &Value) -> &'static str {
    match name.as_str() {
        Some("twilio") => ACCOUNT,
        Some("second") => SECOND_ACCOUNT,
        _ => panic!("{name} is no account"),
    }
}

async fn preview(hatch: &Hatch, to: &str) -> Value {
    let body = json!({"channel": "sms", "from": SENDER, "to": to, "body": "Hello"});
    let answer = hatch.post("/api/v1/messages/preview", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body
}

async fn delivered(hatch: &Hatch, to: &str) -> String {
    let id = hatch.send_sms(to, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    id
}

/// How the claim of a message says that its account was chosen.
async fn choice(hatch: &Hatch, id: &str) -> Value {
    let events = hatch.get(&format!("/api/v1/messages/{id}/events")).await;
    let events = events.body["data"].as_array().expect("a list").clone();
    let attempted = events.iter().find(|event| event["type"] == "hatch.SendAttempted.v1");
    attempted.expect("a claim")["data"]["choice"].clone()
}

#[tokio::test]
async fn messages_go_by_prefix_and_by_weight_as_it_was_said_before_and_is_explained_after() {
    let hatch = routed().await;
    let british = preview(&hatch, BRITISH).await;
    assert_eq!(
        (&british["account"], &british["route_name"]),
        (&json!("second"), &json!("Great Britain"))
    );
    let american = preview(&hatch, AMERICAN).await;
    assert_eq!(american["route_name"], "halves");
    let shares: Vec<_> = american["route"].as_array().expect("a list").iter().collect();
    assert!(shares.iter().all(|step| step["share_percent"] == 50), "{american}");
    let metrics = hatch.get("/metrics").await.body;
    let metrics = metrics.as_str().expect("text");
    for (key, name) in [(ACCOUNT, "twilio"), (SECOND_ACCOUNT, "second")] {
        let sample = format!(
            "hatch_account_share{{provider=\"twilio\",account=\"{key}\",name=\"{name}\",channel=\"sms\"}} 0.5"
        );
        assert!(metrics.lines().any(|line| line == sample), "{sample} in\n{metrics}");
    }

    let id = delivered(&hatch, BRITISH).await;
    assert_eq!(went_by(&hatch, &id).await, SECOND_ACCOUNT);
    let chosen = choice(&hatch, &id).await;
    assert_eq!((&chosen["name"], &chosen["route"]), (&json!("second"), &json!("Great Britain")));

    let mut ids = Vec::new();
    for _ in 0..SHARED {
        ids.push(hatch.send_sms(AMERICAN, "Hello").await);
    }
    for id in &ids {
        hatch.message_with_status(id, "delivered").await;
    }
    let mut by_second = 0;
    for id in &ids {
        by_second += usize::from(went_by(&hatch, id).await == SECOND_ACCOUNT);
    }
    assert!((SHARE_MIN..=SHARED - SHARE_MIN).contains(&by_second), "{by_second} of {SHARED}");
    for id in &ids[..3] {
        let explained = explain(&hatch, &[id]).await;
        assert_eq!(at_provider(&explained["account"]), went_by(&hatch, id).await, "{explained}");
        assert_eq!(explained["attempts"][0]["account"], explained["account"], "{explained}");
        assert_eq!(explained["attempts"][0]["reason"], explained["reason"], "{explained}");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_tenants_route_comes_first_and_what_it_was_before_can_be_explained() {
    let hatch = routed().await;
    let before = hatch.log_length().await.to_string();
    let route = json!({"name": "own", "to": "+44", "accounts": ["twilio"]});
    let made = hatch.post("/api/v1/routes", &route).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let position = made.header("hatch-position").to_owned();
    hatch
        .eventually("the route holds", async |hatch| {
            (preview(hatch, BRITISH).await["route_name"] == "own").then_some(())
        })
        .await;
    let id = delivered(&hatch, BRITISH).await;
    assert_eq!(went_by(&hatch, &id).await, ACCOUNT);
    let described = ["--channel", "sms", "--to", BRITISH];
    let at = async |position: &str| {
        explain(&hatch, &[&described[..], &["--at", position]].concat()).await
    };
    let (then, since) = (at(&before).await, at(&position).await);
    assert_eq!((&then["account"], &then["route"]), (&json!("second"), &json!("Great Britain")));
    assert_eq!((&since["account"], &since["route"]), (&json!("twilio"), &json!("own")));
    assert!(then["notes"][0].as_str().is_some_and(|note| note.contains("no history")), "{then}");

    // One that names its account goes by that, whatever routes say.
    let named = json!({"channel": "sms", "from": SENDER, "to": BRITISH, "body": "Hello",
        "account": "second"});
    let sent = hatch.post("/api/v1/messages", &named).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.body);
    hatch.message_with_status(sent.text("id"), "delivered").await;
    assert_eq!(went_by(&hatch, sent.text("id")).await, SECOND_ACCOUNT);

    let path = format!("/api/v1/routes/{}", made.text("id"));
    let removed = hatch.request(Method::DELETE, &path, &[], None).await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.body);
    hatch
        .eventually("the route is gone", async |hatch| {
            (preview(hatch, BRITISH).await["route_name"] == "Great Britain").then_some(())
        })
        .await;
    // The audit comes by itself from the log.
    let position = removed.header("hatch-position");
    let audit = hatch.get(&format!("/api/v1/audit?limit=200&after={position}&wait=30")).await;
    for action in ["route.created", "route.removed"] {
        let has = |one: &Value| one["action"] == action;
        assert!(audit.body["data"].as_array().is_some_and(|all| all.iter().any(has)), "{action}");
    }
    hatch.finish().await;
}
