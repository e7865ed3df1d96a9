//! Accounts as clients make, read, change and remove them.

use axum::http::{Method, StatusCode};
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scope;
use hatch_readmodel::configuration;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Answer, Api};

const ACCOUNTS: &str = "/api/v1/accounts";
const CANARY: &str = "CANARY-0123456789";

fn sid(digit: char) -> String {
    format!("AC{}", digit.to_string().repeat(32))
}

fn twilio(name: &str, digit: char) -> Value {
    json!({
        "name": name, "provider": "twilio", "channels": ["sms"], "senders": ["+1 201 666 1234"],
        "settings": {"account_sid": sid(digit), "auth_token": CANARY, "acts_on_words": false},
    })
}

async fn patch(api: &Api, name: &str, body: &Value) -> Answer {
    api.request(Method::PATCH, &format!("{ACCOUNTS}/{name}"), &[], Some(body.to_string())).await
}

async fn delete(api: &Api, name: &str) -> Answer {
    api.request(Method::DELETE, &format!("{ACCOUNTS}/{name}"), &[], None).await
}

#[tokio::test]
async fn an_account_is_made_shown_changed_and_removed_and_never_shows_its_secrets() {
    let api = Api::start().await;
    let made = api.post(ACCOUNTS, &twilio("main", '1')).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!((made.text("name"), made.text("provider")), ("main", "twilio"));
    assert_eq!(made.body["settings"], json!({"account_sid": sid('1'), "acts_on_words": false}));
    assert_eq!(made.body["secrets"], json!(["auth_token"]));
    assert_eq!((&made.body["senders"], made.text("traffic")), (&json!(["+12016661234"]), "live"));
    api.project(&configuration::DEFINITION).await;
    let one = api.get(&format!("{ACCOUNTS}/main")).await;
    assert_eq!((one.status, &one.body), (StatusCode::OK, &made.body));
    let list = api.get(ACCOUNTS).await;
    assert_eq!(list.body, json!({"data": [made.body], "next_cursor": null}));

    let second = format!("{CANARY}-2");
    let wanted = json!({"senders": [], "settings": {
        "auth_token": CANARY, "auth_token_secondary": second, "acts_on_words": null}});
    let changed = patch(&api, "main", &wanted).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    assert_eq!(changed.body["settings"], json!({"account_sid": sid('1')}));
    assert_eq!(changed.body["secrets"], json!(["auth_token", "auth_token_secondary"]));
    assert_eq!(
        (&changed.body["senders"], &changed.body["channels"]),
        (&json!([]), &json!(["sms"]))
    );
    assert_eq!(patch(&api, "main", &wanted).await.body, changed.body);
    assert_eq!(api.log_length().await, 2, "it was so already, though each sealing is another");
    let without = patch(&api, "main", &json!({"settings": {"auth_token_secondary": null}})).await;
    assert_eq!(without.body["secrets"], json!(["auth_token"]));

    let removed = delete(&api, "main").await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.body);
    assert_eq!(removed.body["secrets"], json!([]));
    assert_eq!(delete(&api, "main").await.body, removed.body);
    api.project(&configuration::DEFINITION).await;
    assert_eq!(api.get(&format!("{ACCOUNTS}/main")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get(ACCOUNTS).await.body["data"], json!([]));
    assert_eq!(patch(&api, "main", &json!({})).await.status, StatusCode::NOT_FOUND);
    let again = api.post(ACCOUNTS, &twilio("main", '2')).await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.body);
    for payload in api.payloads().await {
        assert!(!payload.contains("CANARY"), "{payload}");
    }
}

#[tokio::test]
async fn an_account_at_a_provider_is_one_that_it_reports_to() {
    let api = Api::start().await;
    for (url, fits) in [
        ("http://127.0.0.1:8080", false),
        ("http://[::1]:8080", false),
        ("http://hatch.localhost", false),
        ("https://hatch.example.com", true),
    ] {
        let mut account = twilio("main", '1');
        account["settings"]["public_url"] = json!(url);
        let made = api.post(ACCOUNTS, &account).await;
        if fits {
            assert_eq!(made.status, StatusCode::CREATED, "{url}: {}", made.body);
        } else {
            assert_eq!(made.status, StatusCode::BAD_REQUEST, "{url}: {}", made.body);
            assert_eq!(made.pointers(), ["/settings/public_url"], "{url}");
        }
    }
}

#[tokio::test]
async fn a_name_is_one_of_the_installation() {
    let api = Api::start_closed().await;
    let other_tenant = TenantId(Uuid::from_u128(2));
    let ours = api.key(TenantId::DEFAULT, &[Scope::Admin], |_| ()).await;
    let theirs = api.key(other_tenant, &[Scope::Admin], |_| ()).await;
    let made = api.by(&ours, Method::POST, ACCOUNTS, Some(&twilio("main", '1'))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    for by in [&ours, &theirs] {
        let again = api.by(by, Method::POST, ACCOUNTS, Some(&twilio("main", '2'))).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.body);
        assert_eq!(again.text("code"), "account_exists");
    }
    api.project(&configuration::DEFINITION).await;
    let path = format!("{ACCOUNTS}/main");
    for (method, body) in [
        (Method::GET, None),
        (Method::PATCH, Some(json!({}))),
        (Method::PATCH, Some(json!({"senders": []}))),
        (Method::DELETE, None),
    ] {
        let answer = api.by(&theirs, method, &path, body.as_ref()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    }
    let list = api.by(&theirs, Method::GET, ACCOUNTS, None).await;
    assert_eq!(list.body["data"], json!([]));
    let removed = api.by(&ours, Method::DELETE, &path, None).await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.body);
    let taken = api.by(&theirs, Method::POST, ACCOUNTS, Some(&twilio("main", '2'))).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "it stays its tenant's: {}", taken.body);
}

#[tokio::test]
async fn only_who_runs_the_installation_has_it_call_other_than_a_provider() {
    let api = Api::start_closed().await;
    let admin = api.key(TenantId::DEFAULT, &[Scope::Admin], |_| ()).await;
    let operator = api.key(TenantId::DEFAULT, &[Scope::Admin, Scope::Platform], |_| ()).await;
    let reader = api.key(TenantId::DEFAULT, &[Scope::MessagesRead], |_| ()).await;
    let mut wanted = twilio("main", '1');
    wanted["settings"]["base_url"] = json!("http://169.254.169.254");
    let refused = api.by(&admin, Method::POST, ACCOUNTS, Some(&wanted)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    assert_eq!(refused.text("code"), "missing_scope");
    let refused = api.by(&reader, Method::POST, ACCOUNTS, Some(&twilio("main", '1'))).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    let made = api.by(&operator, Method::POST, ACCOUNTS, Some(&wanted)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
}

#[tokio::test]
async fn an_idempotency_key_makes_one_account() {
    let api = Api::start().await;
    let post = async |body: &Value| {
        let header = [("idempotency-key", "the first")];
        api.request(Method::POST, ACCOUNTS, &header, Some(body.to_string())).await
    };
    let first = post(&twilio("main", '1')).await;
    patch(&api, "main", &json!({"senders": []})).await;
    let again = post(&twilio("main", '1')).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first.body));
    assert_eq!(post(&twilio("other", '2')).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(api.log_length().await, 2);
}

#[tokio::test]
async fn each_bad_field_is_named_and_nothing_is_written() {
    let api = Api::start().await;
    let of = |field: &str, value: Value| {
        let mut body = twilio("main", '1');
        body[field] = value;
        body
    };
    let set = |key: &str, value: Value| {
        let mut body = twilio("main", '1');
        body["settings"][key] = value;
        body
    };
    let many: Value =
        (0..33).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    for (body, pointer) in [
        (json!({"provider": "twilio", "settings": {}}), "/name"),
        (of("name", json!("Main")), "/name"),
        (of("name", json!("inbound")), "/name"),
        (of("name", json!("twilio")), "/name"),
        (of("name", json!("sendgrid")), "/name"),
        (of("name", json!("generic")), "/name"),
        (of("provider", json!(null)), "/provider"),
        (of("provider", json!("pigeon")), "/provider"),
        (of("channels", json!(["email"])), "/channels"),
        (of("channels", json!(["pigeon"])), "/channels/0"),
        (of("senders", json!(["user@"])), "/senders/0"),
        (of("traffic", json!("some")), "/traffic"),
        (of("traffic", json!("test")), "/traffic"),
        (of("on_doubt", json!("guess")), "/on_doubt"),
        (of("rate_per_s", json!(0)), "/rate_per_s"),
        (of("rate_per_sender_per_s", json!("1")), "/rate_per_sender_per_s"),
        (of("per_day", json!(1.5)), "/per_day"),
        (of("concurrency_max", json!(-1)), "/concurrency_max"),
        (of("settings", json!(null)), "/settings"),
        (of("settings", many), "/settings"),
        (set("auth_token", json!(null)), "/settings/auth_token"),
        (set("auth_token", json!(["a"])), "/settings/auth_token"),
        (set("auth_token", json!("a\u{0}")), "/settings/auth_token"),
        (set("auth_token_file", json!("/etc/passwd")), "/settings/auth_token_file"),
        (set("account_sid", json!("AC1")), "/settings/account_sid"),
        (set("base_url", json!("http://user:pass@api.twilio.com")), "/settings/base_url"),
        (set("http_timeout_ms", json!(60_000)), "/settings/http_timeout_ms"),
        (of("colour", json!(1)), "/colour"),
    ] {
        let answer = api.post(ACCOUNTS, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.body);
        assert_eq!(answer.pointers(), [pointer], "{body}: {}", answer.body);
        assert!(!answer.body.to_string().contains("CANARY"), "{}", answer.body);
    }
    assert_eq!(api.log_length().await, 0);
    api.post(ACCOUNTS, &twilio("main", '1')).await;
    for (body, pointer) in [
        (json!({"settings": {"auth_token": null}}), "/settings/auth_token"),
        (json!({"settings": {"account_sid": "AC1"}}), "/settings/account_sid"),
        (json!({"traffic": "all"}), "/traffic"),
        (json!({"name": "other"}), "/name"),
    ] {
        let answer = patch(&api, "main", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.body);
        assert_eq!(answer.pointers(), [pointer], "{body}: {}", answer.body);
    }
    assert_eq!(api.log_length().await, 1);
    for name in ["other", "Main", "a_b", "%00"] {
        assert_eq!(api.get(&format!("{ACCOUNTS}/{name}")).await.status, StatusCode::NOT_FOUND);
        assert_eq!(delete(&api, name).await.status, StatusCode::NOT_FOUND, "{name}");
        assert_eq!(patch(&api, name, &json!({})).await.status, StatusCode::NOT_FOUND, "{name}");
    }
}

#[tokio::test]
async fn all_settings_that_are_wrong_by_themselves_are_named_at_once() {
    let api = Api::start().await;
    let mut account = twilio("main", '1');
    account["settings"] = json!({"account_sid": 5, "auth_token": CANARY, "auth_token_file": "/a"});
    let refused = api.post(ACCOUNTS, &account).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    let mut pointers = refused.pointers();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/settings/account_sid", "/settings/auth_token_file"]);
    account = twilio("main", '1');
    account["senders"] = json!(["\u{2603}", "+1804"]);
    let refused = api.post(ACCOUNTS, &account).await;
    assert_eq!(refused.pointers(), ["/senders/0", "/senders/1"], "{}", refused.body);
}

#[tokio::test]
async fn without_a_master_key_no_account_is_kept() {
    let api = Api::start_without_master_key().await;
    let refused = api.post(ACCOUNTS, &twilio("main", '1')).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    assert_eq!(refused.text("code"), "no_master_key");
    assert!(refused.text("detail").contains("HATCH_MASTER_KEY_FILE"), "{}", refused.body);
    assert_eq!(api.log_length().await, 0);
}

#[tokio::test]
async fn an_account_is_given_limits_that_can_be_changed_and_taken_away() {
    let api = Api::start().await;
    let mut account = twilio("main", '1');
    (account["rate_per_s"], account["per_day"]) = (json!(100), json!(5_000));
    let made = api.post(ACCOUNTS, &account).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let limits = |answer: &Answer| {
        ["rate_per_s", "rate_per_sender_per_s", "per_day", "concurrency_max"]
            .map(|key| answer.body.get(key).cloned().expect("always there"))
    };
    assert_eq!(limits(&made), [json!(100.0), json!(null), json!(5_000), json!(null)]);
    let wanted = json!({"rate_per_s": null, "rate_per_sender_per_s": 0.5, "concurrency_max": 8});
    let changed = patch(&api, "main", &wanted).await;
    assert_eq!(limits(&changed), [json!(null), json!(0.5), json!(5_000), json!(8)]);
    assert_eq!(patch(&api, "main", &wanted).await.body, changed.body, "it is so already");
    assert_eq!(api.log_length().await, 2);
}

#[tokio::test]
async fn an_account_says_what_becomes_of_its_doubts_until_that_is_taken_away() {
    let api = Api::start().await;
    let mut account = twilio("main", '1');
    account["on_doubt"] = json!("resend");
    let made = api.post(ACCOUNTS, &account).await;
    assert_eq!((made.status, &made.body["on_doubt"]), (StatusCode::CREATED, &json!("resend")));
    let same = patch(&api, "main", &json!({"senders": []})).await;
    assert_eq!(same.body["on_doubt"], "resend");
    let none = patch(&api, "main", &json!({"on_doubt": null})).await;
    assert_eq!(none.body["on_doubt"], json!(null), "{}", none.body);
}
