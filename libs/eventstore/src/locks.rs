//! The advisory locks of the log's database. Each key spells what it locks in ASCII.

/// Orders all appends to this database's log ("hatchlog").
pub(crate) const LOG_LOCK: i64 = 0x6861_7463_686c_6f67;

/// Held by the process that archives ("archive").
pub(crate) const ARCHIVE_LOCK: i64 = 0x61_7263_6869_7665;

/// Held by the process that migrates ("migrate"): two at once would both find work to do.
pub(crate) const MIGRATION_LOCK: i64 = 0x6d_6967_7261_7465;
