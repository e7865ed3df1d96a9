//! What the listener of a process has: its certificate, and the pages that may ask by it.

use anyhow::{Context as _, bail};
use hatch_api::{CertificateFiles, Cors, Tls};

use super::process::{Process, Workers};
use crate::settings::{Settings, TlsSettings};

/// The files of the certificate, where `serve` has one.
///
/// # Errors
/// Only one of the two is set.
pub(crate) fn certificate_files(settings: &Settings) -> anyhow::Result<Option<CertificateFiles>> {
    let TlsSettings { certificate_file, key_file } = settings.tls.clone();
    match (certificate_file, key_file) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(CertificateFiles { certificate, key })),
        (Some(_), None) => {
            bail!("configuration: tls.key_file: expected the key of tls.certificate_file")
        }
        (None, Some(_)) => {
            bail!("configuration: tls.certificate_file: expected the certificate of tls.key_file")
        }
    }
}

/// The pages of other origins that may ask.
pub(crate) fn cors(settings: &Settings) -> anyhow::Result<Cors> {
    let cors = Cors::new(&settings.cors.origins);
    cors.map_err(|refused| anyhow::anyhow!("configuration: cors.origins: {refused}"))
}

/// TLS of the process, where it has a certificate, whose files are watched from now on.
///
/// # Errors
/// The files cannot be used.
pub(super) fn tls(process: &Process, workers: &mut Workers) -> anyhow::Result<Option<Tls>> {
    let Some(files) = certificate_files(&process.settings)? else { return Ok(None) };
    let clock = std::sync::Arc::new(process.head.clock().clone());
    let tls = Tls::open(files, clock, &process.limits).map_err(|why| anyhow::anyhow!(why));
    let tls = tls.context("configuration: tls")?;
    workers.spawn(tls.clone().watch(process.workers.clone()));
    Ok(Some(tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_without_its_key_is_refused_and_so_is_an_origin_that_is_none() {
        let mut settings = Settings::default();
        assert!(certificate_files(&settings).is_ok_and(|files| files.is_none()));
        settings.tls.certificate_file = Some("hatch.crt".into());
        let refused = certificate_files(&settings).expect_err("half a pair").to_string();
        assert!(refused.starts_with("configuration: tls.key_file: expected"), "{refused}");
        settings.tls.key_file = Some("hatch.key".into());
        assert!(certificate_files(&settings).is_ok_and(|files| files.is_some()));
        settings.tls.certificate_file = None;
        let refused = certificate_files(&settings).expect_err("half a pair").to_string();
        assert!(refused.starts_with("configuration: tls.certificate_file: expected"), "{refused}");
        settings.cors.origins = vec!["*".to_owned()];
        let refused = cors(&settings).expect_err("all of them").to_string();
        assert!(refused.starts_with("configuration: cors.origins: expected origins"), "{refused}");
    }
}
