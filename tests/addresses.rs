//! Who is written to and by what: an address that is none is named, and never delivered to nobody.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{CUSTOMER, Hatch, SENDER, unique};
use crate::webhooks::inbound;

const SEND: &str = "/api/v1/messages";
const OURS: &str = "user@usehatchapp.com";

/// The recipients of a message.
fn to(message: &Value) -> Vec<&str> {
    let to = &message["to"];
    let several = to.as_array().into_iter().flatten().filter_map(Value::as_str);
    several.chain(to.as_str()).collect()
}

/// The places that a refusal names, and what it says of the first.
fn refusal(body: &Value) -> (Vec<&str>, &str) {
    let errors = body["errors"].as_array().unwrap_or_else(|| panic!("{body}"));
    let pointers = errors.iter().map(|error| error["pointer"].as_str().expect("a pointer"));
    (pointers.collect(), errors[0]["detail"].as_str().expect("a sentence"))
}

#[tokio::test]
async fn a_name_is_no_chat_unless_the_request_says_so() {
    let hatch = Hatch::start().await;
    for (from, to, places) in [
        ("support", json!("ann.example.com"), vec!["/from", "/to"]),
        ("support", json!(["ann", "bob"]), vec!["/from", "/to/0", "/to/1"]),
    ] {
        let request = json!({"from": from, "to": to, "body": "Hello"});
        let answer = hatch.post(SEND, &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        let (named, detail) = refusal(&answer.body);
        assert_eq!(named, places);
        assert!(detail.contains("+12016661234") && detail.contains("user@example.com"), "{detail}");
        let batch = hatch.post(&format!("{SEND}/batch"), &json!({"messages": [request]})).await;
        let error = &batch.body["data"][0]["error"];
        assert_eq!(refusal(error).0, places, "{}", batch.body);
    }
    assert_eq!(hatch.log_length().await, 0);

    for says in ["channel", "type"] {
        let request = json!({says: "chat", "from": "support", "to": "ann", "body": "Hello"});
        let answer = hatch.post(SEND, &request).await;
        assert_eq!(answer.body["channel"], "chat", "{}", answer.body);
    }
    // Clients of older systems have no word for it.
    let older = json!({"from": "support", "to": "ann", "body": "Hello"});
    let answer = hatch.post("/api/send_message", &older).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let message = hatch.message_with_status(answer.text("message_id"), "delivered").await;
    assert_eq!(message["channel"], "chat");
    hatch.finish().await;
}

#[tokio::test]
async fn an_address_of_whatsapp_is_told_that_its_channel_is_not_there_yet() {
    let hatch = Hatch::start().await;
    let (ours, theirs) = (format!("whatsapp:{SENDER}"), format!("WhatsApp:{CUSTOMER}"));
    for (request, places) in [
        (json!({"from": ours, "to": theirs, "body": "Hello"}), vec!["/from", "/to"]),
        (json!({"channel": "sms", "to": theirs, "body": "Hello"}), vec!["/to"]),
    ] {
        for path in [SEND, "/api/send_message"] {
            let mut request = request.clone();
            if path != SEND {
                request.as_object_mut().expect("an object").remove("channel");
            }
            let answer = hatch.post(path, &request).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
            let (named, detail) = refusal(&answer.body);
            assert_eq!(named, places, "{path}");
            assert!(detail.contains("whatsapp is not available yet"), "{detail}");
        }
    }
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn what_no_account_carries_is_refused_by_name_and_not_recorded() {
    let mut hatch = Hatch::start().await;
    let mail = json!({
        "from": "user@usehatchapp.com", "to": "contact@gmail.com", "subject": "Hi", "body": "Hello",
    });
    let send = async |hatch: &Hatch, key: &str| {
        let headers = [("idempotency-key", key)];
        hatch.request(Method::POST, SEND, &headers, Some(mail.to_string())).await
    };
    let first = send(&hatch, "order-42").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    hatch.message_with_status(first.text("id"), "delivered").await;
    hatch.stop().await;
    hatch.settings.accounts.remove("sendgrid");
    hatch.start_again(&hatch::roles::Role::ALL).await;
    let recorded = hatch.log_length().await;

    let refused = |body: &Value| {
        assert_eq!((&body["status"], &body["code"]), (&json!(422), &json!("no_account")), "{body}");
        let page = body["type"].as_str().expect("a page");
        assert!(page.ends_with("/docs/errors/no-account"), "{body}");
        assert!(body["detail"].as_str().is_some_and(|why| why.contains("email")), "{body}");
    };
    let answer = hatch.post(SEND, &mail).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    refused(&answer.body);
    let older = json!({"from": mail["from"], "to": mail["to"], "body": "Hello"});
    refused(&hatch.post("/api/messages/email", &older).await.body);
    let older = json!({"to_email": mail["to"], "from_email": mail["from"], "body": "Hello"});
    refused(&hatch.post("/api/send_email", &older).await.body);
    assert_eq!(hatch.log_length().await, recorded, "nothing of these is recorded");

    let sms = json!({"to": CUSTOMER, "body": "Hello"});
    let chat = json!({"channel": "chat", "from": "ann", "to": "bob", "body": "Hello"});
    let batch = json!({"messages": [mail, sms, chat]});
    let answer = hatch.post(&format!("{SEND}/batch"), &batch).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let data = answer.body["data"].as_array().expect("a list");
    refused(&data[0]["error"]);
    assert_eq!((&data[1]["status"], &data[2]["status"]), (&json!("queued"), &json!("queued")));
    hatch.message_with_status(data[1]["id"].as_str().expect("an id"), "delivered").await;

    // What was taken once is answered again, whatever accounts there are now.
    let again = send(&hatch, "order-42").await;
    assert_eq!((again.status, &again.body), (StatusCode::ACCEPTED, &first.body));
    assert_eq!(again.header("idempotent-replayed"), "true");
    hatch.finish().await;
}

#[tokio::test]
async fn a_mailbox_is_one_participant_and_is_sent_to_as_it_was_written() {
    let hatch = Hatch::start().await;
    let mail = |to: &str| json!({"from": OURS, "to": to, "subject": "Hi", "body": "Hello"});
    let (mut conversations, mut contacts) = (Vec::new(), BTreeSet::new());
    for to in ["Ann@Example.com", "ann@example.com", "ANN@EXAMPLE.COM"] {
        let answer = hatch.post(SEND, &mail(to)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        let message = hatch.message_with_status(answer.text("id"), "delivered").await;
        contacts.insert(message["contact_id"].as_str().expect("an id").to_owned());
        conversations.push(answer.text("conversation_id").to_owned());
    }
    assert_eq!(contacts.len(), 1, "{contacts:?}");
    let sent: Vec<Value> = hatch.record().await.iter().map(|line| line["to"].clone()).collect();
    assert_eq!(sent, ["Ann@example.com", "ann@example.com", "ANN@example.com"]);

    let inbound = json!({
        "provider": "sendgrid", "from": "aNN@example.com", "to": OURS, "subject": "Re: Hi", "body": "Hi",
    });
    assert!((200..300).contains(&hatch.simulate_inbound(&inbound).await));
    let conversation = &conversations[0];
    assert_eq!(conversations, vec![conversation.clone(); 3]);
    hatch
        .eventually("the answer is in the conversation", async |hatch| {
            let path = format!("/api/v1/conversations/{conversation}");
            (hatch.get(&path).await.body["message_count"] == 4).then_some(())
        })
        .await;
    for written in ["ann@example.com", "Ann@Example.com"] {
        let list = hatch.get(&format!("{SEND}?participant={written}")).await;
        assert_eq!(list.body["data"].as_array().map(Vec::len), Some(4), "{written}");
        let list = hatch.get(&format!("/api/v1/conversations?participant={written}")).await;
        let data = list.body["data"].as_array().expect("a list");
        assert_eq!(data.len(), 1, "{written}");
        assert_eq!(data[0]["participants"], json!(["ann@example.com", OURS]));
    }

    let twice =
        json!({"from": OURS, "to": ["Bob@example.com", "bob@example.com"], "body": "Hello"});
    let answer = hatch.post(SEND, &twice).await;
    let message = hatch.message_with_status(answer.text("id"), "delivered").await;
    assert_eq!(to(&message), ["Bob@example.com"], "nobody gets it twice");
    hatch.finish().await;
}

#[tokio::test]
async fn display_names_go_out_with_a_mail_and_are_no_part_of_who_somebody_is() {
    let hatch = Hatch::start().await;
    let mail = json!({
        "from": format!("\"hatch, Support\" <{OURS}>"),
        "to": ["Ann Lee <ann@example.com>", {"address": "bob@example.com", "name": "Bob"}, "eve@example.com"],
        "cc": {"address": "cc@example.com", "name": ""}, "bcc": "<bcc@example.com>",
        "reply_to": {"address": "answers@example.com", "name": "Grüße 🥚"},
        "subject": "Hi", "body": "Hello",
    });
    let answer = hatch.post(SEND, &mail).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let message = hatch.message_with_status(answer.text("id"), "delivered").await;
    assert_eq!(message["from"], OURS);
    assert_eq!(to(&message), ["ann@example.com", "bob@example.com", "eve@example.com"]);
    assert_eq!(
        (&message["cc"], &message["bcc"]),
        (&json!(["cc@example.com"]), &json!(["bcc@example.com"]))
    );
    let people = json!([
        {"role": "from", "address": OURS, "name": "hatch, Support"},
        {"role": "to", "address": "ann@example.com", "name": "Ann Lee"},
        {"role": "to", "address": "bob@example.com", "name": "Bob"},
        {"role": "reply_to", "address": "answers@example.com", "name": "Grüße 🥚"},
    ]);
    assert_eq!(message["people"], people);

    let plain = json!({
        "from": OURS, "to": ["ann@example.com", "bob@example.com", "eve@example.com"], "body": "Hello",
    });
    let plain = hatch.post(SEND, &plain).await;
    assert_eq!(plain.text("conversation_id"), answer.text("conversation_id"));
    let message = hatch.message_with_status(plain.text("id"), "delivered").await;
    assert_eq!(message["people"], json!([]));

    let older = json!({
        "from_email": format!("hatch <{OURS}>"), "to_email": "Ann <ann@example.com>", "body": "Hello",
    });
    let older = hatch.post("/api/send_email", &older).await;
    let message = hatch.message_with_status(older.text("email_id"), "delivered").await;
    assert_eq!(
        message["people"][1],
        json!({"role": "to", "address": "ann@example.com", "name": "Ann"})
    );
    hatch.finish().await;
}

#[tokio::test]
async fn a_display_name_that_is_none_is_named_with_its_field() {
    let hatch = Hatch::start().await;
    let with = |field: &str, value: Value| {
        let mut mail = json!({"from": OURS, "to": "ann@example.com", "body": "Hello"});
        mail[field] = value;
        mail
    };
    let long = "x".repeat(256);
    for (request, place, detail) in [
        (with("to", json!(format!("{long} <ann@example.com>"))), "/to", "expected a display name"),
        (
            with("to", json!(["Ann <ann@example.com>", "Bob <bob>"])),
            "/to/1",
            "expected an email address",
        ),
        (
            with("from", json!({"address": OURS, "name": "a\r\nBcc: b"})),
            "/from",
            "expected a display name",
        ),
        (
            with("cc", json!({"address": "cc@example.com", "colour": "red"})),
            "/cc",
            "expected an address",
        ),
        (with("reply_to", json!({"name": "Ann"})), "/reply_to", "expected an address"),
        (
            json!({"from": SENDER, "to": {"address": CUSTOMER, "name": "Ann"}, "body": "Hello"}),
            "/to",
            "expected no display name",
        ),
        (
            json!({"channel": "chat", "from": {"address": "ann", "name": "Ann"}, "to": "bob", "body": "Hi"}),
            "/from",
            "expected no display name",
        ),
    ] {
        let answer = hatch.post(SEND, &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{request}: {}", answer.body);
        let (named, said) = refusal(&answer.body);
        assert_eq!(named, [place], "{request}: {}", answer.body);
        assert!(said.starts_with(detail), "{request}: {said}");
    }
    assert_eq!(hatch.log_length().await, 0);
    hatch.finish().await;
}

#[tokio::test]
async fn the_names_of_a_mail_that_came_in_are_kept() {
    let hatch = Hatch::start().await;
    let inbound = json!({
        "provider": "sendgrid", "from": "\"Lee, Ann\" <ann@example.com>", "to": format!("Support <{OURS}>"),
        "subject": "Hi", "body": "Hello", "provider_message_id": "first@mail.example.com",
    });
    assert!((200..300).contains(&hatch.simulate_inbound(&inbound).await));
    let message = hatch
        .eventually("the mail is shown", async |hatch| {
            let list = hatch.get(&format!("{SEND}?direction=inbound")).await;
            list.body["data"].get(0).cloned()
        })
        .await;
    assert_eq!(message["from"], "ann@example.com");
    assert_eq!(
        message["people"],
        json!([
            {"role": "from", "address": "ann@example.com", "name": "Lee, Ann"},
            {"role": "to", "address": OURS, "name": "Support"},
        ])
    );
    assert_eq!(message["message_id_header"], "<first@mail.example.com>");
    let id = message["id"].as_str().expect("an id");
    let then = hatch.get(&format!("{SEND}/{id}?at={}", message["position"])).await;
    assert_eq!(then.body["people"], message["people"], "also from the log: {}", then.body);
    hatch.finish().await;
}

/// The message that came in from `from`.
async fn from(hatch: &Hatch, from: &str) -> Value {
    hatch
        .eventually("the message is shown", async |hatch| {
            let list = hatch.get(&format!("{SEND}?direction=inbound")).await;
            let list = list.body["data"].as_array().cloned().unwrap_or_default();
            list.into_iter().find(|message| message["from"] == from)
        })
        .await
}

#[tokio::test]
async fn whatever_a_provider_signed_as_a_sender_is_shown_and_a_name_cannot_be_written_to() {
    let hatch = Hatch::start().await;
    for sender in ["MYBANK", "+881612345678", "+266696687", ""] {
        let mut post = inbound(&format!("SM{}", unique()));
        for (name, value) in &mut post.form {
            match *name {
                "From" => *value = sender.to_owned(),
                "Body" => *value = "Your code".to_owned(),
                "NumMedia" => *value = "1".to_owned(),
                _ => {}
            }
        }
        assert!(post.send(&hatch).await.is_success());
        let shown = if sender.is_empty() { "unknown" } else { sender };
        let message = from(&hatch, shown).await;
        assert_eq!((&message["body"], &message["channel"]), (&json!("Your code"), &json!("mms")));
        let file = &message["attachments"][0];
        assert!(file["url"].is_null() && file["missing"].is_string(), "{message}");
        let found = hatch.get(&format!("{SEND}?participant={}", shown.replace('+', "%2B"))).await;
        assert_eq!(found.body["data"][0]["id"], message["id"], "{}", found.body);
    }
    let recorded = hatch.log_length().await;
    let bank = from(&hatch, "MYBANK").await;
    let path = format!(
        "/api/v1/conversations/{}/messages",
        bank["conversation_id"].as_str().expect("an id")
    );
    let answer = hatch.post(&path, &json!({"body": "Thanks"})).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    let (named, detail) = refusal(&answer.body);
    assert_eq!(named, ["/to"]);
    assert!(detail.contains("MYBANK") && detail.contains("cannot be written to"), "{detail}");
    for (channel, to) in [("sms", "MYBANK"), ("email", "MAILER-DAEMON")] {
        let request = json!({"channel": channel, "from": SENDER, "to": to, "body": "Thanks"});
        let answer = hatch.post(SEND, &request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        let errors = answer.body["errors"].as_array().expect("errors");
        let of_to = errors.iter().find(|error| error["pointer"] == "/to").expect("the recipient");
        let detail = of_to["detail"].as_str().expect("a sentence");
        assert!(detail.contains("cannot be written to"), "{detail}");
    }
    assert_eq!(hatch.log_length().await, recorded);
    hatch.finish().await;
}

#[tokio::test]
async fn a_number_is_one_however_it_is_written() {
    let hatch = Hatch::start().await;
    for (spellings, shown) in [
        (
            vec![
                "+12016661235",
                "\u{202a}+1 201 666 1235\u{202c}",
                "+1\u{a0}201\u{2011}666\u{2011}1235",
                "+1 201/666 1235",
                "tel:+12016661235",
            ],
            "+12016661235",
        ),
        (vec!["+49 151 23456789", "+49 (0)151 23456789"], "+4915123456789"),
        (vec!["+881612345678"], "+881612345678"),
    ] {
        let mut conversations = BTreeSet::new();
        for written in spellings {
            let request = json!({"from": SENDER, "to": written, "body": "Hello"});
            let answer = hatch.post(SEND, &request).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{written:?}: {}", answer.body);
            let message = hatch.message_with_status(answer.text("id"), "delivered").await;
            assert_eq!((to(&message), &message["channel"]), (vec![shown], &json!("sms")));
            conversations.insert(answer.text("conversation_id").to_owned());
        }
        assert_eq!(conversations.len(), 1, "{shown}");
    }
    let two = ["+5511987654321", "+551187654321"];
    let mut conversations = BTreeSet::new();
    for written in two {
        let request = json!({"from": SENDER, "to": written, "body": "Hello"});
        let answer = hatch.post(SEND, &request).await;
        let message = hatch.message_with_status(answer.text("id"), "delivered").await;
        assert_eq!(to(&message), [written], "it is sent to as it was written");
        conversations.insert(answer.text("conversation_id").to_owned());
    }
    assert_eq!(conversations.len(), 1);
    hatch.finish().await;
}

#[tokio::test]
async fn a_domain_is_one_in_unicode_and_as_dns_has_it() {
    let hatch = Hatch::start().await;
    let mail =
        json!({"from": OURS, "to": "Kontakt@Bücher.example", "subject": "Hi", "body": "Hello"});
    let answer = hatch.post(SEND, &mail).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let message = hatch.message_with_status(answer.text("id"), "delivered").await;
    assert_eq!(to(&message), ["Kontakt@bücher.example"]);
    assert_eq!(hatch.record().await[0]["to"], "Kontakt@xn--bcher-kva.example");

    let inbound = json!({
        "provider": "sendgrid", "from": "kontakt@xn--bcher-kva.example", "to": OURS,
        "subject": "Other", "body": "Hi",
    });
    assert!((200..300).contains(&hatch.simulate_inbound(&inbound).await));
    let message = from(&hatch, "kontakt@bücher.example").await;
    assert_eq!(message["conversation_id"], answer.text("conversation_id"));
    let path = format!("/api/v1/conversations/{}", answer.text("conversation_id"));
    let conversation = hatch.get(&path).await;
    assert_eq!(conversation.body["participants"], json!(["kontakt@bücher.example", OURS]));

    let long = format!("reply+{}@example.org", "a".repeat(64));
    let answer = hatch.post(SEND, &json!({"from": OURS, "to": long, "body": "Hello"})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    hatch.message_with_status(answer.text("id"), "delivered").await;
    hatch.finish().await;
}
