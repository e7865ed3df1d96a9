//! Routes: which messages are for which accounts.

mod reach;

pub use self::reach::{BadReach, Reach, Weighted};
