//! The conditions on which a NATS server is believed, and the credentials that hatch shows it.

use std::fmt;
use std::path::{Path, PathBuf};

use async_nats::{Auth, AuthError, ConnectOptions, ServerAddr};
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;

use crate::Error;

/// What has to be so before a NATS server is believed, and how it knows us, beside user and password or
/// a token in the URL. Files are read again for each connection, so that they can be renewed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Whether nothing is said to a server without TLS. A URL that begins with `tls://`, a `ca_file` and a
    /// `certificate_file` require it as well.
    pub tls_required: bool,
    /// The certificates, in PEM, of the CAs that may have signed the server's. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, in PEM, for a server that asks for one.
    pub certificate_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// A `.creds` file: a JWT and the seed of its nkey.
    pub credentials_file: Option<PathBuf>,
    /// A file with the seed of an nkey.
    pub nkey_seed_file: Option<PathBuf>,
}

/// How the server knows us.
#[derive(Clone)]
enum Identity {
    Nobody,
    User { name: String, password: String },
    Token(String),
    Credentials(PathBuf),
    Nkey(PathBuf),
}

impl Access {
    /// Refuses what cannot be used.
    pub(crate) fn check(&self, servers: &[ServerAddr]) -> Result<(), Error> {
        let setting = |name, reason: String| Error::Setting { name, reason };
        let files = [
            ("ca_file", &self.ca_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ];
        for (name, file) in files {
            if let Some(Err(reason)) = file.as_deref().map(read) {
                return Err(setting(name, reason));
            }
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            let reason = "expected certificate_file and key_file, or neither".to_owned();
            return Err(setting("certificate_file", reason));
        }
        let named = servers.iter().any(|server| server.username().is_some());
        let given = [named, self.credentials_file.is_some(), self.nkey_seed_file.is_some()];
        if given.into_iter().filter(|given| *given).count() > 1 {
            let reason = "expected one of a user in nats_url, credentials_file and nkey_seed_file";
            return Err(setting("credentials_file", reason.to_owned()));
        }
        let identity = self.identity(servers);
        let name = match identity {
            Identity::Nkey(_) => "nkey_seed_file",
            _ => "credentials_file",
        };
        identity.auth(b"").map(drop).map_err(|reason| setting(name, reason))
    }

    /// Whether nothing is said to a server without TLS.
    pub(crate) fn requires_tls(&self, servers: &[ServerAddr]) -> bool {
        let by_url = servers.iter().any(ServerAddr::tls_required);
        self.tls_required || self.ca_file.is_some() || self.certificate_file.is_some() || by_url
    }

    /// How to connect to `servers`.
    pub(crate) fn options(&self, servers: &[ServerAddr]) -> ConnectOptions {
        let identity = self.identity(servers);
        let mut options = ConnectOptions::with_auth_callback(move |nonce| {
            std::future::ready(identity.auth(&nonce).map_err(AuthError::new))
        });
        options = options.require_tls(self.requires_tls(servers));
        if let Some(file) = &self.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        if let (Some(certificate), Some(key)) = (&self.certificate_file, &self.key_file) {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        options
    }

    /// User and password, or a token, are taken from the first server's URL: the client itself ignores
    /// them there.
    fn identity(&self, servers: &[ServerAddr]) -> Identity {
        if let Some(file) = &self.credentials_file {
            return Identity::Credentials(file.clone());
        }
        if let Some(file) = &self.nkey_seed_file {
            return Identity::Nkey(file.clone());
        }
        let first = servers.first();
        match first.map(|server| (server.username(), server.password())) {
            Some((Some(name), Some(password))) => {
                Identity::User { name: name.to_owned(), password: password.to_owned() }
            }
            Some((Some(token), None)) => Identity::Token(token.to_owned()),
            _ => Identity::Nobody,
        }
    }
}

impl Identity {
    /// What to say to a server that has said `nonce`.
    fn auth(&self, nonce: &[u8]) -> Result<Auth, String> {
        let mut auth = Auth::new();
        match self {
            Self::Nobody => {}
            Self::User { name, password } => {
                (auth.username, auth.password) = (Some(name.clone()), Some(password.clone()));
            }
            Self::Token(token) => auth.token = Some(token.clone()),
            Self::Credentials(file) => {
                let text = read(file)?;
                let (Some(jwt), Some(seed)) =
                    (section(&text, "NATS USER JWT"), section(&text, "USER NKEY SEED"))
                else {
                    let file = file.display();
                    return Err(format!("{file}: expected a user's JWT and the seed of its nkey"));
                };
                auth.jwt = Some(jwt.to_owned());
                auth.signature = Some(sign(seed, nonce, file)?.1);
            }
            Self::Nkey(file) => {
                let (public, signature) = sign(read(file)?.trim(), nonce, file)?;
                (auth.nkey, auth.signature) = (Some(public), Some(signature));
            }
        }
        Ok(auth)
    }
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))
}

/// What stands between the lines that begin and end a part of a `.creds` file.
fn section<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    let (_, rest) = text.split_once(&format!("BEGIN {name}"))?;
    let (_, rest) = rest.split_once('\n')?;
    let (inside, _) = rest.split_once(&format!("END {name}"))?;
    inside.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('-'))
}

/// The public key of `seed`, and its signature of `nonce`.
fn sign(seed: &str, nonce: &[u8], file: &Path) -> Result<(String, Vec<u8>), String> {
    // The error could say what it found.
    let key = KeyPair::from_seed(seed).ok().filter(|key| key.key_pair_type() == KeyPairType::User);
    let unusable = || format!("{}: expected the seed of a user's nkey (SU...)", file.display());
    let key = key.ok_or_else(unusable)?;
    let signature = key.sign(nonce).map_err(|_| unusable())?;
    Ok((key.public_key(), signature))
}

/// Why there is no connection to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTrouble {
    /// The server, and what is wrong.
    pub what: String,
    /// What to do about it, where that is known.
    pub remedy: Option<&'static str>,
    /// Whether a server is there, and does not let us in.
    pub refused: bool,
}

/// One sentence that says what to do.
impl fmt::Display for ConnectionTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.remedy.map_or(Ok(()), |remedy| write!(f, ": {remedy}"))
    }
}

/// How a server that knows somebody else is called.
const UNKNOWN_USER: &str = "authorization violation";

/// Why there is no connection to a server; `error` is the client's.
pub(crate) fn in_words(server: &ServerAddr, error: &str) -> ConnectionTrouble {
    let server = format!("{}:{}", server.host(), server.port());
    let says = |part: &str| error.to_lowercase().contains(&part.to_lowercase());
    if says(UNKNOWN_USER) {
        return ConnectionTrouble {
            what: format!("{server}: refused: authorization"),
            remedy: Some(
                "set the user and password, the nkey or the credentials that the server knows",
            ),
            refused: true,
        };
    }
    let remedies = [
        (
            "UnknownIssuer",
            "set nats.ca_file to the file of the CA that signed the server's certificate",
        ),
        ("not valid for name", "name the server in nats_url as its certificate does"),
        ("certificate expired", "renew the server's certificate"),
        ("received corrupt message", "the server offers no TLS: turn it on there"),
        ("CertificateRequired", "set nats.certificate_file and nats.key_file"),
        (
            "received fatal alert",
            "have nats.certificate_file signed by a CA that the server trusts",
        ),
    ];
    let remedy = remedies.into_iter().find(|(part, _)| says(part)).map(|(_, remedy)| remedy);
    ConnectionTrouble { what: format!("{server}: {error}"), remedy, refused: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(access: &Access, url: &str) -> (&'static str, String) {
        match access.check(&[url.parse().expect("a URL")]) {
            Err(Error::Setting { name, reason }) => (name, reason),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_and_secrets_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a file");
        std::fs::write(&file, "hunter2").expect("written");
        let (nowhere, file) = (Some(folder.path().join("nothing")), Some(file));
        let url = "nats://127.0.0.1";
        for (access, url, name) in [
            (Access { ca_file: nowhere.clone(), ..Access::default() }, url, "ca_file"),
            (
                Access { certificate_file: file.clone(), ..Access::default() },
                url,
                "certificate_file",
            ),
            (
                Access { credentials_file: file.clone(), ..Access::default() },
                url,
                "credentials_file",
            ),
            (Access { nkey_seed_file: file.clone(), ..Access::default() }, url, "nkey_seed_file"),
            (
                Access { nkey_seed_file: file.clone(), ..Access::default() },
                "nats://user@127.0.0.1",
                "credentials_file",
            ),
        ] {
            let (refused, reason) = refused(&access, url);
            assert_eq!(refused, name, "{reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn whatever_is_said_about_tls_requires_it() {
        let server = |url: &str| vec![url.parse::<ServerAddr>().expect("a URL")];
        let with_ca = Access { ca_file: Some("ca.crt".into()), ..Access::default() };
        assert!(with_ca.requires_tls(&server("nats://127.0.0.1")));
        assert!(Access::default().requires_tls(&server("tls://127.0.0.1")));
        assert!(!Access::default().requires_tls(&server("nats://127.0.0.1")));
    }
}
