//! Signing in and out, as a browser does it.

use axum::http::{Method, StatusCode};
use chrono::TimeDelta;
use hatch_domain::ids::TenantId;
use hatch_domain::scope::Scope;
use hatch_domain::tenant::command::TenantCommand;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::people::code_at;
use crate::resources::members::tests::{MEMBERS, PASSWORD, accept, joined};
use crate::testing::{Answer, Api, TestKey};

const SESSION: &str = "/api/v1/session";
const EMAIL: &str = "ann@example.com";

/// Longer than attempts of one address are counted.
const PAUSE: TimeDelta = TimeDelta::seconds(30);

async fn try_to(api: &Api, more: Value) -> Answer {
    let mut body = json!({"email": EMAIL, "password": PASSWORD});
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    api.post(SESSION, &body).await
}

/// The cookie that an answer gives, as a browser sends it back.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().expect("a pair").to_owned()
}

async fn signed_in(api: &Api) -> String {
    api.advance(PAUSE).await;
    let answer = try_to(api, json!({})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    cookie(&answer)
}

async fn get(api: &Api, cookie: &str, path: &str) -> Answer {
    api.by_session(cookie, (Method::GET, path), &[], None).await
}

/// An installation that a person of that role is let in to, and the key of who has invited him; and his id.
async fn closed_to_all_but(role: &str) -> (Api, TestKey, String) {
    let api = Api::start_closed().await;
    let admin = api.key(TenantId::DEFAULT, &[Scope::Admin], |_| ()).await;
    let invited = json!({"email": EMAIL, "role": role});
    let invited = api.by(&admin, Method::POST, MEMBERS, Some(&invited)).await;
    api.known(&invited).await;
    let token = invited.text("invitation_url").split_once('#').expect("a secret").1.to_owned();
    assert_eq!(accept(&api, &token).await.status, StatusCode::OK);
    let id = invited.text("id").to_owned();
    (api, admin, id)
}

#[tokio::test]
async fn a_member_signs_in_does_what_his_role_may_and_signs_out() {
    let (api, admin, id) = closed_to_all_but("agent").await;

    api.advance(PAUSE).await;
    let answer = try_to(&api, json!({"email": "ANN@example.com"})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let given = answer.header("set-cookie").to_owned();
    for part in ["hatch=", "; Path=/", "; HttpOnly", "; SameSite=Lax"] {
        assert!(given.contains(part), "{given}");
    }
    let cookie = cookie(&answer);
    let who = get(&api, &cookie, SESSION).await;
    assert_eq!(who.body["member"]["email"], EMAIL, "{}", who.body);
    assert_eq!(who.body["session_id"], answer.body["session_id"]);
    assert_eq!(who.text("actor"), format!("user:{id}"));
    assert_eq!(get(&api, &cookie, "/api/v1/messages").await.status, StatusCode::OK);
    let members = get(&api, &cookie, MEMBERS).await;
    assert_eq!((members.status, members.text("code")), (StatusCode::FORBIDDEN, "missing_scope"));

    let gone = api.by_session(&cookie, (Method::DELETE, SESSION), &[], None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.body);
    assert!(gone.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(gone.header("hatch-position"), api.log_length().await.to_string());
    assert_eq!(get(&api, &cookie, SESSION).await.status, StatusCode::UNAUTHORIZED);
    let by_key = api.by(&admin, Method::DELETE, SESSION, None).await;
    assert_eq!(by_key.text("code"), "not_signed_in");
    let by_key = api.by(&admin, Method::GET, SESSION, None).await;
    assert_eq!((by_key.status, &by_key.body["member"]), (StatusCode::OK, &json!(null)));
}

#[tokio::test]
async fn what_changes_something_counts_by_a_cookie_from_our_own_pages_only() {
    let (api, _, _) = closed_to_all_but("admin").await;
    let cookie = signed_in(&api).await;
    let post = json!({"name": "k", "scopes": ["messages:read"]});
    for (headers, passes) in [
        (&[("origin", "https://evil.example")][..], false),
        (&[("origin", "http://localhost:3000")], false),
        (&[("origin", "null")], false),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "none")], false),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("origin", "http://localhost")], true),
    ] {
        let asked = (Method::POST, "/api/v1/api-keys");
        let answer = api.by_session(&cookie, asked, headers, Some(post.clone())).await;
        let expected = if passes { StatusCode::CREATED } else { StatusCode::FORBIDDEN };
        assert_eq!(answer.status, expected, "{headers:?}: {}", answer.body);
    }
    let silent = [("cookie", cookie.as_str())];
    let silent =
        api.request(Method::POST, "/api/v1/api-keys", &silent, Some(post.to_string())).await;
    assert_eq!(silent.text("code"), "foreign_site", "nobody says that a page of ours made it");
}

#[tokio::test]
async fn in_development_too_a_cookie_that_opens_nothing_lets_nobody_in() {
    let api = Api::start().await;
    joined(&api, EMAIL, "viewer").await;
    let cookie = signed_in(&api).await;
    assert_eq!(get(&api, &cookie, SESSION).await.status, StatusCode::OK);
    let gone = api.by_session(&cookie, (Method::DELETE, SESSION), &[], None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.body);
    let invented = format!("hatch={}", "x".repeat(43));
    for cookie in [cookie.as_str(), &invented, "hatch=x"] {
        let refused = get(&api, cookie, "/api/v1/api-keys").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{cookie}: {}", refused.body);
    }
    let others = get(&api, "another=x", "/api/v1/api-keys").await;
    assert_eq!(others.status, StatusCode::OK, "{}", others.body);
}

#[tokio::test]
async fn nobody_signs_in_to_a_suspended_tenant_and_a_stranger_does_not_learn_that_it_is() {
    let api = Api::start().await;
    joined(&api, EMAIL, "owner").await;
    let at = api.in_time(TimeDelta::zero());
    let create = TenantCommand::Create { name: "default".to_owned(), at };
    api.change_tenant(TenantId::DEFAULT, &create).await;
    api.change_tenant(TenantId::DEFAULT, &TenantCommand::Suspend { reason: None, at }).await;
    api.advance(PAUSE).await;
    let refused = try_to(&api, json!({})).await;
    assert_eq!((refused.status, refused.text("code")), (StatusCode::FORBIDDEN, "tenant_suspended"));
    let wrong = try_to(&api, json!({"password": "another password"})).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{}", wrong.body);
    api.change_tenant(TenantId::DEFAULT, &TenantCommand::Resume { at }).await;
    signed_in(&api).await;
}

#[tokio::test]
async fn another_password_is_another_one() {
    let api = Api::start().await;
    joined(&api, EMAIL, "viewer").await;
    let cookie = signed_in(&api).await;
    let same = json!({"password": PASSWORD, "new_password": PASSWORD});
    let path = "/api/v1/session/password";
    let refused = api.by_session(&cookie, (Method::PUT, path), &[], Some(same)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    assert_eq!(refused.pointers(), ["/new_password"]);
    assert_eq!(get(&api, &cookie, SESSION).await.status, StatusCode::OK, "no session has ended");
}

#[tokio::test]
async fn who_guesses_is_told_nothing_and_not_for_long() {
    let api = Api::start().await;
    joined(&api, EMAIL, "agent").await;
    api.advance(PAUSE).await;
    let mut told = Vec::new();
    for more in [
        json!({"password": "another password"}),
        json!({"email": "nobody@example.com"}),
        json!({"tenant": "00000000-0000-0000-0000-000000000002"}),
        json!({"password": "short"}),
    ] {
        let mut answer = try_to(&api, more).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
        answer.body.as_object_mut().expect("a problem").remove("instance");
        answer.body.as_object_mut().expect("a problem").remove("request_id");
        told.push(answer.body);
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    let fifth = try_to(&api, json!({})).await;
    assert_eq!(fifth.status, StatusCode::CREATED, "{}", fifth.body);
    let sixth = try_to(&api, json!({})).await;
    assert_eq!(
        (sixth.status, sixth.text("code")),
        (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts")
    );
    let seconds: i64 = sixth.header("retry-after").parse().expect("seconds");
    assert!((1..=21).contains(&seconds), "{seconds}");
    api.advance(TimeDelta::seconds(seconds)).await;
    assert_eq!(try_to(&api, json!({})).await.status, StatusCode::CREATED);
    // However slowly: 20 in five minutes for one email.
    let mut refused = None;
    for n in 0..24 {
        api.advance(TimeDelta::seconds(10)).await;
        let answer = try_to(&api, json!({"password": "another password"})).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(n);
            break;
        }
    }
    // Three of them were before: that somebody has signed in since lets nobody guess on.
    assert_eq!(refused, Some(17), "attempts are counted by the email, too");
    // Who is kept out by that comes in by a browser that he has signed in by, and guesses nothing there, either.
    api.advance(PAUSE).await;
    let given = fifth.headers.get_all("set-cookie").iter().map(|value| value.to_str());
    let known = given.flatten().find_map(|given| given.strip_prefix("hatch-known="));
    let known = known.and_then(|rest| rest.split(';').next()).expect("a browser that is known");
    let forged = format!("A{known}");
    for (known, password, status) in [
        (forged.as_str(), PASSWORD, StatusCode::TOO_MANY_REQUESTS),
        (known, "another password", StatusCode::UNAUTHORIZED),
        (known, "another password", StatusCode::UNAUTHORIZED),
        (known, PASSWORD, StatusCode::CREATED),
    ] {
        let body = json!({"email": EMAIL, "password": password}).to_string();
        let kept = format!("hatch-known={known}");
        let headers = [("cookie", kept.as_str())];
        let answer = api.request(Method::POST, SESSION, &headers, Some(body)).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}

#[tokio::test]
async fn sessions_end_one_by_one_by_time_and_all_with_what_they_rest_on() {
    let (api, admin, member) = closed_to_all_but("agent").await;
    let status = async |cookie: &str| get(&api, cookie, SESSION).await.status;

    let (first, second) = (signed_in(&api).await, signed_in(&api).await);
    let list = get(&api, &second, "/api/v1/sessions").await;
    let listed = list.body["data"].as_array().expect("a list");
    assert_eq!(listed.len(), 2, "{}", list.body);
    assert_eq!((&listed[0]["current"], &listed[1]["current"]), (&json!(true), &json!(false)));
    let id = listed[1]["id"].as_str().expect("an id");
    let path = format!("/api/v1/sessions/{id}");
    let ended = api.by_session(&second, (Method::DELETE, &path), &[], None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT, "{}", ended.body);
    assert_eq!(ended.header("hatch-position"), api.log_length().await.to_string());
    assert_eq!(status(&first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&second).await, StatusCode::OK);

    let change = json!({"password": PASSWORD, "new_password": "staple in the rain"});
    let asked = (Method::PUT, "/api/v1/session/password");
    let wrong = json!({"password": "staple in the rain", "new_password": "staple in the rain"});
    let wrong = api.by_session(&second, asked.clone(), &[], Some(wrong)).await;
    assert_eq!(wrong.text("code"), "wrong_password");
    let changed = api.by_session(&second, asked.clone(), &[], Some(change)).await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{}", changed.body);
    assert_eq!(status(&second).await, StatusCode::UNAUTHORIZED);
    api.advance(PAUSE).await;
    assert_eq!(try_to(&api, json!({})).await.status, StatusCode::UNAUTHORIZED);
    let third = cookie(&try_to(&api, json!({"password": "staple in the rain"})).await);
    assert_eq!(status(&third).await, StatusCode::OK);

    let role = json!({"role": "viewer"});
    let path = format!("{MEMBERS}/{member}");
    let lowered = api.by(&admin, Method::PATCH, &path, Some(&role)).await;
    assert_eq!(lowered.status, StatusCode::OK, "{}", lowered.body);
    assert_eq!(status(&third).await, StatusCode::UNAUTHORIZED);
    api.advance(PAUSE).await;
    let fourth = cookie(&try_to(&api, json!({"password": "staple in the rain"})).await);
    api.advance(TimeDelta::hours(11)).await;
    assert_eq!(status(&fourth).await, StatusCode::OK);
    api.advance(TimeDelta::hours(12)).await;
    assert_eq!(status(&fourth).await, StatusCode::UNAUTHORIZED, "nobody used it");
    let fifth = cookie(&try_to(&api, json!({"password": "staple in the rain"})).await);
    let removed = api.by(&admin, Method::DELETE, &path, None).await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.body);
    assert_eq!(status(&fifth).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_owners_session_is_ended_by_no_administrator() {
    let api = Api::start().await;
    joined(&api, EMAIL, "owner").await;
    let session = signed_in(&api).await;
    let who = get(&api, &session, SESSION).await;
    let path = format!("/api/v1/sessions/{}", who.text("session_id"));
    let admin = api.key(TenantId::DEFAULT, &[Scope::Admin], |_| ()).await;
    let refused = api.by(&admin, Method::DELETE, &path, None).await;
    assert_eq!((refused.status, refused.text("code")), (StatusCode::FORBIDDEN, "stronger_role"));
    let ended = api.by_session(&session, (Method::DELETE, &path), &[], None).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT, "{}", ended.body);
}

/// What an authenticator is given.
fn base32(text: &str) -> Vec<u8> {
    let digits = text.bytes().map(|c| match c {
        b'A'..=b'Z' => c - b'A',
        digit => digit - b'2' + 26,
    });
    let bits: Vec<bool> =
        digits.flat_map(|n| (0..5).rev().map(move |at| (n >> at) & 1 == 1)).collect();
    bits.chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |n, bit| (n << 1) | u8::from(*bit)))
        .collect()
}

#[tokio::test]
async fn a_second_factor_is_asked_for_once_it_was_confirmed_and_no_code_counts_twice() {
    let api = Api::start().await;
    joined(&api, EMAIL, "agent").await;
    let session = signed_in(&api).await;
    let totp = |method| (method, "/api/v1/session/totp");
    let begun = api.by_session(&session, totp(Method::POST), &[], None).await;
    assert_eq!(begun.status, StatusCode::OK, "{}", begun.body);
    let secret = base32(begun.text("secret"));
    assert_eq!(secret.len(), 20);
    assert_eq!(
        try_to(&api, json!({})).await.status,
        StatusCode::CREATED,
        "not before it is confirmed"
    );
    api.advance(PAUSE).await;
    let now = || api.in_time(TimeDelta::zero()).timestamp();
    let confirm = |code: String| {
        let enrolment = begun.text("enrolment");
        json!({"enrolment": enrolment, "code": code, "password": PASSWORD})
    };
    let mut unproved = confirm(code_at(&secret, now()));
    unproved["password"] = json!(null);
    let unproved = api.by_session(&session, totp(Method::PUT), &[], Some(unproved)).await;
    assert_eq!(unproved.text("code"), "wrong_password", "a session alone gives no second factor");
    let wrong =
        api.by_session(&session, totp(Method::PUT), &[], Some(confirm("x".to_owned()))).await;
    assert_eq!(wrong.text("code"), "wrong_code");
    let first = code_at(&secret, now());
    let confirmed =
        api.by_session(&session, totp(Method::PUT), &[], Some(confirm(first.clone()))).await;
    assert_eq!(confirmed.status, StatusCode::OK, "{}", confirmed.body);
    let codes = confirmed.body["recovery_codes"].as_array().expect("codes").clone();
    assert_eq!(codes.len(), 10);
    let another = api.by_session(&session, totp(Method::POST), &[], None).await;
    assert_eq!((another.status, another.text("code")), (StatusCode::CONFLICT, "totp_enabled"));

    let asked = try_to(&api, json!({})).await;
    assert_eq!((asked.status, asked.text("code")), (StatusCode::UNAUTHORIZED, "totp_required"));
    let used = try_to(&api, json!({"totp": first})).await;
    assert_eq!(used.text("code"), "wrong_sign_in", "the code that confirmed it was used");
    api.advance(TimeDelta::seconds(60)).await;
    let next = code_at(&secret, now());
    assert_eq!(try_to(&api, json!({"totp": next})).await.status, StatusCode::CREATED);
    assert_eq!(try_to(&api, json!({"totp": next})).await.text("code"), "wrong_sign_in");
    api.advance(PAUSE).await;
    let recovery = json!({"totp": codes[0]});
    assert_eq!(try_to(&api, recovery.clone()).await.status, StatusCode::CREATED);
    api.advance(PAUSE).await;
    assert_eq!(try_to(&api, recovery).await.text("code"), "wrong_sign_in");
    let removal = Some(json!({"password": PASSWORD}));
    let ended = api.by_session(&session, totp(Method::DELETE), &[], removal).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT, "{}", ended.body);
    api.advance(PAUSE).await;
    assert_eq!(try_to(&api, json!({})).await.status, StatusCode::CREATED);
    for payload in api.payloads().await {
        assert!(!payload.contains(begun.text("secret")), "{payload}");
    }
}

#[tokio::test]
async fn a_member_of_several_tenants_says_which_one() {
    let api = Api::start().await;
    joined(&api, EMAIL, "agent").await;
    let other = TenantId(Uuid::from_u128(7));
    let created =
        TenantCommand::Create { name: "Other".to_owned(), at: api.in_time(TimeDelta::zero()) };
    api.change_tenant(other, &created).await;
    let admin = api.key(other, &[Scope::Admin], |_| ()).await;
    let invited = json!({"email": EMAIL, "role": "viewer"});
    let invited = api.by(&admin, Method::POST, MEMBERS, Some(&invited)).await;
    api.known(&invited).await;
    let token = invited.text("invitation_url").split_once('#').expect("a secret").1.to_owned();
    assert_eq!(accept(&api, &token).await.status, StatusCode::OK);
    api.advance(PAUSE).await;
    let several = try_to(&api, json!({})).await;
    assert_eq!((several.status, several.text("code")), (StatusCode::CONFLICT, "several_tenants"));
    let told = several.body["errors"].to_string();
    assert!(told.contains(&format!("{other} Other")), "{told}");
    let chosen = try_to(&api, json!({"tenant": other})).await;
    assert_eq!(
        (chosen.status, chosen.text("tenant_id")),
        (StatusCode::CREATED, &*other.to_string())
    );
}
