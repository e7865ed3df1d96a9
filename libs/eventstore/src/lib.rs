//! The event store: one log with gapless positions, in PostgreSQL.
//!
//! Writers hand an [`Append`] to the process' [`Appender`], which commits many of them in one
//! transaction (group commit). Readers page the log in position order ([`Log`]) or follow it
//! ([`Subscription`]). What an event means is not known here.

mod append;
mod appender;
mod archive;
mod away;
mod backoff;
mod checkpoint;
mod clock;
mod environment;
mod epoch;
mod event;
mod feed;
mod follower;
mod head;
mod locks;
mod log;
mod look;
mod position;
mod postgres;
mod rows;
pub mod schema;
mod store;
mod streams;
mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
mod transact;
mod trust;
pub mod values;
mod verify;

pub use append::{
    Append, AppendError, Appended, CommandKey, ExpectedVersion, Guard, SideRow, SideTable,
    StreamWrite,
};
pub use appender::{Appender, AppenderConfig, AppenderStats, LockHolder, Standstill, lock_holder};
pub use archive::{
    ArchiveError, ArchiveProgress, ArchiveRecord, ArchiveRequest, Archived, ArchivingError, Need,
    RemainingPartition, archive,
};
pub use away::is_away;
pub use backoff::Backoff;
pub use checkpoint::{Checkpoint, CheckpointError};
pub use clock::{OFFSET_MAX as CLOCK_OFFSET_MAX, ServerClock};
pub use environment::SystemEnvironment;
pub use epoch::{
    BusEnd, Closed, DatabasePlace, Fence, FenceState, Identity, Lifted, fence_closed_since,
    fence_state, lift_fence, report_regression,
};
pub use event::{Metadata, NewEvent, RecordedEvent};
pub use feed::{Feed, FeedPublisher};
pub use follower::{Follow, Follower, Stop};
pub use head::{AskBus, FenceConfig, HeadWatch, Hints};
pub use log::{Log, PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
pub use look::{LOOK_POSITIONS_MAX, Look, Mark};
pub use position::Position;
pub use postgres::{
    BadDatabase, Connected, Connection, ConnectionCounts, Connections, Database, Driver, Held,
    ServerRefusal, Transport, Unanswered, Verification, connect, open, pool,
};
pub use rows::{LogError, RecordedCommand, STREAM_EVENTS_MAX};
pub use schema::migrate;
pub use store::{Execute, ExecuteError, ExecuteResult, Executed, LoadError, Store};
pub use subscription::{ReadPermits, Subscription};
pub use transact::{Loaded, Streams, Transacted, UnitOfWork};
pub use trust::{BusSecrets, Secret, report_foreign};
pub use verify::{TypeInLog, Verified, VerifyError, Violation, verify};
