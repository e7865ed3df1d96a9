//! `hatch up` and what belongs to it: everything on one machine, for development.
//!
//! The product is handed in as an [`up::Application`], so that it needs nothing of this crate and can be
//! built without it.

pub mod demo;
mod front;
pub mod simulator;
pub mod up;

pub use front::Names;
