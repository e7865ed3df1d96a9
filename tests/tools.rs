//! The operator's commands, as processes against a running hatch.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::{CUSTOMER, Hatch};

pub(crate) fn command(hatch: &Hatch, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hatch"));
    command
        .args(arguments)
        .env("HATCH_DATABASE_URL", hatch.database.url())
        .env("HATCH_NATS_URL", hatch.settings.nats_url.as_deref().expect("NATS"))
        .env("HATCH_BUS__PREFIX", &hatch.settings.bus.prefix)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

pub(crate) async fn run(hatch: &Hatch, arguments: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } =
        command(hatch, arguments).output().await.expect("it runs");
    let text = String::from_utf8(stdout).expect("UTF-8") + &String::from_utf8_lossy(&stderr);
    (status.success(), text)
}

/// Messages that were delivered, `count` of them.
async fn delivered(hatch: &Hatch, count: usize) {
    for n in 0..count {
        let id = hatch.send_sms(CUSTOMER, &format!("Number {n}")).await;
        hatch.message_with_status(&id, "delivered").await;
    }
}

#[tokio::test]
async fn dead_letters_are_listed_and_sent_again() {
    let hatch = Hatch::start().await;
    let refused = hatch.send_sms("+18045550400", "Nobody is there").await;
    let opted_out = hatch.send_sms("+18045550610", "Nobody wants it").await;
    for id in [&refused, &opted_out] {
        hatch.message_with_status(id, "failed").await;
    }

    let (ok, table) = run(&hatch, &["dead-letters", "list"]).await;
    assert!(ok && table.contains(&refused) && table.contains("21610"), "{table}");
    let (_, lines) = run(&hatch, &["dead-letters", "list", "--json", "--limit", "1"]).await;
    let newest: Value = serde_json::from_str(lines.trim()).expect("one JSON object");
    assert_eq!(newest["id"], opted_out.as_str());

    let (ok, dry) =
        run(&hatch, &["dead-letters", "redrive", "--all", "--code", "21211", "--dry-run"]).await;
    assert!(ok && dry.contains(&refused) && !dry.contains(&opted_out), "{dry}");
    assert_eq!(hatch.message_with_status(&refused, "failed").await["attempts"], 1);

    let (ok, sent) = run(&hatch, &["dead-letters", "redrive", "--code", "21211"]).await;
    assert!(ok && sent.contains("1 of 1 message"), "{sent}");
    hatch
        .eventually("the second round has failed, too", async |hatch| {
            let message = hatch.get(&format!("/api/v1/messages/{refused}")).await.body;
            (message["status"] == "failed" && message["attempts"] == 2).then_some(())
        })
        .await;
    let events = hatch.event_types(&refused).await;
    assert!(events.iter().any(|event| event == "RetryRequested"), "{events:?}");

    let fine = hatch.send_sms(CUSTOMER, "All is well").await;
    hatch.message_with_status(&fine, "delivered").await;
    let (ok, no) = run(&hatch, &["dead-letters", "redrive", &fine]).await;
    assert!(!ok && no.contains("NOT sent again") && no.contains("delivered"), "{no}");
    hatch.finish().await;
}

#[tokio::test]
async fn an_export_goes_on_where_it_was_interrupted() {
    let hatch = Hatch::start().await;
    delivered(&hatch, 3).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ok, whole) = run(&hatch, &["events", "export"]).await;
    assert!(ok);
    let positions: Vec<i64> = whole
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["position"].as_i64())
        .map(|position| position.expect("a position"))
        .collect();
    assert_eq!(positions, (1..=i64::try_from(positions.len()).expect("few")).collect::<Vec<_>>());

    // What an interruption leaves: whole lines, and half of one.
    let half = whole.len() / 2;
    std::fs::write(path("log"), &whole[..half]).expect("written");
    let (ok, _) = run(&hatch, &["events", "export", "--output", &path("log")]).await;
    assert!(!ok, "a file that is there is not overwritten");
    let (ok, error) =
        run(&hatch, &["events", "export", "--output", &path("log"), "--resume"]).await;
    assert!(ok, "{error}");
    assert_eq!(std::fs::read_to_string(path("log")).expect("read"), whole);

    let (ok, part) = run(&hatch, &["events", "export", "--from", "2", "--to", "3"]).await;
    assert_eq!((ok, part.lines().count()), (true, 2));
    let (ok, error) = run(&hatch, &["events", "export", "--to", "1000000"]).await;
    assert!(!ok && error.contains("--to 1000000 is after the end of the log"), "{error}");
    let next = (positions.len() + 1).to_string();
    let (ok, nothing) = run(&hatch, &["events", "export", "--from", &next]).await;
    assert!(ok && nothing.starts_with("nothing to export after position"), "{nothing}");
    let (ok, error) = run(&hatch, &["events", "export", "--from", "1000000"]).await;
    assert!(!ok && error.contains("--from 1000000 is after the end of the log"), "{error}");
    hatch.finish().await;
}

#[tokio::test]
async fn a_sound_log_is_reported_as_sound_and_each_damage_is_named() {
    let hatch = Hatch::start().await;
    delivered(&hatch, 4).await;
    let (ok, said) = run(&hatch, &["log", "verify"]).await;
    assert!(ok && said.contains("keeps what it promises"), "{said}");
    let head = hatch.log_length().await;
    assert!(said.contains(&format!("{head} events from position 1 on compared")), "{said}");

    let database = hatch.database.connect().await;
    database
        .batch_execute("ALTER TABLE es.events DISABLE TRIGGER refuse_change")
        .await
        .expect("done");
    for (damage, names) in [
        (
            "UPDATE es.streams SET version = version + 1 WHERE stream_id = (SELECT stream_id FROM es.events WHERE position = 1)",
            "streams: stream",
        ),
        (
            "UPDATE es.streams SET kind = 'other' WHERE stream_id = (SELECT stream_id FROM es.events WHERE position = 2)",
            "has events of another kind than its own",
        ),
        ("UPDATE es.events SET epoch = 7 WHERE position = 3", "epochs: position 3 is of epoch 7"),
        (
            "UPDATE es.events SET event_id = gen_random_uuid() WHERE position = 4",
            "position 4: JetStream has another event there",
        ),
        (
            "UPDATE es.checkpoints SET position = 1000000 WHERE name = 'messages'",
            "checkpoints: messages version 1 is at 1000000",
        ),
        (
            "INSERT INTO es.commands VALUES (gen_random_uuid(), sha256('x'), 5, 1000000, now())",
            "points to positions 5 to 1000000",
        ),
        (
            "UPDATE es.events SET event_id = (SELECT event_id FROM es.events WHERE position = 5) WHERE position = 6",
            "event ids: 2 events have the id",
        ),
        (
            "UPDATE es.events SET type = 'MessageTeleported' WHERE position = 7",
            "UNKNOWN     MessageTeleported version 1 in message streams: 1 event, the first at 7",
        ),
        ("DELETE FROM es.events WHERE position = 2", "positions: position 3 follows 1"),
    ] {
        database.batch_execute(damage).await.unwrap_or_else(|error| panic!("{damage}: {error}"));
        let (ok, said) = run(&hatch, &["log", "verify"]).await;
        assert!(!ok && said.contains(names), "{damage}: {said}");
    }
    database.close().await;
}

#[tokio::test]
async fn what_somebody_else_wrote_to_jetstream_is_named() {
    let mut hatch = Hatch::start().await;
    delivered(&hatch, 2).await;
    let head = crate::generations::published(&hatch).await;
    // Nobody is there to replace the stream.
    hatch.stop().await;
    let settings = hatch.bus.settings();
    let jetstream = hatch_bus::testing::jetstream(&settings.url).await.expect("connects");
    let subject = format!("{}.events.stray", settings.prefix);
    let sent = jetstream.publish(subject, "a note".into()).await.expect("is sent");
    sent.await.expect("is stored");
    let (ok, said) = run(&hatch, &["log", "verify"]).await;
    let names = format!("position {}: JetStream has what is not hatch's: no_mac", head + 1);
    assert!(!ok && said.contains(&names), "{said}");
    hatch.finish().await;
}

#[tokio::test]
async fn a_command_without_a_server_fails_soon() {
    let hatch = Hatch::start().await;
    let mut command = command(&hatch, &["log", "verify"]);
    command.env("HATCH_NATS_URL", "nats://127.0.0.1:1");
    let output = tokio::time::timeout(Duration::from_secs(20), command.output()).await;
    let output = output.expect("in time").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("not compared: NATS does not answer"),
        "{said}"
    );
    hatch.finish().await;
}
