//! The containers of `docker-compose.yml` as processes, each on an address of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use hatch_devservers::{NatsServer, PostgresInstallation};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::compose::Compose;
use crate::process::{data_folder, send_signal};
use crate::time::eventually_within;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The services, by the last part of their addresses.
const SERVICES: [(&str, u8); 10] = [
    ("postgres", 2),
    ("nats", 3),
    ("gateway", 4),
    ("simulator", 5),
    ("command", 11),
    ("query", 12),
    ("webhook", 13),
    ("relay", 14),
    ("projector", 15),
    ("dispatcher", 16),
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout")
}

pub(crate) fn file(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) struct World {
    folder: TempDir,
    compose: Compose,
    passwords: BTreeMap<String, String>,
    /// PostgreSQL does not run as root.
    account: Option<(u32, u32)>,
    running: Vec<Child>,
}

impl World {
    /// What is there before anything runs: passwords and certificates.
    pub(crate) async fn prepare() -> Self {
        let folder = data_folder();
        let deploy = folder.path().join("deploy");
        fs::create_dir(&deploy).expect("a folder");
        fs::copy(root().join("deploy/passwords.sh"), deploy.join("passwords.sh")).expect("copied");
        let mut draw = Command::new("sh");
        succeeds(draw.arg(deploy.join("passwords.sh"))).await;
        let passwords = variables(&folder.path().join(".env"));
        let compose = Compose::read(&file("docker-compose.yml"), &passwords);
        let account = geteuid().is_root().then(|| {
            let found =
                ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok()?);
            let user = found.expect("an account for PostgreSQL");
            (user.uid.as_raw(), user.gid.as_raw())
        });
        let world = Self { folder, compose, passwords, account, running: Vec::new() };
        let mut make = Command::new("sh");
        make.arg(root().join("deploy/certificates.sh")).arg(world.path("certificates"));
        make.env("MORE_NAMES", format!("IP:{}", world.address("nats")));
        if let Some((uid, _)) = world.account {
            make.env("POSTGRES_OWNER", uid.to_string());
        }
        succeeds(&mut make).await;
        world
    }

    /// Adds a line to `.env` or `hatch.env`; what is started from then on has it.
    pub(crate) fn set(&mut self, file_name: &str, line: &str) {
        let path = self.path(file_name);
        let text = fs::read_to_string(&path).unwrap_or_default() + line + "\n";
        fs::write(path, text).expect("written");
        self.compose = Compose::read(&file("docker-compose.yml"), &variables(&self.path(".env")));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The address of a service: a process has a network of its own, so that two of them may run.
    pub(crate) fn address(&self, service: &str) -> String {
        let (_, last) = SERVICES.iter().find(|(name, _)| *name == service).expect("a service");
        let [.., high, low] = std::process::id().to_be_bytes();
        format!("127.{}.{low}.{last}", 64 + high % 128)
    }

    /// `text` of the files, as it is here: addresses instead of names, and this folder's certificates.
    fn here(&self, service: &str, text: &str) -> String {
        let gateway = format!("{}:8080", self.address("gateway"));
        let text = text
            .replace("/certificates", self.path("certificates").to_str().expect("UTF-8"))
            .replace("@nats:4222", &format!("@{}:4222", self.address("nats")))
            .replace("127.0.0.1:8080", &gateway)
            .replace("//simulator:", &format!("//{}:", self.address("simulator")))
            .replace("webhook:8080", &format!("{}:8080", self.address("webhook")))
            .replace("/var/lib/hatch", self.path("simulator").to_str().expect("UTF-8"))
            // Those that docker gives; here all come by the loopback.
            .replace("172.16.0.0/12,192.168.0.0/16", "127.0.0.1");
        let text = match SERVICES.iter().any(|(name, _)| *name == service) {
            true => text.replace("0.0.0.0:", &format!("{}:", self.address(service))),
            false => text,
        };
        // The name stays, which is verified.
        match text.contains("@postgres/") {
            true => format!("{text}&hostaddr={}", self.address("postgres")),
            false => text,
        }
    }

    /// hatch as the container of `service` runs it, with `arguments` instead of the service's own.
    pub(crate) fn hatch(&self, service: &str, arguments: Option<&[&str]>) -> Command {
        let of_service = self.compose.service(service);
        let mut command = Command::new(env!("CARGO_BIN_EXE_hatch"));
        match arguments {
            Some(arguments) => command.args(arguments),
            None => command.args(&of_service.command),
        };
        command.env_clear().current_dir(self.folder.path()).kill_on_drop(true);
        // The later one counts.
        let files = of_service.env_files.iter().flat_map(|name| variables(&self.path(name)));
        for (name, value) in files.chain(of_service.environment) {
            command.env(name, self.here(service, &value));
        }
        command.stdin(Stdio::null());
        command
    }

    /// Starts `command`, whose output goes to a log of this name.
    pub(crate) fn start(&mut self, name: &str, command: &mut Command) {
        let log = File::create(self.path(&format!("{name}.log"))).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.kill_on_drop(true).spawn();
        self.running.push(child.unwrap_or_else(|error| panic!("{name}: {error}")));
    }

    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// Ends all that runs, the last first.
    pub(crate) async fn stop(mut self) {
        for mut child in self.running.drain(..).rev() {
            if let Some(pid) = child.id() {
                send_signal(pid.into(), Signal::SIGINT);
            }
            child.wait().await.expect("it ends");
        }
    }

    /// A command of the account that PostgreSQL runs under.
    fn as_postgres(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        // Files of ours in another's home folder would be in the way.
        command.current_dir("/").env("HOME", "/nonexistent");
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes a folder that is PostgreSQL's.
    fn folder_of_postgres(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).expect("a folder");
        if let Some((uid, gid)) = self.account {
            chown(&path, Some(uid), Some(gid)).expect("handed over");
        }
        path
    }

    /// PostgreSQL as its image starts it: a new cluster, the script of `deploy/` while nobody reaches it, and then again.
    pub(crate) async fn start_postgres(&mut self) {
        let bin = PostgresInstallation::find(None).expect("PostgreSQL").bin;
        let service = self.compose.service("postgres");
        let (data, run) = (self.folder_of_postgres("postgres"), self.folder_of_postgres("run"));
        let password = run.join("password");
        fs::write(&password, &service.environment["POSTGRES_PASSWORD"]).expect("written");
        fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).expect("the mode");
        let mut make = self.as_postgres(bin.join("initdb"));
        make.arg("--pgdata").arg(&data).args(["--username", "postgres", "--pwfile"]).arg(&password);
        make.args(service.environment["POSTGRES_INITDB_ARGS"].split_whitespace());
        succeeds(&mut make).await;
        // So does the image.
        let hba = data.join("pg_hba.conf");
        let access = fs::read_to_string(&hba).expect("access") + "host all all all scram-sha-256\n";
        fs::write(&hba, access).expect("written");

        self.start_server(&bin, "").await;
        let mut roles = self.as_postgres("sh");
        roles.arg("-c").arg(file("deploy/postgres-roles.sh")).envs(&service.environment);
        let path = std::env::var("PATH").unwrap_or_default();
        roles.env("PATH", format!("{}:{path}", bin.display()));
        roles.env("PGHOST", &run).env("PGDATA", &data).env("POSTGRES_USER", "postgres");
        succeeds(&mut roles).await;
        let mut first = self.running.pop().expect("it runs");
        send_signal(first.id().expect("it runs").into(), Signal::SIGINT);
        assert!(first.wait().await.expect("it ends").success(), "{}", self.log("postgres"));
        let address = self.address("postgres");
        self.start_server(&bin, &address).await;
    }

    async fn start_server(&mut self, bin: &Path, listen: &str) {
        let (data, run) = (self.path("postgres"), self.path("run"));
        let arguments = self.compose.service("postgres").command;
        let (program, settings) = arguments.split_first().expect("a program");
        let mut server = self.as_postgres(bin.join(program));
        server.args(settings.iter().map(|setting| self.here("postgres", setting)));
        server.arg("-D").arg(&data).arg(format!("-cunix_socket_directories={}", run.display()));
        server.arg(format!("-clisten_addresses={listen}"));
        self.start("postgres", &mut server);
        let ready = async || self.asks_in("postgres", "SELECT 1").await.0;
        eventually_within(PATIENCE, "PostgreSQL answers", ready).await;
    }

    /// What the superuser finds on the server itself.
    pub(crate) async fn asks(&self, sql: &str) -> (bool, String) {
        self.asks_in("hatch", sql).await
    }

    async fn asks_in(&self, database: &str, sql: &str) -> (bool, String) {
        let run = self.path("run");
        let run = run.to_str().expect("UTF-8");
        self.psql(&["-h", run, "-U", "postgres", "-d", database], sql).await
    }

    /// What somebody finds who comes by `parameters`.
    pub(crate) async fn asks_by(&self, parameters: &str, sql: &str) -> (bool, String) {
        self.psql(&["-d", parameters], sql).await
    }

    /// How a member of `hatch_app` comes to the server.
    pub(crate) fn login(&self, parameters: &str) -> String {
        let (address, password) = (self.address("postgres"), &self.passwords["APP_PASSWORD"]);
        format!(
            "host=postgres hostaddr={address} dbname=hatch user=hatch_login password={password} {parameters}"
        )
    }

    async fn psql(&self, arguments: &[&str], sql: &str) -> (bool, String) {
        let bin = PostgresInstallation::find(None).expect("PostgreSQL").bin;
        let mut command = self.as_postgres(bin.join("psql"));
        command.args(arguments).args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        said(&mut command).await
    }

    /// NATS by `nats.conf`.
    pub(crate) async fn start_nats(&mut self) {
        let store = self.path("nats");
        fs::create_dir(&store).expect("a folder");
        let configuration = self.here("nats", &file("nats.conf"));
        let configuration =
            configuration.replace("store_dir: /data", &format!("store_dir: {store:?}"));
        fs::write(self.path("nats.conf"), configuration).expect("written");
        let program = NatsServer::find().expect("nats-server").program;
        let mut server = Command::new(program);
        server.arg("--config").arg(self.path("nats.conf"));
        server.envs(&self.compose.service("nats").environment);
        self.start("nats", &mut server);
        let ready = async || self.log("nats").contains("Server is ready");
        eventually_within(PATIENCE, "NATS is ready", ready).await;
    }

    /// The simulator, which makes the keys that its receipts are signed by.
    pub(crate) async fn start_simulator(&mut self) {
        fs::create_dir(self.path("simulator")).expect("a folder");
        let mut simulator = self.hatch("simulator", None);
        self.start("simulator", &mut simulator);
        let key = self.path("simulator/simulator/sendgrid.public.pem");
        eventually_within(PATIENCE, "the simulator has keys", async || key.is_file()).await;
    }

    /// Starts the gateway by `gateway.conf`, of nginx at `program`.
    pub(crate) async fn start_gateway(&mut self, program: &Path) {
        let mut gateway = self.gateway(program, "gateway", |sites| sites);
        self.start("gateway", &mut gateway);
    }

    /// What nginx finds wrong with `gateway.conf` where it has a certificate, as the file says how.
    pub(crate) async fn check_gateway_with_tls(&self, program: &Path) -> (bool, String) {
        let certificates = self.path("certificates");
        let pair = |end: &str| certificates.join(format!("nats.{end}")).display().to_string();
        let mut check = self.gateway(program, "gateway-tls", |sites| {
            let address = self.address("gateway");
            let sites = sites
                .replace("# ssl_", "ssl_")
                .replace(&format!("listen {address}:8080"), &format!("listen {address}:8443 ssl"));
            // nginx before 1.25 has no such line.
            assert!(sites.contains("# http2"), "it is among those");
            sites
                .replace("/etc/nginx/hatch.crt", &pair("crt"))
                .replace("/etc/nginx/hatch.key", &pair("key"))
        });
        said(check.arg("-t")).await
    }

    /// nginx by `gateway.conf`, of which `change` makes something else.
    fn gateway(
        &self,
        program: &Path,
        folder: &str,
        change: impl FnOnce(String) -> String,
    ) -> Command {
        let folder = self.path(folder);
        fs::create_dir(&folder).expect("a folder");
        let mut sites = file("deploy/gateway.conf")
            .replace("listen 8080", &format!("listen {}:8080", self.address("gateway")))
            .replace(
                "server_name localhost 127.0.0.1",
                &format!("server_name {}", self.address("gateway")),
            )
            .replace("resolver 127.0.0.11 valid=5s;", "");
        for role in ["command", "query", "webhook"] {
            let address = self.address(role);
            for place in ["default ", "GET     ", "HEAD    ", "set $role "] {
                sites = sites.replace(&format!("{place}{role};"), &format!("{place}{address};"));
            }
        }
        fs::write(folder.join("sites.conf"), change(sites)).expect("written");
        let at = folder.display();
        let user = if self.account.is_some() { "user root;" } else { "" };
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|kind| format!("{kind}_temp_path {at}/{kind};")).join(" ");
        let main = format!(
            "daemon off; {user} pid {at}/pid; error_log stderr; events {{}}\n\
             http {{ access_log off; {temporary} include {at}/sites.conf; }}\n"
        );
        fs::write(folder.join("nginx.conf"), main).expect("written");
        let mut gateway = Command::new(program);
        gateway.args(["-e", "stderr", "-p"]).arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
        gateway
    }
}

/// The variables of a file such as `.env`, which need not be there.
fn variables(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Where nginx is, or why there is none.
pub(crate) async fn nginx() -> Result<PathBuf, String> {
    let mut find = Command::new("sh");
    find.arg(root().join(".config/nginx.sh"));
    let Output { status, stdout, stderr } = find.output().await.expect("sh runs");
    let (found, why) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    match status.success() {
        true => Ok(PathBuf::from(found.trim())),
        false => Err(why.trim().to_owned()),
    }
}

/// How a command ended, and what it said.
pub(crate) async fn said(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().await.expect("it runs");
    let said = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (status.success(), said)
}

async fn succeeds(command: &mut Command) {
    let (success, said) = said(command).await;
    assert!(success, "{command:?}: {said}");
}
