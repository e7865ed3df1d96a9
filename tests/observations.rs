//! What webhooks say, whatever provider says it: arrays of receipts, and mails that join a thread.

use crate::harness::{CUSTOMER, Hatch, SENDER};
use crate::scripted::{Role, address, logged, mail, receipt, shown};
use hatch_domain::address::Address;
use hatch_domain::authentication::{Authentication, Verdict};
use hatch_domain::conversation::conversation_id;
use hatch_domain::ids::TenantId;
use hatch_domain::{Attachment, Channel, Email};
use hatch_providers::{Inbound, NotUnderstood, Observation, ReportedOutcome};
use serde_json::Value;
use uuid::Uuid;

/// Sends a mail from us; returns its conversation and its Message-ID.
async fn mail_of_ours(hatch: &Hatch, to: &str) -> (String, String) {
    let mail = serde_json::json!({"from": "user@usehatchapp.com", "to": [to, "other@x.com"], "body": "Hello"});
    let sent = hatch.post("/api/v1/messages", &mail).await;
    let conversation = sent.text("conversation_id").to_owned();
    let name = format!("{}.{conversation}@usehatchapp.com", sent.text("id"));
    (conversation, name)
}

#[tokio::test]
async fn an_array_of_receipts_is_one_append_and_one_row_of_the_log() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(hatch.send_sms("+18045550888", "silent").await);
    }
    for id in &ids {
        hatch.message_with_status(id, "sent").await;
    }
    let before = hatch.log_length().await;
    let unknown = "0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11";
    let array = || {
        vec![
            receipt(&ids[0], 1, ReportedOutcome::Delivered),
            receipt(&ids[1], 2, ReportedOutcome::Delivered),
            receipt(&ids[0], 3, ReportedOutcome::Read),
            receipt(&ids[0], 1, ReportedOutcome::Delivered),
            receipt(&ids[2], 4, ReportedOutcome::Progress),
            receipt(unknown, 5, ReportedOutcome::Delivered),
        ]
    };
    role.post(&hatch, array()).await;
    assert_eq!(hatch.log_length().await, before + 3);
    let read = hatch.message_with_status(&ids[0], "read").await;
    assert!(read["read_at"].is_string() && read["delivered_at"].is_string(), "{read}");
    hatch.message_with_status(&ids[1], "delivered").await;
    let times = "SELECT count(DISTINCT recorded_at) FROM es.events
                  WHERE metadata->>'actor' = 'webhook:scripted'";
    assert_eq!(hatch.count(times).await, 1, "one append, one time");

    role.post(&hatch, array()).await;
    assert_eq!(hatch.log_length().await, before + 3, "a repeat adds nothing");
    let rows = logged(&hatch).await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["outcome"], "quarantined");
    let detail = "there is no such message; 3 applied, 1 duplicate, 1 ignored, 1 refused";
    assert_eq!(rows[1]["detail"], detail);
    hatch.finish().await;
}

#[tokio::test]
async fn more_receipts_than_one_append_takes_are_all_recorded() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let one = |n| mail(&format!("{n}@x.com"), &format!("customer{n}@x.com"), Email::default());
    role.post(&hatch, (0..450).map(one).collect()).await;
    assert_eq!(hatch.log_length().await, 450);
    role.post(&hatch, (0..451).map(one).collect()).await;
    assert_eq!(hatch.log_length().await, 451);
    assert_eq!(logged(&hatch).await[0]["detail"], "1 applied, 450 duplicate");
    role.post(&hatch, Vec::new()).await;
    assert_eq!(logged(&hatch).await[0]["outcome"], "ignored");
    hatch.finish().await;
}

#[tokio::test]
async fn two_webhooks_about_one_message_at_once_are_both_recorded() {
    let hatch = Hatch::start().await;
    let (one, two) = (Role::start(&hatch).await, Role::start(&hatch).await);
    let id = hatch.send_sms("+18045550888", "silent").await;
    hatch.message_with_status(&id, "sent").await;
    tokio::join!(
        one.post(&hatch, vec![receipt(&id, 1, ReportedOutcome::Delivered)]),
        two.post(&hatch, vec![receipt(&id, 2, ReportedOutcome::Read)]),
    );
    hatch.message_with_status(&id, "read").await;
    assert_eq!(logged(&hatch).await.len(), 2);
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_joins_the_thread_that_it_answers_and_else_its_participants() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let (conversation, name) = mail_of_ours(&hatch, "else@x.com").await;
    let answer = Email {
        subject: Some("Re: Hello".to_owned()),
        html: Some("<p>Hi</p>".to_owned()),
        cc: vec![address("boss@x.com")],
        references: vec![name],
        ..Email::default()
    };
    role.post(&hatch, vec![mail("a@x.com", "else@x.com", answer)]).await;
    let answer = shown(&hatch, "a@x.com").await;
    assert_eq!(answer["conversation_id"], conversation);
    assert_eq!(answer["subject"], "Re: Hello");
    assert_eq!(answer["html"], "<p>Hi</p>");
    assert_eq!(answer["cc"][0], "boss@x.com");

    // One that answers that answer, from somebody who got a copy of it.
    let email = Email { in_reply_to: Some("<a@x.com>".to_owned()), ..Email::default() };
    role.post(&hatch, vec![mail("b@x.com", "Boss@x.com", email)]).await;
    assert_eq!(shown(&hatch, "b@x.com").await["conversation_id"], conversation);

    // A name like ours proves nothing: its message has to be there and of that conversation.
    let forged = format!("{}.{conversation}@usehatchapp.com", Uuid::from_u128(9));
    let email = Email { in_reply_to: Some(forged), ..Email::default() };
    role.post(&hatch, vec![mail("c@x.com", "third@x.com", email)]).await;
    let parties = [address("third@x.com"), address("user@usehatchapp.com")];
    let alone = conversation_id(TenantId::DEFAULT, &parties, None);
    assert_eq!(shown(&hatch, "c@x.com").await["conversation_id"], alone.to_string());

    // Another installation names its mails as we do.
    let theirs = format!("{}.{}@other.example", Uuid::from_u128(7), Uuid::from_u128(8));
    role.post(&hatch, vec![mail(&theirs, "fifth@x.com", Email::default())]).await;
    let first = shown(&hatch, &theirs).await;
    let email = Email { in_reply_to: Some(format!("<{theirs}>")), ..Email::default() };
    role.post(&hatch, vec![mail("d@x.com", "fifth@x.com", email)]).await;
    assert_eq!(shown(&hatch, "d@x.com").await["conversation_id"], first["conversation_id"]);

    // The first wins, however the same mail is carried again.
    let before = hatch.log_length().await;
    role.post(&hatch, vec![mail("c@x.com", "third@x.com", Email::default())]).await;
    assert_eq!(hatch.log_length().await, before);
    let list = hatch.get("/api/v1/conversations?participant=third%40X.com&channel=email").await;
    assert_eq!(list.body["data"].as_array().map(Vec::len), Some(1), "{}", list.body);
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_with_the_id_of_another_and_other_content_is_a_message_of_its_own() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let about = |subject: &str| Email { subject: Some(subject.to_owned()), ..Email::default() };
    role.post(&hatch, vec![mail("a@x.com", "ann@x.com", about("One"))]).await;
    let before = hatch.log_length().await;
    for _ in 0..2 {
        // Another request: one that comes again says what it said.
        role.post_bytes(&hatch, 6, vec![mail("a@x.com", "ann@x.com", about("Two"))]).await;
        role.post(&hatch, vec![mail("a@x.com", "ann@x.com", about("One"))]).await;
    }
    assert_eq!(hatch.log_length().await, before + 1, "once, and both again add nothing");
    let marks = hatch
        .eventually("both are shown", async |hatch| {
            let list = hatch.get("/api/v1/messages?direction=inbound").await;
            let data = list.body["data"].as_array()?;
            let mark = |one: &Value| (one["subject"].to_string(), one["repeated_id"] == true);
            let marks: Vec<_> = data.iter().map(mark).collect();
            (marks.len() == 2).then_some(marks)
        })
        .await;
    assert_eq!(marks, [("\"Two\"".to_owned(), true), ("\"One\"".to_owned(), false)]);
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_that_is_not_from_whom_it_says_joins_by_a_name_of_ours_only() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let disproven = Authentication {
        spf: Some(Verdict::Fail),
        dkim: Some(Verdict::Fail),
        dmarc: Some(Verdict::Fail),
        spam_score: serde_json::Number::from_f64(7.5),
        envelope_from: Some(address("x@evil.com")),
    };
    let forged = || Email { authentication: Some(disproven.clone()), ..Email::default() };
    role.post(&hatch, vec![mail("a@x.com", "ann@x.com", Email::default())]).await;
    let true_one = shown(&hatch, "a@x.com").await;
    assert_eq!((&true_one["authentication"], &true_one["cut"]), (&Value::Null, &Value::Null));

    // Neither its addresses nor what others call their mails lets it in.
    let email = Email { in_reply_to: Some("a@x.com".to_owned()), ..forged() };
    role.post(&hatch, vec![mail("b@x.com", "ann@x.com", email)]).await;
    let alone = shown(&hatch, "b@x.com").await;
    let parties = [address("ann@x.com"), address("user@usehatchapp.com")];
    let apart = conversation_id(TenantId::DEFAULT, &parties, Some("unproven sender"));
    assert_eq!(alone["conversation_id"], apart.to_string());
    assert_ne!(alone["conversation_id"], true_one["conversation_id"]);
    let said = serde_json::json!({"spf": "fail", "dkim": "fail", "dmarc": "fail", "spam_score": 7.5,
        "envelope_from": "x@evil.com"});
    assert_eq!(alone["authentication"], said);
    let conversation = hatch.get(&format!("/api/v1/conversations/{apart}")).await;
    assert_eq!(conversation.body["topic"], "unproven sender");

    // Whoever names a mail of ours has had it.
    let (conversation, name) = mail_of_ours(&hatch, "ann@x.com").await;
    let email = Email { references: vec![name], ..forged() };
    role.post(&hatch, vec![mail("c@x.com", "ann@x.com", email)]).await;
    assert_eq!(shown(&hatch, "c@x.com").await["conversation_id"], conversation);
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_says_what_was_left_out_of_it_and_is_kept_whole() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let email = Email { cut: [("to".to_owned(), 39_500)].into(), ..Email::default() };
    role.post_bytes(&hatch, 300_000, vec![mail("a@x.com", "customer@x.com", email)]).await;
    let message = shown(&hatch, "a@x.com").await;
    assert_eq!(message["cut"], serde_json::json!({"to": 39_500}));
    let webhook = logged(&hatch).await[0].clone();
    assert_is_whole(&hatch, &webhook, 300_000).await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_mails_files_are_shown_by_name_and_size_however_large_they_are() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let file = |name: &str, bytes: usize| Attachment {
        filename: Some(name.to_owned()),
        content_type: Some("text/plain".to_owned()),
        content: Some("AAAA".repeat(bytes / 3)),
        ..Attachment::default()
    };
    let Observation::Inbound(mut inbound) = mail("a@x.com", "customer@x.com", Email::default())
    else {
        unreachable!("a mail comes in")
    };
    inbound.attachments = vec![file("small", 300), file("large", 3_000_000), file("other", 30)];
    role.post_bytes(&hatch, 300_000, vec![Observation::Inbound(inbound)]).await;
    let message = shown(&hatch, "a@x.com").await;
    let sizes: Vec<_> = message["attachments"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|file| (file["filename"].as_str(), file["size_bytes"].as_u64()))
        .collect();
    assert_eq!(
        sizes,
        [(Some("small"), Some(300)), (Some("large"), Some(3_000_000)), (Some("other"), Some(30))]
    );
    let webhook = logged(&hatch).await[0].clone();
    assert_eq!(webhook["outcome"], "applied");
    assert_is_whole(&hatch, &webhook, 300_000).await;
    hatch.finish().await;
}

/// All that was posted is there, as `any=` and so many bytes.
async fn assert_is_whole(hatch: &Hatch, webhook: &Value, bytes: usize) {
    assert_eq!(webhook["body_bytes"], bytes + "any=".len(), "{webhook}");
    let path = format!("/api/v1/webhook-log/{}", webhook["id"].as_str().expect("an id"));
    let body = hatch.get(&path).await.body["body"].as_str().expect("a text").to_owned();
    assert!(body == format!("any={}", "x".repeat(bytes)), "{} bytes", body.len());
}

#[tokio::test]
async fn a_mails_text_that_is_too_long_is_shown_as_far_as_there_is_room() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let html = Some("<p>y</p>".repeat(100_000));
    let email = Email { html, ..Email::default() };
    let Observation::Inbound(inbound) = mail("a@x.com", "customer@x.com", email) else {
        unreachable!("a mail comes in")
    };
    let long = Inbound { body: Some("y\n".repeat(1_000_000)), ..inbound };
    role.post_bytes(&hatch, 300_000, vec![Observation::Inbound(long)]).await;
    let message = shown(&hatch, "a@x.com").await;
    let body = message["body"].as_str().expect("a text");
    assert!(body.len() > 300_000 && body.ends_with("y\n[…]"), "{} bytes", body.len());
    assert_eq!(message["html"], Value::Null);
    let files = message["attachments"].as_array().expect("a list");
    let files: Vec<_> =
        files.iter().map(|file| (file["filename"].as_str(), file["size_bytes"].as_u64())).collect();
    assert_eq!(files, [(Some("body.txt"), Some(2_000_000)), (Some("body.html"), Some(800_000))]);
    let webhook = logged(&hatch).await[0].clone();
    assert_eq!(webhook["outcome"], "applied");
    assert_is_whole(&hatch, &webhook, 300_000).await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_of_which_nothing_can_be_left_out_is_kept_whole_in_the_quarantine() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let email = Email { subject: Some("y".repeat(2_000_000)), ..Email::default() };
    let long = mail("b@x.com", "customer@x.com", email);
    role.post_bytes(&hatch, 500_000, vec![long]).await;
    let webhook = logged(&hatch).await[0].clone();
    assert_eq!(
        (&webhook["outcome"], &webhook["message_id"]),
        (&"quarantined".into(), &Value::Null)
    );
    assert_is_whole(&hatch, &webhook, 500_000).await;

    let id = webhook["id"].as_str().expect("an id").to_owned();
    let replay = async |id: &str| {
        let url = format!("{}/api/v1/webhooks/replay/{id}", role.address);
        let answer = hatch.http.post(url).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    // A build that understands it.
    *role.says.lock().expect("no panic") =
        vec![mail("b@x.com", "customer@x.com", Email::default())];
    let (status, replayed) = replay(&id).await;
    assert_eq!((status, &replayed["outcome"]), (200, &"applied".into()), "{replayed}");
    shown(&hatch, "b@x.com").await;
    let old = hatch.get(&format!("/api/v1/webhook-log/{id}")).await.body;
    let new = replayed["id"].as_str().expect("an id");
    assert_eq!(
        (&old["outcome"], &old["detail"]),
        (&"applied".into(), &format!("replayed as {new}").into())
    );
    assert_eq!(replay(&id).await.0, 409);
    assert_eq!(replay("0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11").await.0, 404);
    hatch.finish().await;
}

#[tokio::test]
async fn a_word_from_the_quarantine_takes_no_newer_one_back() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    role.post(&hatch, vec![Observation::Unclear(NotUnderstood::Missing { field: "From" })]).await;
    let id = logged(&hatch).await[0]["id"].as_str().expect("an id").to_owned();
    crate::consent::write(&hatch, CUSTOMER, "STOP").await;
    // A build that understands it.
    let phone = |text| Address::phone(text).expect("a possible number");
    *role.says.lock().expect("no panic") = vec![Observation::Inbound(Inbound {
        account: "one".to_owned(),
        provider_message_id: "START of yesterday".to_owned(),
        channel: Channel::Sms,
        from: phone(CUSTOMER),
        to: vec![phone(SENDER)],
        body: Some("START".to_owned()),
        attachments: Vec::new(),
        email: None,
        delivered_to: Vec::new(),
        segments: None,
    })];
    let url = format!("{}/api/v1/webhooks/replay/{id}", role.address);
    let replayed = hatch.http.post(url).send().await.expect("an answer");
    assert_eq!(replayed.status().as_u16(), 200);
    let read = "SELECT count(*) FROM es.events WHERE type = 'MessageReceived'";
    assert_eq!(hatch.count(read).await, 2, "the message is there");
    assert_eq!(crate::consent::consent(&hatch, CUSTOMER).await["state"], "opted_out");
    crate::consent::write(&hatch, CUSTOMER, "START").await;
    assert_eq!(crate::consent::consent(&hatch, CUSTOMER).await["state"], "opted_in");
    hatch.finish().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_quarantined_and_the_rest_is_applied() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let id = hatch.send_sms("+18045550888", "silent").await;
    hatch.message_with_status(&id, "sent").await;
    let unclear = Observation::Unclear(NotUnderstood::Missing { field: "sg_message_id" });
    let both = vec![unclear, receipt(&id, 1, ReportedOutcome::Delivered)];
    role.post_bytes(&hatch, 200_000, both).await;
    hatch.message_with_status(&id, "delivered").await;
    let webhook = logged(&hatch).await[0].clone();
    assert_eq!(webhook["outcome"], "quarantined", "{webhook}");
    let detail = webhook["detail"].as_str().expect("a sentence");
    assert_eq!(detail, "failed to find the field sg_message_id; 1 applied, 1 refused");
    assert_is_whole(&hatch, &webhook, 200_000).await;
    hatch.finish().await;
}

#[tokio::test]
async fn what_is_about_a_message_of_a_newer_build_is_kept_and_the_rest_is_applied() {
    let hatch = Hatch::start().await;
    let role = Role::start(&hatch).await;
    let ids = [
        hatch.send_sms("+18045550888", "silent").await,
        hatch.send_sms("+18045550888", "silent, too").await,
    ];
    for id in &ids {
        hatch.message_with_status(id, "sent").await;
    }
    let session = hatch.database.connect().await;
    let newer = |version| {
        format!(
            "ALTER TABLE es.events DISABLE TRIGGER refuse_change;
             UPDATE es.events SET schema_version = {version}
              WHERE stream_id = '{}' AND type = 'MessageRequested';
             ALTER TABLE es.events ENABLE TRIGGER refuse_change",
            ids[0]
        )
    };
    session.batch_execute(&newer(9)).await.expect("changed");
    let both =
        || ids.iter().zip(1..).map(|(id, n)| receipt(id, n, ReportedOutcome::Delivered)).collect();
    role.post(&hatch, both()).await;
    hatch.message_with_status(&ids[1], "delivered").await;
    let webhook = logged(&hatch).await[0].clone();
    assert_eq!(webhook["outcome"], "quarantined", "{webhook}");
    let detail = webhook["detail"].as_str().expect("a sentence");
    assert!(detail.contains(&ids[0]) && detail.ends_with("; 1 applied, 1 refused"), "{detail}");
    let cancel = hatch.post(&format!("/api/v1/messages/{}/cancel", ids[0]), &Value::Null).await;
    assert_eq!((cancel.status.as_u16(), cancel.header("retry-after")), (503, "1"));

    // As if a newer build had taken over.
    session.batch_execute(&newer(1)).await.expect("changed");
    session.close().await;
    role.post(&hatch, both()).await;
    hatch.message_with_status(&ids[0], "delivered").await;
    hatch.finish().await;
}
