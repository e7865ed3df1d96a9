//! Servers that take each other's place, with a bus that says nothing: what one of them sent is not sent
//! again by the other.

use hatch::roles::Role;
use hatch::settings::Settings;
use hatch_bus::testing::TestBus;
use hatch_eventstore::testing::{Fault, Proxy};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::dispatch::NOBODY_DISPATCHES;
use crate::harness::{CUSTOMER, Hatch};
use crate::restore::{Cluster, lift, overdue};
use crate::silence::accepted;

/// A connection string that names both, the first one first.
fn either(first: &Cluster, second: &Cluster) -> String {
    let (first, second) = (first.port, second.port);
    format!("postgres://postgres@127.0.0.1:{first},127.0.0.1:{second}/postgres")
}

/// Waits so short that what is left to the sweeper is due at once.
fn hurried(database_url: String, nats: &Proxy) -> impl FnOnce(&mut Settings) {
    let nats_url = nats.url().to_owned();
    move |settings| {
        settings.database_url = Some(database_url);
        settings.nats_url = Some(nats_url);
        settings.dispatcher.timers_lag_ms = 200;
        settings.dispatcher.delivery_grace_ms = 300;
    }
}

/// Waits until `/ready` says why nothing is sent.
async fn closed(hatch: &Hatch, code: &str) {
    let what = format!("the fence is {code}");
    hatch
        .eventually(&what, async |hatch| {
            let ready = hatch.get("/ready").await;
            let detail = ready.body["dependencies"]["fence"]["detail"].as_str()?;
            let closed = detail.starts_with(code) && ready.body["status"] == "degraded";
            closed.then_some(())
        })
        .await;
}

/// Files that are put back from before the last lift, while the bus says nothing: hatch's own memory is the
/// only witness.
#[tokio::test]
async fn a_log_of_an_older_epoch_sends_nothing_again_when_the_bus_is_silent() {
    let mut cluster = Cluster::start().await;
    let bus = TestBus::create().await;
    let nats = Proxy::start(&bus.settings().url).await;
    let change = hurried(cluster.url(), &nats);
    let mut hatch = Hatch::start_on(bus, NOBODY_DISPATCHES, change).await;
    let pending = hatch.send_sms(CUSTOMER, "requested before the copy").await;
    let port = cluster.port;
    cluster.end(Signal::SIGINT);
    cluster.run("cp", &["-a", "data", "copy"]);
    cluster.serve("data", Some(port)).await;
    let regressed = "INSERT INTO es.log_regressions (epoch, detail) VALUES (1, 'for the test')
        RETURNING epoch::bigint";
    cluster.count(regressed).await;
    assert!(lift(&cluster.url()).await.contains("epoch 2"));
    hatch.start_more(&[Role::Dispatcher]).await;
    hatch.message_with_status(&pending, "delivered").await;

    nats.begin(Fault::Blackhole);
    cluster.end(Signal::SIGINT);
    cluster.run("mv", &["data", "lost"]);
    cluster.run("mv", &["copy", "data"]);
    cluster.serve("data", Some(port)).await;
    closed(&hatch, "LOG_REGRESSED").await;
    overdue(&hatch, &cluster, 1).await;
    hatch.assert_each_sent_once(std::slice::from_ref(&pending)).await;
    assert_eq!(cluster.count("SELECT count(*) FROM es.log_regressions").await, 1);

    // Epochs go on after both, and so does everything else, once somebody has decided.
    let cancel = hatch.post(&format!("/api/v1/messages/{pending}/cancel"), &Value::Null).await;
    assert!(cancel.status.is_success(), "{}", cancel.body);
    assert!(lift(&cluster.url()).await.contains("epoch 3"));
    let after = hatch.send_sms(CUSTOMER, "after").await;
    hatch.message_with_status(&after, "delivered").await;
    hatch.assert_each_sent_once(&[pending, after]).await;
    nats.end();
    hatch.finish().await;
}

/// Split brain, failover and failback of two servers that the connection string names both.
#[tokio::test]
async fn of_two_servers_only_one_sends_whichever_is_reached() {
    let mut first = Cluster::start().await;
    let bus = TestBus::create().await;
    let nats = Proxy::start(&bus.settings().url).await;
    let mut second = first.standby().await;
    let change = hurried(either(&first, &second), &nats);
    let mut hatch = Hatch::start_on(bus, NOBODY_DISPATCHES, change).await;
    let pending = hatch.send_sms(CUSTOMER, "requested before").await;
    let copied = "SELECT count(*) FROM es.events";
    hatch
        .eventually("the standby has it", async |_| (second.count(copied).await == 1).then_some(()))
        .await;
    nats.begin(Fault::Blackhole);

    // Split brain: the first one lives on, and a dispatcher finds the second.
    second.promote().await;
    hatch.settings.database_url = Some(either(&second, &first));
    hatch.start_more(&[Role::Dispatcher]).await;
    overdue(&hatch, &second, 1).await;
    assert!(hatch.record().await.is_empty(), "the promoted one is fenced");

    // Failover: all of them find the second.
    let port = first.port;
    first.end(Signal::SIGKILL);
    closed(&hatch, "FENCED").await;
    let waiting = accepted(&hatch, "behind the fence").await;
    assert!(hatch.record().await.is_empty(), "nothing was sent yet");
    assert!(lift(&second.url()).await.contains("epoch 2"));
    for id in [&pending, &waiting] {
        hatch.message_with_status(id, "delivered").await;
    }
    let sent = [pending, waiting];
    hatch.assert_each_sent_once(&sent).await;

    // Failback: the first one comes back as it was, and is its epoch's own server.
    first.serve("data", Some(port)).await;
    second.end(Signal::SIGKILL);
    closed(&hatch, "LOG_REGRESSED").await;
    overdue(&hatch, &first, 1).await;
    hatch.assert_each_sent_once(&sent).await;
    nats.end();
    hatch.finish().await;
}
