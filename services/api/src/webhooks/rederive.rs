//! Mails are read again, from the requests that brought them: a build that reads better than the one before shows old
//! mails better, too. Nothing is sent, and nothing moves: who wrote to whom, and in which conversation, stays.

use std::collections::BTreeSet;

use hatch_domain::Email;
use hatch_domain::ids::TenantId;
use hatch_domain::message::command::MessageCommand;
use hatch_domain::message::event::MessageReceived;
use hatch_domain::message::{Message, inbound_message_id};
use hatch_eventstore::{Execute, Metadata};
use hatch_providers::{Inbound, Observation};
use hatch_readmodel::{Content, KeptMail};

use super::fitting::{Aside, MAILBOXES, fit, set_aside};
use super::receive::failure;
use super::replay::request;
use super::verified::verified;
use super::{WebhookAccount, Webhooks};
use crate::problem::Problem;

/// Who reads mails again, as the events have it.
const ACTOR: &str = "cli";

/// What reading a mail again came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rederived {
    /// It reads as it did.
    Same,
    /// It reads otherwise, in these fields of the message.
    Changed(BTreeSet<&'static str>),
    /// It was left alone, for this reason.
    Left(String),
}

impl Webhooks {
    /// Reads a mail of `tenant` again, and records what is new about it, unless it is only to be `tried`. Again is as once.
    ///
    /// # Errors
    /// When the log or the read model cannot be read or written.
    pub async fn rederive(
        &self,
        tenant: TenantId,
        kept: &KeptMail,
        tried: bool,
    ) -> Result<Rederived, Problem> {
        let left = |why: String| Ok(Rederived::Left(why));
        let path = &kept.mail.path_and_query;
        let Some(account) = self.account_at(path) else {
            return left(format!("no account is set that takes {path}"));
        };
        let Ok(account) = verified(account, tenant, kept.mail.verified.as_ref()) else {
            return left(format!("another account takes {path} than the one that it came by"));
        };
        let before = self.store.load::<Message>(tenant.0, kept.message_id.0).await?;
        let Some(before) = before.state.received() else {
            return left("no such message came in".to_owned());
        };
        let names = before.email.as_ref().and_then(|email| email.raw.as_ref());
        if names != Some(&kept.digest) {
            // A repeat of it, which said nothing new when it came.
            return Ok(Rederived::Same);
        }
        let (inbound, contents) = match self.read_again(&account, kept, before).await? {
            Ok(read) => read,
            Err(why) => return left(why),
        };
        let after = reading(before, inbound);
        let changed = differences(before, &after);
        if changed.is_empty() {
            return Ok(Rederived::Same);
        }
        if !tried {
            self.read_model.keep_contents(tenant, &contents).await?;
            let at = self.store.environment().now();
            let command = MessageCommand::Reread { message: Box::new(after), at };
            let id = kept.message_id.0;
            let metadata =
                Metadata { correlation_id: id, actor: ACTOR.to_owned(), ..Metadata::default() };
            self.store.execute(Execute::<Message>::new(tenant.0, id, &command, metadata)).await?;
        }
        Ok(Rederived::Changed(changed))
    }

    /// What the request says of that message now, as an event holds it, and what is kept beside that.
    async fn read_again(
        &self,
        account: &WebhookAccount,
        kept: &KeptMail,
        before: &MessageReceived,
    ) -> Result<Result<(Inbound, Vec<Content>), String>, Problem> {
        let mail = &kept.mail;
        let parts = (mail.method.as_str(), mail.path_and_query.as_str(), &mail.headers);
        let Some(raw) = request(parts, kept.body.clone()) else {
            return Ok(Err("what is kept of it cannot be read".to_owned()));
        };
        let mut observations = match self.readers.parse(account, &raw).await? {
            Ok(observations) => observations,
            Err(error) => return Ok(Err(failure(&error))),
        };
        let taken_out = move || {
            let aside = set_aside(&mut observations, &[]);
            (observations, aside)
        };
        let (observations, Aside { contents, .. }) =
            self.readers.read(raw.body.len(), taken_out).await?;
        let mails = observations.into_iter().filter_map(|observation| match observation {
            Observation::Inbound(inbound) if inbound.email.is_some() => Some(inbound),
            _ => None,
        });
        let mut mails: Vec<Inbound> = mails.collect();
        // One whose Message-ID another mail has carried before has an id of its own.
        let own = mails.iter().position(|one| {
            let Inbound { account, channel, provider_message_id, .. } = one;
            let id = inbound_message_id(&before.provider, account, *channel, provider_message_id);
            id == kept.message_id
        });
        let place = own.or_else(|| (mails.len() == 1).then_some(0));
        Ok(match place.map(|place| mails.swap_remove(place)) {
            Some(mut inbound) => {
                fit(&mut inbound);
                Ok((inbound, contents))
            }
            None => Err("it says nothing of this message any more".to_owned()),
        })
    }
}

/// The message with what `inbound` says of it, without what was found out beside the mail.
fn reading(before: &MessageReceived, inbound: Inbound) -> MessageReceived {
    let email = inbound.email.map(|mut email| {
        if let Some(known) = &before.email {
            keep_findings(&mut email, known);
        }
        email
    });
    MessageReceived {
        body: inbound.body,
        attachments: inbound.attachments,
        email,
        segments: inbound.segments,
        ..before.clone()
    }
}

/// Keeps what the log and the read models told when the mail came, and what it is called: others have acted upon that.
fn keep_findings(email: &mut Email, known: &Email) {
    email.raw.clone_from(&known.raw);
    email.mail_id.clone_from(&known.mail_id);
    email.repeated_id = known.repeated_id;
    email.ours.clone_from(&known.ours);
    email.among.clone_from(&known.among);
    email.linked_to = known.linked_to;
    let left_out = known.cut.get(MAILBOXES).map(|count| (MAILBOXES.to_owned(), *count));
    email.cut.extend(left_out);
}

/// The fields of the message, as it is shown, in which the readings differ.
fn differences(before: &MessageReceived, after: &MessageReceived) -> BTreeSet<&'static str> {
    let no_email = Email::default();
    let (old, new) = (before.email.as_deref(), after.email.as_deref());
    let (old, new) = (old.unwrap_or(&no_email), new.unwrap_or(&no_email));
    let mut changed = BTreeSet::new();
    for (field, differs) in [
        ("body", before.body != after.body),
        ("subject", old.subject != new.subject),
        ("html", old.html != new.html),
        ("attachments", before.attachments != after.attachments),
        ("cc", old.cc != new.cc),
        ("reply_to", old.reply_to != new.reply_to),
        ("people", old.people != new.people),
        ("kind", old.kind != new.kind || old.signs != new.signs),
        ("envelope", old.envelope != new.envelope),
        ("authentication", old.authentication != new.authentication),
    ] {
        if differs {
            changed.insert(field);
        }
    }
    if changed.is_empty() && before != after {
        changed.insert("other");
    }
    changed
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use hatch_domain::address::Address;
    use hatch_domain::conversation::conversation_id;
    use hatch_domain::{Attachment, Channel};

    use super::*;

    fn message(email: Email) -> MessageReceived {
        let address = |text| Address::email(text).expect("an address");
        let (from, to) = (address("ann@example.com"), address("us@example.com"));
        MessageReceived {
            conversation_id: conversation_id(TenantId::DEFAULT, [&from, &to], None),
            channel: Channel::Email,
            provider: "sendgrid".to_owned(),
            account: "sendgrid".to_owned(),
            provider_message_id: "a@example.com".to_owned(),
            from,
            to: vec![to],
            body: Some("Gr\u{fffd}e".to_owned()),
            attachments: Vec::new(),
            email: Some(Box::new(email)),
            topic: None,
            segments: None,
            suggests: None,
            test: false,
            at: DateTime::UNIX_EPOCH,
        }
    }

    /// As another build reads it, which takes it for a mail from somebody else.
    fn inbound(email: Email) -> Inbound {
        let MessageReceived { account, provider_message_id, channel, to, .. } =
            message(Email::default());
        let file = Attachment { digest: Some("ab".repeat(32)), ..Attachment::default() };
        Inbound {
            account,
            provider_message_id,
            channel,
            from: Address::email("else@example.com").expect("an address"),
            to,
            body: Some("Grüße".to_owned()),
            attachments: vec![file],
            email: Some(Box::new(email)),
            segments: None,
            delivered_to: Vec::new(),
        }
    }

    #[test]
    fn a_reading_changes_what_a_mail_says_and_nothing_that_was_found_out_beside_it() {
        let known = Email {
            repeated_id: true,
            ours: vec![Address::email("us@example.com").expect("an address")],
            raw: Some("cd".repeat(32)),
            mail_id: Some("a@example.com".to_owned()),
            ..Email::default()
        };
        let before = message(known.clone());
        let read = Email { subject: Some("Hi".to_owned()), ..Email::default() };
        let after = reading(&before, inbound(read));
        assert_eq!((&after.from, &after.conversation_id), (&before.from, &before.conversation_id));
        let subject = Some("Hi".to_owned());
        assert_eq!(after.email.as_deref(), Some(&Email { subject, ..known }));
        assert_eq!(differences(&before, &after), ["attachments", "body", "subject"].into());
        assert!(differences(&after, &after).is_empty());
    }

    #[test]
    fn what_no_field_shows_differs_too() {
        let before = message(Email::default());
        let references = vec!["b@example.com".to_owned()];
        let after = message(Email { references, ..Email::default() });
        assert_eq!(differences(&before, &after), ["other"].into());
    }
}
