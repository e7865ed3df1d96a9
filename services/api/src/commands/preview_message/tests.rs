//! A preview says what a send would come to, refuses what that refuses, and records nothing.

use axum::http::{Method, StatusCode};
use hatch_domain::Channel;
use hatch_domain::api_key::KeyType;
use hatch_domain::carrier::command::CarrierCommand;
use hatch_domain::carrier::event::BreakerOpened;
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scope;
use hatch_domain::traffic::Traffic;
use hatch_providers::Tenants;
use hatch_routing::{Route, RouteName, RouteTable, Weighted};
use serde_json::{Value, json};

use crate::testing::{Answer, Api, CUSTOMER, OTHER_MAILBOX};

const PREVIEW: &str = "/api/v1/messages/preview";
const ROUTES: &str = "/api/v1/routes";
const TEXTS: [Channel; 2] = [Channel::Sms, Channel::Mms];

fn sms(body: &str) -> Value {
    json!({"to": CUSTOMER, "body": body})
}

fn codes(answer: &Answer) -> Vec<&str> {
    let warnings = answer.body["warnings"].as_array().expect("a list");
    warnings.iter().filter_map(|warning| warning["code"].as_str()).collect()
}

fn names(answer: &Answer) -> Vec<&str> {
    let steps = answer.body["route"].as_array().expect("a list");
    steps.iter().filter_map(|step| step["account"].as_str()).collect()
}

async fn with_accounts(names: &[&str]) -> Api {
    let api = Api::start().await;
    let named: Vec<_> = names.iter().map(|name| (*name, Tenants::All)).collect();
    api.name_accounts(&named, &TEXTS);
    api
}

async fn add_route(api: &Api, route: &Value) -> Answer {
    let made = api.post(ROUTES, route).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    api.join_routes();
    made
}

async fn open(api: &Api, account: &str) {
    let opened = BreakerOpened {
        account: account.parse().expect("a name"),
        provider: "nobody".to_owned(),
        key: account.to_owned(),
        cause: "failures".to_owned(),
        detail: "5 calls failed in a row".to_owned(),
        failures: 5,
        calls: 5,
        window_s: 30,
        at: api.in_time(chrono::TimeDelta::zero()),
    };
    api.tell_of_account(account, &CarrierCommand::Open(opened)).await;
}

#[tokio::test]
async fn a_preview_says_by_which_account_and_why_and_into_how_many_messages_and_records_nothing() {
    let api = with_accounts(&["one", "two"]).await;
    let route = json!({"name": "UK and US", "channel": "sms",
        "accounts": [{"name": "one", "weight": 20}, {"name": "two", "weight": 80}]});
    add_route(&api, &route).await;
    let before = api.log_length().await;
    let answer = api.post(PREVIEW, &sms("Hello")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!((answer.text("encoding"), &answer.body["segments"]), ("gsm7", &json!(1)));
    assert_eq!((answer.text("account"), answer.text("route_name")), ("two", "UK and US"));
    assert_eq!(
        answer.body["route"],
        json!([
            {"account": "two", "tier": "primary", "weight": 80, "share_percent": 80, "verdict": "chosen",
             "reason": "its share of the route is 80 %"},
            {"account": "one", "tier": "primary", "weight": 20, "share_percent": 20, "verdict": "standby",
             "reason": null},
        ])
    );
    assert_eq!(
        answer.body["consent"],
        json!([{"address": CUSTOMER, "programme": "sms", "state": "unknown", "since": null,
            "blocked_by": [], "allowed": true}])
    );
    assert_eq!((&answer.body["quiet_until"], &answer.body["warnings"]), (&json!(null), &json!([])));
    let long = api.post(PREVIEW, &sms(&"caf\u{e9} \u{2013} ".repeat(20))).await;
    assert_eq!((long.text("encoding"), &long.body["segments"]), ("ucs2", &json!(3)));
    assert_eq!(codes(&long), ["encoding", "segments"]);
    assert_eq!(api.log_length().await, before);
}

#[tokio::test]
async fn what_a_send_is_refused_for_a_preview_is_refused_for_alike() {
    let api = with_accounts(&["one"]).await;
    for body in [
        json!({"to": CUSTOMER}),
        json!({"to": "nobody", "body": "Hello"}),
        json!({"to": CUSTOMER, "body": "Hello", "priority": "soon"}),
        json!({"to": CUSTOMER, "body": "Hello", "send_at": "2000-01-01T00:00:00Z"}),
        json!({"to": OTHER_MAILBOX, "body": "Hello", "subject": "Hello"}),
        json!({"to": CUSTOMER, "body": "Hello", "account": "two"}),
        json!({"to": CUSTOMER, "body": "Hello", "account": "Two"}),
        json!({"conversation_id": "9a2476e4-4694-8b3f-8121-f933c8b3c73b", "body": "Hello"}),
    ] {
        let (sent, shown) =
            (api.post("/api/v1/messages", &body).await, api.post(PREVIEW, &body).await);
        assert_ne!(sent.status, StatusCode::ACCEPTED, "{body}");
        assert_eq!(shown.status, sent.status, "{body}: {}", shown.body);
        for field in ["code", "detail", "errors"] {
            assert_eq!(shown.body[field], sent.body[field], "{body}");
        }
    }
    let unknown = api.post(&format!("{PREVIEW}?time=1"), &sms("Hello")).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_account_that_a_request_names_is_the_only_one_and_is_kept_with_it() {
    let api = with_accounts(&["one", "two"]).await;
    let named = |name: &str| json!({"to": CUSTOMER, "body": "Hello", "account": name});
    let shown = api.post(PREVIEW, &named("two")).await;
    assert_eq!((names(&shown), shown.text("account")), (vec!["two"], "two"));
    assert_eq!(shown.body["route"][0]["reason"], "the request names it");
    let key = [("idempotency-key", "one-key")];
    let send = async |name: &str| {
        let body = Some(named(name).to_string());
        api.request(Method::POST, "/api/v1/messages", &key, body).await
    };
    let sent = send("two").await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.body);
    assert_eq!(send("two").await.body, sent.body);
    assert_eq!(send("one").await.text("code"), "idempotency_key_reused");
    let payloads = api.payloads().await;
    let requested: Value = serde_json::from_str(&payloads[0]).expect("JSON");
    assert_eq!(requested["options"]["account"], "two");

    let other = Tenants::These(vec![TenantId(uuid::Uuid::from_u128(2))]);
    api.name_accounts(&[("one", Tenants::All), ("theirs", other)], &[Channel::Sms]);
    for name in ["theirs", "two"] {
        let refused = api.post("/api/v1/messages", &named(name)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
        assert_eq!(refused.text("code"), "no_account");
        assert!(refused.text("detail").contains(name), "{}", refused.body);
    }
    let chat = json!({"channel": "chat", "from": "support", "to": "ann", "body": "Hello", "account": "one"});
    assert_eq!(api.post("/api/v1/messages", &chat).await.pointers(), ["/account"]);
}

#[tokio::test]
async fn a_breaker_that_is_open_and_a_person_who_opted_out_are_told_of() {
    let api = with_accounts(&["one", "two"]).await;
    add_route(&api, &json!({"accounts": ["one"], "backup": ["two"]})).await;
    open(&api, "one").await;
    let answer = api.post(PREVIEW, &sms("Hello")).await;
    assert_eq!(
        (answer.text("account"), &answer.body["route"][0]["verdict"]),
        ("two", &json!("skipped"))
    );
    // Without the provider's words, which may be about somebody else's message.
    assert_eq!(answer.body["route"][0]["reason"], "its breaker is open (failures)");
    open(&api, "two").await;
    let opt_out = json!({"address": CUSTOMER, "state": "opted_out"});
    let put = api.request(Method::PUT, "/api/v1/consent", &[], Some(opt_out.to_string())).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.body);
    let answer = api.post(PREVIEW, &sms("Hello")).await;
    assert_eq!((&answer.body["account"], codes(&answer)), (&json!(null), vec!["consent", "waits"]));
    assert_eq!(answer.body["consent"][0]["state"], "opted_out");
}

#[tokio::test]
async fn what_it_was_once_the_log_tells() {
    let api = with_accounts(&["one", "two"]).await;
    let made = add_route(&api, &json!({"name": "first", "accounts": ["two"]})).await;
    let with_route = made.header("hatch-position").to_owned();
    let path = format!("{ROUTES}/{}", made.text("id"));
    let change = json!({"accounts": ["one"], "name": "second"}).to_string();
    let changed = api.request(Method::PATCH, &path, &[], Some(change)).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let when_changed = changed.header("hatch-position").to_owned();
    open(&api, "one").await;
    let removed = api.request(Method::DELETE, &path, &[], None).await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.body);
    api.join_routes();
    let at =
        async |position: &str| api.post(&format!("{PREVIEW}?at={position}"), &sms("Hello")).await;
    let (now, first, second) =
        (api.post(PREVIEW, &sms("Hello")).await, at(&with_route).await, at(&when_changed).await);
    assert_eq!((now.text("account"), &now.body["route_name"]), ("two", &json!(null)));
    assert_eq!((first.text("account"), first.text("route_name")), ("two", "first"));
    assert_eq!((second.text("account"), second.text("route_name")), ("one", "second"));
    assert_eq!(codes(&second), ["no_history"]);
    let later: i64 = when_changed.parse::<i64>().expect("a number") + 1;
    let opened = at(&later.to_string()).await;
    assert_eq!(
        (&opened.body["account"], codes(&opened)),
        (&json!(null), vec!["no_history", "waits"])
    );
    let beyond = at("1000").await;
    assert_eq!((beyond.status, beyond.pointers()), (StatusCode::BAD_REQUEST, vec!["?at"]));
}

#[tokio::test]
async fn a_test_reaches_no_live_account_whatever_a_route_says_and_needs_no_route_of_its_own() {
    let api = Api::start_closed().await;
    api.set_accounts(&[Traffic::Live, Traffic::Test], &TEXTS);
    let admin = api.key(TenantId::DEFAULT, &[Scope::Admin], |_| ()).await;
    let tests = api
        .key(TenantId::DEFAULT, &[Scope::MessagesWrite], |key| key.key_type = KeyType::Test)
        .await;
    let of_live = json!({"name": "live", "accounts": ["live"]});
    let made = api.by(&admin, Method::POST, ROUTES, Some(&of_live)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    api.join_routes();
    for (key, account, route) in [(&admin, "live", json!("live")), (&tests, "test", json!(null))] {
        let shown = api.by(key, Method::POST, PREVIEW, Some(&sms("Hello"))).await;
        assert_eq!((shown.text("account"), &shown.body["route_name"]), (account, &route));
    }
    // Where the route has an account that takes tests, it decides about them, too.
    let path = format!("{ROUTES}/{}", made.text("id"));
    let both = json!({"accounts": ["live", "test"]});
    let changed = api.by(&admin, Method::PATCH, &path, Some(&both)).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    api.join_routes();
    let shown = api.by(&tests, Method::POST, PREVIEW, Some(&sms("Hello"))).await;
    assert_eq!((shown.text("account"), shown.text("route_name")), ("test", "live"));
}

#[tokio::test]
async fn a_message_that_no_account_of_its_route_carries_is_refused() {
    let api = with_accounts(&["one", "two"]).await;
    add_route(&api, &json!({"accounts": ["one"]})).await;
    api.name_accounts(&[("two", Tenants::All)], &TEXTS);
    for path in ["/api/v1/messages", PREVIEW] {
        let refused = api.post(path, &sms("Hello")).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
        assert_eq!(refused.text("code"), "no_account");
    }
}

#[tokio::test]
async fn accounts_of_other_tenants_that_a_route_of_the_files_names_are_not_told_of() {
    let api = Api::start().await;
    let others = Tenants::These(vec![TenantId(uuid::Uuid::from_u128(2))]);
    api.name_accounts(&[("one", Tenants::All), ("theirs", others)], &TEXTS);
    let weighted = |name: &str| Weighted { account: name.parse().expect("a name"), weight: 1 };
    api.routes.replace(RouteTable::new(vec![Route {
        name: RouteName::new("file-1"),
        tenants: None,
        channel: None,
        to: None,
        from: None,
        priority: None,
        accounts: vec![weighted("one"), weighted("theirs"), weighted("gone")],
        backup: Vec::new(),
    }]));
    let shown = api.post(PREVIEW, &sms("Hello")).await;
    assert_eq!((shown.text("account"), names(&shown)), ("one", vec!["one", "gone"]));
}

#[tokio::test]
async fn a_preview_needs_what_a_send_needs() {
    let api = Api::start_closed().await;
    let reads = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |_| ()).await;
    let team = api
        .key(TenantId::DEFAULT, &[Scope::MessagesWrite], |key| key.key_type = KeyType::Team)
        .await;
    for (key, code) in [(&reads, "missing_scope"), (&team, "recipient_not_on_list")] {
        let answer = api.by(key, Method::POST, PREVIEW, Some(&sms("Hello"))).await;
        assert_eq!((answer.status, answer.text("code")), (StatusCode::FORBIDDEN, code));
    }
}
