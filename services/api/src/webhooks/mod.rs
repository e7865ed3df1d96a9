//! What providers post to us: receipts and inbound messages.

mod account;
mod answering;
mod consent;
mod fitting;
mod interpret;
mod joining;
mod keeping;
mod log;
mod matching;
mod meaning;
mod once;
mod own;
mod ownership;
mod reading;
mod receive;
mod recent;
mod record;
mod rederive;
mod refused;
mod repeated;
mod replay;
mod returned;
mod subject;
mod summary;
mod threading;
mod verified;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodFilter, on, post};
use hatch_eventstore::Store;
use hatch_providers::{Accounts, Webhook};
use hatch_readmodel::ReadModel;
use hatch_telemetry::measure::{Counter, Family};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use account::AllTenants;
pub use consent::WordRules;
pub use keeping::{KeepRules, Keeping, Quota, keep_webhooks};
pub use matching::match_receipts;
pub use own::OwnMailboxes;
pub use reading::{Readers, ReadingStats};
pub use recent::RememberedMessages;
pub use rederive::Rederived;
pub use refused::RefusedRates;

use self::account::WebhookAccount;
use crate::admission::Intake;

/// What the webhook role needs.
#[derive(Clone)]
pub struct Webhooks {
    /// Where events go.
    pub store: Store,
    /// Finds the message of a receipt that names only the provider's id.
    pub read_model: ReadModel,
    /// Who may post: the accounts that there are.
    pub accounts: Accounts,
    /// Who may post messages as plain JSON, if anybody may.
    pub generic: Option<Arc<dyn Webhook>>,
    /// The tenants that there are.
    pub tenants: AllTenants,
    /// Counts what comes.
    pub stats: Arc<WebhookStats>,
    /// The messages that receipts were about lately.
    pub recent: Arc<RememberedMessages>,
    /// Counts those on their way into the log.
    pub intake: Intake,
    /// Read what comes.
    pub readers: Readers,
    /// What is kept of them outside the log of events.
    pub keeping: Arc<Keeping>,
    /// What is done about words that people write.
    pub words: Arc<WordRules>,
    /// Which mailboxes are ours.
    pub own: Arc<OwnMailboxes>,
}

/// What the webhook role has taken since it started.
#[derive(Debug, Default)]
pub struct WebhookStats {
    /// What webhooks said, by provider and what was made of it.
    pub observations: Family<(&'static str, &'static str), Counter>,
    /// Words that got no answer because they had theirs lately, by the word.
    pub unanswered: Family<&'static str, Counter>,
    /// What was left out of mails because it was beyond a limit, by what it is.
    pub cut: Family<String, Counter>,
    /// How reading them goes.
    pub reading: Arc<ReadingStats>,
    /// Those that their provider has not signed, by path and reason.
    pub refused: Family<(String, &'static str), Counter>,
    /// Those of them that are kept, by path.
    pub refused_kept: Family<String, Counter>,
}

/// The path, and the provider, of webhooks that no provider signs.
pub(crate) const GENERIC: &str = "generic";

/// The endpoints of the webhook role.
pub fn router(webhooks: Webhooks) -> Router {
    Router::from(routes()).with_state(Arc::new(webhooks))
}

/// The methods beside POST by which a provider may come, where its webhook takes them.
const OTHER_METHODS: MethodFilter = MethodFilter::GET
    .or(MethodFilter::HEAD)
    .or(MethodFilter::PUT)
    .or(MethodFilter::PATCH)
    .or(MethodFilter::DELETE)
    .or(MethodFilter::OPTIONS);

pub(crate) fn routes() -> OpenApiRouter<Arc<Webhooks>> {
    OpenApiRouter::new()
        .routes(routes!(receive::handler))
        .routes(routes!(receive::inbound_handler))
        .routes(routes!(receive::account_handler))
        .routes(routes!(receive::account_inbound_handler))
        .routes(routes!(replay::handler))
        .routes(routes!(receive::generic_handler))
        .route("/api/webhooks/email", post(receive::generic_handler))
        .route("/api/v1/webhooks/{provider}", on(OTHER_METHODS, receive::handler))
        .route("/api/v1/webhooks/{provider}/inbound", on(OTHER_METHODS, receive::inbound_handler))
        .route("/api/v1/webhooks/{provider}/{account}", on(OTHER_METHODS, receive::account_handler))
        .route(
            "/api/v1/webhooks/{provider}/{account}/inbound",
            on(OTHER_METHODS, receive::account_inbound_handler),
        )
}
