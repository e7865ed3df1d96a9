//! The visible part of mails that come in, over HTTP.

use serde_json::json;

use crate::harness::Hatch;

const OURS: &str = "support@example.com";

#[tokio::test]
async fn an_answer_is_shown_without_what_it_repeats_which_is_kept() {
    let hatch = Hatch::start().await;
    let body =
        "Blue, please.\n\n-- \nAnn\n\nAm 05.01.2026 um 10:15 schrieb Support:\n> Red or blue?\n";
    let inbound = json!({
        "provider": "sendgrid", "from": "ann@example.com", "to": OURS, "subject": "Re: Hi", "body": body,
    });
    assert!((200..300).contains(&hatch.simulate_inbound(&inbound).await));
    let listed = hatch
        .eventually("the mail is shown", async |hatch| {
            let list = hatch.get("/api/v1/messages?direction=inbound").await;
            list.body["data"].get(0).cloned()
        })
        .await;
    assert_eq!(
        (&listed["visible_body"], &listed["folded"]),
        (&json!("Blue, please."), &json!(null))
    );
    assert!(
        listed["body"].as_str().is_some_and(|body| body.contains("> Red or blue?")),
        "{listed}"
    );

    let path = format!("/api/v1/messages/{}", listed["id"].as_str().expect("an id"));
    let then = format!("{path}?at={}", listed["position"]);
    for path in [path, then] {
        let message = hatch.get(&path).await.body;
        assert_eq!(message["visible_body"], "Blue, please.");
        assert_eq!(
            message["folded"],
            json!([
                {"kind": "signature", "text": "-- \nAnn"},
                {"kind": "quoted", "text": "Am 05.01.2026 um 10:15 schrieb Support:\n> Red or blue?"},
            ])
        );
    }
    let conversation = listed["conversation_id"].as_str().expect("an id");
    let conversation = hatch.get(&format!("/api/v1/conversations/{conversation}")).await.body;
    assert_eq!(conversation["last_message"]["preview"], "Blue, please.");
    hatch.finish().await;
}
