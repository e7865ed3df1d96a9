//! A listener with a certificate: which pairs it takes, which clients it serves, and what becomes of the others.

use std::fs;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use hatch_eventstore::SystemEnvironment;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::accepting::tests::Client;
use crate::accepting::{Accepting, Ends};
use crate::client_address::TrustedProxies;
use crate::connections::Connections;
use crate::stall::StallListener;

const SOON: Duration = Duration::from_secs(30);

/// Who signs, and where the listener's files are.
struct World {
    issuer: Issuer<'static, KeyPair>,
    authority: String,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "a CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("a certificate").pem();
        let folder = tempfile::tempdir().expect("a folder");
        Self { issuer: Issuer::new(params, key), authority, folder }
    }

    /// A certificate until the year, and its key.
    fn pair(&self, until: i32) -> (String, String) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn files(&self) -> CertificateFiles {
        let at = |name| self.folder.path().join(name);
        CertificateFiles { certificate: at("hatch.crt"), key: at("hatch.key") }
    }

    fn write(&self, certificate: &str, key: &str) {
        let files = self.files();
        fs::write(&files.certificate, certificate).expect("written");
        fs::write(&files.key, key).expect("written");
    }

    fn open(&self, handshake_max: Duration) -> Result<Tls, String> {
        let (clock, limits) = (Arc::new(SystemEnvironment), Limits::default());
        Tls::open_with(self.files(), clock, &limits, handshake_max)
    }

    /// A client that trusts the CA and offers these protocols.
    async fn connect(&self, address: SocketAddr, offers: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.authority.as_bytes());
        roots.add(authority.expect("a certificate")).expect("a CA");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = offers.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        timeout(SOON, connecting).await.expect("in time").expect("it is trusted")
    }
}

async fn serve(tls: &Tls) -> SocketAddr {
    let app = Router::new().route("/", get(|| async { "Hello" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let connections = Connections::new(&Limits::default(), 100, 1_000, TrustedProxies::default());
    let listener = StallListener::new(listener, connections);
    let ends = Ends::at(&CancellationToken::new());
    let tls = Some(tls.clone());
    tokio::spawn(Accepting { listener, tls, http2: true, app, ends }.run());
    address
}

/// Asks by HTTP/1 on a connection that goes on.
async fn ask(stream: &mut TlsStream<TcpStream>) {
    let asked = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(asked).await.expect("it is taken");
    let mut answer = Vec::new();
    while !answer.ends_with(b"Hello") {
        let read = timeout(SOON, stream.read_buf(&mut answer)).await.expect("in time");
        assert!(read.expect("an answer") > 0, "it ended");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
    chain[0].clone().into_owned()
}

fn pem(text: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(text.as_bytes()).expect("a certificate")
}

#[test]
fn a_pair_that_cannot_be_used_is_refused_by_what_is_wrong_with_it() {
    let world = World::new();
    let ((certificate, key), (_, other)) = (world.pair(2099), world.pair(2099));
    for (certificate, key, says) in [
        (certificate.as_str(), other.as_str(), "hatch.key is not that of the certificate"),
        ("", key.as_str(), "hatch.crt: expected certificates in PEM"),
        (key.as_str(), key.as_str(), "hatch.crt: expected certificates in PEM"),
        (certificate.as_str(), "", "hatch.key: expected a key in PEM"),
        (certificate.as_str(), certificate.as_str(), "hatch.key: expected a key in PEM"),
    ] {
        world.write(certificate, key);
        let refused = world.open(HANDSHAKE_MAX).err().unwrap_or_default();
        assert!(refused.contains(says), "{says}: {refused}");
    }
    fs::remove_file(world.files().key).expect("removed");
    world.write(&certificate, &key);
    fs::remove_file(world.files().certificate).expect("removed");
    let refused = world.open(HANDSHAKE_MAX).err().unwrap_or_default();
    assert!(refused.contains("hatch.crt"), "{refused}");
}

#[test]
fn a_certificate_says_whose_it_is_and_for_how_long() {
    let world = World::new();
    let (certificate, key) = world.pair(2099);
    world.write(&certificate, &key);
    let read = Certificate::of(&world.files()).expect("a good pair");
    assert_eq!(read.not_after.to_rfc3339(), "2099-01-01T00:00:00+00:00");
    assert_eq!(read.days_left(read.not_after - TimeDelta::hours(49)), 2);
    assert!(read.covers("localhost") && read.covers("127.0.0.1"));
    assert!(!read.covers("hatch.example") && !read.covers("[::1]") && !read.covers(""));
}

#[test]
fn one_that_has_expired_is_shown_and_spoken_of() {
    let world = World::new();
    let (certificate, key) = world.pair(2021);
    world.write(&certificate, &key);
    let tls = world.open(HANDSHAKE_MAX).expect("it starts");
    let standing = tls.standing().expect_err("it has expired");
    assert!(standing.contains("has expired, at 2021-01-01"), "{standing}");
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_as_the_client_likes() {
    let world = World::new();
    let (certificate, key) = world.pair(2099);
    world.write(&certificate, &key);
    let tls = world.open(HANDSHAKE_MAX).expect("a good pair");
    assert_eq!(tls.standing(), Ok(()));
    let address = serve(&tls).await;
    ask(&mut world.connect(address, &[]).await).await;
    ask(&mut world.connect(address, &["http/1.1"]).await).await;
    let stream = world.connect(address, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    Client::begin(stream).await.is_answered(1, "/").await;
}

#[tokio::test]
async fn a_renewed_pair_is_shown_from_then_on_and_connections_go_on() {
    let world = World::new();
    let (first, key) = world.pair(2098);
    world.write(&first, &key);
    let tls = world.open(HANDSHAKE_MAX).expect("a good pair");
    let mut seen = Seen { loaded: Stamp::of(&world.files()), refused: None };
    let address = serve(&tls).await;
    let mut before = world.connect(address, &[]).await;
    ask(&mut before).await;
    tls.look(&mut seen);
    assert_eq!(shown(&before), pem(&first));

    // One file after the other: what does not fit is no news until it stays so.
    let (second, key) = world.pair(2099);
    fs::write(world.files().certificate, &second).expect("written");
    tls.look(&mut seen);
    assert_eq!(tls.standing(), Ok(()));
    tls.look(&mut seen);
    let standing = tls.standing().expect_err("it does not fit");
    assert!(standing.contains("is not that of the certificate"), "{standing}");
    assert!(standing.ends_with("the one before stays in use"), "{standing}");
    assert_eq!(shown(&world.connect(address, &[]).await), pem(&first));

    fs::write(world.files().key, &key).expect("written");
    tls.look(&mut seen);
    assert_eq!(tls.standing(), Ok(()));
    let mut after = world.connect(address, &[]).await;
    assert_eq!(shown(&after), pem(&second));
    ask(&mut after).await;
    ask(&mut before).await;

    let (expired, key) = world.pair(2021);
    world.write(&expired, &key);
    (0..2).for_each(|_| tls.look(&mut seen));
    assert!(tls.standing().is_err_and(|why| why.contains("has expired")));
    assert_eq!(shown(&world.connect(address, &[]).await), pem(&second));
}

#[test]
fn a_pair_that_is_renewed_before_anybody_watches_is_seen() {
    let world = World::new();
    let (first, key) = world.pair(2098);
    world.write(&first, &key);
    let tls = world.open(HANDSHAKE_MAX).expect("a good pair");
    let before = tls.certificate();
    let (second, key) = world.pair(2099);
    world.write(&second, &key);
    tls.look(&mut tls.unwatched());
    assert_ne!(tls.certificate(), before);
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let world = World::new();
    let (certificate, key) = world.pair(2099);
    world.write(&certificate, &key);
    let tls = world.open(Duration::from_secs(1)).expect("a good pair");
    let address = serve(&tls).await;
    let mut silent = TcpStream::connect(address).await.expect("it listens");
    let ended = timeout(SOON, silent.read(&mut [0])).await.expect("in time");
    assert_eq!(ended.expect("a clean end"), 0);
    let mut half = TcpStream::connect(address).await.expect("it listens");
    half.write_all(&[HANDSHAKE_RECORD, 3, 1]).await.expect("it is taken");
    let ended = timeout(SOON, half.read_to_end(&mut Vec::new())).await.expect("in time");
    drop(ended);
    ask(&mut world.connect(address, &[]).await).await;
}

#[tokio::test]
async fn who_speaks_http_in_the_clear_is_told_what_to_speak() {
    let world = World::new();
    let (certificate, key) = world.pair(2099);
    world.write(&certificate, &key);
    let tls = world.open(HANDSHAKE_MAX).expect("a good pair");
    let address = serve(&tls).await;
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let asked = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(asked).await.expect("it is taken");
    let mut answer = String::new();
    let read = timeout(SOON, stream.read_to_string(&mut answer)).await.expect("in time");
    read.expect("an answer, and an end");
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("\"code\":\"https_required\"") && answer.contains("https://"));
}
