//! A TCP proxy in front of a server, for tests: it breaks connections in the ways that networks do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// COMMIT as a simple query has it, and as the tag of its answer.
const COMMIT: &[u8] = b"COMMIT\0";

/// Bytes carried at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is wrong with all connections, those that are there and those that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Everything comes this much later, in both directions.
    Delay(Duration),
    /// Connections are taken, and what is said on them is swallowed. One that has lost something is
    /// reset when the fault ends.
    Blackhole,
    /// The client is told that nothing more comes, and nothing does; what it says arrives.
    HalfClosed,
    /// Connections are reset, new ones at once.
    Reset,
}

/// What happens to a COMMIT, and to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The connection ends when COMMIT is on its way to the server: nothing is committed.
    Request,
    /// It ends when the server has committed: its answer is lost.
    Answer,
    /// The server commits, and from then on the client hears nothing, until [`Proxy::end`].
    Silence,
}

/// A proxy in front of one server; without a fault it changes nothing. Dropping it ends its
/// connections.
pub struct Proxy {
    url: String,
    link: Arc<Link>,
    _serving: AbortOnDropHandle<()>,
}

/// What the connections share.
struct Link {
    /// The server's host and port.
    server: Mutex<String>,
    fault: watch::Sender<Option<Fault>>,
    /// Connections so far.
    made: AtomicU64,
    /// So many of them are silent.
    silent: AtomicU64,
    /// The next COMMIT to cut: of a transaction that says this.
    armed: Mutex<Option<(Cut, Vec<u8>)>>,
}

impl Proxy {
    /// A proxy in front of the server that `url` leads to.
    ///
    /// # Panics
    /// When `url` does not name host and port.
    pub async fn start(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (server, url) = redirect(url, address);
        let link = Arc::new(Link {
            server: Mutex::new(server),
            fault: watch::Sender::new(None),
            made: AtomicU64::new(0),
            silent: AtomicU64::new(0),
            armed: Mutex::new(None),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&link)));
        Self { url, link, _serving: AbortOnDropHandle::new(serving) }
    }

    /// The URL that leads to the server through this.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Leads new connections to the server at `url`, as a name does that is given to another machine. Those
    /// that are there stay.
    ///
    /// # Panics
    /// When `url` does not name host and port.
    pub fn lead_to(&self, url: &str) {
        let (server, _) = redirect(url, SocketAddr::from(([127, 0, 0, 1], 0)));
        *self.link.server() = server;
    }

    /// Lets a fault begin.
    pub fn begin(&self, fault: Fault) {
        self.link.fault.send_replace(Some(fault));
    }

    /// Lets it end.
    pub fn end(&self) {
        self.link.fault.send_replace(None);
    }

    /// Swallows for ever what is said on the connections that are there, and ends none of them; those that
    /// come are as ever. So does a proxy whose server's machine is lost, once there is another one.
    pub fn silence(&self) {
        self.link.silent.store(self.link.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Cuts the next COMMIT of a transaction in which the client says `mark`, or of any if it is
    /// empty; those after it pass.
    pub fn cut(&self, cut: Cut, mark: &str) {
        *self.link.armed() = Some((cut, mark.as_bytes().to_vec()));
    }

    /// Whether the COMMIT that was to be cut has been.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.link.armed().is_none()
    }
}

impl Link {
    fn armed(&self) -> MutexGuard<'_, Option<(Cut, Vec<u8>)>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server(&self) -> MutexGuard<'_, String> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> Option<Fault> {
        *self.fault.borrow()
    }

    fn is_silent(&self, course: &Course) -> bool {
        course.number <= self.silent.load(Ordering::SeqCst)
    }

    /// How a client that has `said` this since its last COMMIT is cut, if it is.
    fn take_cut(&self, said: &mut Vec<u8>) -> Option<Cut> {
        let mut armed = self.armed();
        let Some((cut, mark)) = armed.as_ref() else {
            said.clear();
            return None;
        };
        if !contains(said, COMMIT) {
            return None;
        }
        let cut = (mark.is_empty() || contains(said, mark)).then_some(*cut);
        said.clear();
        if cut.is_some() {
            *armed = None;
        }
        cut
    }
}

/// Host and port of `url`, and `url` with `address` in their place.
fn redirect(url: &str, address: SocketAddr) -> (String, String) {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, server) = match authority.rsplit_once('@') {
        Some((user, server)) => (format!("{user}@"), server),
        None => (String::new(), authority),
    };
    assert!(server.contains(':'), "the URL names host and port: {url}");
    (server.to_owned(), format!("{scheme}://{user}{address}{path}"))
}

async fn serve(listener: TcpListener, link: Arc<Link>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, Arc::clone(&link)));
        while connections.try_join_next().is_some() {}
    }
}

/// What one connection has come to.
struct Course {
    /// Which connection it is, from 1.
    number: u64,
    /// Something that was said did not arrive.
    lost: AtomicBool,
    /// The answer to a COMMIT is waited for, to be lost, with the connection or without.
    cutting: OnceLock<Cut>,
}

async fn pass(mut client: TcpStream, link: Arc<Link>) {
    if link.fault() == Some(Fault::Reset) {
        // Fails only for a connection that is gone already.
        let _ = client.set_zero_linger();
        return;
    }
    let server = link.server().clone();
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let number = link.made.fetch_add(1, Ordering::SeqCst) + 1;
    let (lost, cutting) = (AtomicBool::new(false), OnceLock::new());
    let course = Course { number, lost, cutting };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let broken = tokio::select! {
        () = carry_requests(from_client, to_server, &link, &course) => false,
        broken = carry_answers(from_server, to_client, &link, &course) => broken,
    };
    if broken {
        for stream in [&client, &server] {
            let _ = stream.set_zero_linger();
        }
    }
}

async fn carry_requests(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    link: &Link,
    course: &Course,
) {
    let (mut bytes, mut said) = (vec![0; CHUNK_BYTES], Vec::new());
    while let Ok(n @ 1..) = client.read(&mut bytes).await {
        if link.is_silent(course) {
            continue;
        }
        match link.fault() {
            Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Blackhole) => {
                course.lost.store(true, Ordering::SeqCst);
                continue;
            }
            Some(Fault::HalfClosed | Fault::Reset) | None => {}
        }
        said.extend_from_slice(&bytes[..n]);
        match link.take_cut(&mut said) {
            Some(Cut::Request) => return,
            Some(cut) => drop(course.cutting.set(cut)),
            None => {}
        }
        if server.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}

/// True when it ends because the connection is broken.
async fn carry_answers(
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    link: &Link,
    course: &Course,
) -> bool {
    let mut fault = link.fault.subscribe();
    fault.mark_changed();
    let (mut bytes, mut swallowed) = (vec![0; CHUNK_BYTES], Vec::new());
    loop {
        let read = tokio::select! {
            read = server.read(&mut bytes) => read,
            Ok(()) = fault.changed() => {
                let now = *fault.borrow_and_update();
                match now {
                    Some(Fault::Reset) => return true,
                    Some(Fault::HalfClosed) => {
                        course.lost.store(true, Ordering::SeqCst);
                        // Fails only for a connection that is gone already.
                        let _ = client.shutdown().await;
                    }
                    Some(Fault::Blackhole) => {}
                    Some(Fault::Delay(_)) | None if course.lost.load(Ordering::SeqCst) => {
                        return true;
                    }
                    Some(Fault::Delay(_)) | None => {}
                }
                continue;
            }
        };
        let Ok(n @ 1..) = read else { return false };
        if link.is_silent(course) {
            continue;
        }
        match link.fault() {
            Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Blackhole | Fault::HalfClosed | Fault::Reset) => {
                course.lost.store(true, Ordering::SeqCst);
                continue;
            }
            None => {}
        }
        if let Some(cut) = course.cutting.get() {
            course.lost.store(true, Ordering::SeqCst);
            swallowed.extend_from_slice(&bytes[..n]);
            // The tag of the answer: now it has happened.
            if *cut == Cut::Answer && contains(&swallowed, COMMIT) {
                return false;
            }
        } else if client.write_all(&bytes[..n]).await.is_err() {
            return false;
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
