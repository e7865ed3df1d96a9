//! One folder a resource: its commands and queries, each in a file of its own.

pub(crate) mod consent;
pub(crate) mod conversations;
