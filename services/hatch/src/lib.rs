//! hatch: the one binary.

pub mod embedded;
pub mod supervise;
pub mod up;
pub mod with_servers;
