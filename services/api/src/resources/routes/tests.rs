//! Routes as clients make, read, change and remove them.

use axum::http::{Method, StatusCode};
use hatch_domain::Channel;
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scope;
use hatch_providers::Tenants;
use hatch_readmodel::configuration;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Answer, Api};

const ROUTES: &str = "/api/v1/routes";
const OTHER: TenantId = TenantId(Uuid::from_u128(2));

async fn change(api: &Api, path: &str, body: &Value) -> Answer {
    api.request(Method::PATCH, path, &[], Some(body.to_string())).await
}

/// Two accounts for texts, one for mails, and one of another tenant.
fn set_accounts(api: &Api) {
    let theirs = Tenants::These(vec![OTHER]);
    let named = [("one", Tenants::All), ("two", Tenants::default_alone()), ("theirs", theirs)];
    api.name_accounts(&named, &[Channel::Sms]);
}

#[tokio::test]
async fn a_route_is_made_shown_changed_and_removed() {
    let api = Api::start().await;
    set_accounts(&api);
    let wanted = json!({"name": "Great Britain", "order": 5, "channel": "sms", "to": "+44",
        "from": "+1 201 666 1234", "priority": "high",
        "accounts": [{"name": "one", "weight": 80}, "two"]});
    let key = [("idempotency-key", "a-key")];
    let made = api.request(Method::POST, ROUTES, &key, Some(wanted.to_string())).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(
        made.body["accounts"],
        json!([{"name": "one", "weight": 80}, {"name": "two", "weight": 100}])
    );
    assert_eq!(
        (made.text("from"), made.text("to"), &made.body["backup"]),
        ("+12016661234", "+44", &json!([]))
    );
    let again = api.request(Method::POST, ROUTES, &key, Some(wanted.to_string())).await;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &made.body));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = json!({"accounts": ["one"]}).to_string();
    let reused = api.request(Method::POST, ROUTES, &key, Some(other)).await;
    assert_eq!(reused.text("code"), "idempotency_key_reused");

    api.project(&configuration::DEFINITION).await;
    let path = format!("{ROUTES}/{}", made.text("id"));
    assert_eq!(api.get(&path).await.body, made.body);
    assert_eq!(api.get(ROUTES).await.body, json!({"data": [made.body], "next_cursor": null}));

    let less = json!({"to": null, "name": null, "accounts": ["two"], "backup": ["one"]});
    let changed = change(&api, &path, &less).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    assert_eq!((&changed.body["to"], &changed.body["name"]), (&json!(null), &json!(null)));
    assert_eq!((changed.text("channel"), &changed.body["order"]), ("sms", &json!(5)));
    assert_eq!(change(&api, &path, &less).await.body, changed.body);
    assert_eq!(api.log_length().await, 2, "it was so already");

    let removed = api.request(Method::DELETE, &path, &[], None).await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.body);
    assert_eq!(api.request(Method::DELETE, &path, &[], None).await.body, removed.body);
    assert_eq!(change(&api, &path, &less).await.status, StatusCode::NOT_FOUND);
    api.project(&configuration::DEFINITION).await;
    assert_eq!(api.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get(ROUTES).await.body["data"], json!([]));
}

#[tokio::test]
async fn what_is_wrong_with_a_route_is_named_field_by_field() {
    let api = Api::start().await;
    set_accounts(&api);
    let made = api.post(ROUTES, &json!({"name": "taken", "accounts": ["one"]})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    for (body, pointers) in [
        (json!({}), vec!["/accounts"]),
        (json!({"accounts": []}), vec!["/accounts"]),
        (json!({"accounts": ["none"]}), vec!["/accounts/0"]),
        (json!({"accounts": ["one", "theirs"]}), vec!["/accounts/1"]),
        (json!({"accounts": ["one"], "backup": ["theirs"]}), vec!["/backup/0"]),
        (
            json!({"accounts": ["One", 5, {"name": "one", "share": 5}]}),
            vec!["/accounts/0", "/accounts/1", "/accounts/2"],
        ),
        (json!({"accounts": [{"name": "one", "weight": 0}]}), vec!["/accounts"]),
        (json!({"accounts": [{"name": "one", "weight": 101}]}), vec!["/accounts"]),
        (json!({"accounts": ["two", {"name": "one", "weight": null}]}), vec!["/accounts/1/weight"]),
        (json!({"accounts": ["one"], "backup": ["one"]}), vec!["/accounts"]),
        (json!({"accounts": ["one"], "channel": "email"}), vec!["/accounts/0"]),
        (json!({"accounts": ["one"], "channel": "chat"}), vec!["/channel"]),
        (json!({"accounts": ["one"], "channel": "sms", "to": "example.com"}), vec!["/to"]),
        (json!({"accounts": ["one"], "to": "44", "priority": "soon"}), vec!["/to", "/priority"]),
        (json!({"accounts": ["one"], "from": "+"}), vec!["/from"]),
        (json!({"accounts": ["one"], "name": " "}), vec!["/name"]),
    ] {
        let refused = api.post(ROUTES, &body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}: {}", refused.body);
        assert_eq!(refused.pointers(), pointers, "{body}");
    }
    let again = api.post(ROUTES, &json!({"name": "taken", "accounts": ["one"]})).await;
    assert_eq!((again.status, again.text("code")), (StatusCode::CONFLICT, "route_exists"));
    let other = api.post(ROUTES, &json!({"name": "other", "accounts": ["one"]})).await;
    let other = format!("{ROUTES}/{}", other.text("id"));
    let renamed = change(&api, &other, &json!({"name": "taken"})).await;
    assert_eq!((renamed.status, renamed.text("code")), (StatusCode::CONFLICT, "route_exists"));
    let path = format!("{ROUTES}/{}", made.text("id"));
    assert_eq!(change(&api, &path, &json!({"accounts": null})).await.status, StatusCode::OK);
    assert_eq!(
        change(&api, &path, &json!({"accounts": ["none"]})).await.pointers(),
        ["/accounts/0"]
    );
    assert_eq!(
        change(&api, &path, &json!({"name": "taken"})).await.status,
        StatusCode::OK,
        "its own"
    );
    // An account that has gone since keeps nobody from changing something else.
    api.name_accounts(&[("two", Tenants::All)], &[Channel::Sms]);
    assert_eq!(change(&api, &path, &json!({"order": -1})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_route_is_its_tenants_alone_and_asks_for_admin() {
    let api = Api::start_closed().await;
    set_accounts(&api);
    let ours = api.key(TenantId::DEFAULT, &[Scope::Admin], |_| ()).await;
    let theirs = api.key(OTHER, &[Scope::Admin], |_| ()).await;
    let sends = api.key(TenantId::DEFAULT, &[Scope::MessagesWrite], |_| ()).await;
    let body = json!({"accounts": ["one"]});
    let refused = api.by(&sends, Method::POST, ROUTES, Some(&body)).await;
    assert_eq!((refused.status, refused.text("code")), (StatusCode::FORBIDDEN, "missing_scope"));
    let made = api.by(&ours, Method::POST, ROUTES, Some(&body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    api.project(&configuration::DEFINITION).await;
    let path = format!("{ROUTES}/{}", made.text("id"));
    for (method, body) in
        [(Method::GET, None), (Method::PATCH, Some(json!({"order": 1}))), (Method::DELETE, None)]
    {
        let answer = api.by(&theirs, method.clone(), &path, body.as_ref()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method}: {}", answer.body);
    }
    assert_eq!(api.by(&theirs, Method::GET, ROUTES, None).await.body["data"], json!([]));
    let two = json!({"accounts": ["two"]});
    let foreign = api.by(&theirs, Method::POST, ROUTES, Some(&two)).await;
    assert_eq!(foreign.pointers(), ["/accounts/0"], "an account of another tenant is none");
}
