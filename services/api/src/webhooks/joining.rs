//! Asks log and read model for the mails that one refers to.

use std::collections::HashSet;
use std::slice;

use futures::future::try_join_all;
use hatch_domain::address::Address;
use hatch_domain::authentication::UNPROVEN_TOPIC;
use hatch_domain::conversation::conversation_id;
use hatch_domain::ids::ConversationId;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::message::mail_id::MailId;
use hatch_domain::{Channel, Email};
use hatch_providers::{Inbound, carriers_of};
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
    /// Where a mail belongs that joins the conversation `id`, in which the mails are that it refers to: there, and in
    /// the conversations of the others of us, `homes`: those in which one of these mails is, too, where its sender has a
    /// part by that. And the mailbox whose conversation it joins.
    fn joined(
        id: ConversationId,
        topic: Option<String>,
        homes: Vec<Home>,
        sender: &Address,
        referred: &[Referred],
    ) -> (Self, Option<Address>) {
        let there = || referred.iter().filter(|one| one.conversation_id == id);
        let (mut here, mut others) = (Vec::new(), Vec::new());
        for home in homes {
            let mut known = there().filter(|one| one.people.contains(sender));
            match known.find_map(|one| one.elsewhere(&home.mailbox)) {
                Some(known) => others.push(Home { known: Some(known), ..home }),
                None if there().any(|one| one.of.contains(&*home.mailbox.identity())) => {
                    here.push(home.mailbox);
                }
                None => others.push(home),
            }
        }
        if here.is_empty() && !others.is_empty() {
            // It is to others of us than the mails before: one of them goes on with that.
            here.push(others.remove(0).mailbox);
        }
        (Self { conversation_id: id, topic, homes: others }, here.into_iter().next())
    }
}

/// Has a mail name the one of us first whose conversation it begins in: that one answers there.
fn name_first(email: &mut Email, mailbox: &Address) {
    let is_it = |one: &Address| one.identity() == mailbox.identity();
    if let Some(place) = email.ours.iter().position(is_it) {
        let first = email.ours.remove(place);
        email.ours.insert(0, first);
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
            let is_disproven = email.is_disproven();
            inbound.email = Some(email);
            let (thread, referred) = thread?;
            match thread {
                Thread::Joins(id, topic) => {
                    let sender = inbound.from.identity().into_owned();
                    let (place, of) = Place::joined(id, topic, homes, &sender, &referred);
                    if let (Some(email), Some(of)) = (inbound.email.as_mut(), of) {
                        name_first(email, &of);
                    }
                    return Ok(place);
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
            if let [first, _, ..] = homes.as_slice() {
                email.among.clone_from(&first.participants);
                name_first(email, &first.mailbox);
            }
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
        let mailboxes = identities(&email.ours);
        let seen = found.into_iter().map(|(_, one)| one.seen_by(&mailboxes));
        let referred: Vec<Referred> = seen.collect();
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
        let mut providers = carriers_of(Channel::Email);
        providers.push(self.account.provider);
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
        let members = self.webhooks.read_model.taking_part(tenant_id, &ids, &writers).await?;
        Ok(members.into_iter().collect())
    }
}

/// The message and the conversation that a name tells, where it has the form of ours.
pub(super) fn own_id(name: &str) -> Option<MailId> {
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
            of: [requested.from.identity().into_owned()].into(),
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
            of: identities(&mail.ours),
            joined: mail
                .joined
                .iter()
                .map(|(id, mailbox)| (*id, mailbox.identity().into_owned()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const SUPPORT: &str = "support@example.com";
    const SALES: &str = "sales@example.com";
    const CUST: &str = "cust@example.org";

    fn address(text: &str) -> Address {
        Address::email(text).expect("a mailbox")
    }

    fn id(n: u128) -> ConversationId {
        ConversationId(Uuid::from_u128(n))
    }

    /// A mail of a customer in the first conversation, that of `of`, and in that of Sales where it joined that.
    fn referred(of: &[&str], joined: bool) -> Referred {
        let of: HashSet<Address> = of.iter().map(|text| address(text)).collect();
        let joined: Vec<_> = joined.then(|| (id(2), address(SALES))).into_iter().collect();
        let ours = of.iter().cloned().chain(joined.iter().map(|(_, of)| of.clone())).collect();
        Referred {
            strength: Strength::Theirs,
            conversation_id: id(1),
            topic: None,
            subject: None,
            people: [address(CUST)].into(),
            ours,
            of,
            joined,
        }
    }

    /// Whose conversation a mail to these of us joins, and the others that it belongs to, as far as they are known.
    fn goes(
        sender: &str,
        to: &[&str],
        referred: &[Referred],
    ) -> (Option<Address>, Vec<(Address, Option<ConversationId>)>) {
        let home = |text: &&str| {
            let participants = vec![address(sender), address(text)];
            Home { mailbox: address(text), participants, known: None }
        };
        let homes = to.iter().map(home).collect();
        let (place, of) = Place::joined(id(1), None, homes, &address(sender), referred);
        assert_eq!(place.conversation_id, id(1));
        (of, place.homes.into_iter().map(|home| (home.mailbox, home.known)).collect())
    }

    #[test]
    fn each_of_us_goes_on_with_the_conversation_that_it_has_the_thread_in() {
        let both = [referred(&[SUPPORT], true)];
        let (support, sales) = (Some(address(SUPPORT)), address(SALES));
        for to in [[SUPPORT, SALES], [SALES, SUPPORT]] {
            let expected = (support.clone(), vec![(sales.clone(), Some(id(2)))]);
            assert_eq!(goes(CUST, &to, &both), expected, "{to:?}");
        }
        let later = goes("eve@example.org", &[SUPPORT, SALES], &both);
        assert_eq!(later, (support.clone(), vec![(sales.clone(), None)]), "no part in that one");
        let alone = [referred(&[SALES], false)];
        let expected = (Some(sales), vec![(address(SUPPORT), None)]);
        assert_eq!(goes(CUST, &[SUPPORT, SALES], &alone), expected, "the order is no matter");
        let combined = [referred(&[SUPPORT, SALES], false)];
        assert_eq!(goes(CUST, &[SUPPORT, SALES], &combined), (support, Vec::new()));
        let office = address("office@example.com");
        assert_eq!(goes(CUST, &["office@example.com"], &both), (Some(office), Vec::new()));
        assert_eq!(goes(CUST, &[], &both), (None, Vec::new()));
    }

    #[test]
    fn whose_conversation_it_is_comes_first() {
        let ours = [SUPPORT, SALES].map(address).to_vec();
        let mut email = Email { ours, ..Email::default() };
        name_first(&mut email, &address("Sales@Example.com"));
        assert_eq!(email.ours, [SALES, SUPPORT].map(address));
        name_first(&mut email, &address(CUST));
        assert_eq!(email.ours, [SALES, SUPPORT].map(address));
    }
}
