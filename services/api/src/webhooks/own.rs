//! Which mailboxes are ours, and at which of them a mail reached us. Pure: what is configured, and what the mail says.

use std::collections::HashSet;

use hatch_domain::address::{Address, AddressKind};
use hatch_domain::ids::ConversationId;
use hatch_domain::mailbox::Mailbox;
use hatch_providers::Inbound;

/// Mailboxes that are kept of those at which a mail reached us.
const REACHED_MAX: usize = 100;

/// Conversations of one mail that are kept, and bytes of those whom they are among: each of them is an event beside the
/// mail, which has most of an append for itself. Two of them fit, however many recipients a mail has.
const HOMES_MAX: usize = 20;
const HOMES_BYTES_MAX: usize = 72 * 1024;

/// Bytes of what stands around an address, and around the addresses of a conversation, in an event.
const ADDRESS_BYTES: usize = 3;
const HOME_BYTES: usize = 512;

/// The mailboxes that are ours, as far as that is configured.
#[derive(Debug, Clone, Default)]
pub struct OwnMailboxes {
    addresses: HashSet<Address>,
    /// As DNS has them.
    domains: HashSet<String>,
    /// Whether a mail to several of them belongs to one conversation that has them all.
    in_one_conversation: bool,
}

/// The conversation that the sender of a mail has with one of our mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    /// That mailbox.
    pub(super) mailbox: Address,
    /// Those whom the conversation is among, where it begins with this mail.
    pub(super) participants: Vec<Address>,
    /// The conversation, where it is known: the one that its thread is in.
    pub(super) known: Option<ConversationId>,
}

impl Home {
    /// Its bytes in an event, where nothing of the addresses is escaped.
    fn bytes(&self) -> usize {
        let addresses = self.participants.iter().chain([&self.mailbox]);
        HOME_BYTES + addresses.map(|one| one.as_str().len() + ADDRESS_BYTES).sum::<usize>()
    }
}

/// Leaves those of the conversations of a mail that there is room for, the first ones, and says how many others it had.
pub(super) fn leave_fitting(homes: &mut Vec<Home>) -> usize {
    let (count, mut bytes) = (homes.len(), 0);
    let fit = homes.iter().take(HOMES_MAX).take_while(|home| {
        bytes += home.bytes();
        bytes <= HOMES_BYTES_MAX
    });
    let fit = fit.count();
    homes.truncate(fit);
    count - fit
}

impl OwnMailboxes {
    /// Reads mailboxes such as `support@example.com` and whole domains such as `@example.com` or `*@example.com`.
    ///
    /// # Errors
    /// The entry that is neither.
    pub fn read<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, String> {
        let mut own = Self::default();
        for entry in entries {
            let text = entry.trim();
            let domain = text.strip_prefix('*').unwrap_or(text).strip_prefix('@');
            let read = match domain {
                Some(domain) => own.add_domain(domain),
                None => Mailbox::parse(text).ok().map(|mailbox| own.add(&mailbox.address)),
            };
            read.ok_or_else(|| format!("expected a mailbox or @ and a domain, got {entry:?}"))?;
        }
        Ok(own)
    }

    /// Has a mail to several of them belong to one conversation that has them all.
    pub const fn in_one_conversation(&mut self) {
        self.in_one_conversation = true;
    }

    /// Adds a mailbox.
    pub fn add(&mut self, address: &Address) {
        self.addresses.insert(address.identity().into_owned());
    }

    fn add_domain(&mut self, domain: &str) -> Option<()> {
        let any = Address::email(&format!("any@{domain}")).ok()?;
        let identity = any.identity();
        let (_, domain) = identity.as_str().rsplit_once('@')?;
        self.domains.insert(domain.to_owned());
        Some(())
    }

    /// Whether a mailbox is known to be ours.
    #[must_use]
    pub fn is_ours(&self, address: &Address) -> bool {
        if address.kind() != AddressKind::Email {
            return false;
        }
        let identity = address.identity();
        let domain = identity.as_str().rsplit_once('@').map(|(_, domain)| domain);
        self.addresses.contains(&*identity)
            || domain.is_some_and(|domain| self.domains.contains(domain))
    }

    /// The mailboxes of ours that a mail was written to, in the order in which it names them:
    ///
    /// 1. those of its recipients whom it was brought to by the envelope, and those that are configured as ours;
    /// 2. else those that are configured as ours and that only the envelope names: a blind copy;
    /// 3. else those whom a server says it brought it to, which forwarded it then: those that are configured as ours,
    ///    those of its recipients, and those that are not where the mail is read;
    /// 4. else its only recipient, unless we wrote it; of a mail to no mailbox, whom it was brought to.
    ///
    /// What only the envelope names and nobody configured is where the mail is read, such as the address of a parser:
    /// nobody wrote to that. Where a mail reached us at none of several recipients, nobody knows which is ours.
    fn reached(&self, inbound: &Inbound) -> Vec<Address> {
        let Some(email) = &inbound.email else { return Vec::new() };
        let named = each_once(inbound.to.iter().chain(&email.cc));
        let envelope = email.envelope.iter().flat_map(|envelope| &envelope.to);
        let carried = envelope.map(|text| Address::received_mailbox(text));
        let is_mailbox = |one: &Address| one.kind() == AddressKind::Email;
        let carried: Vec<Address> = carried.filter(is_mailbox).collect();
        let carried = each_once(&carried);
        let brought = identities(carried.iter().copied());
        let delivered = identities(&inbound.delivered_to);
        let forwarded = each_once(inbound.delivered_to.iter().filter(|one| is_mailbox(one)));
        let known = |one: &Address| brought.contains(&*one.identity()) || self.is_ours(one);
        let only = match inbound.to.as_slice() {
            to if !to.iter().any(is_mailbox) => some(&carried, |_| true),
            [only] if !self.is_ours(&inbound.from) => vec![only.clone()],
            _ => Vec::new(),
        };
        let choices = [
            some(&named, known),
            some(&carried, |one| self.is_ours(one)),
            some(&forwarded, |one| self.is_ours(one)),
            some(&named, |one| delivered.contains(&*one.identity())),
            some(&forwarded, |one| !brought.contains(&*one.identity())),
            only,
        ];
        choices.into_iter().find(|choice| !choice.is_empty()).unwrap_or_default()
    }

    /// All that are ours of those whom a mail names: those that it [reached](Self::reached) us at, and its sender where
    /// that is one.
    pub(super) fn named_in(&self, inbound: &Inbound) -> Vec<Address> {
        let mut ours = self.reached(inbound);
        ours.extend(self.got_unseen(inbound, &ours));
        let is_known = ours.iter().any(|one| one.identity() == inbound.from.identity());
        ours.extend((self.is_ours(&inbound.from) && !is_known).then(|| inbound.from.clone()));
        ours
    }
}

impl OwnMailboxes {
    /// The mailboxes that got a mail unseen beside `reached`, whom it names: those that only the envelope has or a server
    /// says it brought it to, and that are configured one by one, since of a whole domain one may be where mails are read.
    /// A mail that says that it was brought to one of `reached` was forwarded from there.
    fn got_unseen(&self, inbound: &Inbound, reached: &[Address]) -> Vec<Address> {
        let envelope = inbound.email.iter().flat_map(|email| &email.envelope);
        let carried: Vec<Address> = envelope
            .flat_map(|envelope| &envelope.to)
            .map(|text| Address::received_mailbox(text))
            .chain(inbound.delivered_to.iter().cloned())
            .collect();
        let (known, delivered) = (identities(reached), identities(&inbound.delivered_to));
        let is_forwarded = known.iter().any(|one| delivered.contains(one));
        if self.in_one_conversation || is_forwarded || !reached.iter().any(|one| self.is_ours(one))
        {
            return Vec::new();
        }
        let is_unseen = |one: &Address| {
            let identity = one.identity();
            self.addresses.contains(&*identity) && !known.contains(&*identity)
        };
        some(&each_once(&carried), is_unseen)
    }

    /// The conversations that a mail belongs to which reached mailboxes of ours, `ours`, the first one first: one of each
    /// mailbox, without the others. One, of its sender and all recipients, where it reached one of them: another post of
    /// it may have reached another one. None where it is to be in one conversation. Only what is configured counts: what
    /// the envelope alone says differs from post to post of the same mail.
    pub(super) fn homes(&self, inbound: &Inbound, ours: &[Address]) -> Vec<Home> {
        let sender = inbound.from.identity();
        let is_one = |one: &&Address| self.is_ours(one) && one.identity() != sender;
        let mailboxes: Vec<&Address> = ours.iter().filter(is_one).collect();
        if self.in_one_conversation {
            return Vec::new();
        }
        if let [only] = mailboxes.as_slice() {
            let mailbox = (*only).clone();
            return vec![Home { mailbox, participants: all_of(inbound, ours), known: None }];
        }
        // More of us may be there than are looked at.
        let others = inbound.to.iter().filter(|one| !self.is_ours(one));
        let others: Vec<&Address> = std::iter::once(&inbound.from).chain(others).collect();
        let home = |mailbox: &Address| {
            let participants = others.iter().copied().chain([mailbox]).cloned().collect();
            Home { mailbox: mailbox.clone(), participants, known: None }
        };
        mailboxes.into_iter().map(home).collect()
    }
}

/// The sender of a mail and all its recipients, and those of us, `ours`, who got a copy of a mail to none of us.
pub(super) fn all_of(inbound: &Inbound, ours: &[Address]) -> Vec<Address> {
    let known = identities(ours);
    let is_to_us = inbound.to.iter().any(|one| known.contains(&*one.identity()));
    let copied: &[Address] = if is_to_us { &[] } else { ours };
    std::iter::once(&inbound.from).chain(&inbound.to).chain(copied).cloned().collect()
}

/// What the addresses are compared by.
pub(super) fn identities<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> HashSet<Address> {
    addresses.into_iter().map(|one| one.identity().into_owned()).collect()
}

/// Those of the addresses that are wanted, as far as the limit goes.
fn some(list: &[&Address], is_one: impl Fn(&Address) -> bool) -> Vec<Address> {
    list.iter().copied().filter(|one| is_one(one)).take(REACHED_MAX).cloned().collect()
}

/// The addresses in order, each mailbox once.
fn each_once<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Vec<&'a Address> {
    let mut known = HashSet::new();
    addresses.into_iter().filter(|one| known.insert(one.identity())).collect()
}

#[cfg(test)]
mod tests {
    use hatch_domain::{Channel, Email, Envelope};

    use super::*;

    fn address(text: &str) -> Address {
        Address::email(text).expect("a mailbox")
    }

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| address(text)).collect()
    }

    /// A mail of a customer to, copied to, carried to, and delivered to.
    fn mail(to: &[&str], cc: &[&str], envelope: &[&str], delivered_to: &[&str]) -> Inbound {
        let envelope =
            Envelope { from: None, to: envelope.iter().map(|text| (*text).to_owned()).collect() };
        let email = Email { cc: addresses(cc), envelope: Some(envelope), ..Email::default() };
        Inbound {
            account: "a".to_owned(),
            provider_message_id: "1".to_owned(),
            channel: Channel::Email,
            from: address("cust@example.org"),
            to: addresses(to),
            body: None,
            attachments: Vec::new(),
            email: Some(Box::new(email)),
            delivered_to: addresses(delivered_to),
            segments: None,
        }
    }

    const SUPPORT: &str = "support@example.com";
    const PARSER: &str = "inbound@parse.example.com";

    #[test]
    fn a_mail_reached_us_at_the_mailboxes_that_people_wrote_to() {
        let own = OwnMailboxes::read(["sales@example.com", "*@Brand.example"]).expect("mailboxes");
        let boss = "boss@partner.example";
        for (to, cc, envelope, delivered_to, reached) in [
            (&[SUPPORT][..], &[][..], &[SUPPORT][..], &[][..], &[SUPPORT][..]),
            (&["Support@Example.com"], &[], &[SUPPORT], &[], &["Support@example.com"]),
            (&[boss], &[SUPPORT], &[SUPPORT], &[], &[SUPPORT]),
            (&[boss, SUPPORT], &[], &[SUPPORT], &[], &[SUPPORT]),
            (&[boss], &["help@brand.example"], &[PARSER], &[], &["help@brand.example"]),
            (&["help@other.example"], &[], &[PARSER], &[], &["help@other.example"]),
            (&[boss, "help@other.example"], &[], &[PARSER], &[], &[]),
            (
                &[boss, "help@other.example"],
                &[],
                &[PARSER],
                &["help@other.example"],
                &["help@other.example"],
            ),
            (&[boss], &[SUPPORT], &[SUPPORT], &[boss], &[SUPPORT]),
            (
                &["list@groups.example"],
                &[],
                &[PARSER],
                &[PARSER, "help@other.example"],
                &["help@other.example"],
            ),
            (&[boss], &[], &["sales@example.com"], &[], &["sales@example.com"]),
            (
                &["sales@example.com", SUPPORT],
                &[],
                &[SUPPORT],
                &[],
                &["sales@example.com", SUPPORT],
            ),
            (&[boss], &[], &["no mailbox"], &[], &[boss]),
            (&[], &[], &[], &[], &[]),
        ] {
            let mail = mail(to, cc, envelope, delivered_to);
            assert_eq!(own.reached(&mail), addresses(reached), "{to:?} {cc:?} {envelope:?}");
        }
    }

    #[test]
    fn a_mailbox_is_ours_however_it_is_written_and_only_of_the_very_domain() {
        let own = OwnMailboxes::read(["Help <Ann@Example.com>", "@b\u{fc}cher.example"]);
        let own = own.expect("mailboxes");
        for ours in ["ann@example.com", "ANN@EXAMPLE.COM", "any@xn--bcher-kva.example"] {
            assert!(own.is_ours(&address(ours)), "{ours}");
        }
        for not in ["bob@example.com", "any@a.xn--bcher-kva.example", "ann@example.com.evil.org"] {
            assert!(!own.is_ours(&address(not)), "{not}");
        }
        assert!(!own.is_ours(&Address::phone("+12016661234").expect("a number")));
    }

    #[test]
    fn a_mail_to_no_mailbox_reached_whom_it_was_brought_to() {
        let to = vec![Address::name("Undisclosed recipients").expect("a name")];
        let mail = Inbound { to, ..mail(&[], &[], &[SUPPORT], &[]) };
        assert_eq!(OwnMailboxes::default().named_in(&mail), addresses(&[SUPPORT]));
    }

    #[test]
    fn who_of_us_wrote_a_mail_is_ours_and_whom_it_is_to_is_not_therefore() {
        let own = OwnMailboxes::read(["ann@example.com"]).expect("a mailbox");
        let from_us = |to: &str, envelope: &[&str]| {
            let from = address("Ann@example.com");
            let mail = Inbound { from, ..mail(&[to], &[], envelope, &[]) };
            own.named_in(&mail)
        };
        assert_eq!(from_us(SUPPORT, &[SUPPORT]), addresses(&[SUPPORT, "Ann@example.com"]));
        assert_eq!(from_us("cust@example.org", &[PARSER]), addresses(&["Ann@example.com"]));
    }

    #[test]
    fn a_mail_to_several_of_us_has_a_conversation_of_each_without_the_others() {
        let (sales, boss) = ("sales@example.com", "boss@partner.example");
        let mut own = OwnMailboxes::read([SUPPORT, sales, "@brand.example"]).expect("mailboxes");
        for (to, cc, envelope, delivered_to, homes) in [
            (&[SUPPORT, sales][..], &[][..], &[SUPPORT][..], &[][..], &[SUPPORT, sales][..]),
            (&[sales, SUPPORT], &[], &[], &[], &[sales, SUPPORT]),
            (&[SUPPORT], &[sales], &[SUPPORT], &[], &[SUPPORT, sales]),
            (&[SUPPORT], &[], &[sales], &[], &[SUPPORT, sales]),
            (
                &[SUPPORT],
                &[],
                &[SUPPORT, "Sales@Example.com"],
                &[],
                &[SUPPORT, "Sales@example.com"],
            ),
            (&[SUPPORT, "help@brand.example"], &[], &[], &[], &[SUPPORT, "help@brand.example"]),
            (&[SUPPORT], &[], &["inbound@brand.example"], &[], &[SUPPORT]),
            (&[SUPPORT], &[], &[sales], &[SUPPORT], &[SUPPORT]),
            (&[SUPPORT], &[], &[PARSER], &[sales], &[SUPPORT, sales]),
            (&[SUPPORT], &[], &[PARSER], &[SUPPORT, sales], &[SUPPORT]),
            (&[SUPPORT], &[], &[PARSER], &["help@brand.example"], &[SUPPORT]),
            (&[SUPPORT], &[], &[SUPPORT], &[], &[SUPPORT]),
            (&[], &[], &[SUPPORT, sales], &[], &[SUPPORT, sales]),
            (&[], &[], &[SUPPORT], &[], &[SUPPORT]),
            (&[], &[], &[sales], &[], &[sales]),
            (&[], &[SUPPORT], &[PARSER], &[], &[SUPPORT]),
        ] {
            let mail = mail(&[to, &[boss]].concat(), cc, envelope, delivered_to);
            let found = own.homes(&mail, &own.named_in(&mail));
            let mailboxes: Vec<Address> = found.iter().map(|home| home.mailbox.clone()).collect();
            assert_eq!(mailboxes, addresses(homes), "{to:?} {cc:?} {envelope:?}");
            for Home { mailbox, participants, .. } in found {
                let among = [address("cust@example.org"), address(boss), mailbox];
                assert_eq!(identities(&participants), identities(&among), "{envelope:?}");
            }
        }
        // What the envelope alone has is where mails are read, and a part of the only conversation.
        let read = mail(&[SUPPORT, "help@other.example"], &[], &["help@other.example"], &[]);
        let participants = addresses(&["cust@example.org", SUPPORT, "help@other.example"]);
        let only = Home { mailbox: address(SUPPORT), participants, known: None };
        assert_eq!(own.homes(&read, &own.named_in(&read)), [only]);
        own.in_one_conversation();
        let mail = mail(&[SUPPORT, sales], &[], &[SUPPORT], &[]);
        assert_eq!(own.homes(&mail, &own.named_in(&mail)), []);
    }

    #[test]
    fn a_mail_to_very_many_of_us_has_the_conversations_that_there_is_room_for() {
        let own = OwnMailboxes::read(["@example.com"]).expect("a domain");
        let homes = |ours: usize, others: usize| {
            let ours = (0..ours).map(|n| format!("colleague.number{n}@example.com"));
            let others = (0..others).map(|n| format!("{n}{}@partner.example", "x".repeat(40)));
            let all: Vec<String> = ours.chain(others).collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let mail = mail(&all, &[], &[], &[]);
            let mut homes = own.homes(&mail, &own.named_in(&mail));
            let left_out = leave_fitting(&mut homes);
            let participants: Vec<&[Address]> =
                homes.iter().map(|home| home.participants.as_slice()).collect();
            let written = serde_json::to_string(&participants).expect("JSON").len();
            assert!(written <= HOMES_BYTES_MAX, "{written}");
            (homes.len(), left_out)
        };
        assert_eq!(homes(20, 10), (20, 0));
        assert_eq!(homes(500, 0), (20, 80), "no more than a hundred are looked at");
        assert_eq!(homes(2, 450), (2, 0), "as long as a list may be");
        let (kept, left_out) = homes(100, 200);
        assert!((2..10).contains(&kept) && kept + left_out == 100, "{kept}");
    }

    #[test]
    fn what_is_no_mailbox_is_refused_by_name() {
        for entry in ["", "@", "*", "example.com", "@a b", "+12016661234"] {
            let refused = OwnMailboxes::read([entry]).expect_err("none");
            assert!(refused.contains(&format!("{entry:?}")), "{refused}");
        }
    }
}
