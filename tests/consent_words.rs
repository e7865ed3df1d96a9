//! What is answered to words such as STOP, what comes close to one, and words and blocks that are read late.

use chrono::TimeDelta;
use futures::future::join_all;
use hatch::roles::Role;
use hatch::settings::Settings;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::consent::{assert_refused, consent, write};
use crate::dispatch::NOBODY_DISPATCHES;
use crate::harness::{CUSTOMER, Hatch, SENDER, set_of, unique};
use crate::webhooks::{Post, receipt, sent};

const STOPPED: &str = "Example Ltd: you get no more messages. START to get them again.";
const STARTED: &str = "Example Ltd: welcome back.";
const HELP: &str = "Example Ltd: call +1 201 666 1234.";

fn words_are_answered(settings: &mut Settings) {
    set_of(settings, "twilio", "acts_on_words", json!(false));
    settings.consent.stop_text = Some(STOPPED.to_owned());
    settings.consent.start_text = Some(STARTED.to_owned());
    settings.consent.help_text = Some(HELP.to_owned());
}

/// A hatch that answers words, with an account that does not.
async fn answering(roles: &[Role]) -> Hatch {
    Hatch::start_with(roles, words_are_answered).await
}

/// The texts of the answers that were asked for, in the order of the log.
async fn answers(hatch: &Hatch) -> Vec<String> {
    let sql = "SELECT payload ->> 'body' FROM es.events \
        WHERE type = 'MessageRequested' AND payload ->> 'confirms' IS NOT NULL ORDER BY position";
    hatch.rows(sql).await.iter().map(|row| row.get(0)).collect()
}

/// Waits until the customer has these texts from us.
async fn delivered(hatch: &Hatch, bodies: &[&str]) {
    hatch
        .eventually("every answer is delivered", async |hatch| {
            let list = hatch.get("/api/v1/messages?direction=outbound&status=delivered").await;
            let shown = list.body["data"].as_array()?.iter().rev();
            let shown: Vec<_> = shown.map(|message| message["body"].as_str()).collect();
            let expected: Vec<_> = bodies.iter().map(|body| Some(*body)).collect();
            (shown == expected).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_word_is_answered_once_for_each_change_and_in_the_append_of_its_message() {
    let hatch = answering(&Role::ALL).await;
    let stop = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "Stop",
        "provider_message_id": format!("SM{}", unique())});
    assert_eq!(hatch.simulate_inbound(&stop).await / 100, 2);
    let rows = hatch
        .rows(
            "SELECT type, conversation_id, recorded_at, payload ->> 'confirms' FROM es.events \
             ORDER BY position LIMIT 4",
        )
        .await;
    let types: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(types, ["MessageReceived", "ConsentWithdrawn", "WordAnswered", "MessageRequested"]);
    for row in &rows[1..] {
        assert_eq!(row.get::<_, Uuid>(1), rows[0].get::<_, Uuid>(1), "one conversation");
        let at = |row: &tokio_postgres::Row| row.get::<_, chrono::DateTime<chrono::Utc>>(2);
        assert_eq!(at(row), at(&rows[0]), "one transaction");
    }
    assert_eq!(rows[3].get::<_, &str>(3), "stop");
    // The person has opted out, and is told so; nothing else goes out.
    delivered(&hatch, &[STOPPED]).await;
    let refused = hatch.send_sms(CUSTOMER, "Hello").await;
    assert_refused(&hatch, &refused).await;

    assert_eq!(hatch.simulate_inbound(&stop).await / 100, 2, "the webhook again");
    write(&hatch, CUSTOMER, "STOP").await;
    assert_eq!(answers(&hatch).await, [STOPPED], "it changes nothing");
    write(&hatch, CUSTOMER, "HELP").await;
    write(&hatch, CUSTOMER, "yes").await;
    write(&hatch, CUSTOMER, "yes").await;
    write(&hatch, CUSTOMER, "START").await;
    write(&hatch, CUSTOMER, "Quit").await;
    // The second withdrawal within the hour counts, and is answered again: the last word was another one.
    assert_eq!(consent(&hatch, CUSTOMER).await["state"], "opted_out");
    let expected = [STOPPED, HELP, STARTED, STOPPED];
    assert_eq!(answers(&hatch).await, expected);
    hatch
        .eventually("every answer has come to its end", async |hatch| {
            let open = "SELECT count(*) FROM rm.messages WHERE direction = 'outbound' \
                AND status NOT IN ('delivered', 'failed')";
            let shown = "SELECT count(*) FROM rm.messages WHERE direction = 'outbound'";
            (hatch.count(open).await == 0 && hatch.count(shown).await == 5).then_some(())
        })
        .await;
    assert!(hatch.record().await.iter().all(|line| line["calls"] == 1));
    hatch.finish().await;
}

#[tokio::test]
async fn concurrent_twins_of_a_word_have_one_answer() {
    let hatch = answering(NOBODY_DISPATCHES).await;
    let stop = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "STOP",
        "provider_message_id": format!("SM{}", unique())});
    let words = (0..4).map(|_| hatch.simulate_inbound(&stop));
    assert!(join_all(words).await.iter().all(|status| status / 100 == 2));
    // Others of the same person at the same time change nothing any more.
    join_all((0..4).map(|_| write(&hatch, CUSTOMER, "stop"))).await;
    assert_eq!(answers(&hatch).await, [STOPPED]);
    let withdrawn = "SELECT count(*) FROM es.events WHERE type = 'ConsentWithdrawn'";
    assert_eq!(hatch.count(withdrawn).await, 1);
    hatch.finish().await;
}

#[tokio::test]
async fn the_answer_to_a_start_is_not_sent_after_a_stop() {
    let mut hatch = answering(NOBODY_DISPATCHES).await;
    write(&hatch, CUSTOMER, "STOP").await;
    write(&hatch, CUSTOMER, "START").await;
    write(&hatch, CUSTOMER, "STOP").await;
    assert_eq!(answers(&hatch).await, [STOPPED, STARTED, STOPPED]);
    hatch.start_more(&[Role::Dispatcher]).await;
    hatch
        .eventually("every answer has come to its end", async |hatch| {
            let counted = "SELECT count(*) FROM rm.messages WHERE direction = 'outbound' AND ";
            let sent = hatch.count(&format!("{counted} status = 'delivered'")).await;
            let failed = hatch.count(&format!("{counted} status = 'failed'")).await;
            ((sent, failed) == (2, 1)).then_some(())
        })
        .await;
    let failed = hatch.get("/api/v1/messages?status=failed").await;
    assert_eq!(failed.body["data"][0]["body"], STARTED, "{}", failed.body);
    assert_eq!(failed.body["data"][0]["error"]["code"], "opted_out");
    hatch.finish().await;
}

/// What the webhook log says of answers that were held back.
async fn held_back(hatch: &Hatch) -> i64 {
    let sql = "SELECT count(*) FROM hatch.webhook_log \
        WHERE outcome = 'applied' AND detail LIKE 'no answer to help: %'";
    hatch.count(sql).await
}

#[tokio::test]
async fn of_twenty_calls_for_help_one_is_answered() {
    let mut hatch = answering(NOBODY_DISPATCHES).await;
    for _ in 0..10 {
        write(&hatch, CUSTOMER, "HELP").await;
    }
    assert_eq!((answers(&hatch).await, held_back(&hatch).await), (vec![HELP.to_owned()], 9));
    // The others come after a restart, and all at once.
    hatch.stop().await;
    hatch.start_again(NOBODY_DISPATCHES).await;
    hatch
        .eventually("hatch is ready", async |hatch| {
            (hatch.get("/ready").await.status == StatusCode::OK).then_some(())
        })
        .await;
    join_all((0..10).map(|_| write(&hatch, CUSTOMER, "help"))).await;
    assert_eq!((answers(&hatch).await, held_back(&hatch).await), (vec![HELP.to_owned()], 19));
    // Somebody else has an answer of their own, to another word the same person has one, too.
    join_all((0..4).map(|_| write(&hatch, "+18045550777", "HELP"))).await;
    write(&hatch, CUSTOMER, "STOP").await;
    assert_eq!(answers(&hatch).await, [HELP, HELP, STOPPED]);
    let answered = "SELECT count(*) FROM es.events WHERE type = 'WordAnswered'";
    assert_eq!(hatch.count(answered).await, 3);
    hatch.finish().await;
}

#[tokio::test]
async fn an_hour_after_its_answer_a_call_for_help_is_answered_again() {
    let hatch = Hatch::start_with_clock(NOBODY_DISPATCHES, words_are_answered).await;
    write(&hatch, CUSTOMER, "HELP").await;
    write(&hatch, CUSTOMER, "HELP").await;
    hatch.advance(TimeDelta::minutes(61)).await;
    write(&hatch, CUSTOMER, "HELP").await;
    write(&hatch, CUSTOMER, "HELP").await;
    assert_eq!(answers(&hatch).await, [HELP, HELP]);
    hatch.finish().await;
}

#[tokio::test]
async fn where_the_provider_answers_words_hatch_is_silent() {
    let hatch = Hatch::start_with(NOBODY_DISPATCHES, |settings| {
        settings.consent.stop_text = Some(STOPPED.to_owned());
        settings.consent.help_text = Some(HELP.to_owned());
    })
    .await;
    write(&hatch, CUSTOMER, "STOP").await;
    write(&hatch, CUSTOMER, "HELP").await;
    assert_eq!(consent(&hatch, CUSTOMER).await["state"], "opted_out");
    assert_eq!(answers(&hatch).await, Vec::<String>::new());
    // A provider that does not, does the same to its customers' words.
    let generic = json!({"from": "+18045551299", "to": SENDER, "type": "sms", "body": "STOP",
        "messaging_provider_id": unique(), "attachments": null, "timestamp": null});
    let answer = hatch.post("/api/webhooks/sms", &generic).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answers(&hatch).await, [STOPPED]);
    hatch.finish().await;
}

#[tokio::test]
async fn what_comes_close_to_a_word_is_marked_and_withdraws_only_where_that_is_set() {
    let marked = async |hatch: &Hatch, body: &str| {
        write(hatch, CUSTOMER, body).await;
        let path = "/api/v1/messages?direction=inbound";
        hatch
            .eventually("the message is shown", async |hatch| {
                let list = hatch.get(path).await;
                let newest = list.body["data"][0].clone();
                (newest["body"] == body).then(|| newest["suggests"].clone())
            })
            .await
    };
    let hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    assert_eq!(marked(&hatch, "please stop texting me").await, "opted_out");
    assert_eq!(marked(&hatch, "please stop by later").await, Value::Null);
    assert_eq!(consent(&hatch, CUSTOMER).await["state"], "unknown");
    assert_eq!(marked(&hatch, "STOP").await, Value::Null, "it is one");
    hatch.finish().await;

    let hatch = Hatch::start_with(NOBODY_DISPATCHES, |settings| {
        settings.consent.near_misses_withdraw = true;
    })
    .await;
    assert_eq!(marked(&hatch, "please stop texting me").await, Value::Null);
    assert_eq!(consent(&hatch, CUSTOMER).await["state"], "opted_out");
    hatch.finish().await;
}

#[tokio::test]
async fn a_block_that_names_nobody_and_comes_before_its_message_is_known_is_kept() {
    const SILENT: &str = "+18045550888";
    let hatch = Hatch::start().await;
    let (_, sid) = sent(&hatch).await;
    let unknown = format!("SM{}", unique());
    let mut early = Post {
        path_and_query: "/api/v1/webhooks/twilio".to_owned(),
        ..receipt("", &unknown, "undelivered")
    };
    early.form.retain(|(name, _)| *name != "To");
    early.form.push(("ErrorCode", "21610".to_owned()));
    assert!(early.send(&hatch).await.is_success());
    assert_eq!(consent(&hatch, SILENT).await["blocked_by"], json!([]));
    // As if the provider called the message so all along.
    let database = hatch.database.connect().await;
    let renamed = format!(
        "UPDATE rm_messages_v1.provider_messages SET provider_message_id = '{unknown}' \
          WHERE provider_message_id = '{sid}'"
    );
    assert_eq!(database.execute(&renamed, &[]).await.expect("it can be renamed"), 1);
    database.close().await;
    hatch
        .eventually("the block is recorded", async |hatch| {
            let shown = consent(hatch, SILENT).await;
            (shown["blocked_by"][0]["provider"] == "twilio").then_some(())
        })
        .await;
    let next = hatch.send_sms(SILENT, "Hello").await;
    assert_refused(&hatch, &next).await;
    hatch.finish().await;
}
