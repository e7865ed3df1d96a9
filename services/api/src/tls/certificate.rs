//! A certificate and its key, as files have them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::der::Decode as _;

/// Bytes of a file at most: a chain of several certificates has some thousands.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those that lead to the one that clients trust, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// From when on it is valid.
    pub not_before: DateTime<Utc>,
    /// Until when it is.
    pub not_after: DateTime<Utc>,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// The certificate of `files`, which fits its key.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn of(files: &CertificateFiles) -> Result<Self, String> {
        Pair::read(files).map(|pair| pair.certificate)
    }

    fn read(der: CertificateDer<'static>) -> Option<Self> {
        let validity = x509_cert::Certificate::from_der(&der).ok()?.tbs_certificate.validity;
        let at = |time: x509_cert::time::Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
            DateTime::from_timestamp(seconds, 0)
        };
        Some(Self { not_before: at(validity.not_before)?, not_after: at(validity.not_after)?, der })
    }

    /// Whole days from `now` until it ends.
    #[must_use]
    pub fn days_left(&self, now: DateTime<Utc>) -> i64 {
        (self.not_after - now).num_days()
    }

    /// Whether a client that asks for `host`, a name or an address, takes it.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host);
        let parsed = ParsedCertificate::try_from(&self.der);
        match (parsed, name) {
            (Ok(parsed), Ok(name)) => verify_server_name(&parsed, &name).is_ok(),
            _ => false,
        }
    }
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) certificate: Certificate,
}

impl Pair {
    /// Reads both, which have to fit.
    pub(super) fn read(files: &CertificateFiles) -> Result<Self, String> {
        let CertificateFiles { certificate, key } = files;
        let chain = content(certificate)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let at = certificate.display();
        let no_certificate = || format!("{at}: expected certificates in PEM");
        let chain = chain.ok_or_else(no_certificate)?;
        let first = chain.first().cloned().ok_or_else(no_certificate)?;
        let read = Certificate::read(first).ok_or_else(no_certificate)?;
        let of_key = PrivateKeyDer::from_pem_slice(&content(key)?);
        // What is in the file of a key is said by no error.
        let expected = || format!("{}: expected a key in PEM, without a password", key.display());
        let of_key = of_key.map_err(|_| expected())?;
        let pair = CertifiedKey::from_der(chain, of_key, &ring::default_provider());
        let pair = pair.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                format!("the key in {} is not that of the certificate in {at}", key.display())
            }
            Error::InvalidCertificate(_) => no_certificate(),
            _ => expected(),
        })?;
        Ok(Self { key: Arc::new(pair), certificate: read })
    }
}

fn content(file: &Path) -> Result<Vec<u8>, String> {
    let said = |error: std::io::Error| format!("{}: {error}", file.display());
    if std::fs::metadata(file).map_err(said)?.len() > FILE_BYTES_MAX {
        return Err(format!("{}: expected {FILE_BYTES_MAX} bytes at most", file.display()));
    }
    std::fs::read(file).map_err(said)
}

/// By what it shows that one of the files was changed: when, how long it is, and which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp([(i64, i64, u64, u64); 2]);

impl Stamp {
    /// That of the files as they are now, where both are there.
    pub(super) fn of(files: &CertificateFiles) -> Option<Self> {
        let of = |file: &Path| std::fs::metadata(file).ok().map(|found| facts(&found));
        Some(Self([of(&files.certificate)?, of(&files.key)?]))
    }
}

fn facts(found: &Metadata) -> (i64, i64, u64, u64) {
    (found.mtime(), found.mtime_nsec(), found.len(), found.ino())
}
