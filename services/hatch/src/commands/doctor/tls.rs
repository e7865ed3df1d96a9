//! Whether others can read or change what is said to PostgreSQL and NATS.

use hatch_eventstore::{Verification, connect};

use super::database::Reached;
use super::finding::Finding;
use crate::roles::postgres;
use crate::settings::Settings;

/// A description of the connection, and the remedy if it is not secure.
type LinkSecurity = (&'static str, Option<&'static str>);

/// Looks at the ways to both; one that leads nowhere beyond this machine is closed.
pub(super) async fn check(settings: &Settings, reached: &Reached) -> anyhow::Result<Finding> {
    const CHECK: &str = "tls";
    if let Err(why) = reached {
        return Ok(Finding::not_checked(CHECK, why));
    }
    let connected = connect(&postgres(settings)?).await?;
    let (to_postgres, first) =
        of_postgres(&connected.transport(), postgres(settings)?.verification());
    let Ok(bus) = settings.bus() else {
        return Ok(Finding::not_checked(CHECK, "NATS is not known"));
    };
    let (to_nats, second) = of_nats(bus.is_local(), bus.requires_tls());
    let what = format!("PostgreSQL: {to_postgres}; NATS: {to_nats}");
    let remedies: Vec<&str> = first.into_iter().chain(second).collect();
    Ok(match remedies.is_empty() {
        true => Finding::good(CHECK, what),
        false => Finding::warning(CHECK, what, format!("{} (docs/tls.md)", remedies.join("; "))),
    })
}

fn of_postgres(
    transport: &hatch_eventstore::Transport,
    verification: Verification,
) -> LinkSecurity {
    const REMEDY: &str = "set sslmode=verify-full and sslrootcert in database_url";
    match (transport.is_encrypted, verification) {
        (true, Verification::Full) => ("encrypted, the server verified by its name", None),
        (true, Verification::Ca) => ("encrypted, the server verified by its CA", None),
        _ if transport.is_local => ("within this machine", None),
        (true, Verification::None) => {
            ("encrypted, but anybody may pose as the server", Some(REMEDY))
        }
        (false, _) => ("not encrypted", Some(REMEDY)),
    }
}

const fn of_nats(is_local: bool, requires_tls: bool) -> LinkSecurity {
    match (requires_tls, is_local) {
        (true, _) => ("encrypted, the server verified by its name", None),
        (false, true) => ("within this machine", None),
        (false, false) => {
            ("no encryption is required", Some("set tls:// in nats_url, and nats.ca_file"))
        }
    }
}

#[cfg(test)]
mod tests {
    use hatch_eventstore::Transport;

    use super::*;

    #[test]
    fn what_leads_beyond_this_machine_is_to_be_encrypted_and_verified() {
        let way = |is_local, is_encrypted, verification| {
            of_postgres(&Transport { is_local, is_encrypted }, verification).1.is_none()
        };
        assert!(way(false, true, Verification::Full) && way(false, true, Verification::Ca));
        assert!(way(true, false, Verification::None) && way(true, true, Verification::None));
        assert!(!way(false, true, Verification::None) && !way(false, false, Verification::Full));
        assert!(of_nats(true, false).1.is_none() && of_nats(false, true).1.is_none());
        assert!(of_nats(false, false).1.is_some());
    }
}
