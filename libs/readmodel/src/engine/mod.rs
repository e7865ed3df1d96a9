//! What every projection has in common: it follows the log with a checkpoint of its own, and its tables can
//! be built anew and compared with the log. The engine knows a projection by its [`Definition`] and its
//! tables by what PostgreSQL's catalog says of them.

mod bulk;
mod catalog;
pub(crate) mod checkpoints;
mod definition;
mod fact;
mod fill;
mod projection;
pub(crate) mod rebuild;
mod replica;
mod session;
mod stretch;
mod table;
mod tables;
mod verify;

pub use bulk::RebuildProgress;
pub use checkpoints::slowest_moving;
pub use definition::{Definition, Projections};
pub(crate) use definition::{Half, Parallel, WriteContext, Writer};
pub(crate) use fact::{Fact, begun_before, facts};
pub use projection::{Origin, Projection};
pub use rebuild::rebuild;
pub(crate) use table::{Column, Role, Table, table};
pub use verify::{Comparison, RowSample, VerificationReport, verify};
