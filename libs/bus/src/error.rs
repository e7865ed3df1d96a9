//! Why the bus could not do something.

/// Why the bus could not do something. All of them may pass: the caller tries again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used; the only one that does not pass.
    #[error("use the bus setting {name}: {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What was expected.
        reason: String,
    },
    /// There is no connection to a NATS server at the moment.
    #[error("reach NATS: not connected")]
    Disconnected,
    /// The server is one that hatch must not use.
    #[error("use the NATS server: {0}")]
    ServerRefused(String),
    /// No generation of the stream exists yet, or it was deleted.
    #[error("find the event stream: none exists")]
    NoStream,
    /// The stream is of a generation that the log does not know, or not yet.
    #[error("use the event stream: generation {0} is not the one on record")]
    NotOnRecord(i32),
    /// A stream that is not hatch's takes its subjects.
    #[error("use the event stream: stream {0} takes its subjects; delete it or set another prefix")]
    ForeignStream(String),
    /// A request to JetStream failed.
    #[error("{what}")]
    Request {
        /// What was to be done.
        what: &'static str,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An event was not stored, and with it none of the window that came after it.
    #[error("publish the event at position {position}")]
    Publish {
        /// The first position that is not known to be stored.
        position: i64,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server stored an event under another sequence than its position.
    #[error("publish the event at position {position}: it was stored at sequence {sequence}")]
    Misplaced {
        /// The event's position.
        position: i64,
        /// Where it was stored.
        sequence: u64,
    },
    /// Where a work queue begins cannot be told at the moment.
    #[error("create a work queue: where it begins cannot be told")]
    NoBeginning,
    /// The server stopped answering a consumer.
    #[error("read the event stream: no heartbeat")]
    Silent,
    /// The server ended a consumer.
    #[error("read the event stream: {0}")]
    Ended(String),
}

impl Error {
    pub(crate) fn request<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Request { what, source: Box::new(source) }
    }
}
