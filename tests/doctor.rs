//! `hatch doctor` beside a running hatch: what is wrong, since when, and what to do about it.

use std::process::{Output, Stdio};
use std::time::Duration;

use hatch::roles::Role;
use hatch_dispatcher::DoubtPolicy;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::dispatch::NOBODY_DISPATCHES;
use crate::due::{HOLE, with_policy};
use crate::halt::append_an_event_of_the_future;
use crate::harness::{ACCOUNT, CUSTOMER, Hatch};

/// Long enough for three looks in a row at five seconds each, and for a slow machine.
const BOUND: Duration = Duration::from_secs(40);

/// What doctor said, and whether it found nothing wrong.
pub(crate) struct Findings {
    pub(crate) healthy: bool,
    pub(crate) lines: String,
}

impl Findings {
    /// The lines of a check: some have one for each projection.
    fn lines(&self, check: &str) -> Vec<&str> {
        let of_it = |line: &&str| {
            let rest = line.split_once(' ').expect("a mark").1.trim_start();
            rest.starts_with(&format!("{check} "))
        };
        self.lines.lines().filter(of_it).collect()
    }

    /// Whether a line of a check begins with `mark` and says all of `parts`.
    pub(crate) fn says(&self, mark: &str, check: &str, parts: &[&str]) -> bool {
        let says = |line: &&str| parts.iter().all(|part| line.contains(part));
        self.lines(check).iter().any(|line| line.starts_with(mark) && says(line))
    }

    /// That the line of a check begins with `mark` and says all of `parts`. Of several it is the first that
    /// says the first part.
    pub(crate) fn assert_says(&self, mark: &str, check: &str, parts: &[&str]) {
        let found = self.lines(check);
        let first = |line: &&str| parts.first().is_none_or(|part| line.contains(part));
        let several = found.len() > 1;
        let line = if several { found.into_iter().find(first) } else { found.first().copied() };
        let line = line.unwrap_or_else(|| panic!("{check} {parts:?}: {}", self.lines));
        assert!(line.starts_with(mark), "not {mark}: {line}");
        for part in parts {
            assert!(line.contains(part), "lacks {part:?}: {line}");
        }
        let good = mark == "ok" || mark == "-";
        assert_eq!(good, !line.contains(" -> "), "a remedy if there is something to do: {line}");
    }
}

/// A command with the settings of `hatch`, and `variables` beside them.
pub(crate) fn command(hatch: &Hatch, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hatch"));
    let bus = &hatch.settings.bus;
    command
        .args(arguments)
        .env("HATCH_DATABASE_URL", hatch.database.url())
        .env("HATCH_NATS_URL", hatch.settings.nats_url.as_deref().expect("NATS"))
        .env("HATCH_BUS__PREFIX", &bus.prefix)
        .env("HATCH_BUS__STREAM_BYTES_MAX", bus.stream_bytes_max.to_string())
        .env("HATCH_LISTEN", hatch.url.trim_start_matches("http://"))
        .env("HATCH_TWILIO__ACCOUNT_SID", ACCOUNT)
        .env("HATCH_TWILIO__AUTH_TOKEN", "a-token")
        .env("HATCH_PUBLIC_URL", "https://hatch.example.com")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

pub(crate) async fn run(
    hatch: &Hatch,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (bool, String) {
    let output = command(hatch, arguments, variables).output();
    let output = tokio::time::timeout(BOUND, output).await;
    let Output { status, stdout, stderr } = output.expect("in time").expect("it runs");
    let text = String::from_utf8(stdout).expect("UTF-8") + &String::from_utf8_lossy(&stderr);
    (status.success(), text)
}

pub(crate) async fn doctor_with(hatch: &Hatch, variables: &[(&str, &str)]) -> Findings {
    let (healthy, lines) = run(hatch, &["doctor"], variables).await;
    Findings { healthy, lines }
}

async fn doctor(hatch: &Hatch) -> Findings {
    doctor_with(hatch, &[]).await
}

async fn execute(hatch: &Hatch, sql: &str) {
    let session = hatch.database.connect().await;
    session.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    session.close().await;
}

/// As if what is in the log had been there since a time that is long past.
async fn age_the_log(hatch: &Hatch) {
    let sql = "ALTER TABLE es.events DISABLE TRIGGER refuse_change;
        UPDATE es.events SET recorded_at = '2026-01-02 03:04:05Z';
        ALTER TABLE es.events ENABLE TRIGGER refuse_change";
    execute(hatch, sql).await;
}

const LONG_PAST: &str = "since 2026-01-02 03:04:05 UTC";

/// Waits until doctor finds nothing wrong: relay and projector may be some events behind.
async fn healthy(hatch: &Hatch) -> Findings {
    hatch
        .eventually("nothing is wrong", async |hatch| {
            Some(doctor(hatch).await).filter(|findings| findings.healthy)
        })
        .await
}

#[tokio::test]
async fn what_somebody_else_wrote_to_nats_is_told_of_for_a_day() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    healthy(&hatch).await;
    let settings = hatch.bus.settings();
    let jetstream = hatch_bus::testing::jetstream(&settings.url).await.expect("connects");
    let subject = format!("{}.events.stray", settings.prefix);
    let sent = jetstream.publish(subject, "a note".into()).await.expect("is sent");
    sent.await.expect("is stored");
    let what = "generation 1 held what hatch did not write, the message at sequence";
    hatch
        .eventually("doctor tells of it", async |hatch| {
            let findings = doctor(hatch).await;
            let told = findings.lines.contains(what) && findings.healthy;
            told.then(|| findings.assert_says("warning", "foreign", &[what, ": no_mac, since"]))
        })
        .await;
    let day = "UPDATE es.bus_generations SET foreign_at = foreign_at - interval '25 h'";
    execute(&hatch, day).await;
    healthy(&hatch).await.assert_says("ok", "foreign", &[]);

    // Whoever puts it on record ends the generation, from any process.
    let newest = "UPDATE es.bus_generations SET foreign_at = now(), foreign_detail = 'a note'
        WHERE generation = (SELECT max(generation) FROM es.bus_generations)";
    execute(&hatch, newest).await;
    hatch
        .eventually("the next one follows", async |hatch| {
            let ready = hatch.get("/ready").await;
            let generations = hatch.count("SELECT count(*) FROM es.bus_generations").await;
            (generations == 3 && ready.body["status"] == "ready").then_some(())
        })
        .await;
    hatch.finish().await;
}

#[tokio::test]
async fn where_all_is_well_each_check_says_so() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    let findings = healthy(&hatch).await;
    for (check, says) in [
        ("configuration", "complete"),
        ("public_url", "https://hatch.example.com"),
        ("listen", "hatch answers"),
        ("twilio", ACCOUNT),
        ("postgresql", "version 1"),
        ("clock", "s from PostgreSQL's"),
        ("schema", "the one of this build"),
        ("tls", "PostgreSQL: within this machine; NATS: within this machine"),
        ("fence", "open, in epoch 1"),
        ("appends", "nobody keeps the log's lock"),
        ("partitions", "3 of the log"),
        ("archives", "the whole log is in the database"),
        ("nats", "version 2."),
        ("stream", "_EVENTS_1, at position"),
        ("foreign", "no message that hatch did not write"),
        ("storage", "0 % of 16 MiB"),
        ("relay", "leads, and has published up to position"),
        ("queues", " in "),
        ("projections", "messages and conversations are at position"),
        ("projections", "consents are at position"),
        ("timers", "are at position"),
        ("due", "nothing is overdue"),
        ("in doubt", "none"),
        ("dead letters", "none"),
        ("quarantine", "none"),
        ("webhook log", "of 65536 MiB, refused "),
        ("request log", "of 16384 MiB"),
        ("directory", "known up to the end of the log"),
        ("master key", "none is set: accounts are kept in files alone"),
    ] {
        findings.assert_says("ok", check, &[says]);
    }

    findings.assert_says("warning", "keys", &["there is no key yet", "hatch keys create"]);

    let (ok, lines) = run(&hatch, &["doctor", "--json"], &[]).await;
    assert!(ok, "{lines}");
    let checks: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let relay = checks.iter().find(|one| one["check"] == "relay").expect("a relay");
    assert_eq!(relay["verdict"], "ok");
    assert!(relay["since"].is_string() && relay["remedy"].is_null(), "{relay}");
    hatch.finish().await;
}

#[tokio::test]
async fn a_postgresql_that_is_gone_or_silent_is_said_to_be() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("postgres://nobody@{}/x", silent.local_addr().expect("bound"));
    for url in ["postgres://nobody@127.0.0.1:1/x", &silent] {
        let findings = doctor_with(&hatch, &[("HATCH_DATABASE_URL", url)]).await;
        assert!(!findings.healthy);
        let says = ["does not answer", ", since 20", "HATCH_DATABASE_URL"];
        findings.assert_says("WRONG", "postgresql", &says);
        for check in ["schema", "fence", "relay", "projections", "dead letters"] {
            findings.assert_says("-", check, &["not checked: PostgreSQL does not answer"]);
        }
        findings.assert_says("ok", "nats", &["version 2."]);
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_nats_that_is_gone_or_silent_is_said_to_be() {
    let hatch = Hatch::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("nats://{}", silent.local_addr().expect("bound"));
    for url in ["nats://127.0.0.1:1", &silent] {
        let findings = doctor_with(&hatch, &[("HATCH_NATS_URL", url)]).await;
        assert!(!findings.healthy);
        let says = ["does not answer", "HATCH_NATS_URL", "its own log says since when"];
        findings.assert_says("WRONG", "nats", &says);
        findings.assert_says("-", "relay", &["not checked: NATS does not answer"]);
        findings.assert_says("ok", "fence", &["open"]);
    }
    hatch.finish().await;
}

#[tokio::test]
async fn another_schema_is_said_to_be_behind_or_ahead() {
    let hatch = Hatch::start().await;
    execute(
        &hatch,
        "DELETE FROM es.schema_history WHERE version = (SELECT max(version) FROM es.schema_history);
         UPDATE es.schema_history SET applied_on = '2026-01-02T03:04:05Z'",
    )
    .await;
    let findings = doctor(&hatch).await;
    assert!(!findings.healthy);
    findings.assert_says("WRONG", "schema", &["es is at version", LONG_PAST, "hatch migrate"]);
    findings.assert_says("-", "fence", &["not checked: the schema"]);

    execute(
        &hatch,
        "INSERT INTO es.schema_history VALUES (1000, 'later', '2026-01-02T03:04:05Z', '0')",
    )
    .await;
    let findings = doctor(&hatch).await;
    assert!(!findings.healthy);
    findings.assert_says("WRONG", "schema", &["version 1000", LONG_PAST, "the build that fits"]);
}

#[tokio::test]
async fn a_closed_fence_is_said_to_be_closed_and_why() {
    let hatch = Hatch::start().await;
    let regression =
        "INSERT INTO es.log_regressions VALUES (1, 'lost some', '2026-01-02 03:04:05Z')";
    execute(&hatch, regression).await;
    let findings = doctor(&hatch).await;
    assert!(!findings.healthy);
    let says = ["LOG_REGRESSED", "lost some", LONG_PAST, "hatch fence lift"];
    findings.assert_says("WRONG", "fence", &says);

    execute(&hatch, "DELETE FROM es.log_regressions").await;
    let findings = doctor_with(&hatch, &[("HATCH_DATABASE_HOST", "elsewhere")]).await;
    assert!(!findings.healthy);
    let says = ["FENCED", "is elsewhere", ", since 20", "hatch fence lift"];
    findings.assert_says("WRONG", "fence", &says);
    hatch.finish().await;
}

#[tokio::test]
async fn while_somebody_keeps_the_logs_lock_it_is_said_who_and_nobody_waits_for_ever() {
    let hatch = Hatch::start().await;
    let session = hatch.database.connect().await;
    let pid: i32 =
        session.query_one("SELECT pg_backend_pid()", &[]).await.expect("a process").get(0);
    let lock = i64::from_be_bytes(*b"hatchlog");
    session.execute("SELECT pg_advisory_lock($1)", &[&lock]).await.expect("locked");
    let sms = json!({"to": CUSTOMER, "body": "Hello"});
    let sent = hatch.post("/api/v1/messages", &sms);
    let told = hatch.eventually("/ready says that nothing is committed", async |hatch| {
        let ready = hatch.get("/ready").await;
        let appends = &ready.body["dependencies"]["appends"];
        let detail = appends["detail"].as_str().unwrap_or_default();
        let told = detail.starts_with("nothing was committed for ");
        (told && ready.body["status"] == "degraded").then_some(())
    });
    let lifted = run(&hatch, &["fence", "lift"], &[]);
    let (sent, (), (lifted, said)) = tokio::join!(sent, told, lifted);
    assert_eq!(sent.status, StatusCode::SERVICE_UNAVAILABLE, "{}", sent.body);
    assert!(!lifted && said.contains("whether an epoch was begun is not known"), "{said}");
    let findings = doctor(&hatch).await;
    assert!(!findings.healthy);
    let says = ["nobody can append", &format!("process {pid} ("), ", since 20", "terminate"];
    findings.assert_says("WRONG", "appends", &says);

    session.execute("SELECT pg_advisory_unlock($1)", &[&lock]).await.expect("unlocked");
    session.close().await;
    let sent = hatch.post("/api/v1/messages", &sms).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.body);
    let ready = hatch.get("/ready").await;
    assert_eq!(ready.body["dependencies"]["appends"]["status"], "up");
    hatch.finish().await;
}

#[tokio::test]
async fn a_halted_projection_is_said_to_be_with_its_event() {
    let hatch = Hatch::start_with(&[Role::Command, Role::Query, Role::Projector], |_| {}).await;
    hatch.send_sms(CUSTOMER, "Hello").await;
    append_an_event_of_the_future(&hatch).await;
    hatch
        .eventually("the projection is halted", async |hatch| {
            let projections = hatch.get("/api/v1/projections").await;
            (projections.body["data"][0]["status"] == "halted").then_some(())
        })
        .await;
    execute(&hatch, "UPDATE rm.projection_halts SET halted_at = '2026-01-02 03:04:05Z'").await;
    let findings = doctor(&hatch).await;
    assert!(!findings.healthy);
    let says = [
        "messages and conversations halted before position 2",
        "MessageTeleported",
        LONG_PAST,
        "run the build that knows the event",
    ];
    findings.assert_says("WRONG", "projections", &says);
    hatch.finish().await;
}

#[tokio::test]
async fn events_that_are_not_published_projected_or_sent_are_reported_as_waiting() {
    let mut hatch = Hatch::start_with(&[Role::Command, Role::Query], |_| {}).await;
    hatch.send_sms(CUSTOMER, "Hello").await;
    age_the_log(&hatch).await;
    let timer =
        "INSERT INTO due.timers VALUES (gen_random_uuid(), 'message', gen_random_uuid(), now(), 1, 1,
        'sms', 'normal', '2026-01-02 03:04:05Z')";
    execute(&hatch, timer).await;
    let findings = doctor(&hatch).await;
    assert!(!findings.healthy);
    let says = ["no relay leads", "1 event of the log is not on the bus", LONG_PAST, "roles relay"];
    findings.assert_says("WRONG", "relay", &says);
    findings.assert_says("WRONG", "stream", &["there is none", "roles relay"]);
    let says = ["1 event behind the log", LONG_PAST, "roles projector"];
    findings.assert_says("WRONG", "projections", &says);
    findings.assert_says("WRONG", "timers", &["position 0", LONG_PAST, "roles dispatcher"]);
    findings.assert_says("WRONG", "due", &["1 message is overdue", LONG_PAST, "dispatcher"]);

    execute(&hatch, "DELETE FROM due.timers").await;
    hatch.start_more(&[Role::Relay, Role::Projector, Role::Dispatcher]).await;
    healthy(&hatch).await;
    hatch.finish().await;
}

#[tokio::test]
async fn a_stream_of_another_making_is_said_to_be() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    healthy(&hatch).await;
    let findings = doctor_with(&hatch, &[("HATCH_BUS__STREAM_BYTES_MAX", "99999999")]).await;
    assert!(findings.healthy, "a warning is no failure");
    let says = ["max_bytes is 16777216 and should be 99999999", "nats stream edit"];
    findings.assert_says("warning", "stream", &says);

    execute(&hatch, "INSERT INTO es.bus_generations VALUES (7, 1, 1, '2026-01-02 03:04:05Z')")
        .await;
    let findings = doctor(&hatch).await;
    assert!(!findings.healthy);
    let says = ["of generation 1, the log has 7 on record", LONG_PAST, "roles relay"];
    findings.assert_says("WRONG", "stream", &says);
    hatch.finish().await;
}

#[tokio::test]
async fn what_waits_for_a_person_is_counted_and_is_no_failure() {
    let hatch = Hatch::start_with(&Role::ALL, with_policy(DoubtPolicy::Wait)).await;
    let failed = hatch.send_sms("+18045550400", "Nobody is there").await;
    let doubtful = hatch.send_sms(HOLE, "Who knows").await;
    hatch.message_with_status(&failed, "failed").await;
    hatch.message_with_status(&doubtful, "in_doubt").await;
    execute(
        &hatch,
        "INSERT INTO hatch.webhook_log VALUES (gen_random_uuid(),
             '00000000-0000-0000-0000-000000000001', 'twilio', NULL, NULL, 'quarantined', NULL, NULL,
             NULL, 'POST', '/', '{}', '', '2026-01-02 03:04:05Z');
         UPDATE rm_messages_v1.message_states SET updated_at = '2026-01-02 03:04:05Z'",
    )
    .await;
    let findings = healthy(&hatch).await;
    let says = ["1 message failed for good", LONG_PAST, "hatch dead-letters list"];
    findings.assert_says("warning", "dead letters", &says);
    let says = ["1 message in doubt", LONG_PAST, "status=in_doubt"];
    findings.assert_says("warning", "in doubt", &says);
    let says = ["1 webhook ", LONG_PAST, "outcome=quarantined"];
    findings.assert_says("warning", "quarantine", &says);
    hatch.finish().await;
}

#[tokio::test]
async fn few_partitions_ahead_are_a_warning() {
    let hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    execute(
        &hatch,
        "ALTER TABLE es.events DETACH PARTITION es.events_000003;
         ALTER TABLE es.events DETACH PARTITION es.events_000002",
    )
    .await;
    let findings = doctor(&hatch).await;
    findings.assert_says(
        "warning",
        "partitions",
        &["1 of the log are made ahead", "roles command"],
    );
    let metrics = hatch.get("/metrics").await;
    let metrics = metrics.body.as_str().expect("text");
    assert!(metrics.contains("\nhatch_log_partitions_ahead{} 1.0\n"), "{metrics}");
    hatch.finish().await;
}

#[tokio::test]
async fn whatever_stops_serve_is_named_with_its_key() {
    let hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    for (check, variable, value, key) in [
        ("twilio", "HATCH_TWILIO__AUTH_TOKEN", "", "auth_token"),
        ("twilio", "HATCH_TWILIO__ACCOUNT_SID", "AC1", "account_sid"),
        ("sendgrid", "HATCH_SENDGRID__API_KEY", "a-key", "event_public_keys"),
        ("generic", "HATCH_GENERIC__BEARER_SECRET", "short", "bearer_secret"),
        ("configuration", "HATCH_DATABASE_URL", "mysql://x", "database_url"),
        ("configuration", "HATCH_BUS__PREFIX", "A.B", "prefix"),
        ("configuration", "HATCH_DEFAULT_SMS_SENDER", "nobody", "default_sms_sender"),
        ("configuration", "HATCH_DEFAULT_EMAIL_SENDER", "nobody", "default_email_sender"),
        ("configuration", "HATCH_DISPATCHER__LEASE_MS", "1000", "dispatcher"),
    ] {
        let findings = doctor_with(&hatch, &[(variable, value)]).await;
        assert!(!findings.healthy, "{variable}={value}");
        findings.assert_says("WRONG", check, &[key, "`serve` does not start before"]);
        let elsewhere = [(variable, value), ("HATCH_LISTEN", "127.0.0.1:0")];
        let (served, error) = run(&hatch, &["serve"], &elsewhere).await;
        assert!(!served && error.contains(key), "{variable}={value}: {error}");
    }
    let (everywhere, off) = (("HATCH_LISTEN", "0.0.0.0:0"), ("HATCH_AUTHENTICATION", "off"));
    for (set, check, says) in [
        (&[everywhere, off][..], "listen", ["loopback", "HATCH_LISTEN"]),
        (&[("HATCH_LISTEN", "nowhere")], "listen", ["nowhere", "HATCH_LISTEN"]),
        (&[everywhere], "listen", ["loopback only, not on 0.0.0.0", "hatch keys create"]),
    ] {
        let findings = doctor_with(&hatch, set).await;
        assert!(!findings.healthy);
        findings.assert_says("WRONG", check, &says);
        let (served, error) = run(&hatch, &["serve"], set).await;
        assert!(!served && error.contains(says[0]), "{error}");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn an_account_without_a_secret_is_named_with_the_key_that_lacks() {
    let hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    let mut command = command(&hatch, &["doctor"], &[]);
    let output = command.env_remove("HATCH_TWILIO__AUTH_TOKEN").output().await.expect("it runs");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let findings = Findings { healthy: output.status.success(), lines };
    assert!(!findings.healthy);
    findings.assert_says("WRONG", "twilio", &["auth_token: is required", "HATCH_TWILIO__"]);

    let mut none = self::command(&hatch, &["doctor"], &[]);
    none.env_remove("HATCH_TWILIO__AUTH_TOKEN").env_remove("HATCH_TWILIO__ACCOUNT_SID");
    let output = none.output().await.expect("it runs");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let findings = Findings { healthy: true, lines };
    let says = ["no provider account is set", "HATCH_TWILIO__AUTH_TOKEN"];
    findings.assert_says("warning", "accounts", &says);
    hatch.finish().await;
}
