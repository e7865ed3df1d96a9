//! Rates over the fleet: an account is given no more than it takes, what is beyond waits in lines, and in those
//! nobody's many stand before another's one.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use hatch::roles::Role;
use hatch::settings::Settings;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{CUSTOMER, Hatch};

/// What is between the time that a call begins and the one at which the simulator has it.
const JITTER: TimeDelta = TimeDelta::milliseconds(100);

/// The account by which SMS go is given this.
fn limited(limits: Value) -> impl FnOnce(&mut Settings) {
    move |settings| {
        let account = settings.accounts.get_mut("twilio").expect("the account of SMS");
        account.rate_per_s = limits["rate_per_s"].as_f64();
        account.rate_per_sender_per_s = limits["rate_per_sender_per_s"].as_f64();
        account.per_day = limits["per_day"].as_u64();
        account.concurrency_max = limits["concurrency_max"].as_u64();
    }
}

/// Has so many messages be sent, and says their ids in order.
async fn flood(hatch: &Hatch, number: usize, what: &Value) -> Vec<String> {
    let mut ids = Vec::with_capacity(number);
    for first in (0..number).step_by(100) {
        let messages: Vec<Value> = (first..number.min(first + 100))
            .map(|n| {
                let mut message = json!({"to": CUSTOMER, "body": format!("message {n:05}")});
                for (key, value) in what.as_object().expect("fields") {
                    message[key.as_str()] = value.clone();
                }
                message
            })
            .collect();
        // As a client does that is told to come again.
        let batch = hatch
            .eventually("the batch is accepted", async |hatch| {
                let batch = json!({"messages": messages});
                let answer = hatch.post("/api/v1/messages/batch", &batch).await;
                (answer.status == StatusCode::ACCEPTED).then_some(answer)
            })
            .await;
        let items = batch.body["data"].as_array().expect("items").iter();
        ids.extend(items.map(|item| item["id"].as_str().expect("accepted").to_owned()));
    }
    ids
}

fn accepted_at(line: &Value) -> DateTime<Utc> {
    line["accepted_at"].as_str().expect("a time").parse().expect("RFC 3339")
}

/// Fails where in any second more than `rate` were accepted.
fn assert_no_second_has_more(record: &[Value], rate: usize) {
    let mut times: Vec<_> = record.iter().map(accepted_at).collect();
    times.sort_unstable();
    for span in times.windows(rate + 1) {
        let apart = span[rate] - span[0];
        assert!(apart >= TimeDelta::seconds(1) - JITTER, "{} within {apart}", rate + 1);
    }
}

async fn recorded(hatch: &Hatch, number: usize) -> Vec<Value> {
    hatch
        .eventually("all of them are sent", async |hatch| {
            let record = hatch.record().await;
            (record.len() >= number).then_some(record)
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_given_no_more_in_any_second_and_everything_is_sent_once() {
    let hatch = Hatch::start_with(&Role::ALL, limited(json!({"rate_per_s": 20}))).await;
    let ids = flood(&hatch, 100, &json!({})).await;
    let record = recorded(&hatch, ids.len()).await;
    assert_no_second_has_more(&record, 20);
    hatch.assert_each_sent_once(&ids).await;
    let deferred = hatch
        .rows("SELECT DISTINCT payload->>'reason' FROM es.events WHERE type = 'MessageDeferred'")
        .await;
    let reasons: Vec<String> = deferred.iter().map(|row| row.get(0)).collect();
    assert_eq!(reasons, ["rate"]);
    let twice = "SELECT count(*) FROM (SELECT FROM es.events WHERE type = 'MessageDeferred' \
                 GROUP BY stream_id HAVING count(*) > 1) AS twice";
    assert_eq!(hatch.count(twice).await, 0, "each says so once");
    let metrics = hatch.get("/metrics").await.body;
    let metrics = metrics.as_str().expect("text");
    assert!(
        metrics.contains("hatch_rate_deferred_total{account=\"twilio\",reason=\"rate\"}"),
        "{metrics}"
    );
    hatch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_very_many_delays_anothers_one_by_less_than_two_seconds() {
    let mut hatch = Hatch::closed().await;
    limited(json!({"rate_per_s": 20}))(&mut hatch.settings);
    hatch.stop().await;
    hatch.start_again(&Role::ALL).await;
    let first = hatch.create_key(&["--scope", "admin"]).await;
    hatch.key = Some(first.bearer());
    let second = hatch.create_tenant("second").await;
    let second = hatch.create_key(&["--tenant", &second, "--scope", "admin"]).await;
    let many = flood(&hatch, 400, &json!({})).await;
    let begun = Instant::now();
    let one = json!({"to": CUSTOMER, "body": "one"});
    let accepted = hatch.post_by(&second, "/api/v1/messages", &one).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
    let id = accepted.text("id").to_owned();
    let sent = hatch
        .eventually("it is sent", async |hatch| {
            let record = hatch.record().await;
            let found = record.iter().any(|line| line["hatch_message_id"] == id.as_str());
            found.then_some(record.len())
        })
        .await;
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert!(sent < many.len() / 2, "the others wait still: {sent}");
    hatch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_code_is_never_behind_bulk() {
    let hatch = Hatch::start_with(&Role::ALL, limited(json!({"rate_per_s": 10}))).await;
    flood(&hatch, 200, &json!({"priority": "bulk"})).await;
    recorded(&hatch, 15).await;
    let high = flood(&hatch, 5, &json!({"priority": "high"})).await;
    let behind = hatch.record().await.len();
    let record = hatch
        .eventually("they are sent", async |hatch| {
            let record = hatch.record().await;
            let is_sent = |id: &String| record.iter().any(|l| l["hatch_message_id"] == id.as_str());
            high.iter().all(is_sent).then_some(record)
        })
        .await;
    let is_high = |line: &&Value| high.iter().any(|id| line["hatch_message_id"] == id.as_str());
    let last = record.iter().filter(is_high).map(accepted_at).max().expect("they are sent");
    let before = record.iter().filter(|line| accepted_at(line) <= last).count();
    // What was under way when they came, and a second's worth of those beside them.
    assert!(before < behind + high.len() + 20, "{before} after {behind}");
    hatch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_tenant_and_priority_nobody_overtakes_another() {
    let rate = 4;
    let hatch = Hatch::start_with(&Role::ALL, limited(json!({"rate_per_s": rate}))).await;
    let mut ids = Vec::new();
    for n in 0..16 {
        ids.push(hatch.send_sms(CUSTOMER, &format!("message {n:05}")).await);
    }
    let mut record = recorded(&hatch, ids.len()).await;
    record.sort_by_key(accepted_at);
    for (at, line) in record.iter().enumerate() {
        let id = line["hatch_message_id"].as_str().expect("an id");
        let stood = ids.iter().position(|one| one == id).expect("one of them");
        // Those that a second lets go are called side by side: whose call is there first is up to the network.
        assert!(at.abs_diff(stood) < rate, "{id} stood at {stood} and was sent as {at}");
    }
    hatch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sender_has_a_rate_of_its_own() {
    let rates = limited(json!({"rate_per_sender_per_s": 5}));
    let hatch = Hatch::start_with(&Role::ALL, rates).await;
    let one = flood(&hatch, 20, &json!({"from": "+12025550143"})).await;
    let other = flood(&hatch, 20, &json!({"from": "+12025550144"})).await;
    let record = recorded(&hatch, one.len() + other.len()).await;
    for sender in ["+12025550143", "+12025550144"] {
        let of: Vec<_> = record.iter().filter(|line| line["from"] == sender).cloned().collect();
        assert_eq!(of.len(), 20);
        assert_no_second_has_more(&of, 5);
    }
    assert_eq!(
        hatch.count("SELECT count(*) FROM es.events WHERE payload->>'reason' = 'rate'").await,
        0
    );
    hatch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_beyond_the_day_waits_for_the_next_one() {
    let hatch = Hatch::start_with(&Role::ALL, limited(json!({"per_day": 7}))).await;
    let ids = flood(&hatch, 12, &json!({})).await;
    let deferred = "SELECT count(DISTINCT stream_id) FROM es.events WHERE type = 'MessageDeferred'";
    hatch
        .eventually("the others wait", async |hatch| {
            let (sent, waiting) = (hatch.record().await.len(), hatch.count(deferred).await);
            (sent == 7 && waiting >= 5).then_some(())
        })
        .await;
    let late = flood(&hatch, 1, &json!({})).await;
    let until_midnight = format!(
        "SELECT count(*) FROM es.events WHERE stream_id = '{}' AND payload->>'reason' = 'daily_cap' \
         AND (payload->>'until')::timestamptz = date_trunc('day', now(), 'UTC') + interval '24 hours'",
        late[0]
    );
    hatch
        .eventually("it waits for midnight", async |hatch| {
            (hatch.count(&until_midnight).await == 1).then_some(())
        })
        .await;
    assert_eq!(hatch.record().await.len(), 7);
    assert_eq!(ids.len(), 12);
    hatch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tenant_has_a_day_of_its_own() {
    let mut hatch = Hatch::closed().await;
    let second = hatch.create_tenant("second").await;
    hatch.settings.limits.messages_per_day = Some(4);
    hatch.settings.limits.tenant_messages_per_day.insert(second.clone(), 2);
    hatch.stop().await;
    hatch.start_again(&Role::ALL).await;
    let ours = hatch.create_key(&["--scope", "admin"]).await;
    let theirs = hatch.create_key(&["--tenant", &second, "--scope", "admin"]).await;
    for n in 0..6 {
        for key in [&ours, &theirs] {
            let message = json!({"to": CUSTOMER, "body": format!("message {n}")});
            let accepted = hatch.post_by(key, "/api/v1/messages", &message).await;
            assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
        }
    }
    let of_second = |condition: &str| {
        format!(
            "SELECT count(DISTINCT stream_id) FROM es.events WHERE tenant_id = '{second}' AND {condition}"
        )
    };
    let sent = of_second("type = 'MessageSent'");
    let waiting = of_second("type = 'MessageDeferred' AND payload->>'reason' = 'daily_cap'");
    hatch
        .eventually("each has had its day", async |hatch| {
            let of_second = (hatch.count(&sent).await, hatch.count(&waiting).await);
            (of_second == (2, 4) && hatch.record().await.len() == 6).then_some(())
        })
        .await;
    hatch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_dispatchers_share_the_rate_of_an_account() {
    let mut hatch = Hatch::start_with(&Role::ALL, limited(json!({"rate_per_s": 20}))).await;
    hatch.start_more(&[Role::Dispatcher]).await;
    let ids = flood(&hatch, 120, &json!({})).await;
    let record = recorded(&hatch, ids.len()).await;
    assert_no_second_has_more(&record, 20);
    let times: Vec<_> = record.iter().map(accepted_at).collect();
    let (first, last) = (times.iter().min(), times.iter().max());
    let lasted = *last.expect("some") - *first.expect("some");
    assert!(lasted < TimeDelta::seconds(12), "it is used as far as it goes: {lasted}");
    hatch.assert_each_sent_once(&ids).await;
    hatch.finish().await;
}
