//! All of hatch where nothing is said in the clear.

use std::path::Path;

use hatch::roles::Role;
use hatch_bus::Access;
use hatch_bus::testing::{Server, TestBus};
use serde_json::json;

use super::certificates::{Pair, Valid, write};
use super::cluster::Cluster;
use crate::doctor::doctor_with;
use crate::harness::{CUSTOMER, Hatch, SENDER, database_at};

/// A nats-server with a certificate of the cluster's CA, which asks for ours.
async fn nats(cluster: &Cluster) -> (Server, Access) {
    let folder = cluster.files.path();
    let Pair { certificate, key } = cluster.authority.sign(&["127.0.0.1"], Valid::Now);
    write(folder, "nats.crt", &certificate);
    write(folder, "nats.key", &key);
    let file = |name: &str| folder.join(name);
    let configuration = format!(
        "jetstream: enabled\ntls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        file("nats.crt"),
        file("nats.key"),
        file("ca.crt")
    );
    let access = Access {
        ca_file: Some(file("ca.crt")),
        certificate_file: Some(file("certified.crt")),
        key_file: Some(file("certified.key")),
        ..Access::default()
    };
    (Server::start_with(&configuration).await, access)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_out_and_come_in_where_nothing_is_said_in_the_clear() {
    let cluster = Cluster::start().await;
    let (nats, access) = nats(&cluster).await;
    let file = |name: &str| cluster.file(name);
    let parameters = format!(
        "sslmode=verify-full&sslrootcert={}&channel_binding=require&require_auth=scram-sha-256",
        file("ca.crt")
    );
    let url = cluster.owner(&parameters);
    let variables = |access: &Access| {
        let of = |file: &Option<std::path::PathBuf>| {
            let file: &Path = file.as_deref().expect("a file");
            file.to_str().expect("UTF-8").to_owned()
        };
        [
            ("HATCH_NATS__CA_FILE", of(&access.ca_file)),
            ("HATCH_NATS__CERTIFICATE_FILE", of(&access.certificate_file)),
            ("HATCH_NATS__KEY_FILE", of(&access.key_file)),
        ]
    };
    let variables = variables(&access);
    let bus = TestBus::create_by(&nats.url(), access).await;
    let hatch = Hatch::start_in(database_at(&url).await, bus, &Role::ALL, |_| {}).await;

    let id = hatch.send_sms(CUSTOMER, "in confidence").await;
    hatch.message_with_status(&id, "delivered").await;
    let inbound =
        json!({"provider": "twilio", "from": CUSTOMER, "to": SENDER, "body": "understood"});
    assert_eq!(hatch.simulate_inbound(&inbound).await / 100, 2);
    hatch
        .eventually("the answer is there", async |hatch| {
            let all = hatch.get("/api/v1/messages").await.body.to_string();
            all.contains("understood").then_some(())
        })
        .await;
    let clear = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE usename = 'hatch' AND client_addr IS NOT NULL AND NOT ssl";
    assert_eq!(hatch.count(clear).await, 0);

    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let found = doctor_with(&hatch, &variables).await;
    found.assert_says("ok", "tls", &["PostgreSQL", "verified", "NATS"]);
    hatch.finish().await;
    drop(nats);
    cluster.stop().await;
}
