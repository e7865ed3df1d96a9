//! Secrets that hatch has to read again, such as the credentials of a provider account: how they are kept.
//!
//! Each secret is sealed with a data key of its own (AES-256-GCM), and the data key with the installation's master key,
//! which is in a file or the environment and nowhere else. So a change of the master key writes the small data keys
//! anew and leaves the secrets sealed as they are. Two master keys count at a time, each known by its id.
//!
//! Both layers are bound to the [`Place`] of the secret: put anywhere else, it does not open.
//!
//! A [`Sealer`] makes the same boxes with a key of other settings, for what is kept by nobody here.

mod aead;
mod keyring;
mod master;
mod sealer;
#[cfg(test)]
mod tests;

pub use hatch_domain::sealed::Sealed;

pub use self::keyring::{Keyring, OpenError, Opened, Place, SealError};
pub use self::master::{BadMasterKey, MasterKey};
pub use self::sealer::Sealer;
