//! Every `sslmode` against every certificate, and who may pose as the server.

use std::sync::Arc;

use hatch_eventstore::{Database, ServerRefusal, Transport, connect};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::certificates::{Pair, Valid};
use super::cluster::Cluster;
use crate::process::{data_folder, output_with};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// What the cluster's connections are like: it runs on this machine.
const TLS: Transport = Transport { is_local: true, is_encrypted: true };
const PLAIN: Transport = Transport { is_local: true, is_encrypted: false };

/// How a connection came about, or what hatch says.
async fn attempt(url: &str) -> Result<Transport, String> {
    let database: Database = url.parse().map_err(|error| format!("{error}"))?;
    match connect(&database).await {
        Ok(connected) => {
            let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let row = connected.query_one(encrypted, &[]).await.expect("a row");
            assert_eq!(row.get::<_, bool>(0), connected.transport().is_encrypted);
            Ok(connected.transport())
        }
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let text = format!("{error}: {}", source.unwrap_or_default());
            Err(if ServerRefusal::cause_of(&error).is_some() {
                format!("refused: {text}")
            } else {
                text
            })
        }
    }
}

fn assert_refused(outcome: &Result<Transport, String>, parts: &[&str], what: &str) {
    let Err(text) = outcome else { panic!("{what}: connected by {outcome:?}") };
    for part in parts {
        assert!(text.contains(part), "{what}: {text} lacks {part}");
    }
}

#[tokio::test]
async fn a_server_is_believed_as_far_as_the_connection_string_says() {
    let mut cluster = Cluster::start().await;
    modes(&mut cluster).await;
    clients_certificates(&cluster).await;
    methods(&cluster).await;
    man_in_the_middle(&cluster).await;
    commands(&mut cluster).await;
    without_tls(&mut cluster).await;
    cluster.stop().await;
}

/// Every mode against every certificate, where the server lets nobody in without TLS.
async fn modes(cluster: &mut Cluster) {
    let ca = format!("&sslrootcert={}", cluster.file("ca.crt"));
    for certificate in ["good", "misnamed", "foreign", "expired", "self-signed"] {
        cluster.certify(certificate).await;
        let of =
            async |mode: &str| attempt(&cluster.database("app", &format!("sslmode={mode}"))).await;
        assert_refused(&of("disable").await, &["no encryption"], certificate);
        for mode in ["allow", "prefer", "require"] {
            assert_eq!(of(mode).await, Ok(TLS), "{mode} and {certificate}");
        }
        for mode in ["require", "verify-ca", "verify-full"] {
            let what = format!("{mode} and {certificate}");
            let outcome = of(&format!("{mode}{ca}")).await;
            match (certificate, mode) {
                ("good", _) | ("misnamed", "require" | "verify-ca") => {
                    assert_eq!(outcome, Ok(TLS), "{what}");
                }
                ("misnamed", _) => assert_refused(
                    &outcome,
                    &["refused", "for db.example", "not for 127.0.0.1", "subjectAltName"],
                    &what,
                ),
                ("self-signed", _) => {
                    assert_refused(&outcome, &["refused", "signed itself", "sslrootcert"], &what);
                }
                ("expired", _) => assert_refused(&outcome, &["refused", "has expired"], &what),
                _ => {
                    assert_refused(&outcome, &["refused", "signed by nobody", "sslrootcert"], &what)
                }
            }
        }
        // Falls back to what the server does not let in.
        assert_eq!(
            of(&format!("prefer{ca}")).await.is_ok(),
            ["good", "misnamed"].contains(&certificate)
        );
    }
    // The certificate itself is trusted, though it says that it is a CA's.
    let itself = format!("sslmode=verify-full&sslrootcert={}", cluster.file("self-signed.crt"));
    assert_eq!(attempt(&cluster.database("app", &itself)).await, Ok(TLS));
    cluster.certify("good").await;
    assert_refused(
        &attempt(&cluster.database("app", &itself)).await,
        &["signed by nobody"],
        "another",
    );
    // By name, by one of several servers, and where the name need not be looked up.
    let full = format!("sslmode=verify-full{ca}");
    let by_name = cluster.database_at("localhost", cluster.port(), "app", &full);
    assert_eq!(attempt(&by_name).await, Ok(TLS));
    let second = cluster.database_at("127.0.0.1:1,localhost", cluster.port(), "app", &full);
    assert_eq!(attempt(&second).await, Ok(TLS));
    let address = cluster.database_at(
        "localhost",
        cluster.port(),
        "app",
        &format!("{full}&hostaddr=127.0.0.1"),
    );
    assert_eq!(attempt(&address).await, Ok(TLS));
    let elsewhere = cluster.database_at(
        "db.example",
        cluster.port(),
        "app",
        &format!("{full}&hostaddr=127.0.0.1"),
    );
    assert_refused(&attempt(&elsewhere).await, &["not for db.example"], "another name");
}

async fn clients_certificates(cluster: &Cluster) {
    let full = format!("sslmode=verify-full&sslrootcert={}", cluster.file("ca.crt"));
    let with = async |name: &str| {
        let (certificate, key) =
            (cluster.file(&format!("{name}.crt")), cluster.file(&format!("{name}.key")));
        let parameters =
            format!("{full}&sslcert={certificate}&sslkey={key}&channel_binding=require");
        attempt(&cluster.database("certified", &parameters)).await
    };
    assert_eq!(with("certified").await, Ok(TLS));
    assert_refused(
        &with("stranger").await,
        &["refused", "our certificate", "sslcert"],
        "a stranger",
    );
    let without = attempt(&cluster.database("certified", &full)).await;
    assert_refused(&without, &["client certificate"], "no certificate");

    use std::os::unix::fs::PermissionsExt;
    let open = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(cluster.file("certified.key"), mode).expect("the mode");
    };
    open(0o644);
    assert_refused(&with("certified").await, &["sslkey", "read by others", "0600"], "an open key");
    open(0o600);
}

async fn methods(cluster: &Cluster) {
    for (user, method) in [("hashed", "md5"), ("clear", "password")] {
        let outcome = attempt(&cluster.database(user, "sslmode=disable")).await;
        assert_refused(&outcome, &["refused", &format!("require_auth={method}")], user);
        let told = format!("sslmode=disable&require_auth={method}");
        assert_eq!(attempt(&cluster.database(user, &told)).await, Ok(PLAIN));
    }
    let scram = "sslmode=require&require_auth=scram-sha-256&channel_binding=require";
    assert_eq!(attempt(&cluster.database("app", scram)).await, Ok(TLS));
    let hashed = attempt(&cluster.database("app", "sslmode=require&require_auth=md5")).await;
    assert_refused(&hashed, &["does not allow"], "SCRAM where md5 is wanted");
}

/// Somebody who has a certificate for the server's name from the CA itself, and hands all on.
async fn man_in_the_middle(cluster: &Cluster) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let Pair { certificate, key } = cluster.authority.sign(&["127.0.0.1"], Valid::Now);
    let chain =
        vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let own = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let acceptor = TlsAcceptor::from(Arc::new(own.expect("a pair")));
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(cluster.authority.pem().as_bytes());
    roots.add(ca.expect("a certificate")).expect("a CA");
    let theirs = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(theirs));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (port, server) = (listener.local_addr().expect("bound").port(), cluster.port());
    let proxy = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                client.read_exact(&mut [0; 8]).await?;
                client.write_all(b"S").await?;
                let mut client = acceptor.accept(client).await?;
                let mut upstream = TcpStream::connect(("127.0.0.1", server)).await?;
                upstream.write_all(&SSL_REQUEST).await?;
                upstream.read_exact(&mut [0; 1]).await?;
                let name = ServerName::try_from("127.0.0.1").expect("an address");
                let mut upstream = connector.connect(name, upstream).await?;
                copy_bidirectional(&mut client, &mut upstream).await
            });
        }
    });
    let full = format!("sslmode=verify-full&sslrootcert={}", cluster.file("ca.crt"));
    let through = async |binding: &str| {
        let parameters = format!("{full}&channel_binding={binding}");
        attempt(&cluster.database_at("127.0.0.1", port, "app", &parameters)).await
    };
    assert_eq!(through("disable").await, Ok(TLS), "the proxy works");
    for binding in ["require", "prefer"] {
        assert_refused(&through(binding).await, &["db error"], binding);
    }
    proxy.abort();
}

/// The sentences reach whoever runs a command.
async fn commands(cluster: &mut Cluster) {
    let folder = data_folder();
    let full = format!("sslmode=verify-full&sslrootcert={}", cluster.file("ca.crt"));
    cluster.certify("misnamed").await;
    let url = cluster.database("hatch", &full);
    for command in ["migrate", "doctor"] {
        let variables =
            [("HATCH_DATABASE_URL", url.as_str()), ("HATCH_NATS_URL", "nats://127.0.0.1:1")];
        let (success, out, err) = output_with(folder.path(), &[command], &variables).await;
        assert!(!success, "{command}: {out}");
        let text = out + &err;
        assert!(text.contains("certificate is for db.example, and not for 127.0.0.1"), "{text}");
        assert!(!text.contains(super::cluster::PASSWORD), "{text}");
    }
    cluster.certify("good").await;
}

/// A server without TLS.
async fn without_tls(cluster: &mut Cluster) {
    cluster.set("ssl", "off").await;
    for mode in ["disable", "allow", "prefer"] {
        let outcome = attempt(&cluster.database("admin", &format!("sslmode={mode}"))).await;
        assert_eq!(outcome, Ok(PLAIN), "{mode}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let parameters = format!("sslmode={mode}&sslrootcert={}", cluster.file("ca.crt"));
        let outcome = attempt(&cluster.database("admin", &parameters)).await;
        assert_refused(&outcome, &["refused", "offers no TLS", "sslmode=disable"], mode);
    }
    let bound = attempt(&cluster.database("admin", "channel_binding=require")).await;
    assert_refused(&bound, &["channel binding"], "no TLS, no binding");
}
