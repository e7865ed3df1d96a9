//! What somebody meets who sets hatch up: a mistake is named, with what to do, by `doctor` and by `serve`.

use crate::dispatch::NOBODY_DISPATCHES;
use crate::doctor::{Findings, command, doctor_with, run};
use crate::harness::Hatch;

#[tokio::test]
async fn a_nats_that_does_not_let_hatch_in_is_said_to_refuse_and_nothing_is_raw() {
    let hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    let url = hatch.settings.nats_url.clone().expect("NATS");
    let (_, place) = url.rsplit_once('@').expect("a server with a user");
    for user in ["hatch:wrong@", "", "token@"] {
        let other = format!("nats://{user}{place}");
        let findings = doctor_with(&hatch, &[("HATCH_NATS_URL", &other)]).await;
        assert!(!findings.healthy);
        let says = ["refused: authorization", "set the user and password"];
        findings.assert_says("WRONG", "nats", &says);
        findings.assert_says("-", "relay", &["not checked: NATS does not let hatch in"]);
        for raw in ["start the server", "does not answer", "ERROR", "violation", "wrong@"] {
            assert!(!findings.lines.contains(raw), "{raw}: {}", findings.lines);
        }
    }
    hatch.finish().await;
}

#[tokio::test]
async fn an_account_at_a_real_provider_needs_a_public_url() {
    let hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    let remedy = ["HATCH_PUBLIC_URL", "`serve` does not start before"];
    for (public_url, says) in [
        (None, "by which Twilio reaches hatch"),
        (Some("http://127.0.0.1:8080"), "by which Twilio reaches hatch"),
        (Some("hatch.example.com"), "expected a URL such as https://hatch.example.com"),
    ] {
        let start = |arguments: &[&str]| {
            let mut command = command(&hatch, arguments, &[]);
            match public_url {
                Some(url) => command.env("HATCH_PUBLIC_URL", url),
                None => command.env_remove("HATCH_PUBLIC_URL"),
            };
            command
        };
        let output = start(&["doctor"]).output().await.expect("it runs");
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let findings = Findings { healthy: output.status.success(), lines };
        assert!(!findings.healthy);
        findings.assert_says("WRONG", "public_url", &[says, remedy[0], remedy[1]]);
        let mut serve = start(&["serve"]);
        let output = serve.env("HATCH_LISTEN", "127.0.0.1:0").output().await.expect("it ends");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "it serves with {public_url:?}");
        assert!(error.contains("public_url: expected") && error.contains(says), "{error}");
        assert!(!error.contains("twilio.public_url"), "{error}");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn a_port_that_another_hatch_has_is_said_to_be_its() {
    let hatch = Hatch::start_with(NOBODY_DISPATCHES, |_| {}).await;
    let taken = hatch.url.trim_start_matches("http://");
    let (served, error) = run(&hatch, &["serve"], &[("HATCH_LISTEN", taken)]).await;
    let says = format!("another hatch answers on {taken}: stop it, or set HATCH_LISTEN");
    assert!(!served && error.contains(&says), "{error}");
    let findings = doctor_with(&hatch, &[]).await;
    findings.assert_says("ok", "listen", &["hatch answers", "another needs another HATCH_LISTEN"]);

    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let taken = other.local_addr().expect("bound").to_string();
    let (served, error) = run(&hatch, &["serve"], &[("HATCH_LISTEN", &taken)]).await;
    assert!(!served && error.contains(&format!("another program has {taken}")), "{error}");
    hatch.finish().await;
}
