//! What is kept of webhooks outside the log of events: little of strangers, all that providers signed, and each for
//! its time.

use std::time::Instant;

use futures::StreamExt;
use hatch::roles::Role;
use hatch::settings::Settings;
use reqwest::StatusCode;
use tokio_postgres::error::SqlState;

use crate::harness::{ACCOUNT, AUTH_TOKEN, CUSTOMER, Hatch, SENDER, unique};
use crate::time::eventually;
use crate::webhooks::{Post, receipt};

/// Requests of strangers in a flood, and how many of them are under way at a time.
const FLOOD: usize = 600;
const AT_ONCE: usize = 6;

const PATHS: [&str; 3] = ["twilio", "sendgrid", "sendgrid/inbound"];

const BY_ADDRESS: u32 = 2;
const BY_PATH: u32 = 5;

/// Bytes of a part that are kept, and what a row takes beside its parts.
const PART_BYTES: i64 = 4_096;
const BESIDE_BYTES: i64 = 1_024;

fn bounded(settings: &mut Settings) {
    settings.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    settings.webhook_log.refused_by_address_per_minute = BY_ADDRESS;
    settings.webhook_log.refused_by_path_per_minute = BY_PATH;
}

/// As the application's role, which owns no table.
fn as_application(settings: &mut Settings) {
    let url = settings.database_url.as_mut().expect("a database");
    let separator = match url.split_once('?') {
        Some((_, "")) => "",
        Some(_) => "&",
        None => "?",
    };
    url.push_str(separator);
    url.push_str("options=-c%20role%3Dhatch_app");
}

/// A request that no provider has signed, from the `n`-th of many addresses.
async fn intrude(hatch: &Hatch, n: usize) -> StatusCode {
    let path = PATHS[n % PATHS.len()];
    let url = format!("{}/api/v1/webhooks/{path}?q={}", hatch.url, "x".repeat(7_900));
    // Every other one has an address of the same IPv6 network.
    let address = match n % 2 {
        0 => format!("2001:db8::{n:x}"),
        _ => format!("198.51.{}.{}", n / 250, n % 250),
    };
    let mut request = hatch.http.post(url).header("x-forwarded-for", address);
    for k in 0..22 {
        request = request.header(format!("x-filler-{k}"), "y".repeat(1_000));
    }
    request.body(vec![b'z'; 8_192]).send().await.expect("hatch answers").status()
}

fn inbound<'a>() -> Post<'a> {
    Post {
        path_and_query: "/api/v1/webhooks/twilio".to_owned(),
        form: vec![
            ("MessageSid", format!("SM{}", unique())),
            ("SmsStatus", "received".to_owned()),
            ("AccountSid", ACCOUNT.to_owned()),
            ("From", CUSTOMER.to_owned()),
            ("To", SENDER.to_owned()),
            ("Body", "Hello".to_owned()),
            ("NumMedia", "0".to_owned()),
            ("NumSegments", "1".to_owned()),
        ],
        token: AUTH_TOKEN,
    }
}

/// The sum of a metric over its labels.
pub(crate) async fn metric(hatch: &Hatch, name: &str) -> f64 {
    let answer = hatch.get("/metrics").await;
    let text = answer.body.as_str().expect("text").to_owned();
    let samples = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
    });
    samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Until this process has looked for the first time.
async fn looked(hatch: &Hatch) {
    hatch
        .eventually("it has looked at what is kept", async |hatch| {
            (metric(hatch, "hatch_webhook_log_partitions_until_seconds").await > 0.0).then_some(())
        })
        .await;
}

async fn rows_of(hatch: &Hatch, outcome: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM hatch.webhook_log WHERE outcome = '{outcome}'");
    hatch.count(&sql).await
}

#[tokio::test]
async fn a_flood_of_unsigned_webhooks_is_counted_and_leaves_a_bounded_sample() {
    let hatch = Hatch::start_with(&Role::ALL, bounded).await;
    let began = Instant::now();
    let flood = futures::stream::iter(0..FLOOD).map(|n| intrude(&hatch, n));
    let flood = flood.buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    let signed = async {
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(inbound().send(&hatch).await);
        }
        statuses
    };
    let (refused, taken) = tokio::join!(flood, signed);
    assert!(refused.iter().all(|status| *status == StatusCode::UNAUTHORIZED), "{refused:?}");
    assert!(taken.iter().all(StatusCode::is_success), "{taken:?}");
    assert_eq!(rows_of(&hatch, "applied").await, 20);
    assert_eq!(hatch.log_length().await, 20);

    let minutes = i64::try_from(began.elapsed().as_secs() / 60).expect("few") + 1;
    let paths = i64::try_from(PATHS.len()).expect("few");
    let rows_max = paths * i64::from(BY_PATH) * (minutes + 1);
    let rows = rows_of(&hatch, "rejected_signature").await;
    assert!((paths * i64::from(BY_PATH)..=rows_max).contains(&rows), "{rows} of {rows_max}");
    let bytes = "SELECT coalesce(max(length(path_and_query) + length(headers::text) + length(body)
            + length(detail)), 0)::bigint FROM hatch.webhook_log WHERE outcome = 'rejected_signature'";
    let bytes = hatch.count(bytes).await;
    assert!(bytes <= 3 * PART_BYTES + BESIDE_BYTES, "{bytes}");
    let details = hatch.get("/api/v1/webhook-log?outcome=rejected_signature&limit=1").await;
    let detail = details.body["data"][0]["detail"].as_str().expect("a reason").to_owned();
    for said in ["find the signature header", "of 8192 bytes of the body", "of path and query"] {
        assert!(detail.contains(said), "{detail}");
    }

    let flood = f64::from(u32::try_from(FLOOD).expect("few"));
    assert!((metric(&hatch, "hatch_webhook_refused_total").await - flood).abs() < 0.5);
    let kept = f64::from(u32::try_from(rows).expect("few"));
    assert!((metric(&hatch, "hatch_webhook_refused_kept_total").await - kept).abs() < 0.5);
    hatch.finish().await;
}

#[tokio::test]
async fn an_address_has_its_own_rate_and_a_network_counts_as_one() {
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        bounded(settings);
        settings.webhook_log.refused_by_path_per_minute = 1_000;
    })
    .await;
    let post = async |address: &str| {
        let url = format!("{}/api/v1/webhooks/twilio", hatch.url);
        let request = hatch.http.post(url).header("x-forwarded-for", address).body("a=b");
        let status = request.send().await.expect("hatch answers").status();
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    };
    // Two rows each, and what a slow machine lets come back to them in between.
    for n in 0..20 {
        post("192.0.2.1").await;
        post(&format!("2001:db8:0:7::{n:x}")).await;
        post(&format!("203.0.113.{n}")).await;
    }
    let rows = rows_of(&hatch, "rejected_signature").await;
    assert!((24..=34).contains(&rows), "{rows}");
    hatch.finish().await;
}

#[tokio::test]
async fn beyond_its_quota_nothing_refused_is_kept_and_all_that_is_signed_is() {
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        as_application(settings);
        settings.webhook_log.refused_bytes_max = 0;
    })
    .await;
    looked(&hatch).await;
    for n in 0..10 {
        assert_eq!(intrude(&hatch, n).await, StatusCode::UNAUTHORIZED);
        assert!(inbound().send(&hatch).await.is_success());
    }
    assert_eq!(rows_of(&hatch, "rejected_signature").await, 0);
    assert_eq!(rows_of(&hatch, "applied").await, 10);
    assert!((metric(&hatch, "hatch_webhook_refused_total").await - 10.0).abs() < 0.5);
    hatch.finish().await;
}

/// Rows of each outcome that came some days ago, with partitions for them.
async fn fill(hatch: &Hatch, days: &[i64]) {
    let session = hatch.database.connect().await;
    for days in days {
        let sql = format!(
            "SELECT hatch.ensure_webhook_partitions(now() - interval '{days} days', 0);
             INSERT INTO hatch.webhook_log
             SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'twilio', NULL, NULL,
                    outcome, NULL, NULL, 'from {days} days ago', 'POST', '/', '{{}}', '',
                    now() - interval '{days} days'
               FROM unnest(ARRAY['applied', 'duplicate', 'rejected_signature', 'quarantined']) AS outcome"
        );
        // It waits for no lock that the roles have, but says so.
        eventually("the partitions are made", async || match session.batch_execute(&sql).await {
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => false,
            filled => {
                filled.expect("filled");
                true
            }
        })
        .await;
    }
    session.close().await;
}

/// The outcomes of what came so many days ago, in order.
async fn left(hatch: &Hatch, days: i64) -> Vec<String> {
    let sql = format!(
        "SELECT outcome FROM hatch.webhook_log WHERE detail = 'from {days} days ago' ORDER BY outcome"
    );
    hatch.rows(&sql).await.iter().map(|row| row.get(0)).collect()
}

async fn eventually_left(hatch: &Hatch, days: i64, outcomes: &[&str]) {
    let what = format!("only {outcomes:?} is left from {days} days ago");
    hatch
        .eventually(&what, async |hatch| {
            let left = left(hatch, days).await;
            (left == outcomes).then_some(())
        })
        .await;
}

#[tokio::test]
async fn what_is_past_its_retention_goes_and_the_log_of_events_stays() {
    let mut hatch = Hatch::start_with(&Role::ALL, as_application).await;
    assert!(inbound().send(&hatch).await.is_success());
    hatch.stop().await;
    fill(&hatch, &[3, 10, 40, 100]).await;
    let events = "SELECT md5(string_agg(e::text, '' ORDER BY position)) FROM es.events e";
    let before: String = hatch.rows(events).await[0].get(0);
    // Two processes look after it at the same time.
    hatch.start_again(&Role::ALL).await;
    hatch.start_more(&[Role::Webhook]).await;
    eventually_left(&hatch, 100, &[]).await;
    eventually_left(&hatch, 40, &["quarantined"]).await;
    eventually_left(&hatch, 10, &["applied", "duplicate", "quarantined"]).await;
    let all = ["applied", "duplicate", "quarantined", "rejected_signature"];
    assert_eq!(left(&hatch, 3).await, all);
    let after: String = hatch.rows(events).await[0].get(0);
    assert_eq!(before, after);

    hatch.stop().await;
    hatch.settings.webhook_log.refused_retention_days = 1;
    hatch.settings.webhook_log.retention_days = 5;
    hatch.start_again(&Role::ALL).await;
    eventually_left(&hatch, 3, &all[..3]).await;
    eventually_left(&hatch, 10, &["quarantined"]).await;
    hatch.finish().await;
}

#[tokio::test]
async fn beyond_its_quota_the_oldest_that_is_refused_goes_first_and_the_quarantine_stays() {
    let mut hatch = Hatch::start().await;
    hatch.stop().await;
    fill(&hatch, &[0, 2, 4]).await;
    let all = ["applied", "duplicate", "quarantined", "rejected_signature"];
    hatch.settings.webhook_log.refused_bytes_max = 1;
    hatch.start_again(&Role::ALL).await;
    eventually_left(&hatch, 4, &all[..3]).await;
    eventually_left(&hatch, 2, &all[..3]).await;
    assert_eq!(left(&hatch, 0).await, all, "today's stay");

    hatch.stop().await;
    hatch.settings.webhook_log.bytes_max = 1;
    hatch.settings.webhook_log.quarantine_bytes_max = 1;
    hatch.start_again(&Role::ALL).await;
    eventually_left(&hatch, 4, &["quarantined"]).await;
    eventually_left(&hatch, 2, &["quarantined"]).await;
    assert_eq!(left(&hatch, 0).await, all);
    assert!(inbound().send(&hatch).await.is_success(), "what is signed is recorded");
    hatch.finish().await;
}

#[tokio::test]
async fn receipts_that_wait_for_no_message_of_ours_are_bounded() {
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        settings.webhook_log.waiting_receipts_max = 3;
    })
    .await;
    looked(&hatch).await;
    for _ in 0..8 {
        let stranger = Post {
            path_and_query: "/api/v1/webhooks/twilio".to_owned(),
            ..receipt("", &format!("SM{}", unique()), "delivered")
        };
        assert!(stranger.send(&hatch).await.is_success());
    }
    assert_eq!(hatch.count("SELECT count(*) FROM hatch.waiting_receipts").await, 3);
    assert_eq!(rows_of(&hatch, "quarantined").await, 8, "each is kept");
    let listed = hatch.get("/api/v1/webhook-log?outcome=quarantined&limit=1").await;
    let detail = listed.body["data"][0]["detail"].as_str().expect("a reason");
    assert!(detail.contains("no more receipts can wait"), "{detail}");
    // It says so to whoever replays it, and it can be replayed when there is room again.
    let id = listed.body["data"][0]["id"].as_str().expect("an id");
    let answer =
        hatch.post(&format!("/api/v1/webhooks/replay/{id}"), &serde_json::Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    hatch.finish().await;
}

#[tokio::test]
async fn what_has_no_partition_is_recorded_all_the_same() {
    let hatch = Hatch::start_with(&Role::ALL, as_application).await;
    looked(&hatch).await;
    let session = hatch.database.connect().await;
    // As on the day after the last that anybody has made partitions for.
    let sql = "DO $$ DECLARE one record; BEGIN
        FOR one IN SELECT * FROM hatch.webhook_partitions WHERE until_at IS NOT NULL LOOP
            EXECUTE format('DROP TABLE hatch.%I', one.name);
        END LOOP; END $$";
    session.batch_execute(sql).await.expect("dropped");
    assert!(inbound().send(&hatch).await.is_success());
    assert_eq!(intrude(&hatch, 0).await, StatusCode::UNAUTHORIZED);
    let listed = hatch.get("/api/v1/webhook-log").await;
    assert_eq!(listed.body["data"].as_array().map(Vec::len), Some(2), "{}", listed.body);
    let at = hatch.rows("SELECT hatch.ensure_webhook_partitions(now(), 1)").await;
    assert!(at[0].get::<_, i32>(0) > 0);
    let in_nets = "SELECT count(*) FROM hatch.webhook_log WHERE tableoid IN
        (SELECT relation FROM hatch.webhook_partitions WHERE until_at IS NULL)";
    assert_eq!(hatch.count(in_nets).await, 0, "moved into their partitions");
    assert_eq!(hatch.get("/api/v1/webhook-log").await.body, listed.body);
    session.close().await;
    hatch.finish().await;
}
