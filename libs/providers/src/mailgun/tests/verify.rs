//! Which signatures are believed.

use serde_json::json;
use url::form_urlencoded;

use super::super::{MailgunEvents, MailgunRoutes, Settings};
use super::{SIGNATURE, SIGNING_KEY, TIMESTAMP, TOKEN, request, settings, signature_of};
use crate::{RawRequest, Secret, Webhook, WebhookRefusal};

fn posted(timestamp: &str, token: &str, signature: &str) -> [RawRequest; 2] {
    let signature_object = json!({"timestamp": timestamp, "token": token, "signature": signature});
    let event = json!({"signature": signature_object, "event-data": {"event": "delivered"}});
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("recipient", "user@usehatchapp.com")
        .append_pair("timestamp", timestamp)
        .append_pair("token", token)
        .append_pair("signature", signature)
        .finish();
    [
        request("application/json", event.to_string()),
        request("application/x-www-form-urlencoded", form),
    ]
}

fn webhooks(settings: &Settings) -> [Box<dyn Webhook>; 2] {
    let events = MailgunEvents::new(settings).expect("good");
    [Box::new(events), Box::new(MailgunRoutes::new(settings).expect("good"))]
}

#[test]
fn a_signature_of_the_key_is_believed_and_no_other() {
    use WebhookRefusal::{MissingSignature, WrongSignature};
    let upper = SIGNATURE.to_uppercase();
    let shifted_at = &format!("{TIMESTAMP}{}", &TOKEN[..1]);
    for (timestamp, token, signature, expected) in [
        (TIMESTAMP, TOKEN, SIGNATURE, Ok(())),
        (TIMESTAMP, TOKEN, &upper, Ok(())),
        (TIMESTAMP, TOKEN, "", Err(MissingSignature)),
        (TIMESTAMP, "", SIGNATURE, Err(MissingSignature)),
        ("", TOKEN, SIGNATURE, Err(MissingSignature)),
        ("1780000001", TOKEN, SIGNATURE, Err(WrongSignature)),
        (TIMESTAMP, &TOKEN[1..], SIGNATURE, Err(WrongSignature)),
        (TIMESTAMP, TOKEN, &SIGNATURE[..62], Err(WrongSignature)),
        (TIMESTAMP, TOKEN, "no hexadecimal digits", Err(WrongSignature)),
        // The same bytes are signed, and it would be another token.
        (shifted_at, &TOKEN[1..], SIGNATURE, Err(WrongSignature)),
    ] {
        let good = settings("https://api.mailgun.net");
        for (webhook, request) in webhooks(&good).iter().zip(posted(timestamp, token, signature)) {
            let verified = webhook.verify(&request).map(|_| ());
            assert_eq!(verified, expected, "{timestamp} {token} {signature}");
            assert!(webhook.may_be_signed(&request.headers));
        }
    }
    let long = "t".repeat(129);
    for request in posted(TIMESTAMP, &long, &signature_of(&long)) {
        let good = settings("https://api.mailgun.net");
        let believed = webhooks(&good).iter().filter(|one| one.verify(&request).is_ok()).count();
        assert_eq!(believed, 0);
    }
}

#[test]
fn during_a_rotation_the_key_from_before_is_believed_too() {
    let rotated = Settings {
        signing_key: Secret::new("another"),
        signing_key_previous: Some(Secret::new(SIGNING_KEY)),
        ..settings("https://api.mailgun.net")
    };
    let over = Settings { signing_key_previous: None, ..rotated.clone() };
    for (settings, believed) in [(rotated, true), (over, false)] {
        let posted = posted(TIMESTAMP, TOKEN, SIGNATURE);
        for (webhook, request) in webhooks(&settings).iter().zip(posted) {
            assert_eq!(webhook.verify(&request).is_ok(), believed);
        }
    }
}

#[test]
fn what_has_no_signature_is_not_believed() {
    let good = settings("https://api.mailgun.net");
    let [events, routes] = webhooks(&good);
    let deep = "[".repeat(100_000);
    for body in ["", "{}", "[]", r#"{"signature":null}"#, r#"{"signature":{}}"#, &deep] {
        let request = request("application/json", body.to_owned());
        let refused = events.verify(&request).map(|_| ());
        assert_eq!(refused, Err(WebhookRefusal::MissingSignature), "{body:.40}");
    }
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", ""),
        ("multipart/form-data; boundary=b", "--b--\r\n"),
        ("multipart/form-data", "--b--\r\n"),
    ] {
        let refused = routes.verify(&request(content_type, body)).map(|_| ());
        assert_eq!(refused, Err(WebhookRefusal::MissingSignature), "{content_type}");
    }
    let [of_event, of_mail] = posted(TIMESTAMP, TOKEN, SIGNATURE);
    assert!(!events.may_be_signed(&of_mail.headers) && !routes.may_be_signed(&of_event.headers));
}

#[test]
fn a_token_is_good_for_what_was_said_however_that_is_written() {
    let good = settings("https://api.mailgun.net");
    let [events, routes] = webhooks(&good);
    let once = |webhook: &dyn Webhook, request: &RawRequest| {
        let verified = webhook.verify(request).expect("signed");
        webhook.once(&verified).expect("its body is not signed")
    };
    let signature =
        format!(r#"{{"timestamp":"{TIMESTAMP}","token":"{TOKEN}","signature":"{SIGNATURE}"}}"#);
    let event = |said: &str| {
        let body = format!(r#"{{"signature":{signature},"event-data":{said}}}"#);
        once(&*events, &request("application/json", body))
    };
    let first = event(r#"{"event":"delivered","id":"a"}"#);
    assert_eq!((first.token.as_str(), first.signed_at), (TOKEN, 1_780_000_000));
    assert_eq!(first, event(r#"{ "event": "delivered", "id": "a" }"#));
    assert_ne!(first, event(r#"{"event":"complained","id":"a"}"#));

    let mail = |boundary: &str, text: &str| {
        let mut body = String::new();
        for (name, value) in [
            ("timestamp", TIMESTAMP),
            ("token", TOKEN),
            ("signature", SIGNATURE),
            ("body-plain", text),
        ] {
            let head = format!("Content-Disposition: form-data; name=\"{name}\"");
            body += &format!("--{boundary}\r\n{head}\r\n\r\n{value}\r\n");
        }
        body += &format!("--{boundary}--\r\n");
        let content_type = format!("multipart/form-data; boundary={boundary}");
        once(&*routes, &request(&content_type, body))
    };
    let first = mail("a", "Hi");
    assert_eq!(first, mail("b", "Hi"), "a repeat may be written with another boundary");
    assert_ne!(first, mail("a", "Ho"));
}
