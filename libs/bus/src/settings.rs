//! How the bus is reached and laid out.

use std::fmt;

use async_nats::ServerAddr;
use serde::Deserialize;

use crate::{Access, Error};

/// How the bus is reached and laid out.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// NATS servers of one cluster, separated by commas, such as `nats://127.0.0.1:4222` or
    /// `tls://127.0.0.1:4222`. User and password, or a token as the user, may stand in it.
    pub url: String,
    /// What has to be so before a server is believed, and how it knows us.
    pub access: Access,
    /// First token of all subjects, and in upper case the start of the stream's name: lower-case
    /// letters, digits, `_` and `-`, at most 32. Installations that share a NATS account differ here.
    pub prefix: String,
    /// Copies of the stream, 1 to 5. Production wants 3.
    pub replicas: usize,
    /// What the stream may take of the disk; its oldest events go when it is full. The server
    /// reserves this much, so a value beyond its own limit is refused when the stream is created.
    pub stream_bytes_max: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            access: Access::default(),
            prefix: "hatch".to_owned(),
            replicas: 1,
            stream_bytes_max: 4 << 30,
        }
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, access, prefix, replicas, stream_bytes_max } = self;
        f.debug_struct("Settings")
            .field("access", access)
            .field("prefix", prefix)
            .field("replicas", replicas)
            .field("stream_bytes_max", stream_bytes_max)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Longest prefix.
    const PREFIX_CHARS_MAX: usize = 32;

    /// Refuses settings that cannot be used.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first of them.
    pub fn check(&self) -> Result<(), Error> {
        self.servers().map(drop)
    }

    /// Whether nothing is said to a server without TLS, whose certificate is checked then.
    #[must_use]
    pub fn requires_tls(&self) -> bool {
        self.servers().is_ok_and(|servers| self.access.requires_tls(&servers))
    }

    /// Whether all servers are on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let is_local = |server: &ServerAddr| {
            let address = server.host().parse::<std::net::IpAddr>();
            address.map_or_else(|_| server.host() == "localhost", |address| address.is_loopback())
        };
        self.servers().is_ok_and(|servers| servers.iter().all(is_local))
    }

    /// The servers, once all settings are found usable.
    pub(crate) fn servers(&self) -> Result<Vec<ServerAddr>, Error> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        let length = self.prefix.chars().count();
        if !(1..=Self::PREFIX_CHARS_MAX).contains(&length) || !self.prefix.chars().all(allowed) {
            return Err(Error::Setting {
                name: "prefix",
                reason: "expected 1 to 32 lower-case letters, digits, _ or -".to_owned(),
            });
        }
        if !(1..=5).contains(&self.replicas) {
            let reason = "expected 1 to 5".to_owned();
            return Err(Error::Setting { name: "replicas", reason });
        }
        if self.stream_bytes_max <= 0 {
            let reason = "expected more than 0".to_owned();
            return Err(Error::Setting { name: "stream_bytes_max", reason });
        }
        let servers = self.url.split(',').map(|url| url.trim().parse());
        let servers: Vec<ServerAddr> =
            servers.collect::<Result<_, std::io::Error>>().map_err(|_| Error::Setting {
                name: "url",
                // The error itself may quote a password.
                reason: "expected nats://host:port or tls://host:port".to_owned(),
            })?;
        if servers.iter().any(ServerAddr::is_websocket) {
            let reason = "expected nats://host:port or tls://host:port, not a WebSocket".to_owned();
            return Err(Error::Setting { name: "url", reason });
        }
        self.access.check(&servers)?;
        Ok(servers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: Settings) -> &'static str {
        match settings.servers() {
            Err(Error::Setting { name, .. }) => name,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_bad_setting_is_refused_by_its_name() {
        let good = Settings::default;
        assert!(good().servers().is_ok());
        for prefix in ["", "Hatch", "a.b", "a b", "a*", &"x".repeat(33)] {
            assert_eq!(refused(Settings { prefix: prefix.to_owned(), ..good() }), "prefix");
        }
        assert_eq!(refused(Settings { replicas: 0, ..good() }), "replicas");
        assert_eq!(refused(Settings { stream_bytes_max: 0, ..good() }), "stream_bytes_max");
        for url in ["nats://[", "wss://127.0.0.1"] {
            assert_eq!(refused(Settings { url: url.to_owned(), ..good() }), "url");
        }
    }

    #[test]
    fn servers_of_a_cluster_are_separated_by_commas() {
        let settings = Settings { url: "nats://a:1, nats://b:2".to_owned(), ..Settings::default() };
        let servers = settings.servers().expect("good settings");
        assert_eq!(servers.iter().map(ServerAddr::port).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn nothing_that_is_printed_says_the_password() {
        let settings =
            Settings { url: "nats://u:hunter2@127.0.0.1".to_owned(), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
