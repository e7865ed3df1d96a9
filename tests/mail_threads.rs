//! Who wrote to whom, and which conversation a mail joins: mails as their provider posts them.

use base64::prelude::{BASE64_STANDARD, Engine};
use hatch::roles::Role;
use hatch_domain::address::Address;
use hatch_domain::conversation::conversation_id;
use hatch_domain::ids::TenantId;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, Hatch, mail_key, unique};

pub(crate) const SEND: &str = "/api/v1/messages";
const US: &str = "user@usehatchapp.com";
pub(crate) const SUPPORT: &str = "support@example.com";
pub(crate) const CUST: &str = "cust@example.org";

/// A mail that comes in.
pub(crate) struct Mail<'a> {
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) cc: &'a str,
    /// Whom it was brought to.
    pub(crate) envelope: &'a [&'a str],
    pub(crate) subject: &'a str,
    pub(crate) text: &'a str,
    /// Its Message-ID, with its angle brackets.
    pub(crate) id: String,
    /// Further headers, one a line.
    pub(crate) headers: String,
}

impl Default for Mail<'_> {
    fn default() -> Self {
        Self {
            from: CUST,
            to: SUPPORT,
            cc: "",
            envelope: &[SUPPORT],
            subject: "Your order",
            text: "Hello",
            id: format!("<{}@mail.example.org>", unique()),
            headers: String::new(),
        }
    }
}

impl Mail<'_> {
    fn form(&self) -> Vec<u8> {
        let envelope = json!({"to": self.envelope, "from": self.from}).to_string();
        let headers = format!("Message-ID: {}\r\n{}", self.id, self.headers);
        let fields = [
            ("headers", headers.as_str()),
            ("dkim", "{@example.org : pass}"),
            ("from", self.from),
            ("to", self.to),
            ("cc", self.cc),
            ("subject", self.subject),
            ("text", self.text),
            ("envelope", &envelope),
        ];
        let part = |(name, text): &(&str, &str)| {
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let parts: String = fields.iter().map(part).collect();
        format!("{parts}--B--\r\n").into_bytes()
    }

    pub(crate) async fn post(&self, hatch: &Hatch) {
        let key = SigningKey::from_pkcs8_pem(mail_key()).expect("a key");
        let (body, time) = (self.form(), "1700000000");
        let signature: DerSignature = key.sign(&[time.as_bytes(), body.as_slice()].concat());
        let url = format!("{}/api/v1/webhooks/sendgrid/inbound", hatch.url);
        let post = hatch
            .http
            .post(url)
            .header("content-type", "multipart/form-data; boundary=B")
            .header("x-twilio-email-event-webhook-timestamp", time)
            .header(
                "x-twilio-email-event-webhook-signature",
                BASE64_STANDARD.encode(signature.as_bytes()),
            );
        let answer = post.body(body).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Posts it, and returns the message once it is shown.
    pub(crate) async fn comes_in(&self, hatch: &Hatch) -> Value {
        self.post(hatch).await;
        hatch
            .eventually("the mail is shown", async |hatch| {
                let list = hatch.get(&format!("{SEND}?direction=inbound&limit=200")).await;
                let data = list.body["data"].as_array()?;
                data.iter().find(|message| message["message_id_header"] == *self.id).cloned()
            })
            .await
    }
}

/// The conversation of these by the published rule.
pub(crate) fn between(addresses: &[&str]) -> String {
    let addresses = addresses.iter().map(|text| Address::email(text).expect("a mailbox"));
    let addresses: Vec<Address> = addresses.collect();
    conversation_id(TenantId::DEFAULT, &addresses, None).to_string()
}

/// A mail of ours, once it is delivered.
pub(crate) async fn sent(hatch: &Hatch, mail: &Value) -> Value {
    let answer = hatch.post(SEND, mail).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    hatch.message_with_status(answer.text("id"), "delivered").await
}

pub(crate) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

pub(crate) async fn answered(hatch: &Hatch, conversation: &str) -> Answer {
    let path = format!("/api/v1/conversations/{conversation}/messages");
    let answer = hatch.post(&path, &json!({"body": "Thanks"})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    hatch.get(&format!("{SEND}/{}/events", answer.text("id"))).await
}

#[tokio::test]
async fn a_mail_belongs_to_the_mailbox_that_people_wrote_to() {
    let hatch = Hatch::start().await;
    // A partner is written to, and we get a copy.
    let boss = "boss@partner.example";
    let copied = Mail { to: boss, cc: SUPPORT, ..Mail::default() }.comes_in(&hatch).await;
    assert_eq!((&copied["to"], &copied["cc"]), (&json!([boss]), &json!([SUPPORT])));
    assert_eq!(copied["envelope"], json!({"to": [SUPPORT], "from": CUST}));
    assert_eq!(copied["conversation_id"], between(&[CUST, boss, SUPPORT]));
    let list = hatch.get(&format!("/api/v1/conversations?participant={SUPPORT}")).await;
    assert_eq!(list.body["data"][0]["participants"], json!([boss, CUST, SUPPORT]), "{}", list.body);
    let events = answered(&hatch, text(&copied, "conversation_id")).await;
    let request = &events.body["data"][0]["data"];
    assert_eq!((&request["from"], &request["to"]), (&json!(SUPPORT), &json!([CUST, boss])));

    // A mailbox is read at another address.
    let (help, parser) = ("help@brand.example", ["inbound@parse.example.com"]);
    let parsed = Mail { to: help, envelope: &parser, ..Mail::default() }.comes_in(&hatch).await;
    assert_eq!((&parsed["to"], &parsed["envelope"]["to"]), (&json!([help]), &json!(parser)));
    assert_eq!(parsed["conversation_id"], between(&[CUST, help]));
    let events = answered(&hatch, text(&parsed, "conversation_id")).await;
    assert_eq!(events.body["data"][0]["data"]["from"], help);

    // A blind copy names nobody.
    let blind = Mail { to: "undisclosed-recipients:;", ..Mail::default() }.comes_in(&hatch).await;
    assert_eq!(
        (&blind["to"], &blind["conversation_id"]),
        (&json!([SUPPORT]), &json!(between(&[CUST, SUPPORT])))
    );
    hatch.finish().await;
}

#[tokio::test]
async fn mailboxes_that_are_configured_as_ours_are_ours_wherever_they_stand() {
    let change = |settings: &mut hatch::settings::Settings| {
        settings.mail.mailboxes = vec!["*@brand.example".to_owned()];
    };
    let hatch = Hatch::start_with(&Role::ALL, change).await;
    let (help, parser) = ("help@brand.example", ["inbound@parse.example.com"]);
    let copied =
        Mail { to: "boss@partner.example", cc: help, envelope: &parser, ..Mail::default() };
    let copied = copied.comes_in(&hatch).await;
    assert_eq!(copied["conversation_id"], between(&[CUST, "boss@partner.example", help]));

    // One of us writes to a customer, with a copy to where we read: the customer is the contact.
    let from_us = Mail { from: help, to: CUST, envelope: &parser, ..Mail::default() };
    let from_us = from_us.comes_in(&hatch).await;
    let from_them = Mail { to: help, envelope: &parser, ..Mail::default() }.comes_in(&hatch).await;
    assert_eq!(from_us["contact_id"], from_them["contact_id"]);
    assert_eq!(from_us["conversation_id"], from_them["conversation_id"]);
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_to_several_mailboxes_is_one_message_however_often_it_is_posted() {
    let hatch = Hatch::start().await;
    let mail = |envelope: &'static [&'static str]| Mail {
        to: "support@example.com, sales@example.com",
        envelope,
        id: "<several@mail.example.org>".to_owned(),
        ..Mail::default()
    };
    let first = mail(&[SUPPORT]).comes_in(&hatch).await;
    mail(&["sales@example.com"]).post(&hatch).await;
    mail(&["sales@example.com", SUPPORT]).post(&hatch).await;
    assert_eq!(hatch.log_length().await, 1);
    assert_eq!(first["to"], json!([SUPPORT, "sales@example.com"]));
    for ours in [SUPPORT, "sales@example.com"] {
        let list = hatch.get(&format!("/api/v1/conversations?participant={ours}")).await;
        assert_eq!(list.body["data"][0]["id"], first["conversation_id"], "{}", list.body);
    }
    hatch.finish().await;
}

#[tokio::test]
async fn an_id_that_is_known_can_be_answered_of_whatever_form_it_is() {
    let hatch = Hatch::start().await;
    for id in ["<20260101005922.0000000004E@>", "<abc123>", "<an id with spaces@example.org>"] {
        let mail = Mail { id: id.to_owned(), ..Mail::default() }.comes_in(&hatch).await;
        let bare = id.trim_matches(['<', '>']);
        for named in [id, bare, text(&mail, "message_id_header")] {
            let send = json!({"from": SUPPORT, "to": "else@example.org", "body": "Hi", "in_reply_to": named});
            let answer = hatch.post(SEND, &send).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{named}: {}", answer.body);
            assert_eq!(answer.body["conversation_id"], mail["conversation_id"], "{named}");
            let events = hatch.get(&format!("{SEND}/{}/events", answer.text("id"))).await;
            assert_eq!(events.body["data"][0]["data"]["email"]["in_reply_to"], bare);
        }
    }
    for (unknown, status) in [
        ("<no@where.example>", StatusCode::ACCEPTED),
        ("<nowhere>", StatusCode::BAD_REQUEST),
        ("<abc123>\r\nBcc: x@example.org", StatusCode::BAD_REQUEST),
        ("<abc123> <abc123>", StatusCode::BAD_REQUEST),
    ] {
        let send = json!({"from": SUPPORT, "to": CUST, "body": "Hi", "in_reply_to": unknown});
        let answer = hatch.post(SEND, &send).await;
        assert_eq!(answer.status, status, "{unknown}: {}", answer.body);
        if status == StatusCode::BAD_REQUEST {
            assert_eq!(answer.body["errors"][0]["pointer"], "/in_reply_to", "{}", answer.body);
        }
    }
    hatch.finish().await;
}

#[tokio::test]
async fn who_got_a_blind_copy_answers_into_a_conversation_of_its_own() {
    let hatch = Hatch::start().await;
    let (ann, bob) = ("ann@example.org", "bob@example.org");
    let mail = json!({"from": US, "to": CUST, "bcc": [ann, bob], "subject": "News", "body": "Hi"});
    let ours = sent(&hatch, &mail).await;
    let answer = async |from: &'static str, to: &'static str| {
        let id = text(&ours, "message_id_header");
        let headers = format!("In-Reply-To: {id}\r\nReferences: {id}\r\n");
        let envelope = &[US][..];
        Mail { from, to, envelope, subject: "Re: News", headers, ..Mail::default() }
            .comes_in(&hatch)
            .await
    };
    for from in [ann, bob] {
        let alone = answer(from, US).await;
        assert_eq!(alone["conversation_id"], between(&[from, US]));
        assert_eq!(alone["linked_to"], ours["conversation_id"]);
        let list = hatch.get(&format!("/api/v1/conversations?participant={from}")).await;
        assert_eq!(list.body["data"][0]["id"], alone["conversation_id"], "{}", list.body);
    }
    let joined = answer(CUST, US).await;
    assert_eq!(joined["conversation_id"], ours["conversation_id"]);
    assert_eq!(joined["linked_to"], Value::Null);
    hatch.finish().await;
}

#[tokio::test]
async fn a_stranger_does_not_join_by_an_id_that_he_knows() {
    let hatch = Hatch::start().await;
    let ours =
        sent(&hatch, &json!({"from": US, "to": CUST, "subject": "Offer", "body": "Hi"})).await;
    let conversation = &ours["conversation_id"];
    let refers = |from: &'static str, subject: &'static str, headers: String| Mail {
        from,
        to: US,
        envelope: &[US],
        subject,
        headers,
        ..Mail::default()
    };
    let ours_id = text(&ours, "message_id_header");
    let theirs = refers("Cust@Example.org", "Re: Offer", format!("In-Reply-To: {ours_id}\r\n"));
    let theirs = theirs.comes_in(&hatch).await;
    assert_eq!(theirs["conversation_id"], *conversation, "however the sender is written");
    let theirs_id = text(&theirs, "message_id_header");

    let stranger = "stranger@evil.example";
    for id in [theirs_id, ours_id] {
        let headers = format!("References: <x@evil.example> {id}\r\n");
        let mail = refers(stranger, "Re: Offer", headers).comes_in(&hatch).await;
        assert_eq!(mail["conversation_id"], between(&[stranger, US]));
        assert_eq!(mail["linked_to"], *conversation);
    }
    // Whose In-Reply-To is written as few programs do it.
    let encoded = theirs_id.replace('<', "=3C").replace('>', "=3E").replace('@', "=40");
    for headers in [
        format!("In-Reply-To: =?utf-8?Q?{encoded}?=\r\n"),
        format!("In-Reply-To: Message from us of Monday {theirs_id}\r\n"),
        format!("In-Reply-To: {}\r\n", theirs_id.trim_matches(['<', '>'])),
        format!("References: {}{theirs_id}\r\n", "<unknown@example.org>\r\n ".repeat(3)),
        format!("References: {theirs_id}{}\r\n", "\r\n <unknown@example.org>".repeat(3)),
    ] {
        let mail = refers("\"Cust\" <cust@example.org>", "AW: Offer", headers.clone());
        assert_eq!(mail.comes_in(&hatch).await["conversation_id"], *conversation, "{headers}");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn another_subject_by_the_id_of_somebody_elses_mail_is_another_conversation() {
    let hatch = Hatch::start().await;
    let ann = "ann@example.org";
    let first = Mail { cc: ann, to: "support@example.com, cust2@example.org", ..Mail::default() };
    let first = first.comes_in(&hatch).await;
    let headers = format!("In-Reply-To: {}\r\n", text(&first, "message_id_header"));
    let answer = async |from: &'static str, subject: &'static str| {
        let headers = headers.clone();
        Mail { from, subject, headers, ..Mail::default() }.comes_in(&hatch).await
    };
    let same = answer("cust2@example.org", "RE: your order").await;
    assert_eq!(same["conversation_id"], first["conversation_id"]);
    let copied = answer(ann, "Antw: Your order").await;
    assert_eq!(copied["conversation_id"], first["conversation_id"], "who got a copy");
    let other = answer("cust2@example.org", "Something else").await;
    assert_eq!(other["conversation_id"], between(&["cust2@example.org", SUPPORT]));
    assert_eq!(other["linked_to"], first["conversation_id"]);
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_whose_provider_renamed_it_is_answered_by_that_name() {
    let hatch = Hatch::start().await;
    let mail =
        json!({"from": US, "to": [CUST, "two@example.org"], "subject": "Offer", "body": "Hi"});
    let ours = sent(&hatch, &mail).await;
    let id = text(&ours, "provider_message_id");
    for named in [format!("<{id}@geopod-ismtpd-1>"), format!("<{id}>")] {
        let headers = format!("In-Reply-To: {named}\r\n");
        let answer =
            Mail { to: US, envelope: &[US], subject: "Re: Offer", headers, ..Mail::default() };
        let answer = answer.comes_in(&hatch).await;
        assert_eq!(answer["conversation_id"], ours["conversation_id"], "{named}");
    }
    hatch.finish().await;
}
