//! Every outcome of a send, over real connections.

use std::time::Duration;

use hatch_domain::address::Address;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::mailbox::{Person, PersonRole};
use hatch_domain::{Attachment, Channel, Email, ErrorClass, SendError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{SendGridAdapter, Settings};
use super::{API_KEY, settings};
use crate::stub::{Reply, Stub, Then, breaking};
use crate::{Adapter, LookUp, LookedUp, Outbound, Outcome, Trouble};

const MESSAGE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const X_MESSAGE_ID: &str = "LRzXl_NHStOGhQ4kofSm_A";

fn address(text: &str) -> Address {
    Address::email(text).expect("an address")
}

fn person(role: PersonRole, text: &str, name: &str) -> Person {
    Person { role, address: address(text), name: name.to_owned() }
}

fn outbound() -> Outbound {
    Outbound {
        tenant_id: TenantId::DEFAULT,
        message_id: MessageId(Uuid::parse_str(MESSAGE).expect("a UUID")),
        attempt: 3,
        channel: Channel::Email,
        from: address("user@usehatchapp.com"),
        to: vec![address("customer@example.com")],
        body: Some("Grüße 🥚".to_owned()),
        attachments: Vec::new(),
        email: None,
        traceparent: None,
    }
}

fn with_email(email: Email) -> Outbound {
    Outbound { email: Some(Box::new(email)), ..outbound() }
}

fn adapter(base_url: &str) -> SendGridAdapter {
    SendGridAdapter::new(settings(base_url)).expect("good settings")
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: Vec::new(), body: body.to_owned() }
}

fn accepted() -> Reply {
    Reply { headers: vec![("x-message-id", X_MESSAGE_ID.to_owned())], ..reply(202, "") }
}

const ERROR: &str = r#"{"errors":[{"message":"Does not contain a valid address.",
    "field":"from.email","help":null},{"message":"too bad","field":null}]}"#;
const SAID: &str = "from.email: Does not contain a valid address.; too bad";

async fn outcome(reply: Reply) -> Outcome {
    let stub = Stub::start(reply).await;
    let outcome = adapter(&stub.url).send(&outbound()).await;
    assert_eq!(stub.seen().len(), 1, "exactly one request");
    outcome
}

/// The JSON that is posted for a message.
async fn posted(message: &Outbound) -> Value {
    let stub = Stub::start(accepted()).await;
    adapter(&stub.url).send(message).await;
    serde_json::from_slice(&stub.seen().remove(0).body).expect("JSON")
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

#[tokio::test]
async fn a_domain_is_sent_as_dns_has_it() {
    let mut message = with_email(Email {
        cc: vec![address("Cc@straße.example")],
        people: vec![person(PersonRole::To, "Kontakt@bücher.example", "Bücher")],
        ..Email::default()
    });
    message.to = vec![address("Kontakt@bücher.example"), address("kontakt@xn--bcher-kva.example")];
    let sent = posted(&message).await;
    let to = json!([{"email": "Kontakt@xn--bcher-kva.example", "name": "Bücher"}]);
    assert_eq!(sent["personalizations"][0]["to"], to, "nobody gets it twice");
    let cc = json!([{"email": "Cc@xn--strae-oqa.example"}]);
    assert_eq!(sent["personalizations"][0]["cc"], cc);
}

#[tokio::test]
async fn the_request_is_exactly_sendgrids() {
    let stub = Stub::start(accepted()).await;
    let mut message = with_email(Email {
        subject: Some("Grüße".into()),
        html: Some("<p>Grüße 🥚</p>".into()),
        cc: vec![address("cc@example.com")],
        bcc: vec![address("bcc@example.com")],
        reply_to: Some(address("answers@usehatchapp.com")),
        people: vec![
            person(PersonRole::From, "user@usehatchapp.com", "hatch"),
            person(PersonRole::To, "second@example.com", "Second, \"2\""),
            person(PersonRole::Cc, "cc@example.com", "Grüße"),
            person(PersonRole::ReplyTo, "answers@usehatchapp.com", "Answers"),
        ],
        headers: [("X-Order".to_owned(), "42".to_owned())].into(),
        mail_id: Some("1@hatch".into()),
        in_reply_to: Some("0@mail".into()),
        references: vec!["a@mail".into(), "0@mail".into()],
        ..Email::default()
    });
    message.to.push(address("second@example.com"));
    message.attachments = vec![Attachment {
        content: Some("QQ==".into()),
        content_type: Some("text/plain".into()),
        filename: Some("a.txt".into()),
        url: None,
        ..Attachment::default()
    }];
    message.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    let outcome = adapter(&stub.url).send(&message).await;
    let expected =
        Outcome::Accepted { provider_message_id: X_MESSAGE_ID.to_owned(), segments: None };
    assert_eq!(outcome, expected);

    let seen = stub.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.uri.to_string().as_str()), ("POST", "/v3/mail/send"));
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["authorization"], format!("Bearer {API_KEY}"));
    assert_eq!(seen.headers["traceparent"], message.traceparent.expect("set above"));
    let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
    let expected = json!({
        "personalizations": [{
            "to": [
                {"email": "customer@example.com"},
                {"email": "second@example.com", "name": "Second, \"2\""},
            ],
            "cc": [{"email": "cc@example.com", "name": "Grüße"}],
            "bcc": [{"email": "bcc@example.com"}],
        }],
        "from": {"email": "user@usehatchapp.com", "name": "hatch"},
        "reply_to": {"email": "answers@usehatchapp.com", "name": "Answers"},
        "subject": "Grüße",
        "content": [
            {"type": "text/plain", "value": "Grüße 🥚"},
            {"type": "text/html", "value": "<p>Grüße 🥚</p>"},
        ],
        "attachments": [{
            "content": "QQ==", "type": "text/plain", "filename": "a.txt",
            "disposition": "attachment",
        }],
        "headers": {
            "Message-ID": "<1@hatch>", "In-Reply-To": "<0@mail>",
            "References": "<a@mail> <0@mail>", "X-Order": "42",
        },
        "custom_args": {
            "message_id": MESSAGE, "attempt": "3",
            "tenant_id": "00000000-0000-0000-0000-000000000001",
        },
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn the_least_mail_has_the_default_subject_and_nothing_empty() {
    let expected = json!({
        "personalizations": [{"to": [{"email": "customer@example.com"}]}],
        "from": {"email": "user@usehatchapp.com"},
        "subject": "(no subject)",
        "content": [{"type": "text/plain", "value": "Grüße 🥚"}],
        "custom_args": {
            "message_id": MESSAGE, "attempt": "3",
            "tenant_id": "00000000-0000-0000-0000-000000000001",
        },
    });
    assert_eq!(posted(&outbound()).await, expected);
    let blank = with_email(Email { subject: Some(" ".into()), ..Email::default() });
    assert_eq!(posted(&blank).await, expected);
}

#[tokio::test]
async fn nobody_is_named_twice() {
    let mut message = with_email(Email {
        cc: vec![address("CUSTOMER@example.com"), address("cc@example.com")],
        bcc: vec![address("cc@example.com"), address("bcc@example.com")],
        ..Email::default()
    });
    message.to.push(message.to[0].clone());
    let expected = json!({
        "to": [{"email": "customer@example.com"}],
        "cc": [{"email": "cc@example.com"}],
        "bcc": [{"email": "bcc@example.com"}],
    });
    assert_eq!(posted(&message).await["personalizations"], json!([expected]));
}

#[tokio::test]
async fn linked_files_are_listed_below_each_text() {
    let file = |url: &str, filename: Option<&str>| Attachment {
        url: Some(url.to_owned()),
        filename: filename.map(str::to_owned),
        ..Attachment::default()
    };
    let mut message =
        with_email(Email { html: Some("<html><BODY>Hi</BODY></html>".into()), ..Email::default() });
    message.attachments = vec![
        file("https://f.example/a?x=1&y=\"2", None),
        file("https://f.example/b", Some("b & <c>")),
    ];
    let content = posted(&message).await["content"].clone();
    let text = "Grüße 🥚\n\nhttps://f.example/a?x=1&y=\"2\nb & <c>: https://f.example/b";
    assert_eq!(content[0]["value"], text);
    let html = "<html><BODY>Hi<p><a href=\"https://f.example/a?x=1&amp;y=&quot;2\">\
                https://f.example/a?x=1&amp;y=&quot;2</a></p><p><a href=\"https://f.example/b\">\
                b &amp; &lt;c&gt;</a></p></BODY></html>";
    assert_eq!(content[1]["value"], html);

    let links_only = Outbound { body: None, email: None, ..message.clone() };
    let content = posted(&links_only).await["content"].clone();
    assert!(content[0]["value"].as_str().is_some_and(|text| text.starts_with("https://")));
    assert_eq!(posted(&links_only).await.get("attachments"), None);
    let html_only = Outbound { body: None, ..message };
    let content = posted(&html_only).await["content"].clone();
    assert_eq!(
        (content[0]["type"].as_str(), content.as_array().map(Vec::len)),
        (Some("text/html"), Some(1))
    );
}

#[tokio::test]
async fn a_mail_of_nothing_but_a_file_has_a_text_that_sendgrid_takes() {
    let file = Attachment { content: Some("QQ==".into()), ..Attachment::default() };
    let mail = posted(&Outbound { body: None, attachments: vec![file], ..outbound() }).await;
    assert_eq!(mail["content"], json!([{"type": "text/plain", "value": " "}]));
    let file = json!({"content": "QQ==", "filename": "attachment", "disposition": "attachment"});
    assert_eq!(mail["attachments"], json!([file]));
}

#[tokio::test]
async fn the_headers_of_the_thread_are_ours_to_say() {
    let mail = with_email(Email {
        mail_id: Some("1@hatch".into()),
        headers: [("message-id", "<forged>"), ("In-Reply-To", "<kept>")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Email::default()
    });
    let expected = json!({"Message-ID": "<1@hatch>", "In-Reply-To": "<kept>"});
    assert_eq!(posted(&mail).await["headers"], expected);
}

#[tokio::test]
async fn a_202_without_an_id_and_another_2xx_are_unknown() {
    let empty = Reply { headers: vec![("x-message-id", " ".to_owned())], ..reply(202, "") };
    let ok = Reply { status: 200, ..accepted() };
    for reply in [reply(202, ""), empty, ok, reply(204, "")] {
        assert!(is_unknown(&outcome(reply).await));
    }
}

#[tokio::test]
async fn a_4xx_of_sendgrids_is_refused_for_good() {
    use ErrorClass::{Account, Content};
    for (status, class) in [(400, Account), (403, Account), (413, Content), (415, Content)] {
        let (code, detail) = (status.to_string(), SAID.to_owned());
        let error = SendError { code, class, detail, permanent: true };
        assert_eq!(outcome(reply(status, ERROR)).await, Outcome::Refused { error });
    }
    match outcome(reply(408, ERROR)).await {
        Outcome::Refused { error } => assert!(!error.permanent),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_account_is_no_refusal_of_the_mail() {
    let plain = "The provided authorization grant is invalid, expired, or revoked";
    for (status, said, trouble) in [
        (401, plain, Trouble::Credentials),
        (401, "Maximum credits exceeded", Trouble::Credit),
        (402, "Payment required", Trouble::Credit),
        (403, "access forbidden", Trouble::Permission),
        (403, "Your account is under review", Trouble::Suspended),
        (404, "not found", Trouble::NotFound),
        (405, "method not allowed", Trouble::NotFound),
    ] {
        for field in ["null", "\"\""] {
            let body = format!(r#"{{"errors":[{{"message":"{said}","field":{field}}}]}}"#);
            let (code, detail) = (status.to_string(), said.to_owned());
            let outcome = outcome(reply(status, &body)).await;
            assert_eq!(outcome, Outcome::Account { trouble, code, detail });
        }
    }
    let named = outcome(reply(401, ERROR)).await;
    assert!(matches!(named, Outcome::Account { trouble: Trouble::Credentials, .. }), "{named:?}");
}

#[tokio::test]
async fn a_mail_that_is_too_large_is_refused_whoever_says_so() {
    match outcome(reply(413, "<html>413 Request Entity Too Large</html>")).await {
        Outcome::Refused { error } => {
            assert_eq!((error.code.as_str(), error.permanent), ("413", true))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_429_is_throttled_until_the_reset_or_as_long_as_it_says() {
    let headers = |headers: &[(&'static str, &str)]| Reply {
        headers: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        ..reply(429, r#"{"errors":[{"message":"too many requests","field":null}]}"#)
    };
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let reset = ("x-ratelimit-reset", "784111797");
    let cases = [
        (headers(&[date, reset]), Some(20)),
        (headers(&[("retry-after", "1"), date, reset]), Some(1)),
        (headers(&[]), None),
    ];
    for (reply, seconds) in cases {
        let expected = Outcome::Throttled {
            code: "429".to_owned(),
            retry_after: seconds.map(Duration::from_secs),
            detail: "too many requests".to_owned(),
        };
        assert_eq!(outcome(reply).await, expected);
    }
    let (code, detail) = ("429".to_owned(), "HTTP 429".to_owned());
    let bare = Outcome::Throttled { code, retry_after: None, detail };
    assert_eq!(outcome(reply(429, "slow down")).await, bare);
}

#[tokio::test]
async fn a_5xx_is_unavailable_only_with_sendgrids_own_body() {
    for status in [500, 503] {
        let expected = Outcome::Unavailable { code: status.to_string(), detail: SAID.to_owned() };
        assert_eq!(outcome(reply(status, ERROR)).await, expected);
        for body in ["", "upstream error", "{}", r#"{"errors":[]}"#, r#"{"errors":["x"]}"#] {
            assert!(is_unknown(&outcome(reply(status, body)).await), "{body}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_sendgrids_is_unknown() {
    for status in [502, 504] {
        assert!(is_unknown(&outcome(reply(status, ERROR)).await), "{status}");
    }
    for status in [302, 307, 400, 401, 404] {
        assert!(is_unknown(&outcome(reply(status, "<html>not here</html>")).await), "{status}");
    }
}

#[tokio::test]
async fn a_break_after_the_request_was_written_is_unknown_and_the_request_is_not_repeated() {
    let half = "HTTP/1.1 202 Acc";
    for then in [Then::Reset, Then::Hang, Then::Write(""), Then::Write(half)] {
        let (url, requests) = breaking(then).await;
        let impatient =
            Settings { http_timeout_ms: 300, connect_timeout_ms: 299, ..settings(&url) };
        let adapter = SendGridAdapter::new(impatient).expect("good settings");
        let outcome = adapter.send(&outbound()).await;
        assert!(is_unknown(&outcome), "{outcome:?}");
        assert_eq!(*requests.lock().expect("no panic while held"), 1);
    }
}

#[tokio::test]
async fn without_a_connection_it_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let refused = format!("http://{}", free.local_addr().expect("bound"));
    drop(free);
    for url in [refused, "http://nowhere.invalid".to_owned()] {
        match adapter(&url).send(&outbound()).await {
            Outcome::Unavailable { code, .. } => {
                assert!(matches!(code.as_str(), "connect" | "dns"), "{url}: {code}");
            }
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_mail_is_refused_without_a_call() {
    let stub = Stub::start(accepted()).await;
    let adapter = adapter(&stub.url);
    for message in [
        Outbound { channel: Channel::Sms, ..outbound() },
        Outbound { to: Vec::new(), ..outbound() },
    ] {
        let outcome = adapter.send(&message).await;
        assert!(matches!(outcome, Outcome::Refused { error } if error.permanent));
    }
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn nothing_can_be_looked_up() {
    let adapter = adapter("http://127.0.0.1:9");
    assert!(!adapter.can_look_up());
    let asked = LookUp {
        message: outbound(),
        attempted_at: chrono::DateTime::UNIX_EPOCH,
        asked_at: chrono::DateTime::UNIX_EPOCH,
    };
    assert!(matches!(adapter.look_up(&asked).await, LookedUp::Inconclusive { .. }));
}
