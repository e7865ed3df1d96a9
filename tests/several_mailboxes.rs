//! A mail to several of our mailboxes is one message in the conversation of each, however it is posted.

use hatch::roles::Role;
use hatch::settings::{Settings, SeveralMailboxes};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::Hatch;
use crate::mail_threads::{CUST, Mail, SEND, SUPPORT, answered, between, text};

/// Two mailboxes that are configured as ours.
const SALES: &str = "sales@example.com";

async fn with_two_mailboxes(several: SeveralMailboxes) -> Hatch {
    let configure = |settings: &mut Settings| {
        settings.mail.mailboxes = vec![SUPPORT.to_owned(), SALES.to_owned()];
        settings.mail.several_mailboxes = several;
    };
    Hatch::start_with(&Role::ALL, configure).await
}

/// The messages of a conversation, once there are so many.
async fn messages_of(hatch: &Hatch, conversation: &str, count: usize) -> Vec<Value> {
    let path = format!("/api/v1/conversations/{conversation}/messages");
    hatch
        .eventually("the conversation has its messages", async |hatch| {
            let list = hatch.get(&path).await;
            list.body["data"].as_array().filter(|data| data.len() == count).cloned()
        })
        .await
}

#[tokio::test]
async fn a_mail_to_several_of_us_is_one_message_in_the_conversation_of_each() {
    let hatch = with_two_mailboxes(SeveralMailboxes::ConversationEach).await;
    let (support, sales) = (between(&[CUST, SUPPORT]), between(&[CUST, SALES]));
    // In one post; and by a blind copy, in two posts, each repeated.
    let both = Mail { to: "support@example.com, sales@example.com", ..Mail::default() };
    let both = both.comes_in(&hatch).await;
    let unseen = |envelope: &'static [&'static str]| Mail {
        envelope,
        id: "<unseen@mail.example.org>".to_owned(),
        ..Mail::default()
    };
    let first = unseen(&[SUPPORT]).comes_in(&hatch).await;
    for envelope in [&[SALES], &[SALES], &[SUPPORT]] {
        unseen(envelope).post(&hatch).await;
    }
    assert_eq!(hatch.log_length().await, 4, "each came, and joined once");
    for conversation in [&support, &sales] {
        let messages = messages_of(&hatch, conversation, 2).await;
        let ids: Vec<&Value> = messages.iter().map(|message| &message["id"]).collect();
        assert_eq!(ids, [&first["id"], &both["id"]], "the newest first");
        for message in &messages {
            assert_eq!(message["conversation_id"], *conversation);
        }
        let path = format!("/api/v1/conversations/{conversation}");
        let shown = hatch.get(&path).await.body;
        assert_eq!(
            (&shown["message_count"], &shown["last_message"]["id"]),
            (&json!(2), &first["id"])
        );
        let mailbox = if *conversation == support { SUPPORT } else { SALES };
        assert_eq!(shown["participants"], json!([CUST, mailbox]));
        // One at a time is the same list.
        let page = hatch.get(&format!("{path}/messages?limit=1")).await.body;
        assert_eq!(page["data"][0]["id"], first["id"]);
        let cursor = text(&page, "next_cursor");
        let page = hatch.get(&format!("{path}/messages?limit=1&cursor={cursor}")).await.body;
        assert_eq!((&page["data"][0]["id"], &page["next_cursor"]), (&both["id"], &Value::Null));
        let events = hatch.get(&format!("{path}/events")).await.body;
        assert_eq!(events["data"].as_array().map(Vec::len), Some(4));
        // Who answers is the mailbox whose conversation it is.
        let answer =
            hatch.post(SEND, &json!({"conversation_id": conversation, "body": "Yes"})).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        let events = hatch.get(&format!("{SEND}/{}/events", answer.text("id"))).await.body;
        let asked = &events["data"][0]["data"];
        assert_eq!((&asked["from"], &asked["to"]), (&json!(mailbox), &json!([CUST])));
    }
    hatch.finish().await;
}

#[tokio::test]
async fn what_answers_a_mail_to_several_of_us_joins_the_conversation_of_whom_it_is_to() {
    let hatch = with_two_mailboxes(SeveralMailboxes::ConversationEach).await;
    let both = Mail { to: "support@example.com, sales@example.com", ..Mail::default() };
    both.comes_in(&hatch).await;
    let sales = between(&[CUST, SALES]);
    messages_of(&hatch, &sales, 1).await;
    let more = |to: &'static str| Mail {
        to,
        subject: "Re: Your order",
        headers: format!("In-Reply-To: {}\r\n", both.id),
        ..Mail::default()
    };
    let to_sales = Mail { envelope: &[SALES], ..more(SALES) }.comes_in(&hatch).await;
    assert_eq!(to_sales["conversation_id"], sales);
    let to_both = more("sales@example.com, support@example.com").comes_in(&hatch).await;
    for conversation in [between(&[CUST, SUPPORT]), sales] {
        let count = if to_sales["conversation_id"] == conversation { 3 } else { 2 };
        let messages = messages_of(&hatch, &conversation, count).await;
        assert_eq!(messages[0]["id"], to_both["id"]);
        let events = answered(&hatch, &conversation).await;
        let mailbox = if to_sales["conversation_id"] == conversation { SALES } else { SUPPORT };
        assert_eq!(events.body["data"][0]["data"]["from"], mailbox);
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_thread_goes_on_for_each_of_us_and_is_answered_by_whom_it_came_to() {
    let hatch = with_two_mailboxes(SeveralMailboxes::ConversationEach).await;
    let follows = |first: &str, to: &'static str| Mail {
        to,
        subject: "Re: Your order",
        headers: format!("In-Reply-To: {first}\r\n"),
        ..Mail::default()
    };
    // One of us has it alone at first.
    let first = Mail { to: SALES, envelope: &[SALES], ..Mail::default() };
    let sales = first.comes_in(&hatch).await["conversation_id"].clone();
    let second = follows(&first.id, "support@example.com, sales@example.com");
    let begun = second.comes_in(&hatch).await;
    assert_eq!(begun["conversation_id"], sales);
    let support = between(&[CUST, SUPPORT]);
    messages_of(&hatch, &support, 1).await;
    for (conversation, mailbox) in
        [(text(&begun, "conversation_id"), SALES), (support.as_str(), SUPPORT)]
    {
        let events = answered(&hatch, conversation).await;
        assert_eq!(events.body["data"][0]["data"]["from"], mailbox);
    }
    // Somebody else gets it, too.
    let more = "support@example.com, sales@example.com, boss@partner.example";
    let third = follows(&second.id, more).comes_in(&hatch).await;
    for (conversation, count) in [(text(&begun, "conversation_id"), 4), (support.as_str(), 3)] {
        let messages = messages_of(&hatch, conversation, count).await;
        assert_eq!(messages[0]["id"], third["id"], "the thread goes on");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn by_setting_a_mail_to_several_of_us_belongs_to_one_conversation() {
    let hatch = with_two_mailboxes(SeveralMailboxes::OneConversation).await;
    let mail = |envelope: &'static [&'static str]| Mail {
        to: "support@example.com, sales@example.com",
        envelope,
        id: "<one@mail.example.org>".to_owned(),
        ..Mail::default()
    };
    let first = mail(&[SUPPORT]).comes_in(&hatch).await;
    mail(&[SALES]).post(&hatch).await;
    assert_eq!(first["conversation_id"], between(&[CUST, SUPPORT, SALES]));
    assert_eq!(hatch.log_length().await, 1);
    hatch.finish().await;
}

#[tokio::test]
async fn blind_copies_that_are_posted_one_by_one_are_in_the_conversation_of_each_of_us() {
    let hatch = with_two_mailboxes(SeveralMailboxes::ConversationEach).await;
    let list = "list@groups.example";
    let blind = |envelope: &'static [&'static str]| Mail {
        to: list,
        envelope,
        id: "<blind@mail.example.org>".to_owned(),
        ..Mail::default()
    };
    let first = blind(&[SALES]).comes_in(&hatch).await;
    assert_eq!(first["conversation_id"], between(&[CUST, list, SALES]));
    for envelope in [&[SUPPORT], &[SUPPORT], &[SALES]] {
        blind(envelope).post(&hatch).await;
    }
    assert_eq!(hatch.log_length().await, 2, "it came, and joined once");
    for mailbox in [SALES, SUPPORT] {
        let conversation = between(&[CUST, list, mailbox]);
        let messages = messages_of(&hatch, &conversation, 1).await;
        assert_eq!(messages[0]["id"], first["id"]);
        let events = answered(&hatch, &conversation).await;
        let asked = &events.body["data"][0]["data"];
        assert_eq!((&asked["from"], &asked["to"]), (&json!(mailbox), &json!([CUST, list])));
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_mail_to_all_of_us_comes_in_and_says_in_whose_conversations_it_is_not() {
    let configure = |settings: &mut Settings| {
        settings.mail.mailboxes = vec!["@example.com".to_owned()];
    };
    let hatch = Hatch::start_with(&Role::ALL, configure).await;
    let others = (0..300).map(|n| format!("{n}.{}@partner.example", "x".repeat(40)));
    let all = (0..100).map(|n| format!("colleague{n}@example.com")).chain(others);
    let to = all.collect::<Vec<_>>().join(", ");
    let words = "word ".repeat(120_000);
    let mail =
        Mail { to: &to, envelope: &["colleague0@example.com"], text: &words, ..Mail::default() };
    let mail = mail.comes_in(&hatch).await;
    let shown = hatch.get(&format!("{SEND}/{}", text(&mail, "id"))).await.body;
    let left_out = shown["cut"]["mailboxes"].as_i64().expect("a number");
    assert!((90..99).contains(&left_out), "{}", shown["cut"]);
    assert_eq!(hatch.log_length().await, 100 - left_out, "it came, and joined the others");
    hatch.finish().await;
}
