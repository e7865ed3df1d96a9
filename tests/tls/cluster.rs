//! A PostgreSQL of the test's own that speaks TLS.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hatch_devservers::{Embedded, Folder, Options, Purpose};
use hatch_eventstore::{Connected, Database, connect};
use tempfile::TempDir;

use super::certificates::{Authority, Pair, Valid, self_signed, write};
use crate::process::data_folder;
use crate::time::eventually_within;

const PATIENCE: Duration = Duration::from_secs(60);

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// Who may log in, and how. `admin` may always, so that the test can go on.
const HBA: &str = "
host    all admin     127.0.0.1/32 scram-sha-256
hostssl all hatch     127.0.0.1/32 scram-sha-256
hostssl all app       127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 scram-sha-256 clientcert=verify-full
host    all hashed    127.0.0.1/32 md5
host    all clear     127.0.0.1/32 password
";

const ROLES: &str = "
CREATE ROLE admin SUPERUSER LOGIN PASSWORD 'correct-horse-battery';
CREATE ROLE app LOGIN PASSWORD 'correct-horse-battery';
CREATE ROLE certified LOGIN PASSWORD 'correct-horse-battery';
CREATE ROLE clear LOGIN PASSWORD 'correct-horse-battery';
SET password_encryption = 'md5';
CREATE ROLE hashed LOGIN PASSWORD 'correct-horse-battery'";

/// The certificates that the server can be given, and one that its CA signed for a client.
const SERVER: [&str; 5] = ["good", "misnamed", "foreign", "expired", "self-signed"];

pub(crate) struct Cluster {
    embedded: Embedded,
    port: u16,
    steps: u32,
    /// Files of the client.
    pub(crate) files: TempDir,
    pub(crate) authority: Authority,
    _data: TempDir,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let data = data_folder();
        let folder = Arc::new(Folder::lock(data.path()).expect("the folder is free"));
        let nats_url = Some("nats://127.0.0.1:1".to_owned());
        let options = Options { purpose: Purpose::Tests, database_url: None, nats_url };
        let embedded = Embedded::start(&folder, options).await.expect("PostgreSQL starts");
        let owner: Database = embedded.database_url().parse().expect("a URL");
        let mut cluster = Self {
            port: owner.get_ports()[0],
            embedded,
            steps: 0,
            files: tempfile::tempdir().expect("a folder"),
            authority: Authority::new("a CA"),
            _data: data,
        };
        let session = connect(&owner).await.expect("connects");
        session.batch_execute(ROLES).await.expect("roles");
        let row = session.query_one("SHOW data_directory", &[]).await.expect("a row");
        cluster.install(&PathBuf::from(row.get::<_, String>(0)));
        cluster.set("ssl_ca_file", "ca.crt").await;
        cluster.certify("good").await;
        cluster
    }

    /// Puts all certificates where the server, or the client, finds them.
    fn install(&self, data: &std::path::Path) {
        let local = ["localhost", "127.0.0.1"];
        let foreign = Authority::new("another CA");
        let pair = |name: &str| match name {
            "good" => self.authority.sign(&local, Valid::Now),
            "misnamed" => self.authority.sign(&["db.example"], Valid::Now),
            "foreign" => foreign.sign(&local, Valid::Now),
            "expired" => self.authority.sign(&local, Valid::Formerly),
            _ => self_signed(&local),
        };
        let owner = std::fs::metadata(data).expect("the data folder");
        let install = |name: &str, text: &str| {
            let file = write(data, name, text);
            chown(file, Some(owner.uid()), Some(owner.gid())).expect("handed over");
        };
        for name in SERVER {
            let Pair { certificate, key } = pair(name);
            install(&format!("{name}.crt"), &certificate);
            install(&format!("{name}.key"), &key);
            write(self.files.path(), &format!("{name}.crt"), &certificate);
        }
        install("ca.crt", &self.authority.pem());
        install("pg_hba.conf", HBA);
        write(self.files.path(), "ca.crt", &self.authority.pem());
        for (name, authority) in [("certified", &self.authority), ("stranger", &foreign)] {
            let Pair { certificate, key } = authority.sign(&["certified"], Valid::Now);
            write(self.files.path(), &format!("{name}.crt"), &certificate);
            write(self.files.path(), &format!("{name}.key"), &key);
        }
    }

    /// Has the server show the certificate of this name from now on.
    pub(crate) async fn certify(&mut self, name: &str) {
        self.set("ssl_cert_file", &format!("{name}.crt")).await;
        self.set("ssl_key_file", &format!("{name}.key")).await;
        self.set("ssl", "on").await;
    }

    /// Changes a setting; it is in force when this returns.
    pub(crate) async fn set(&mut self, name: &str, value: &str) {
        self.steps += 1;
        let step = self.steps.to_string();
        let admin = self.admin().await;
        // What the server has never heard of, it does not take.
        admin.batch_execute("SET hatch.step = ''").await.expect("known");
        for (name, value) in [(name, value), ("hatch.step", step.as_str())] {
            let sql = format!("ALTER SYSTEM SET {name} = '{value}'");
            admin.batch_execute(&sql).await.expect("set");
        }
        admin.batch_execute("SELECT pg_reload_conf()").await.expect("told");
        eventually_within(PATIENCE, "it is reloaded", async || {
            let show = "SELECT current_setting('hatch.step', true)";
            let row = self.admin().await.query_one(show, &[]).await.expect("a row");
            row.get::<_, Option<String>>(0).as_deref() == Some(&step)
        })
        .await;
    }

    async fn admin(&self) -> Connected {
        let database = self.database("admin", "sslmode=prefer").parse().expect("a URL");
        connect(&database).await.expect("the administrator may log in")
    }

    /// A URL with `parameters`.
    pub(crate) fn database(&self, user: &str, parameters: &str) -> String {
        self.database_at("127.0.0.1", self.port, user, parameters)
    }

    pub(crate) fn database_at(
        &self,
        host: &str,
        port: u16,
        user: &str,
        parameters: &str,
    ) -> String {
        format!("postgres://{user}:{PASSWORD}@{host}:{port}/hatch?{parameters}")
    }

    /// The same for the owner of the application's tables, whose password is not everybody's.
    pub(crate) fn owner(&self, parameters: &str) -> String {
        format!("{}?{parameters}", self.embedded.database_url())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The path of a file of the client.
    pub(crate) fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    pub(crate) async fn stop(self) {
        self.embedded.stop().await;
    }
}
