//! Asks log and read model for what an observation refers to, and says what it means.

use hatch_domain::ids::MessageId;
use hatch_domain::message::Message;
use hatch_domain::message::command::ReceiptOutcome;
use hatch_eventstore::LoadError;
use hatch_providers::{Inbound, Observation, Receipt};
use hatch_readmodel::SentAs;

use super::WebhookAccount;
use super::consent::{self, Hearing, Source};
use super::fitting::fit;
use super::joining::Place;
use super::matching::KeptReceipt;
use super::meaning::{self, Meaning};
use super::receive::failure;
use super::record::Recording;
use crate::problem::Problem;

impl Recording<'_> {
    /// What an observation means, and what it means beside that: for a consent, or for the mail that a bounce
    /// tells of.
    ///
    /// # Errors
    /// When what it refers to cannot be read.
    pub(super) async fn meaning(
        &self,
        observation: Observation,
    ) -> Result<(Meaning, Vec<Meaning>), Problem> {
        match observation {
            Observation::Receipt(receipt) => {
                let (meaning, told) = self.receipt(receipt).await?;
                Ok((meaning, told.into_iter().collect()))
            }
            Observation::Inbound(inbound) => {
                if let Some(id) = self.own(&inbound).await? {
                    return Ok((Meaning::Own(id), Vec::new()));
                }
                let bounced = self.bounced(&inbound).await?;
                let (joined, told) = match bounced {
                    Some(bounced) => (Some(bounced.place), bounced.told),
                    None => (None, Vec::new()),
                };
                Ok((self.inbound(inbound, joined).await?, told))
            }
            Observation::Unclear(error) => Ok((Meaning::Unclear(failure(&error)), Vec::new())),
        }
    }

    async fn receipt(&self, receipt: Receipt) -> Result<(Meaning, Option<Meaning>), Problem> {
        let outcome = meaning::outcome(&receipt);
        if outcome.is_none() && receipt.suppression.is_none() {
            return Ok((Meaning::Nothing, None));
        }
        let sent_as = self.message_of(&receipt).await?;
        let told = self.suppressed(&receipt, sent_as).await?;
        let meaning = match (outcome, sent_as) {
            (None, _) => Meaning::Nothing,
            (Some(outcome), Some(sent_as)) => {
                meaning::of_receipt(receipt, outcome, sent_as, self.now)
            }
            (Some(outcome), None) => self.waits(receipt, outcome, told.is_some()),
        };
        Ok(meaning.with(told))
    }

    /// A receipt of a message that is not known yet waits, with what it says of the recipient unless a consent `hears`
    /// of that now.
    fn waits(&self, receipt: Receipt, outcome: ReceiptOutcome, hears: bool) -> Meaning {
        if !self.webhooks.keeping.admits_waiting(self.account.provider) {
            let name = &receipt.provider_message_id;
            return Meaning::Unclear(format!(
                "no message is known by the provider's name {name} yet, and no more receipts can wait for \
                 theirs: replay it when it is known"
            ));
        }
        let suppression = receipt.suppression.filter(|_| !hears);
        let Receipt { account, provider_message_id, receipt_id, recipient, .. } = receipt;
        let kept = KeptReceipt::new(account, provider_message_id, receipt_id, outcome);
        Meaning::Waits(kept.of(recipient).with(suppression))
    }

    /// Our ids come back with the receipt; one without them is found by the provider's id, once that
    /// is known.
    async fn message_of(&self, receipt: &Receipt) -> Result<Option<SentAs>, Problem> {
        let WebhookAccount { tenant_id, provider, .. } = self.account;
        if let Some(correlation) = receipt.correlation.filter(|c| c.tenant_id == *tenant_id) {
            let (message_id, attempt) = (correlation.message_id, correlation.attempt);
            return Ok(Some(SentAs { message_id, attempt }));
        }
        let (account, id) = (receipt.account.as_str(), receipt.provider_message_id.as_str());
        Ok(self.webhooks.read_model.sent_as(*tenant_id, provider, Some(account), id).await?)
    }

    /// The message; an empty one where it has an event of a newer build, so that nothing can be decided about it here.
    pub(super) async fn message(&self, id: MessageId) -> Result<Message, Problem> {
        let tenant_id = self.account.tenant_id;
        match self.webhooks.store.load::<Message>(tenant_id.0, id.0).await {
            Err(LoadError::Decode(_)) => Ok(Message::default()),
            loaded => Ok(loaded?.state),
        }
    }

    /// A message comes in, to where it `joined` by more than its thread, if it did.
    async fn inbound(
        &self,
        mut inbound: Inbound,
        joined: Option<Place>,
    ) -> Result<Meaning, Problem> {
        fit(&mut inbound);
        let place = match joined {
            Some(place) => {
                let ours = self.webhooks.own.named_in(&inbound);
                if let Some(email) = inbound.email.as_mut() {
                    email.ours = ours;
                }
                place
            }
            None => self.place(&mut inbound).await?,
        };
        for of in inbound.email.iter().flat_map(|email| email.cut.keys()) {
            self.webhooks.stats.cut.of(of).increment();
        }
        let &WebhookAccount { tenant_id, provider, acts_on_words, is_test, .. } = self.account;
        let rules = &self.webhooks.words;
        let hearing = Hearing { tenant_id, is_test, acts_on_words, rules, said_at: self.said_at };
        Ok(meaning::of_inbound(inbound, place, provider, hearing, self.now))
    }

    /// What a receipt of the message `sent_as` means for the consent of its recipient, beside what it means for the
    /// message.
    async fn suppressed(
        &self,
        receipt: &Receipt,
        sent_as: Option<SentAs>,
    ) -> Result<Option<consent::Told>, Problem> {
        let Some(suppression) = receipt.suppression.clone() else { return Ok(None) };
        let tenant = self.account.tenant_id;
        let message_id = sent_as.map(|sent_as| sent_as.message_id);
        let message = match message_id {
            Some(id) => self.message(id).await?,
            None => Message::default(),
        };
        let source = Source {
            tenant,
            provider: self.account.provider,
            account: &receipt.account,
            message_id,
            receipt_id: receipt.receipt_id,
            is_test: self.account.is_test,
            at: self.said_at,
        };
        Ok(consent::of_suppression(suppression, message.requested(), &source))
    }
}
