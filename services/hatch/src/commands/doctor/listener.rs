//! The listener: its certificate, and what stands between it and clients.

use chrono::{DateTime, Utc};
use hatch_api::Certificate;
use hatch_domain::Environment as _;
use hatch_eventstore::SystemEnvironment;
use reqwest::Url;

use super::finding::Finding;
use crate::exposure::{lacks_https, of_proxies};
use crate::roles::certificate_files;
use crate::settings::{Authentication, Settings};

const CERTIFICATE: &str = "certificate";
const PROXIES: &str = "proxies";
const AUTHENTICATION: &str = "authentication";

/// A certificate that ends within so many days is spoken of.
const ENDS_SOON_DAYS: i64 = 14;

/// The certificate, where one is set, the proxies, and whether everybody is let in who comes through them, where that is
/// not what `hatch up` is for.
pub(super) fn check(settings: &Settings, embedded: bool) -> Vec<Finding> {
    let certificate = match certificate_files(settings) {
        // What only one is set of, the line of the settings says.
        Ok(None) | Err(_) => None,
        Ok(Some(files)) => {
            let public_url = settings.public_url.as_deref();
            Some(certificate(Certificate::of(&files), public_url, SystemEnvironment.now()))
        }
    };
    let open = (settings.authentication == Authentication::Off && !embedded).then(|| {
        let what = format!(
            "it is off: whoever reaches {} may do everything, also by a proxy or a tunnel before it",
            settings.listen
        );
        Finding::warning(AUTHENTICATION, what, "set HATCH_AUTHENTICATION=required, and make keys")
    });
    certificate.into_iter().chain([proxies(settings)]).chain(open).collect()
}

fn certificate(
    read: Result<Certificate, String>,
    public_url: Option<&str>,
    now: DateTime<Utc>,
) -> Finding {
    const RENEW: &str =
        "renew it, and put it and its key into these files: hatch reads them by itself";
    let certificate = match read {
        Ok(certificate) => certificate,
        Err(why) => {
            let remedy =
                "set tls.certificate_file and tls.key_file to a pair that fits (docs/tls.md)";
            return Finding::failure(CERTIFICATE, why, remedy);
        }
    };
    let (days, end) = (certificate.days_left(now), certificate.not_after);
    if certificate.not_after <= now {
        return Finding::failure(CERTIFICATE, format!("it has expired, at {end}"), RENEW);
    }
    if now < certificate.not_before {
        let what = format!("it is not valid before {}", certificate.not_before);
        return Finding::failure(CERTIFICATE, what, "set the clocks");
    }
    let host = public_url.and_then(|url| Url::parse(url).ok()?.host_str().map(str::to_owned));
    if let Some(host) = host.filter(|host| !certificate.covers(host)) {
        let what = format!("it is not for {host}, which public_url names");
        let remedy = "have one made with that host among its subjectAltName";
        return Finding::warning(CERTIFICATE, what, remedy);
    }
    match days {
        ..ENDS_SOON_DAYS => {
            Finding::warning(CERTIFICATE, format!("it expires in {days} days"), RENEW)
        }
        _ => Finding::good(CERTIFICATE, format!("it is valid for {days} days")),
    }
}

fn proxies(settings: &Settings) -> Finding {
    if let Some((what, remedy)) = of_proxies(settings) {
        return Finding::failure(PROXIES, what, remedy);
    }
    if lacks_https(settings) {
        return Finding::warning(
            PROXIES,
            "public_url is https, and hatch has neither a certificate of its own nor a proxy that it trusts",
            "set trusted_proxies to the address of the proxy that speaks https, or all clients count as \
             that one; or set tls.certificate_file",
        );
    }
    match settings.trusted_proxies.len() {
        0 => Finding::good(PROXIES, "none is trusted: a client is who connects"),
        _ => Finding::good(PROXIES, format!("trusted: {}", settings.trusted_proxies.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use hatch_api::CertificateFiles;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_is_spoken_of_before_it_ends_and_where_it_is_anothers() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params =
            CertificateParams::new(vec!["hatch.example.com".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        let at = |name: &str| folder.path().join(name);
        let files = CertificateFiles { certificate: at("hatch.crt"), key: at("hatch.key") };
        std::fs::write(&files.certificate, made.pem()).expect("written");
        std::fs::write(&files.key, key.serialize_pem()).expect("written");
        let read = || Certificate::of(&files);
        let end = read().expect("a good pair").not_after;
        let (ours, other) = (Some("https://hatch.example.com"), Some("https://other.example.com"));
        for (url, days, start, says) in [
            (ours, 100, "ok", "valid for 100 days"),
            (None, 100, "ok", "valid for 100 days"),
            (ours, 5, "warning", "expires in 5 days"),
            (other, 100, "warning", "not for other.example.com"),
            (ours, -1, "WRONG", "has expired"),
            (ours, 10_000, "WRONG", "not valid before 2020-01-01"),
        ] {
            let line = certificate(read(), url, end - TimeDelta::days(days)).to_string();
            assert!(line.starts_with(start) && line.contains(says), "{days}: {line}");
        }
        std::fs::write(&files.key, "").expect("written");
        let line = certificate(read(), ours, end).to_string();
        assert!(line.starts_with("WRONG") && line.contains("hatch.key"), "{line}");
    }

    #[test]
    fn whoever_lets_everybody_in_is_warned_unless_it_is_for_development() {
        let settings = Settings { authentication: Authentication::Off, ..Settings::default() };
        let says = |embedded| {
            let found = check(&settings, embedded);
            found.iter().any(|finding| finding.to_string().contains("may do everything"))
        };
        assert!(says(false) && !says(true));
        assert_eq!(check(&Settings::default(), false).len(), 1, "the proxies alone");
    }

    #[test]
    fn whoever_hides_behind_no_proxy_is_warned() {
        let mut settings = Settings::default();
        assert!(proxies(&settings).to_string().starts_with("ok"));
        settings.public_url = Some("https://hatch.example.com".to_owned());
        assert!(proxies(&settings).to_string().starts_with("warning"));
        settings.trusted_proxies = vec!["10.0.0.0/8".to_owned()];
        assert!(proxies(&settings).to_string().contains("trusted: 10.0.0.0/8"));
        settings.trusted_proxies = vec!["0.0.0.0/0".to_owned()];
        assert!(proxies(&settings).to_string().starts_with("WRONG"));
    }
}
