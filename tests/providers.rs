//! The adapters and webhooks on one side, the simulator on the other, and nothing of hatch between:
//! the two share no code, so each checks the other's reading of a provider.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use hatch_domain::address::Address;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::{Attachment, Channel, Email, Environment};
use hatch_eventstore::SystemEnvironment;
use hatch_providers::sendgrid::{self, SendGridAdapter, SendGridEvents, SendGridInbound};
use hatch_providers::twilio::TwilioAdapter;
use hatch_providers::{
    Adapter, LookUp, LookedUp, Observation, Outbound, Outcome, RawRequest, Receipt,
    ReportedOutcome, Webhook,
};
use hatch_simulator::{Account, Config, key_pair};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::{ACCOUNT, AUTH_TOKEN, SENDER};
use crate::time::eventually;

const PATIENCE: Duration = Duration::from_secs(120);

type Posted = Arc<Mutex<Vec<RawRequest>>>;

/// A simulator, and a server that keeps what it is posted.
struct Providers {
    simulator: String,
    public_url: String,
    posted: Posted,
    sendgrid: sendgrid::Settings,
    _stop: tokio_util::sync::DropGuard,
}

impl Providers {
    async fn start() -> Self {
        let posted = Posted::default();
        let (listener, public_url) = listen().await;
        let router = Router::new().fallback(keep).with_state(Arc::clone(&posted));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let keys = tempfile::tempdir().expect("a folder");
        let (private, public) = (keys.path().join("private.pem"), keys.path().join("public.pem"));
        let keys = key_pair(&private, &public).expect("a key pair");
        let account = json!({"api_key": "dev-sendgrid-api-key", "private_key": keys.private_pem});
        let config = Config {
            public_url: public_url.parse().expect("a URL"),
            accounts: vec![Account::new("sendgrid", "sendgrid", account)],
            ..Config::default()
        };
        let (listener, simulator) = listen().await;
        let shutdown = CancellationToken::new();
        tokio::spawn(hatch_simulator::run(config, listener, shutdown.clone()));
        let sendgrid = json!({
            "api_key": "dev-sendgrid-api-key", "event_public_keys": [keys.public_pem],
            "base_url": simulator, "http_timeout_ms": 1_000, "connect_timeout_ms": 900,
        });
        let sendgrid = serde_json::from_value(sendgrid).expect("settings");
        Self { simulator, public_url, posted, sendgrid, _stop: shutdown.drop_guard() }
    }

    async fn mail(&self, message: &Outbound) -> Outcome {
        SendGridAdapter::new(self.sendgrid.clone()).expect("settings").send(message).await
    }

    /// The receipts of a message, as soon as one that `last` picks is among them.
    async fn receipts(
        &self,
        message: &Outbound,
        last: impl Fn(&ReportedOutcome) -> bool,
    ) -> Vec<Receipt> {
        let webhook = SendGridEvents::new(&self.sendgrid).expect("settings");
        eventually("there is such a receipt", async || {
            let mut receipts = Vec::new();
            for request in self.posted.lock().expect("not held").iter() {
                let verified = webhook.verify(request).expect("signed");
                for observation in webhook.parse(&verified).expect("understood") {
                    match observation {
                        Observation::Receipt(receipt)
                            if receipt.correlation == Some(message.correlation()) =>
                        {
                            receipts.push(receipt);
                        }
                        _ => {}
                    }
                }
            }
            receipts.iter().any(|receipt| last(&receipt.outcome)).then_some(receipts)
        })
        .await
    }
}

async fn keep(State(posted): State<Posted>, request: Request) -> StatusCode {
    let (head, body) = request.into_parts();
    let path_and_query = head.uri.path_and_query().cloned().expect("a path");
    let body = to_bytes(body, 1 << 24).await.expect("a body");
    let request = RawRequest { method: head.method, path_and_query, headers: head.headers, body };
    posted.lock().expect("not held").push(request);
    StatusCode::NO_CONTENT
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

fn outbound(channel: Channel, from: Address, to: Address) -> Outbound {
    Outbound {
        tenant_id: TenantId::DEFAULT,
        message_id: MessageId(SystemEnvironment.new_id()),
        attempt: 1,
        channel,
        from,
        to: vec![to],
        body: Some("Grüße 🥚".to_owned()),
        attachments: Vec::new(),
        email: None,
        traceparent: None,
    }
}

fn mail_to(local: &str) -> Outbound {
    let address = |text: &str| Address::email(text).expect("an address");
    let to = address(&format!("{local}@example.com"));
    let attached = |url: Option<&str>, content: Option<&str>| Attachment {
        url: url.map(str::to_owned),
        content: content.map(str::to_owned),
        ..Attachment::default()
    };
    Outbound {
        attachments: vec![
            attached(Some("https://files.example/a.pdf"), None),
            attached(None, Some("QQ==")),
        ],
        email: Some(Box::new(Email {
            html: Some("<p>Hi</p>".to_owned()),
            cc: vec![to.clone(), address("cc@example.com")],
            mail_id: Some("1@hatch".to_owned()),
            ..Email::default()
        })),
        ..outbound(Channel::Email, address("user@usehatchapp.com"), to)
    }
}

fn sms_to(to: &str) -> Outbound {
    let phone = |text: &str| Address::phone(text).expect("a number");
    outbound(Channel::Sms, phone(SENDER), phone(to))
}

#[tokio::test]
async fn a_mail_is_accepted_and_its_events_come_back_to_it() {
    let providers = Providers::start().await;
    for local in ["customer", "disorder", "early"] {
        let message = mail_to(local);
        let Outcome::Accepted { provider_message_id, .. } = providers.mail(&message).await else {
            panic!("{local} is accepted");
        };
        let receipts =
            providers.receipts(&message, |outcome| *outcome == ReportedOutcome::Delivered).await;
        assert!(receipts.iter().all(|receipt| receipt.provider_message_id == provider_message_id));
    }
}

#[tokio::test]
async fn each_odd_recipient_of_a_mail_has_its_outcome() {
    let providers = Providers::start().await;
    for (local, throttled) in [("throttle", true), ("outage", false)] {
        let message = mail_to(local);
        for _ in 0..2 {
            match providers.mail(&message).await {
                Outcome::Throttled { code, retry_after, .. } if throttled => {
                    assert_eq!((code.as_str(), retry_after), ("429", Some(Duration::from_secs(1))));
                }
                Outcome::Unavailable { code, .. } if !throttled => assert_eq!(code, "500"),
                other => panic!("{local}: {other:?}"),
            }
        }
        assert!(matches!(providers.mail(&message).await, Outcome::Accepted { .. }), "{local}");
    }
    for local in ["invalid", "optout", "bounce"] {
        let message = mail_to(local);
        assert!(matches!(providers.mail(&message).await, Outcome::Accepted { .. }), "{local}");
        let ended = |outcome: &ReportedOutcome| match outcome {
            ReportedOutcome::Failed(error) => error.permanent && local != "bounce",
            ReportedOutcome::Bounced(error) => error.permanent && local == "bounce",
            _ => false,
        };
        providers.receipts(&message, ended).await;
    }
    let (mute, hole) = (mail_to("mute"), mail_to("hole"));
    for message in [&mute, &hole] {
        assert!(matches!(providers.mail(message).await, Outcome::Unknown { .. }));
    }
    providers.receipts(&mute, |outcome| *outcome == ReportedOutcome::Delivered).await;
}

#[tokio::test]
async fn a_mail_that_comes_in_is_understood() {
    let providers = Providers::start().await;
    let request = json!({
        "provider": "sendgrid", "from": "Jürgen <juergen@example.com>",
        "to": "user@usehatchapp.com", "subject": "Grüße", "body": "Hi 🥚",
        "in_reply_to": "1@hatch", "references": ["0@hatch", "1@hatch"],
        "attachments": ["https://files.example/a.pdf"], "provider_message_id": "2@mail",
    });
    let http = hatch::http_client(PATIENCE).expect("a client");
    let url = format!("{}/_sim/inbound", providers.simulator);
    let answer = http.post(url).json(&request).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let posted = providers.posted.lock().expect("not held").remove(0);
    assert_eq!(posted.path_and_query, sendgrid::INBOUND_PATH);
    let webhook = SendGridInbound::new(&providers.sendgrid).expect("settings");
    let verified = webhook.verify(&posted).expect("signed");
    let observations = webhook.parse(&verified).expect("understood");
    let [Observation::Inbound(inbound)] = observations.as_slice() else {
        panic!("one mail: {observations:?}");
    };
    assert_eq!(inbound.provider_message_id, "2@mail");
    assert_eq!(inbound.from.as_str(), "juergen@example.com");
    assert_eq!(inbound.to[0].as_str(), "user@usehatchapp.com");
    assert_eq!(inbound.body.as_deref(), Some("Hi 🥚"));
    assert_eq!(inbound.attachments[0].filename.as_deref(), Some("a.pdf"));
    let email = inbound.email.as_deref().expect("a mail");
    assert_eq!(email.subject.as_deref(), Some("Grüße"));
    assert_eq!(email.mail_id.as_deref(), Some("2@mail"));
    assert_eq!(email.in_reply_to.as_deref(), Some("1@hatch"));
    assert_eq!(email.references, ["0@hatch", "1@hatch"]);
}

#[tokio::test]
async fn the_look_up_finds_what_was_taken_without_an_answer_and_nothing_else() {
    let providers = Providers::start().await;
    let settings = json!({
        "account_sid": ACCOUNT, "auth_token": AUTH_TOKEN, "base_url": providers.simulator,
        "public_url": providers.public_url, "http_timeout_ms": 1_000, "connect_timeout_ms": 900,
    });
    let settings = serde_json::from_value(settings).expect("settings");
    let adapter = TwilioAdapter::new(settings).expect("settings");
    let file = Attachment { url: Some("https://f.example/a".to_owned()), ..Attachment::default() };
    let mms = Outbound { channel: Channel::Mms, attachments: vec![file], ..sms_to("+18045560504") };
    for (message, taken) in
        [(sms_to("+18045550504"), true), (mms, true), (sms_to("+18045550503"), false)]
    {
        let attempted_at = SystemEnvironment.now();
        assert!(matches!(adapter.send(&message).await, Outcome::Unknown { .. }));
        let mut other = message.clone();
        other.body = Some("Something else".to_owned());
        let asked_at = SystemEnvironment.now();
        match adapter.look_up(&LookUp { message, attempted_at, asked_at }).await {
            LookedUp::Found { candidates } if taken => {
                assert_eq!(candidates.len(), 1);
                assert!(candidates[0].certain);
            }
            LookedUp::NotFound if !taken => {}
            wrong => panic!("{wrong:?}"),
        }
        let looked_up = adapter.look_up(&LookUp { message: other, attempted_at, asked_at }).await;
        assert_eq!(looked_up, LookedUp::NotFound);
    }
}
