//! A bus of its own for each test, and a nats-server that a test may kill.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use crate::{Access, Begin, Bus, BusState, Error, Key, Keys, Settings};

/// The variable that names the server of the tests.
const SERVER_VARIABLE: &str = "HATCH_TEST_NATS_URL";

/// The variable that names the program to start servers with; else it is looked for on the PATH.
const PROGRAM_VARIABLE: &str = "HATCH_TEST_NATS_SERVER";

/// How long a server may take to answer before the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// By which tests sign that have no log.
const SECRET: &[u8] = b"a secret that every test may know";

/// What the stream of a test may take of the disk.
const STREAM_BYTES_MAX: i64 = 16 << 20;

/// A connected bus whose stream is this test's alone and is deleted with this value.
pub struct TestBus(Bus);

impl TestBus {
    /// A bus on the tests' server.
    ///
    /// # Panics
    /// When there is no such server.
    pub async fn create() -> Self {
        let url = std::env::var(SERVER_VARIABLE);
        let url = url.unwrap_or_else(|_| {
            panic!("{SERVER_VARIABLE} is not set: run the tests with ./dev test")
        });
        Self::create_at(&url).await
    }

    /// A bus on the server at `url`.
    ///
    /// # Panics
    /// When it cannot be reached.
    pub async fn create_at(url: &str) -> Self {
        Self::create_by(url, Access::default()).await
    }

    /// A bus on the server at `url`, with access to it.
    ///
    /// # Panics
    /// When it cannot be reached.
    pub async fn create_by(url: &str, access: Access) -> Self {
        Self::connect(url, access, STREAM_BYTES_MAX).await
    }

    /// A bus on the server at `url`, whose stream may take `bytes` of the disk.
    ///
    /// # Panics
    /// When it cannot be reached.
    pub async fn create_sized(url: &str, bytes: i64) -> Self {
        Self::connect(url, Access::default(), bytes).await
    }

    #[expect(clippy::disallowed_methods, reason = "a name that nobody else has")]
    async fn connect(url: &str, access: Access, stream_bytes_max: i64) -> Self {
        let random = Uuid::now_v7().simple().to_string();
        let settings = Settings {
            url: url.to_owned(),
            access,
            prefix: format!("t{}", &random[12..]),
            stream_bytes_max,
            ..Settings::default()
        };
        let bus = Bus::connect(settings).await.expect("the settings are good");
        connected(&bus).await;
        bus.trust(Keys { epoch: Key::new(SECRET), generation: None });
        Self(bus)
    }

    /// Creates a generation, as [`Bus::create_generation`], that counts as the one on record.
    ///
    /// # Errors
    /// The same.
    pub async fn create_generation(&self, number: i32, first_position: i64) -> Result<(), Error> {
        self.0.create_generation(number, first_position).await?;
        let keys = self.0.keys().expect("set when it was made");
        self.0.trust(Keys { generation: Some((number, keys.epoch.clone())), ..keys });
        Ok(())
    }

    /// Another connection to the same stream, as another process has.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn connect_again(&self) -> Bus {
        let bus = Bus::connect(self.0.settings().clone()).await.expect("the settings are good");
        connected(&bus).await;
        bus.trust(self.0.keys().expect("set when this was made"));
        bus
    }
}

impl std::ops::Deref for TestBus {
    type Target = Bus;

    fn deref(&self) -> &Bus {
        &self.0
    }
}

impl Drop for TestBus {
    fn drop(&mut self) {
        // A server that the test has killed needs no cleaning up.
        if !matches!(self.0.state(), BusState::Connected(_)) {
            return;
        }
        let settings = self.0.settings().clone();
        // A thread, because a runtime cannot be entered twice and the test's may be gone.
        let deleted = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(delete(settings)).map_err(std::io::Error::other)
        })
        .join();
        if !matches!(deleted, Ok(Ok(()))) {
            tracing::warn!("the stream of a test was not deleted");
        }
    }
}

/// A queue that the server does not have begins with the event at `position`.
#[must_use]
pub fn beginning_at(position: i64) -> Begin {
    Arc::new(move || Box::pin(std::future::ready(Some(position))))
}

/// JetStream itself, as anybody who has the credentials in `url` gets it.
///
/// # Errors
/// When it cannot be reached.
pub async fn jetstream(url: &str) -> Result<async_nats::jetstream::Context, async_nats::Error> {
    let server: async_nats::ServerAddr = url.parse()?;
    let options = match (server.username(), server.password()) {
        (Some(user), Some(password)) => {
            async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        }
        _ => async_nats::ConnectOptions::new(),
    };
    Ok(async_nats::jetstream::new(options.connect(server).await?))
}

async fn delete(settings: Settings) -> Result<(), async_nats::Error> {
    let subjects = crate::subject::all(&settings.prefix);
    let bus = Bus::connect(settings).await?;
    connected(&bus).await;
    let jetstream = bus.api()?;
    while let Ok(name) = jetstream.stream_by_subject(subjects.clone()).await {
        jetstream.delete_stream(name).await?;
    }
    Ok(())
}

/// Waits until `bus` is connected.
///
/// # Panics
/// When it takes too long.
pub async fn connected(bus: &Bus) {
    eventually("connected to NATS", async || match bus.state() {
        BusState::Connected(_) => Some(()),
        BusState::Disconnected | BusState::Refused(_) => None,
    })
    .await;
}

/// Asks until there is an answer, for what nobody tells of: what other processes do.
///
/// # Panics
/// When it takes too long: 20 s.
pub async fn eventually<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let poll = async {
        loop {
            if let Some(answer) = answer().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(what, poll).await
}

/// Fails the test when it takes too long.
///
/// # Panics
/// After 20 s.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// A nats-server of one test, on a port that it keeps over restarts. Killed when dropped.
pub struct Server {
    child: Option<Child>,
    port: u16,
    data: TempDir,
    /// A file; none says that it is to have JetStream.
    configuration: Option<PathBuf>,
}

impl Server {
    /// Starts one, on a free port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        let mut server = Self {
            child: None,
            port: 0,
            data: TempDir::new().expect("a temporary folder"),
            configuration: None,
        };
        server.spawn("-1");
        let folder = server.data.path().to_owned();
        server.port = eventually("the server's port", async || port(&folder)).await;
        server
    }

    /// Starts one as `configuration` says, on a free port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(configuration: &str) -> Self {
        let data = TempDir::new().expect("a temporary folder");
        let file = data.path().join("nats.conf");
        std::fs::write(&file, configuration).expect("written");
        let mut server = Self { child: None, port: 0, data, configuration: Some(file) };
        server.spawn("-1");
        let folder = server.data.path().to_owned();
        server.port = eventually("the server's port", async || port(&folder)).await;
        server
    }

    /// How to connect to it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// The folder with its data.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.data.path().join("store")
    }

    /// Kills it, as a crash would.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("is ours");
            child.wait().expect("is ours");
        }
    }

    /// Stops it in order: what its consumers know is on disk then.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.child.take().expect("it runs").wait().expect("is ours");
    }

    /// Sends it a signal, such as `STOP`: it stands still, and its connections stay open.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &child]).status();
        assert!(sent.is_ok_and(|status| status.success()), "is ours");
    }

    /// Starts it again with the data that it left, on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.kill();
        self.spawn(&self.port.to_string());
    }

    fn spawn(&mut self, port: &str) {
        let program = std::env::var(PROGRAM_VARIABLE);
        let program = program.unwrap_or_else(|_| "nats-server".to_owned());
        let folder = self.data.path();
        let mut command = Command::new(&program);
        match &self.configuration {
            Some(file) => command.arg("-c").arg(file),
            None => command.arg("-js"),
        };
        let child = command
            .args(["-a", "127.0.0.1", "-p", port, "-sd"])
            .arg(self.store())
            .arg("--ports_file_dir")
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!("{program} cannot be started ({error}): run the tests with ./dev test")
        }));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The port that a server wrote into its ports file.
fn port(folder: &Path) -> Option<u16> {
    let files = std::fs::read_dir(folder).ok()?;
    let file = files
        .filter_map(Result::ok)
        .find(|file| file.path().extension().is_some_and(|end| end == "ports"))?;
    let ports: serde_json::Value =
        serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
}
