//! Receipts that came before their message's name at the provider was known: kept, and matched when
//! it is.
//!
//! A row is forgotten only after its events are committed, and a receipt that comes to nothing new is
//! no event: so neither a crash nor a second process that does the same can lose or double one.

use std::time::Duration;

use chrono::TimeDelta;
use futures::future::BoxFuture;
use hatch_domain::address::Address;
use hatch_domain::consent::Consent;
use hatch_domain::ids::MessageId;
use hatch_domain::message::Message;
use hatch_domain::message::command::{MessageCommand, ReceiptOutcome as Told, RecordReceipt};
use hatch_domain::{ErrorClass, SendError};
use hatch_eventstore::{Execute, ExecuteError, Loaded, Metadata, log_unless_away};
use hatch_providers::Suppression;
use hatch_readmodel::{SentAs, WaitingReceipt, WebhookOutcome as Outcome};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Webhooks;
use super::consent::{self, Source};

/// Between two looks at what is due.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Between two looks at the same receipt, at least; those that wait for long wait ever longer.
const PAUSE_SECONDS: f64 = 1.0;

/// Receipts that are looked at at once.
const BATCH_MAX: i64 = 100;

/// How long a receipt waits. Whoever else sends by the account has receipts that are never matched.
const AGE_MAX: TimeDelta = TimeDelta::days(3);

/// A receipt as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptReceipt {
    pub(super) account: String,
    pub(super) provider_message_id: String,
    receipt_id: Uuid,
    outcome: KeptOutcome,
    error: Option<SendError>,
    /// Whom of several recipients it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipient: Option<Address>,
    /// The provider's word for what the recipient wishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What it says of the only recipient of its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suppression: Option<KeptSuppression>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptSuppression {
    reason: String,
    lifted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptOutcome {
    Sent,
    Delivered,
    Read,
    Undelivered,
    Bounced,
    Failed,
    Complained,
    Unsubscribed,
}

impl KeptReceipt {
    pub(super) fn new(
        account: String,
        provider_message_id: String,
        receipt_id: Uuid,
        outcome: Told,
    ) -> Self {
        let (outcome, error, reason) = match outcome {
            Told::Sent => (KeptOutcome::Sent, None, None),
            Told::Delivered => (KeptOutcome::Delivered, None, None),
            Told::Read => (KeptOutcome::Read, None, None),
            Told::Undelivered(error) => (KeptOutcome::Undelivered, Some(error), None),
            Told::Bounced(error) => (KeptOutcome::Bounced, Some(error), None),
            Told::Failed(error) => (KeptOutcome::Failed, Some(error), None),
            Told::Complained(reason) => (KeptOutcome::Complained, None, Some(reason)),
            Told::Unsubscribed(reason) => (KeptOutcome::Unsubscribed, None, Some(reason)),
        };
        let (recipient, suppression) = (None, None);
        Self {
            account,
            provider_message_id,
            receipt_id,
            outcome,
            error,
            recipient,
            reason,
            suppression,
        }
    }

    /// The same, of that recipient.
    pub(super) fn of(self, recipient: Option<Address>) -> Self {
        Self { recipient, ..self }
    }

    /// The same, and what it says of the recipient, whom the message tells.
    pub(super) fn with(self, suppression: Option<Suppression>) -> Self {
        let suppression = suppression
            .map(|Suppression { reason, lifted, .. }| KeptSuppression { reason, lifted });
        Self { suppression, ..self }
    }

    fn suppression(&self) -> Option<Suppression> {
        let KeptSuppression { reason, lifted } = self.suppression.clone()?;
        Some(Suppression { address: None, reason, lifted })
    }

    fn told(&self) -> Told {
        let error = || {
            self.error.clone().unwrap_or_else(|| SendError {
                code: "unknown".to_owned(),
                class: ErrorClass::Other,
                detail: "the receipt gives no reason".to_owned(),
                permanent: true,
            })
        };
        let reason = || self.reason.clone().unwrap_or_else(|| "unknown".to_owned());
        match self.outcome {
            KeptOutcome::Sent => Told::Sent,
            KeptOutcome::Delivered => Told::Delivered,
            KeptOutcome::Read => Told::Read,
            KeptOutcome::Undelivered => Told::Undelivered(error()),
            KeptOutcome::Bounced => Told::Bounced(error()),
            KeptOutcome::Failed => Told::Failed(error()),
            KeptOutcome::Complained => Told::Complained(reason()),
            KeptOutcome::Unsubscribed => Told::Unsubscribed(reason()),
        }
    }
}

/// Matches receipts that wait with their messages, until `shutdown`.
///
/// The future is in a box, so that this crate compiles it, and not each crate that awaits it.
pub fn match_receipts(webhooks: Webhooks, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let matching = async {
            loop {
                if let Err(error) = webhooks.match_due().await {
                    let error: &(dyn std::error::Error + 'static) = error.as_ref();
                    log_unless_away!(warn, error, error, "waiting receipts not matched");
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let _: Option<()> = shutdown.run_until_cancelled(matching).await;
    })
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Webhooks {
    async fn match_due(&self) -> Result<(), BoxError> {
        let now = self.store.environment().now();
        let due = self.read_model.take_waiting_receipts(now, BATCH_MAX, PAUSE_SECONDS).await?;
        for receipt in due {
            let settled = match receipt.sent_as {
                Some(sent_as) => self.settle(&receipt, sent_as).await,
                None if now - receipt.received_at > AGE_MAX => {
                    let detail = "no message was known for its receipts in three days";
                    let read_model = &self.read_model;
                    let forgotten =
                        read_model.settle_waiting_receipt(&receipt, Outcome::Ignored, detail);
                    forgotten.await.map_err(BoxError::from)
                }
                None => Ok(()),
            };
            // It is due again later; the others need not wait for it.
            if let Err(error) = settled {
                tracing::warn!(receipt = %receipt.id, error = error.as_ref(), "receipt not settled");
            }
        }
        Ok(())
    }

    async fn settle(&self, waiting: &WaitingReceipt, sent_as: SentAs) -> Result<(), BoxError> {
        let kept: KeptReceipt = serde_json::from_value(waiting.receipt.clone())?;
        // Both are recorded once, however often this is begun.
        self.suppress(waiting, &kept, sent_as.message_id).await?;
        let command = MessageCommand::RecordReceipt(RecordReceipt {
            attempt: Some(sent_as.attempt),
            provider_message_id: kept.provider_message_id.clone(),
            receipt_id: kept.receipt_id,
            recipient: kept.recipient.clone(),
            outcome: kept.told(),
            at: waiting.received_at,
        });
        let (tenant_id, message_id) = (waiting.tenant_id.0, sent_as.message_id.0);
        let metadata = metadata(waiting, sent_as.message_id);
        let execute = Execute::<Message>::new(tenant_id, message_id, &command, metadata);
        let executed = self.store.execute(execute).await;
        let (outcome, detail) = match executed {
            Ok(_) => (Outcome::Applied, "matched when its message was known".to_owned()),
            // It stays in quarantine, and is not tried again by itself.
            Err(ExecuteError::Rejected(rejection)) => {
                tracing::warn!(webhook = %waiting.webhook_id, %rejection, "receipt not taken");
                (Outcome::Quarantined, format!("its message did not take it: {rejection}"))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(self.read_model.settle_waiting_receipt(waiting, outcome, &detail).await?)
    }

    /// Tells the consent of the message's recipient what a receipt says of it.
    async fn suppress(
        &self,
        waiting: &WaitingReceipt,
        kept: &KeptReceipt,
        message_id: MessageId,
    ) -> Result<(), BoxError> {
        let Some(suppression) = kept.suppression() else { return Ok(()) };
        let tenant = waiting.tenant_id;
        let Loaded { state, .. } = self.store.load::<Message>(tenant.0, message_id.0).await?;
        let source = Source {
            tenant,
            provider: &waiting.provider,
            account: &kept.account,
            message_id: Some(message_id),
            receipt_id: kept.receipt_id,
            // Its message says so.
            is_test: false,
            at: waiting.received_at,
        };
        let told = consent::of_suppression(suppression, state.requested(), &source);
        let Some((id, command)) = told else { return Ok(()) };
        let metadata = metadata(waiting, message_id);
        let execute = Execute::<Consent>::new(tenant.0, id.0, &command, metadata);
        self.store.execute(execute).await?;
        Ok(())
    }
}

/// The metadata of the events that come of `waiting`, a receipt of the message.
fn metadata(waiting: &WaitingReceipt, message_id: MessageId) -> Metadata {
    Metadata {
        correlation_id: message_id.0,
        actor: format!("webhook:{}", waiting.provider),
        ..Metadata::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_receipt_says_what_it_said() {
        let error = SendError {
            code: "30003".into(),
            class: ErrorClass::Unreachable,
            detail: "unreachable".into(),
            permanent: true,
        };
        for told in [
            Told::Sent,
            Told::Delivered,
            Told::Read,
            Told::Undelivered(error.clone()),
            Told::Bounced(error.clone()),
            Told::Failed(error),
            Told::Complained("spamreport".into()),
            Told::Unsubscribed("group_unsubscribe".into()),
        ] {
            let kept = KeptReceipt::new("AC1".into(), "SM1".into(), Uuid::nil(), told.clone());
            let row = serde_json::to_value(&kept).expect("it serialises");
            assert!(row.get("recipient").is_none(), "a row from before is read alike: {row}");
            let recipient = Some(Address::email("Ann@example.com").expect("a mailbox"));
            let of_one = serde_json::to_value(kept.of(recipient.clone())).expect("it serialises");
            let read: KeptReceipt = serde_json::from_value(of_one).expect("it is read");
            assert_eq!(read.recipient, recipient);
            let read: KeptReceipt = serde_json::from_value(row).expect("it is read");
            assert_eq!(read.told(), told);
        }
    }

    #[test]
    fn a_kept_receipt_says_what_it_said_of_the_recipient() {
        let kept = KeptReceipt::new("AC1".into(), "SM1".into(), Uuid::nil(), Told::Delivered);
        let row = serde_json::to_value(&kept).expect("it serialises");
        assert!(row.get("suppression").is_none(), "a row from before is read alike: {row}");
        let suppression = Suppression { address: None, reason: "21610".into(), lifted: false };
        let kept = kept.with(Some(suppression.clone()));
        let row = serde_json::to_value(&kept).expect("it serialises");
        let read: KeptReceipt = serde_json::from_value(row).expect("it is read");
        assert_eq!(read.suppression(), Some(suppression));
    }
}
