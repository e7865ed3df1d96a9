//! Whether an error says no more than that PostgreSQL is away: the one who watches the head logs that once, so that
//! nobody else has to.

use std::error::Error;
use std::io;

/// Codes of a server that ends or begins (SQLSTATE class 57).
const ENDING: [&str; 3] = ["57P01", "57P02", "57P03"];

/// Connections that are lost or refused have codes that begin so.
const CONNECTION: &str = "08";

/// Whether PostgreSQL could not be reached, or went away meanwhile.
#[must_use]
pub fn is_away(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|cause| {
        cause.is::<io::Error>()
            || cause.downcast_ref::<tokio_postgres::Error>().is_some_and(|error| {
                let code = error.code().map(tokio_postgres::error::SqlState::code);
                error.is_closed()
                    || code
                        .is_some_and(|code| ENDING.contains(&code) || code.starts_with(CONNECTION))
            })
    })
}

/// Logs a failure at that level, and at debug where `$error` says no more than that PostgreSQL is away.
#[macro_export]
macro_rules! log_unless_away {
    ($level:ident, $error:expr, $($line:tt)+) => {
        if $crate::is_away($error) {
            tracing::debug!($($line)+);
        } else {
            tracing::$level!($($line)+);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogError, Unanswered};

    #[test]
    fn a_connection_that_is_refused_is_found_below_whatever_says_it() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(is_away(&LogError::Unavailable(Some(refused().into()))));
        assert!(!is_away(&LogError::Unavailable(None)));
        assert!(!is_away(&Unanswered::Silent(std::time::Duration::from_secs(1))));
    }
}
