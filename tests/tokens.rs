//! Tokens of an issuer that publishes its keys: who bears one is let in, also after the keys have changed.

use std::process::Stdio;
use std::time::Duration;

use chrono::TimeDelta;
use hatch::roles::Role;
use hatch::settings::{JwtSettings, Settings};
use hatch_devservers::free_port;
use hatch_domain::Environment as _;
use hatch_domain::ids::TenantId;
use hatch_eventstore::SystemEnvironment;
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::doctor::{command, doctor_with};
use crate::harness::{Answer, CUSTOMER, Hatch, SENDER};
use crate::identity_provider::IdentityProvider;
use crate::keys::closed;
use crate::process::Up;
use crate::time::eventually;

const PATIENCE: Duration = Duration::from_secs(120);
const LIST: &str = "/api/v1/messages";

/// What tokens for hatch have in `aud`.
pub(crate) const AUDIENCE: &str = "hatch";

/// The issuer in the settings.
fn issuer(provider: &IdentityProvider) -> JwtSettings {
    JwtSettings {
        name: "staff".to_owned(),
        issuer: provider.url.clone(),
        audience: vec![AUDIENCE.to_owned()],
        jwks_url: Some(provider.keys_url()),
        ..JwtSettings::default()
    }
}

/// Claims that hold for five minutes by the clock of `hatch`.
fn claims(hatch: &Hatch, issuer: &str) -> Value {
    let now = hatch.in_time(TimeDelta::zero()).timestamp();
    json!({"iss": issuer, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 300,
        "tenant": TenantId::DEFAULT.to_string(), "scope": "messages:read messages:write"})
}

async fn by(hatch: &Hatch, token: &str, body: Option<&Value>) -> Answer {
    let method = if body.is_some() { reqwest::Method::POST } else { reqwest::Method::GET };
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    hatch.request(method, LIST, &headers, body.map(Value::to_string)).await
}

#[tokio::test]
async fn keys_of_an_issuer_are_fetched_when_they_change_and_stay_while_it_is_away() {
    let provider = IdentityProvider::start(SystemEnvironment.now()).await;
    let set = |settings: &mut Settings| {
        closed(settings);
        settings.jwt = vec![issuer(&provider)];
    };
    let hatch = Hatch::start_with_clock(&Role::ALL, set).await;
    let token = || provider.sign(&claims(&hatch, &provider.url));
    let sms = json!({"from": SENDER, "to": CUSTOMER, "body": "by a token"});
    let first = token();
    let sent = by(&hatch, &first, Some(&sms)).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.body);
    assert_eq!(provider.asked(), 1, "once, and not for each request");

    provider.turn();
    for _ in 0..100 {
        assert_eq!(by(&hatch, &token(), None).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(provider.asked(), 1, "it was asked less than a minute ago");
    hatch.advance(TimeDelta::seconds(61)).await;
    hatch
        .eventually("the new key is known", async |hatch| {
            let asked = by(hatch, &provider.sign(&claims(hatch, &provider.url)), None).await;
            (asked.status == StatusCode::OK).then_some(())
        })
        .await;
    assert_eq!(provider.asked(), 2);
    assert_eq!(by(&hatch, &first, None).await.status, StatusCode::UNAUTHORIZED, "by the old one");

    provider.set_up(false);
    hatch.advance(TimeDelta::seconds(301)).await;
    hatch
        .eventually("it is said that the keys are old", async |hatch| {
            let ready = hatch.get("/ready").await;
            let said = &ready.body["dependencies"]["jwt"];
            let detail = said["detail"].as_str().unwrap_or_default();
            (ready.status == StatusCode::OK && detail.contains("staff")).then_some(())
        })
        .await;
    assert_eq!(by(&hatch, &token(), None).await.status, StatusCode::OK, "those of before stay");
    hatch.finish().await;
}

#[tokio::test]
async fn with_an_issuer_of_tokens_it_listens_anywhere_and_doctor_looks_at_its_keys() {
    let provider = IdentityProvider::start(SystemEnvironment.now()).await;
    let hatch = Hatch::start_with(&[Role::Query], |_| {}).await;
    let jwt = json!([{"name": "staff", "issuer": provider.url, "audience": [AUDIENCE],
        "jwks_url": provider.keys_url(), "algorithms": ["ES256"]}]);
    let jwt = jwt.to_string();
    let port = free_port().expect("a free port");
    let listen = format!("0.0.0.0:{port}");
    let variables = [("HATCH_JWT", jwt.as_str()), ("HATCH_LISTEN", listen.as_str())];
    let findings = doctor_with(&hatch, &variables).await;
    findings.assert_says("ok", "jwt", &["tokens of staff are taken, by 1 key"]);
    findings.assert_says("ok", "keys", &["tokens only"]);

    let mut serve = command(&hatch, &["serve", "--roles", "command,query"], &variables);
    let child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let http = hatch::http_client(PATIENCE).expect("an HTTP client");
    let mut serve = Up { child, url: format!("http://127.0.0.1:{port}"), http };
    let asked = async |token: Option<&str>| {
        let request = serve.http.get(format!("{}{LIST}", serve.url));
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        Some(request.send().await.ok()?.status())
    };
    let status = eventually("it listens", async || asked(None).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let token = provider.sign(&claims(&hatch, &provider.url));
    // Before the tenants are read nobody is let in, nor told that he is nobody.
    let status = eventually("the tenants are read", async || {
        asked(Some(&token)).await.filter(|status| *status != StatusCode::SERVICE_UNAVAILABLE)
    })
    .await;
    assert_eq!(status, StatusCode::OK);
    serve.signal(Signal::SIGTERM);
    assert!(serve.child.wait().await.expect("it ends").success(), "a clean end");

    provider.set_up(false);
    let findings = doctor_with(&hatch, &variables).await;
    findings.assert_says("WRONG", "jwt", &["the keys of staff cannot be had"]);
    hatch.finish().await;
}

#[tokio::test]
async fn issuers_are_read_again_at_a_signal_and_a_bad_file_leaves_those_that_there_were() {
    let provider = IdentityProvider::start(SystemEnvironment.now()).await;
    let hatch = Hatch::start_with(&[Role::Query], |_| {}).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hatch.toml");
    let write = |audience: &str| {
        let (url, keys) = (&provider.url, provider.keys_url());
        let text = format!(
            "[[jwt]]\nname = \"staff\"\nissuer = \"{url}\"\naudience = [\"{audience}\"]\n\
             jwks_url = \"{keys}\"\n"
        );
        std::fs::write(&file, text).expect("written");
    };
    write(AUDIENCE);
    let listen = format!("127.0.0.1:{}", free_port().expect("a free port"));
    let config = file.to_str().expect("UTF-8");
    let variables = [
        ("HATCH_CONFIG", config),
        ("HATCH_LISTEN", listen.as_str()),
        ("HATCH_RATE_LIMIT__ENABLED", "false"),
    ];
    let mut serve = command(&hatch, &["serve", "--roles", "command,query"], &variables);
    let child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let http = hatch::http_client(PATIENCE).expect("an HTTP client");
    let mut serve = Up { child, url: format!("http://{listen}"), http };
    let (http, url) = (serve.http.clone(), format!("{}{LIST}", serve.url));
    let answered = async |audience: &str, expected: StatusCode| {
        let what = format!("a token for {audience} is answered {expected}");
        eventually(&what, async || {
            let mut claims = claims(&hatch, &provider.url);
            claims["aud"] = audience.into();
            let request = http.get(&url).bearer_auth(provider.sign(&claims));
            let status = request.send().await.ok()?.status();
            (status == expected).then_some(())
        })
        .await;
    };
    answered(AUDIENCE, StatusCode::OK).await;
    answered("another", StatusCode::UNAUTHORIZED).await;
    write("another");
    serve.signal(Signal::SIGHUP);
    answered("another", StatusCode::OK).await;
    answered(AUDIENCE, StatusCode::UNAUTHORIZED).await;
    assert_eq!(provider.asked(), 1, "the keys stay");
    std::fs::write(&file, "[[jwt]]\nname = \"Staff\"\n").expect("written");
    serve.signal(Signal::SIGHUP);
    for _ in 0..50 {
        answered("another", StatusCode::OK).await;
    }
    write(AUDIENCE);
    serve.signal(Signal::SIGHUP);
    answered(AUDIENCE, StatusCode::OK).await;
    serve.signal(Signal::SIGTERM);
    assert!(serve.child.wait().await.expect("it ends").success(), "a clean end");
    hatch.finish().await;
}
