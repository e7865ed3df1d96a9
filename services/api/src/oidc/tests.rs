//! What an attempt to sign in is made of, and what is believed of an answer. The whole way, over HTTP, is a scenario.

use serde_json::{Map, Value, json};

use super::attempt::Entropy;
use super::claims::About;
use super::*;

fn settings() -> OidcSettings {
    OidcSettings {
        issuer: "https://id.example.com".to_owned(),
        client_id: "hatch".to_owned(),
        client_secret: Secret::new("what the provider gave"),
        redirect: "https://hatch.example.com/auth/oidc/callback".to_owned(),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
    }
}

fn entropy() -> Entropy {
    let mut bytes = [[0; 64]; 2];
    for (n, byte) in (0_u8..).zip(bytes.as_flattened_mut()) {
        *byte = n;
    }
    bytes
}

/// RFC 7636, appendix B: it is that of the text itself.
#[test]
fn a_challenge_is_that_of_the_standard() {
    let now = SystemEnvironment.now();
    let mut attempt = Attempt::new("/", now, &entropy());
    attempt.verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
    assert_eq!(attempt.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    assert_eq!(attempt.state.len(), 43);
    assert_ne!(attempt.state, attempt.nonce);
}

#[test]
fn an_attempt_is_opened_by_who_sealed_it_as_long_as_it_lasts() {
    let now = SystemEnvironment.now();
    let sealing = Sealing::new(&settings()).expect("a key");
    let attempt = Attempt::new("/inbox?a=1", now, &entropy());
    let cookie = sealing.seal(&attempt).expect("sealed");
    assert_eq!(sealing.open(&cookie, now).as_ref(), Some(&attempt));
    let again = Sealing::new(&settings()).expect("a key");
    assert_eq!(again.open(&cookie, now).as_ref(), Some(&attempt), "another process");
    let lasts = TimeDelta::seconds(COOKIE_SECONDS.into());
    assert_eq!(sealing.open(&cookie, now + lasts), None);
    let other = OidcSettings { client_secret: Secret::new("another"), ..settings() };
    assert_eq!(Sealing::new(&other).expect("a key").open(&cookie, now), None);
    let (start, end) = cookie.split_at(cookie.len() - 2);
    let changed = format!("{start}{}", if end == "AA" { "BA" } else { "AA" });
    for wrong in [changed.as_str(), "", "AA", "no base64url!", &"A".repeat(5_000)] {
        assert_eq!(sealing.open(wrong, now), None, "{wrong}");
    }
}

#[test]
fn a_person_goes_on_within_this_site_only() {
    for (path, kept) in [
        ("/", true),
        ("/inbox?conversation=1#latest", true),
        ("", false),
        ("https://evil.example", false),
        ("//evil.example", false),
        ("/\\evil.example", false),
        ("/a\r\nset-cookie: b", false),
        ("inbox", false),
    ] {
        let attempt = Attempt::new(path, SystemEnvironment.now(), &entropy());
        assert_eq!(attempt.return_to, if kept { path } else { "/" }, "{path:?}");
    }
}

#[test]
fn an_answer_says_each_thing_once_and_is_of_the_provider() {
    let code = |query: &str, names_itself| {
        Answer::read(query)?.code("https://id.example.com", names_itself).ok()
    };
    let iss = "iss=https%3A%2F%2Fid.example.com";
    assert_eq!(code("state=s&code=c%20d", false).as_deref(), Some("c d"));
    assert_eq!(code(&format!("code=c&state=s&{iss}"), true).as_deref(), Some("c"));
    assert_eq!(code(&format!("code=c&state=s&session_state=x&{iss}"), false).as_deref(), Some("c"));
    for (query, names_itself) in [
        ("code=c", false),
        ("state=s", false),
        ("state=s&code=c", true),
        ("state=s&code=c&code=d", false),
        ("state=s&state=s&code=c", false),
        ("state=s&code=c&iss=https%3A%2F%2Fevil.example", false),
        ("state=s&code=c&error=access_denied", false),
        ("", false),
    ] {
        assert_eq!(code(query, names_itself), None, "{query}");
    }
    assert!(Answer::read(&format!("state=s&code={}", "c".repeat(9_000))).is_none());
}

#[test]
fn an_id_token_is_about_this_sign_in_and_for_hatch() {
    let about = About {
        client_id: "hatch",
        nonce: "n",
        algorithm: Algorithm::Rs256,
        access_token: Some("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"),
    };
    let checked = |claims: Value| {
        let claims: Map<String, Value> = claims.as_object().cloned().unwrap_or_default();
        about.check(&claims).is_ok()
    };
    // The token and the hash are the example of OpenID Connect Core 1.0, appendix A.3.
    let hash = "77QmUPtjPfzWtF2AnpK9RQ";
    for (claims, holds) in [
        (json!({"nonce": "n", "aud": "hatch"}), true),
        (json!({"nonce": "n", "aud": ["hatch"], "at_hash": hash}), true),
        (json!({"nonce": "n", "aud": ["hatch", "other"], "azp": "hatch"}), true),
        (json!({"nonce": "n", "aud": ["hatch", "other"]}), false),
        (json!({"nonce": "n", "aud": "hatch", "azp": "other"}), false),
        (json!({"nonce": "n", "aud": "hatch", "at_hash": "77QmUPtjPfzWtF2AnpK9RA"}), false),
        (json!({"nonce": "m", "aud": "hatch"}), false),
        (json!({"nonce": 7, "aud": "hatch"}), false),
        (json!({"aud": "hatch"}), false),
    ] {
        assert_eq!(checked(claims.clone()), holds, "{claims}");
    }
}

#[test]
fn settings_by_which_nobody_could_sign_in_are_refused() {
    let clock: Arc<dyn Environment> = Arc::new(SystemEnvironment);
    let set = |change: fn(&mut OidcSettings)| {
        let mut settings = settings();
        change(&mut settings);
        Oidc::new(settings, Arc::clone(&clock)).err().map(|bad| bad.setting)
    };
    assert_eq!(set(|_| ()), None);
    assert_eq!(set(|set| set.issuer = "http://id.example.com".to_owned()), Some("issuer"));
    assert_eq!(set(|set| set.issuer = "id".to_owned()), Some("issuer"));
    assert_eq!(set(|set| set.client_id.clear()), Some("client_id"));
    assert_eq!(set(|set| set.client_secret = Secret::new("")), Some("client_secret"));
    assert_eq!(set(|set| set.scopes.clear()), Some("scopes"));
}
