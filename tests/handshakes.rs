//! Webhooks of providers that come by other methods than POST, ask something before they post anything, or are signed
//! so that somebody else has to be asked.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use hatch_providers::{
    BoxFuture, Hook, NotUnderstood, Observation, RawRequest, Received, Verified, Webhook,
    WebhookRefusal,
};
use reqwest::{Method, Response, StatusCode};
use std::sync::Arc;
use tokio::sync::watch;
use url::form_urlencoded;

use crate::harness::Hatch;
use crate::scripted::{Role, mail, shown};

const PATH: &str = "/api/v1/webhooks/scripted";

/// What the provider was told, by which it knows us, and we it.
const TOKEN: &str = "a-token-of-both";

/// Answers `hub.challenge`, and believes a signature by a key that it has to wait for.
struct Subscribed {
    methods: [Method; 2],
    key: watch::Receiver<Option<String>>,
}

impl Subscribed {
    fn handshake(request: &RawRequest) -> Received<'_> {
        let query = request.path_and_query.query().unwrap_or_default();
        let field = |name: &str| {
            let mut fields = form_urlencoded::parse(query.as_bytes());
            fields.find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
        };
        match (field("hub.verify_token"), field("hub.challenge")) {
            (Some(token), Some(challenge)) if token == TOKEN => {
                let mut answer = http::Response::new(Bytes::from(challenge));
                let text = "text/plain".parse().expect("a value");
                answer.headers_mut().insert(CONTENT_TYPE, text);
                Received::Answer(answer)
            }
            _ => Received::Refused(WebhookRefusal::WrongSecret),
        }
    }
}

impl Webhook for Subscribed {
    fn methods(&self) -> &[Method] {
        &self.methods
    }

    fn receive<'r>(&'r self, request: &'r RawRequest) -> BoxFuture<'r, Received<'r>> {
        Box::pin(async move {
            if request.method == Method::GET {
                return Self::handshake(request);
            }
            let mut key = self.key.clone();
            let Ok(known) = key.wait_for(Option::is_some).await else {
                return Received::Refused(WebhookRefusal::WrongSignature);
            };
            let signature = request.headers.get("signature").map(|value| value.as_bytes());
            match known.as_deref().map(str::as_bytes) == signature {
                true => Received::Verified(Verified::kept(request)),
                false => Received::Refused(WebhookRefusal::WrongSignature),
            }
        })
    }

    fn verify<'r>(&self, _: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
        Err(WebhookRefusal::WrongSignature)
    }

    fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        headers.contains_key("signature")
    }

    fn parse(&self, _: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
        Ok(vec![mail("name-1", "ann@example.com", hatch_domain::Email::default())])
    }

    fn success(&self) -> http::Response<Bytes> {
        http::Response::new(Bytes::new())
    }
}

async fn ask(hatch: &Hatch, role: &Role, method: Method, path: &str, signature: &str) -> Response {
    let request = hatch.http.request(method, format!("{}{path}", role.address));
    let request =
        if signature.is_empty() { request } else { request.header("signature", signature) };
    request.body("any").send().await.expect("an answer")
}

#[tokio::test]
async fn a_provider_comes_by_its_methods_and_is_answered_what_it_asks() {
    let hatch = Hatch::start().await;
    let (tell, key) = watch::channel(None);
    let methods = [Method::GET, Method::POST];
    let hook = Hook { suffix: None, webhook: Arc::new(Subscribed { methods, key }) };
    let role = Role::start_with(&hatch, vec![hook]).await;

    let asked =
        format!("{PATH}?hub.mode=subscribe&hub.verify_token={TOKEN}&hub.challenge=1158201444");
    let answer = ask(&hatch, &role, Method::GET, &asked, "").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/plain");
    assert_eq!(answer.text().await.expect("text"), "1158201444");
    let asked = asked.replace(TOKEN, "another");
    let refused = ask(&hatch, &role, Method::GET, &asked, "").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);

    for (method, path, allow) in [
        (Method::PUT, PATH.to_owned(), "GET,POST"),
        (Method::GET, format!("{PATH}/inbound"), "POST"),
    ] {
        let refused = ask(&hatch, &role, method, &path, "").await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(refused.headers()["allow"], allow, "{path}");
    }
    let nobody = ask(&hatch, &role, Method::GET, "/api/v1/webhooks/nobody", "").await;
    assert_eq!(nobody.status(), StatusCode::METHOD_NOT_ALLOWED);

    // Both wait for the key; nothing is believed before it is there.
    let [good, bad] = ["the-key", "a-guess"].map(|by| ask(&hatch, &role, Method::POST, PATH, by));
    let tell = async { tell.send_replace(Some("the-key".to_owned())) };
    let (good, bad, _) = tokio::join!(good, bad, tell);
    assert_eq!((good.status(), bad.status()), (StatusCode::OK, StatusCode::UNAUTHORIZED));
    assert_eq!(shown(&hatch, "name-1").await["from"], "ann@example.com");
    hatch.finish().await;
}
