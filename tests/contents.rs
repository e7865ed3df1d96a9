//! What is kept beside the log: files of mails, texts that are too long for it, and the mails themselves as they came.

use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::message::command::MessageCommand;
use hatch_eventstore::{
    Appender, AppenderConfig, Execute, Log, Metadata, Store, SystemEnvironment,
};
use hatch_readmodel::messages;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::{CUSTOMER, Hatch, SENDER, mail_key};
use crate::process::{data_folder, program};

/// A part of a form: its name, its file name and media type where it is a file, and its content.
pub(crate) type Part<'a> = (&'a str, Option<(&'a str, &'a str)>, &'a [u8]);

/// Posts a mail as SendGrid does.
pub(crate) async fn post_mail(hatch: &Hatch, parts: &[Part<'_>]) -> StatusCode {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        body.extend(format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"").bytes());
        if let Some((filename, media_type)) = file {
            body.extend(format!("; filename=\"{filename}\"\r\nContent-Type: {media_type}").bytes());
        }
        body.extend(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--B--\r\n");
    let key = SigningKey::from_pkcs8_pem(mail_key()).expect("a key");
    let signature: DerSignature = key.sign(&[b"1700000000", body.as_slice()].concat());
    let answer = hatch
        .http
        .post(format!("{}/api/v1/webhooks/sendgrid/inbound", hatch.url))
        .header("content-type", "multipart/form-data; boundary=B")
        .header("x-twilio-email-event-webhook-timestamp", "1700000000")
        .header(
            "x-twilio-email-event-webhook-signature",
            BASE64_STANDARD.encode(signature.as_bytes()),
        )
        .body(body)
        .send()
        .await;
    answer.expect("hatch answers").status()
}

/// The fields of a mail from `from` with that text, in the form in which SendGrid has read it.
pub(crate) fn parsed<'a>(headers: &'a str, from: &'a str, text: &'a str) -> Vec<Part<'a>> {
    vec![
        ("headers", None, headers.as_bytes()),
        ("from", None, from.as_bytes()),
        ("to", None, b"user@usehatchapp.com"),
        ("subject", None, b"Order 42"),
        ("text", None, text.as_bytes()),
    ]
}

/// The only message from `from`, once it is there, as it is shown alone.
pub(crate) async fn message_from(hatch: &Hatch, from: &str) -> Value {
    let listed = hatch
        .eventually("the mail is shown", async |hatch| {
            let list = hatch.get(&format!("/api/v1/messages?participant={from}")).await;
            list.body["data"].as_array().and_then(|messages| messages.first()).cloned()
        })
        .await;
    let id = listed["id"].as_str().expect("an id");
    hatch.get(&format!("/api/v1/messages/{id}")).await.body
}

/// A file, as it is answered.
async fn fetch(hatch: &Hatch, id: &str, known: Option<&str>) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = hatch.http.get(format!("{}/api/v1/attachments/{id}", hatch.url));
    let request =
        known.into_iter().fold(request, |request, tag| request.header("if-none-match", tag));
    let answer = request.send().await.expect("hatch answers");
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, answer.bytes().await.expect("a body").to_vec())
}

/// Bytes that nothing makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 42_u64;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[tokio::test]
async fn a_file_of_a_mail_is_fetched_as_it_came_and_is_in_no_event() {
    let hatch = Hatch::start().await;
    let (large, page) = (noise(5_000_000), b"<script>alert(1)</script>".as_slice());
    let mut parts =
        parsed("Message-ID: <files@example.com>\r\n", "Ann <ann@example.com>", "Two files");
    parts.push(("attachment1", Some(("Plan 1.pdf", "application/pdf")), &large));
    parts.push(("attachment2", Some(("page.html", "text/html")), page));
    for _ in 0..2 {
        assert_eq!(post_mail(&hatch, &parts).await.as_u16() / 100, 2);
    }
    let message = message_from(&hatch, "ann@example.com").await;
    let files = message["attachments"].as_array().expect("files");
    let known: Vec<_> = files
        .iter()
        .map(|file| {
            (file["filename"].as_str(), file["size_bytes"].as_u64(), file["status"].as_str())
        })
        .collect();
    assert_eq!(
        known,
        [
            (Some("Plan 1.pdf"), Some(5_000_000), Some("kept")),
            (Some("page.html"), Some(25), Some("kept"))
        ]
    );
    let ids: Vec<&str> = files.iter().map(|file| file["id"].as_str().expect("an id")).collect();

    let (status, headers, bytes) = fetch(&hatch, ids[0], None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(bytes == large, "{} bytes", bytes.len());
    assert_eq!(headers["content-type"], "application/pdf");
    assert_eq!(headers["content-disposition"], "attachment; filename*=UTF-8''Plan%201.pdf");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let policy = headers["content-security-policy"].to_str().expect("text");
    assert!(policy.starts_with("sandbox; default-src 'none'"), "{policy}");
    let tag = headers["etag"].to_str().expect("text");
    let (status, _, bytes) = fetch(&hatch, ids[0], Some(tag)).await;
    assert_eq!((status, bytes.len()), (StatusCode::NOT_MODIFIED, 0));

    let (_, headers, bytes) = fetch(&hatch, ids[1], None).await;
    assert_eq!(
        (headers["content-type"].to_str().expect("text"), &bytes[..]),
        ("application/octet-stream", page)
    );

    let in_events = "SELECT count(*) FROM es.events WHERE payload::text LIKE '%\"content\"%' \
                     OR length(payload::text) > 10000";
    assert_eq!(hatch.count(in_events).await, 0);
    let kept = "SELECT count(*) FROM hatch.contents";
    assert_eq!(hatch.count(kept).await, 2, "the same mail again brings nothing new");
    let raw = "SELECT count(*) FROM hatch.raw_mails WHERE bytes > 5000000";
    assert_eq!(hatch.count(raw).await, 1);
    let id = message["id"].as_str().expect("an id");
    let logged = hatch.get(&format!("/api/v1/webhook-log?message={id}&outcome=applied")).await;
    let bytes = logged.body["data"][0]["body_bytes"].as_u64();
    assert!(bytes.is_some_and(|bytes| bytes > 5_000_000), "{}", logged.body);

    let (status, ..) = fetch(&hatch, &Uuid::nil().to_string(), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let session = hatch.database.connect().await;
    let sql = "UPDATE rm_messages_v1.attachments SET tenant_id = gen_random_uuid()";
    session.batch_execute(sql).await.expect("written");
    session.close().await;
    let (status, ..) = fetch(&hatch, ids[0], None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "it is another tenant's");
    hatch.finish().await;
}

#[tokio::test]
async fn a_text_that_is_too_long_for_an_event_is_whole_among_the_files() {
    let hatch = Hatch::start().await;
    let text = "A long story. ".repeat(220_000);
    let text = text.trim_end();
    let parts = parsed("Message-ID: <long@example.com>\r\n", "ann@example.com", text);
    assert_eq!(post_mail(&hatch, &parts).await.as_u16() / 100, 2);
    let message = message_from(&hatch, "ann@example.com").await;
    let body = message["body"].as_str().expect("a text");
    assert!(body.starts_with("A long story.") && body.ends_with("[…]"), "{} bytes", body.len());
    let file = &message["attachments"][0];
    assert_eq!((&file["filename"], &file["status"]), (&json!("body.txt"), &json!("kept")));
    let (_, headers, bytes) = fetch(&hatch, file["id"].as_str().expect("an id"), None).await;
    assert_eq!(headers["content-type"], "text/plain");
    assert!(bytes == text.as_bytes(), "{} bytes", bytes.len());
    hatch.finish().await;
}

#[tokio::test]
async fn a_file_of_a_mail_that_was_sent_is_fetched_and_one_at_a_url_is_not() {
    let hatch = Hatch::start().await;
    let content = BASE64_STANDARD.encode("Order 42\n");
    let mail = json!({"channel": "email", "to": "ann@example.com", "subject": "s", "body": "b",
        "attachments": [{"filename": "order.txt", "content_type": "text/plain", "content": content}]});
    let mail = hatch.post("/api/v1/messages", &mail).await;
    let mail = hatch.message_with_status(mail.text("id"), "delivered").await;
    let file = &mail["attachments"][0];
    assert_eq!((&file["size_bytes"], &file["status"]), (&json!(9), &json!("kept")));
    let (status, headers, bytes) = fetch(&hatch, file["id"].as_str().expect("an id"), None).await;
    assert_eq!((status, &bytes[..]), (StatusCode::OK, b"Order 42\n".as_slice()));
    assert_eq!(headers["etag"].len(), 66);

    let mms = json!({"from": SENDER, "to": CUSTOMER, "body": "b", "attachments": ["https://f.example/a.jpg"]});
    let mms = hatch.post("/api/v1/messages", &mms).await;
    let mms = hatch.message_with_status(mms.text("id"), "delivered").await;
    let file = &mms["attachments"][0];
    assert_eq!(file["status"], "elsewhere");
    let path = format!("/api/v1/attachments/{}", file["id"].as_str().expect("an id"));
    let answer = hatch.get(&path).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.text("detail").contains("url"), "{}", answer.body);
    hatch.finish().await;
}

/// Has the log say of a message what a build would that reads mails badly: another text, and no files.
async fn misread(hatch: &Hatch, id: &str) {
    let (config, ending) = (hatch.database.config(), CancellationToken::new());
    let pool = hatch_eventstore::pool(&config, 2, Duration::from_secs(5));
    let (appender, appending) = Appender::start(AppenderConfig::default(), config, ending.clone());
    let store = Store::new(appender, Log::new(pool), Arc::new(SystemEnvironment));
    let (tenant, id) = (TenantId::DEFAULT.0, id.parse().expect("an id"));
    let mail = store.load::<Message>(tenant, id).await.expect("it is there").state;
    let mut message = Box::new(mail.received().expect("it came in").clone());
    message.body = Some("Gr\u{fffd}\u{fffd}e".to_owned());
    message.attachments.clear();
    let command = MessageCommand::Reread { message, at: store.environment().now() };
    let execute = Execute::<Message>::new(tenant, id, &command, Metadata::default());
    assert_eq!(store.execute(execute).await.expect("it is taken").events.len(), 1);
    drop(store);
    ending.cancel();
    appending.await.expect("it ends");
}

/// What a command prints that knows the account of SendGrid, and that it succeeds.
async fn command(hatch: &Hatch, folder: &TempDir, arguments: &[&str]) -> String {
    let sendgrid = &hatch.settings.accounts["sendgrid"].of_provider;
    let key = sendgrid["event_public_keys"][0].as_str().expect("it is set");
    let file =
        format!("[sendgrid]\napi_key = \"any\"\nevent_public_keys = [\"\"\"\n{key}\"\"\"]\n");
    std::fs::write(folder.path().join("hatch.toml"), file).expect("written");
    let mut command = program(folder.path(), env!("CARGO_BIN_EXE_hatch"));
    command.args(arguments).env("HATCH_DATABASE_URL", hatch.database.url());
    let output = command.output().await.expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[tokio::test]
async fn mails_are_read_again_from_what_is_kept_and_again_changes_nothing() {
    let (hatch, folder) = (Hatch::start().await, data_folder());
    let mut parts =
        parsed("Message-ID: <again@example.com>\r\n", "ann@example.com", "Gr\u{fc}\u{df}e");
    parts.push(("attachment1", Some(("a.txt", "text/plain")), b"A file"));
    assert_eq!(post_mail(&hatch, &parts).await.as_u16() / 100, 2);
    let read = message_from(&hatch, "ann@example.com").await;
    let (id, file) = (read["id"].as_str().expect("an id"), &read["attachments"][0]);
    let shown = async |body: &str| {
        let is_shown = async |hatch: &Hatch| {
            let message = hatch.get(&format!("/api/v1/messages/{id}")).await.body;
            (message["body"] == body).then_some(message)
        };
        hatch.eventually("the reading is shown", is_shown).await
    };
    misread(&hatch, id).await;
    let worse = shown("Gr\u{fffd}\u{fffd}e").await;
    assert_eq!(worse["attachments"], json!([]));

    let tried = command(&hatch, &folder, &["webhooks", "rederive", "--dry-run"]).await;
    let otherwise = "1 mail read again: 1 otherwise (attachments 1, body 1), 0 left alone";
    assert!(tried.contains(otherwise) && tried.contains("nothing was recorded"), "{tried}");
    let events = hatch.log_length().await;
    let done = command(&hatch, &folder, &["webhooks", "rederive", "--message", id]).await;
    assert!(done.contains(otherwise), "{done}");
    assert_eq!(hatch.log_length().await, events + 1);
    let again = shown("Gr\u{fc}\u{df}e").await;
    assert_eq!(again["attachments"][0], *file, "the file has the id that it had");
    let (_, _, bytes) = fetch(&hatch, file["id"].as_str().expect("an id"), None).await;
    assert_eq!(bytes, b"A file");
    for field in ["conversation_id", "from", "to", "created_at", "status", "message_id_header"] {
        assert_eq!(again[field], read[field], "{field}");
    }
    let conversation = read["conversation_id"].as_str().expect("an id");
    let conversation = hatch.get(&format!("/api/v1/conversations/{conversation}")).await.body;
    assert_eq!(conversation["last_message"]["preview"], "Gr\u{fc}\u{df}e");

    let repeated = command(&hatch, &folder, &["webhooks", "rederive"]).await;
    assert!(repeated.contains("1 mail read again: 0 otherwise, 0 left alone"), "{repeated}");
    assert_eq!(hatch.log_length().await, events + 1);
    let then = hatch.get(&format!("/api/v1/messages/{id}?at={events}")).await;
    assert_eq!(then.body["body"], "Gr\u{fffd}\u{fffd}e", "as it was read then");
    let pool = hatch_eventstore::pool(&hatch.database.config(), 2, Duration::from_secs(10));
    let verified = hatch_readmodel::verify(&pool, &messages::DEFINITION, |_| {}).await;
    let verified = verified.expect("it can be verified");
    assert!(verified.is_equal(), "{verified:#?}");
    let listed = command(&hatch, &folder, &["webhooks", "list", "--outcome", "applied"]).await;
    assert!(listed.contains("sendgrid"), "{listed}");
    hatch.finish().await;
}
