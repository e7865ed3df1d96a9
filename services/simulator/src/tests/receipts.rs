//! Status callbacks: their content, their order, and that they come at last.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::{ACCOUNT, FROM, Posted, Provider, TOKEN, answer, id, until};

/// The signature that Twilio's documentation asks for, from what arrived.
pub(super) fn expected_signature(base: &str, posted: &Posted) -> String {
    let sorted: BTreeMap<String, String> = posted.fields().into_iter().collect();
    let parameters: String = sorted.iter().map(|(key, value)| format!("{key}{value}")).collect();
    let mut mac = Hmac::<Sha1>::new_from_slice(TOKEN.as_bytes()).expect("any length");
    mac.update(format!("{base}{}{parameters}", posted.uri).as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn a_message_is_sent_and_then_delivered_in_twilios_fields() {
    let provider = Provider::start().await;
    let to = "+18045551234";
    let sid = provider.accepted(id(7), to).await;
    provider.hatch.has_receipts(&sid, &["sent", "delivered"]).await;
    for posted in provider.hatch.posted() {
        assert_eq!(posted.uri.path(), "/api/v1/webhooks/twilio");
        let query = format!("message_id={}&attempt=1", id(7));
        assert_eq!(posted.uri.query(), Some(query.as_str()));
        let signature = expected_signature(&provider.hatch.url, &posted);
        assert_eq!(posted.headers["x-twilio-signature"], signature);
        assert!(posted.headers.contains_key("i-twilio-idempotency-token"));
        let status = posted.status();
        let expected = [
            ("AccountSid", ACCOUNT),
            ("ApiVersion", "2010-04-01"),
            ("From", FROM),
            ("MessageSid", &sid),
            ("SmsSid", &sid),
            ("SmsStatus", &status),
            ("To", to),
        ];
        for (key, value) in expected {
            assert_eq!(posted.field(key).as_deref(), Some(value), "{key}");
        }
        let done = posted.field("RawDlrDoneDate");
        assert_eq!(done.is_some_and(|date| date.len() == 10), status == "delivered");
        assert_eq!(posted.field("ErrorCode"), None);
    }
}

#[tokio::test]
async fn each_odd_recipient_has_its_own_receipts() {
    let provider = Provider::start().await;
    let silent = provider.accepted(id(1), "+18045550888").await;
    let disorder = provider.accepted(id(2), "+18045550777").await;
    let bounce = provider.accepted(id(3), "+18045550666").await;
    let reversed = ["delivered", "sent", "delivered", "sent"];
    provider.hatch.has_receipts(&disorder, &reversed).await;
    provider.hatch.has_receipts(&bounce, &["sent", "undelivered"]).await;
    let undelivered = provider.hatch.posted().into_iter().find(|p| p.status() == "undelivered");
    let code = undelivered.and_then(|posted| posted.field("ErrorCode"));
    assert_eq!(code.as_deref(), Some("30005"));
    let repeated: Vec<Posted> = provider.hatch.posted();
    let delivered = repeated.iter().filter(|posted| {
        posted.status() == "delivered" && posted.field("MessageSid").as_ref() == Some(&disorder)
    });
    let bodies: Vec<_> = delivered.map(|posted| posted.body.clone()).collect();
    assert_eq!(bodies[0], bodies[1], "a repeated receipt says the same");
    // The others were accepted later and have had all of theirs.
    assert!(provider.hatch.receipts(&silent).is_empty());
}

#[tokio::test]
async fn an_early_receipt_overtakes_the_answer() {
    let provider = Provider::start().await;
    let sid = provider.accepted(id(1), "+18045550222").await;
    assert!(provider.hatch.receipts(&sid).contains(&"delivered".to_owned()));
    until(|| provider.hatch.receipts(&sid).len() == 3).await;
}

#[tokio::test]
async fn a_receipt_is_repeated_until_it_is_taken() {
    let provider = Provider::start().await;
    *provider.hatch.statuses.lock().expect("not held") = vec![401, 503, 500];
    let sid = provider.accepted(id(1), "+18045551234").await;
    let expected = ["sent", "sent", "sent", "sent", "delivered"];
    provider.hatch.has_receipts(&sid, &expected).await;
    let posted = provider.hatch.posted();
    let token = |n: usize| posted[n].headers["i-twilio-idempotency-token"].clone();
    assert_eq!(token(0), token(3), "a repeat is known by its token");
    assert_ne!(token(0), token(4));
}

#[tokio::test]
async fn hundreds_of_messages_at_once_have_all_their_receipts() {
    let provider = Provider::start().await;
    let messages = 300;
    let sends = (0..messages).map(|n| {
        let request = provider.send(id(n), "+18045551234");
        tokio::spawn(async move { answer(request).await.0 })
    });
    for send in sends.collect::<Vec<_>>() {
        assert_eq!(send.await.expect("no panic"), 201);
    }
    until(|| provider.hatch.posted().len() as u128 == 2 * messages).await;
    assert_eq!(provider.record().await.len() as u128, messages);
}
