//! Secrets that hatch has to read again, such as the credentials of a provider account: how they are kept.
//!
//! Each secret is sealed with a data key of its own (AES-256-GCM), and the data key with the installation's master key,
//! which is in a file or the environment and nowhere else. So a change of the master key writes the small data keys
//! anew and leaves the secrets sealed as they are. Two master keys count at a time, each known by its id.
//!
//! Both layers are bound to the [`Place`] of the secret: put anywhere else, it does not open.

mod aead;
mod keyring;
mod master;
#[cfg(test)]
mod tests;

pub use hatch_domain::sealed::Sealed;

pub use self::keyring::{Keyring, OpenError, Opened, Place, SealError};
pub use self::master::{BadMasterKey, MasterKey};
