//! `hatch serve` where others reach it: not before it knows whom to let in, and then nobody else.

use std::process::Stdio;
use std::time::Duration;

use hatch::roles::Role;
use hatch_devservers::free_port;
use nix::sys::signal::Signal;
use reqwest::StatusCode;

use crate::doctor::{command, doctor_with, run};
use crate::harness::Hatch;
use crate::keys::Key;
use crate::process::Up;
use crate::time::eventually;

const PATIENCE: Duration = Duration::from_secs(120);
const ROLES: [&str; 3] = ["serve", "--roles", "command,query"];

/// An address of all networks of this machine, and that by which the test reaches it.
fn open() -> (String, String) {
    let port = free_port().expect("a free port");
    (format!("0.0.0.0:{port}"), format!("http://127.0.0.1:{port}"))
}

async fn make(hatch: &Hatch, arguments: &[&str]) -> Key {
    let all = [&["keys", "create", "--name", "first", "--scope", "admin"][..], arguments].concat();
    let (made, said) = run(hatch, &all, &[]).await;
    assert!(made, "{said}");
    Key::of(&said)
}

#[tokio::test]
async fn beyond_loopback_it_serves_once_there_is_a_key() {
    // Nobody folds what happens, as in a database that is new.
    let hatch = Hatch::start_with(&[Role::Query], |_| {}).await;
    let (listen, url) = open();
    let elsewhere = [("HATCH_LISTEN", listen.as_str())];
    let refused = async |why: &str| {
        let (served, error) = run(&hatch, &ROLES, &elsewhere).await;
        assert!(!served, "it serves with {why}");
        assert!(error.contains("hatch keys create"), "{why}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{why}: {error}");
        let findings = doctor_with(&hatch, &elsewhere).await;
        findings.assert_says("WRONG", "listen", &["hatch keys create"]);
    };
    refused("no key").await;
    let key = make(&hatch, &[]).await;
    let findings = doctor_with(&hatch, &elsewhere).await;
    findings.assert_says("ok", "keys", &["1 key can be used"]);
    let tenant = hatch.create_tenant("second").await;
    let (invited, said) =
        run(&hatch, &["members", "invite", "ann@example.com", "--role", "owner"], &[]).await;
    assert!(invited, "{said}");
    for (list, one) in [
        (&["keys", "list"][..], key.id.as_str()),
        (&["keys", "list", "--json"][..], key.id.as_str()),
        (&["tenants", "list"][..], tenant.as_str()),
        (&["members", "list"][..], "ann@example.com"),
    ] {
        let (listed, said) = run(&hatch, list, &[]).await;
        assert!(listed && said.contains(one), "{list:?}: {said}");
    }
    let (revoked, said) = run(&hatch, &["keys", "revoke", &key.id], &[]).await;
    assert!(revoked, "{said}");
    let findings = doctor_with(&hatch, &elsewhere).await;
    findings.assert_says(
        "warning",
        "keys",
        &["no key can be used: 1 key ended", "hatch keys create"],
    );
    findings.assert_says("ok", "listen", &[]);

    // One that has ended is one: roles that do not start would let nobody in either.
    let mut serve = command(&hatch, &ROLES, &elsewhere);
    let child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let http = hatch::http_client(PATIENCE).expect("an HTTP client");
    let mut serve = Up { child, url: url.clone(), http };
    let asked = async || {
        let request = serve.http.get(format!("{}/api/v1/messages", serve.url));
        Some(request.header("authorization", key.bearer()).send().await.ok()?.status())
    };
    assert_eq!(eventually("it listens", asked).await, StatusCode::UNAUTHORIZED);
    serve.signal(Signal::SIGTERM);
    assert!(serve.child.wait().await.expect("it ends").success(), "a clean end");

    let key = make(&hatch, &[]).await;
    let mut serve = command(&hatch, &ROLES, &elsewhere);
    let child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let http = hatch::http_client(PATIENCE).expect("an HTTP client");
    let mut serve = Up { child, url, http };
    let asked = async |key: Option<&Key>| {
        let request = serve.http.get(format!("{}/api/v1/messages", serve.url));
        let request = key
            .into_iter()
            .fold(request, |request, key| request.header("authorization", key.bearer()));
        Some(request.send().await.ok()?.status())
    };
    let status = eventually("it listens", async || asked(None).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(asked(Some(&key)).await, Some(StatusCode::OK));
    serve.signal(Signal::SIGTERM);
    assert!(serve.child.wait().await.expect("it ends").success(), "a clean end");
    hatch.finish().await;
}

#[tokio::test]
async fn beyond_loopback_nothing_is_served_without_authentication() {
    let hatch = Hatch::start_with(&[Role::Query], |_| {}).await;
    make(&hatch, &[]).await;
    let (listen, _) = open();
    for address in [listen.as_str(), "[::]:0"] {
        let off = [("HATCH_LISTEN", address), ("HATCH_AUTHENTICATION", "off")];
        let (served, error) = run(&hatch, &ROLES, &off).await;
        assert!(!served, "it serves everybody on {address}");
        assert!(error.contains("authentication") && error.contains("loopback"), "{error}");
    }
    hatch.finish().await;
}

/// On the machine itself a key is wanted, too, unless somebody says otherwise.
#[tokio::test]
async fn on_loopback_it_wants_a_key_unless_authentication_is_off() {
    let hatch = Hatch::start_with(&[Role::Query], |_| {}).await;
    for (variables, expected) in [
        (&[][..], StatusCode::UNAUTHORIZED),
        (&[("HATCH_AUTHENTICATION", "off")][..], StatusCode::OK),
    ] {
        let listen = format!("127.0.0.1:{}", free_port().expect("a free port"));
        let mut serve = command(&hatch, &ROLES, variables);
        serve.env("HATCH_LISTEN", &listen).stdout(Stdio::null()).stderr(Stdio::null());
        let child = serve.spawn().expect("it starts");
        let http = hatch::http_client(PATIENCE).expect("an HTTP client");
        let mut serve = Up { child, url: format!("http://{listen}"), http };
        let status = eventually("it listens", async || {
            let request = serve.http.get(format!("{}/api/v1/messages", serve.url));
            Some(request.send().await.ok()?.status())
        })
        .await;
        assert_eq!(status, expected);
        serve.signal(Signal::SIGTERM);
        assert!(serve.child.wait().await.expect("it ends").success(), "a clean end");
    }
    hatch.finish().await;
}
