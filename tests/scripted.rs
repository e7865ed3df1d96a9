//! A webhook role of the test's own: it verifies as Twilio does, and understands every signed request as what the test
//! wrote.

use crate::harness::{AUTH_TOKEN, Hatch};
use crate::webhooks::Post;
use axum::body::Bytes;
use axum::http::HeaderMap;
use hatch_api::admission::{Intake, Rules};
use hatch_api::webhooks::{Readers, Webhooks};
use hatch_api::{Bodies, Connections, Door, Drain, Ending, Entrance, Sites, TrustedProxies};
use hatch_directory::Directory;
use hatch_domain::address::Address;
use hatch_domain::ids::TenantId;
use hatch_domain::traffic::Traffic;
use hatch_domain::{Channel, Email, Environment as _};
use hatch_eventstore::{Appender, AppenderConfig, Log, Store, SystemEnvironment};
use hatch_providers::twilio::TwilioWebhook;
use hatch_providers::{
    Account, Accounts, Adapter, BoxFuture, Correlation, Hook, Inbound, NotUnderstood, Observation,
    Outbound, Outcome, RawRequest, Receipt, ReportedOutcome, Tenants, Verified, Webhook,
    WebhookRefusal,
};
use hatch_readmodel::ReadModel;
use hatch_telemetry::limit::Limits;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Verifies as Twilio does; what a request says, the test has said before.
struct Scripted {
    twilio: TwilioWebhook,
    says: Arc<Mutex<Vec<Observation>>>,
}

impl Webhook for Scripted {
    fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
        self.twilio.verify(request)
    }

    fn may_be_signed(&self, headers: &HeaderMap) -> bool {
        self.twilio.may_be_signed(headers)
    }

    fn parse(&self, _: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
        Ok(self.says.lock().expect("no panic").clone())
    }

    fn success(&self) -> axum::http::Response<Bytes> {
        self.twilio.success()
    }
}

/// The account that it posts by, which sends nothing, with further `hooks`.
fn scripted(webhook: Scripted, hooks: Vec<Hook>) -> Account {
    let own = Hook { suffix: Some("inbound"), webhook: Arc::new(webhook) };
    Account {
        name: "scripted".parse().expect("a name"),
        provider: "scripted",
        account: "scripted".to_owned(),
        channels: Channel::ALL.into(),
        senders: Vec::new(),
        tenants: Tenants::All,
        traffic: Traffic::All,
        limits: hatch_providers::Limits::default(),
        on_doubt: None,
        adapter: Arc::new(Nobody),
        hooks: std::iter::once(own).chain(hooks).collect(),
        acts_on_words: false,
        http_timeout: Duration::from_secs(1),
        default_subject: None,
        is_at_provider: false,
        reached_by: "http://127.0.0.1".parse().expect("a URL"),
        of_log: false,
    }
}

struct Nobody;

impl Adapter for Nobody {
    fn send<'a>(&'a self, _: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Unknown { detail: "nothing is sent here".to_owned() } })
    }
}

/// A webhook role beside those of `hatch`.
pub(crate) struct Role {
    pub(crate) address: String,
    pub(crate) says: Arc<Mutex<Vec<Observation>>>,
    shutdown: CancellationToken,
}

impl Role {
    pub(crate) async fn start(hatch: &Hatch) -> Self {
        Self::start_with(hatch, Vec::new()).await
    }

    /// As [`start`](Self::start), with further hooks of the same account.
    pub(crate) async fn start_with(hatch: &Hatch, hooks: Vec<Hook>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let mut settings = hatch.settings.accounts["twilio"].of_provider.clone();
        settings.insert("public_url".to_owned(), address.as_str().into());
        let settings = serde_json::from_value(Value::Object(settings)).expect("settings");
        let twilio = TwilioWebhook::new(settings).expect("settings");
        let (says, shutdown) = (Arc::default(), CancellationToken::new());
        let own = Scripted { twilio, says: Arc::clone(&says) };
        let config = hatch.database.config();
        let pool = hatch_eventstore::pool(&config, 4, std::time::Duration::from_secs(5));
        let (appender, _) = Appender::start(AppenderConfig::default(), config, shutdown.clone());
        let log = Log::new(pool.clone());
        let router = hatch_api::webhooks::router(Webhooks {
            store: Store::new(appender, log, Arc::new(SystemEnvironment)),
            read_model: ReadModel::new(pool),
            accounts: Accounts::new(vec![scripted(own, hooks)]),
            generic: None,
            tenants: Arc::new(|| Some(vec![TenantId::DEFAULT])),
            stats: Arc::default(),
            recent: Arc::default(),
            intake: Intake::new(Rules { wait: Duration::from_millis(400), burst: 2_000 }),
            readers: Readers::new(Arc::default()),
            keeping: Arc::default(),
            words: Arc::default(),
            own: Arc::default(),
        });
        let ending = Ending { notice: Duration::ZERO, grace: Duration::from_secs(1) };
        let drain = Drain::new(ending, shutdown.clone());
        let connections =
            Connections::new(&Limits::default(), 100, 1_000, TrustedProxies::default());
        let entrance = Entrance {
            new_id: || SystemEnvironment.new_id(),
            stats: Arc::default(),
            trusted_proxies: TrustedProxies::default(),
            sites: Sites::new(&address, None, &[]),
            bodies: Bodies::new(&Limits::default()),
            door: Door::open(Directory::of_nobody(), Arc::new(SystemEnvironment)),
            limits: hatch_api::limits::Limits::default(),
            trail: hatch_api::Trail::default(),
        };
        let app = hatch_api::app(router, entrance, &drain);
        tokio::spawn(hatch_api::serve(listener, connections, app, drain));
        Self { address, says, shutdown }
    }

    /// Posts a webhook that says `observations`.
    pub(crate) async fn post(&self, hatch: &Hatch, observations: Vec<Observation>) {
        self.post_bytes(hatch, 5, observations).await;
    }

    /// As [`post`](Self::post), with so many bytes of something in its body.
    pub(crate) async fn post_bytes(
        &self,
        hatch: &Hatch,
        bytes: usize,
        observations: Vec<Observation>,
    ) {
        *self.says.lock().expect("no panic") = observations;
        let post = Post {
            path_and_query: "/api/v1/webhooks/scripted/inbound".to_owned(),
            form: vec![("any", "x".repeat(bytes))],
            token: AUTH_TOKEN,
        };
        let status = post.send_to(hatch, &self.address).await;
        assert!(status.is_success(), "{status}");
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn receipt(id: &str, n: u128, outcome: ReportedOutcome) -> Observation {
    Observation::Receipt(Receipt {
        correlation: Some(Correlation {
            tenant_id: TenantId::DEFAULT,
            message_id: id.parse().expect("an id"),
            attempt: 1,
        }),
        account: "one".to_owned(),
        provider_message_id: format!("name-{id}"),
        receipt_id: Uuid::from_u128(n),
        recipient: None,
        outcome,
        suppression: None,
    })
}

pub(crate) fn address(text: &str) -> Address {
    Address::email(text).expect("an address")
}

pub(crate) fn mail(name: &str, from: &str, email: Email) -> Observation {
    Observation::Inbound(Inbound {
        account: "one".to_owned(),
        provider_message_id: name.to_owned(),
        channel: Channel::Email,
        from: address(from),
        to: vec![address("user@usehatchapp.com")],
        body: Some("Hi".to_owned()),
        attachments: Vec::new(),
        email: Some(Box::new(Email { mail_id: Some(name.to_owned()), ..email })),
        delivered_to: Vec::new(),
        segments: None,
    })
}

/// The webhook log, newest first.
pub(crate) async fn logged(hatch: &Hatch) -> Vec<Value> {
    let log = hatch.get("/api/v1/webhook-log").await;
    log.body["data"].as_array().cloned().unwrap_or_default()
}

/// The inbound message that the provider calls `name`, once it is shown.
pub(crate) async fn shown(hatch: &Hatch, name: &str) -> Value {
    hatch
        .eventually("the mail is shown", async |hatch| {
            let list = hatch.get("/api/v1/messages?direction=inbound").await;
            let data = list.body["data"].as_array()?;
            let found = data.iter().find(|message| message["provider_message_id"] == *name)?;
            // A list has the beginning of its text.
            let id = found["id"].as_str().expect("an id");
            Some(hatch.get(&format!("/api/v1/messages/{id}")).await.body)
        })
        .await
}
