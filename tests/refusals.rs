//! Ten thousand requests by credentials that do not count: all are refused, nothing is written, and how long it takes.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use hatch::roles::Role;
use hatch::settings::{JwtSettings, Settings};
use hatch_domain::ids::TenantId;
use hatch_providers::Secret;
use reqwest::StatusCode;
use ring::hmac;
use serde_json::{Value, json};

use crate::doctor::run;
use crate::harness::{CUSTOMER, Hatch, SENDER};
use crate::keys::closed;
use crate::tokens::AUDIENCE;

/// Requests of each kind.
const EACH: usize = 2_500;

const ISSUER: &str = "https://id.example.com";
const SECRET: &str = "a secret of tests, of 32 bytes and more";
const RETIRED: &str = "the secret that was there before this one";

fn with_issuer(settings: &mut Settings) {
    closed(settings);
    settings.jwt = vec![JwtSettings {
        name: "staff".to_owned(),
        issuer: ISSUER.to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        secret: Some(Secret::new(SECRET)),
        ..JwtSettings::default()
    }];
}

fn sign(claims: &Value, secret: &str) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256"})), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

/// Credentials of a kind, and what each of them is answered.
struct Kind {
    name: &'static str,
    path: String,
    answer: StatusCode,
    credentials: Vec<String>,
}

impl Kind {
    fn unauthorized(name: &'static str, credentials: Vec<String>) -> Self {
        let path = "/api/v1/messages".to_owned();
        Self { name, path, answer: StatusCode::UNAUTHORIZED, credentials }
    }
}

async fn kinds(hatch: &Hatch) -> [Kind; 4] {
    let all = ["--scope", "messages:read", "--scope", "messages:write"];
    let expiring = [&all[..], &["--expires-in", "1h"]].concat();
    let (revoked, expired) = (hatch.create_key(&all).await, hatch.create_key(&expiring).await);
    let tenant = hatch.create_tenant("other").await;
    let foreign = hatch.create_key(&[&all[..], &["--tenant", tenant.as_str()]].concat()).await;
    let ours = hatch.send_sms(CUSTOMER, "of the first").await;
    // Nothing more happens to it.
    hatch.message_with_status(&ours, "delivered").await;
    hatch.advance(TimeDelta::hours(2)).await;
    let (done, said) = run(hatch, &["keys", "revoke", &revoked.id], &[]).await;
    assert!(done, "{said}");
    hatch
        .eventually("the key is revoked", async |hatch| {
            let answer = hatch.get_by(&revoked, "/api/v1/messages").await;
            (answer.status == StatusCode::UNAUTHORIZED).then_some(())
        })
        .await;
    let now = hatch.in_time(TimeDelta::zero()).timestamp();
    let claims = |tenant: &str, exp: i64| {
        json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": exp, "tenant": tenant,
            "scope": "messages:read"})
    };
    let (own, lasting) = (TenantId::DEFAULT.to_string(), now + 86_400);
    let good = sign(&claims(&own, lasting), SECRET);
    let cut = |text: &str| text[..text.len() - 1].to_owned();
    let malformed = [
        cut(&revoked.text),
        revoked.text.replacen("hk_", "hk", 1),
        cut(&good),
        good.replacen('.', "", 1),
        "x".to_owned(),
        "A".repeat(4_000),
        format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
            URL_SAFE_NO_PAD.encode("{}")
        ),
    ];
    let retired = sign(&claims(&own, lasting), RETIRED);
    [
        Kind::unauthorized("revoked", vec![revoked.text, retired]),
        Kind::unauthorized("expired", vec![expired.text, sign(&claims(&own, now - 3_600), SECRET)]),
        Kind {
            name: "foreign",
            path: format!("/api/v1/messages/{ours}"),
            answer: StatusCode::NOT_FOUND,
            credentials: vec![foreign.text, sign(&claims(&tenant, lasting), SECRET)],
        },
        Kind::unauthorized("malformed", malformed.into()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_by_credentials_that_do_not_count_are_refused() {
    let hatch = Hatch::start_with_clock(&Role::ALL, with_issuer).await.opened().await;
    let kinds = kinds(&hatch).await;
    let (events, sms) = (hatch.log_length().await, json!({"from": SENDER, "to": CUSTOMER}));
    for Kind { name, path, answer, credentials } in kinds {
        let url = format!("{}{path}", hatch.url);
        let mut took: Vec<Duration> = Vec::with_capacity(EACH);
        for (n, text) in credentials.iter().cycle().take(EACH).enumerate() {
            // What would be written, where it was not refused.
            let writes = n % 10 == 0 && answer == StatusCode::UNAUTHORIZED;
            let request = match writes {
                true => hatch.http.post(&url).json(&sms),
                false => hatch.http.get(&url),
            };
            let began = Instant::now();
            let response = request.bearer_auth(text).send().await.expect("an answer");
            let status = response.status();
            response.bytes().await.expect("a whole answer");
            took.push(began.elapsed());
            assert_eq!(status, answer, "{name}: {n}");
        }
        took.sort_unstable();
        let (median, p99) = (took[EACH / 2], took[EACH * 99 / 100]);
        println!("{name}: {EACH} refused, median {median:?}, 99 % within {p99:?}");
    }
    assert_eq!(hatch.log_length().await, events, "nothing is written");
    hatch.finish().await;
}
