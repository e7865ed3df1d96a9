//! Webhooks as a provider posts them, and as an impostor would.

use base64::Engine;
use chrono::TimeDelta;
use hatch::roles::Role;
use hatch_dispatcher::DoubtPolicy;
use hmac::{Hmac, Mac};
use reqwest::StatusCode;
use serde_json::json;

use crate::dispatch::NOBODY_DISPATCHES;
use crate::due::with_policy;
use crate::harness::{ACCOUNT, AUTH_TOKEN, CUSTOMER, Hatch, SENDER, unique};
use crate::time::as_in_production;

/// A form post to hatch, signed as Twilio signs: HMAC-SHA1 over the URL and the sorted parameters.
pub(crate) struct Post<'a> {
    pub(crate) path_and_query: String,
    pub(crate) form: Vec<(&'a str, String)>,
    pub(crate) token: &'a str,
}

impl Post<'_> {
    pub(crate) async fn send(&self, hatch: &Hatch) -> StatusCode {
        self.send_to(hatch, &hatch.url).await
    }

    pub(crate) async fn send_to(&self, hatch: &Hatch, address: &str) -> StatusCode {
        let url = format!("{address}{}", self.path_and_query);
        let mut sorted = self.form.clone();
        sorted.sort();
        let signed = sorted.iter().fold(url.clone(), |text, (key, value)| text + key + value);
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(self.token.as_bytes()).expect("any key");
        mac.update(signed.as_bytes());
        let signature =
            base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        let request = hatch.http.post(url).header("x-twilio-signature", signature);
        request.form(&self.form).send().await.expect("hatch answers").status()
    }
}

pub(crate) fn receipt<'a>(id: &str, sid: &str, status: &str) -> Post<'a> {
    let tenant = "00000000-0000-0000-0000-000000000001";
    Post {
        path_and_query: format!(
            "/api/v1/webhooks/twilio?message_id={id}&attempt=1&tenant_id={tenant}"
        ),
        form: vec![
            ("MessageSid", sid.to_owned()),
            ("SmsSid", sid.to_owned()),
            ("MessageStatus", status.to_owned()),
            ("SmsStatus", status.to_owned()),
            ("AccountSid", ACCOUNT.to_owned()),
            ("From", SENDER.to_owned()),
            ("To", CUSTOMER.to_owned()),
            ("ApiVersion", "2010-04-01".to_owned()),
        ],
        token: AUTH_TOKEN,
    }
}

pub(crate) fn inbound<'a>(sid: &str) -> Post<'a> {
    Post {
        path_and_query: "/api/v1/webhooks/twilio".to_owned(),
        form: vec![
            ("MessageSid", sid.to_owned()),
            ("SmsStatus", "received".to_owned()),
            ("AccountSid", ACCOUNT.to_owned()),
            ("From", CUSTOMER.to_owned()),
            ("To", SENDER.to_owned()),
            ("Body", "Grüße & mehr".to_owned()),
            ("NumMedia", "0".to_owned()),
            ("NumSegments", "1".to_owned()),
        ],
        token: AUTH_TOKEN,
    }
}

async fn outcomes(hatch: &Hatch, outcome: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM hatch.webhook_log WHERE outcome = '{outcome}'");
    hatch.count(&sql).await
}

/// A message that the provider took and never spoke of again, with its provider id.
pub(crate) async fn sent(hatch: &Hatch) -> (String, String) {
    let id = hatch.send_sms("+18045550888", "Hello").await;
    let message = hatch.message_with_status(&id, "sent").await;
    let sid = message["provider_message_id"].as_str().expect("an id").to_owned();
    (id, sid)
}

#[tokio::test]
async fn a_signed_receipt_is_recorded_once_however_often_it_comes() {
    let hatch = Hatch::start().await;
    let (id, sid) = sent(&hatch).await;
    let before = hatch.log_length().await;
    for _ in 0..3 {
        let status = receipt(&id, &sid, "delivered").send(&hatch).await;
        assert!(status.is_success(), "{status}");
    }
    assert_eq!(hatch.log_length().await, before + 1);
    assert_eq!((outcomes(&hatch, "applied").await, outcomes(&hatch, "duplicate").await), (1, 2));
    hatch.message_with_status(&id, "delivered").await;
    hatch.finish().await;
}

#[tokio::test]
async fn concurrent_twins_of_a_receipt_add_one_event() {
    let hatch = Hatch::start().await;
    let (id, sid) = sent(&hatch).await;
    let before = hatch.log_length().await;
    let post = receipt(&id, &sid, "delivered");
    let statuses = futures::future::join_all((0..10).map(|_| post.send(&hatch))).await;
    assert!(statuses.iter().all(StatusCode::is_success), "{statuses:?}");
    assert_eq!(hatch.log_length().await, before + 1);
    hatch.finish().await;
}

#[tokio::test]
async fn a_later_lower_status_does_not_move_the_message_back() {
    let hatch = Hatch::start().await;
    let (id, sid) = sent(&hatch).await;
    for status in ["delivered", "undelivered", "sent", "queued"] {
        assert!(receipt(&id, &sid, status).send(&hatch).await.is_success());
    }
    hatch.message_with_status(&id, "delivered").await;
    let types = hatch.event_types(&id).await;
    assert_eq!(types.last().map(String::as_str), Some("MessageDelivered"));
    hatch.finish().await;
}

#[tokio::test]
async fn a_late_receipt_settles_a_doubt() {
    let hatch = Hatch::start_with(&Role::ALL, as_in_production).await;
    let id = hatch.send_sms("+18045550503", "Hello").await;
    hatch.message_with_status(&id, "in_doubt").await;
    let sid = format!("SM{}", unique());
    assert!(receipt(&id, &sid, "delivered").send(&hatch).await.is_success());
    let message = hatch.message_with_status(&id, "delivered").await;
    assert_eq!(message["provider_message_id"], *sid);
    assert_eq!(message["error"], serde_json::json!(null));
    hatch.finish().await;
}

#[tokio::test]
async fn a_delivery_by_an_earlier_attempt_is_recorded_of_a_message_that_was_called_off() {
    let mut hatch = Hatch::start_with_clock(&Role::ALL, with_policy(DoubtPolicy::Fail)).await;
    let id = hatch.send_sms("+18045550503", "Hello").await;
    hatch.hasten(&id, "failed").await;
    // So that nobody begins the new round before it is called off.
    hatch.stop().await;
    hatch.start_again(NOBODY_DISPATCHES).await;
    for step in ["retry", "cancel"] {
        let path = format!("/api/v1/messages/{id}/{step}");
        let answer = hatch.eventually("hatch is there again", async |hatch| {
            let request = hatch.http.post(format!("{}{path}", hatch.url)).send().await.ok()?;
            Some(request.status())
        });
        assert!(answer.await.is_success(), "{step}");
    }
    hatch.message_with_status(&id, "canceled").await;
    let sid = format!("SM{}", unique());
    assert!(receipt(&id, &sid, "delivered").send(&hatch).await.is_success());
    assert_eq!((outcomes(&hatch, "applied").await, outcomes(&hatch, "duplicate").await), (1, 0));
    hatch.message_with_status(&id, "delivered").await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_wrong_or_missing_signature_is_401_and_a_row_and_nothing_else() {
    let hatch = Hatch::start().await;
    let (id, sid) = sent(&hatch).await;
    let before = hatch.log_length().await;
    let forged = Post { token: "guess", ..receipt(&id, &sid, "delivered") };
    assert_eq!(forged.send(&hatch).await, StatusCode::UNAUTHORIZED);

    let url = format!("{}/api/v1/webhooks/twilio", hatch.url);
    let unsigned = hatch.http.post(url).form(&inbound("SM1").form).send().await;
    assert_eq!(unsigned.expect("an answer").status(), StatusCode::UNAUTHORIZED);

    assert_eq!(hatch.log_length().await, before);
    assert_eq!(outcomes(&hatch, "rejected_signature").await, 2);
    hatch.message_with_status(&id, "sent").await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_receipt_with_the_providers_id_alone_is_matched() {
    let hatch = Hatch::start().await;
    let (id, sid) = sent(&hatch).await;
    let nameless = Post {
        path_and_query: "/api/v1/webhooks/twilio".to_owned(),
        ..receipt(&id, &sid, "delivered")
    };
    assert!(nameless.send(&hatch).await.is_success());
    hatch.message_with_status(&id, "delivered").await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_name_that_no_index_takes_is_quarantined_and_stops_nothing() {
    let hatch = Hatch::start_with_clock(&Role::ALL, |_| {}).await;
    let (id, _) = sent(&hatch).await;
    for name in ["SM\0".to_owned(), "SM".repeat(2_000)] {
        assert!(receipt(&id, &name, "delivered").send(&hatch).await.is_success());
        let unknown = Post {
            path_and_query: "/api/v1/webhooks/twilio".to_owned(),
            ..receipt("", &name, "delivered")
        };
        assert!(unknown.send(&hatch).await.is_success());
    }
    assert_eq!(outcomes(&hatch, "quarantined").await, 4);
    // Due times are kept by what folds these names, too.
    let request = json!({"from": SENDER, "to": CUSTOMER, "body": "later",
        "send_at": hatch.in_time(TimeDelta::hours(1))});
    let later = hatch.post("/api/v1/messages", &request).await;
    let later = later.text("id");
    hatch.message_with_status(later, "scheduled").await;
    hatch.advance(TimeDelta::hours(1)).await;
    hatch.message_with_status(later, "delivered").await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_receipt_that_comes_before_its_message_is_known_waits_for_it_through_a_restart() {
    let mut hatch = Hatch::start().await;
    let (id, sid) = sent(&hatch).await;
    let unknown = format!("SM{}", unique());
    for name in [&unknown, &unknown] {
        let early = Post {
            path_and_query: "/api/v1/webhooks/twilio".to_owned(),
            ..receipt("", name, "delivered")
        };
        assert!(early.send(&hatch).await.is_success());
    }
    assert_eq!(outcomes(&hatch, "quarantined").await, 2);
    let listed = hatch.get("/api/v1/webhook-log?outcome=quarantined").await;
    let detail = listed.body["data"][0]["detail"].as_str().expect("a reason");
    assert!(detail.starts_with("waiting_for_message"), "{detail}");
    let waiting = "SELECT count(*) FROM hatch.waiting_receipts";
    assert_eq!(hatch.count(waiting).await, 2);

    hatch.stop().await;
    hatch.start_again(&Role::ALL).await;
    // As if the provider called the message so all along.
    let database = hatch.database.connect().await;
    let renamed = format!(
        "UPDATE rm_messages_v1.provider_messages SET provider_message_id = '{unknown}'
          WHERE provider_message_id = '{sid}'"
    );
    assert_eq!(database.execute(&renamed, &[]).await.expect("it can be renamed"), 1);
    database.close().await;

    hatch.message_with_status(&id, "delivered").await;
    hatch
        .eventually("nothing waits any more", async |hatch| {
            (hatch.count(waiting).await == 0).then_some(())
        })
        .await;
    let types = hatch.event_types(&id).await;
    assert_eq!(types.iter().filter(|name| *name == "MessageDelivered").count(), 1);
    assert_eq!(outcomes(&hatch, "quarantined").await, 0);
    let listed = hatch.get(&format!("/api/v1/webhook-log?message={id}&outcome=applied")).await;
    let details: Vec<_> =
        listed.body["data"].as_array().expect("a list").iter().map(|w| &w["detail"]).collect();
    assert!(details.contains(&&json!("matched when its message was known")), "{details:?}");
    hatch.finish().await;
}

#[tokio::test]
async fn the_webhook_log_is_paged_filtered_and_shows_a_body_only_by_id() {
    let hatch = Hatch::start().await;
    for n in 0..5 {
        assert!(inbound(&format!("SM{n}")).send(&hatch).await.is_success());
    }
    let forged = Post { token: "guess", ..inbound("SM9") };
    assert_eq!(forged.send(&hatch).await, StatusCode::UNAUTHORIZED);
    let (mut seen, mut path) = (Vec::new(), "/api/v1/webhook-log?limit=2".to_owned());
    loop {
        let page = hatch.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let data = page.body["data"].as_array().expect("a list");
        assert!(data.iter().all(|webhook| webhook.get("body").is_none()));
        seen.extend(data.iter().cloned());
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/api/v1/webhook-log?limit=2&cursor={cursor}");
    }
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[0]["outcome"], "rejected_signature", "newest first");
    assert_eq!(seen[1]["provider_message_id"], "SM4");
    let applied = hatch.get("/api/v1/webhook-log?outcome=applied").await;
    assert_eq!(applied.body["data"].as_array().map(Vec::len), Some(5));

    let id = seen[1]["id"].as_str().expect("an id");
    let whole = hatch.get(&format!("/api/v1/webhook-log/{id}")).await;
    assert!(whole.text("body").contains("MessageSid=SM4"), "{}", whole.body);
    assert!(whole.body["headers"]["x-twilio-signature"].is_string());
    for (query, pointer) in [("outcome=lost", "?outcome"), ("cursor=x", "?cursor")] {
        let answer = hatch.get(&format!("/api/v1/webhook-log?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
    let unknown = hatch.get("/api/v1/webhook-log/0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    hatch.finish().await;
}

#[tokio::test]
async fn a_signed_receipt_for_nothing_we_know_is_kept_and_makes_no_stream() {
    let hatch = Hatch::start().await;
    let unknown = "0199a0c4-7d1e-7c43-9a37-0d8b4f2f6a11";
    let sid = format!("SM{}", unique());
    assert!(receipt(unknown, &sid, "delivered").send(&hatch).await.is_success());
    let mut strange = receipt(unknown, &sid, "teleported");
    assert!(strange.send(&hatch).await.is_success());
    strange.path_and_query = "/api/v1/webhooks/twilio".to_owned();
    assert!(strange.send(&hatch).await.is_success());
    assert_eq!(hatch.log_length().await, 0);
    assert_eq!(outcomes(&hatch, "quarantined").await, 3);
    hatch.finish().await;
}

#[tokio::test]
async fn an_inbound_message_is_taken_in_once_with_its_text() {
    let hatch = Hatch::start().await;
    let sid = format!("SM{}", unique());
    let post = inbound(&sid);
    let statuses = futures::future::join_all((0..5).map(|_| post.send(&hatch))).await;
    assert!(statuses.iter().all(StatusCode::is_success), "{statuses:?}");
    let list = hatch.get("/api/v1/messages?direction=inbound&after=1").await;
    let data = list.body["data"].as_array().expect("a list");
    assert_eq!(data.len(), 1);
    assert_eq!(data[0]["body"], "Grüße & mehr");
    assert_eq!(data[0]["status"], "received");
    assert_eq!(data[0]["provider_message_id"], *sid);
    hatch.finish().await;
}

#[tokio::test]
async fn a_provider_without_an_account_is_404() {
    let hatch = Hatch::start().await;
    let url = format!("{}/api/v1/webhooks/pigeon", hatch.url);
    let answer = hatch.http.post(url).form(&[("a", "b")]).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    hatch.finish().await;
}
