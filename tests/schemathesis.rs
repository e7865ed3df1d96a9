//! schemathesis holds a running `hatch up` against its own OpenAPI document, with requests that it draws.

use std::process::Stdio;
use std::time::Duration;

use hatch::output::line;
use nix::sys::signal::Signal;
use tokio::process::Command;

use crate::architecture::root;
use crate::process::{Up, data_folder};

/// The program, which `./dev test` installs and names.
const PROGRAM: &str = "HATCH_TEST_SCHEMATHESIS";

/// How long all of its requests may take: it draws new ones for a minute, and needs longer where it has to wait for
/// the machine.
const RUN_MAX: Duration = Duration::from_secs(120);

#[tokio::test]
async fn every_answer_is_one_that_the_document_names() {
    let Some(program) = std::env::var_os(PROGRAM) else {
        line(format!("without {PROGRAM} nothing is tried")).expect("printed");
        return;
    };
    let folder = data_folder();
    let mut up = Up::start(folder.path(), &[]).await;
    let mut run = Command::new(program);
    run.current_dir(folder.path())
        .arg("--config-file")
        .arg(root().join(".config/schemathesis.toml"))
        .args(["run", "--no-color", "--max-time", "60"])
        .arg(format!("{}/api/v1/openapi.json", up.url))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(RUN_MAX, run.output()).await;
    let output = output.expect("it ends in time").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}
