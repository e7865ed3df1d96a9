//! What providers post to us: receipts and inbound messages.

mod log;
mod receive;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use hatch_domain::ids::TenantId;
use hatch_eventstore::Store;
use hatch_providers::Webhook;
use hatch_readmodel::ReadModel;

/// What the webhook role needs.
#[derive(Clone)]
pub struct Webhooks {
    /// Where events go.
    pub store: Store,
    /// Finds the message of a receipt that names only the provider's id.
    pub read_model: ReadModel,
    /// Who may post.
    pub accounts: Vec<Account>,
}

/// A provider account that posts webhooks to us.
#[derive(Clone)]
pub struct Account {
    /// Whose account it is.
    pub tenant_id: TenantId,
    /// The provider, as the path names it: `twilio`.
    pub provider: &'static str,
    /// Our code for it.
    pub webhook: Arc<dyn Webhook>,
}

/// The endpoints of the webhook role.
pub fn router(webhooks: Webhooks) -> Router {
    Router::new()
        .route("/api/v1/webhooks/{provider}", post(receive::handler))
        .with_state(Arc::new(webhooks))
}
