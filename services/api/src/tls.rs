//! TLS of our own listener: a certificate and its key from files, which are read again when they change.

mod certificate;
mod handshakes;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::Environment;
use hatch_telemetry::limit::Limits;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use self::certificate::{Certificate, CertificateFiles};
use self::certificate::{Pair, Stamp};
use self::handshakes::Handshakes;
use crate::connections::Activity;
use crate::problem::Problem;
use crate::refusal::Refusals;
use crate::wire::Wire;

/// How long a client may take from its connection to the end of its handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long before its end `/ready` speaks of a certificate.
const ENDS_SOON: TimeDelta = TimeDelta::days(7);

/// The first byte of a handshake, as a record of TLS has it (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// What its first bytes say.
    Either,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// TLS with the certificate of some files; cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<State>);

struct State {
    files: CertificateFiles,
    config: Arc<ServerConfig>,
    shown: Arc<Shown>,
    /// What the files were like just before they were read first.
    opened: Option<Stamp>,
    clock: Arc<dyn Environment>,
    handshakes: Handshakes,
    handshake_max: Duration,
    /// Why the files are not believed, where they are not.
    trouble: Mutex<Option<String>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.0.files).finish_non_exhaustive()
    }
}

/// The pair that clients are shown.
#[derive(Debug)]
struct Shown(RwLock<Pair>);

impl Shown {
    fn pair(&self) -> Pair {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair().key)
    }
}

/// What the files were like that were looked at last.
#[derive(Debug, Default)]
struct Seen {
    /// Those that are in use.
    loaded: Option<Stamp>,
    /// Those that cannot be used, and whether that was said: a pair is renewed one file after the other.
    refused: Option<(Stamp, bool)>,
}

impl Tls {
    /// Reads `files`. It goes on with what they say from now on only where somebody [`watch`](Self::watch)es them.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn open(
        files: CertificateFiles,
        clock: Arc<dyn Environment>,
        limits: &Limits,
    ) -> Result<Self, String> {
        Self::open_with(files, clock, limits, HANDSHAKE_MAX)
    }

    fn open_with(
        files: CertificateFiles,
        clock: Arc<dyn Environment>,
        limits: &Limits,
        handshake_max: Duration,
    ) -> Result<Self, String> {
        let opened = Stamp::of(&files);
        let pair = Pair::read(&files)?;
        let ended = ended(&pair.certificate, clock.now());
        if let Some(ended) = &ended {
            // Whoever verifies it refuses it by himself, and who does not shall be served.
            tracing::error!("{ended}");
        }
        let shown = Arc::new(Shown(RwLock::new(pair)));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let resolver = Arc::clone(&shown) as Arc<dyn ResolvesServerCert>;
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(State {
            files,
            config: Arc::new(config),
            shown,
            opened,
            clock,
            handshakes: Handshakes::new(limits),
            handshake_max,
            trouble: Mutex::new(None),
        })))
    }

    /// The certificate that clients are shown.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.0.shown.pair().certificate
    }

    /// What is wrong with it, or will be within a week.
    ///
    /// # Errors
    /// That.
    pub fn standing(&self) -> Result<(), String> {
        let trouble = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (certificate, now) = (self.certificate(), self.0.clock.now());
        if let Some(why) = trouble.or_else(|| ended(&certificate, now)) {
            return Err(why);
        }
        if certificate.not_after - now < ENDS_SOON {
            let days = certificate.days_left(now);
            return Err(format!("the certificate of the listener expires in {days} days"));
        }
        Ok(())
    }

    /// Reads the files again whenever they change, until `shutdown`. Connections go on with what they began with.
    pub async fn watch(self, shutdown: CancellationToken) {
        let mut seen = self.unwatched();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                _ = looks.tick() => {}
            }
            let tls = self.clone();
            // Files may lie on a disk that does not answer.
            let looked = tokio::task::spawn_blocking(move || {
                tls.look(&mut seen);
                seen
            });
            let Ok(looked) = looked.await else { return };
            seen = looked;
        }
    }

    /// What was seen where nobody has watched yet: what was changed since the files were read is new.
    fn unwatched(&self) -> Seen {
        Seen { loaded: self.0.opened, refused: None }
    }

    fn look(&self, seen: &mut Seen) {
        let stamp = Stamp::of(&self.0.files);
        if stamp.is_some() && stamp == seen.loaded {
            seen.refused = None;
            self.is_in_trouble(None);
            return;
        }
        let stamp = stamp.unwrap_or_default();
        let why = match Pair::read(&self.0.files) {
            Ok(pair) => match self.worse(&pair.certificate) {
                None => {
                    tracing::info!(
                        not_after = %pair.certificate.not_after,
                        "the listener has a new certificate"
                    );
                    *self.0.shown.0.write().unwrap_or_else(PoisonError::into_inner) = pair;
                    *seen = Seen { loaded: Some(stamp), refused: None };
                    self.is_in_trouble(None);
                    return;
                }
                Some(why) => why,
            },
            Err(why) => why,
        };
        match &mut seen.refused {
            Some((refused, said)) if *refused == stamp => {
                if !*said {
                    let why = format!("{why}: the one before stays in use");
                    tracing::error!("{why}");
                    self.is_in_trouble(Some(why));
                    *said = true;
                }
            }
            refused => *refused = Some((stamp, false)),
        }
    }

    fn is_in_trouble(&self, why: Option<String>) {
        *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Why a new certificate is worse than the one in use.
    fn worse(&self, new: &Certificate) -> Option<String> {
        let now = self.0.clock.now();
        let is_good = ended(&self.certificate(), now).is_none();
        ended(new, now).filter(|_| is_good)
    }

    /// Comes to terms with the client of `stream`, or tells it why not. A proxy is no client, but many.
    pub(crate) async fn shake_hands(
        &self,
        stream: TcpStream,
        activity: &Activity,
        (client, refusals): (Option<IpAddr>, &Refusals),
    ) -> Option<(Wire, Protocol)> {
        let turn = self.0.handshakes.begin(client)?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.0.config));
        let shaking = async {
            let mut first = [0];
            match stream.peek(&mut first).await {
                Ok(1) if first[0] == HANDSHAKE_RECORD => acceptor.accept(stream).await.ok(),
                Ok(1) if first[0].is_ascii_uppercase() => {
                    // It speaks HTTP in the clear, and understands such an answer. One that does not listen loses it.
                    let _ = refusals.tell(stream, Problem::https_required()).await;
                    None
                }
                _ => None,
            }
        };
        let shaken = tokio::select! {
            biased;
            () = turn.taken_away() => None,
            () = activity.closes() => None,
            shaken = timeout(self.0.handshake_max, shaking) => shaken.ok().flatten(),
        };
        let stream = shaken?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(name) if name == b"h2" => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Some((Wire::Tls(Box::new(stream)), protocol))
    }
}

/// That a certificate is not valid at `now`, where it is not.
fn ended(certificate: &Certificate, now: DateTime<Utc>) -> Option<String> {
    let Certificate { not_before, not_after, .. } = certificate;
    if *not_after <= now {
        return Some(format!("the certificate of the listener has expired, at {not_after}"));
    }
    (now < *not_before).then(|| {
        format!("the certificate of the listener is not valid before {not_before}: set the clocks")
    })
}

#[cfg(test)]
mod tests;
