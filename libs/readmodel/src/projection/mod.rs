//! The write side: pages of the log become rows.

mod conversation;
mod fold;
mod message;
mod store;

pub use conversation::{LastMessage, PREVIEW_CHARACTERS_MAX};
pub use message::{Direction, contact_id};
#[cfg(test)]
mod tests;
