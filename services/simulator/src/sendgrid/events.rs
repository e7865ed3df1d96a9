//! The event webhook: what becomes of accepted mail, several events a request.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use uuid::{Uuid, uuid};

use super::signature::signed;
use super::{Account, PROVIDER, SendGrid};
use crate::Clock;
use crate::behaviour::{Receipt, later_receipts};
use crate::record::Message;
use crate::server::Simulator;

/// So many events are posted in one request.
const BATCH_EVENTS_MAX: usize = 100;

/// An event waits so long for others to be posted with.
const LINGER: Duration = Duration::from_millis(5);

/// Namespace of the ids of events, so that a repeated event has its id again.
const EVENTS: Uuid = uuid!("52a86a3b-cc54-4b8c-9b0e-1a7d5f6c9e02");

/// An event that waits to be posted.
pub(super) struct Queued {
    account: String,
    event: Value,
    /// Told when it was taken, or given up.
    done: oneshot::Sender<()>,
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Processed,
    Delivered,
    Bounce,
    /// For an address that does not exist.
    DroppedInvalid,
    /// For one that does not want mail.
    DroppedUnsubscribed,
}

/// Posts queued events until the simulator stops: those of one account that are due together in one
/// request.
pub(super) fn post_events(
    provider: &Arc<SendGrid>,
    simulator: &Arc<Simulator>,
    mut queue: mpsc::Receiver<Queued>,
) {
    let (provider, shared) = (Arc::clone(provider), Arc::clone(simulator));
    simulator.delivery.run(async move {
        let mut waiting = Vec::new();
        while queue.recv_many(&mut waiting, BATCH_EVENTS_MAX).await > 0 {
            tokio::time::sleep(LINGER).await;
            while waiting.len() < BATCH_EVENTS_MAX
                && let Ok(event) = queue.try_recv()
            {
                waiting.push(event);
            }
            for account in &provider.accounts {
                let (batch, others): (Vec<_>, Vec<_>) =
                    waiting.drain(..).partition(|queued| queued.account == account.key_name);
                waiting = others;
                if !batch.is_empty() {
                    post(&shared, account, batch);
                }
            }
            // Of accounts that are not configured any more.
            waiting.clear();
        }
    });
}

fn post(simulator: &Arc<Simulator>, account: &Account, batch: Vec<Queued>) {
    let (events, done): (Vec<Value>, Vec<_>) =
        batch.into_iter().map(|queued| (queued.event, queued.done)).unzip();
    let callback = callback(account, &events);
    let shared = Arc::clone(simulator);
    simulator.delivery.run(async move {
        shared.delivery.post(&callback).await;
        for done in done {
            // No task waits for a message that has no more events.
            let _ = done.send(());
        }
    });
}

fn callback(account: &Account, events: &[Value]) -> crate::delivery::Callback {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    let body = format!("[{}]\r\n", lines.join(",\r\n")).into_bytes();
    signed(&account.events_url, "application/json;charset=utf-8".to_owned(), body, account)
}

/// Queues the events of a mail as they become due. `place` is held until the last of them was taken
/// or given up.
pub(super) fn begin(
    provider: &Arc<SendGrid>,
    simulator: &Arc<Simulator>,
    message: Arc<Message>,
    place: OwnedSemaphorePermit,
) {
    let (provider, shared) = (Arc::clone(provider), Arc::clone(simulator));
    simulator.delivery.run(async move {
        if deliver(&provider, &shared, &message).await {
            shared.record.settle(&message);
        }
        drop(place);
    });
}

/// Begins again with the events of a mail that was accepted before a restart.
pub(super) fn resume(provider: &Arc<SendGrid>, simulator: &Arc<Simulator>, message: Arc<Message>) {
    debug_assert_eq!(message.provider, PROVIDER);
    match simulator.delivery.reserve() {
        Some(place) => begin(provider, simulator, message, place),
        None => tracing::warn!("too many events are due: some are given up"),
    }
}

/// Posts the event of the delivery once, before the send is answered. If it is not taken, nothing is
/// lost: it comes again in its turn.
pub(super) async fn deliver_early(provider: &SendGrid, simulator: &Simulator, message: &Message) {
    let Some(account) = provider.account(&message.account) else { return };
    let event = event(message, &message.to, Kind::Delivered, &account.clock);
    if let Err(error) = simulator.delivery.post_once(&callback(account, &[event])).await {
        tracing::debug!(%error, "an early event found nobody");
    }
}

/// Queues every event in its time and waits until all were taken or given up; false when the
/// simulator stops before.
async fn deliver(provider: &SendGrid, simulator: &Simulator, message: &Message) -> bool {
    let recipients = message.mail.as_ref().map_or(&[][..], |mail| &mail.recipients);
    let fates: Vec<(&str, &[Kind])> =
        recipients.iter().map(|recipient| (recipient.as_str(), fate(recipient))).collect();
    let steps = fates.iter().map(|(_, kinds)| kinds.len()).max().unwrap_or(0);
    let mut taken = Vec::new();
    for step in 0..steps {
        simulator.until_due(message, step).await;
        for (recipient, kinds) in &fates {
            let Some(kind) = kinds.get(step) else { continue };
            let (done, told) = oneshot::channel();
            let event = event(message, recipient, *kind, &simulator.config.clock);
            let queued = Queued { account: message.account.clone(), event, done };
            if provider.events.send(queued).await.is_err() {
                return false;
            }
            taken.push(told);
        }
    }
    for told in taken {
        if told.await.is_err() {
            return false;
        }
    }
    true
}

/// The events about one recipient, in the order in which they are posted.
fn fate(recipient: &str) -> &'static [Kind] {
    use Kind::{Bounce, Delivered, DroppedInvalid, DroppedUnsubscribed, Processed};
    match later_receipts(recipient) {
        [] => &[],
        [Receipt::Invalid, ..] => &[DroppedInvalid],
        [Receipt::OptedOut, ..] => &[DroppedUnsubscribed],
        [Receipt::Delivered, ..] => &[Delivered, Processed, Delivered, Processed],
        [.., Receipt::Undelivered] => &[Processed, Bounce],
        _ => &[Processed, Delivered],
    }
}

/// The event in SendGrid's keys, with the custom arguments of the mail among them.
fn event(message: &Message, recipient: &str, kind: Kind, clock: &Clock) -> Value {
    let id = &message.provider_message_id;
    let name = match kind {
        Kind::Processed => "processed",
        Kind::Delivered => "delivered",
        Kind::Bounce => "bounce",
        Kind::DroppedInvalid | Kind::DroppedUnsubscribed => "dropped",
    };
    let event_id = Uuid::new_v5(&EVENTS, [id, recipient, name].join("\n").as_bytes());
    let smtp_id = message.mail.as_ref().map(|mail| mail.smtp_id.as_str());
    let more = match kind {
        Kind::Processed => json!({}),
        Kind::Delivered => json!({"response": "250 2.0.0 OK", "ip": "127.0.0.1", "tls": 1}),
        Kind::Bounce => json!({
            "type": "bounce", "status": "5.1.1", "bounce_classification": "Invalid Address",
            "reason": "550 5.1.1 The email account that you tried to reach does not exist.",
        }),
        Kind::DroppedInvalid => json!({"reason": "Invalid", "status": "5.0.0"}),
        Kind::DroppedUnsubscribed => json!({"reason": "Unsubscribed Address", "status": "5.0.0"}),
    };
    let mut event = json!({
        "email": recipient,
        "timestamp": clock.now().timestamp(),
        "event": name,
        "sg_event_id": event_id.simple().to_string(),
        "sg_message_id": format!("{id}.recvd-simulator-1-65A1B2C3-12.0"),
        "smtp-id": smtp_id,
    });
    let object = event.as_object_mut().expect("made as an object");
    object.extend(more.as_object().cloned().unwrap_or_default());
    let arguments = message.mail.iter().flat_map(|mail| &mail.custom_args);
    let arguments: Map<String, Value> =
        arguments.map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    object.extend(arguments);
    event
}
