//! Clients that are generated from the OpenAPI document compile, and run the first hour of the README.
//!
//! `./dev test` installs the generators, all of them pinned, and names their folders.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use hatch::output::line;
use tokio::process::Command;

use crate::architecture::root;
use crate::harness::Hatch;

/// The folder in which npm has put what `.config/clients/package.json` names.
const TYPESCRIPT: &str = "HATCH_TEST_TYPESCRIPT";
/// The virtual environment with what `.config/clients/requirements.txt` names.
const PYTHON: &str = "HATCH_TEST_PYTHON_CLIENT";

/// How the client for Python is generated: what is made is not reformatted, and figures are a text.
const SETTINGS: &str =
    "post_hooks: []\ncontent_type_overrides:\n  application/openmetrics-text: text/plain\n";

/// How long a program may take on a busy machine.
const RUN_MAX: Duration = Duration::from_secs(120);

/// The folder of the tools; none where `./dev` could not have them.
fn tools(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        line(format!("without {variable} nothing is generated")).expect("printed");
    }
    folder
}

/// Runs a program in `folder`, and says what it said.
async fn run(program: impl AsRef<Path>, arguments: &[&str], folder: &Path) -> String {
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(RUN_MAX, command.output()).await.expect("it ends in time");
    let Output { status, stdout, stderr } = output.expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{} {arguments:?}: {said}", program.display());
    said
}

/// A folder with the program that spends the first hour.
fn workshop(program: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let source = root().join("tests/generated").join(program);
    std::fs::copy(source, folder.path().join(program)).expect("copied");
    folder
}

fn document() -> String {
    root().join("schema/openapi.json").canonicalize().expect("there").display().to_string()
}

#[tokio::test]
async fn a_client_generated_for_typescript_runs_the_first_hour() {
    let Some(tools) = tools(TYPESCRIPT) else { return };
    let (folder, modules) = (workshop("first_hour.ts"), tools.join("node_modules"));
    let folder = folder.path();
    std::os::unix::fs::symlink(&modules, folder.join("node_modules")).expect("a link");
    std::fs::write(folder.join("package.json"), r#"{"type":"module"}"#).expect("written");
    let program = |name: &str| modules.join(".bin").join(name);
    run(program("openapi-typescript"), &[&document(), "-o", "hatch.d.ts"], folder).await;
    let strict = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes"];
    let modern = ["--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"];
    run(program("tsc"), &[&strict[..], &modern[..], &["first_hour.ts"]].concat(), folder).await;

    let hatch = Hatch::start().await;
    let said = run("node", &["first_hour.js", &hatch.url, &hatch.simulator], folder).await;
    assert!(said.contains("the first hour is over"), "{said}");
    hatch.finish().await;
}

#[tokio::test]
async fn a_client_generated_for_python_runs_the_first_hour() {
    let Some(tools) = tools(PYTHON) else { return };
    let folder = workshop("first_hour.py");
    let folder = folder.path();
    std::fs::write(folder.join("settings.yml"), SETTINGS).expect("written");
    let document = document();
    let wanted = ["generate", "--path", &document, "--output-path", "hatch_client"];
    let how = ["--meta", "none", "--config", "settings.yml", "--fail-on-warning"];
    run(tools.join("bin/openapi-python-client"), &[wanted, how].concat(), folder).await;
    let python = tools.join("bin/python");
    run(&python, &["-m", "compileall", "-q", "hatch_client", "first_hour.py"], folder).await;

    let hatch = Hatch::start().await;
    let said = run(&python, &["first_hour.py", &hatch.url, &hatch.simulator], folder).await;
    assert!(said.contains("the first hour is over"), "{said}");
    hatch.finish().await;
}
