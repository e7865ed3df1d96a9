//! Whose a message is that comes in by an account of several tenants, and who else hears a word of consent in it.

use hatch_domain::ids::{ConversationId, TenantId};
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::MessageReceived;
use hatch_domain::message::inbound_message_id;
use hatch_providers::{Correlation, Inbound, Observation};
use uuid::Uuid;

use super::account::WebhookAccount;
use super::consent::{self, Hearing};
use super::joining::own_id;
use super::meaning::{self, Command, Meaning};
use super::own::all_of;
use super::record::Recording;
use super::summary::Summary;
use super::threading::names;
use super::{Webhooks, record};
use crate::problem::Problem;

/// The conversation that another tenant of the account has with those whom a message is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elsewhere {
    pub(super) tenant_id: TenantId,
    pub(super) conversation_id: ConversationId,
}

/// Whose what came in is.
pub(super) struct Owned {
    /// The account, as that tenant's.
    pub(super) account: WebhookAccount,
    /// The others whom a word of consent in it concerns.
    pub(super) elsewhere: Vec<Elsewhere>,
}

impl Webhooks {
    /// Whose the message among `observations` is, if there is one: that tenant's of the account who has already got it,
    /// who wrote the mail that it answers, or who has the newest conversation of exactly its participants in which somebody
    /// has written. An account of one tenant costs no question.
    ///
    /// # Errors
    /// When that cannot be read.
    pub(super) async fn owned(
        &self,
        account: &WebhookAccount,
        observations: &[Observation],
    ) -> Result<Owned, Problem> {
        let of = |tenant_id, elsewhere| Owned {
            account: WebhookAccount { tenant_id, ..account.clone() },
            elsewhere,
        };
        let inbound = observations.iter().find_map(|observation| match observation {
            Observation::Inbound(inbound) => Some(inbound),
            Observation::Receipt(_) | Observation::Unclear(_) => None,
        });
        let Some(inbound) = inbound else { return Ok(of(account.tenant_id, Vec::new())) };
        let tenants = self.tenants_of(account)?;
        if let [only] = tenants.as_slice() {
            return Ok(of(*only, Vec::new()));
        }
        let id = inbound_message_id(
            account.provider,
            &inbound.account,
            inbound.channel,
            &inbound.provider_message_id,
        );
        let answered = answered(inbound);
        let asked: Vec<Uuid> = std::iter::once(id.0).chain(answered.iter().copied()).collect();
        let of_streams = self.store.log().tenants_of(&asked).await?;
        let tenant_of = |stream: &Uuid| {
            let found = of_streams.iter().find(|(known, _)| known == stream);
            found.map(|(_, tenant)| TenantId(*tenant))
        };
        // It has been here before: what it says was said then.
        if let Some(first) = tenant_of(&id.0) {
            return Ok(of(first, Vec::new()));
        }
        let wrote = answered.iter().filter_map(tenant_of).find(|one| tenants.contains(one));
        let groups = self.groups(inbound);
        // What a tenant did by an account of its own, which it may have signed itself, gives it nothing of a shared one.
        let (by, tests) = ((account.provider, inbound.account.as_str()), account.takes_tests);
        let found = self
            .read_model
            .conversations_among(&tenants, &inbound.from, &groups, by, tests)
            .await?;
        let newest = found.iter().find(|one| one.is_live).map(|one| one.tenant_id);
        let first = wrote.or(newest).unwrap_or(account.tenant_id);
        // Who only means to write hears a STOP all the same.
        let others = found.into_iter().filter(|one| one.tenant_id != first);
        let elsewhere = others
            .map(|one| Elsewhere { tenant_id: one.tenant_id, conversation_id: one.id })
            .collect();
        Ok(of(first, elsewhere))
    }

    /// Those whom a conversation may be among that a message belongs to.
    fn groups(&self, inbound: &Inbound) -> Vec<Vec<String>> {
        let ours = self.own.named_in(inbound);
        let homes = self.own.homes(inbound, &ours).into_iter().map(|home| home.participants);
        let all = std::iter::once(all_of(inbound, &ours)).chain(homes);
        let identities = |addresses: Vec<hatch_domain::address::Address>| {
            let mut texts: Vec<String> =
                addresses.iter().map(|one| one.identity().as_str().to_owned()).collect();
            texts.sort_unstable();
            texts.dedup();
            texts
        };
        all.map(identities).collect()
    }
}

/// Our own mails that a mail names, and that it may be itself.
fn answered(inbound: &Inbound) -> Vec<Uuid> {
    let Some(email) = inbound.email.as_deref() else { return Vec::new() };
    let named = names(email).into_iter().chain([inbound.provider_message_id.as_str()]);
    named.filter_map(|name| own_id(name).map(|id| id.message_id.0)).collect()
}

impl Recording<'_> {
    /// Has receipts that do not say whose they are say so, where the account is of several tenants.
    ///
    /// # Errors
    /// When it cannot be read who has sent the messages.
    pub(super) async fn name_tenants(
        &self,
        observations: &mut [Observation],
    ) -> Result<(), Problem> {
        let is_nameless = |observation: &Observation| match observation {
            Observation::Receipt(receipt) => receipt.correlation.is_none(),
            Observation::Inbound(_) | Observation::Unclear(_) => false,
        };
        if !observations.iter().any(is_nameless) {
            return Ok(());
        }
        let tenants = self.webhooks.tenants_of(self.account)?;
        if tenants.len() <= 1 {
            return Ok(());
        }
        for observation in observations {
            let Observation::Receipt(receipt) = observation else { continue };
            if receipt.correlation.is_some() {
                continue;
            }
            let (account, id) = (receipt.account.as_str(), receipt.provider_message_id.as_str());
            let provider = self.account.provider;
            let read_model = &self.webhooks.read_model;
            let sent = read_model.sent_among(&tenants, provider, account, id).await?;
            receipt.correlation = sent.map(|(tenant_id, sent_as)| Correlation {
                tenant_id,
                message_id: sent_as.message_id,
                attempt: sent_as.attempt,
            });
        }
        Ok(())
    }

    /// Has the other tenants' consents hear the words in what comes in.
    ///
    /// # Errors
    /// When the log does not take that.
    pub(super) async fn tell_elsewhere(&self, meanings: &[Meaning]) -> Result<(), record::Failed> {
        if self.elsewhere.is_empty() {
            return Ok(());
        }
        for command in meaning::commands(meanings) {
            let Command::Message { id, command, .. } = command else { continue };
            let MessageCommand::Receive(received) = &**command else { continue };
            for Elsewhere { tenant_id, conversation_id } in &self.elsewhere {
                let hearing = Hearing {
                    tenant_id: *tenant_id,
                    is_test: self.account.is_test,
                    acts_on_words: self.account.acts_on_words,
                    rules: &self.webhooks.words,
                    said_at: self.said_at,
                };
                let theirs =
                    MessageReceived { conversation_id: *conversation_id, ..received.clone() };
                let told = consent::hear(*id, &theirs, hearing).told;
                if told.is_empty() {
                    // It is no word, for nobody.
                    return Ok(());
                }
                let meanings: Vec<Meaning> =
                    told.into_iter().map(|told| Meaning::Tells(Command::Consent(told))).collect();
                let account = WebhookAccount { tenant_id: *tenant_id, ..self.account.clone() };
                let theirs = self.of(&account);
                theirs.append(&meanings, &mut Summary::default(), false).await?;
            }
        }
        Ok(())
    }
}
