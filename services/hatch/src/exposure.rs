//! What stands between clients and a process, as far as its settings say.

use hatch_api::is_secure;

use crate::settings::Settings;

/// What is wrong with the proxies that are trusted, and what to do about it.
pub(crate) fn of_proxies(settings: &Settings) -> Option<(&'static str, &'static str)> {
    let all = settings.trusted_proxies.iter().any(|network| network.trim().ends_with("/0"));
    all.then_some((
        "everybody is a trusted proxy, so that every client may say whose address it has",
        "set trusted_proxies to the addresses of your proxies alone",
    ))
}

/// Whether clients come by https, as the public URL says, through nothing that could speak it: neither has the process
/// a certificate, nor does it know of a proxy.
pub(crate) fn lacks_https(settings: &Settings) -> bool {
    let is_secure = settings.public_url.as_deref().is_some_and(is_secure);
    is_secure && settings.tls.certificate_file.is_none() && settings.trusted_proxies.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_trusts_everybody_and_whoever_has_no_https_is_told() {
        let mut settings = Settings::default();
        assert!(of_proxies(&settings).is_none() && !lacks_https(&settings));
        settings.public_url = Some("https://hatch.example.com".to_owned());
        assert!(lacks_https(&settings));
        settings.public_url = Some("HTTPS://hatch.example.com".to_owned());
        assert!(lacks_https(&settings));
        settings.trusted_proxies = vec!["10.0.0.0/8".to_owned()];
        assert!(of_proxies(&settings).is_none() && !lacks_https(&settings));
        settings.trusted_proxies.push("::/0".to_owned());
        assert!(of_proxies(&settings).is_some());
    }
}
