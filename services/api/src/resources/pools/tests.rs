//! Pools as clients make, read, change and remove them, and from whom messages go by them.

use axum::http::{Method, StatusCode};
use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::api_key::KeyType;
use hatch_domain::carrier::command::CarrierCommand;
use hatch_domain::carrier::event::BreakerOpened;
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scope;
use hatch_domain::traffic::Traffic;
use hatch_providers::{Account, Tenants};
use hatch_readmodel::configuration;
use hatch_routing::{Pool, PoolSender, PoolTable, PoolTerms};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Answer, Api, CUSTOMER, TestKey};

const POOLS: &str = "/api/v1/pools";
const MESSAGES: &str = "/api/v1/messages";
const US: &str = "+12125551234";
const UK: &str = "+447700900000";
const BRITON: &str = "+447700900001";

async fn patch(api: &Api, name: &str, body: &Value) -> Answer {
    api.request(Method::PATCH, &format!("{POOLS}/{name}"), &[], Some(body.to_string())).await
}

async fn delete(api: &Api, name: &str) -> Answer {
    api.request(Method::DELETE, &format!("{POOLS}/{name}"), &[], None).await
}

/// From now on there is this pool of all tenants.
fn set(api: &Api, name: &str, senders: &[&str]) {
    let sender = |text: &&str| PoolSender {
        address: Address::sender(text).expect("a sender"),
        weight: 100,
        area: None,
    };
    let terms = PoolTerms { senders: senders.iter().map(sender).collect(), ..PoolTerms::default() };
    let name = name.parse().expect("a name");
    api.pools.replace(PoolTable::new(vec![Pool { name, tenants: None, terms }]));
}

/// The sender of a message that was taken, and why it has that one.
async fn sender(api: &Api, message: &Value) -> (String, Option<String>) {
    taken(api, api.post(MESSAGES, message).await).await
}

/// As [`sender`], of a message that a key sends.
async fn sender_by(api: &Api, key: &TestKey, message: &Value) -> (String, Option<String>) {
    taken(api, api.by(key, Method::POST, MESSAGES, Some(message)).await).await
}

async fn taken(api: &Api, answer: Answer) -> (String, Option<String>) {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let recorded = api.payloads().await.pop().expect("its event");
    let recorded: Value = serde_json::from_str(&recorded).expect("JSON");
    let pool = &recorded["options"]["pool"];
    let why = pool["reason"]
        .as_str()
        .map(|reason| format!("{}: {reason}", pool["name"].as_str().unwrap_or_default()));
    (recorded["from"].as_str().expect("a sender").to_owned(), why)
}

fn to(number: &str, pool: Option<&str>) -> Value {
    let mut message = json!({"to": number, "body": "Hello"});
    if let Some(pool) = pool {
        message["pool"] = json!(pool);
    }
    message
}

#[tokio::test]
async fn a_pool_is_made_shown_changed_and_removed() {
    let api = Api::start().await;
    let wanted = json!({"name": "support", "channel": "sms", "default": true,
        "senders": [{"address": "+1 201 666 1234", "weight": 80, "area": "212"}, "73822", "My Shop"]});
    let made = api.post(POOLS, &wanted).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let sender = |address, kind, weight, area| json!({"address": address, "kind": kind, "weight": weight, "area": area});
    let expected = json!([
        sender("+12016661234", "number", 80, Some("212")),
        sender("73822", "short_code", 100, None),
        sender("My Shop", "alphanumeric", 100, None),
    ]);
    assert_eq!((&made.body["senders"], &made.body["default"]), (&expected, &json!(true)));
    api.project(&configuration::DEFINITION).await;
    let one = api.get(&format!("{POOLS}/support")).await;
    assert_eq!((one.status, &one.body), (StatusCode::OK, &made.body));
    assert_eq!(api.get(POOLS).await.body, json!({"data": [made.body], "next_cursor": null}));

    let change = json!({"channel": null, "senders": ["738"]});
    let changed = patch(&api, "support", &change).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    assert_eq!(changed.body["senders"], json!([sender("738", "short_code", 100, None)]));
    assert_eq!((&changed.body["channel"], &changed.body["default"]), (&json!(null), &json!(true)));
    assert_eq!(patch(&api, "support", &change).await.body, changed.body);
    assert_eq!(api.log_length().await, 2, "it was so already");

    let removed = delete(&api, "support").await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.body);
    assert_eq!(delete(&api, "support").await.body, removed.body);
    api.project(&configuration::DEFINITION).await;
    assert_eq!(api.get(&format!("{POOLS}/support")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(patch(&api, "support", &json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete(&api, "No%20name").await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.post(POOLS, &wanted).await.status, StatusCode::CREATED, "made again");
}

#[tokio::test]
async fn what_is_wrong_with_a_pool_is_named() {
    let api = Api::start().await;
    let one = json!(["+12016661234"]);
    for (wanted, pointers) in [
        (json!({}), vec!["/name", "/senders"]),
        (json!({"name": "No name", "senders": one}), vec!["/name"]),
        (json!({"name": "a", "senders": []}), vec!["/senders"]),
        (
            json!({"name": "a", "senders": ["user@example.com", 17]}),
            vec!["/senders/0", "/senders/1"],
        ),
        (json!({"name": "a", "senders": ["738", "738"]}), vec!["/senders/1"]),
        (json!({"name": "a", "senders": [{"address": "12"}]}), vec!["/senders/0/address"]),
        (
            json!({"name": "a", "senders": [{"address": "738", "weight": 101}]}),
            vec!["/senders/0/weight"],
        ),
        (
            json!({"name": "a", "senders": [{"address": "738", "area": "x"}]}),
            vec!["/senders/0/area"],
        ),
        (json!({"name": "a", "senders": one, "channel": "email"}), vec!["/channel"]),
        (json!({"name": "a", "senders": ["My Shop"], "channel": "mms"}), vec!["/senders/0"]),
        (json!({"name": "a", "senders": vec!["738"; 501]}), vec!["/senders"]),
    ] {
        let refused = api.post(POOLS, &wanted).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wanted}: {}", refused.body);
        assert_eq!(refused.pointers(), pointers, "{wanted}");
    }
    assert_eq!(api.log_length().await, 0);
    let good = json!({"name": "a", "senders": one});
    assert_eq!(api.post(POOLS, &good).await.status, StatusCode::CREATED);
    let again = api.post(POOLS, &good).await;
    assert_eq!((again.status, again.text("code")), (StatusCode::CONFLICT, "pool_exists"));
}

#[tokio::test]
async fn a_pool_is_its_tenants() {
    let api = Api::start_closed().await;
    let ours = api.key(TenantId::DEFAULT, &[Scope::Admin], |_| ()).await;
    let theirs = api.key(TenantId(Uuid::from_u128(2)), &[Scope::Admin], |_| ()).await;
    let pool = json!({"name": "support", "senders": ["73822"]});
    let made = api.by(&ours, Method::POST, POOLS, Some(&pool)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    api.project(&configuration::DEFINITION).await;
    let path = format!("{POOLS}/support");
    for (method, body) in
        [(Method::GET, None), (Method::PATCH, Some(json!({}))), (Method::DELETE, None)]
    {
        let refused = api.by(&theirs, method, &path, body.as_ref()).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.body);
    }
    let made = api.by(&theirs, Method::POST, POOLS, Some(&pool)).await;
    assert_eq!(made.status, StatusCode::CREATED, "a name of its own: {}", made.body);
}

#[tokio::test]
async fn whom_a_pool_writes_to_is_written_to_from_one_sender_until_that_has_left_it() {
    let api = Api::start().await;
    set(&api, "support", &[US, UK]);
    let is = |sender: &str, reason: &str| (sender.to_owned(), Some(format!("support: {reason}")));
    assert_eq!(sender(&api, &to(BRITON, Some("support"))).await, is(UK, "country"));
    assert_eq!(sender(&api, &to(BRITON, Some("support"))).await, is(UK, "sticky"));
    assert_eq!(sender(&api, &to(CUSTOMER, Some("support"))).await, is(US, "country"));
    set(&api, "support", &[US]);
    let rehomed = sender(&api, &to(BRITON, Some("support"))).await;
    assert_eq!(rehomed, is(US, &format!("rehomed from {UK}; only_one")));
    set(&api, "support", &[UK, US]);
    assert_eq!(sender(&api, &to(BRITON, Some("support"))).await, is(US, "sticky"), "it stays");
}

#[tokio::test]
async fn a_message_without_a_sender_has_one_of_the_only_pool_and_one_with_a_sender_has_that() {
    let api = Api::start().await;
    set(&api, "support", &[UK]);
    let (from, why) = sender(&api, &to(CUSTOMER, None)).await;
    assert_eq!((from.as_str(), why.as_deref()), (UK, Some("support: only_one")));
    let mut named = to(CUSTOMER, None);
    named["from"] = json!("73822");
    assert_eq!(sender(&api, &named).await, ("73822".to_owned(), None));
    let mail = json!({"to": "ann@example.com", "body": "Hello"});
    assert_eq!(sender(&api, &mail).await.1, None);
}

#[tokio::test]
async fn a_key_sends_from_its_own_senders_of_a_pool_alone_also_where_none_is_up() {
    let api = Api::start_closed().await;
    api.name_accounts(&[("one", Tenants::All)], &[Channel::Sms]);
    set(&api, "support", &[US, UK]);
    let key = async |sender: &str| {
        let senders = vec![Address::phone(sender).expect("a number")];
        let scopes = [Scope::MessagesWrite];
        api.key(TenantId::DEFAULT, &scopes, |key| key.senders = senders).await
    };
    let (ours, others) = (key(US).await, key(CUSTOMER).await);
    let opened = BreakerOpened {
        account: "one".parse().expect("a name"),
        provider: "nobody".to_owned(),
        key: "one".to_owned(),
        cause: "failures".to_owned(),
        detail: "5 calls failed in a row".to_owned(),
        failures: 5,
        calls: 5,
        window_s: 30,
        at: api.in_time(chrono::TimeDelta::zero()),
    };
    api.tell_of_account("one", &CarrierCommand::Open(opened)).await;
    let message = to(BRITON, Some("support"));
    let (from, why) = sender_by(&api, &ours, &message).await;
    assert_eq!((from.as_str(), why.as_deref()), (US, Some("support: only_one")));
    let refused = api.by(&others, Method::POST, MESSAGES, Some(&message)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    let to_itself = api.by(&ours, Method::POST, MESSAGES, Some(&to(US, Some("support")))).await;
    assert_eq!(to_itself.status, StatusCode::FORBIDDEN, "{}", to_itself.body);
    set(&api, "support", &[US]);
    let to_itself = api.by(&ours, Method::POST, MESSAGES, Some(&to(US, Some("support")))).await;
    assert_eq!(to_itself.pointers(), ["/to"], "{}", to_itself.body);
}

#[tokio::test]
async fn a_message_that_names_its_account_has_a_sender_that_this_one_sends_for() {
    let api = Api::start().await;
    api.name_accounts(&[("one", Tenants::All), ("two", Tenants::All)], &[Channel::Sms]);
    let only = |account: &Account| {
        let text = if account.name.as_str() == "one" { UK } else { US };
        Account { senders: vec![Address::phone(text).expect("a number")], ..account.clone() }
    };
    api.accounts.replace(api.accounts.current().iter().map(|account| only(account)).collect());
    set(&api, "support", &[US, UK]);
    let mut message = to(BRITON, Some("support"));
    message["account"] = json!("two");
    assert_eq!(sender(&api, &message).await.0, US);
}

#[tokio::test]
async fn tests_change_nobodys_sender_and_have_one_of_their_own() {
    let api = Api::start_closed().await;
    api.set_accounts(&[Traffic::Live, Traffic::Test], &[Channel::Sms]);
    let key = async |key_type| {
        let scopes = [Scope::MessagesWrite];
        api.key(TenantId::DEFAULT, &scopes, |key| key.key_type = key_type).await
    };
    let (live, test) = (key(KeyType::Live).await, key(KeyType::Test).await);
    let message = to(BRITON, Some("support"));
    set(&api, "support", &[US]);
    assert_eq!(sender_by(&api, &test, &message).await.0, US);
    set(&api, "support", &[US, UK]);
    let is = |sender: &str, reason: &str| (sender.to_owned(), Some(format!("support: {reason}")));
    assert_eq!(sender_by(&api, &live, &message).await, is(UK, "country"));
    assert_eq!(sender_by(&api, &test, &message).await, is(US, "sticky"));
    assert_eq!(sender_by(&api, &live, &message).await, is(UK, "sticky"));
}

#[tokio::test]
async fn a_pool_that_there_is_not_or_that_says_otherwise_than_from_is_named() {
    let api = Api::start().await;
    set(&api, "support", &[UK]);
    let pooled = |more: Value| {
        let mut message = to(CUSTOMER, Some("support"));
        let fields = message.as_object_mut().expect("an object");
        let Value::Object(more) = more else { panic!("an object") };
        fields.extend(more);
        message
    };
    for (message, pointers) in [
        (pooled(json!({"pool": "others"})), vec!["/pool"]),
        (pooled(json!({"from": US})), vec!["/pool"]),
        (pooled(json!({"to": "ann@example.com"})), vec!["/pool"]),
        (
            json!({"conversation_id": Uuid::from_u128(1), "body": "Hello", "pool": "support"}),
            vec!["/pool"],
        ),
        (json!({"from": "Much too long a name", "to": CUSTOMER, "body": "Hello"}), vec!["/from"]),
    ] {
        let refused = api.post(MESSAGES, &message).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{message}: {}", refused.body);
        assert_eq!(refused.pointers(), pointers, "{message}");
    }
}

#[tokio::test]
async fn a_message_that_is_repeated_is_answered_as_the_first_time_whatever_the_pool_has_become() {
    let api = Api::start().await;
    set(&api, "support", &[UK]);
    let (headers, body) = ([("idempotency-key", "one")], to(CUSTOMER, Some("support")).to_string());
    let first = api.request(Method::POST, MESSAGES, &headers, Some(body.clone())).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    set(&api, "support", &[US]);
    let again = api.request(Method::POST, MESSAGES, &headers, Some(body)).await;
    assert_eq!((again.status, &again.body), (StatusCode::ACCEPTED, &first.body));
    assert_eq!(api.log_length().await, 1);
}
