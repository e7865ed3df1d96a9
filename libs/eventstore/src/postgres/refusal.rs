//! Why a server is not believed, in a sentence that says what to do.

use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// Why a server is not believed, in a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ServerRefusal(String);

impl ServerRefusal {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    pub(super) fn of_server(self, server: &str) -> Self {
        Self(format!("{server}: {}", self.0))
    }

    /// The refusal that `error` is, or comes from.
    #[must_use]
    pub fn cause_of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let wrapped = wrapped.and_then(|wrapped| wrapped.downcast_ref::<Self>());
            error.downcast_ref::<Self>().or(wrapped)
        })
    }

    /// `error` in words, where it is TLS's.
    pub(super) fn of_tls(error: io::Error, server: &str) -> io::Error {
        let Some(tls) = error.get_ref().and_then(|error| error.downcast_ref::<TlsError>()) else {
            return error;
        };
        io::Error::new(error.kind(), Self(format!("{server}: {}", in_words(tls))))
    }
}

/// What went wrong, and what to do about it.
fn in_words(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(error) => of_certificate(error),
        TlsError::AlertReceived(alert) if is_about_our_certificate(*alert) => format!(
            "it does not take our certificate ({alert:?}): set sslcert and sslkey in database_url to one \
             that a CA of its ssl_ca_file signed and that is valid"
        ),
        TlsError::AlertReceived(alert) => {
            format!("it ended the TLS handshake ({alert:?}): its own log says why")
        }
        other => format!("the TLS handshake failed: {other}"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by nobody that is trusted: set \
             sslrootcert in database_url to the file of the CA that signed it"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            format!(
                "its certificate is for {names}, and not for {}: connect to it by that name, or have one \
                 made with this one among its subjectAltNames",
                expected.to_str()
            )
        }
        CertificateError::NotValidForName => {
            "its certificate is for another name: connect to it by that \
             name, or have one made with this one among its subjectAltNames"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired: renew it on the server ({error})")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet: set the clocks of both machines ({error})")
        }
        CertificateError::Other(reason) => format!(
            "its certificate cannot be used ({:?}): have one made for a server, or, if it signed itself, set \
             sslrootcert in database_url to its own file",
            reason.0
        ),
        other => format!("its certificate cannot be used: {other}"),
    }
}

/// A name as it stands in a certificate, of one such as `DnsName("db.example")`.
fn bare(presented: &str) -> &str {
    let inside = presented.split_once('(').map_or(presented, |(_, inside)| inside);
    inside.trim_end_matches(')').trim_matches('"')
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;

    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::NoCertificate
    )
}
