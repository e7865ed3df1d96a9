//! Servers that speak TLS, and how they know us.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hatch_bus::testing::{Server, connected, eventually};
use hatch_bus::{Access, Bus, BusState, Settings};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Files of a CA of the test's own.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        for ca in ["ca", "another"] {
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let name = rcgen::DnType::CommonName;
            params.distinguished_name.push(name, ca);
            let key = rcgen::KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            files.write(&format!("{ca}.crt"), &certificate.pem());
            let issuer = Issuer::new(params, key);
            for (name, host) in
                [("server", "127.0.0.1"), ("misnamed", "nats.example"), ("client", "hatch")]
            {
                let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
                params.extended_key_usages =
                    vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
                let key = rcgen::KeyPair::generate().expect("a key");
                let certificate = params.signed_by(&key, &issuer).expect("a certificate");
                files.write(&format!("{ca}-{name}.crt"), &certificate.pem());
                files.write(&format!("{ca}-{name}.key"), &key.serialize_pem());
            }
        }
        files
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        std::fs::write(&file, text).expect("written");
        file
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The configuration of a server with this certificate.
    fn server(&self, name: &str, more: &str) -> String {
        let (certificate, key) =
            (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")));
        format!(
            "tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {:?} {more} }}",
            self.path("ca.crt")
        )
    }

    fn trusting(&self) -> Access {
        Access { ca_file: Some(self.path("ca.crt")), ..Access::default() }
    }

    fn as_client(&self, ca: &str) -> Access {
        Access {
            certificate_file: Some(self.path(&format!("{ca}-client.crt"))),
            key_file: Some(self.path(&format!("{ca}-client.key"))),
            ..self.trusting()
        }
    }
}

async fn connect(url: &str, access: Access) -> Bus {
    let settings = Settings { url: url.to_owned(), access, ..Settings::default() };
    Bus::connect(settings).await.expect("good settings")
}

/// That there is no connection, for a reason that says all of `parts`.
async fn assert_refused(url: &str, access: Access, parts: &[&str]) {
    let bus = connect(url, access).await;
    let trouble = eventually("a reason", async || bus.trouble()).await.to_string();
    assert!(parts.iter().all(|part| trouble.contains(part)), "{trouble}");
    assert_eq!(bus.state(), BusState::Disconnected);
}

#[tokio::test]
async fn a_server_is_believed_by_its_certificate_and_again_after_it_was_killed() {
    let files = Files::new();
    let mut server = Server::start_with(&files.server("ca-server", "")).await;
    let tls = server.url().replace("nats://", "tls://");
    let bus = connect(&server.url(), files.trusting()).await;
    connected(&bus).await;
    assert!(bus.settings().requires_tls());
    server.kill();
    eventually("disconnected", async || (bus.state() == BusState::Disconnected).then_some(()))
        .await;
    server.start_again();
    connected(&bus).await;
    assert_eq!(bus.trouble(), None);

    let another = Access { ca_file: Some(files.path("another.crt")), ..Access::default() };
    assert_refused(&tls, another, &["UnknownIssuer", "nats.ca_file"]).await;
    assert_refused(&tls, Access::default(), &["UnknownIssuer", "nats.ca_file"]).await;
    let misnamed = Server::start_with(&files.server("ca-misnamed", "")).await;
    assert_refused(&misnamed.url(), files.trusting(), &["nats.example", "nats_url"]).await;
}

#[tokio::test]
async fn a_server_asks_for_our_certificate() {
    let files = Files::new();
    let server = Server::start_with(&files.server("ca-server", ", verify: true")).await;
    connected(&connect(&server.url(), files.as_client("ca")).await).await;
    assert_refused(&server.url(), files.trusting(), &["nats.certificate_file"]).await;
    assert_refused(&server.url(), files.as_client("another"), &["nats.certificate_file"]).await;
}

#[tokio::test]
async fn a_server_without_tls_learns_nothing_where_tls_is_required() {
    let server = Server::start().await;
    let required = Access { tls_required: true, ..Access::default() };
    assert_refused(&server.url(), required.clone(), &["offers no TLS"]).await;
    let tls = server.url().replace("nats://", "tls://");
    assert_refused(&tls, Access::default(), &["offers no TLS"]).await;

    // Nor does whoever takes its place.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let url = format!("nats://hatch:hunter2@127.0.0.1:{port}");
    let _bus = connect(&url, required).await;
    let (mut client, _) = listener.accept().await.expect("a client");
    client.write_all(b"INFO {\"version\":\"2.10.0\",\"nonce\":\"x\"}\r\n").await.expect("sent");
    let mut said = vec![0; 4_096];
    let length = client.read(&mut said).await.expect("something");
    assert_eq!(said[0], 22, "a TLS handshake");
    assert!(!said[..length].windows(7).any(|part| part == b"hunter2"));
}

#[tokio::test]
async fn an_nkey_or_credentials_are_shown_and_renewed_without_a_restart() {
    let files = Files::new();
    let (user, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key());
    let server = Server::start_with(&users).await;
    let seed = files.write("seed", &stranger.seed().expect("a seed"));
    let access = Access { nkey_seed_file: Some(seed), ..Access::default() };
    let bus = connect(&server.url(), access).await;
    let trouble = eventually("a reason", async || bus.trouble()).await;
    assert!(trouble.refused, "{trouble}");
    let said = trouble.to_string();
    assert!(said.contains("refused: authorization") && said.contains("nkey"), "{said}");
    files.write("seed", &format!("{}\n", user.seed().expect("a seed")));
    connected(&bus).await;

    let (configuration, credentials) = operated();
    let server = Server::start_with(&configuration).await;
    let file = files.write("hatch.creds", &credentials);
    let access = Access { credentials_file: Some(file), ..Access::default() };
    connected(&connect(&server.url(), access).await).await;
    assert_refused(&server.url(), Access::default(), &["refused: authorization"]).await;
}

/// The configuration of a server of an operator's, and the credentials of a user there.
fn operated() -> (String, String) {
    let (operator, account, user) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let claims = |kind: &str, more: Value| {
        let mut claims = json!({"type": kind, "version": 2});
        claims.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        claims
    };
    let limits = json!({"limits": {"subs": -1, "data": -1, "payload": -1, "imports": -1,
        "exports": -1, "wildcards": true, "conn": -1, "leaf": -1}});
    let boundless = json!({"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
    let operator_jwt = jwt(&operator, &operator, &claims("operator", json!({})));
    let account_jwt = jwt(&operator, &account, &claims("account", limits));
    let user_jwt = jwt(&account, &user, &claims("user", boundless));
    let configuration = format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload: {{ {}: {account_jwt} }}\n",
        account.public_key()
    );
    let credentials = format!(
        "-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed().expect("a seed")
    );
    (configuration, credentials)
}

fn jwt(issuer: &KeyPair, subject: &KeyPair, claims: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let body = json!({"jti": "test", "iat": 1_700_000_000, "iss": issuer.public_key(),
        "name": "test", "sub": subject.public_key(), "nats": claims});
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&body));
    let signature = issuer.sign(signed.as_bytes()).expect("signed");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
