//! The oldest part of the log moves to files, and everything goes on as before.

use std::path::PathBuf;

use hatch::roles::Role;
use hatch_bus::testing::TestBus;
use hatch_eventstore::testing::SMALL_PARTITIONS;
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{CUSTOMER, Hatch, database};
use crate::tools::{command, run};
use crate::webhooks::{receipt, sent};

/// A hatch whose partitions hold ten events, and where its archives go.
struct World {
    hatch: Hatch,
    folder: TempDir,
}

impl World {
    async fn start() -> Self {
        let database = database().await;
        let session = database.connect().await;
        session.batch_execute(SMALL_PARTITIONS).await.expect("there is no event yet");
        let bus = TestBus::create().await;
        let hatch = Hatch::start_in(database, bus, &Role::ALL, |_| {}).await;
        Self { hatch, folder: tempfile::tempdir().expect("a folder") }
    }

    async fn run(&self, arguments: &[&str]) -> (bool, String) {
        run(&self.hatch, arguments).await
    }

    async fn run_well(&self, arguments: &[&str]) -> String {
        let (succeeded, said) = self.run(arguments).await;
        assert!(succeeded, "{arguments:?}: {said}");
        said
    }

    /// Archives until only the head's partition is left; relay, projector and timers come after it.
    async fn archive(&self) {
        let directory = self.folder.path().to_str().expect("UTF-8");
        self.hatch
            .eventually("all that is cold is archived", async |_| {
                let said = self.run_well(&["log", "archive", "--directory", directory]).await;
                (!said.contains("has come to") && said.contains("it holds the log's head"))
                    .then_some(())
            })
            .await;
    }

    /// The first archive's file of that name.
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("events-000000000001-000000000009").join(name)
    }

    async fn archives(&self) -> i64 {
        self.hatch.count("SELECT count(*) FROM es.archives").await
    }
}

/// Messages until the log has `events` events.
async fn fill(hatch: &Hatch, events: i64) {
    while hatch.log_length().await < events {
        let id = hatch.send_sms(CUSTOMER, "filler").await;
        hatch.message_with_status(&id, "delivered").await;
    }
}

#[tokio::test]
async fn what_is_archived_is_read_rebuilt_and_goes_on() {
    let mut world = World::start().await;
    let (silent, sid) = sent(&world.hatch).await;
    let failed = world.hatch.send_sms("+18045550400", "Nobody is there").await;
    world.hatch.message_with_status(&failed, "failed").await;
    fill(&world.hatch, 35).await;
    let message = world.hatch.get(&format!("/api/v1/messages/{silent}")).await.body;
    let conversation = message["conversation_id"].as_str().expect("an id");
    let paths = [
        format!("/api/v1/messages/{silent}/events"),
        format!("/api/v1/messages/{silent}?at=2"),
        format!("/api/v1/conversations/{conversation}?at=2"),
        format!("/api/v1/messages/{failed}/events"),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(world.hatch.get(path).await.body);
    }
    let exported = world.run_well(&["events", "export"]).await;

    world.archive().await;
    assert!(world.archives().await >= 3);
    assert_eq!(world.hatch.count("SELECT min(position) FROM es.events").await % 10, 0);
    assert_eq!(world.run_well(&["events", "export"]).await, exported, "byte for byte");
    for (path, before) in paths.iter().zip(&before) {
        assert_eq!(&world.hatch.get(path).await.body, before, "{path}");
    }
    let shown = world.run_well(&["events", "show", &silent]).await;
    assert!(shown.lines().count() >= 3 && exported.contains(shown.lines().next().expect("one")));
    for subcommand in ["verify", "rebuild", "verify"] {
        world.run_well(&["projections", subcommand, "messages"]).await;
    }
    let said = world.run_well(&["log", "verify"]).await;
    assert!(said.contains("positions 1 to") && said.contains("keeps what it promises"), "{said}");

    assert!(receipt(&silent, &sid, "delivered").send(&world.hatch).await.is_success());
    world.hatch.message_with_status(&silent, "delivered").await;
    let retried = world.hatch.post(&format!("/api/v1/messages/{failed}/retry"), &json!({})).await;
    assert!(retried.status.is_success(), "{}", retried.body);
    world
        .hatch
        .eventually("the second round has failed, too", async |hatch| {
            let message = hatch.get(&format!("/api/v1/messages/{failed}")).await.body;
            (message["status"] == "failed" && message["attempts"] == 2).then_some(())
        })
        .await;
    world.hatch.stop().await;
    world.hatch.start_again(&Role::ALL).await;
    let next = world.hatch.send_sms(CUSTOMER, "after a restart").await;
    world.hatch.message_with_status(&next, "delivered").await;
    world.run_well(&["log", "verify"]).await;
    world.hatch.finish().await;
}

#[tokio::test]
async fn a_missing_file_is_named_by_whoever_needs_it_and_new_messages_go_on() {
    let world = World::start().await;
    let (silent, sid) = sent(&world.hatch).await;
    fill(&world.hatch, 25).await;
    world.archive().await;
    let (_, said) = world.run(&["doctor"]).await;
    assert!(said.contains("in files that are here"), "{said}");

    let (file, away) = (world.file("events.ndjson.zst"), world.folder.path().join("away"));
    std::fs::rename(&file, &away).expect("moved");
    let name = file.to_str().expect("UTF-8");
    for arguments in [
        &["doctor"][..],
        &["events", "export"],
        &["events", "show", &silent],
        &["projections", "rebuild", "messages"],
        &["log", "verify"],
    ] {
        let (succeeded, said) = world.run(arguments).await;
        assert!(!succeeded && said.contains(name), "{arguments:?}: {said}");
    }
    let late = receipt(&silent, &sid, "delivered");
    assert!(late.send(&world.hatch).await.is_server_error(), "the provider is to try again");
    let events = world.hatch.get(&format!("/api/v1/messages/{silent}/events")).await;
    assert!(events.status.is_server_error(), "{}", events.body);
    let id = world.hatch.send_sms(CUSTOMER, "This goes on").await;
    world.hatch.message_with_status(&id, "delivered").await;

    std::fs::rename(&away, &file).expect("moved back");
    assert!(late.send(&world.hatch).await.is_success());
    world.hatch.message_with_status(&silent, "delivered").await;
    assert_eq!(world.hatch.get("/api/v1/messages").await.status, StatusCode::OK);
    world.hatch.finish().await;
}

#[tokio::test]
async fn what_hinders_is_said() {
    let world = World::start().await;
    let directory = world.folder.path().to_str().expect("UTF-8");
    let archive = ["log", "archive", "--directory", directory];
    let said = world.run_well(&archive).await;
    assert!(said.contains("nothing is cold"), "{said}");
    fill(&world.hatch, 15).await;
    let partition = |number| [&archive[..], &["--partition", number]].concat();

    world
        .hatch
        .eventually("only the head is in the way", async |_| {
            let (succeeded, said) = world.run(&partition("1")).await;
            assert!(!succeeded && said.contains("it holds the log's head"), "{said}");
            assert!(said.contains("partition 0 is older and not archived"), "{said}");
            (!said.contains("has come to")).then_some(())
        })
        .await;
    let (succeeded, said) = world.run(&partition("1000")).await;
    assert!(!succeeded && said.contains("no partition 1000"), "{said}");
    let (succeeded, said) = world.run(&["log", "archive"]).await;
    assert!(!succeeded && said.contains("HATCH_ARCHIVE__DIRECTORY"), "{said}");

    let mut nobody = command(&world.hatch, &archive);
    nobody.env("HATCH_NATS_URL", "nats://127.0.0.1:1");
    let output = nobody.output().await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("NATS does not answer"), "{said}");
    assert_eq!(world.archives().await, 0);

    let mut named = command(&world.hatch, &["log", "archive", "--partition", "0"]);
    named.env("HATCH_ARCHIVE__DIRECTORY", directory);
    let output = named.output().await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("positions 1 to 9"), "{said}");
    assert_eq!(world.archives().await, 1);
    world.hatch.finish().await;
}
