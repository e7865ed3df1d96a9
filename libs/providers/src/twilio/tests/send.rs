//! Every outcome of a send, over real connections.

use std::sync::Arc;
use std::time::Duration;

use hatch_domain::address::Address;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::{Attachment, Channel, ErrorClass, SendError};
use serde_json::json;
use url::form_urlencoded;
use uuid::Uuid;

use super::super::{Settings, TwilioAdapter};
use super::{ACCOUNT, SID, settings};
use crate::stub::{Reply, Stub, Then, breaking, greeting};
use crate::{Adapter, Outbound, Outcome, Trouble};

const MESSAGE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

pub(super) fn outbound() -> Outbound {
    Outbound {
        tenant_id: TenantId::DEFAULT,
        message_id: MessageId(Uuid::parse_str(MESSAGE).expect("a UUID")),
        attempt: 3,
        channel: Channel::Sms,
        from: Address::phone("+12016661234").expect("possible"),
        to: vec![Address::phone("+18045551234").expect("possible")],
        body: Some("Grüße & 1+1=2 🥚".to_owned()),
        attachments: Vec::new(),
        email: None,
        traceparent: None,
    }
}

pub(super) fn adapter(base_url: &str) -> Arc<dyn Adapter> {
    let settings = settings(base_url, "http://127.0.0.1:8080/");
    Arc::new(TwilioAdapter::new(settings).expect("good settings"))
}

pub(super) fn reply(status: u16, body: impl Into<String>) -> Reply {
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
    json!({"sid": SID, "num_segments": "2", "status": "queued", "new_field": {}}).to_string()
}

pub(super) fn twilio_error(code: u32) -> String {
    json!({"code": code, "message": "Twilio's words", "status": 400}).to_string()
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

#[tokio::test]
async fn the_request_is_exactly_twilios() {
    let stub = Stub::start(reply(201, created())).await;
    let mut message = outbound();
    let url = |n: u8| format!("https://files.example/{n}.jpg");
    let file = |n| Attachment { url: Some(url(n)), ..Attachment::default() };
    message.attachments = vec![file(1), file(2)];
    message.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    adapter(&stub.url).send(&message).await;

    let seen = stub.seen().remove(0);
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.uri.path(), format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"));
    assert_eq!(seen.uri.query(), None);
    assert_eq!(seen.headers["content-type"], "application/x-www-form-urlencoded");
    // base64 of AC and 32 zeros, a colon and 12345
    let basic = "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDoxMjM0NQ==";
    assert_eq!(seen.headers["authorization"], basic);
    assert_eq!(seen.headers["traceparent"], message.traceparent.expect("set above"));
    let form: Vec<(String, String)> = form_urlencoded::parse(&seen.body).into_owned().collect();
    let callback = format!(
        "http://127.0.0.1:8080/api/v1/webhooks/twilio?message_id={MESSAGE}&attempt=3\
         &tenant_id=00000000-0000-0000-0000-000000000001#rc=5&rp=all"
    );
    let expected = [
        ("To", "+18045551234"),
        ("From", "+12016661234"),
        ("Body", "Grüße & 1+1=2 🥚"),
        ("MediaUrl", &url(1)),
        ("MediaUrl", &url(2)),
        ("StatusCallback", &callback),
    ];
    assert_eq!(form, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_messaging_service_is_named_as_one_and_every_other_sender_as_from() {
    let service = "MG0123456789abcdef0123456789abcdef";
    for (from, field) in [(service, "MessagingServiceSid"), ("73822", "From"), ("My Shop", "From")]
    {
        let stub = Stub::start(reply(201, created())).await;
        let message = Outbound { from: Address::sender(from).expect("a sender"), ..outbound() };
        adapter(&stub.url).send(&message).await;
        let body = stub.seen().remove(0).body;
        let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        let named = form.iter().filter(|(key, _)| key == "From" || key == "MessagingServiceSid");
        let named: Vec<_> = named.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(named, [(field, from)]);
    }
}

#[tokio::test]
async fn a_201_with_a_sid_is_accepted() {
    let accepted = |segments| Outcome::Accepted { provider_message_id: SID.to_owned(), segments };
    assert_eq!(outcome(reply(201, created())).await, accepted(Some(2)));
    let not_cut_yet = json!({"sid": SID, "num_segments": "0"}).to_string();
    assert_eq!(outcome(reply(201, not_cut_yet)).await, accepted(None));
}

#[tokio::test]
async fn a_201_without_a_readable_sid_is_unknown() {
    for body in ["", "<html>", "{}", r#"{"sid": null}"#, r#"{"sid": "SM1"}"#, r#"{"sid": 7}"#] {
        assert!(is_unknown(&outcome(reply(201, body)).await), "{body}");
    }
    let endless = format!(r#"{{"sid": "{SID}", "body": "{}"}}"#, "x".repeat(100_000));
    assert!(is_unknown(&outcome(reply(201, endless)).await), "too long to be Twilio's");
}

#[tokio::test]
async fn a_4xx_of_twilios_is_refused_and_only_the_retryable_codes_are_not_permanent() {
    use ErrorClass::{Account, Content, InvalidRecipient, OptedOut, Other, Rate};
    let codes = [
        (400, 21606, Account, true),
        (400, 21408, Account, true),
        (403, 21610, OptedOut, true),
        (403, 99999, Other, true),
        (400, 21211, InvalidRecipient, true),
        (400, 21610, OptedOut, true),
        (400, 21617, Content, true),
        (400, 99999, Other, true),
        (400, 21611, Rate, false),
        (400, 14107, Rate, false),
    ];
    for (status, code, class, permanent) in codes {
        let detail = "Twilio's words".to_owned();
        let error = SendError { code: code.to_string(), class, detail, permanent };
        let outcome = outcome(reply(status, twilio_error(code))).await;
        assert_eq!(outcome, Outcome::Refused { error }, "{code}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_account_is_no_refusal_of_the_message() {
    for (status, code, trouble) in [
        (401, 20003, Trouble::Credentials),
        (403, 20003, Trouble::Credentials),
        (401, 99999, Trouble::Credentials),
        (403, 20005, Trouble::Suspended),
        (400, 10001, Trouble::Suspended),
        (403, 20008, Trouble::Permission),
        (403, 20403, Trouble::Permission),
        (403, 20999, Trouble::Permission),
        (404, 20404, Trouble::NotFound),
    ] {
        let (code, detail) = (code.to_string(), "Twilio's words".to_owned());
        let outcome = outcome(reply(status, twilio_error(code.parse().expect("a code")))).await;
        assert_eq!(outcome, Outcome::Account { trouble, code, detail }, "{status}");
    }
}

#[tokio::test]
async fn a_429_is_throttled_whoever_says_it() {
    let mut with_header = reply(429, twilio_error(20429));
    with_header.headers.push(("retry-after", "7".to_owned()));
    let expected = Outcome::Throttled {
        code: "20429".to_owned(),
        retry_after: Some(Duration::from_secs(7)),
        detail: "Twilio's words".to_owned(),
    };
    assert_eq!(outcome(with_header).await, expected);
    let (code, detail) = ("429".to_owned(), "HTTP 429".to_owned());
    let bare = Outcome::Throttled { code, retry_after: None, detail };
    assert_eq!(outcome(reply(429, "slow down")).await, bare);
}

#[tokio::test]
async fn a_5xx_is_unavailable_only_with_twilios_own_body() {
    for (status, code) in [(500, 20500), (503, 20503)] {
        let outcome = outcome(reply(status, twilio_error(code))).await;
        let (code, detail) = (code.to_string(), "Twilio's words".to_owned());
        assert_eq!(outcome, Outcome::Unavailable { code, detail });
    }
    for body in ["", "upstream error", r#"{"code": 503}"#, r#"{"code": "20503"}"#] {
        assert!(is_unknown(&outcome(reply(503, body)).await), "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_twilios_is_unknown() {
    for status in [502, 504] {
        assert!(is_unknown(&outcome(reply(status, twilio_error(20503))).await), "{status}");
    }
    for status in [400, 401, 404] {
        assert!(is_unknown(&outcome(reply(status, "<html>not here</html>")).await), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Stub::start(reply(201, created())).await;
    for status in [301, 302, 307, 308] {
        let mut redirect = reply(status, "");
        redirect.headers.push(("location", target.url.clone()));
        assert!(is_unknown(&outcome(redirect).await), "{status}");
    }
    assert!(target.seen().is_empty());
}

#[tokio::test]
async fn a_break_after_the_request_was_written_is_unknown_and_the_request_is_not_repeated() {
    let half = "HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"sid\":";
    let breaks = [Then::Reset, Then::Hang, Then::Write(""), Then::Write(half)];
    for then in breaks {
        let (url, requests) = breaking(then).await;
        let patient = settings(&url, "http://127.0.0.1:8080");
        let impatient = Settings { http_timeout_ms: 300, connect_timeout_ms: 299, ..patient };
        let adapter = TwilioAdapter::new(impatient).expect("good settings");
        let outcome = adapter.send(&outbound()).await;
        assert!(is_unknown(&outcome), "{outcome:?}");
        assert_eq!(*requests.lock().expect("no panic while held"), 1);
    }
}

#[tokio::test]
async fn a_reset_on_a_connection_used_before_is_not_repeated_either() {
    let first = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
    let (url, requests) = breaking(Then::WriteOnceThenReset(first)).await;
    let adapter = adapter(&url);
    let outcome = adapter.send(&outbound()).await;
    assert!(matches!(outcome, Outcome::Throttled { .. }), "{outcome:?}");
    let outcome = adapter.send(&outbound()).await;
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_eq!(*requests.lock().expect("no panic while held"), 2);
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

#[tokio::test]
async fn several_recipients_are_refused_without_a_call() {
    let stub = Stub::start(reply(201, created())).await;
    let mut message = outbound();
    message.to.push(message.to[0].clone());
    let outcome = adapter(&stub.url).send(&message).await;
    assert!(matches!(outcome, Outcome::Refused { error } if error.permanent));
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn files_that_twilio_cannot_fetch_are_refused_without_a_call() {
    let stub = Stub::start(reply(201, created())).await;
    let linked =
        Attachment { url: Some("https://files.example/a".into()), ..Attachment::default() };
    let carried = Attachment { content: Some("QQ==".into()), ..Attachment::default() };
    for attachments in [vec![linked.clone(), carried], vec![linked.clone(); 11]] {
        let message = Outbound { attachments, ..outbound() };
        let outcome = adapter(&stub.url).send(&message).await;
        assert!(matches!(outcome, Outcome::Refused { error } if error.permanent));
    }
    assert!(stub.seen().is_empty());
    let message = Outbound { attachments: vec![linked; 10], body: None, ..outbound() };
    let outcome = adapter(&stub.url).send(&message).await;
    assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
}
