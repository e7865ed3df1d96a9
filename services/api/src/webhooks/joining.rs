//! Asks log and read model for the mails that one refers to.

use std::collections::HashSet;
use std::slice;

use futures::future::try_join_all;
use hatch_domain::Email;
use hatch_domain::address::Address;
use hatch_domain::authentication::UNPROVEN_TOPIC;
use hatch_domain::conversation::conversation_id;
use hatch_domain::ids::ConversationId;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::message::mail_id::MailId;
use hatch_providers::{Inbound, sendgrid};
use hatch_readmodel::NamedMail;

use super::fitting::{MAILBOXES, count};
use super::own::{Home, all_of, identities, leave_fitting};
use super::record::Recording;
use super::threading::{
    Referred, Strength, Thread, Writers, local_part, names, thread, without_spaces,
};
use crate::problem::Problem;

/// Where a message belongs.
pub(super) struct Place {
    /// Its conversation.
    pub(super) conversation_id: ConversationId,
    /// The topic of that.
    pub(super) topic: Option<String>,
    /// The conversations of our mailboxes that it belongs to; it may have begun in one of them.
    pub(super) homes: Vec<Home>,
}

impl Place {
    /// Where a mail to `mailboxes` of ours belongs that joins a conversation of `referred`: there, and in those of the
    /// others of us.
    fn joined(
        id: ConversationId,
        topic: Option<String>,
        mut homes: Vec<Home>,
        mailboxes: &HashSet<Address>,
        referred: Option<&Referred>,
    ) -> Self {
        let (conversation_id, of) =
            referred.map_or_else(|| (id, HashSet::new()), |one| one.conversation_of(mailboxes));
        if !homes.is_empty() {
            let is_it = |home: &Home| of.contains(&*home.mailbox.identity());
            homes.remove(homes.iter().position(is_it).unwrap_or_default());
        }
        Self { conversation_id, topic, homes }
    }
}

impl Recording<'_> {
    /// Where a message belongs. Says in a mail which of its mailboxes are ours, and which conversation it refers to
    /// without joining it.
    pub(super) async fn place(&self, inbound: &mut Inbound) -> Result<Place, Problem> {
        let mut place = self.whole_place(inbound).await?;
        let left_out = leave_fitting(&mut place.homes);
        count(inbound, MAILBOXES, left_out);
        Ok(place)
    }

    /// The same, with all conversations of our mailboxes.
    async fn whole_place(&self, inbound: &mut Inbound) -> Result<Place, Problem> {
        let ours = self.webhooks.own.named_in(inbound);
        let homes = self.webhooks.own.homes(inbound, &ours);
        let (mut linked_to, mut topic) = (None, None);
        if let Some(mut email) = inbound.email.take() {
            email.ours = ours;
            let thread = self.thread(inbound, &email).await;
            let mailboxes = identities(&email.ours);
            let is_disproven = email.is_disproven();
            inbound.email = Some(email);
            let (thread, referred) = thread?;
            match thread {
                Thread::Joins(id, topic) => {
                    let one = referred.iter().find(|one| one.conversation_id == id);
                    return Ok(Place::joined(id, topic, homes, &mailboxes, one));
                }
                Thread::Apart(linked) => linked_to = linked,
            }
            topic = is_disproven.then(|| UNPROVEN_TOPIC.to_owned());
        }
        let tenant_id = self.account.tenant_id;
        let conversation_id = match homes.first() {
            Some(home) => conversation_id(tenant_id, &home.participants, topic.as_deref()),
            None => {
                let ours = inbound.email.as_ref().map(|email| email.ours.as_slice());
                let participants = all_of(inbound, ours.unwrap_or_default());
                conversation_id(tenant_id, &participants, topic.as_deref())
            }
        };
        if let Some(email) = inbound.email.as_mut() {
            email.linked_to = linked_to.filter(|linked| *linked != conversation_id);
            email.among = match homes.as_slice() {
                [first, _, ..] => first.participants.clone(),
                _ => Vec::new(),
            };
        }
        Ok(Place { conversation_id, topic, homes })
    }

    /// The conversation that a mail joins because of what it refers to.
    /// And what it refers to, as far as that is looked at.
    async fn thread(
        &self,
        inbound: &Inbound,
        email: &Email,
    ) -> Result<(Thread, Vec<Referred>), Problem> {
        let names = names(email);
        if names.is_empty() {
            return Ok((Thread::Apart(None), Vec::new()));
        }
        let writers = Writers::of(&inbound.from, &inbound.to, email);
        let nobody = HashSet::new();
        let own = self.own_mails(&names).await?;
        // As nearly all answers do: who got a mail of ours answers it.
        if let Some((_, best)) = own.first()
            && let joins @ Thread::Joins(..) =
                thread(email, &writers, slice::from_ref(best), &nobody)
        {
            return Ok((joins, vec![best.clone()]));
        }
        let mut found = self.named_mails(&names, &own).await?;
        found.extend(own);
        // The better ones before those that are named earlier.
        found.sort_by_key(|(name, one)| {
            (one.strength, names.iter().position(|known| known == name))
        });
        let referred: Vec<Referred> = found.into_iter().map(|(_, one)| one).collect();
        let best = referred.get(..1).unwrap_or_default();
        if let joins @ Thread::Joins(..) = thread(email, &writers, best, &nobody) {
            return Ok((joins, referred));
        }
        let members = self.members(&referred, &writers).await?;
        let thread = thread(email, &writers, &referred, &members);
        Ok((thread, referred))
    }

    /// Our own mails among those of these names, in order. That a name looks like ours proves nothing: the message says
    /// whether it is there and which conversation it belongs to.
    async fn own_mails<'n>(&self, names: &[&'n str]) -> Result<Vec<(&'n str, Referred)>, Problem> {
        let named = names.iter().filter_map(|name| Some((*name, own_id(name)?)));
        // The log reads those that are asked for at once in one query.
        let messages = named.map(|(name, id)| async move {
            let message = self.message(id.message_id).await?;
            let requested = message.requested();
            let ours =
                requested.filter(|requested| requested.conversation_id == id.conversation_id);
            Ok::<_, Problem>(ours.map(|requested| (name, Referred::from(requested))))
        });
        Ok(try_join_all(messages).await?.into_iter().flatten().collect())
    }

    /// The mails among those of the other names that the read model knows: those that came in, and those that a provider
    /// has named.
    async fn named_mails<'n>(
        &self,
        names: &[&'n str],
        own: &[(&'n str, Referred)],
    ) -> Result<Vec<(&'n str, Referred)>, Problem> {
        let others = names.iter().filter(|name| own.iter().all(|(known, _)| known != *name));
        let others: Vec<&str> = others.copied().collect();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let joined: Vec<String> = others.iter().filter_map(|name| without_spaces(name)).collect();
        let asked = others.iter().copied().chain(joined.iter().map(String::as_str));
        let asked: Vec<&str> = asked.collect();
        let given: Vec<&str> = others.iter().flat_map(|name| [*name, local_part(name)]).collect();
        let providers = [self.account.provider, sendgrid::PROVIDER];
        let tenant_id = self.account.tenant_id;
        let mails =
            self.webhooks.read_model.named_mails(tenant_id, &asked, &given, &providers).await?;
        let named = mails.into_iter().filter_map(|mail| {
            let is_it = |name: &&&str| {
                **name == mail.name
                    || (mail.by_provider && local_part(name) == mail.name)
                    || without_spaces(name).is_some_and(|name| name == mail.name)
            };
            let name = *others.iter().find(is_it)?;
            Some((name, Referred::from(mail)))
        });
        Ok(named.collect())
    }

    /// Those of the writers who have a part in the conversations, beyond what the mails themselves say.
    async fn members(
        &self,
        referred: &[Referred],
        writers: &Writers,
    ) -> Result<HashSet<(ConversationId, Address)>, Problem> {
        if referred.is_empty() {
            return Ok(HashSet::new());
        }
        let mut ids: Vec<ConversationId> = referred.iter().map(|one| one.conversation_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let writers: Vec<&Address> = writers.all().collect();
        let tenant_id = self.account.tenant_id;
        let members = self.webhooks.read_model.members(tenant_id, &ids, &writers).await?;
        Ok(members.into_iter().collect())
    }
}

/// The message and the conversation that a name tells, where it has the form of ours.
fn own_id(name: &str) -> Option<MailId> {
    let id = |name: &str| MailId::parse_any(name).map(|(id, _)| id);
    id(name).or_else(|| id(&without_spaces(name)?))
}

impl From<&MessageRequested> for Referred {
    fn from(requested: &MessageRequested) -> Self {
        let email = requested.email.as_deref();
        let copied = email.iter().flat_map(|email| &email.cc);
        let people = std::iter::once(&requested.from).chain(&requested.to).chain(copied);
        Self {
            strength: Strength::Own,
            conversation_id: requested.conversation_id,
            topic: requested.topic.clone(),
            subject: email.and_then(|email| email.subject.clone()),
            people: identities(people),
            ours: [requested.from.identity().into_owned()].into(),
            joined: Vec::new(),
        }
    }
}

impl From<NamedMail> for Referred {
    fn from(mail: NamedMail) -> Self {
        let strength = match (mail.by_provider, mail.is_outbound) {
            (true, _) => Strength::Provider,
            (false, true) => Strength::Own,
            (false, false) => Strength::Theirs,
        };
        Self {
            strength,
            conversation_id: mail.conversation_id,
            topic: mail.topic,
            subject: mail.subject,
            people: identities(&mail.people),
            ours: identities(&mail.ours),
            joined: mail
                .joined
                .iter()
                .map(|(id, mailbox)| (*id, mailbox.identity().into_owned()))
                .collect(),
        }
    }
}
