//! Mailgun: sends, events, look-ups, mail that comes in.

use hmac::{Hmac, Mac};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::{Hatch, Posted, Provider, answer, id, until};

const DOMAIN: &str = "mail.usehatchapp.com";
const API_KEY: &str = "dev-mailgun-api-key";
const SENDER: &str = "user@usehatchapp.com";
const CUSTOMER: &str = "customer@example.com";

/// The fields of a mail as hatch sends it.
fn mail(id: Uuid, to: &str) -> Vec<(String, String)> {
    let fields = [
        ("from", "Ünï <user@usehatchapp.com>"),
        ("to", to),
        ("subject", "Hello"),
        ("text", "Hi"),
        ("o:tag", "welcome"),
        ("v:message_id", &id.to_string()),
        ("v:attempt", "1"),
    ];
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Whether the account's key signed these.
fn is_signed(timestamp: &str, token: &str, signature: &str) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"dev-mailgun-signing-key").expect("any length");
    mac.update(format!("{timestamp}{token}").as_bytes());
    let expected: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    token.len() == 50 && timestamp.len() == 10 && signature == expected
}

/// A form of several parts, and its content type.
fn multipart(fields: &[(String, String)], file: &str) -> (String, String) {
    let mut body = String::new();
    for (name, value) in fields {
        body += &format!(
            "--b0undary\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
    }
    body += &format!(
        "--b0undary\r\nContent-Disposition: form-data; name=\"attachment\"; filename=\"a.txt\"\r\n\
         Content-Type: text/plain\r\n\r\n{file}\r\n--b0undary--\r\n"
    );
    ("multipart/form-data; boundary=b0undary".to_owned(), body)
}

impl Provider {
    fn to_mailgun(&self) -> RequestBuilder {
        let url = format!("{}/v3/{DOMAIN}/messages", self.url);
        self.client.post(url).basic_auth("api", Some(API_KEY))
    }

    /// A mail that is accepted; returns its id without angle brackets.
    async fn queued(&self, id: Uuid, to: &str) -> String {
        let (status, body) = answer(self.to_mailgun().form(&mail(id, to))).await;
        assert_eq!((status, &body["message"]), (200, &json!("Queued. Thank you.")), "{body}");
        let id = body["id"].as_str().expect("an id");
        let inner = id.strip_prefix('<').and_then(|id| id.strip_suffix('>'));
        inner.expect("angle brackets").to_owned()
    }

    async fn looked_up(&self, query: &[(&str, &str)]) -> Value {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let url = format!("{}/v3/{DOMAIN}/events?{query}", self.url);
        self.page_at(&url).await
    }

    async fn page_at(&self, url: &str) -> Value {
        let (status, page) = answer(self.client.get(url).basic_auth("api", Some(API_KEY))).await;
        assert_eq!(status, 200, "{page}");
        page
    }
}

impl Hatch {
    /// The events about a mail, in the order in which they were posted.
    fn events_about(&self, mail: &str) -> Vec<Value> {
        let read = |posted: Posted| serde_json::from_slice::<Value>(&posted.body).expect("JSON");
        let events = self.posted().into_iter().map(|posted| read(posted)["event-data"].take());
        events.filter(|event| event["message"]["headers"]["message-id"] == mail).collect()
    }

    async fn has_events_about(&self, mail: &str, expected: &[&str]) -> Vec<Value> {
        until(|| self.events_about(mail).len() >= expected.len()).await;
        let events = self.events_about(mail);
        let names: Vec<_> = events.iter().filter_map(|event| event["event"].as_str()).collect();
        assert_eq!(names, expected);
        events
    }
}

#[tokio::test]
async fn a_mail_is_accepted_and_then_delivered_in_signed_events() {
    let provider = Provider::start().await;
    let mut fields = mail(id(7), CUSTOMER);
    fields.push(("cc".to_owned(), "\"Doe, Jane\" <cc@example.com>".to_owned()));
    fields.push(("h:Message-Id".to_owned(), "<1@hatch>".to_owned()));
    let (content_type, body) = multipart(&fields, "a file");
    let request = provider.to_mailgun().header("content-type", content_type).body(body);
    let (status, said) = answer(request).await;
    assert_eq!((status, &said["id"]), (200, &json!("<1@hatch>")), "{said}");
    let expected = ["accepted", "accepted", "delivered", "delivered"];
    let events = provider.hatch.has_events_about("1@hatch", &expected).await;
    let recipients: Vec<_> = events.iter().map(|event| event["recipient"].clone()).collect();
    assert_eq!(recipients, [CUSTOMER, "cc@example.com", CUSTOMER, "cc@example.com"]);
    for event in &events {
        let variables = json!({"message_id": id(7), "attempt": "1"});
        assert_eq!((&event["user-variables"], &event["tags"]), (&variables, &json!(["welcome"])));
        assert!(event["timestamp"].is_f64() && event["id"].is_string());
        assert_eq!(event["flags"]["is-test-mode"], false);
        let headers = &event["message"]["headers"];
        assert_eq!((&headers["to"], &headers["subject"]), (&json!(CUSTOMER), &json!("Hello")));
    }
    assert_eq!(events[2]["delivery-status"]["code"], 250);
    let ids: std::collections::HashSet<_> = events.iter().map(|e| e["id"].to_string()).collect();
    assert_eq!(ids.len(), 4, "each event has an id of its own");
    let mut tokens = std::collections::HashSet::new();
    for posted in provider.hatch.posted() {
        assert_eq!(posted.uri, "/api/v1/webhooks/mailgun");
        let body: Value = serde_json::from_slice(&posted.body).expect("JSON");
        let [timestamp, token, signature] = ["timestamp", "token", "signature"]
            .map(|key| body["signature"][key].as_str().expect("text").to_owned());
        assert!(is_signed(&timestamp, &token, &signature) && tokens.insert(token));
    }
    let line = &provider.record().await[0];
    assert_eq!((&line["provider"], &line["account"]), (&json!("mailgun"), &json!(DOMAIN)));
    assert_eq!((&line["from"], &line["to"]), (&json!(SENDER), &json!(CUSTOMER)));
    assert_eq!((&line["hatch_message_id"], &line["calls"]), (&json!(id(7)), &json!(1)));
}

#[tokio::test]
async fn only_the_domains_key_may_send() {
    let provider = Provider::start().await;
    let url = format!("{}/v3/{DOMAIN}/messages", provider.url);
    let request = || provider.client.post(&url).form(&mail(id(1), CUSTOMER));
    for stranger in
        [request(), request().basic_auth("api", Some("wrong")), request().bearer_auth(API_KEY)]
    {
        let response = stranger.send().await.expect("an answer");
        assert_eq!(response.status(), 401);
        assert_eq!(response.text().await.expect("text"), "Forbidden");
    }
    let (status, said) = answer(request().basic_auth("api", Some("second-key"))).await;
    assert_eq!((status, said["message"].is_string()), (404, true), "a domain of another account");
    let second = url.replace(DOMAIN, "second.example");
    let request = provider.client.post(second).basic_auth("api", Some("second-key"));
    assert_eq!(answer(request.form(&mail(id(1), CUSTOMER))).await.0, 200);
    assert_eq!(provider.record().await[0]["account"], "second.example");
}

#[tokio::test]
async fn what_mailgun_refuses_is_refused_with_a_message() {
    let provider = Provider::start().await;
    let cases: [(&str, &str, &str); 7] = [
        ("from", "", "from parameter is missing"),
        ("from", "nobody", "from parameter is not a valid address"),
        ("to", "", "to parameter is missing"),
        ("to", "nobody", "to parameter is not a valid address"),
        ("cc", "nobody", "cc parameter is not a valid address"),
        ("text", "", "Need at least one of 'text'"),
        ("v:more", &"x".repeat(17 * 1024), "16 KB"),
    ];
    for (name, value, expected) in cases {
        let mut fields = mail(id(1), CUSTOMER);
        fields.retain(|(known, _)| known != name);
        fields.push((name.to_owned(), value.to_owned()));
        let (status, said) = answer(provider.to_mailgun().form(&fields)).await;
        let message = said["message"].as_str().expect("a message");
        assert!(status == 400 && message.contains(expected), "{name}: {said}");
    }
    let many = vec![CUSTOMER; 1_001].join(",");
    assert_eq!(answer(provider.to_mailgun().form(&mail(id(1), &many))).await.0, 400);
    let no_form = provider.to_mailgun().json(&json!({"to": CUSTOMER}));
    assert_eq!(answer(no_form).await.0, 400);
    assert!(provider.record().await.is_empty());
    let (content_type, body) = multipart(&mail(id(1), CUSTOMER), &"x".repeat(3 * 1024 * 1024));
    let large = provider.to_mailgun().header("content-type", content_type).body(body);
    assert_eq!(answer(large).await.0, 200, "a large mail is taken");
}

#[tokio::test]
async fn each_odd_recipient_has_its_own_answer_and_events() {
    let provider = Provider::start().await;
    for (n, local, failure) in [(1, "throttle+a", 429), (2, "outage", 500)] {
        let to = format!("{local}@example.com");
        for _ in 0..2 {
            let request = provider.to_mailgun().form(&mail(id(n), &to));
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status(), failure);
            let wait = response.headers().get("retry-after").cloned();
            assert_eq!(wait.is_some_and(|wait| wait == "1"), failure == 429);
            let body: Value = response.json().await.expect("JSON");
            let message = body["message"].as_str().expect("a message");
            assert_eq!(message.contains("limit exceeded, try again after "), failure == 429);
        }
        let mail = provider.queued(id(n), &to).await;
        provider.hatch.has_events_about(&mail, &["accepted", "delivered"]).await;
    }
    let silent = provider.queued(id(3), "silent@example.com").await;
    let reversed = ["delivered", "accepted", "delivered", "accepted"];
    let cases: [(&str, &[&str], Value); 4] = [
        ("disorder+1", &reversed, json!([null, 250])),
        ("bounce", &["accepted", "failed"], json!(["bounce", 550])),
        ("invalid", &["failed"], json!(["suppress-bounce", 605])),
        ("optout", &["failed"], json!(["suppress-unsubscribe", 606])),
    ];
    for (n, (local, expected, why)) in (4..).zip(cases) {
        let mail = provider.queued(id(n), &format!("{local}@example.com")).await;
        let events = provider.hatch.has_events_about(&mail, expected).await;
        let told = events.iter().find(|event| event["event"] != "accepted").expect("an end");
        assert_eq!(json!([told["reason"], told["delivery-status"]["code"]]), why, "{local}");
        let is_final = told["severity"] == "permanent";
        assert_eq!(is_final, told["event"] == "failed");
        if local == "disorder+1" {
            assert_eq!((&events[0], &events[1]), (&events[2], &events[3]));
        }
    }
    assert!(provider.hatch.events_about(&silent).is_empty());
    let early = provider.queued(id(9), "early@example.com").await;
    assert!(provider.hatch.events_about(&early).iter().any(|one| one["event"] == "delivered"));
    until(|| provider.hatch.events_about(&early).len() == 3).await;
}

#[tokio::test]
async fn what_was_never_answered_is_found_by_a_look_up() {
    let provider = Provider::start().await;
    for (n, local) in [(1, "mute"), (2, "hole")] {
        let mail = mail(id(n), &format!("{local}@example.com"));
        provider.unanswered(provider.to_mailgun().form(&mail), 1).await;
    }
    let record = provider.record().await;
    assert_eq!(record.len(), 1, "the hole records nothing");
    let mute = record[0]["provider_message_id"].as_str().expect("an id");
    provider.hatch.has_events_about(mute, &["accepted", "delivered"]).await;
    let found =
        provider.looked_up(&[("recipient", "mute@example.com"), ("ascending", "yes")]).await;
    let items = found["items"].as_array().expect("a list");
    let names: Vec<_> = items.iter().filter_map(|item| item["event"].as_str()).collect();
    assert_eq!(names, ["accepted", "delivered"]);
    assert_eq!(items[0]["user-variables"]["message_id"], json!(id(1)));
    assert_eq!(items[1]["message"]["headers"]["message-id"], mute);
    let none = provider.looked_up(&[("recipient", "hole@example.com")]).await;
    assert_eq!(none["items"], json!([]));
    provider.stop().await;
}

#[tokio::test]
async fn a_mail_that_is_sent_again_has_events_of_its_own() {
    let provider = Provider::start().await;
    for attempt in ["1", "2"] {
        let mut fields = mail(id(1), CUSTOMER);
        fields.retain(|(name, _)| name != "v:attempt");
        let more = [("v:attempt", attempt), ("h:Message-Id", "<1@hatch>")];
        fields.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(answer(provider.to_mailgun().form(&fields)).await.0, 200);
    }
    until(|| provider.hatch.events_about("1@hatch").len() == 4).await;
    let found = provider.looked_up(&[("message-id", "1@hatch")]).await;
    let items = found["items"].as_array().expect("a list");
    let of = |attempt: &str| {
        items.iter().filter(|item| item["user-variables"]["attempt"] == attempt).count()
    };
    assert_eq!((of("1"), of("2")), (2, 2));
    let ids: std::collections::HashSet<_> = items.iter().map(|e| e["id"].to_string()).collect();
    assert_eq!(ids.len(), 4, "each event has an id of its own");
}

#[tokio::test]
async fn events_are_looked_up_by_what_they_are_about_and_in_pages() {
    let provider = Provider::start().await;
    let mails = [
        provider.queued(id(1), CUSTOMER).await,
        provider.queued(id(2), CUSTOMER).await,
        provider.queued(id(3), "bounce@example.com").await,
    ];
    for (mail, last) in mails.iter().zip(["delivered", "delivered", "failed"]) {
        provider.hatch.has_events_about(mail, &["accepted", last]).await;
    }
    for asked in [mails[2].clone(), format!("<{}>", mails[2])] {
        let found = provider.looked_up(&[("message-id", &asked)]).await;
        let items = found["items"].as_array().expect("a list");
        let names: Vec<_> = items.iter().filter_map(|item| item["event"].as_str()).collect();
        assert_eq!(names, ["failed", "accepted"], "the newest first");
    }
    let some = provider.looked_up(&[("event", "failed OR delivered"), ("limit", "300")]).await;
    assert_eq!(some["items"].as_array().map(Vec::len), Some(3));
    let past = [("begin", "Mon, 20 Dec 2021 20:33:21 GMT"), ("end", "1640032402")];
    assert_eq!(provider.looked_up(&past).await["items"], json!([]));

    let mut page = provider.looked_up(&[("ascending", "yes"), ("limit", "4")]).await;
    let mut seen = Vec::new();
    while let Some(items) = page["items"].as_array().filter(|items| !items.is_empty()) {
        seen.extend(items.iter().map(|item| item["id"].to_string()));
        page = provider.page_at(page["paging"]["next"].as_str().expect("a URL")).await;
    }
    assert_eq!(seen.len(), 6);
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 6);
    for (name, value) in [("limit", "301"), ("limit", "x"), ("begin", "yesterday")] {
        let url = format!("{}/v3/{DOMAIN}/events?{name}={value}", provider.url);
        let request = provider.client.get(url).basic_auth("api", Some(API_KEY));
        assert_eq!(answer(request).await.0, 400, "{name}={value}");
    }
}

#[tokio::test]
async fn an_account_that_is_disturbed_answers_as_mailgun_does() {
    let provider = Provider::start().await;
    let cases = [
        ("down", 503, "Unavailable"),
        ("throttled", 429, "limit exceeded"),
        ("suspended", 400, "is not allowed to send"),
        ("no_credit", 402, "Request failed"),
    ];
    let domain = || {
        let url = format!("{}/v4/domains/{DOMAIN}", provider.url);
        provider.client.get(url).basic_auth("api", Some(API_KEY))
    };
    for (mode, status, part) in cases {
        assert_eq!(provider.disturb(DOMAIN, json!({"mode": mode})).await, 200);
        let (answered, said) = answer(provider.to_mailgun().form(&mail(id(1), CUSTOMER))).await;
        assert_eq!(answered, status, "{mode}");
        assert!(said["message"].as_str().is_some_and(|text| text.contains(part)), "{said}");
        let (answered, said) = answer(domain()).await;
        let is_told = ["suspended", "no_credit"].contains(&mode);
        assert_eq!(answered, if is_told { 200 } else { status }, "{mode}");
        assert_eq!(said["domain"]["state"] == "disabled", is_told);
    }
    provider.disturb("mailgun", json!({"mode": "unauthorized"})).await;
    assert_eq!(answer(domain()).await.0, 401);
    provider.disturb("mailgun", json!({"mode": "mute"})).await;
    assert_eq!(answer(domain()).await.1["domain"]["state"], "active");
    provider.unanswered(provider.to_mailgun().form(&mail(id(2), CUSTOMER)), 1).await;
    provider.stop().await;
}

#[tokio::test]
async fn an_event_is_repeated_until_it_is_taken_or_refused_for_good() {
    let provider = Provider::start().await;
    // The last one is answered first.
    *provider.hatch.statuses.lock().expect("not held") = vec![204, 406, 503, 500];
    let mail = provider.queued(id(1), CUSTOMER).await;
    let expected = ["accepted", "accepted", "accepted", "delivered"];
    provider.hatch.has_events_about(&mail, &expected).await;
    let posted = provider.hatch.posted();
    assert_eq!(posted[0].body, posted[2].body, "a repeat has the same token");
}

#[tokio::test]
async fn due_events_outlive_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("record.ndjson");
    let provider = Provider::start_with(Hatch::start().await, Some(path.clone())).await;
    *provider.hatch.statuses.lock().expect("not held") = vec![503; 1_000];
    let due = provider.queued(id(1), CUSTOMER).await;
    until(|| !provider.hatch.events_about(&due).is_empty()).await;
    let hatch = provider.stop().await;
    hatch.posted.lock().expect("not held").clear();
    hatch.statuses.lock().expect("not held").clear();
    let provider = Provider::start_with(hatch, Some(path)).await;
    let events = provider.hatch.has_events_about(&due, &["accepted", "delivered"]).await;
    assert_eq!(events[0]["user-variables"]["message_id"], json!(id(1)));
}

#[tokio::test]
async fn a_mail_that_comes_in_is_a_signed_form_with_its_headers_and_files() {
    let provider = Provider::start().await;
    let request = json!({
        "provider": "mailgun", "from": "Jürgen <juergen@example.com>", "to": SENDER,
        "subject": "Grüße", "body": "Hi 🥚", "in_reply_to": "1@hatch", "references": ["0@hatch", "1@hatch"],
        "attachments": [{"url": "https://files.example/a.png", "content_type": "image/png"}],
    });
    let (status, said) = provider.inbound(request).await;
    assert_eq!((status, &said["status"]), (200, &json!(204)), "{said}");
    let id = said["provider_message_id"].as_str().expect("an id");
    let posted = provider.hatch.posted().remove(0);
    assert_eq!(posted.uri, "/api/v1/webhooks/mailgun/inbound");
    let content_type = posted.headers["content-type"].to_str().expect("text").to_owned();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").expect("a form");
    let body = String::from_utf8(posted.body.to_vec()).expect("UTF-8");
    let field = |name: &str| {
        let begin = format!("name=\"{name}\"\r\n\r\n");
        let (_, rest) = body.split_once(&begin).unwrap_or_else(|| panic!("{name} in {body}"));
        rest.split(&format!("\r\n--{boundary}")).next().unwrap_or_default().to_owned()
    };
    assert!(is_signed(&field("timestamp"), &field("token"), &field("signature")));
    for (name, value) in [
        ("recipient", SENDER),
        ("sender", "juergen@example.com"),
        ("from", "Jürgen <juergen@example.com>"),
        ("subject", "Grüße"),
        ("body-plain", "Hi 🥚"),
        ("attachment-count", "1"),
        ("References", "<0@hatch> <1@hatch>"),
    ] {
        assert_eq!(field(name), value, "{name}");
    }
    let headers: Value = serde_json::from_str(&field("message-headers")).expect("JSON");
    let has = |name: &str, value: &str| {
        headers.as_array().is_some_and(|all| all.contains(&json!([name, value])))
    };
    assert!(has("Message-ID", &format!("<{id}>")) && has("In-Reply-To", "<1@hatch>"), "{headers}");
    assert!(body.contains("name=\"attachment-1\"; filename=\"a.png\"\r\nContent-Type: image/png"));
}
