//! Members as an administrator invites, changes and removes them.

use axum::http::{Method, StatusCode};
use chrono::TimeDelta;
use hatch_domain::actor::Actor;
use hatch_domain::ids::TenantId;
use hatch_domain::scope::{Scope, Scopes};
use hatch_readmodel::configuration;
use serde_json::{Value, json};

use super::{Authority, InviteRequest};
use crate::testing::{Answer, Api};

pub(crate) const MEMBERS: &str = "/api/v1/members";
const ACCEPT: &str = "/api/v1/invitations/accept";
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Invites somebody, and says what stands behind `#` in the link.
pub(crate) async fn invite(api: &Api, email: &str, role: &str) -> (String, String) {
    let invited = api.post(MEMBERS, &json!({"email": email, "role": role})).await;
    assert_eq!(invited.status, StatusCode::CREATED, "{}", invited.body);
    api.known(&invited).await;
    let invitation = invited.text("invitation_url").split_once('#').expect("a secret").1.to_owned();
    (invited.text("id").to_owned(), invitation)
}

pub(crate) async fn accept(api: &Api, invitation: &str) -> Answer {
    // Attempts from one address are counted.
    api.advance(TimeDelta::seconds(30)).await;
    api.post(ACCEPT, &json!({"invitation": invitation, "password": PASSWORD, "name": " Ann "}))
        .await
}

/// Invites somebody who comes; says who he is.
pub(crate) async fn joined(api: &Api, email: &str, role: &str) -> String {
    let (id, invitation) = invite(api, email, role).await;
    let accepted = accept(api, &invitation).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.body);
    id
}

async fn change(api: &Api, id: &str, body: Value) -> Answer {
    let path = format!("{MEMBERS}/{id}");
    let changed = api.request(Method::PATCH, &path, &[], Some(body.to_string())).await;
    if changed.status == StatusCode::OK {
        api.known(&changed).await;
    }
    changed
}

async fn remove(api: &Api, id: &str) -> Answer {
    api.request(Method::DELETE, &format!("{MEMBERS}/{id}"), &[], None).await
}

#[tokio::test]
async fn a_person_is_invited_comes_by_the_link_once_and_is_shown() {
    let api = Api::start().await;
    let (id, invitation) = invite(&api, "Ann@Example.com", "agent").await;
    for (body, pointer) in [
        (json!({"invitation": invitation, "password": "short"}), "/password"),
        (json!({"password": PASSWORD}), "/invitation"),
    ] {
        assert_eq!(api.post(ACCEPT, &body).await.pointers(), [pointer]);
    }
    let accepted = accept(&api, &invitation).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.body);
    assert_eq!((accepted.text("id"), accepted.text("status")), (id.as_str(), "active"));
    assert_eq!((accepted.text("name"), accepted.text("role")), ("Ann", "agent"));
    let again = accept(&api, &invitation).await;
    assert_eq!((again.status, again.text("code")), (StatusCode::NOT_FOUND, "invitation_invalid"));
    let joined = api.post(MEMBERS, &json!({"email": "ann@example.com", "role": "agent"})).await;
    assert_eq!((joined.status, joined.text("code")), (StatusCode::CONFLICT, "member_joined"));

    api.project(&configuration::DEFINITION).await;
    let one = api.get(&format!("{MEMBERS}/{id}")).await;
    assert_eq!(one.body, accepted.body);
    let list = api.get(MEMBERS).await;
    assert_eq!(list.body["data"], json!([accepted.body]));
    let none = api.get(&format!("{MEMBERS}/00000000-0000-7000-8000-000000000000")).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    for payload in api.payloads().await {
        assert!(!payload.contains(&invitation) && !payload.contains(PASSWORD), "{payload}");
    }
}

#[tokio::test]
async fn a_link_ends_by_time_and_by_another_one_and_is_told_once() {
    let api = Api::start().await;
    let (_, first) = invite(&api, "ann@example.com", "agent").await;
    let (_, second) = invite(&api, "ann@example.com", "viewer").await;
    assert_eq!(accept(&api, &first).await.status, StatusCode::NOT_FOUND);
    api.advance(TimeDelta::days(3)).await;
    assert_eq!(accept(&api, &second).await.status, StatusCode::NOT_FOUND);
    let request = json!({"email": "bob@example.com", "role": "agent"}).to_string();
    let key = [("idempotency-key", "once")];
    let told = api.request(Method::POST, MEMBERS, &key, Some(request.clone())).await;
    let again = api.request(Method::POST, MEMBERS, &key, Some(request)).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!((again.text("id"), &again.body["invitation_url"]), (told.text("id"), &json!(null)));
}

#[tokio::test]
async fn each_field_that_is_wrong_is_named() {
    let api = Api::start().await;
    for (request, pointers) in [
        (json!({}), vec!["/email", "/role"]),
        (json!({"email": "nobody", "role": "boss"}), vec!["/email", "/role"]),
        (json!({"email": "a@example.com", "role": "custom"}), vec!["/scopes"]),
        (json!({"email": "a@example.com", "role": "agent", "scopes": ["admin"]}), vec!["/scopes"]),
        (json!({"email": "a@example.com", "role": "custom", "scopes": ["x"]}), vec!["/scopes/0"]),
        (json!({"email": "a@example.com", "role": "agent", "name": "\u{7}"}), vec!["/name"]),
    ] {
        let answer = api.post(MEMBERS, &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{request}");
        let told = answer.pointers();
        assert!(pointers.iter().all(|pointer| told.contains(pointer)), "{request}: {told:?}");
    }
}

#[tokio::test]
async fn the_last_owner_stays_whatever_is_asked() {
    let api = Api::start().await;
    let ann = joined(&api, "ann@example.com", "owner").await;
    // Who has not come yet is none who could do anything.
    let (bob, invitation) = invite(&api, "bob@example.com", "owner").await;
    for refused in [remove(&api, &ann).await, change(&api, &ann, json!({"role": "admin"})).await] {
        assert_eq!((refused.status, refused.text("code")), (StatusCode::CONFLICT, "last_owner"));
    }
    assert_eq!(accept(&api, &invitation).await.status, StatusCode::OK);
    // Both at once: one of them is the last.
    let (first, second) = tokio::join!(remove(&api, &ann), remove(&api, &bob));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", first.body, second.body);
}

#[tokio::test]
async fn nobody_gives_or_takes_more_than_he_has() {
    let api = Api::start_closed().await;
    let tenant = TenantId::DEFAULT;
    let admin = api.key(tenant, &[Scope::Admin], |_| ()).await;
    let invite = async |body: Value| api.by(&admin, Method::POST, MEMBERS, Some(&body)).await;
    let of = |role: &str| json!({"email": format!("{role}@example.com"), "role": role});
    for (body, code) in [
        (of("owner"), Some("stronger_role")),
        (of("admin"), None),
        (
            json!({"email": "c@example.com", "role": "custom", "scopes": ["platform"]}),
            Some("stronger_role"),
        ),
        (json!({"email": "d@example.com", "role": "custom", "scopes": ["raw:read"]}), None),
    ] {
        let answer = invite(body.clone()).await;
        let told = answer.body["code"].as_str();
        assert_eq!(told, code, "{body}: {}", answer.body);
    }
    // Nor is an owner changed or removed by who is none, also before he has come.
    let owner = InviteRequest {
        email: Some("ann@example.com".to_owned()),
        role: Some("owner".to_owned()),
        ..InviteRequest::default()
    };
    let above = Authority {
        tenant_id: tenant,
        actor: Actor::System("test".to_owned()),
        scopes: Scopes::of(&[Scope::Admin]),
        over_owners: true,
    };
    let owner = super::invite(&api.people().store, &above, owner, "http://localhost").await;
    let owner = format!("{MEMBERS}/{}", owner.expect("invited").member.id);
    let less = json!({"role": "viewer"});
    for (method, body) in [(Method::PATCH, Some(&less)), (Method::DELETE, None)] {
        let refused = api.by(&admin, method, &owner, body).await;
        assert_eq!(refused.text("code"), "stronger_role", "{}", refused.body);
    }
    let reader = api.key(tenant, &[Scope::MessagesRead], |_| ()).await;
    let refused = api.by(&reader, Method::POST, MEMBERS, Some(&of("viewer"))).await;
    assert_eq!((refused.status, refused.text("code")), (StatusCode::FORBIDDEN, "missing_scope"));
}
