//! Receipts that are posted one by one: when each is due, and again after a restart.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::behaviour::Receipt;
use crate::delivery::Callback;
use crate::record::Message;
use crate::server::Simulator;

/// A provider that posts a request for each receipt.
pub(crate) trait Told: Send + Sync + 'static {
    /// Whom there are receipts about, and which, in the order in which they are posted.
    fn fates<'m>(&self, message: &'m Message) -> Vec<(&'m str, &'static [Receipt])>;

    /// The signed request to `callback`; `None` when the message's account is not configured any more.
    fn request(
        &self,
        simulator: &Simulator,
        message: &Message,
        callback: &str,
        told: (&str, Receipt),
    ) -> Option<Callback>;
}

/// Posts the receipts of a message as they become due, one after the other. `place` is held until the last of them was
/// taken or given up.
pub(crate) fn begin<P: Told>(
    provider: &Arc<P>,
    simulator: &Arc<Simulator>,
    message: Arc<Message>,
    callback: String,
    place: OwnedSemaphorePermit,
) {
    let (provider, shared) = (Arc::clone(provider), Arc::clone(simulator));
    simulator.delivery.run(async move {
        deliver(&*provider, &shared, &message, &callback).await;
        shared.record.settle(&message);
        drop(place);
    });
}

/// Begins again with the receipts of a message that was accepted before a restart.
pub(crate) fn resume<P: Told>(
    provider: &Arc<P>,
    simulator: &Arc<Simulator>,
    message: Arc<Message>,
    callback: String,
) {
    match simulator.delivery.reserve() {
        Some(place) => begin(provider, simulator, message, callback, place),
        None => tracing::warn!("too many receipts are due: some are given up"),
    }
}

/// Posts the receipt of the delivery once, before the send is answered. If it is not taken, nothing is lost: it comes
/// again in its turn.
pub(crate) async fn deliver_early<P: Told>(
    provider: &P,
    simulator: &Simulator,
    message: &Message,
    callback: &str,
) {
    let told = (message.to.as_str(), Receipt::Delivered);
    if let Some(request) = request(provider, simulator, message, callback, told)
        && let Err(error) = simulator.delivery.post_once(&request).await
    {
        tracing::debug!(%error, "an early receipt found nobody");
    }
}

async fn deliver<P: Told>(provider: &P, simulator: &Simulator, message: &Message, callback: &str) {
    let fates = provider.fates(message);
    let steps = fates.iter().map(|(_, receipts)| receipts.len()).max().unwrap_or(0);
    for step in 0..steps {
        simulator.until_due(message, step).await;
        for (recipient, receipts) in &fates {
            let Some(receipt) = receipts.get(step) else { continue };
            let told = (*recipient, *receipt);
            if let Some(request) = request(provider, simulator, message, callback, told) {
                simulator.delivery.post(&request).await;
            }
        }
    }
}

fn request<P: Told>(
    provider: &P,
    simulator: &Simulator,
    message: &Message,
    callback: &str,
    told: (&str, Receipt),
) -> Option<Callback> {
    // The record may be that of another hatch.
    if !simulator.config.calls_back(callback) {
        tracing::warn!("a receipt is given up: it was to go to another place than hatch's");
        return None;
    }
    provider.request(simulator, message, callback, told)
}
