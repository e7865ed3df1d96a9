//! schemathesis holds a running `hatch up` against its own OpenAPI document, with requests that it draws. Of
//! credentials the document that it gets says nothing, because `up` wants none: it would expect a 401 without them.

use std::process::Stdio;
use std::time::Duration;

use hatch::output::line;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::process::Command;

use crate::architecture::root;
use crate::process::{Up, data_folder};

/// The program, which `./dev test` installs and names.
const PROGRAM: &str = "HATCH_TEST_SCHEMATHESIS";

/// How long all of its requests may take: it draws new ones for a minute, and needs longer where it has to wait for
/// the machine.
const RUN_MAX: Duration = Duration::from_secs(120);

/// The document as it would be of an API that nobody needs credentials for.
fn without_credentials() -> Value {
    let text = std::fs::read_to_string(root().join("schema/openapi.json")).expect("the document");
    let mut document: Value = serde_json::from_str(&text).expect("JSON");
    let whole = document.as_object_mut().expect("an object");
    whole.remove("security");
    let paths = whole["paths"].as_object_mut().expect("paths").values_mut();
    let operations = paths.filter_map(Value::as_object_mut).flat_map(serde_json::Map::values_mut);
    for operation in operations.filter_map(Value::as_object_mut) {
        operation.remove("security");
    }
    document
}

#[tokio::test]
async fn every_answer_is_one_that_the_document_names() {
    let Some(program) = std::env::var_os(PROGRAM) else {
        line(format!("without {PROGRAM} nothing is tried")).expect("printed");
        return;
    };
    let folder = data_folder();
    let mut up = Up::start(folder.path(), &[]).await;
    let document = folder.path().join("openapi.json");
    std::fs::write(&document, without_credentials().to_string()).expect("written");
    let mut run = Command::new(program);
    run.current_dir(folder.path())
        .arg("--config-file")
        .arg(root().join(".config/schemathesis.toml"))
        .args(["run", "--no-color", "--max-time", "60"])
        .arg(&document)
        .args(["--url", &up.url])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(RUN_MAX, run.output()).await;
    let output = output.expect("it ends in time").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    up.signal(Signal::SIGTERM);
    assert!(up.child.wait().await.expect("it ends").success(), "a clean end");
}
