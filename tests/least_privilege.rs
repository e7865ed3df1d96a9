//! As in production: an owner migrates, and every role logs in as a member of `hatch_app` and nothing more.

use chrono::TimeDelta;
use hatch::roles::Role;
use hatch_bus::testing::TestBus;
use hatch_eventstore::testing::TestDatabase;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{CUSTOMER, Hatch, SENDER, unique};
use crate::process::{data_folder, program};

/// A database with two logins of its own, neither of which is a superuser's.
struct Logins {
    database: TestDatabase,
    owner: String,
    member: String,
    /// How to connect to it as each.
    owner_url: String,
    member_url: String,
}

impl Logins {
    /// The database is empty, and the owner's.
    async fn create() -> Self {
        let database = TestDatabase::create().await;
        let (owner, member) = (format!("owner_{}", unique()), format!("member_{}", unique()));
        let session = database.connect().await;
        let name: String =
            session.query_one("SELECT current_database()", &[]).await.expect("a row").get(0);
        let sql = format!(
            "DROP SCHEMA es CASCADE;
             DO $$ BEGIN CREATE ROLE hatch_app NOLOGIN;
                   EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             CREATE ROLE {owner} LOGIN PASSWORD 'owner';
             CREATE ROLE {member} LOGIN PASSWORD 'member' IN ROLE hatch_app;
             ALTER DATABASE {name} OWNER TO {owner};
             REVOKE ALL ON DATABASE {name} FROM PUBLIC;
             GRANT CONNECT, TEMPORARY ON DATABASE {name} TO hatch_app"
        );
        session.batch_execute(&sql).await.expect("a superuser may do that");
        // Another test may grant the same just now.
        let granted = session.batch_execute("GRANT pg_read_all_settings TO hatch_app").await;
        drop(granted);
        session.close().await;
        let url = |login: &str, password: &str| {
            let url = database.url();
            let (_, place) = url.rsplit_once('@').expect("a URL with a user");
            format!("postgres://{login}:{password}@{place}")
        };
        let (owner_url, member_url) = (url(&owner, "owner"), url(&member, "member"));
        Self { database, owner, member, owner_url, member_url }
    }
}

/// What a command says that logs in by `url`.
async fn command(folder: &TempDir, bus: &TestBus, url: &str, arguments: &[&str]) -> String {
    let mut command = program(folder.path(), env!("CARGO_BIN_EXE_hatch"));
    command
        .args(arguments)
        .env("HATCH_DATABASE_URL", url)
        .env("HATCH_NATS_URL", &bus.settings().url)
        .env("HATCH_BUS__PREFIX", &bus.settings().prefix);
    let output = command.output().await.expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

async fn works(hatch: &Hatch) {
    let sms = hatch.send_sms(CUSTOMER, "hello").await;
    hatch.message_with_status(&sms, "delivered").await;
    let mail = json!({"channel": "email", "to": "ann@example.com", "subject": "s", "body": "b"});
    let mail = hatch.post("/api/v1/messages", &mail).await;
    hatch.message_with_status(mail.text("id"), "delivered").await;
    let retried = hatch.send_sms("+18045550429", "throttled at first").await;
    hatch.message_with_status(&retried, "delivered").await;
    let doubtful = hatch.send_sms("+18045550504", "never answered").await;
    hatch.message_with_status(&doubtful, "delivered").await;
    let inbound = json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "hi", "attachments": []});
    assert_eq!(hatch.simulate_inbound(&inbound).await / 100, 2);
    let inbound = json!({"provider": "sendgrid", "from": "bob@example.com", "to": "user@usehatchapp.com",
        "subject": "s", "body": "hi", "attachments": ["https://example.com/a.txt"]});
    assert_eq!(hatch.simulate_inbound(&inbound).await / 100, 2);
    let mail = crate::contents::message_from(hatch, "bob@example.com").await;
    let file = mail["attachments"][0]["id"].as_str().expect("a file").to_owned();
    assert_eq!(hatch.get(&format!("/api/v1/attachments/{file}")).await.status, 200);
    let send_at = hatch.in_time(TimeDelta::days(30));
    let later = json!({"to": CUSTOMER, "body": "later", "send_at": send_at});
    let later = hatch.post("/api/v1/messages", &later).await;
    let cancel = format!("/api/v1/messages/{}/cancel", later.text("id"));
    assert_eq!(hatch.post(&cancel, &json!({})).await.status.as_u16() / 100, 2);
    let refused = hatch.http.post(format!("{}/api/v1/webhooks/twilio", hatch.url)).body("a=b");
    assert_eq!(refused.send().await.expect("an answer").status(), 401);
    for path in ["messages", "conversations", "webhook-log", "projections", "dead-letters"] {
        let answer = hatch.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let ready = hatch.get("/ready").await;
    assert_eq!(ready.body["status"], "ready", "{}", ready.body);
}

/// What came without a partition goes in its time, and no sooner.
async fn forgets_what_is_old(session: &tokio_postgres::Client) {
    let caught = "INSERT INTO access.audit (id, tenant_id, at, action, details)
        SELECT gen_random_uuid(), gen_random_uuid(), now() - days * interval '1 day', 'looked', '{}'
          FROM unnest(ARRAY[100, 400]) AS days";
    session.batch_execute(caught).await.expect("it is caught");
    let forget = |days| {
        format!("SELECT access.forget_caught_trail('audit', now() - interval '{days} days')")
    };
    let forgotten = session.query(forget(365).as_str(), &[]).await.expect("a number");
    assert_eq!(forgotten[0].get::<_, i64>(0), 1);
    session.batch_execute(&forget(29)).await.expect_err("it is too soon");
}

#[tokio::test]
async fn every_role_serves_as_a_member_of_hatch_app_in_a_database_that_an_owner_migrated() {
    let logins = Logins::create().await;
    let Logins { owner, member, owner_url, member_url, .. } = &logins;
    let (owner, member) = (owner.clone(), member.clone());
    let (owner_url, member_url) = (owner_url.clone(), member_url.clone());
    let (folder, bus) = (data_folder(), TestBus::create().await);
    command(&folder, &bus, &owner_url, &["migrate"]).await;

    let hatch = Hatch::start_in(logins.database, bus, &Role::ALL, |settings| {
        settings.database_url = Some(member_url.clone());
        settings.dispatcher.timers_lag_ms = 200;
    })
    .await;
    works(&hatch).await;

    for arguments in [
        &["events", "tail", "--no-follow"][..],
        &["log", "verify"],
        &["projections", "list"],
        &["dead-letters", "redrive", "--all", "--dry-run"],
        &["webhooks", "list"],
        &["webhooks", "rederive"],
        &["fence", "lift"],
        &["doctor"],
    ] {
        command(&folder, &hatch.bus, &member_url, arguments).await;
    }
    command(&folder, &hatch.bus, &owner_url, &["projections", "rebuild", "messages"]).await;
    works(&hatch).await;

    let session = hatch.database.connect().await;
    session.batch_execute(&format!("SET ROLE {member}")).await.expect("a superuser may");
    for sql in [
        "INSERT INTO access.key_uses VALUES ('k', gen_random_uuid(), now(), '192.0.2.1', NULL)
             ON CONFLICT (key_id) DO UPDATE SET at = EXCLUDED.at",
        "SELECT FROM rm_configuration.tenants, rm_configuration.api_keys, rm_configuration.accounts",
        "SELECT FROM rm_configuration.members, access.sessions, access.totp_steps",
        "SELECT FROM rm_audit.entries, access.audit, access.requests",
        "SELECT access.ensure_trail_partitions(now(), 5)",
        "SELECT access.forget_caught_trail('requests', now() - interval '2 days')",
    ] {
        session.batch_execute(sql).await.expect(sql);
    }
    session.batch_execute("RESET ROLE").await.expect("it may");

    forgets_what_is_old(&session).await;

    // What happened is not a member's to change, and the server is not the owner's.
    let forbidden = [
        (&member, "UPDATE es.events SET payload = '{}'"),
        (&member, "DELETE FROM es.events"),
        (&member, "TRUNCATE hatch.webhook_log"),
        (&member, "DELETE FROM access.key_uses"),
        (&member, "UPDATE rm_audit.entries SET actor = 'nobody'"),
        (&member, "DELETE FROM rm_audit.entries"),
        (&member, "UPDATE access.audit SET actor = 'nobody'"),
        (&member, "DELETE FROM access.audit"),
        (&member, "DELETE FROM access.audit_default"),
        (&member, "UPDATE access.requests SET status = 200"),
        (&member, "DELETE FROM access.requests"),
        (&member, "CREATE TABLE es.mine (n int)"),
        (&member, "DROP SCHEMA es CASCADE"),
        (&owner, "CREATE ROLE another"),
        (&owner, "CREATE DATABASE another"),
    ];
    for (login, sql) in forbidden {
        session.batch_execute(&format!("SET ROLE {login}")).await.expect("a superuser may");
        let refused = session.batch_execute(sql).await.expect_err(sql);
        assert_eq!(refused.code().map(|code| code.code()), Some("42501"), "{sql}: {refused}");
        session.batch_execute("RESET ROLE").await.expect("it may");
    }
    session.close().await;
    hatch.finish().await;
}
