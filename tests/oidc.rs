//! Signing in by an identity provider, over HTTP, as a browser goes.

use std::sync::Arc;

use hatch_api::oidc::{Begun, Identity, Oidc, OidcError, OidcSettings};
use hatch_domain::Environment as _;
use hatch_eventstore::SystemEnvironment;
use hatch_providers::Secret;
use reqwest::{Client, StatusCode, redirect};
use serde_json::{Value, json};
use url::Url;

use crate::identity_provider::{CLIENT_ID, CLIENT_SECRET, IdentityProvider, PERSON};

const CALLBACK: &str = "http://127.0.0.1:8080/auth/oidc/callback";

struct SignIn {
    provider: IdentityProvider,
    oidc: Oidc,
    browser: Client,
}

impl SignIn {
    async fn start() -> Self {
        let provider = IdentityProvider::start(SystemEnvironment.now()).await;
        let oidc = at(&provider);
        // Fails only when the process chose its cryptography before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let browser = Client::builder().redirect(redirect::Policy::none()).no_proxy();
        Self { provider, oidc, browser: browser.build().expect("a client") }
    }

    async fn begin(&self) -> Begun {
        self.oidc.begin("/inbox").await.expect("it begins")
    }

    /// With what the person's browser comes back.
    async fn sign_in(&self, begun: &Begun) -> String {
        let answer = self.browser.get(begun.url.clone()).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::FOUND);
        let back = answer.headers()["location"].to_str().expect("text");
        let back = Url::parse(back).expect("a URL");
        assert_eq!(back.as_str().split('?').next(), Some(CALLBACK));
        back.query().expect("a query").to_owned()
    }

    /// The whole way.
    async fn attempt(&self) -> Result<Identity, OidcError> {
        let begun = self.begin().await;
        let query = self.sign_in(&begun).await;
        self.oidc.finish(&query, &begun.cookie).await
    }
}

fn at(provider: &IdentityProvider) -> Oidc {
    let settings = OidcSettings {
        issuer: provider.url.clone(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: Secret::new(CLIENT_SECRET),
        redirect: CALLBACK.to_owned(),
        scopes: ["openid", "email", "profile"].map(str::to_owned).into(),
    };
    Oidc::new(settings, Arc::new(SystemEnvironment)).expect("a provider")
}

fn is_refused(result: &Result<Identity, OidcError>) -> bool {
    matches!(result, Err(OidcError::Refused(_)))
}

#[tokio::test]
async fn a_person_signs_in_and_goes_on_where_he_was() {
    let sign_in = SignIn::start().await;
    let identity = sign_in.attempt().await.expect("signed in");
    assert_eq!(
        identity,
        Identity {
            issuer: sign_in.provider.url.clone(),
            subject: PERSON.to_owned(),
            email: Some("person@example.com".to_owned()),
            email_verified: true,
            name: Some("A Person".to_owned()),
            return_to: "/inbox".to_owned(),
        }
    );
    // Another process of the same settings ends what this one has begun.
    let begun = sign_in.begin().await;
    let query = sign_in.sign_in(&begun).await;
    let elsewhere = at(&sign_in.provider).finish(&query, &begun.cookie).await;
    assert_eq!(elsewhere.expect("signed in").subject, PERSON);
    assert!(is_refused(&sign_in.oidc.finish(&query, &begun.cookie).await), "a code twice");
    sign_in.provider.say_of_people(json!({"email_verified": null, "name": null, "email": 7}));
    let identity = sign_in.attempt().await.expect("signed in");
    assert_eq!((identity.email, identity.email_verified, identity.name), (None, false, None));
}

#[tokio::test]
async fn an_answer_belongs_to_the_browser_that_began() {
    let sign_in = SignIn::start().await;
    let (ours, theirs) = (sign_in.begin().await, sign_in.begin().await);
    assert_ne!(ours.url, theirs.url);
    let query = sign_in.sign_in(&theirs).await;
    let (own, wrong) = (theirs.cookie.as_str(), ours.cookie.as_str());
    let with = |from: &str, to: &str| (query.replacen(from, to, 1), own);
    for (query, cookie) in [
        (query.clone(), wrong),
        (query.clone(), ""),
        (query.clone(), &own[1..]),
        (String::new(), own),
        (format!("{query}&state=another"), own),
        with("iss=http", "iss=https"),
        with("state=", "state=A"),
        with("code=", "code=A"),
        with("code=", "error=access_denied&no="),
    ] {
        assert!(is_refused(&sign_in.oidc.finish(&query, cookie).await), "{query}");
    }
    assert!(sign_in.oidc.finish(&query, &theirs.cookie).await.is_ok());
}

#[tokio::test]
async fn an_id_token_that_is_not_about_this_is_refused() {
    let sign_in = SignIn::start().await;
    let past = SystemEnvironment.now().timestamp() - 3_600;
    let wrong: [Value; 10] = [
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"iss": "https://evil.example"}),
        json!({"aud": "another"}),
        json!({"aud": [CLIENT_ID, "another"]}),
        json!({"azp": "another"}),
        json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
        json!({"exp": past}),
        json!({"iat": past + 7_200}),
        json!({"sub": null}),
    ];
    for claims in wrong {
        sign_in.provider.say_of_people(claims.clone());
        assert!(is_refused(&sign_in.attempt().await), "{claims}");
    }
    sign_in.provider.say_of_people(json!({"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}));
    assert!(sign_in.attempt().await.is_ok());
    // The key is another one since, and was asked for a moment ago.
    sign_in.provider.turn();
    assert!(is_refused(&sign_in.attempt().await), "keys are fetched once a minute at most");
    let fresh = SignIn { oidc: at(&sign_in.provider), ..sign_in };
    assert!(fresh.attempt().await.is_ok());
}

#[tokio::test]
async fn a_provider_that_is_another_or_away_signs_nobody_in() {
    let provider = IdentityProvider::start(SystemEnvironment.now()).await;
    let unavailable = async || {
        let begun = at(&provider).begin("/").await;
        matches!(begun, Err(OidcError::Unavailable(_)))
    };
    for said in [
        json!({"issuer": "https://evil.example"}),
        json!({"token_endpoint": "http://evil.example/token"}),
        json!({"jwks_uri": null}),
        json!({"code_challenge_methods_supported": ["plain"]}),
        json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}),
        json!({"padding": "x".repeat(70_000)}),
    ] {
        provider.say_of_itself(said.clone());
        assert!(unavailable().await, "{said}");
    }
    provider.say_of_itself(json!({}));
    assert!(!unavailable().await);
    provider.set_up(false);
    assert!(unavailable().await);
}
