//! Who answers whom in a conversation. Pure: its last message says it, and what was written by us before.

use std::borrow::Cow;

use hatch_domain::address::{Address, AddressKind, SenderKind};
use hatch_domain::mailbox::{Mailbox, PersonRole};
use hatch_domain::message::Message;
use hatch_domain::{Channel, Email};
use hatch_readmodel::Direction;

use super::send_request::{
    Defaults, Recipients, SUBJECT_CHARACTERS_MAX, SendRequest, Written, breaks_line,
};
use crate::problem::{FieldCode, FieldError, Problem};

/// What answers begin their subject with.
const ANSWER: &str = "Re:";

/// What a message of the conversation says that an answer to it goes by.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) direction: Direction,
    pub(super) channel: Channel,
    pub(super) from: Address,
    pub(super) to: Vec<Address>,
    pub(super) email: Option<Box<Email>>,
    pub(super) topic: Option<String>,
}

impl Said {
    /// What a message says; none before its first event.
    pub(super) fn of(message: &Message) -> Option<Self> {
        if let Some(request) = message.requested() {
            return Some(Self {
                direction: Direction::Outbound,
                channel: request.channel,
                from: request.from.clone(),
                to: request.to.clone(),
                email: request.email.clone(),
                topic: request.topic.clone(),
            });
        }
        let received = message.received()?;
        let email = received.email.as_ref();
        // One of us wrote it elsewhere, and it came to none of us.
        let is_from_us =
            email.is_some_and(|email| email.is_ours(&received.from) && email.ours.len() == 1);
        Some(Self {
            direction: if is_from_us { Direction::Outbound } else { Direction::Inbound },
            channel: received.channel,
            from: received.from.clone(),
            to: received.to.clone(),
            email: received.email.clone(),
            topic: received.topic.clone(),
        })
    }

    /// The address with the name that the message shows with it.
    fn named(&self, address: &Address) -> Written {
        let people = self.email.iter().flat_map(|email| &email.people);
        let mut names = people.filter(|one| one.address == *address && one.role != PersonRole::Bcc);
        let name = names.next().map(|one| one.name.clone());
        Written { address: address.to_string(), name }
    }

    /// The recipients that are known to be ours: of a mail that came in, the mailboxes that it reached us at.
    fn reached(&self) -> impl Iterator<Item = &Address> {
        let ours = self.email.iter().flat_map(|email| &email.ours);
        let is_sender = |one: &&Address| one.identity() == self.from.identity();
        ours.filter(move |one| self.direction == Direction::Inbound && !is_sender(one))
    }

    /// Everybody but `sender` and who else of us is written to.
    fn others(&self, sender: &Address, ours: &[Cow<'_, Address>]) -> Vec<Address> {
        let is_sender = |one: &Address| one.identity() == sender.identity();
        let rest = self.to.iter().filter(|one| !is_sender(one));
        let others: Vec<&Address> = match self.direction {
            Direction::Outbound if is_sender(&self.from) || !self.to.iter().any(is_sender) => {
                rest.collect()
            }
            Direction::Outbound => std::iter::once(&self.from).chain(rest).collect(),
            Direction::Inbound => {
                let reply_to = self.email.as_ref().and_then(|email| email.reply_to.as_ref());
                // Where that is one of us, nobody would be answered.
                let reply_to =
                    reply_to.filter(|one| !is_sender(one) && !ours.contains(&one.identity()));
                // Whom alone it came to is one of us, unless it is known who is.
                let is_alone = self.to.len() == 1 && self.reached().next().is_none();
                let theirs = rest.filter(|one| !is_alone && !ours.contains(&one.identity()));
                let theirs = theirs.filter(|one| can_be_sent_to(self.channel, one));
                std::iter::once(reply_to.unwrap_or(&self.from)).chain(theirs).collect()
            }
        };
        // Who wrote to nobody else goes on with that.
        if others.is_empty() { self.to.clone() } else { others.into_iter().cloned().collect() }
    }
}

/// Says by what channel, from whom and to whom `request` goes, and what about, where it answers `last`. `wrote` are those
/// who wrote for us lately, the latest first, and `came` those who wrote to us.
pub(super) fn complete(
    request: &mut SendRequest,
    last: &Said,
    (wrote, came): (&[&str], &[&str]),
    defaults: Defaults<'_>,
) -> Result<(), Problem> {
    let default = match last.channel {
        Channel::Sms | Channel::Mms => defaults.phone,
        Channel::Email => defaults.email.map(|mailbox| &mailbox.address),
        Channel::Chat => None,
    };
    let wrote: Vec<Address> = wrote.iter().map(|text| Address::recorded(*text)).collect();
    let known = last.email.iter().flat_map(|email| &email.ours);
    let ours: Vec<Cow<'_, Address>> =
        wrote.iter().chain(known).chain(default).map(Address::identity).collect();
    let asked = request.from.as_ref().and_then(|written| understood(written, last.channel));
    let sender = match asked {
        Some(asked) if is_theirs(&asked, came, &ours) => {
            let detail = "is the address of somebody who wrote to us in the conversation";
            let error = FieldError::coded(FieldCode::Contradiction, "/from", detail);
            return Err(Problem::invalid(vec![error]));
        }
        Some(asked) => asked,
        // What is none is named when the whole request is looked at.
        None if request.from.is_some() => last.from.clone(),
        None => {
            let sender = sender(last, &ours)?;
            request.from = Some(shown(last, &sender, defaults));
            sender
        }
    };
    let others = last.others(&sender, &ours);
    if let Some(other) = others.iter().find(|other| !takes(last.channel, other)) {
        return Err(unanswerable(last.channel, other));
    }
    request.to = Some(Recipients(others.iter().map(|other| last.named(other)).collect()));
    if request.channel.is_none() && request.r#type.is_none() {
        let channel = if last.channel == Channel::Mms { Channel::Sms } else { last.channel };
        request.channel = Some(channel.as_str().to_owned());
    }
    if matches!(last.channel, Channel::Email | Channel::Chat) {
        request.topic.clone_from(&last.topic);
    }
    if last.channel == Channel::Email && request.subject.is_none() {
        let subject = last.email.as_ref().and_then(|email| email.subject.as_deref());
        request.subject = subject.map(answered);
    }
    Ok(())
}

/// Whether it is somebody's who wrote to us, and who is none of us.
fn is_theirs(asked: &Address, came: &[&str], ours: &[Cow<'_, Address>]) -> bool {
    let mut came = came.iter().map(|text| Address::recorded(*text));
    !ours.contains(&asked.identity()) && came.any(|one| one.identity() == asked.identity())
}

/// Who of us answers, where the request does not say it.
fn sender(last: &Said, ours: &[Cow<'_, Address>]) -> Result<Address, Problem> {
    let reached: Vec<&Address> = last.reached().collect();
    let candidates = match last.direction {
        Direction::Outbound => vec![&last.from],
        // Whom else it names is none of us.
        Direction::Inbound if !reached.is_empty() => reached,
        Direction::Inbound => last.to.iter().collect(),
    };
    let known = ours.iter().find_map(|one| candidates.iter().find(|c| c.identity() == *one));
    let only = candidates.first().filter(|_| candidates.len() == 1);
    let sender = known.or(only).filter(|sender| sends(last.channel, sender));
    sender.copied().cloned().ok_or_else(|| {
        let detail =
            "is required: which of the conversation's addresses is to answer cannot be told";
        Problem::invalid(vec![FieldError::coded(FieldCode::Required, "/from", detail)])
    })
}

/// The sender with the name that we show with it. How others call us is not how we do.
fn shown(last: &Said, sender: &Address, defaults: Defaults<'_>) -> Written {
    if last.direction == Direction::Outbound {
        return last.named(sender);
    }
    let is_default = |default: &&Mailbox| {
        last.channel == Channel::Email && default.address.identity() == sender.identity()
    };
    let name = defaults.email.filter(is_default).and_then(|default| default.name.clone());
    Written { address: sender.to_string(), name }
}

/// Whether a message by `channel` can come from the address.
fn sends(channel: Channel, address: &Address) -> bool {
    match channel {
        Channel::Sms | Channel::Mms => SenderKind::of(address).is_some(),
        Channel::Email | Channel::Chat => takes(channel, address),
    }
}

/// Whether a message by `channel` can go to the address.
fn takes(channel: Channel, address: &Address) -> bool {
    match channel {
        Channel::Sms | Channel::Mms => address.kind() == AddressKind::Phone,
        Channel::Email => address.kind() == AddressKind::Email,
        Channel::Chat => true,
    }
}

/// Whether a message can go to whom a mail names beside its sender. A provider's word for somebody, such as
/// `undisclosed recipients`, is no reason to answer nobody.
fn can_be_sent_to(channel: Channel, address: &Address) -> bool {
    match channel {
        Channel::Sms | Channel::Mms => Address::phone(address.as_str()).is_ok(),
        Channel::Email => Address::email(address.as_str()).is_ok(),
        Channel::Chat => true,
    }
}

/// Why nothing goes to `other`. A short code may take answers at the carriers of its country; a name takes none.
fn unanswerable(channel: Channel, other: &Address) -> Problem {
    let is_code = other.as_str().bytes().all(|byte| byte.is_ascii_digit());
    if other.kind() != AddressKind::Name || is_code {
        let channel = channel.as_str();
        return Problem::unanswerable(format!("{other} takes no answer by {channel}"));
    }
    let code = match channel {
        Channel::Email => FieldCode::InvalidEmailAddress,
        _ => FieldCode::InvalidPhoneNumber,
    };
    let detail = format!("{other} is the name of a sender, which cannot be written to");
    Problem::invalid(vec![FieldError::coded(code, "/to", detail)])
}

fn understood(written: &Written, channel: Channel) -> Option<Address> {
    let text = &written.address;
    match channel {
        Channel::Sms | Channel::Mms => Address::sender(text).ok(),
        Channel::Email => Mailbox::parse(text).ok().map(|mailbox| mailbox.address),
        Channel::Chat => Address::read(text).ok(),
    }
}

/// The subject of an answer: the same in one line, with `Re:` before it once.
fn answered(subject: &str) -> String {
    let line = subject.split(breaks_line).collect::<Vec<_>>().join(" ");
    let line = line.trim();
    let is_answer =
        line.get(..ANSWER.len()).is_some_and(|start| start.eq_ignore_ascii_case(ANSWER));
    let line = if is_answer { line.to_owned() } else { format!("{ANSWER} {line}") };
    line.chars().take(SUBJECT_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use hatch_domain::mailbox::Person;

    use super::*;

    const SUPPORT: &str = "support@example.com";

    fn mail(text: &str) -> Address {
        Address::email(text).expect("a mailbox")
    }

    fn said(direction: Direction, from: &str, to: &[&str]) -> Said {
        Said {
            direction,
            channel: Channel::Email,
            from: mail(from),
            to: to.iter().map(|text| mail(text)).collect(),
            email: Some(Box::new(Email { subject: Some("Hi".to_owned()), ..Email::default() })),
            topic: None,
        }
    }

    fn defaults(email: Option<&Mailbox>) -> Defaults<'_> {
        Defaults { phone: None, email, subject: "" }
    }

    /// From whom and to whom an answer goes.
    fn goes(
        from: Option<&str>,
        last: &Said,
        wrote: &[&str],
    ) -> Result<(String, Vec<String>), Problem> {
        let ours = Mailbox::from(mail(SUPPORT));
        let from = from.map(|from| from.to_owned().into());
        let mut request = SendRequest { from, ..SendRequest::default() };
        let came = [last.from.to_string()];
        let came: Vec<&str> = came.iter().map(String::as_str).collect();
        let came = if last.direction == Direction::Inbound { &came[..] } else { &[] };
        complete(&mut request, last, (wrote, came), defaults(Some(&ours)))?;
        let to = request.to.expect("recipients").0.into_iter().map(|one| one.address);
        Ok((request.from.expect("a sender").address, to.collect()))
    }

    fn expect(from: &str, to: &[&str]) -> (String, Vec<String>) {
        (from.to_owned(), to.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn who_wrote_is_answered_by_whom_it_came_to() {
        let last = said(Direction::Inbound, "ann@x.com", &["shop@example.com"]);
        assert_eq!(goes(None, &last, &[]).ok(), Some(expect("shop@example.com", &["ann@x.com"])));
        let asked = goes(Some("other@example.com"), &last, &[]).ok();
        assert_eq!(asked, Some(expect("other@example.com", &["ann@x.com"])));
        let mut elsewhere = last;
        elsewhere.email.as_mut().expect("a mail").reply_to = Some(mail("desk@x.com"));
        let answer = goes(None, &elsewhere, &[]).ok();
        assert_eq!(answer, Some(expect("shop@example.com", &["desk@x.com"])));
        for ours in ["shop@example.com", SUPPORT] {
            elsewhere.email.as_mut().expect("a mail").reply_to = Some(mail(ours));
            let answer = goes(None, &elsewhere, &[]).ok();
            assert_eq!(answer, Some(expect("shop@example.com", &["ann@x.com"])), "not ourselves");
        }
        assert!(
            goes(Some("Ann@x.com"), &elsewhere, &[]).is_err(),
            "nobody answers as the customer"
        );
    }

    #[test]
    fn of_several_who_got_it_the_one_answers_who_is_known_to_be_ours() {
        let last = said(Direction::Inbound, "ann@x.com", &["bob@x.com", "Shop@example.com"]);
        assert!(goes(None, &last, &[]).is_err(), "the request has to say it");
        let answer = expect("Shop@example.com", &["ann@x.com", "bob@x.com"]);
        assert_eq!(goes(None, &last, &["shop@example.com"]).ok(), Some(answer.clone()));
        let asked = goes(Some("Shop@example.com"), &last, &[]).ok();
        assert_eq!(asked, Some(answer));
        let both = said(Direction::Inbound, "ann@x.com", &[SUPPORT, "shop@example.com"]);
        let answer = expect("shop@example.com", &["ann@x.com"]);
        assert_eq!(goes(None, &both, &["shop@example.com"]).ok(), Some(answer), "not to ourselves");
    }

    #[test]
    fn the_mailbox_that_a_mail_reached_answers_it_and_nobody_else_does() {
        let reached = |to: &[&str], ours: &[&str]| {
            let mut last = said(Direction::Inbound, "ann@x.com", to);
            last.email.as_mut().expect("a mail").ours = ours.iter().map(|one| mail(one)).collect();
            last
        };
        let copied = reached(&["boss@partner.example"], &["shop@example.com"]);
        let answer = expect("shop@example.com", &["ann@x.com", "boss@partner.example"]);
        assert_eq!(goes(None, &copied, &[]).ok(), Some(answer));
        let wrote = goes(None, &copied, &["boss@partner.example"]).ok();
        assert_eq!(
            wrote,
            Some(expect("shop@example.com", &["ann@x.com"])),
            "it reached another of us"
        );
        let one_of_two =
            reached(&["boss@partner.example", "shop@example.com"], &["shop@example.com"]);
        let answer = expect("shop@example.com", &["ann@x.com", "boss@partner.example"]);
        assert_eq!(goes(None, &one_of_two, &[]).ok(), Some(answer));
        let two = reached(&["a@example.com", "b@example.com"], &["a@example.com", "b@example.com"]);
        let answer = |from| Some(expect(from, &["ann@x.com"]));
        assert_eq!(goes(None, &two, &[]).ok(), answer("a@example.com"), "the first of them");
        assert_eq!(goes(None, &two, &["b@example.com"]).ok(), answer("b@example.com"));
        let from_us = reached(&["shop@example.com"], &["shop@example.com", "ann@x.com"]);
        assert_eq!(goes(None, &from_us, &[]).ok(), answer("shop@example.com"));
    }

    #[test]
    fn who_wrote_last_goes_on_and_the_other_side_answers_where_it_is_asked_to() {
        let last = said(Direction::Outbound, SUPPORT, &["ann@x.com", "bob@x.com"]);
        let answer = expect(SUPPORT, &["ann@x.com", "bob@x.com"]);
        assert_eq!(goes(None, &last, &[SUPPORT]).ok(), Some(answer));
        let other = goes(Some("ANN@x.com"), &last, &[SUPPORT]).ok();
        assert_eq!(other, Some(expect("ANN@x.com", &[SUPPORT, "bob@x.com"])));
    }

    #[test]
    fn what_takes_no_answer_is_said() {
        let phone = |text: &str| Address::received_phone(text);
        let sms = |from: &str, to: &str| Said {
            channel: Channel::Sms,
            from: phone(from),
            to: vec![phone(to)],
            email: None,
            ..said(Direction::Inbound, "a@x.com", &[])
        };
        let number = "+12016661234";
        assert!(goes(None, &sms("73822", number), &[]).is_err(), "a short code");
        let ours = goes(None, &sms(number, "73822"), &[]).ok();
        assert_eq!(ours, Some(expect("73822", &[number])), "ours is one, and answers");
        let named = goes(None, &sms("MYBANK", number), &[]).expect_err("a name");
        assert!(format!("{named:?}").contains("status: 400"), "{named:?}");
        let asked = goes(Some("+18045551234"), &sms(number, "73822"), &[]).ok();
        assert_eq!(asked, Some(expect("+18045551234", &[number])));
        let alone = said(Direction::Outbound, "ann@x.com", &["ann@x.com"]);
        assert_eq!(goes(None, &alone, &[]).ok(), Some(expect("ann@x.com", &["ann@x.com"])));
    }

    #[test]
    fn names_and_topic_come_along_and_a_subject_is_an_answer_once() {
        let mut last = said(Direction::Inbound, "ann@x.com", &["shop@example.com"]);
        last.topic = Some("invoice".to_owned());
        let person =
            |role, address: &str| Person { role, address: mail(address), name: "N".to_owned() };
        last.email.as_mut().expect("a mail").people =
            vec![person(PersonRole::From, "ann@x.com"), person(PersonRole::To, "shop@example.com")];
        let mut request = SendRequest::default();
        complete(&mut request, &last, (&[], &[]), defaults(None)).expect("an answer");
        let ann = Written { address: "ann@x.com".to_owned(), name: Some("N".to_owned()) };
        assert_eq!(request.to.expect("recipients").0, [ann]);
        assert_eq!(request.from, Some("shop@example.com".to_owned().into()));
        assert_eq!(request.topic.as_deref(), Some("invoice"));
        assert_eq!(request.channel.as_deref(), Some("email"));
        assert_eq!(request.subject.as_deref(), Some("Re: Hi"));
        for (subject, expected) in
            [("RE: Hi", "RE: Hi"), ("re:Hi", "re:Hi"), ("a\r\nb", "Re: a  b")]
        {
            assert_eq!(answered(subject), expected);
        }
        assert_eq!(answered(&"x".repeat(2_000)).chars().count(), SUBJECT_CHARACTERS_MAX);
    }
}
