//! A TCP proxy in front of PostgreSQL that cuts the connection around a COMMIT.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use hatch_eventstore::testing::TestDatabase;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Where the next COMMIT meets its end; the ones after it pass.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// On the way to the server: nothing is committed.
    Request = 1,
    /// The server has committed, and its answer is lost.
    Answer = 2,
}

pub(crate) struct Proxy {
    port: u16,
    armed: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let armed = Arc::new(AtomicU8::new(0));
        let server = server(&database.config());
        let cut = Arc::clone(&armed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), Arc::clone(&cut)));
            }
        });
        Self { port, armed }
    }

    /// How to connect to `database` through this.
    pub(crate) fn config(&self, database: &TestDatabase) -> Config {
        let direct = database.config();
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port);
        config.dbname(direct.get_dbname().expect("a test database has a name"));
        if let Some(user) = direct.get_user() {
            config.user(user);
        }
        if let Some(password) = direct.get_password() {
            config.password(password);
        }
        config
    }

    pub(crate) fn arm(&self, cut: Cut) {
        self.armed.store(cut as u8, Ordering::SeqCst);
    }

    pub(crate) fn has_cut(&self) -> bool {
        self.armed.load(Ordering::SeqCst) == 0
    }
}

fn server(config: &Config) -> (Host, u16) {
    let host = config.get_hosts().first().expect("the server has a host").clone();
    (host, config.get_ports().first().copied().unwrap_or(5432))
}

async fn pass(mut client: TcpStream, server: (Host, u16), armed: Arc<AtomicU8>) {
    let (Host::Tcp(host), port) = server else { panic!("the test server listens on TCP") };
    let mut server = TcpStream::connect((host, port)).await.expect("the server is there");
    let (mut request, mut answer) = (vec![0; 65536], vec![0; 65536]);
    let mut swallowed: Option<Vec<u8>> = None;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(n @ 1..) = read else { return };
                if contains(&request[..n], b"COMMIT\0") {
                    match armed.swap(0, Ordering::SeqCst) {
                        0 => {}
                        cut if cut == Cut::Request as u8 => return,
                        _ => swallowed = Some(Vec::new()),
                    }
                }
                if server.write_all(&request[..n]).await.is_err() { return }
            }
            read = server.read(&mut answer) => {
                let Ok(n @ 1..) = read else { return };
                match &mut swallowed {
                    // The tag of the answer to COMMIT: now it has happened.
                    Some(so_far) => {
                        so_far.extend_from_slice(&answer[..n]);
                        if contains(so_far, b"COMMIT\0") { return }
                    }
                    None => if client.write_all(&answer[..n]).await.is_err() { return },
                }
            }
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
