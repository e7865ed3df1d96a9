//! Consent as the precondition of every attempt: each recipient's stream guards the claim.
//!
//! Most recipients have no such stream, and nothing is read for them: the log checks under its lock that there
//! still is none. So a withdrawal that is committed is never overtaken by a claim, whatever this process knew.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use hatch_domain::address::Address;
use hatch_domain::consent::command::ConsentCommand;
use hatch_domain::consent::event::ConsentBlocked;
use hatch_domain::consent::{Consent, Hindrance, Programme, consent_id};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::{Decider, ErrorClass, SendError};
use hatch_eventstore::{Execute, ExpectedVersion, Guard, LoadError, Loaded, Metadata, Store};
use uuid::Uuid;

use crate::precondition::{Checked, Precondition, Refused};

/// The code of a message that fails because its recipient must not be written to.
const CODE: &str = "opted_out";

/// Recipients whose streams are read at once.
const LOADS_MAX: usize = 64;

/// Asks the consent streams of a message's recipients.
pub struct ConsentPrecondition {
    store: Store,
}

impl ConsentPrecondition {
    /// Asks the streams of this log.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    async fn read(
        &self,
        tenant_id: Uuid,
        request: &MessageRequested,
        now: DateTime<Utc>,
    ) -> Result<Checked, LoadError> {
        let mut guards = Vec::new();
        let loads: Vec<_> = streams(tenant_id, request)
            .into_iter()
            .map(async |(id, address)| {
                (id, address, self.store.load::<Consent>(tenant_id, id).await)
            })
            .collect();
        let mut loads = stream::iter(loads).buffered(LOADS_MAX);
        while let Some((id, address, loaded)) = loads.next().await {
            let Loaded { state, version, .. } = loaded?;
            if let Some(hindrance) = state.hindrance() {
                let error = opted_out(address, hindrance);
                return Ok(Checked::Fails(Box::new(MessageCommand::Refuse { error, at: now })));
            }
            let expected = match version {
                0 => ExpectedVersion::NoStream,
                version => ExpectedVersion::Exact(version),
            };
            guards.push(guard(tenant_id, id, expected));
        }
        Ok(Checked::Holds(guards))
    }

    async fn block(&self, refused: Refused<'_>) {
        let Refused { tenant_id, message_id, request, provider, account, error, at } = refused;
        // Of several recipients, the provider does not say whom it means.
        let mut recipients = streams(tenant_id, request).into_iter();
        let (Some((id, address)), None) = (recipients.next(), recipients.next()) else { return };
        let Some(programme) = Programme::default_of(request.channel) else { return };
        let command = ConsentCommand::Block(ConsentBlocked {
            address: address.clone(),
            programme,
            provider: provider.to_owned(),
            account: account.to_owned(),
            reason: error.code.clone(),
            message_id: Some(MessageId(message_id)),
            receipt_id: None,
            conversation_id: Some(request.conversation_id),
            at,
        });
        let metadata = Metadata {
            correlation_id: message_id,
            actor: "dispatcher".to_owned(),
            ..Metadata::default()
        };
        let execute = Execute::<Consent>::new(tenant_id, id, &command, metadata);
        // The provider says so again at the next message.
        if let Err(error) = self.store.execute(execute).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%message_id, error, "a provider's block is not recorded");
        }
    }
}

impl Precondition for ConsentPrecondition {
    fn guards(&self, tenant_id: Uuid, request: &MessageRequested) -> Vec<Guard> {
        let ids = streams(tenant_id, request).into_keys();
        ids.map(|id| guard(tenant_id, id, ExpectedVersion::NoStream)).collect()
    }

    fn check<'a>(
        &'a self,
        tenant_id: Uuid,
        request: &'a MessageRequested,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Checked, LoadError>> {
        self.read(tenant_id, request, now).boxed()
    }

    fn refused<'a>(&'a self, refused: Refused<'a>) -> BoxFuture<'a, ()> {
        match refused.error.class {
            ErrorClass::OptedOut => self.block(refused).boxed(),
            _ => std::future::ready(()).boxed(),
        }
    }
}

/// The consents that a message needs: one for each recipient, none for what no provider carries.
fn streams(tenant_id: Uuid, request: &MessageRequested) -> BTreeMap<Uuid, &Address> {
    let Some(programme) = Programme::default_of(request.channel) else { return BTreeMap::new() };
    let copies = request.email.iter().flat_map(|email| email.cc.iter().chain(&email.bcc));
    let recipients = request.to.iter().chain(copies);
    recipients
        .map(|address| (consent_id(TenantId(tenant_id), address, &programme).0, address))
        .collect()
}

const fn guard(tenant_id: Uuid, stream_id: Uuid, expected: ExpectedVersion) -> Guard {
    Guard { stream_id, tenant_id, kind: Consent::KIND, expected }
}

fn opted_out(address: &Address, hindrance: Hindrance<'_>) -> SendError {
    let detail = match hindrance {
        Hindrance::Wish => format!("{address} does not wish to be written to"),
        Hindrance::Block(blocker) => {
            format!("{} account {} sends nothing to {address}", blocker.provider, blocker.account)
        }
    };
    SendError { code: CODE.to_owned(), class: ErrorClass::OptedOut, detail, permanent: true }
}

#[cfg(test)]
mod tests {
    use hatch_domain::Channel;
    use hatch_domain::Email;

    use super::*;
    use crate::testing::requested;
    use hatch_domain::message::event::MessageEvent;

    fn request() -> MessageRequested {
        match requested() {
            MessageEvent::MessageRequested(request) => (*request).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_recipient_of_a_message_is_asked_and_each_once() {
        let mail = |text: &str| Address::email(text).expect("a mailbox");
        let email = Email {
            cc: vec![mail("b@example.com"), mail("a@example.com")],
            bcc: vec![mail("c@example.com")],
            ..Email::default()
        };
        let request = MessageRequested {
            channel: Channel::Email,
            to: vec![mail("a@example.com")],
            email: Some(Box::new(email)),
            ..request()
        };
        let mut asked: Vec<&str> =
            streams(Uuid::nil(), &request).into_values().map(Address::as_str).collect();
        asked.sort_unstable();
        assert_eq!(asked, ["a@example.com", "b@example.com", "c@example.com"]);
    }

    #[test]
    fn what_no_provider_carries_needs_no_consent() {
        let chat = MessageRequested { channel: Channel::Chat, ..request() };
        assert!(streams(Uuid::nil(), &chat).is_empty());
        assert_eq!(streams(Uuid::nil(), &request()).len(), 1);
    }
}
