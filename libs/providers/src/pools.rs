//! The pools of senders that there are.

use hatch_routing::PoolTable;
use tokio::sync::watch;

/// A handle to the pools that there are now. Its copies are one.
#[derive(Debug, Clone)]
pub struct Pools(watch::Sender<PoolTable>);

impl Default for Pools {
    fn default() -> Self {
        Self::new(PoolTable::default())
    }
}

impl Pools {
    /// A handle to these pools.
    #[must_use]
    pub fn new(table: PoolTable) -> Self {
        Self(watch::Sender::new(table))
    }

    /// Those that there are now.
    #[must_use]
    pub fn current(&self) -> PoolTable {
        self.0.borrow().clone()
    }

    /// From now on there are these, and no others.
    pub fn replace(&self, table: PoolTable) {
        self.0.send_replace(table);
    }
}
