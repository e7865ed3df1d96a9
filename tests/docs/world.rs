//! The hatch that a reader of the pages has: an `up` in a folder of its own, and a shell there.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use super::blocks::Block;
use crate::process::{Up, data_folder};

/// How long the commands of one block may take.
const BLOCK_MAX: Duration = Duration::from_secs(60);
/// Stands after what a command said, and before how it ended.
const MARK: char = '\u{1e}';

/// Runs hatch as the script of the checkout does, without building it first.
const DEV: &str = r#"#!/bin/sh
recipe=$1
shift
case $recipe in
hatch) exec hatch "$@" ;;
demo) exec hatch demo "$@" ;;
*) echo "this is not run here: ./dev $recipe" >&2; exit 64 ;;
esac
"#;

pub(super) struct World {
    folder: TempDir,
    up: Up,
    /// The addresses on the pages, and those here.
    addresses: [(&'static str, String); 4],
    database_url: String,
}

/// What a command said, and how it ended: `None` where the shell ended with it.
pub(super) struct Said {
    pub(super) lines: Vec<String>,
    pub(super) status: Option<i32>,
}

impl World {
    pub(super) async fn start() -> Self {
        use std::os::unix::fs::PermissionsExt;

        let folder = data_folder();
        let up = Up::start(folder.path(), &[]).await;
        let record = std::fs::read_to_string(folder.path().join(".hatch/servers.json"));
        let record: Value = serde_json::from_str(&record.expect("a record")).expect("JSON");
        let [simulator, database_url, nats_url] = ["simulator_url", "database_url", "nats_url"]
            .map(|key| record[key].as_str().expect("a URL").to_owned());
        let bare = |url: &str| url.trim_start_matches("http://").to_owned();
        let (_, place) = database_url.rsplit_once('@').expect("a URL with a user");
        let (database, _) = place.split_once('/').expect("a URL with a database");
        let addresses = [
            ("127.0.0.1:8080", bare(&up.url)),
            ("127.0.0.1:8089", bare(&simulator)),
            ("db.example.com", database.to_owned()),
            ("nats://hatch:nats-password@nats.example.com", nats_url),
        ];
        let dev = folder.path().join("dev");
        std::fs::write(&dev, DEV).expect("written");
        std::fs::set_permissions(&dev, std::fs::Permissions::from_mode(0o755)).expect("the mode");
        // Nobody looks at how far a transfer is.
        std::fs::write(folder.path().join(".curlrc"), "silent\nshow-error\n").expect("written");
        Self { folder, up, addresses, database_url }
    }

    pub(super) async fn finish(mut self) {
        self.up.signal(Signal::SIGTERM);
        assert!(self.up.child.wait().await.expect("it ends").success(), "a clean end");
    }

    /// Runs the commands of a block in one shell.
    pub(super) async fn run(&self, block: &Block) -> Vec<Said> {
        let mut script = "exec 2>&1\n".to_owned();
        let commands = block.commands();
        for command in &commands {
            let text = self
                .addresses
                .iter()
                .fold(command.text.clone(), |text, (page, here)| text.replace(page, here));
            script += &format!("{text}\nprintf '\\036%s\\n' \"$?\"\n");
        }
        let said = tokio::time::timeout(BLOCK_MAX, self.shell(&script)).await;
        let said = said.unwrap_or_else(|_| panic!("{}: longer than {BLOCK_MAX:?}", block.place));
        let said = self.addresses.iter().fold(said, |said, (page, here)| said.replace(here, page));
        let mut parts = said.split(MARK);
        let mut text = parts.next().unwrap_or_default();
        let said = commands.iter().map(|_| {
            let lines = text.lines().map(str::to_owned).collect();
            let (status, next) = parts.next().and_then(|part| part.split_once('\n')).unzip();
            text = next.unwrap_or_default();
            Said { lines, status: status.and_then(|status| status.parse().ok()) }
        });
        said.collect()
    }

    /// Has the superuser of the database server run a block of SQL; says what is refused.
    pub(super) async fn run_sql(&self, block: &Block) -> Option<String> {
        let (session, connection) = tokio_postgres::connect(&self.database_url, NoTls)
            .await
            .expect("the server of this hatch");
        let connection = tokio::spawn(connection);
        let mut refused = None;
        for statement in block.text().split(";\n") {
            // `up` has made the role that every database of the server shares.
            if let Err(error) = session.batch_execute(statement).await
                && error.code() != Some(&SqlState::DUPLICATE_OBJECT)
            {
                refused = refused.or_else(|| Some(format!("{statement}: {error}")));
            }
        }
        drop(session);
        connection.await.expect("no panic").expect("a clean end");
        refused
    }

    async fn shell(&self, script: &str) -> String {
        let programs = PathBuf::from(env!("CARGO_BIN_EXE_hatch"));
        let programs = programs.parent().expect("a folder").display();
        let mut shell = Command::new("bash");
        shell
            .args(["-c", script])
            .current_dir(self.folder.path())
            .env("CURL_HOME", self.folder.path())
            .env("PATH", format!("{programs}:{}", std::env::var("PATH").expect("a path")))
            .env_remove("HATCH_DATABASE_URL")
            .env_remove("HATCH_NATS_URL")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = shell.output().await.expect("there is bash");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}
