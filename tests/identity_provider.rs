//! An identity provider, as a server of its own: it publishes keys, gives tokens, and signs people in.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What hatch is called there, and by which it proves that.
pub(crate) const CLIENT_ID: &str = "hatch";
pub(crate) const CLIENT_SECRET: &str = "a secret: of hatch & nobody else";

/// The person who signs in there.
pub(crate) const PERSON: &str = "person-7";

/// A provider that runs until it is dropped.
pub(crate) struct IdentityProvider {
    /// What it calls itself.
    pub(crate) url: String,
    shared: Arc<Mutex<Shared>>,
    _running: DropGuard,
}

struct Shared {
    url: String,
    /// By `kid`, the newest last, which signs.
    keys: Vec<(String, EcdsaKeyPair)>,
    made: usize,
    is_up: bool,
    asked: usize,
    now: DateTime<Utc>,
    /// What people have begun, by code.
    attempts: Vec<(String, Attempt)>,
    /// What it says otherwise of people, and of itself.
    claims: Value,
    description: Value,
}

/// What hatch has sent a person with.
#[derive(serde::Deserialize)]
struct Attempt {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    scope: String,
    state: String,
    nonce: String,
    code_challenge: String,
    code_challenge_method: String,
}

#[derive(serde::Deserialize)]
struct Exchange {
    grant_type: String,
    code: String,
    redirect_uri: String,
    code_verifier: String,
}

type Provider = State<Arc<Mutex<Shared>>>;

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("nobody panics with it")
}

impl IdentityProvider {
    /// A provider with one key, whose time is `now`.
    pub(crate) async fn start(now: DateTime<Utc>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (claims, description) = (json!({}), json!({}));
        let mut shared = Shared {
            url: url.clone(),
            keys: Vec::new(),
            made: 0,
            is_up: true,
            asked: 0,
            now,
            attempts: Vec::new(),
            claims,
            description,
        };
        shared.turn();
        let shared = Arc::new(Mutex::new(shared));
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/keys", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(exchange))
            .with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let serving = axum::serve(listener, routes);
        let serving = serving.with_graceful_shutdown(stop.clone().cancelled_owned());
        tokio::spawn(serving.into_future());
        Self { url, shared, _running: stop.drop_guard() }
    }

    /// Where its keys are.
    pub(crate) fn keys_url(&self) -> String {
        format!("{}/keys", self.url)
    }

    /// A token of these claims, signed by the newest key.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        locked(&self.shared).sign(claims)
    }

    /// Makes another key and forgets the old one.
    pub(crate) fn turn(&self) {
        locked(&self.shared).turn();
    }

    /// Whether it answers.
    pub(crate) fn set_up(&self, is_up: bool) {
        locked(&self.shared).is_up = is_up;
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        locked(&self.shared).asked
    }

    /// Says `claims` of people from now on, beside what is always said; `null` leaves one out.
    pub(crate) fn say_of_people(&self, claims: Value) {
        locked(&self.shared).claims = claims;
    }

    /// Says that of itself from now on, beside the rest.
    pub(crate) fn say_of_itself(&self, description: Value) {
        locked(&self.shared).description = description;
    }
}

/// `all` with what `others` says otherwise.
fn with(mut all: Value, others: &Value) -> Value {
    let members = all.as_object_mut().expect("an object");
    for (name, value) in others.as_object().expect("an object") {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    all
}

impl Shared {
    fn turn(&mut self) {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
        self.made += 1;
        self.keys = vec![(format!("key-{}", self.made), key)];
    }

    fn sign(&self, claims: &Value) -> String {
        let (kid, key) = self.keys.last().expect("a key");
        let header = json!({"alg": "ES256", "kid": kid, "typ": "JWT"});
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = key.sign(&SystemRandom::new(), message.as_bytes()).expect("signed");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn jwks(&self) -> Value {
        let of = |(kid, key): &(String, EcdsaKeyPair)| {
            let (x, y) = key.public_key().as_ref()[1..].split_at(32);
            let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256",
                "x": coordinate(x), "y": coordinate(y)})
        };
        json!({"keys": self.keys.iter().map(of).collect::<Vec<_>>()})
    }
}

async fn describe(State(shared): Provider) -> Response {
    let shared = locked(&shared);
    if !shared.is_up {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let url = &shared.url;
    let description = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    Json(with(description, &shared.description)).into_response()
}

async fn keys(State(shared): Provider) -> Response {
    let mut shared = locked(&shared);
    shared.asked += 1;
    if !shared.is_up {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Json(shared.jwks()).into_response()
}

/// The person is signed in there already, and comes back at once.
async fn authorize(State(shared): Provider, Query(attempt): Query<Attempt>) -> Response {
    let mut shared = locked(&shared);
    assert_eq!(attempt.response_type, "code");
    assert_eq!(attempt.client_id, CLIENT_ID);
    assert_eq!(attempt.code_challenge_method, "S256");
    assert!(attempt.scope.split(' ').any(|scope| scope == "openid"), "{}", attempt.scope);
    let code = format!("code-{}", shared.attempts.len());
    let mut back = url::Url::parse(&attempt.redirect_uri).expect("a URL");
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &attempt.state)
        .append_pair("iss", &shared.url);
    shared.attempts.push((code, attempt));
    (StatusCode::FOUND, [(header::LOCATION, back.to_string())]).into_response()
}

async fn exchange(State(shared): Provider, headers: HeaderMap, form: String) -> Response {
    let form = format!("/?{form}").parse().expect("a form is written as a query is");
    let Query(form) = Query::<Exchange>::try_from_uri(&form).expect("a form");
    let mut shared = locked(&shared);
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let user = format!("{}:{}", encoded(CLIENT_ID), encoded(CLIENT_SECRET));
    let basic = format!("Basic {}", STANDARD.encode(user));
    let is_hatch = headers.get(header::AUTHORIZATION).is_some_and(|said| *said == *basic);
    let begun = shared.attempts.iter().position(|(code, _)| *code == form.code);
    let attempt = begun.map(|n| shared.attempts.remove(n).1);
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, form.code_verifier.as_bytes()));
    let proven = attempt.filter(|attempt| {
        is_hatch
            && form.grant_type == "authorization_code"
            && attempt.redirect_uri == form.redirect_uri
            && attempt.code_challenge == challenge
    });
    let Some(attempt) = proven else {
        let error = Json(json!({"error": "invalid_grant"}));
        return (StatusCode::BAD_REQUEST, error).into_response();
    };
    let hash = digest(&SHA256, b"an access token");
    let claims = json!({
        "iss": shared.url, "sub": PERSON, "aud": CLIENT_ID, "nonce": attempt.nonce,
        "iat": shared.now.timestamp(), "exp": shared.now.timestamp() + 300,
        "at_hash": URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]),
        "email": "person@example.com", "email_verified": true, "name": "A Person",
    });
    let id_token = shared.sign(&with(claims, &shared.claims));
    let given = json!({"id_token": id_token, "access_token": "an access token",
        "token_type": "Bearer", "expires_in": 300});
    Json(given).into_response()
}
