//! How a database is reached.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslMode as Known, SslNegotiation};

use super::parameters::Parameters;
use super::security::{PARAMETERS, Security, SslMode};
use super::{ServerRefusal, Verification};

/// How a database is reached: its servers, the user, and what has to be so before a server is believed.
///
/// It is read from a `postgres://` URL or from `key=value` pairs, with the parameters of libpq about TLS
/// and authentication: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `channel_binding`, `require_auth`.
/// Other than with libpq, a password is given by SCRAM alone where `require_auth` is not set, and no file
/// is looked for in the home folder.
#[derive(Debug, Clone)]
pub struct Database {
    pub(super) config: Config,
    pub(super) security: Arc<Security>,
}

/// Why a connection string cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadDatabase {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] tokio_postgres::Error),
    /// What it says about TLS or authentication cannot be.
    #[error(transparent)]
    Security(#[from] ServerRefusal),
}

impl Database {
    /// How far the server has to prove who it is, where TLS is used.
    #[must_use]
    pub fn verification(&self) -> Verification {
        self.security.verification()
    }
}

impl FromStr for Database {
    type Err = BadDatabase;

    fn from_str(text: &str) -> Result<Self, BadDatabase> {
        let Parameters { rest, taken } = Parameters::take(text, &PARAMETERS);
        let config: Config = rest.parse()?;
        if config.get_hosts().iter().any(is_no_host) {
            let what = "a host: expected a name or an address; in a password @ is written %40";
            return Err(ServerRefusal::new(what).into());
        }
        let security = Security::parse(&taken)?;
        if config.get_ssl_negotiation() != SslNegotiation::Postgres {
            return Err(ServerRefusal::new("sslnegotiation: expected postgres").into());
        }
        if security.mode == SslMode::Disable
            && config.get_channel_binding() == ChannelBinding::Require
        {
            return Err(ServerRefusal::new(
                "channel_binding=require: expected sslmode=require, verify-ca or verify-full with it",
            )
            .into());
        }
        // A file that cannot be used is said at once, and not by the first connection.
        security.client_config()?;
        Ok(Self { config, security: Arc::new(security) })
    }
}

/// Whether it is rather the end of a password, which an `@` of its own seems to have ended.
fn is_no_host(host: &Host) -> bool {
    matches!(host, Host::Tcp(name) if name.contains('@'))
}

impl From<Config> for Database {
    /// With what a connection string says that says nothing about TLS but `sslmode`.
    fn from(config: Config) -> Self {
        let mode = match config.get_ssl_mode() {
            Known::Disable => SslMode::Disable,
            Known::Require => SslMode::Require,
            _ => SslMode::Prefer,
        };
        Self { config, security: Arc::new(Security::of_mode(mode)) }
    }
}

impl Deref for Database {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl DerefMut for Database {
    fn deref_mut(&mut self) -> &mut Config {
        &mut self.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = text.parse::<Database>().expect_err(text);
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    }

    #[test]
    fn a_connection_string_says_how_far_a_server_is_believed() {
        let plain: Database = "postgres://u:p@h/d".parse().expect("a URL");
        assert_eq!(plain.verification(), Verification::None);
        let full: Database =
            "host=h user=u sslrootcert=system application_name=x".parse().expect("pairs");
        assert_eq!(full.verification(), Verification::Full);
        assert_eq!(full.get_application_name(), Some("x"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, name) in [
            ("postgres://h/d?sslmod=require", "sslmod"),
            ("postgres://h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.crt", "sslrootcert"),
            ("host=h sslcert=/nowhere/a sslkey=/nowhere/b", "sslcert"),
            ("host=h sslmode=disable channel_binding=require", "channel_binding"),
            ("host=h sslmode=require sslnegotiation=direct", "sslnegotiation"),
            ("host=h channel_binding=maybe", "channel_binding"),
        ] {
            assert!(refused(text).contains(name), "{}", refused(text));
        }
    }

    #[test]
    fn the_end_of_a_password_is_no_host() {
        for text in ["postgres://u:hun@ter2@h/d", "postgres://u:hun@ter2@h:1,i/d"] {
            let refused = refused(text);
            assert!(refused.contains("%40") && !refused.contains("ter2"), "{refused}");
        }
        "postgres://u:hun%40ter2@h/d".parse::<Database>().expect("a URL");
    }

    #[test]
    fn nothing_that_is_printed_says_the_password() {
        let database: Database = "postgres://u:hunter2@h/d?sslmode=require".parse().expect("a URL");
        assert!(!format!("{database:?}").contains("hunter2"));
    }
}
