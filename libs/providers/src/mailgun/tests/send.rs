//! Every outcome of a send, over real connections.

use std::time::Duration;

use hatch_domain::mailbox::{Person, PersonRole};
use hatch_domain::{Attachment, Channel, Email, ErrorClass, SendError};
use url::form_urlencoded;

use super::super::{MailgunAdapter, Settings};
use super::{MESSAGE, adapter, address, outbound, reply, settings, with_email};
use crate::stub::{Reply, Seen, Stub, Then, breaking};
use crate::{Adapter, Checked, Outbound, Outcome, Trouble};

const ID: &str = "20111114174239.25659.5817@mail.usehatchapp.com";

/// `api:an-api-key`
const AUTHORIZATION: &str = "Basic YXBpOmFuLWFwaS1rZXk=";

fn accepted() -> Reply {
    reply(200, format!(r#"{{"id":"<{ID}>","message":"Queued. Thank you."}}"#))
}

fn said(message: &str) -> String {
    serde_json::json!({ "message": message }).to_string()
}

async fn outcome(reply: Reply) -> Outcome {
    let stub = Stub::start(reply).await;
    let outcome = adapter(&stub.url).send(&outbound()).await;
    assert_eq!(stub.seen().len(), 1, "exactly one request");
    outcome
}

async fn posted(message: &Outbound) -> Seen {
    let stub = Stub::start(accepted()).await;
    let outcome = adapter(&stub.url).send(message).await;
    let expected = Outcome::Accepted { provider_message_id: ID.to_owned(), segments: None };
    assert_eq!(outcome, expected);
    stub.seen().remove(0)
}

/// The fields of a form without files.
fn fields(seen: &Seen) -> Vec<(String, String)> {
    assert_eq!(seen.headers["content-type"], "application/x-www-form-urlencoded");
    form_urlencoded::parse(&seen.body).into_owned().collect()
}

fn person(role: PersonRole, text: &str, name: &str) -> Person {
    Person { role, address: address(text), name: name.to_owned() }
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

#[tokio::test]
async fn the_request_is_exactly_mailguns() {
    let mut message = with_email(Email {
        subject: Some("Grüße".into()),
        html: Some("<p>Grüße 🥚</p>".into()),
        cc: vec![address("cc@example.com"), address("CUSTOMER@example.com")],
        bcc: vec![address("bcc@example.com")],
        reply_to: Some(address("answers@usehatchapp.com")),
        people: vec![
            person(PersonRole::From, "user@usehatchapp.com", "hatch"),
            person(PersonRole::To, "second@example.com", "Second, \"2\""),
            person(PersonRole::ReplyTo, "answers@usehatchapp.com", "Answers"),
        ],
        // The second one is not told: it would set the variables anew.
        headers: [("X-Order", "42"), ("X-Mailgun-Variables", r#"{"attempt": 7}"#)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        mail_id: Some("1@hatch".into()),
        in_reply_to: Some("0@mail".into()),
        references: vec!["a@mail".into(), "0@mail".into()],
        ..Email::default()
    });
    message.to.push(address("second@example.com"));
    message.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    let seen = posted(&message).await;
    let place = ("POST", "/v3/mail.usehatchapp.com/messages");
    assert_eq!((seen.method.as_str(), seen.uri.to_string().as_str()), place);
    assert_eq!(seen.headers["authorization"], AUTHORIZATION);
    assert_eq!(seen.headers["traceparent"], message.traceparent.expect("set above"));
    let expected = [
        ("from", "\"hatch\" <user@usehatchapp.com>"),
        ("to", "customer@example.com"),
        ("to", "\"Second, \\\"2\\\"\" <second@example.com>"),
        ("cc", "cc@example.com"),
        ("bcc", "bcc@example.com"),
        ("subject", "Grüße"),
        ("text", "Grüße 🥚"),
        ("html", "<p>Grüße 🥚</p>"),
        ("h:Reply-To", "\"Answers\" <answers@usehatchapp.com>"),
        ("h:In-Reply-To", "<0@mail>"),
        ("h:Message-Id", "<1@hatch>"),
        ("h:References", "<a@mail> <0@mail>"),
        ("h:X-Order", "42"),
        ("v:message_id", MESSAGE),
        ("v:attempt", "3"),
        ("v:tenant_id", "00000000-0000-0000-0000-000000000001"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(fields(&seen), expected);
}

#[tokio::test]
async fn the_least_mail_has_a_subject_and_a_text() {
    let file = Attachment { url: Some("https://f.example/a".into()), ..Attachment::default() };
    let least = Outbound { body: None, ..outbound() };
    let linked = Outbound { attachments: vec![file], ..least.clone() };
    for (message, text) in [(&least, " "), (&linked, "https://f.example/a")] {
        let fields = fields(&posted(message).await);
        let value = |wanted: &str| {
            fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        assert_eq!(value("subject"), Some("(no subject)"));
        assert_eq!(value("text"), Some(text));
        assert_eq!(value("html"), None);
    }
}

#[tokio::test]
async fn files_go_as_parts_and_those_that_the_text_shows_by_their_ids() {
    let file = |name: &str, id: Option<&str>, content_type: Option<&str>| Attachment {
        content: Some("QUI=".into()),
        content_type: content_type.map(str::to_owned),
        filename: Some(name.to_owned()),
        content_id: id.map(str::to_owned),
        inline: id.is_some(),
        ..Attachment::default()
    };
    let message = Outbound {
        attachments: vec![
            file("a\"\r\nb.txt", None, Some("text/plain")),
            file("logo.png", Some("logo@1"), Some("image/png\r\nX: y")),
        ],
        ..outbound()
    };
    let seen = posted(&message).await;
    let content_type = seen.headers["content-type"].to_str().expect("a text").to_owned();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").expect("a form");
    let body = String::from_utf8(seen.body.to_vec()).expect("a text");
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.first(), Some(&""));
    assert_eq!(parts.last(), Some(&"--\r\n"));
    let disposition = "\r\nContent-Disposition: form-data; name=";
    let text = format!("{disposition}\"text\"\r\n\r\nGrüße 🥚\r\n");
    let attachment = format!(
        "{disposition}\"attachment\"; filename=\"a%22%0D%0Ab.txt\"\r\n\
         Content-Type: text/plain\r\n\r\nAB\r\n"
    );
    let inline = format!(
        "{disposition}\"inline\"; filename=\"logo@1\"\r\n\
         Content-Type: application/octet-stream\r\n\r\nAB\r\n"
    );
    for part in [text, attachment, inline] {
        assert!(parts.contains(&part.as_str()), "{part:?} in {parts:?}");
    }
}

#[tokio::test]
async fn what_mailgun_does_not_take_is_refused_without_a_call() {
    let stub = Stub::start(accepted()).await;
    let adapter = adapter(&stub.url);
    let many = |count: usize| (0..count).map(|n| address(&format!("u{n}@example.com"))).collect();
    let header = |bytes: usize| {
        with_email(Email {
            headers: [("X-Long".to_owned(), "x".repeat(bytes))].into(),
            ..Email::default()
        })
    };
    let file = |content: String| Outbound {
        attachments: vec![Attachment { content: Some(content), ..Attachment::default() }],
        ..outbound()
    };
    for (code, message) in [
        ("channel", Outbound { channel: Channel::Sms, ..outbound() }),
        ("channel", Outbound { to: Vec::new(), ..outbound() }),
        ("recipients", Outbound { to: many(1_001), ..outbound() }),
        ("headers", header(16 * 1024)),
        ("size", file("QUJD".repeat(25 * 1024 * 1024 / 4 + 1))),
        ("attachments", file("no base64".to_owned())),
    ] {
        match adapter.send(&message).await {
            Outcome::Refused { error } => {
                let expected = (code, ErrorClass::Content, true);
                assert_eq!((error.code.as_str(), error.class, error.permanent), expected);
            }
            other => panic!("{code}: {other:?}"),
        }
    }
    assert!(stub.seen().is_empty());
    for message in [Outbound { to: many(1_000), ..outbound() }, header(15 * 1024)] {
        assert!(matches!(adapter.send(&message).await, Outcome::Accepted { .. }));
    }
}

#[tokio::test]
async fn a_200_without_an_id_and_another_2xx_are_unknown() {
    let other = Reply { status: 202, ..accepted() };
    for reply in [reply(200, ""), reply(200, r#"{"id":""}"#), reply(200, said("Queued")), other] {
        assert!(is_unknown(&outcome(reply).await));
    }
}

#[tokio::test]
async fn a_4xx_of_mailguns_is_refused() {
    let to = "'to' parameter is not a valid address. please check documentation";
    for (status, words, class, permanent) in [
        (400, to, ErrorClass::InvalidRecipient, true),
        (400, "Need at least one of 'text'", ErrorClass::Content, true),
        (413, "too large", ErrorClass::Content, true),
        (408, "timeout", ErrorClass::Unreachable, false),
        (421, "misdirected", ErrorClass::Unreachable, false),
    ] {
        let (code, detail) = (status.to_string(), words.to_owned());
        let error = SendError { code, class, detail, permanent };
        assert_eq!(outcome(reply(status, said(words))).await, Outcome::Refused { error });
    }
    let proxy = outcome(reply(413, "<html>413 Request Entity Too Large</html>")).await;
    assert!(matches!(proxy, Outcome::Refused { error } if error.class == ErrorClass::Content));
}

#[tokio::test]
async fn what_is_wrong_with_the_account_is_no_refusal_of_the_mail() {
    let not_allowed = "Domain mail.usehatchapp.com is not allowed to send: unverified";
    for (status, body, words, trouble) in [
        (401, "Forbidden".to_owned(), "Forbidden", Trouble::Credentials),
        (402, said("Request failed"), "Request failed", Trouble::Credit),
        (403, said("no batches"), "no batches", Trouble::Permission),
        (404, said("Domain not found"), "Domain not found", Trouble::NotFound),
        (400, said(not_allowed), not_allowed, Trouble::Permission),
    ] {
        let (code, detail) = (status.to_string(), words.to_owned());
        let expected = Outcome::Account { trouble, code, detail };
        assert_eq!(outcome(reply(status, body)).await, expected);
    }
}

#[tokio::test]
async fn a_429_is_throttled_until_the_time_in_its_words() {
    let words = |time: &str| said(&format!("Sending limit exceeded, try again after {time}"));
    let date = ("date", "Mon, 20 Dec 2021 20:32:21 GMT".to_owned());
    for (body, more, seconds) in [
        (words("Mon, 20 Dec 2021 20:33:21 UTC"), vec![], Some(60)),
        (words("Mon, 20 Dec 2021 20:33:21 UTC."), vec![], Some(60)),
        (words("Tue, 21 Dec 2021 20:33:21 UTC"), vec![], Some(3_600)),
        (words("a while"), vec![], None),
        (words("Mon, 20 Dec 2021 20:33:21 UTC"), vec![("retry-after", "1".to_owned())], Some(1)),
        ("slow down".to_owned(), vec![], None),
    ] {
        let headers = [vec![date.clone()], more].concat();
        match outcome(Reply { status: 429, headers, body: body.clone() }).await {
            Outcome::Throttled { code, retry_after, .. } => {
                assert_eq!(code, "429", "{body}");
                assert_eq!(retry_after, seconds.map(Duration::from_secs), "{body}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_5xx_is_unavailable_only_with_mailguns_own_body() {
    for status in [500, 503] {
        let expected = Outcome::Unavailable { code: status.to_string(), detail: "down".to_owned() };
        assert_eq!(outcome(reply(status, said("down"))).await, expected);
        for body in ["", "upstream error", "{}", r#"{"message":""}"#, r#"{"message":7}"#] {
            assert!(is_unknown(&outcome(reply(status, body)).await), "{body}");
        }
    }
    for status in [502, 504] {
        assert!(is_unknown(&outcome(reply(status, said("down"))).await), "{status}");
    }
    for status in [302, 400, 401, 404] {
        assert!(is_unknown(&outcome(reply(status, "<html>not here</html>")).await), "{status}");
    }
}

#[tokio::test]
async fn a_break_after_the_request_was_written_is_unknown_and_the_request_is_not_repeated() {
    let half = "HTTP/1.1 200 O";
    for then in [Then::Reset, Then::Hang, Then::Write(""), Then::Write(half)] {
        let (url, requests) = breaking(then).await;
        let impatient =
            Settings { http_timeout_ms: 300, connect_timeout_ms: 299, ..settings(&url) };
        let adapter = MailgunAdapter::new(impatient).expect("good settings");
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
        let outcome = adapter(&url).send(&outbound()).await;
        assert!(matches!(outcome, Outcome::Unavailable { .. }), "{url}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_account_is_checked_by_its_domain() {
    let domain = |state: &str, disabled: bool| {
        let domain = serde_json::json!({"state": state, "is_disabled": disabled, "name": "x"});
        serde_json::json!({ "domain": domain }).to_string()
    };
    for (reply, expected) in [
        (reply(200, domain("active", false)), Ok(())),
        (reply(200, domain("active", true)), Err(Some(Trouble::Suspended))),
        (reply(200, domain("disabled", false)), Err(Some(Trouble::Suspended))),
        (reply(200, domain("unverified", false)), Err(Some(Trouble::Permission))),
        (reply(401, "Forbidden"), Err(Some(Trouble::Credentials))),
        (reply(404, said("Domain not found")), Err(Some(Trouble::NotFound))),
        (reply(200, "<html>"), Err(None)),
        (reply(500, said("down")), Err(None)),
    ] {
        let stub = Stub::start(reply).await;
        let checked = match adapter(&stub.url).check().await {
            Checked::Good { .. } => Ok(()),
            Checked::Refused { trouble, .. } => Err(Some(trouble)),
            Checked::Unanswered { .. } => Err(None),
            Checked::Unchecked => panic!("Mailgun can be asked"),
        };
        assert_eq!(checked, expected);
        let seen = stub.seen().remove(0);
        assert_eq!(seen.uri.path(), "/v4/domains/mail.usehatchapp.com");
        assert_eq!(seen.headers["authorization"], AUTHORIZATION);
    }
}
