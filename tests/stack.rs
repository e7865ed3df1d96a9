//! The stack of `docker-compose.yml` works: its commands, its environment and the files of `deploy/`, as processes on
//! addresses of their own. A message goes by the gateway from a client to the simulator, and its receipts come back.

mod compose;
mod world;

use hatch_devservers::free_port;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use self::world::{PATIENCE, World, file, nginx, said};
use crate::harness::{CUSTOMER, SENDER};
use crate::keys::Key;
use crate::time::eventually_within;

const ROLES: [&str; 6] = ["command", "query", "webhook", "relay", "projector", "dispatcher"];

/// What the gateway lets nobody ask.
const HIDDEN: [&str; 8] = [
    "/metrics",
    "/ready",
    "/docs",
    "/api/v1/docs",
    "/api/v1/webhook-log",
    "/api/v1/projections",
    "/api/v1/webhooks/replay/1",
    "/_sim/messages",
];

/// The commands of README.md that are run by docker compose in a container of their own, in their order, without
/// what they are run by.
fn documented() -> Vec<Vec<String>> {
    let readme = file("README.md");
    let (_, deploy) = readme.split_once("\n## Deploy\n").expect("a section");
    let deploy = deploy.split("\n## ").next().unwrap_or_default();
    let commands =
        deploy.lines().filter_map(|line| line.strip_prefix("$ docker compose run --rm "));
    let words = |line: &str| {
        let line = line.split(" #").next().unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect()
    };
    commands.map(words).collect()
}

/// The keys of a stack: that of its operators, and that of the first message.
struct Keys {
    operators: Key,
    first: Key,
}

#[tokio::test]
async fn the_first_message_goes_through_the_stack() {
    if !cfg!(target_os = "linux") {
        println!("skipped: this system has one loopback address alone");
        return;
    }
    let program = match nginx().await {
        Ok(program) => program,
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "nobody else looks at the stack: {why}");
            println!("skipped: {why}");
            return;
        }
    };
    let mut world = World::prepare().await;
    world.start_postgres().await;
    world.start_nats().await;
    world.start_simulator().await;
    let keys = first_keys(&world).await;
    start_all(&mut world, &program).await;
    nobody_comes_in_the_clear(&world).await;
    let id = first_message(&world, &keys.first).await;
    is_shut(&world, &keys.operators).await;
    encrypted(&world).await;
    print_log(&world, &keys.first, &id).await;
    let (good, why) = world.check_gateway_with_tls(&program).await;
    assert!(good, "{why}");
    for_real_customers(&mut world).await;
    world.stop().await;
}

/// As README.md says it: the schema, a start that is refused, and the first keys.
async fn first_keys(world: &World) -> Keys {
    let documented = documented();
    let [migrate, operators, first] = &documented[..] else {
        panic!("three commands: {documented:?}")
    };
    assert_eq!(*migrate, ["migrate"]);
    let (migrated, output) = said(&mut world.hatch("migrate", None)).await;
    assert!(migrated, "{output}");
    // On an address that others reach: the containers' is that of their network.
    let mut early = world.hatch("command", None);
    early.env("HATCH_LISTEN", format!("0.0.0.0:{}", free_port().expect("a free port")));
    let (served, why) = said(&mut early).await;
    assert!(!served && why.contains("there is no key yet"), "{why}");
    assert!(why.contains("hatch keys create"), "{why}");
    Keys { operators: made(world, operators).await, first: made(world, first).await }
}

/// The key that a documented command makes.
async fn made(world: &World, documented: &[String]) -> Key {
    let (service, arguments) = documented.split_first().expect("a service");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (made, output) = said(&mut world.hatch(service, Some(&arguments))).await;
    assert!(made, "{output}");
    Key::of(&output)
}

async fn start_all(world: &mut World, nginx: &std::path::Path) {
    for role in ROLES {
        let mut serve = world.hatch(role, None);
        world.start(role, &mut serve);
    }
    world.start_gateway(nginx).await;
    let http = hatch::http_client(PATIENCE).expect("an HTTP client");
    for role in ROLES {
        let url = format!("http://{}:8080/ready", world.address(role));
        eventually_within(PATIENCE, &format!("{role} is ready"), async || {
            let Ok(answer) = http.get(&url).send().await else { return false };
            answer.json::<Value>().await.is_ok_and(|ready| ready["status"] == "ready")
        })
        .await;
    }
    let health = url(world, "/health");
    eventually_within(PATIENCE, "the gateway answers", async || {
        http.get(&health).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await;
}

fn url(world: &World, path: &str) -> String {
    format!("http://{}:8080{path}", world.address("gateway"))
}

fn asked(request: RequestBuilder, key: &Key) -> RequestBuilder {
    request.header("authorization", key.bearer())
}

async fn first_message(world: &World, key: &Key) -> String {
    let http = hatch::http_client(PATIENCE).expect("an HTTP client");
    let message = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let sent = asked(http.post(url(world, "/api/v1/messages")), key).json(&message).send().await;
    let sent = sent.expect("an answer");
    let (status, sent): (_, Value) = (sent.status(), sent.json().await.expect("JSON"));
    assert_eq!(status, StatusCode::ACCEPTED, "{sent}");
    let id = sent["id"].as_str().expect("an id").to_owned();
    eventually_within(PATIENCE, "it is delivered", async || {
        let request = asked(http.get(url(world, &format!("/api/v1/messages/{id}"))), key);
        let Ok(answer) = request.send().await else { return false };
        answer.json::<Value>().await.is_ok_and(|message| message["status"] == "delivered")
    })
    .await;
    id
}

/// What the gateway does not pass on, and to whom it does not listen.
async fn is_shut(world: &World, key: &Key) {
    let http = hatch::http_client(PATIENCE).expect("an HTTP client");
    for path in HIDDEN {
        for request in [http.get(url(world, path)), http.post(url(world, path))] {
            let answer = asked(request, key).send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
    let messages = || http.get(url(world, "/api/v1/messages"));
    let unknown = messages().send().await.expect("an answer");
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
    let rebound = asked(messages(), key).header("host", "evil.example").send().await;
    assert_eq!(rebound.expect("an answer").status(), StatusCode::MISDIRECTED_REQUEST);
    // What a stranger says of himself goes no further.
    let forwarded = asked(messages(), key).header("x-forwarded-host", "evil.example").send().await;
    assert_eq!(forwarded.expect("an answer").status(), StatusCode::OK);
}

/// Neither server speaks to anybody without TLS.
async fn nobody_comes_in_the_clear(world: &World) {
    let (entered, why) = world.asks_by(&world.login("sslmode=disable"), "SELECT 1").await;
    assert!(!entered && why.contains("no encryption"), "{why}");
    let ca = world.path("certificates/ca.crt");
    let full = world.login(&format!("sslmode=verify-full sslrootcert={}", ca.display()));
    let (entered, why) = world.asks_by(&full, "SELECT 1").await;
    assert!(entered, "{why}");
    let (changed, why) = world.asks_by(&full, "DELETE FROM es.events").await;
    assert!(!changed && why.contains("permission denied"), "{why}");
    let mut doctor = world.hatch("command", Some(&["doctor"]));
    doctor.env("HATCH_NATS_URL", format!("nats://{}:4222", world.address("nats")));
    doctor.env_remove("HATCH_NATS__CA_FILE");
    let (_, findings) = said(&mut doctor).await;
    let nats = findings.lines().find(|line| line.contains(" nats ")).unwrap_or_default();
    assert!(nats.starts_with("WRONG"), "without TLS and password: {findings}");
}

/// All that hatch said to PostgreSQL, it said by TLS and as a member of `hatch_app`.
async fn encrypted(world: &World) {
    let of = |condition: &str| {
        format!(
            "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
             WHERE client_addr IS NOT NULL AND {condition}"
        )
    };
    let count = async |condition: &str| {
        let (answered, count) = world.asks(&of(condition)).await;
        assert!(answered, "{count}");
        count.trim().parse::<u32>().expect("a number")
    };
    assert_eq!(count("NOT ssl").await, 0);
    assert!(count("ssl AND usename = 'hatch_login'").await > 0);
    assert_eq!(count("usename <> 'hatch_login'").await, 0, "nobody else comes");
    let (_, findings) = said(&mut world.hatch("relay", Some(&["doctor"]))).await;
    let tls = findings.lines().find(|line| line.contains(" tls ")).unwrap_or_default();
    assert!(tls.starts_with("ok") && tls.contains("verified by its name"), "{findings}");
}

/// With an account at a provider a role starts once `.env` says how providers come back, and not before.
async fn for_real_customers(world: &mut World) {
    let free = || format!("127.0.0.1:{}", free_port().expect("a free port"));
    world.set("hatch.env", "HATCH_TWILIO__ACCOUNT_SID=AC00000000000000000000000000000001");
    world.set("hatch.env", "HATCH_TWILIO__AUTH_TOKEN=secret");
    let mut early = world.hatch("command", None);
    early.env("HATCH_LISTEN", free());
    let (served, why) = said(&mut early).await;
    assert!(!served && why.contains("public_url"), "{why}");
    world.set(".env", "HATCH_PUBLIC_URL=https://hatch.example.com");
    let listen = free();
    let mut serve = world.hatch("command", None);
    serve.env("HATCH_LISTEN", &listen);
    world.start("customers", &mut serve);
    let http = hatch::http_client(PATIENCE).expect("an HTTP client");
    let health = format!("http://{listen}/health");
    eventually_within(PATIENCE, "a role with an account at Twilio serves", async || {
        http.get(&health).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await;
}

/// What everything said while the first message went through, by its time.
#[expect(clippy::print_stdout, reason = "it is shown to who runs the test with its output")]
async fn print_log(world: &World, key: &Key, id: &str) {
    let mut lines = Vec::new();
    for role in ROLES {
        let log = world.log(role);
        lines.extend(log.lines().map(|line| {
            let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
            format!("{time} {role:<10} {}", rest.trim_start())
        }));
    }
    lines.sort();
    println!("The stack's log of the first message, {id}:");
    lines.iter().for_each(|line| println!("  {line}"));
    let http = hatch::http_client(PATIENCE).expect("an HTTP client");
    let events = http.get(url(world, &format!("/api/v1/messages/{id}/events")));
    let events: Value =
        asked(events, key).send().await.expect("an answer").json().await.expect("JSON");
    let types: Vec<_> =
        events["data"].as_array().expect("a list").iter().map(|e| &e["type"]).collect();
    println!("Its events: {types:?}");
    let expected = ["MessageRequested", "SendAttempted", "MessageSent", "MessageDelivered"];
    for name in expected {
        assert!(
            types.iter().any(|found| found.as_str().is_some_and(|t| t.contains(name))),
            "{name}"
        );
    }
}
