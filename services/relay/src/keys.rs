//! The keys of the bus, from the secrets of the log.

use hatch_bus::{Key, Keys};
use hatch_eventstore::BusSecrets;

/// The keys by which messages of the bus are believed.
#[must_use]
pub fn keys(secrets: &BusSecrets) -> Keys {
    Keys {
        epoch: Key::new(secrets.epoch.bytes()),
        generation: secrets
            .generation
            .as_ref()
            .map(|(generation, secret)| (*generation, Key::new(secret.bytes()))),
    }
}
