//! Consent as the precondition of every attempt: each recipient's streams guard the claim.
//!
//! Most recipients have no such stream, and nothing is read for them: the log checks under its lock that there
//! still is none. So a withdrawal that is committed is never overtaken by a claim, whatever this process knew.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use hatch_domain::address::Address;
use hatch_domain::consent::command::Reported;
use hatch_domain::consent::words::Confirmed;
use hatch_domain::consent::{Blocker, Consent, Hindrance, Programme, consent_id};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::{Decider, ErrorClass, SendError};
use hatch_eventstore::{Execute, ExpectedVersion, Guard, LoadError, Loaded, Metadata, Store};
use uuid::Uuid;

use crate::known::{Known, KnownConsents};
use crate::precondition::{Checked, Precondition, Refused};

/// The code of a message that fails because its recipient must not be written to.
const CODE: &str = "opted_out";

/// Recipients whose streams are read at once.
const LOADS_MAX: usize = 64;

/// Asks the consent streams of a message's recipients.
pub struct ConsentPrecondition {
    store: Store,
    known: KnownConsents,
}

/// The consents that a message needs of one recipient.
#[derive(Debug, Clone, Copy)]
struct Needed<'a> {
    address: &'a Address,
    /// To the default programme of the channel: words and blocks are about all that is sent by it.
    default: Uuid,
    /// To the programme that the message names.
    named: Option<Uuid>,
}

impl Needed<'_> {
    fn streams(self) -> impl Iterator<Item = Uuid> {
        std::iter::once(self.default).chain(self.named)
    }
}

impl ConsentPrecondition {
    /// Asks the streams of this log.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, known: KnownConsents::default() }
    }

    async fn read(
        &self,
        tenant_id: Uuid,
        request: &MessageRequested,
        now: DateTime<Utc>,
    ) -> Result<Checked, LoadError> {
        let mut guards = Vec::new();
        let loads: Vec<_> = needed(tenant_id, request)
            .into_iter()
            .map(async |needed: Needed<'_>| {
                let default = self.load(tenant_id, needed.default).await?;
                let named = match needed.named {
                    Some(id) => Some(self.load(tenant_id, id).await?),
                    None => None,
                };
                Ok::<_, LoadError>((needed, default, named))
            })
            .collect();
        let mut loads = stream::iter(loads).buffered(LOADS_MAX);
        while let Some(loaded) = loads.next().await {
            let (needed, default, named) = loaded?;
            let hindrance = match &named {
                Some(named) => default.state.hindrance_of(&named.state),
                None => default.state.hindrance(),
            };
            if let Some(hindrance) = hindrance {
                let error = opted_out(needed.address, hindrance);
                return Ok(Checked::Fails(Box::new(MessageCommand::Refuse { error, at: now })));
            }
            let versions = std::iter::once(default.version).chain(named.map(|of| of.version));
            let expected = needed.streams().zip(versions);
            guards.extend(expected.map(|(id, version)| guard(tenant_id, id, version)));
        }
        Ok(Checked::Holds(guards))
    }

    async fn load(&self, tenant_id: Uuid, id: Uuid) -> Result<Loaded<Consent>, LoadError> {
        let loaded = self.store.load::<Consent>(tenant_id, id).await?;
        let forbids = loaded.state.hindrance().is_some();
        self.known.keep(id, Known { version: loaded.version, forbids });
        Ok(loaded)
    }

    async fn block(&self, refused: Refused<'_>) {
        let Refused { tenant_id, message_id, request, provider, account, error, at } = refused;
        // What comes of a test must stop no message that is meant.
        if request.test {
            return;
        }
        let Some(programme) = Programme::default_of(request.channel) else { return };
        // Of several recipients, the provider does not say whom it means.
        let mut recipients = recipients(tenant_id, request, &programme).into_iter();
        let (Some((id, address)), None) = (recipients.next(), recipients.next()) else { return };
        let reported = Reported {
            address: address.clone(),
            programme,
            blocker: Blocker::of(provider, account),
            reason: error.code.clone(),
            message_id: Some(MessageId(message_id)),
            receipt_id: None,
            conversation_id: Some(request.conversation_id),
            at,
        };
        let command = reported.blocks();
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
    fn guards(&self, tenant_id: Uuid, request: &MessageRequested) -> Option<Vec<Guard>> {
        let needed = needed(tenant_id, request);
        let expected = needed.into_iter().flat_map(Needed::streams).map(|id| {
            match self.known.get(id) {
                None => Some(guard(tenant_id, id, 0)),
                Some(Known { version, forbids: false }) => Some(guard(tenant_id, id, version)),
                // It will forbid again, unless somebody took it back.
                Some(Known { forbids: true, .. }) => None,
            }
        });
        expected.collect()
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

/// The consents that a message needs of each recipient; none for what no provider carries, and for what answers a word.
fn needed(tenant_id: Uuid, request: &MessageRequested) -> Vec<Needed<'_>> {
    let Some(programme) = Programme::default_of(request.channel) else { return Vec::new() };
    if request.confirms.is_some_and(Confirmed::needs_no_consent) {
        return Vec::new();
    }
    let of = |address| {
        let named = request.programme.as_ref();
        named.map(|programme| consent_id(TenantId(tenant_id), address, programme).0)
    };
    let recipients = recipients(tenant_id, request, &programme).into_iter();
    recipients.map(|(default, address)| Needed { address, default, named: of(address) }).collect()
}

/// Everybody who gets the message, each once, with the stream of the consent to `programme`.
fn recipients<'a>(
    tenant_id: Uuid,
    request: &'a MessageRequested,
    programme: &Programme,
) -> BTreeMap<Uuid, &'a Address> {
    let copies = request.email.iter().flat_map(|email| email.cc.iter().chain(&email.bcc));
    let recipients = request.to.iter().chain(copies);
    recipients
        .map(|address| (consent_id(TenantId(tenant_id), address, programme).0, address))
        .collect()
}

/// That the stream is still at `version`; at 0, that there is none.
const fn guard(tenant_id: Uuid, stream_id: Uuid, version: i64) -> Guard {
    let expected = match version {
        0 => ExpectedVersion::NoStream,
        version => ExpectedVersion::Exact(version),
    };
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
        let needed = needed(Uuid::nil(), &request);
        let mut asked: Vec<&str> = needed.iter().map(|needed| needed.address.as_str()).collect();
        asked.sort_unstable();
        assert_eq!(asked, ["a@example.com", "b@example.com", "c@example.com"]);
    }

    #[test]
    fn what_no_provider_carries_needs_no_consent() {
        let chat = MessageRequested { channel: Channel::Chat, ..request() };
        assert!(needed(Uuid::nil(), &chat).is_empty());
        assert_eq!(needed(Uuid::nil(), &request()).len(), 1);
    }

    #[test]
    fn only_what_answers_a_withdrawal_or_a_call_for_help_needs_no_consent() {
        for (confirms, streams) in [
            (None, 1),
            (Some(Confirmed::Stop), 0),
            (Some(Confirmed::Help), 0),
            (Some(Confirmed::Start), 1),
        ] {
            let request = MessageRequested { confirms, ..request() };
            assert_eq!(needed(Uuid::nil(), &request).len(), streams, "{confirms:?}");
        }
    }

    #[test]
    fn a_message_of_a_programme_needs_the_consent_to_it_and_the_default_one() {
        let plain = needed(Uuid::nil(), &request())[0].streams().collect::<Vec<_>>();
        let news = Programme::new("news").expect("a name");
        let request = MessageRequested { programme: Some(news.clone()), ..request() };
        let named = consent_id(TenantId(Uuid::nil()), &request.to[0], &news).0;
        let asked = needed(Uuid::nil(), &request)[0].streams().collect::<Vec<_>>();
        assert_eq!(asked, [plain[0], named]);
    }
}
