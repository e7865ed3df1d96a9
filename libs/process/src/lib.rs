//! What every program of hatch does with the system: it ends on a signal or with its parent, keeps
//! children running, prints to a terminal, and finds the `hatch up` of a folder.

mod children;
mod occupant;
mod parent;
mod running;
mod signals;
pub mod terminal;

pub use children::{Program, Supervised, is_alive, signal};
pub use occupant::is_hatch;
pub use parent::{EXIT_WITH_PARENT, stop_with_parent};
pub use running::Servers;
pub use signals::{
    StopSignals, stop_on_signal, stop_or_read_again, stop_with_terminal_or_read_again,
};
