//! Every outcome of a send, over real connections.

use std::sync::Arc;
use std::time::Duration;

use hatch_domain::address::Address;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::{Attachment, Channel, ErrorClass, SendError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{Settings, VonageAdapter};
use super::{API_SECRET, SIGNED_AT, UUID, at, settings, token};
use crate::stub::{Reply, Stub, Then, breaking, greeting};
use crate::{Adapter, Outbound, Outcome, Secret, Trouble};

const MESSAGE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const WORDS: &str = "Invalid; Vonage's words";

fn outbound() -> Outbound {
    Outbound {
        tenant_id: TenantId::DEFAULT,
        message_id: MessageId(Uuid::parse_str(MESSAGE).expect("a UUID")),
        attempt: 3,
        channel: Channel::Sms,
        from: Address::phone("+12016661234").expect("possible"),
        to: vec![Address::phone("+18045551234").expect("possible")],
        body: Some("Grüße 🥚".to_owned()),
        attachments: Vec::new(),
        email: None,
        traceparent: None,
    }
}

fn adapter_of(settings: Settings) -> Arc<dyn Adapter> {
    Arc::new(VonageAdapter::new(settings, at(SIGNED_AT)).expect("good settings"))
}

fn adapter(base_url: &str) -> Arc<dyn Adapter> {
    adapter_of(settings(base_url, "http://127.0.0.1:8080/"))
}

fn reply(status: u16, body: impl Into<String>) -> Reply {
    Reply { status, headers: Vec::new(), body: body.into() }
}

/// One send to a server that answers so.
async fn outcome(reply: Reply) -> Outcome {
    let stub = Stub::start(reply).await;
    let outcome = adapter(&stub.url).send(&outbound()).await;
    assert_eq!(stub.seen().len(), 1, "exactly one request");
    outcome
}

fn created() -> String {
    json!({"message_uuid": UUID, "new_field": {}}).to_string()
}

fn problem(code: &str) -> String {
    let of = format!("https://developer.vonage.com/api-errors/messages#{code}");
    json!({"type": of, "title": "Invalid", "detail": "Vonage's words", "instance": "1"}).to_string()
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

fn linked(name: &str, content_type: Option<&str>) -> Attachment {
    Attachment {
        url: Some(format!("https://files.example/{name}")),
        content_type: content_type.map(str::to_owned),
        ..Attachment::default()
    }
}

/// What one send of `message` has in its body.
async fn sent(message: &Outbound) -> Value {
    let stub = Stub::start(reply(202, created())).await;
    let outcome = adapter(&stub.url).send(message).await;
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    serde_json::from_slice(&stub.seen()[0].body).expect("JSON")
}

/// Why `message` is refused without a call.
async fn refused(message: &Outbound) -> SendError {
    let stub = Stub::start(reply(202, created())).await;
    let outcome = adapter(&stub.url).send(message).await;
    assert!(stub.seen().is_empty());
    match outcome {
        Outcome::Refused { error } if error.permanent => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_request_is_exactly_vonages() {
    let stub = Stub::start(reply(202, created())).await;
    let mut message = outbound();
    message.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    adapter(&stub.url).send(&message).await;

    let seen = stub.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.uri.path()), ("POST", "/v1/messages"));
    assert_eq!(seen.uri.query(), None);
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["traceparent"], message.traceparent.expect("set above"));
    // The token that another library makes of the same claims and key.
    assert_eq!(seen.headers["authorization"], format!("Bearer {}", token("app")));
    let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
    let expected = json!({
        "channel": "sms", "message_type": "text", "to": "18045551234", "from": "12016661234",
        "text": "Grüße 🥚",
        "client_ref": "hatch.00000000000000000000000000000001.01890a5dac96774bbcceb302099a8057.3",
        "webhook_url": "http://127.0.0.1:8080/api/v1/webhooks/vonage", "webhook_version": "v1",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn without_a_private_key_the_secret_authenticates() {
    let stub = Stub::start(reply(202, created())).await;
    let with_key = settings(&stub.url, "http://127.0.0.1:8080");
    let api_secret = Some(Secret::new(API_SECRET));
    adapter_of(Settings { private_key: None, api_secret, ..with_key }).send(&outbound()).await;
    // base64 of dev-vonage:dev-vonage-api-secret
    let basic = "Basic ZGV2LXZvbmFnZTpkZXYtdm9uYWdlLWFwaS1zZWNyZXQ=";
    assert_eq!(stub.seen()[0].headers["authorization"], basic);
}

#[tokio::test]
async fn a_sender_may_be_a_name() {
    let message = Outbound { from: Address::name("Acme").expect("a name"), ..outbound() };
    assert_eq!(sent(&message).await["from"], "Acme");
}

#[tokio::test]
async fn a_file_goes_under_the_name_of_its_kind_with_the_text_as_its_caption() {
    for (name, content_type, kind) in [
        ("a", Some("image/png"), "image"),
        ("a.JPG", None, "image"),
        ("a.jpg?size=1", Some("application/octet-stream"), "image"),
        ("a", Some("text/vcard; charset=utf-8"), "vcard"),
        ("a.vcf", None, "vcard"),
        ("a", Some("Audio/MPEG"), "audio"),
        ("a", Some("video/mp4"), "video"),
    ] {
        let file = linked(name, content_type);
        let url = file.url.clone();
        let channel = Channel::Mms;
        let message = Outbound { channel, attachments: vec![file], ..outbound() };
        let body = sent(&message).await;
        assert_eq!((&body["channel"], &body["message_type"]), (&json!("mms"), &json!(kind)));
        assert_eq!(body[kind], json!({"url": url, "caption": "Grüße 🥚"}), "{name}");
        assert_eq!(body.get("text"), None);
        let bare = sent(&Outbound { body: None, ..message }).await;
        assert_eq!(bare[kind], json!({"url": url}), "{name}");
    }
}

#[tokio::test]
async fn what_vonage_cannot_carry_is_refused_without_a_call() {
    let picture = || linked("a.jpg", None);
    let carried = Attachment { content: Some("QQ==".into()), ..Attachment::default() };
    let text = |count: usize| Some("ü".repeat(count));
    let with = |attachments: Vec<Attachment>, body| Outbound { attachments, body, ..outbound() };
    let to = outbound().to;
    for (message, code) in [
        (Outbound { to: [to.clone(), to].concat(), ..outbound() }, "recipients"),
        (with(vec![picture(), picture()], None), "attachments"),
        (with(vec![carried], None), "attachments"),
        (with(vec![linked("a.pdf", Some("application/pdf"))], None), "attachments"),
        (with(vec![linked("a", None)], None), "attachments"),
        (with(Vec::new(), text(1_001)), "body"),
        (with(vec![picture()], text(2_001)), "body"),
        (with(Vec::new(), None), "body"),
        (with(Vec::new(), Some(String::new())), "body"),
    ] {
        let error = refused(&message).await;
        assert_eq!((error.code.as_str(), error.class), (code, ErrorClass::Content));
    }
    assert_eq!(sent(&with(Vec::new(), text(1_000))).await["channel"], "sms");
    let caption = sent(&with(vec![picture()], text(2_000))).await;
    assert_eq!(caption["image"]["caption"], "ü".repeat(2_000));
}

#[tokio::test]
async fn a_202_with_an_id_is_accepted_and_without_is_unknown() {
    let accepted = Outcome::Accepted { provider_message_id: UUID.to_owned(), segments: None };
    assert_eq!(outcome(reply(202, created())).await, accepted);
    let bodies = ["", "<html>", "{}", r#"{"message_uuid": null}"#, r#"{"message_uuid": "1"}"#];
    for body in bodies {
        assert!(is_unknown(&outcome(reply(202, body)).await), "{body}");
    }
    let endless = format!(r#"{{"message_uuid": "{UUID}", "a": "{}"}}"#, "x".repeat(100_000));
    assert!(is_unknown(&outcome(reply(202, endless)).await), "too long to be Vonage's");
}

#[tokio::test]
async fn a_422_is_refused_by_its_code() {
    use ErrorClass::{Account, Content, InvalidRecipient, OptedOut, Other, Rate, Unreachable};
    for (code, class, permanent) in [
        ("1150", Content, true),
        ("1120", Account, true),
        ("1170", InvalidRecipient, true),
        ("1240", OptedOut, true),
        ("1000", Rate, false),
        ("1241", Rate, false),
        ("1180", Unreachable, false),
        ("9999", Other, true),
        ("invalid-json", Other, true),
    ] {
        let (code, detail) = (code.to_owned(), WORDS.to_owned());
        let outcome = outcome(reply(422, problem(&code))).await;
        assert_eq!(
            outcome,
            Outcome::Refused { error: SendError { code, class, detail, permanent } }
        );
    }
    let mut wrong: Value = serde_json::from_str(&problem("1150")).expect("JSON");
    wrong["invalid_parameters"] = json!([{"name": "to", "reason": "no number"}, 17]);
    match outcome(reply(422, wrong.to_string())).await {
        Outcome::Refused { error } => assert_eq!(error.detail, format!("{WORDS}; to: no number")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_account_is_no_refusal_of_the_message() {
    for (status, code, trouble) in [
        (401, "unauthorized", Trouble::Credentials),
        (402, "low-balance", Trouble::Credit),
        (403, "forbidden", Trouble::Permission),
        (404, "not-found", Trouble::NotFound),
        (422, "1060", Trouble::Suspended),
        (422, "1070", Trouble::Credit),
        (403, "1080", Trouble::Permission),
        (422, "1110", Trouble::Credentials),
    ] {
        let outcome = outcome(reply(status, problem(code))).await;
        let (code, detail) = (code.to_owned(), WORDS.to_owned());
        assert_eq!(outcome, Outcome::Account { trouble, code, detail }, "{status}");
    }
}

#[tokio::test]
async fn a_known_code_of_the_message_is_no_word_on_the_account_whatever_the_status() {
    for status in [401, 402, 403, 404] {
        match outcome(reply(status, problem("1160"))).await {
            Outcome::Refused { error } => assert_eq!(error.class, ErrorClass::Account),
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_message_that_was_sent_already_is_in_doubt_until_its_receipt_comes() {
    assert!(is_unknown(&outcome(reply(422, problem("1320"))).await));
}

#[tokio::test]
async fn a_429_is_throttled_whoever_says_it() {
    let mut with_header = reply(429, problem("1000"));
    with_header.headers.push(("retry-after", "7".to_owned()));
    let retry_after = Some(Duration::from_secs(7));
    let (code, detail) = ("1000".to_owned(), WORDS.to_owned());
    let expected = Outcome::Throttled { code, retry_after, detail };
    assert_eq!(outcome(with_header).await, expected);
    let (code, detail) = ("429".to_owned(), "HTTP 429".to_owned());
    let bare = Outcome::Throttled { code, retry_after: None, detail };
    assert_eq!(outcome(reply(429, "slow down")).await, bare);
}

#[tokio::test]
async fn a_5xx_is_unavailable_only_with_vonages_own_body() {
    for (status, code) in [(500, "1030"), (503, "unavailable")] {
        let outcome = outcome(reply(status, problem(code))).await;
        let (code, detail) = (code.to_owned(), WORDS.to_owned());
        assert_eq!(outcome, Outcome::Unavailable { code, detail });
    }
    let foreign = json!({"type": "https://gateway.example/errors#1030", "title": "a"}).to_string();
    let nothing = json!({"type": "about:blank", "title": "a"}).to_string();
    let no_code = json!({"type": "https://developer.vonage.com/api-errors"}).to_string();
    for body in ["", "upstream error", &foreign, &nothing, &no_code] {
        assert!(is_unknown(&outcome(reply(503, body)).await), "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_vonages_is_unknown() {
    for status in [502, 504] {
        assert!(is_unknown(&outcome(reply(status, problem("1030"))).await), "{status}");
    }
    for status in [400, 401, 403, 404, 422] {
        assert!(is_unknown(&outcome(reply(status, "<html>not here</html>")).await), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Stub::start(reply(202, created())).await;
    for status in [301, 302, 307, 308] {
        let mut redirect = reply(status, "");
        redirect.headers.push(("location", target.url.clone()));
        assert!(is_unknown(&outcome(redirect).await), "{status}");
    }
    assert!(target.seen().is_empty());
}

#[tokio::test]
async fn a_break_after_the_request_was_written_is_unknown_and_the_request_is_not_repeated() {
    let half = "HTTP/1.1 202 Accepted\r\ncontent-length: 500\r\n\r\n{\"message_uuid\":";
    for then in [Then::Reset, Then::Hang, Then::Write(""), Then::Write(half)] {
        let (url, requests) = breaking(then).await;
        let patient = settings(&url, "http://127.0.0.1:8080");
        let impatient = Settings { http_timeout_ms: 300, connect_timeout_ms: 299, ..patient };
        let outcome = adapter_of(impatient).send(&outbound()).await;
        assert!(is_unknown(&outcome), "{outcome:?}");
        assert_eq!(*requests.lock().expect("no panic while held"), 1);
    }
}

#[tokio::test]
async fn without_a_connection_it_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let refused = format!("http://{}", free.local_addr().expect("bound"));
    drop(free);
    let no_tls = greeting("this is no TLS").await.replace("http://", "https://");
    for url in [refused, no_tls, "http://nowhere.invalid".to_owned()] {
        match adapter(&url).send(&outbound()).await {
            Outcome::Unavailable { code, .. } => {
                assert!(matches!(code.as_str(), "connect" | "dns"), "{url}: {code}");
            }
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[test]
fn nothing_can_be_looked_up() {
    assert!(!adapter("https://api.nexmo.com").can_look_up());
}
