//! Which conversation a mail joins. Pure: what it refers to, the best first, and who may join what is known of that.

use std::collections::HashSet;

use hatch_domain::Email;
use hatch_domain::address::Address;
use hatch_domain::ids::ConversationId;
use hatch_domain::message::mail_id::bare;

use super::subject;

/// References that are looked at: those of the latest mails, and that of the first.
const REFERENCES_MAX: usize = 20;

/// Recipients whose part in a conversation is looked at.
const RECIPIENTS_MAX: usize = 20;

/// A mail that another one refers to, as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Referred {
    /// How much the reference says.
    pub(super) strength: Strength,
    /// Its conversation.
    pub(super) conversation_id: ConversationId,
    /// The topic of that.
    pub(super) topic: Option<String>,
    /// Its subject.
    pub(super) subject: Option<String>,
    /// Its sender and all whom others can see that it went to, by what they are compared by.
    pub(super) people: HashSet<Address>,
    /// Those of them that are known to be ours.
    pub(super) ours: HashSet<Address>,
    /// Those of us whose that conversation is.
    pub(super) of: HashSet<Address>,
    /// The conversations that it joined beside the one that it began in, each with the mailbox of ours whose it is.
    pub(super) joined: Vec<(ConversationId, Address)>,
}

impl Referred {
    /// The same, in the one of its conversations that a mail to `mailboxes` of ours can join.
    pub(super) fn seen_by(mut self, mailboxes: &HashSet<Address>) -> Self {
        for (_, mailbox) in &self.joined {
            self.of.remove(mailbox);
        }
        let other = self.joined.iter().find(|(_, mailbox)| mailboxes.contains(mailbox));
        if let Some((id, mailbox)) = other.filter(|_| self.of.is_disjoint(mailboxes)).cloned() {
            self.conversation_id = id;
            self.of = [mailbox].into();
        }
        self
    }

    /// The conversation of `mailbox` that it is in, if that is another one.
    pub(super) fn elsewhere(&self, mailbox: &Address) -> Option<ConversationId> {
        let of_it = self.joined.iter().filter(|(_, of)| *of == *mailbox.identity());
        of_it.map(|(id, _)| *id).find(|id| *id != self.conversation_id)
    }
}

/// How much a reference says. The better ones go first, wherever a mail names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// A mail of ours, by the name that we gave it.
    Own,
    /// A mail of ours, by the name that its provider gave it.
    Provider,
    /// Somebody else's.
    Theirs,
}

/// Where a mail belongs because of what it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Thread {
    /// Into this conversation, with its topic.
    Joins(ConversationId, Option<String>),
    /// Where its participants say; it refers to a mail of this conversation, and has no part in that.
    Apart(Option<ConversationId>),
}

/// The Message-IDs that `email` refers to, each once: the one that it answers, then the latest of its thread, and at last
/// the first one.
pub(super) fn names(email: &Email) -> Vec<&str> {
    let answered = email.in_reply_to.iter();
    let (first, later) = email.references.split_first().unzip();
    let latest = later.into_iter().flatten().rev().take(REFERENCES_MAX - 1);
    let mut names: Vec<&str> = Vec::new();
    for name in answered.chain(latest).chain(first) {
        let name = bare(name);
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What an id may have been before somebody wrote it with a space in it, as a line that was broken.
pub(super) fn without_spaces(name: &str) -> Option<String> {
    name.contains(char::is_whitespace).then(|| name.split_whitespace().collect())
}

/// The part of an id before its domain: what providers answer a send with, who then name the mail by it.
pub(super) fn local_part(name: &str) -> &str {
    name.rsplit_once('@').map_or(name, |(local, _)| local)
}

/// Who sent a mail, and to whom else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Writers {
    /// The sender, by what it is compared by.
    pub(super) sender: Address,
    /// The recipients who are not ours, likewise, as far as they are looked at. None where nobody knows who is ours.
    pub(super) recipients: Vec<Address>,
}

impl Writers {
    /// Those of a mail from `sender` to `to`.
    pub(super) fn of(sender: &Address, to: &[Address], email: &Email) -> Self {
        let sender = sender.identity().into_owned();
        let is_known = to.iter().chain(&email.cc).any(|one| email.is_ours(one));
        let all = to.iter().chain(&email.cc).filter(|one| is_known && !email.is_ours(one));
        let all = all.map(|one| one.identity().into_owned()).filter(|one| *one != sender);
        Self { recipients: all.take(RECIPIENTS_MAX).collect(), sender }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.sender).chain(&self.recipients)
    }
}

/// Where a mail belongs that refers to `referred`, the best first. `members` are those of its writers who have a part in
/// the conversations of these, as far as the mails that it refers to do not say so themselves.
///
/// A mail of ours lets in who has a part in its conversation, since others learn its name: whoever got a blind copy, or a
/// mail that was passed on. The name of somebody else's mail says less; it lets in whom the conversation has already,
/// about the same thing, unless the mail is known not to be from whom it says; and who writes to somebody whom it has,
/// where the mail is known to be from whom it says and both name the thing.
pub(super) fn thread(
    email: &Email,
    writers: &Writers,
    referred: &[Referred],
    members: &HashSet<(ConversationId, Address)>,
) -> Thread {
    let (is_disproven, is_proven) = (email.is_disproven(), email.is_proven());
    for one in referred {
        let has_part = |writer: &Address| {
            one.people.contains(writer) || members.contains(&(one.conversation_id, writer.clone()))
        };
        let one_of_us = |writer: &Address| one.ours.contains(writer) && *writer != writers.sender;
        let joins = match one.strength {
            Strength::Own | Strength::Provider => has_part(&writers.sender),
            Strength::Theirs => {
                let lets_in = |writer: &Address| !one_of_us(writer) && has_part(writer);
                let (subject, other) = (email.subject.as_deref(), one.subject.as_deref());
                let by_others = is_proven
                    && subject::is_named(subject)
                    && subject::is_named(other)
                    && writers.recipients.iter().any(lets_in);
                !is_disproven
                    && subject::is_same(subject, other)
                    && (lets_in(&writers.sender) || by_others)
            }
        };
        if joins {
            return Thread::Joins(one.conversation_id, one.topic.clone());
        }
    }
    let tells = |one: &&Referred| !is_disproven || one.strength != Strength::Theirs;
    Thread::Apart(referred.iter().find(tells).map(|one| one.conversation_id))
}

#[cfg(test)]
mod tests {
    use hatch_domain::authentication::{Authentication, Verdict};
    use uuid::Uuid;

    use super::*;

    fn mail(in_reply_to: Option<&str>, thread: &[&str]) -> Email {
        Email {
            in_reply_to: in_reply_to.map(str::to_owned),
            references: thread.iter().map(|&name| name.to_owned()).collect(),
            ..Email::default()
        }
    }

    #[test]
    fn the_mail_that_is_answered_goes_first_and_then_the_latest_and_the_first_goes_last() {
        let email = mail(Some("c@x.com"), &["a@x.com", "b@x.com", "c@x.com", "d@x.com"]);
        assert_eq!(names(&email), ["c@x.com", "d@x.com", "b@x.com", "a@x.com"]);
        assert_eq!(names(&mail(None, &["a@x.com"])), ["a@x.com"]);
    }

    #[test]
    fn angle_brackets_and_spaces_do_not_matter() {
        assert_eq!(
            names(&mail(Some(" <a@x.com> "), &["<b@x.com>", "< a@x.com >"])),
            ["a@x.com", "b@x.com"]
        );
        assert_eq!(names(&mail(Some(" "), &["<>"])), [""; 0]);
        assert_eq!(names(&mail(None, &[])), [""; 0]);
        assert_eq!(without_spaces("a b\tc@x.com").as_deref(), Some("abc@x.com"));
        assert_eq!(without_spaces("abc@x.com"), None);
    }

    #[test]
    fn of_a_long_thread_the_newest_and_the_root_are_looked_at() {
        let all: Vec<String> = (0..1_000).map(|n| format!("{n}@x.com")).collect();
        let thread: Vec<&str> = all.iter().map(String::as_str).collect();
        let email = mail(None, &thread);
        let found = names(&email);
        assert_eq!(
            (found.len(), found[0], found[18], found[19]),
            (20, "999@x.com", "981@x.com", "0@x.com")
        );
    }

    #[test]
    fn a_provider_names_a_mail_with_and_without_its_domain() {
        assert_eq!(local_part("0100017f-000000@email.amazonses.com"), "0100017f-000000");
        assert_eq!(local_part("0100017f-000000"), "0100017f-000000");
    }

    const US: &str = "support@example.com";
    const ANN: &str = "ann@x.org";
    const BOB: &str = "bob@x.org";

    fn address(text: &str) -> Address {
        Address::email(text).expect("a mailbox")
    }

    /// A mail about an order from us to Ann, with a blind copy to Bob.
    fn referred(strength: Strength, n: u128) -> Referred {
        Referred {
            strength,
            conversation_id: ConversationId(Uuid::from_u128(n)),
            topic: Some("orders".to_owned()),
            subject: Some("Your order".to_owned()),
            people: [address(US), address("sales@example.com"), address(ANN)].into(),
            ours: [address(US), address("sales@example.com")].into(),
            of: [address(US), address("sales@example.com")].into(),
            joined: Vec::new(),
        }
    }

    #[test]
    fn of_a_mail_to_several_of_us_the_conversation_of_whom_is_written_to_is_joined() {
        let (sales, other) = (address("sales@example.com"), ConversationId(Uuid::from_u128(2)));
        let mut mail = referred(Strength::Theirs, 1);
        let joins = |mail: &Referred, to: &[&str]| {
            let seen = mail.clone().seen_by(&to.iter().map(|text| address(text)).collect());
            (seen.conversation_id, seen.of)
        };
        let both: HashSet<Address> = [address(US), sales.clone()].into();
        assert_eq!(joins(&mail, &["sales@example.com"]), (mail.conversation_id, both));
        mail.joined = vec![(other, sales.clone())];
        let own: HashSet<Address> = [address(US)].into();
        for to in [&[][..], &[US], &["sales@example.com", US], &["office@example.com"]] {
            assert_eq!(joins(&mail, to), (mail.conversation_id, own.clone()), "{to:?}");
        }
        assert_eq!(joins(&mail, &["sales@example.com"]), (other, [sales.clone()].into()));
        assert_eq!(mail.elsewhere(&address("Sales@Example.com")), Some(other));
        assert_eq!(mail.elsewhere(&address(US)), None);
        let seen = mail.seen_by(&[sales.clone()].into());
        assert_eq!(seen.elsewhere(&sales), None, "it is there");
    }

    #[test]
    fn a_part_in_one_conversation_of_a_mail_is_none_in_another_one() {
        let (sales, other) = (address("sales@example.com"), ConversationId(Uuid::from_u128(2)));
        let mut mail = referred(Strength::Theirs, 1);
        mail.joined = vec![(other, sales.clone())];
        let email = Email {
            subject: Some("Re: Your order".to_owned()),
            ours: vec![sales.clone()],
            ..Email::default()
        };
        let writers = Writers::of(&address(BOB), std::slice::from_ref(&sales), &email);
        let seen = [mail.clone().seen_by(&[sales].into())];
        let goes =
            |id: ConversationId| thread(&email, &writers, &seen, &[(id, address(BOB))].into());
        assert_eq!(goes(mail.conversation_id), apart(2));
        assert_eq!(goes(other), joins(2));
    }

    /// Where a mail belongs that refers to `referred`.
    fn goes(from: &str, to: &[&str], subject: &str, referred: &[Referred]) -> Thread {
        let email = Email {
            subject: Some(subject.to_owned()),
            ours: vec![address(US)],
            ..Email::default()
        };
        let to: Vec<Address> = to.iter().map(|text| address(text)).collect();
        let writers = Writers::of(&address(from), &to, &email);
        thread(&email, &writers, referred, &HashSet::new())
    }

    fn joins(n: u128) -> Thread {
        Thread::Joins(ConversationId(Uuid::from_u128(n)), Some("orders".to_owned()))
    }

    fn apart(n: u128) -> Thread {
        Thread::Apart(Some(ConversationId(Uuid::from_u128(n))))
    }

    #[test]
    fn who_has_a_part_in_the_conversation_of_our_mail_joins_it() {
        for strength in [Strength::Own, Strength::Provider] {
            let ours = [referred(strength, 1)];
            assert_eq!(goes("Ann@X.org", &[US], "Another thing", &ours), joins(1));
            assert_eq!(goes(BOB, &[US], "Re: Your order", &ours), apart(1), "a blind copy");
            assert_eq!(goes("evil@y.org", &[US, ANN], "Re: Your order", &ours), apart(1));
        }
    }

    #[test]
    fn by_the_name_of_another_mail_who_has_a_part_joins_with_the_same_subject_only() {
        let theirs = [referred(Strength::Theirs, 1)];
        assert_eq!(goes(ANN, &[US], "AW: your order", &theirs), joins(1));
        assert_eq!(goes(ANN, &[US], "Another thing", &theirs), apart(1));
        assert_eq!(
            goes(BOB, &[US, ANN], "Re: Your order", &theirs),
            apart(1),
            "anybody can say so"
        );
        let proven = |subject| {
            let dmarc = Some(Verdict::Pass);
            let authentication = Some(Authentication { dmarc, ..Authentication::default() });
            let email = Email {
                subject: Some(str::to_owned(subject)),
                ours: vec![address(US)],
                authentication,
                ..Email::default()
            };
            let writers = Writers::of(&address(BOB), &[address(US), address(ANN)], &email);
            thread(&email, &writers, &theirs, &HashSet::new())
        };
        assert_eq!(proven("Re: Your order"), joins(1), "Ann is there");
        assert_eq!(proven("Re:"), apart(1), "about nothing");
        for to in [&[US][..], &["sales@example.com"], &[US, "sales@example.com"]] {
            let goes = goes(BOB, to, "Re: Your order", &theirs);
            assert_eq!(goes, apart(1), "that we are there is no reason");
        }
    }

    #[test]
    fn the_next_best_is_joined_where_the_best_is_not() {
        let mut other = referred(Strength::Theirs, 2);
        other.people = [address(BOB)].into();
        let both = [referred(Strength::Own, 1), other];
        assert_eq!(goes(BOB, &[US], "Re: Your order", &both), joins(2));
        assert_eq!(goes("evil@y.org", &[US], "Re: Your order", &both), apart(1));
        assert_eq!(goes(BOB, &[US], "Re: Your order", &[]), Thread::Apart(None));
    }

    #[test]
    fn who_came_into_the_conversation_later_has_a_part_in_it() {
        let ours = [referred(Strength::Own, 1)];
        let email = Email::default();
        let writers = Writers::of(&address("BOB@x.org"), &[address(US)], &email);
        let members = [(ours[0].conversation_id, address(BOB))].into();
        assert_eq!(thread(&email, &writers, &ours, &members), joins(1));
    }

    #[test]
    fn a_mail_that_is_not_from_whom_it_says_joins_by_our_own_mail_only() {
        let dmarc = Some(Verdict::Fail);
        let email = Email {
            authentication: Some(Authentication { dmarc, ..Authentication::default() }),
            ..Email::default()
        };
        let writers = Writers::of(&address(ANN), &[address(US)], &email);
        let goes = |strength| thread(&email, &writers, &[referred(strength, 1)], &HashSet::new());
        assert_eq!(goes(Strength::Own), joins(1));
        assert_eq!(goes(Strength::Theirs), Thread::Apart(None));
    }
}
