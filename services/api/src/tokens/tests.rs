//! Which tokens are taken, and which are not.

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use hatch_domain::ids::TenantId;
use hatch_domain::tenant::command::TenantCommand;
use hatch_providers::Secret;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use uuid::Uuid;

use super::text::TOKEN_BYTES_MAX;
use super::*;
use crate::testing::{Answer, Api, CUSTOMER, SENDER};

const SECRET: &str = "a secret of tests, of 32 bytes and more";
const ISSUER: &str = "https://id.example.com/";
const AUDIENCE: &str = "https://hatch.example.com";
const MESSAGES: &str = "/api/v1/messages";
const OTHER_TENANT: TenantId = TenantId(Uuid::from_u128(2));

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
}

/// The keys of two issuers.
const SEED: u8 = 7;
const OTHER_SEED: u8 = 8;

fn signer(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed")
}

fn jwk_of(seed: u8, kid: &str) -> Value {
    let x = URL_SAFE_NO_PAD.encode(signer(seed).public_key());
    json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig"})
}

fn public_jwk() -> Value {
    jwk_of(SEED, "first")
}

fn rules(name: &str, issuer: &str, keys: KeySource) -> IssuerRules {
    IssuerRules {
        name: name.to_owned(),
        issuer: issuer.to_owned(),
        audience: vec![AUDIENCE.to_owned(), "hatch".to_owned()],
        algorithms: Vec::new(),
        keys,
        tenant: TenantSource::Claim("tenant".to_owned()),
        scope_claim: "scope".to_owned(),
        may_give_platform: false,
        leeway: TimeDelta::seconds(60),
    }
}

fn by_secret() -> IssuerRules {
    rules("staff", ISSUER, KeySource::Secret(Secret::new(SECRET)))
}

fn by_key() -> IssuerRules {
    let rules = rules("apps", "apps", KeySource::PublicKey(public_jwk().to_string()));
    IssuerRules { may_give_platform: true, ..rules }
}

fn tokens(all: Vec<IssuerRules>) -> Tokens {
    Tokens::of(all.into_iter().map(|rules| Issuer::new(rules).expect("an issuer")).collect())
}

fn encode(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// A token of that header and these claims, signed by the secret.
fn hs256(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

fn ed25519(header: &str, claims: &str) -> String {
    ed25519_by(SEED, header, claims)
}

fn ed25519_by(seed: u8, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signer(seed).sign(message.as_bytes())))
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now().timestamp() + 300,
        "iat": now().timestamp(), "tenant": TenantId::DEFAULT.to_string(),
        "scope": "messages:read messages:write",
    })
}

/// The claims, otherwise as `change` has them; `null` takes one away.
fn with(change: Value) -> String {
    let mut claims = claims();
    let all = claims.as_object_mut().expect("an object");
    for (name, value) in change.as_object().expect("an object") {
        all.insert(name.clone(), value.clone());
    }
    all.retain(|_, value| !value.is_null());
    claims.to_string()
}

#[test]
fn a_token_says_who_asks_for_whom_and_until_when() {
    let tokens = tokens(vec![by_secret(), by_key()]);
    let caller = tokens.caller(&hs256(HEADER, &claims().to_string()), now()).expect("a caller");
    assert_eq!(caller.actor.to_string(), "token:staff/ann");
    assert_eq!(caller.tenant, TenantId::DEFAULT);
    assert_eq!(format!("{:?}", caller.scopes), "{MessagesWrite, MessagesRead}");
    assert_eq!(caller.expires_at, Some(now() + TimeDelta::seconds(360)), "with the leeway");
    for (change, scopes) in [
        (json!({"scope": null}), "{}"),
        (json!({"scope": ["messages:read", "openid", "of tomorrow"]}), "{MessagesRead}"),
        (json!({"scope": "openid platform admin"}), "{Admin}"),
        (json!({"scope": ""}), "{}"),
    ] {
        let caller = tokens.caller(&hs256(HEADER, &with(change.clone())), now());
        assert_eq!(format!("{:?}", caller.expect("a caller").scopes), scopes, "{change}");
    }
    let of_apps = with(json!({"iss": "apps", "sub": "job|1/2", "scope": ["platform"]}));
    for header in [
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","kid":"first","typ":"at+jwt"}"#,
        r#"{"alg":"EdDSA","typ":"application/AT+JWT","jku":"https://evil.example"}"#,
    ] {
        let caller = tokens.caller(&ed25519(header, &of_apps), now()).expect(header);
        assert_eq!(caller.actor.to_string(), "token:apps/job|1/2");
        assert_eq!(format!("{:?}", caller.scopes), "{Platform}");
    }
}

#[test]
fn a_token_with_claims_that_do_not_hold_is_refused() {
    let tokens = tokens(vec![by_secret(), by_key()]);
    let at = |seconds: i64| now().timestamp() + seconds;
    for (change, taken) in [
        (json!({}), true),
        (json!({"exp": at(-59)}), true),
        (json!({"exp": at(-60)}), false),
        (json!({"exp": null}), false),
        (json!({"exp": at(300).to_string()}), false),
        (json!({"exp": -1}), false),
        (json!({"exp": 1e300}), false),
        (json!({"exp": 1_800_000_300.5}), true),
        (json!({"nbf": at(60)}), true),
        (json!({"nbf": at(61)}), false),
        (json!({"nbf": "soon"}), false),
        (json!({"iat": at(61)}), false),
        (json!({"iat": null}), true),
        (json!({"iss": "https://id.example.com"}), false),
        (json!({"iss": [ISSUER]}), false),
        (json!({"iss": null}), false),
        (json!({"iss": "apps"}), false),
        (json!({"aud": "https://other.example.com"}), false),
        (json!({"aud": ["https://other.example.com", "hatch"]}), true),
        (json!({"aud": []}), false),
        (json!({"aud": ["https://other.example.com"]}), false),
        (json!({"aud": [1, "hatch"]}), false),
        (json!({"aud": null}), false),
        (json!({"sub": null}), false),
        (json!({"sub": ""}), false),
        (json!({"sub": 7}), false),
        (json!({"sub": "a\nb"}), false),
        (json!({"sub": "x".repeat(256)}), false),
        (json!({"tenant": null}), false),
        (json!({"tenant": "acme"}), false),
        (json!({"tenant": [TenantId::DEFAULT.to_string()]}), false),
        (json!({"scope": 7}), false),
        (json!({"scope": ["messages:read", 7]}), false),
    ] {
        let caller = tokens.caller(&hs256(HEADER, &with(change.clone())), now());
        assert_eq!(caller.is_ok(), taken, "{change}: {:?}", caller.err());
    }
}

#[test]
fn a_token_chooses_neither_how_it_is_verified_nor_by_which_key() {
    let other = KeySource::PublicKey(jwk_of(OTHER_SEED, "second").to_string());
    let tokens = tokens(vec![by_secret(), by_key(), rules("jobs", "jobs", other)]);
    let of_other =
        |claims: &str| ed25519_by(OTHER_SEED, r#"{"alg":"EdDSA","kid":"second"}"#, claims);
    let good = claims().to_string();
    let of_apps = with(json!({"iss": "apps"}));
    let sign_none =
        |alg: &str| format!("{}.{}.", encode(&format!(r#"{{"alg":"{alg}"}}"#)), encode(&good));
    // The text of a public key, which everybody has, as if it were a secret.
    let confused = |secret: &[u8]| {
        let message = format!("{}.{}", encode(HEADER), encode(&of_apps));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
    };
    let own_key = json!({"alg": "EdDSA", "kid": "second", "jwk": public_jwk()}).to_string();
    let deep = format!(r#"{{"a":{}{},"#, "[".repeat(2_000), "]".repeat(2_000));
    let whole = hs256(HEADER, &good);
    let (unsigned, _) = whole.rsplit_once('.').expect("a signature");
    for (what, text) in [
        ("none", sign_none("none")),
        ("none in capitals", sign_none("NONE")),
        ("none in any case", sign_none("nOnE")),
        ("none with a signature", hs256(r#"{"alg":"none"}"#, &good)),
        ("a signature taken away", format!("{unsigned}.")),
        ("no signature", unsigned.to_owned()),
        ("HS256 by the public key", confused(signer(SEED).public_key().as_ref())),
        ("HS256 by the text of the public key", confused(public_jwk().to_string().as_bytes())),
        ("EdDSA of an issuer by secret", ed25519(r#"{"alg":"EdDSA"}"#, &good)),
        ("HS256 of an issuer by key", hs256(HEADER, &of_apps)),
        ("HS512", hs256(r#"{"alg":"HS512"}"#, &good)),
        ("hs256", hs256(r#"{"alg":"hs256"}"#, &good)),
        ("no algorithm", hs256(r#"{"typ":"JWT"}"#, &good)),
        ("two algorithms", hs256(r#"{"alg":"HS256","alg":"HS256"}"#, &good)),
        ("crit", hs256(r#"{"alg":"HS256","crit":["exp"]}"#, &good)),
        ("crit of b64", hs256(r#"{"alg":"HS256","crit":["b64"],"b64":true}"#, &good)),
        ("b64", hs256(r#"{"alg":"HS256","b64":false}"#, &good)),
        ("compressed", hs256(r#"{"alg":"HS256","zip":"DEF"}"#, &good)),
        ("encrypted", format!("{whole}.a.b")),
        ("another kind", hs256(r#"{"alg":"HS256","typ":"logout+jwt"}"#, &good)),
        ("a kid that is none", hs256(r#"{"alg":"HS256","kid":7}"#, &good)),
        ("the key of another issuer", of_other(&of_apps)),
        ("another kid", ed25519(r#"{"alg":"EdDSA","kid":"second"}"#, &of_apps)),
        ("a key of its own", ed25519(&own_key, &of_apps)),
        ("a claim twice", hs256(HEADER, &good.replacen('{', r#"{"sub":"root","#, 1))),
        ("a tenant twice", hs256(HEADER, &good.replacen('{', r#"{"tenant":"x","#, 1))),
        ("no object", hs256(HEADER, "[]")),
        ("no JSON", hs256(HEADER, "ann")),
        ("more after it", hs256(HEADER, &format!("{good} {good}"))),
        ("too deep", hs256(HEADER, &good.replacen('{', &deep, 1))),
        ("too long", hs256(HEADER, &with(json!({"a": "x".repeat(TOKEN_BYTES_MAX)})))),
        ("with padding", format!("{whole}=")),
        ("with a space", whole.replace('.', " .")),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
    ] {
        assert!(tokens.caller(&text, now()).is_err(), "{what}");
    }
    assert!(tokens.caller(&whole, now()).is_ok());
    assert!(tokens.caller(&of_other(&with(json!({"iss": "jobs"}))), now()).is_ok());
    assert!(Tokens::default().caller(&whole, now()).is_err(), "of nobody");
}

#[test]
fn a_key_of_a_set_is_one_that_is_public_and_for_signatures() {
    let of = |change: Value| {
        let mut jwk = public_jwk();
        for (name, value) in change.as_object().expect("an object") {
            jwk[name] = value.clone();
        }
        KeySet::of_jwks(json!({"keys": [jwk]}).to_string().as_bytes()).map(|keys| keys.len())
    };
    for change in [json!({}), json!({"alg": "EdDSA"}), json!({"key_ops": ["verify"]})] {
        assert_eq!(of(change.clone()), Ok(1), "{change}");
    }
    for change in [
        json!({"use": "enc"}),
        json!({"key_ops": ["sign"]}),
        json!({"key_ops": "verify"}),
        json!({"alg": "HS256"}),
        json!({"alg": "Ed448"}),
        json!({"d": "AAAA"}),
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"crv": "X25519"}),
        json!({"x": "AAAA"}),
        json!({"x": 7}),
        json!({"kid": 7}),
        json!({"kid": "x".repeat(257)}),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "EC", "crv": "P-521"}),
    ] {
        assert!(of(change.clone()).is_err(), "{change}");
    }
    for body in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[7]}"#] {
        assert!(KeySet::of_jwks(body.as_bytes()).is_err(), "{body}");
    }
    let many = json!({"keys": vec![public_jwk(); key::KEYS_MAX + 1]});
    assert!(KeySet::of_jwks(many.to_string().as_bytes()).is_err(), "too many");
    let another = json!({"keys": [public_jwk(), {"kty": "oct", "k": "AAAA"}, {"kty": "new"}]});
    let keys = KeySet::of_jwks(another.to_string().as_bytes()).expect("others do not count");
    assert_eq!(keys.len(), 1);
    assert!(keys.find(Some("first"), Algorithm::EdDsa).is_some());
    assert!(keys.find(Some("second"), Algorithm::EdDsa).is_none());
    assert!(keys.find(None, Algorithm::EdDsa).is_some(), "there is one only");
    assert!(keys.find(Some("first"), Algorithm::Rs256).is_none());
    let nameless = json!({"kty": "RSA", "n": vectors::RSA_MODULUS, "e": "AQAB"});
    let nameless = json!({"keys": [nameless, nameless]}).to_string();
    let nameless = KeySet::of_jwks(nameless.as_bytes()).expect("two keys");
    assert!(nameless.find(None, Algorithm::Rs256).is_none(), "either could be meant");
    assert!(nameless.find(Some("first"), Algorithm::Rs256).is_none());
}

#[test]
fn an_issuer_that_cannot_be_is_refused_by_its_setting() {
    let url = |text: &str| KeySource::Jwks {
        url: text.parse().expect("a URL"),
        every: Duration::from_secs(300),
    };
    let jwks = |text| rules("staff", ISSUER, url(text));
    for (rules, setting) in [
        (IssuerRules { name: "Staff".to_owned(), ..by_secret() }, "name"),
        (IssuerRules { name: "a--b".to_owned(), ..by_secret() }, "name"),
        (IssuerRules { name: String::new(), ..by_secret() }, "name"),
        (IssuerRules { issuer: String::new(), ..by_secret() }, "issuer"),
        (IssuerRules { audience: Vec::new(), ..by_secret() }, "audience"),
        (IssuerRules { audience: vec![String::new()], ..by_secret() }, "audience"),
        (IssuerRules { leeway: TimeDelta::seconds(601), ..by_secret() }, "leeway_s"),
        (rules("staff", ISSUER, KeySource::Secret(Secret::new("short"))), "secret"),
        (rules("staff", ISSUER, KeySource::PublicKey("{}".to_owned())), "public_key"),
        (rules("staff", ISSUER, KeySource::PublicKey("a key".to_owned())), "public_key"),
        (jwks("http://id.example.com/keys"), "jwks_url"),
        (IssuerRules { algorithms: vec![Algorithm::Rs256], ..by_secret() }, "algorithms"),
        (IssuerRules { algorithms: vec![Algorithm::Hs256], ..by_key() }, "algorithms"),
        (
            IssuerRules { algorithms: vec![Algorithm::Hs256], ..jwks("https://a.example") },
            "algorithms",
        ),
    ] {
        let refused = Issuer::new(rules).err().map(|bad| bad.setting);
        assert_eq!(refused, Some(setting));
    }
    assert!(Issuer::new(jwks("https://id.example.com/keys")).is_ok());
}

#[test]
fn others_take_the_place_of_issuers_at_once() {
    let tokens = tokens(vec![by_secret()]);
    let (of_staff, of_apps) = (
        hs256(HEADER, &claims().to_string()),
        ed25519(r#"{"alg":"EdDSA"}"#, &with(json!({"iss": "apps"}))),
    );
    assert!(tokens.caller(&of_staff, now()).is_ok() && tokens.caller(&of_apps, now()).is_err());
    assert!(tokens.takes_from("staff") && !tokens.takes_from("apps"));
    tokens.replace(vec![Issuer::new(by_key()).expect("an issuer")]);
    assert!(tokens.caller(&of_staff, now()).is_err() && tokens.caller(&of_apps, now()).is_ok());
    assert!(!tokens.takes_from("staff") && tokens.takes_from("apps"));
}

/// The API with both issuers, which give tokens for the time of its clock.
async fn api() -> Api {
    Api::start_behind(|directory, clock| {
        let door = crate::Door::closed(directory, clock);
        door.with_tokens(tokens(vec![by_secret(), by_key()]))
    })
    .await
}

/// Claims that count for an hour from now on.
fn current(api: &Api, change: Value) -> String {
    let now = api.in_time(TimeDelta::zero()).timestamp();
    let mut times = json!({"iat": now, "exp": now + 3_600});
    for (name, value) in change.as_object().expect("an object") {
        times[name] = value.clone();
    }
    hs256(HEADER, &with(times))
}

async fn ask(api: &Api, token: &str, method: Method, body: Option<Value>) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    api.request(method, MESSAGES, &headers, body.map(|body| body.to_string())).await
}

#[tokio::test]
async fn who_bears_a_token_is_let_in_as_whom_it_says() {
    let api = api().await;
    let token = current(&api, json!({}));
    let sms = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let sent = ask(&api, &token, Method::POST, Some(sms.clone())).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.body);
    let event = format!("/api/v1/events/{}", sent.body["position"]);
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    let event = api.request(Method::GET, &event, &headers, None).await;
    assert!(event.body.to_string().contains("token:staff/ann"), "{}", event.body);
    let reader = current(&api, json!({"scope": "messages:read"}));
    let refused = ask(&api, &reader, Method::POST, Some(sms)).await;
    assert_eq!((refused.status, refused.text("code")), (StatusCode::FORBIDDEN, "missing_scope"));
    let refused = ask(&api, "a.b.c", Method::GET, None).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        refused.header("www-authenticate"),
        "Bearer realm=\"hatch\", error=\"invalid_token\""
    );
    api.advance(TimeDelta::hours(2)).await;
    assert_eq!(ask(&api, &token, Method::GET, None).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_is_of_a_tenant_that_there_is_and_that_is_not_suspended() {
    let api = api().await;
    let token = current(&api, json!({"tenant": OTHER_TENANT.to_string()}));
    assert_eq!(ask(&api, &token, Method::GET, None).await.status, StatusCode::UNAUTHORIZED);
    let at = api.in_time(TimeDelta::zero());
    let create = TenantCommand::Create { name: "other".to_owned(), at };
    api.change_tenant(OTHER_TENANT, &create).await;
    assert_eq!(ask(&api, &token, Method::GET, None).await.status, StatusCode::OK);
    api.change_tenant(OTHER_TENANT, &TenantCommand::Suspend { reason: None, at }).await;
    let refused = ask(&api, &token, Method::GET, None).await;
    assert_eq!((refused.status, refused.text("code")), (StatusCode::FORBIDDEN, "tenant_suspended"));
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let api = api().await;
    let token = current(&api, json!({}));
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    // It is let in before the time goes on.
    let stream = api.request(Method::GET, "/api/v1/events", &headers, None);
    let (stream, ()) = tokio::join!(stream, api.advance(TimeDelta::hours(2)));
    assert_eq!(stream.status, StatusCode::OK, "{}", stream.body);
}
