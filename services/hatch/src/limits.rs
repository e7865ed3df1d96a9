//! How much of this process clients may take.

use hatch_api::{Connections, TrustedProxies};
use hatch_telemetry::limit::Limits;

use crate::files::Files;
use crate::settings::LimitSettings;

/// Connections at most, however many files there may be.
const CONNECTIONS_MAX: u64 = 10_000;

/// Files that are kept for PostgreSQL, NATS, providers, the simulator and what is read and written: half of all,
/// within these bounds.
const RESERVE_MIN: u64 = 96;
const RESERVE_MAX: u64 = 2_048;

/// Of the files, the part that connections to the simulator may take.
#[cfg(feature = "dev")]
const BESIDE_SHARE: u64 = 8;
#[cfg(feature = "dev")]
const BESIDE_MAX: u64 = 1_024;

/// Connections that there are in any case.
const CONNECTIONS_MIN: u64 = 16;

/// The places for connections, each of which takes `files_each` files.
pub(crate) fn connections(
    settings: &LimitSettings,
    limits: &Limits,
    files_each: u64,
    trusted_proxies: TrustedProxies,
) -> Connections {
    let files_max = files_max();
    let max = connections_max(files_max, files_each);
    let max = settings.connections_max.map_or(max, |set| set.min(max)).max(1);
    Connections::new(limits, max, files_max, trusted_proxies)
}

/// The places for connections to what runs beside the API, of which most are our own.
#[cfg(feature = "dev")]
pub(crate) fn beside() -> Connections {
    let files_max = files_max();
    let max = (files_max / BESIDE_SHARE).clamp(CONNECTIONS_MIN, BESIDE_MAX);
    Connections::new(&Limits::default(), max, files_max, TrustedProxies::loopback())
}

/// Where the system does not tell, it has no limit.
fn files_max() -> u64 {
    Files::allowed().map_or(u64::MAX, |files| files.soft)
}

/// How many connections of `files_each` files leave enough of `files_max` to the rest.
fn connections_max(files_max: u64, files_each: u64) -> u64 {
    let reserve = (files_max / 2).clamp(RESERVE_MIN, RESERVE_MAX);
    (files_max.saturating_sub(reserve) / files_each).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_left_for_our_own_needs() {
        let cases =
            [(64, 1, 16), (256, 1, 128), (1_024, 1, 512), (1_024, 2, 256), (8_192, 1, 6_144)];
        for (files, each, connections) in cases {
            assert_eq!(connections_max(files, each), connections, "{files} files");
        }
        assert_eq!(connections_max(u64::MAX, 1), CONNECTIONS_MAX);
    }
}
