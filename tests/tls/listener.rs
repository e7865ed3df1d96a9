//! `serve` shows a certificate of its own, and goes on with a renewed one.

use std::process::Stdio;
use std::time::Duration;

use hatch::roles::Role;
use hatch_devservers::free_port;
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::Value;

use super::certificates::{Authority, Pair, Valid, write};
use crate::doctor::{command, doctor_with, run};
use crate::harness::Hatch;
use crate::process::Up;
use crate::time::eventually;

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn serve_shows_a_certificate_and_keeps_it_where_the_next_is_bad() {
    let hatch = Hatch::start_with(&[Role::Query], |_| {}).await;
    let (authority, folder) = (Authority::new("a CA"), tempfile::tempdir().expect("a folder"));
    let install = |pair: &Pair| {
        write(folder.path(), "hatch.crt", &pair.certificate);
        write(folder.path(), "hatch.key", &pair.key);
    };
    let names = ["localhost", "127.0.0.1", "hatch.example.com"];
    install(&authority.sign(&names, Valid::Now));
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let listen = format!("127.0.0.1:{}", free_port().expect("a free port"));
    let (certificate, key) = (at("hatch.crt"), at("hatch.key"));
    let variables = [
        ("HATCH_LISTEN", listen.as_str()),
        ("HATCH_TLS__CERTIFICATE_FILE", certificate.as_str()),
        ("HATCH_TLS__KEY_FILE", key.as_str()),
    ];
    let mut serve = command(&hatch, &["serve", "--roles", "command,query"], &variables);
    let child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let authority_pem = reqwest::Certificate::from_pem(authority.pem().as_bytes());
    let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
    let http = http.tls_certs_only([authority_pem.expect("a CA")]).build();
    let mut serve = Up { child, url: format!("https://{listen}"), http: http.expect("a client") };
    let certificate_is = async |status: &str| {
        eventually(&format!("the certificate is {status}"), async || {
            let answer = serve.http.get(format!("{}/ready", serve.url)).send().await.ok()?;
            let ready: Value = answer.json().await.ok()?;
            let found = ready["dependencies"]["certificate"].clone();
            (found["status"] == status).then_some(found)
        })
        .await
    };
    certificate_is("up").await;
    let messages = serve.http.get(format!("{}/api/v1/messages", serve.url)).send().await;
    assert_eq!(messages.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    let findings = doctor_with(&hatch, &variables).await;
    findings.assert_says("ok", "certificate", &["valid for"]);
    findings.assert_says("ok", "listen", &["hatch answers"]);
    findings.assert_says("ok", "directory", &["up to the end of the log"]);

    install(&authority.sign(&names, Valid::Formerly));
    let said = certificate_is("down").await;
    let detail = said["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("expired") && detail.contains("stays in use"), "{said}");
    doctor_with(&hatch, &variables).await.assert_says("WRONG", "certificate", &["expired"]);
    install(&authority.sign(&names, Valid::Now));
    certificate_is("up").await;
    serve.signal(Signal::SIGTERM);
    assert!(serve.child.wait().await.expect("it ends").success(), "a clean end");

    let other = authority.sign(&names, Valid::Now);
    write(folder.path(), "hatch.key", &other.key);
    let (served, why) = run(&hatch, &["serve", "--roles", "query"], &variables).await;
    assert!(!served && why.contains("is not that of the certificate"), "{why}");
    hatch.finish().await;
}
