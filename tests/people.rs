//! People, over the real program: invited by an operator, signed in by a browser, and signed out wherever they are.

use std::process::Stdio;
use std::time::Duration;

use hatch::roles::Role;
use hatch::settings::OidcSettings;
use hatch_devservers::free_port;
use hatch_domain::Environment as _;
use hatch_eventstore::SystemEnvironment;
use hatch_providers::Secret;
use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::doctor::{command, run};
use crate::harness::{Answer, CUSTOMER, Hatch, SENDER};
use crate::identity_provider::{CLIENT_ID, CLIENT_SECRET, IdentityProvider};
use crate::keys::closed;
use crate::process::Up;
use crate::time::{eventually, eventually_within};

const PATIENCE: Duration = Duration::from_secs(120);

/// A second, as is promised, and what a busy machine adds.
const SOON: Duration = Duration::from_secs(3);

const PASSWORD: &str = "correct horse battery";
const LIST: &str = "/api/v1/messages";

/// A browser that keeps one cookie.
pub(crate) struct Visitor {
    http: reqwest::Client,
    cookie: String,
}

/// Invites by the program, and says what stands behind `#` in the link.
async fn invite(hatch: &Hatch, email: &str, role: &str) -> String {
    let reached = [("HATCH_PUBLIC_URL", hatch.url.as_str())];
    let invite = ["members", "invite", email, "--role", role];
    let output = command(hatch, &invite, &reached).output().await;
    let output = output.expect("it runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let (page, invitation) = said.trim_end().split_once('#').expect("a link alone");
    assert_eq!(page, format!("{}/auth/invitation", hatch.url));
    invitation.to_owned()
}

/// Accepts by the process at `url`, once that knows of the invitation.
async fn accept(http: &reqwest::Client, url: &str, invitation: &str) {
    let path = format!("{url}/api/v1/invitations/accept");
    let body = json!({"invitation": invitation, "password": PASSWORD});
    eventually("the invitation is known", async || {
        let answer = http.post(&path).json(&body).send().await.ok()?;
        let answer = Answer::read(answer).await;
        match answer.status {
            StatusCode::OK => Some(()),
            StatusCode::NOT_FOUND => None,
            other => panic!("{other}: {}", answer.body),
        }
    })
    .await;
}

impl Visitor {
    /// Somebody who is invited, comes, and signs in.
    pub(crate) async fn invited(hatch: &Hatch, email: &str, role: &str) -> Self {
        let invitation = invite(hatch, email, role).await;
        accept(&hatch.http, &hatch.url, &invitation).await;
        Self::sign_in(&hatch.http, &hatch.url, email).await
    }

    async fn sign_in(http: &reqwest::Client, url: &str, email: &str) -> Self {
        let body = json!({"email": email, "password": PASSWORD});
        let asked = http.post(format!("{url}/api/v1/session")).json(&body).send().await;
        let answer = Answer::read(asked.expect("hatch answers")).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let given = answer.header("set-cookie");
        assert!(given.contains("HttpOnly") && given.contains("SameSite=Lax"), "{given}");
        let cookie = given.split(';').next().expect("a pair").to_owned();
        Self { http: http.clone(), cookie }
    }

    /// Asks as a page of `origin` does.
    async fn ask(
        &self,
        (method, url): (Method, String),
        origin: Option<&str>,
        body: Option<Value>,
    ) -> Option<Answer> {
        let mut request = self.http.request(method, url).header("cookie", &self.cookie);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Some(Answer::read(request.send().await.ok()?).await)
    }

    async fn status(&self, url: &str) -> Option<StatusCode> {
        Some(self.ask((Method::GET, format!("{url}{LIST}")), None, None).await?.status)
    }

    /// The session that it has.
    pub(crate) async fn session_id(&self, hatch: &Hatch) -> String {
        let path = (Method::GET, format!("{}/api/v1/session", hatch.url));
        let who = self.ask(path, None, None).await.expect("hatch answers");
        who.text("session_id").to_owned()
    }

    async fn is_refused_soon(&self, url: &str, what: &str) {
        eventually_within(SOON, what, async || {
            self.status(url).await.filter(|status| *status == StatusCode::UNAUTHORIZED)
        })
        .await;
    }
}

/// Another process of the same installation.
async fn another(hatch: &Hatch, listen: &str) -> Up {
    // The name of the cookie is that of one installation.
    let same = [
        ("HATCH_PUBLIC_URL", hatch.url.as_str()),
        ("HATCH_TWILIO__BASE_URL", hatch.simulator.as_str()),
    ];
    let mut serve = command(hatch, &["serve", "--roles", "command,query"], &same);
    // It is asked again and again what it says of a session.
    serve.env("HATCH_LISTEN", listen).env("HATCH_RATE_LIMIT__ENABLED", "false");
    serve.stdout(Stdio::null()).stderr(Stdio::null());
    let child = serve.kill_on_drop(true).spawn().expect("it starts");
    let http = hatch::http_client(PATIENCE).expect("an HTTP client");
    let up = Up { child, url: format!("http://{listen}"), http };
    let ready = async || {
        let asked = up.http.get(format!("{}/ready", up.url)).send().await.ok()?;
        asked.status().is_success().then_some(())
    };
    eventually("it is ready", ready).await;
    up
}

#[tokio::test]
async fn a_person_is_invited_signs_in_works_and_is_signed_out_everywhere() {
    let hatch = Hatch::closed().await;
    let listen = format!("127.0.0.1:{}", free_port().expect("a free port"));
    let mut other = another(&hatch, &listen).await;
    let invitation = invite(&hatch, "ann@example.com", "owner").await;
    accept(&other.http, &other.url, &invitation).await;
    let first = Visitor::sign_in(&other.http, &other.url, "ann@example.com").await;
    for url in [&other.url, &hatch.url] {
        assert_eq!(first.status(url).await, Some(StatusCode::OK), "{url}");
    }

    let send = || Some(json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"}));
    let path = || (Method::POST, format!("{}{LIST}", other.url));
    let foreign = first.ask(path(), Some("https://evil.example"), send()).await;
    assert_eq!(foreign.expect("an answer").status, StatusCode::FORBIDDEN);
    let own = first.ask(path(), Some(&other.url), send()).await.expect("an answer");
    assert_eq!(own.status, StatusCode::ACCEPTED, "{}", own.body);
    let actor = "SELECT count(*) FROM es.events WHERE type = 'MessageRequested' AND metadata->>'actor' LIKE 'user:%'";
    assert_eq!(hatch.count(actor).await, 1);

    // Ended by one process, refused by the other.
    let second = Visitor::sign_in(&other.http, &other.url, "ann@example.com").await;
    let id = first.session_id(&hatch).await;
    let end = (Method::DELETE, format!("{}/api/v1/sessions/{id}", hatch.url));
    let ended = second.ask(end, Some(&hatch.url), None).await.expect("an answer");
    assert_eq!(ended.status, StatusCode::NO_CONTENT, "{}", ended.body);
    first.is_refused_soon(&other.url, "the session is refused elsewhere").await;

    other.signal(Signal::SIGKILL);
    other.child.wait().await.expect("it ends");
    let other = another(&hatch, &listen).await;
    assert_eq!(second.status(&other.url).await, Some(StatusCode::OK), "still signed in");

    let (removed, said) = run(&hatch, &["members", "remove", "ann@example.com"], &[]).await;
    assert!(!removed && said.contains("last owner"), "{said}");
    let invitation = invite(&hatch, "bob@example.com", "owner").await;
    accept(&other.http, &other.url, &invitation).await;
    let (removed, said) = run(&hatch, &["members", "remove", "ann@example.com"], &[]).await;
    assert!(removed, "{said}");
    second.is_refused_soon(&other.url, "who was removed is refused").await;
    second.is_refused_soon(&hatch.url, "who was removed is refused").await;

    // Nothing that anybody signs in by is told outside, and no secret is in the log in clear.
    let list = command(&hatch, &["members", "list"], &[]).output().await.expect("it runs");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(!list.contains(&invitation) && !list.contains("argon2"), "{list}");
    let hashes = "SELECT count(*) FROM es.events WHERE payload::text LIKE '%correct horse%'";
    assert_eq!(hatch.count(hashes).await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn the_pages_are_there_and_run_nothing_but_their_own_script() {
    let hatch = Hatch::closed().await;
    for page in ["/auth/sign-in", "/auth/invitation"] {
        let answer =
            hatch.http.get(format!("{}{page}", hatch.url)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{page}");
        let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(answer.text().await.expect("HTML").contains("/auth/people.js"));
    }
    for file in ["/auth/people.js", "/auth/people.css"] {
        let answer =
            hatch.http.get(format!("{}{file}", hatch.url)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{file}");
    }
    // No identity provider is set.
    let start = hatch.http.get(format!("{}/auth/oidc/start", hatch.url)).send().await;
    assert_eq!(start.expect("an answer").status(), StatusCode::NOT_FOUND);
    hatch.finish().await;
}

/// Where an answer leads, and the cookies that it gives.
fn led(answer: &reqwest::Response) -> (String, Vec<String>) {
    let text = |value: &reqwest::header::HeaderValue| value.to_str().expect("text").to_owned();
    let leads = answer.headers().get("location").map(text).unwrap_or_default();
    let given = answer.headers().get_all("set-cookie").iter().map(text);
    (leads, given.map(|one| one.split(';').next().expect("a pair").to_owned()).collect())
}

#[tokio::test]
async fn a_person_signs_in_by_an_identity_provider_that_knows_his_email() {
    let provider = IdentityProvider::start(SystemEnvironment.now()).await;
    let issuer = provider.url.clone();
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        closed(settings);
        settings.oidc = Some(OidcSettings {
            issuer: Some(issuer),
            client_id: Some(CLIENT_ID.to_owned()),
            client_secret: Some(Secret::new(CLIENT_SECRET)),
            ..OidcSettings::default()
        });
    });
    let hatch = hatch.await.opened().await;
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    let browser = browser.build().expect("a client");
    let get = async |url: &str, cookie: &str| {
        browser.get(url).header("cookie", cookie).send().await.expect("an answer")
    };
    let attempt = async || {
        let start = format!("{}/auth/oidc/start?return_to=/docs/", hatch.url);
        let (leads, cookies) = led(&get(&start, "").await);
        assert!(leads.starts_with(&format!("{}/authorize?", provider.url)), "{leads}");
        let (back, _) = led(&get(&leads, "").await);
        led(&get(&back, &cookies.join("; ")).await)
    };
    let (leads, cookies) = attempt().await;
    assert!(leads.starts_with("/auth/sign-in#") && leads.contains("wrong_sign_in"), "{leads}");
    assert!(cookies.iter().all(|cookie| !cookie.starts_with("hatch=")), "{cookies:?}");

    let invitation = invite(&hatch, "person@example.com", "agent").await;
    // Attempts are counted; whether an invitation is known, a password shows that is none.
    let path = format!("{}/api/v1/invitations/accept", hatch.url);
    let body = json!({"invitation": invitation, "password": "short"});
    eventually("the invitation is known", async || {
        let short = browser.post(&path).json(&body).send().await;
        short.expect("an answer").status() == StatusCode::BAD_REQUEST
    })
    .await;
    let (leads, cookies) = attempt().await;
    assert_eq!(leads, "/docs/");
    let cookie = cookies.into_iter().find(|cookie| cookie.starts_with("hatch="));
    let cookie = cookie.expect("a session");
    let visitor = Visitor { http: browser.clone(), cookie };
    assert_eq!(visitor.status(&hatch.url).await, Some(StatusCode::OK));
    let who = (Method::GET, format!("{}/api/v1/session", hatch.url));
    let who = visitor.ask(who, None, None).await.expect("an answer");
    assert_eq!(who.body["member"]["email"], "person@example.com", "{}", who.body);
    assert_eq!(who.body["member"]["has_password"], false);
    // Others of one address come a moment later.
    for n in 3..=5 {
        assert_eq!(attempt().await.0, "/docs/", "the {n}th of one address in some seconds");
    }
    hatch.finish().await;
}
