//! `hatch bench`, as users run it against a running `hatch up`.

use axum::Router;
use axum::routing::get;
use hatch_process::Servers;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::process::{Up, data_folder, output};

const FIELDS: [&str; 13] = [
    "accept_ms",
    "accepted_per_s",
    "completed_per_s",
    "cpu_us_per_message",
    "doubled",
    "end_to_end_ms",
    "errors",
    "fdatasync_us",
    "in_doubt",
    "lost",
    "max_rate_per_s",
    "offered_per_s",
    "refused",
];

#[tokio::test]
async fn a_short_run_reports_every_figure_and_reconciles_every_message() {
    let folder = data_folder();
    let mut up = Up::start(folder.path(), &["--split"]).await;
    let run = ["bench", "--rate", "50", "--duration", "2"];
    let files = ["--json", "report.json", "--html", "report.html"];
    let (ok, said, error) = output(folder.path(), &[&run[..], &files[..]].concat()).await;
    assert!(ok, "{said}{error}");
    assert!(said.contains("0 lost, 0 doubled, 0 stuck, 0 in doubt"), "{said}");

    let json = std::fs::read_to_string(folder.path().join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&json).expect("JSON");
    let fields: Vec<_> = report.as_object().expect("an object").keys().collect();
    let with_stuck = [&FIELDS[..], &["stuck"]].concat();
    assert_eq!(fields, with_stuck);
    for violation in ["refused", "errors", "lost", "doubled", "stuck", "in_doubt"] {
        assert_eq!(report[violation], 0, "{violation}");
    }
    assert_eq!(report["offered_per_s"], 50.0);
    assert!(report["max_rate_per_s"].is_null());
    assert!(report["fdatasync_us"].as_f64().is_some_and(|us| us > 0.0));
    for latencies in ["accept_ms", "end_to_end_ms"] {
        let ms = ["p50", "p90", "p99", "p999", "max"]
            .map(|name| report[latencies][name].as_f64().expect("a number"));
        assert!(ms[0] > 0.0 && ms.is_sorted(), "{latencies}: {ms:?}");
    }
    if cfg!(target_os = "linux") {
        for process in
            ["command", "dispatcher", "postgres", "nats-server", "simulator", "generator"]
        {
            assert!(report["cpu_us_per_message"][process].is_number(), "{process}: {report}");
        }
    }

    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("a page");
    assert!(page.contains("<svg") && !page.contains("<script"), "{page}");

    // What the benchmark sent is what the log holds.
    let (ok, log, error) = output(folder.path(), &["events", "export"]).await;
    assert!(ok, "{error}");
    assert_eq!(log.matches("\"hatch.MessageRequested.v1\"").count(), 100);
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}

#[tokio::test]
async fn an_overload_is_shown_as_a_curve_that_goes_to_twice_the_ceiling_and_back() {
    let folder = data_folder();
    let mut up = Up::start(folder.path(), &[]).await;
    let run = ["bench", "--overload", "--rate", "20", "--duration", "1"];
    let files = ["--json", "report.json", "--html", "report.html"];
    let (ok, said, error) = output(folder.path(), &[&run[..], &files[..]].concat()).await;
    assert!(ok, "{said}{error}");
    assert!(said.contains("0 lost, 0 doubled, 0 stuck, 0 in doubt"), "{said}");
    assert!(said.contains("share   offered  accepted   refused completed"), "{said}");
    let json = std::fs::read_to_string(folder.path().join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&json).expect("JSON");
    let curve = &report["overload"];
    assert_eq!((&curve["ceiling_per_s"], &report["offered_per_s"]), (&20.into(), &40.0.into()));
    let steps = curve["steps"].as_array().expect("steps");
    let offered: Vec<_> = steps.iter().map(|step| step["offered_per_s"].as_f64()).collect();
    let rates = [10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 10.0];
    assert_eq!(offered, rates.map(Some));
    for step in steps {
        assert_eq!((&step["refused_per_s"], &step["errors"]), (&0.0.into(), &0.into()), "{step}");
        assert!(step["end_to_end_ms"]["p99"].as_f64().is_some_and(|ms| ms > 0.0), "{step}");
    }
    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("a page");
    assert!(page.contains("Messages a second, by what is offered"), "{page}");
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}

#[tokio::test]
async fn a_provider_that_tells_otherwise_is_found_out_and_the_status_says_so() {
    let folder = data_folder();
    let mut up = Up::start(folder.path(), &[]).await;
    let servers = Servers::read(&folder.path().join(".hatch")).expect("readable");
    let simulator = servers.and_then(|up| up.simulator_url).expect("a simulator");
    let tampered = tamper(simulator, up.http.clone()).await;

    let run = ["bench", "--rate", "10", "--duration", "1", "--json", "report.json"];
    let simulator = ["--simulator", &tampered];
    let (ok, said, error) = output(folder.path(), &[&run[..], &simulator[..]].concat()).await;
    assert!(!ok, "{said}{error}");
    let json = std::fs::read_to_string(folder.path().join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&json).expect("JSON");
    let found = ["lost", "doubled", "stuck", "in_doubt"].map(|name| report[name].as_i64());
    assert_eq!(found, [Some(1), Some(1), Some(0), Some(0)], "{said}");

    let accept_only = [&run[..], &["--accept-only"]].concat();
    let (ok, said, error) = output(folder.path(), &accept_only).await;
    assert!(ok, "{said}{error}");
    let json = std::fs::read_to_string(folder.path().join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&json).expect("JSON");
    assert!(report["accept_ms"].is_object() && report["completed_per_s"].is_null(), "{report}");

    let elsewhere = ["bench", "--url", "http://127.0.0.1:1", "--duration", "1"];
    let (ok, _, error) = output(folder.path(), &elsewhere).await;
    assert!(!ok && error.contains("HATCH_DATABASE_URL"), "{error}");
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}

/// The record of the simulator, without its first message and with its second one twice.
async fn tamper(simulator: String, http: reqwest::Client) -> String {
    let record = async move || {
        let record = http.get(format!("{simulator}/_sim/messages")).send().await;
        let record = record.expect("the record").text().await.expect("text");
        let mut lines: Vec<_> = record.lines().skip(1).collect();
        lines.extend(lines.first().copied());
        lines.into_iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    let router = Router::new().route("/_sim/messages", get(record));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_disturbed_account_is_left_for_another_and_nothing_is_lost() {
    let folder = data_folder();
    let mut up = Up::start(folder.path(), &[]).await;
    let run = ["bench", "--rate", "40", "--disturb", "down", "--disturb-s", "8"];
    let files = ["--json", "report.json", "--html", "report.html"];
    let (ok, said, error) = output(folder.path(), &[&run[..], &files[..]].concat()).await;
    assert!(ok, "{said}{error}");
    assert!(said.contains("0 lost, 0 doubled, 0 stuck"), "{said}");
    let json = std::fs::read_to_string(folder.path().join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(report["disturbed_account"], "twilio", "it takes the most: {report}");
    let down = &report["disturbances"][0];
    assert_eq!(down["mode"], "down");
    assert_eq!((down["from_s"].as_f64(), down["to_s"].as_f64()), (Some(15.0), Some(23.0)));
    assert!(down["switch_ms"].as_f64().is_some_and(|ms| ms < 5_000.0), "{down}");
    let shares = down["delivered_share"].as_array().expect("a list");
    let others = shares.iter().filter(|second| second["by_account"]["twilio-2"].is_number());
    assert!(others.count() >= 3, "{down}");
    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("a page");
    assert!(page.contains("Share that each account delivered"), "{page}");
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}
