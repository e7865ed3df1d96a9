//! The conditions on which a server is believed: libpq's parameters about TLS and authentication.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::ServerRefusal;
use super::guard::Methods;
use super::verifier::{Verification, Verifier};

/// The parameters that are read here; `tokio_postgres` knows none of them, or not all of their values.
pub(super) const PARAMETERS: [&str; 5] =
    ["sslmode", "sslrootcert", "sslcert", "sslkey", "require_auth"];

/// Stands for the certificates that the system trusts, instead of a file.
const SYSTEM: &str = "system";

/// Whether TLS is used; the names are libpq's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    Allow,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// The conditions on which a server is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Security {
    pub(super) mode: SslMode,
    pub(super) methods: Methods,
    roots: Option<Roots>,
    /// Our own certificate and its key.
    identity: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Roots {
    System,
    File(PathBuf),
}

impl Security {
    /// Reads the parameters, the last of a name.
    ///
    /// # Errors
    /// The first that cannot be used, by its name.
    pub(super) fn parse(parameters: &[(String, String)]) -> Result<Self, ServerRefusal> {
        let of =
            |name| parameters.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let roots = match of("sslrootcert") {
            Some(SYSTEM) => Some(Roots::System),
            file => file.map(PathBuf::from).map(Roots::File),
        };
        let mode = match (of("sslmode"), &roots) {
            (Some(mode), _) => parse_mode(mode)?,
            (None, Some(Roots::System)) => SslMode::VerifyFull,
            (None, _) => SslMode::default(),
        };
        if roots == Some(Roots::System) && mode != SslMode::VerifyFull {
            // A certificate for any name is had for nothing.
            return Err(ServerRefusal::new(
                "sslrootcert=system: expected sslmode=verify-full with it",
            ));
        }
        if matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull) && roots.is_none() {
            return Err(ServerRefusal::new(
                "sslrootcert: expected the file of the CA that signed the server's certificate, or \
                 system, with this sslmode",
            ));
        }
        let identity = match (of("sslcert"), of("sslkey")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            (Some(_), None) => {
                return Err(ServerRefusal::new("sslkey: expected the key of sslcert"));
            }
            (None, Some(_)) => {
                return Err(ServerRefusal::new("sslcert: expected the certificate of sslkey"));
            }
        };
        let methods = of("require_auth").map_or_else(|| Ok(Methods::default()), Methods::parse)?;
        Ok(Self { mode, methods, roots, identity })
    }

    pub(super) fn of_mode(mode: SslMode) -> Self {
        Self { mode, ..Self::default() }
    }

    pub(super) fn verification(&self) -> Verification {
        match (self.mode, &self.roots) {
            (SslMode::VerifyFull, _) => Verification::Full,
            (_, Some(_)) => Verification::Ca,
            (_, None) => Verification::None,
        }
    }

    /// Where the trusted certificates are, in words.
    pub(super) fn roots_in_words(&self) -> String {
        match &self.roots {
            Some(Roots::File(file)) => file.display().to_string(),
            Some(Roots::System) | None => "the system".to_owned(),
        }
    }

    /// How TLS is spoken. Reads the files each time, so that they can be renewed under a process that
    /// runs.
    ///
    /// # Errors
    /// A file cannot be used, by its parameter's name.
    pub(super) fn client_config(&self) -> Result<ClientConfig, ServerRefusal> {
        let trusted = match &self.roots {
            None => Vec::new(),
            Some(Roots::System) => system_roots().to_vec(),
            Some(Roots::File(file)) => certificates("sslrootcert", file)?,
        };
        let mut roots = RootCertStore::empty();
        let (_, unusable) = roots.add_parsable_certificates(trusted.iter().cloned());
        if unusable > 0 && self.roots != Some(Roots::System) {
            let file = self.roots_in_words();
            return Err(ServerRefusal::new(format!(
                "sslrootcert: {unusable} in {file} cannot be read"
            )));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verification = self.verification();
        let verifier = Verifier { verification, roots, trusted, provider: Arc::clone(&provider) };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ServerRefusal::new(format!("TLS cannot be spoken: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let Some((certificate, key)) = &self.identity else {
            return Ok(config.with_no_client_auth());
        };
        let chain = certificates("sslcert", certificate)?;
        config.with_client_auth_cert(chain, private_key(key)?).map_err(|error| {
            ServerRefusal::new(format!("sslcert and sslkey cannot be used together: {error}"))
        })
    }
}

fn parse_mode(mode: &str) -> Result<SslMode, ServerRefusal> {
    Ok(match mode {
        "disable" => SslMode::Disable,
        "allow" => SslMode::Allow,
        "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        other => {
            return Err(ServerRefusal::new(format!(
                "sslmode: expected disable, allow, prefer, require, verify-ca or verify-full, got {other:?}"
            )));
        }
    })
}

/// What the system trusts; it takes a while to read, and changes with the system's updates.
fn system_roots() -> &'static [CertificateDer<'static>] {
    static ROOTS: LazyLock<Vec<CertificateDer<'static>>> =
        LazyLock::new(|| rustls_native_certs::load_native_certs().certs);
    &ROOTS
}

fn certificates(name: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, ServerRefusal> {
    let unreadable = |error: &dyn std::fmt::Display| {
        ServerRefusal::new(format!("{name}: {} cannot be read: {error}", file.display()))
    };
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?.collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(unreadable(&"expected certificates in PEM, found none"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable(&error)),
    }
}

/// Reads our key, as libpq does: only where nobody else can.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, ServerRefusal> {
    let unreadable = |error: &dyn std::fmt::Display| {
        ServerRefusal::new(format!("sslkey: {} cannot be read: {error}", file.display()))
    };
    let found = std::fs::metadata(file).map_err(|error| unreadable(&error))?;
    // A file of root may be read by the group that it was given to.
    let forbidden = if found.uid() == 0 { 0o037 } else { 0o077 };
    if found.mode() & forbidden != 0 {
        return Err(ServerRefusal::new(format!(
            "sslkey: {} can be read by others: expected mode 0600, or 0640 where it is root's",
            file.display()
        )));
    }
    PrivateKeyDer::from_pem_file(file).map_err(|error| unreadable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(parameters: &[(&str, &str)]) -> Result<Security, String> {
        let parameters: Vec<(String, String)> = parameters
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Security::parse(&parameters).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn modes_mean_what_they_mean_to_libpq() {
        let file = ("sslrootcert", "/ca.crt");
        for (parameters, mode, verification) in [
            (&[][..], SslMode::Prefer, Verification::None),
            (&[("sslmode", "disable")], SslMode::Disable, Verification::None),
            (&[("sslmode", "require")], SslMode::Require, Verification::None),
            (&[("sslmode", "require"), file], SslMode::Require, Verification::Ca),
            (&[("sslmode", "verify-ca"), file], SslMode::VerifyCa, Verification::Ca),
            (&[("sslmode", "verify-full"), file], SslMode::VerifyFull, Verification::Full),
            (&[("sslrootcert", "system")], SslMode::VerifyFull, Verification::Full),
        ] {
            let security = parse(parameters).expect("good");
            assert_eq!((security.mode, security.verification()), (mode, verification));
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (parameters, name) in [
            (&[("sslmode", "on")][..], "sslmode"),
            (&[("sslmode", "verify-full")], "sslrootcert"),
            (&[("sslmode", "require"), ("sslrootcert", "system")], "sslrootcert"),
            (&[("sslcert", "/a")], "sslkey"),
            (&[("sslkey", "/a")], "sslcert"),
            (&[("require_auth", "kerberos")], "require_auth"),
        ] {
            let refusal = parse(parameters).expect_err("refused");
            assert!(refusal.starts_with(name), "{refusal}");
        }
    }
}
