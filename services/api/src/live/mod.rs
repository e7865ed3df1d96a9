//! What happens, as it happens: the log as Server-Sent Events.
//!
//! Each stream is a [`Subscription`](hatch_eventstore::Subscription) of its own on the feed that the
//! process shares. It is read only as fast as its client reads: a slow one misses the feed, is paged
//! from the log, and costs no memory that grows. One that takes nothing at all is cut off by the
//! listener ([`serve`](crate::serve)).

mod filter;
mod get_event;
mod stream;
mod stream_slots;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use hatch_eventstore::{Feed, HeadWatch, Log, ReadPermits};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use stream_slots::StreamSlots;

/// Streams that read the log at a time, which is what a stream does until it has caught up: a quarter of the connections to
/// PostgreSQL, so that the others are everybody else's. A stream has one page in memory.
const READERS_MAX: usize = 4;
const PAGE_BYTES_MAX: usize = 256 * 1024;

/// What the live feed needs.
#[derive(Clone)]
pub struct Live {
    /// Where events are, and all that the feed does not bring.
    pub log: Log,
    /// The log's head.
    pub head: HeadWatch,
    /// Live events, where this process reads them.
    pub feed: Option<Feed>,
    /// For those who follow.
    pub slots: StreamSlots,
    /// Ends every stream.
    pub shutdown: CancellationToken,
    /// For those that have not caught up.
    pub turns: CatchingUp,
}

/// Which streams read the log, and which wait to.
#[derive(Debug, Clone)]
pub struct CatchingUp(ReadPermits);

impl Default for CatchingUp {
    fn default() -> Self {
        Self(ReadPermits::new(READERS_MAX, PAGE_BYTES_MAX))
    }
}

/// The endpoints of the live feed.
pub fn router(live: Live) -> Router {
    Router::from(routes()).with_state(Arc::new(live))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<Live>> {
    OpenApiRouter::new()
        .routes(routes!(stream::handler))
        .route("/api/events", get(stream::handler))
        .routes(routes!(get_event::handler))
}
