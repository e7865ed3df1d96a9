//! A mail that came in: what it says, and what follows from that.

use bytes::Bytes;
use hatch_domain::address::Address;
use hatch_domain::authentication::{Authentication, Findings};
use hatch_domain::mailbox::{Mailbox, Person, PersonRole};
use hatch_domain::{Attachment, Channel, Email, Envelope};
use hatch_mail::{Cut, Facts, Headers, Mail, kind_of};
use uuid::{Uuid, uuid};

use super::envelope;
use crate::webhook::Inbound;

/// What a mail without a Message-ID is called: a UUIDv5, in this namespace, of what it says. It never
/// changes.
pub(crate) const NAMELESS: Uuid = uuid!("9a0f4c1d-77f2-4f4b-8e0e-3b7c5d1a2e64");

/// What a mail says, however it was posted.
pub(crate) struct Incoming {
    pub(crate) headers: Headers,
    pub(crate) body: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) files: Vec<Attachment>,
    /// What it is called if it does not say so itself.
    pub(crate) otherwise: Uuid,
}

impl Incoming {
    /// Reads the mail as it was carried.
    pub(crate) fn raw(mail: &Bytes, cut: &mut Cut) -> Self {
        let Mail { headers, text, html, files } = Mail::read(mail, cut);
        Self { headers, body: text, html, files, otherwise: Uuid::new_v5(&NAMELESS, mail) }
    }

    /// The mail as it came in by `account`, carried between those of `envelope`, of whose sender `findings` say what
    /// the provider found.
    pub(crate) fn inbound(
        self,
        account: &str,
        envelope: Option<Envelope>,
        findings: Findings,
        cut: Cut,
    ) -> Inbound {
        let Self { headers, body, html, files, otherwise } = self;
        let carried_from = envelope.as_ref().and_then(|envelope| envelope.from.as_ref());
        // One that names nobody is shown, and cannot be answered.
        let carried = || Address::received_mailbox(carried_from.map_or("", String::as_str)).into();
        let from = headers.from.unwrap_or_else(carried);
        let present = |text: Option<String>| text.filter(|text| !text.is_empty());
        let authentication = Authentication::of(&from.address, findings);
        let to = recipients(headers.to, envelope.as_ref(), &headers.delivered_to);
        let (cc, reply_to) = (headers.cc, headers.reply_to);
        let people = Person::of(PersonRole::From, &from)
            .into_iter()
            .chain(Person::among(PersonRole::To, &to))
            .chain(Person::among(PersonRole::Cc, &cc))
            .chain(Person::among(PersonRole::ReplyTo, reply_to.as_slice()));
        let people = people.collect();
        let kind = kind_of(
            &headers.signs,
            &Facts {
                from: from.address.as_str(),
                from_name: from.name.as_deref(),
                to: &to,
                subject: headers.subject.as_deref(),
                without_sender: envelope.as_ref().is_some_and(envelope::is_without_sender),
                text: body.as_deref(),
                html: html.as_deref(),
                files: &files,
                in_reply_to: headers.in_reply_to.as_ref(),
                references: &headers.references,
            },
        );
        let addresses =
            |list: Vec<Mailbox>| list.into_iter().map(|one| one.address).collect::<Vec<_>>();
        let email = Email {
            subject: present(headers.subject),
            html: present(html),
            cc: addresses(cc),
            reply_to: reply_to.map(|reply_to| reply_to.address),
            people,
            mail_id: headers.mail_id.clone(),
            in_reply_to: headers.in_reply_to,
            references: headers.references,
            authentication: Some(authentication)
                .filter(|found| *found != Authentication::default()),
            envelope,
            cut: cut.into_counts(),
            kind: kind.kind,
            signs: kind.signs,
            bounce: kind.bounce,
            ..Email::default()
        };
        Inbound {
            account: account.to_owned(),
            provider_message_id: headers.mail_id.unwrap_or_else(|| otherwise.to_string()),
            channel: Channel::Email,
            from: from.address,
            to: addresses(to),
            body: present(body),
            attachments: files,
            email: Some(Box::new(email)),
            delivered_to: addresses(headers.delivered_to),
            segments: None,
        }
    }
}

/// Those that the mail says it is to. Where it names none, as a blind copy may, whom it was brought to.
fn recipients(
    said: Vec<Mailbox>,
    envelope: Option<&Envelope>,
    delivered_to: &[Mailbox],
) -> Vec<Mailbox> {
    if !said.is_empty() {
        return said;
    }
    let brought = envelope.map(envelope::recipients).unwrap_or_default();
    if brought.is_empty() { delivered_to.to_vec() } else { brought }
}
