//! What clients ask for. Every 2xx here is a committed event.

mod idempotency;
mod send_message;
mod send_request;

use axum::Router;
use axum::routing::post;
use hatch_domain::address::Address;
use hatch_eventstore::Store;

/// What the command role needs.
#[derive(Clone)]
pub struct Commands {
    /// Where events go.
    pub store: Store,
    /// The sender of an SMS that names none.
    pub default_sms_sender: Option<Address>,
}

/// The endpoints of the command role.
pub fn router(commands: Commands) -> Router {
    Router::new()
        .route("/api/v1/messages", post(send_message::handler))
        .route("/api/v1/messages/send", post(send_message::handler))
        .with_state(commands)
}
