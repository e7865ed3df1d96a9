//! Which channel a send is for.

use hatch_domain::Channel;
use hatch_domain::address::{Address, AddressKind};

use super::SendRequest;
use super::errors::Errors;
use super::recipients::too_many;
use crate::problem::FieldCode;

/// Channels of the API that nothing carries yet.
const NOT_YET: [&str; 3] = ["whatsapp", "voice", "voicemail"];

/// How other programs write that an address is one of WhatsApp's.
const WHATSAPP_PREFIX: &str = "whatsapp:";

/// What an address is where nothing says the channel.
const EXPECTED: &str = "expected a phone number, such as +12016661234, or a mailbox, such as user@example.com; \
                        names belong to a chat, which \"channel\": \"chat\" says";

/// The channel that the request names, or else means; none when it names one that there is not, or means none.
pub(super) fn channel(request: &SendRequest, errors: &mut Errors) -> Option<Channel> {
    let (pointer, name) = match (request.channel.as_deref(), request.r#type.as_deref()) {
        (None, None) => {
            return if names_whatsapp(request, errors) { None } else { meant(request, errors) };
        }
        (None, Some(name)) => ("/type", name),
        (Some(name), None) => ("/channel", name),
        (Some(name), Some(alias)) => {
            if name != alias {
                let detail = "expected the same as channel, or one of the two alone";
                errors.add_coded(FieldCode::Contradiction, "/type", detail);
                return None;
            }
            ("/channel", name)
        }
    };
    let found = Channel::ALL.into_iter().find(|channel| channel.as_str() == name);
    if found.is_none() {
        let known = Channel::ALL.map(Channel::as_str).join(", ");
        let (code, detail) = if NOT_YET.contains(&name) {
            let detail = format!("{name} is not available yet; expected one of {known}");
            (FieldCode::NotAvailable, detail)
        } else {
            (FieldCode::UnknownValue, format!("expected one of {known}, got {name:?}"))
        };
        errors.add_coded(code, pointer, detail);
    }
    match found {
        // In a chat anything is a name.
        Some(found) if found != Channel::Chat && names_whatsapp(request, errors) => None,
        // With files it is one, whatever its client calls it, as at the carriers.
        Some(Channel::Sms) if has_files(request) => Some(Channel::Mms),
        found => found,
    }
}

/// Names each address that is written as one of WhatsApp's, and tells whether there is one.
fn names_whatsapp(request: &SendRequest, errors: &mut Errors) -> bool {
    let prefix = |text: &str| text.trim().get(..WHATSAPP_PREFIX.len()).map(str::to_ascii_lowercase);
    let mut found = false;
    for (pointer, text) in addresses(request) {
        if prefix(text).as_deref() == Some(WHATSAPP_PREFIX) {
            found = true;
            let detail = "whatsapp is not available yet; expected a phone number alone, such as +12016661234";
            errors.add_coded(FieldCode::NotAvailable, pointer, detail);
        }
    }
    found
}

fn has_files(request: &SendRequest) -> bool {
    request.attachments.as_ref().is_some_and(|list| !list.is_empty())
}

/// A phone number makes it a text message, and an email address a mail. So an address of another kind than the rest
/// is named as wrong. Names alone make nothing: a mistyped address would be delivered to nobody.
fn meant(request: &SendRequest, errors: &mut Errors) -> Option<Channel> {
    let kinds = || addresses(request).map(|(_, text)| kind(text));
    let phone = kinds().any(|kind| kind == AddressKind::Phone);
    if !phone && kinds().any(|kind| kind == AddressKind::Email) {
        return Some(Channel::Email);
    }
    if phone || kinds().next().is_none() {
        return Some(if has_files(request) { Channel::Mms } else { Channel::Sms });
    }
    if request.names_mean_chat {
        return Some(Channel::Chat);
    }
    let count = request.to.as_ref().map_or(0, |to| to.0.len());
    if !too_many("/to", count, errors) {
        for (pointer, _) in addresses(request) {
            errors.add(pointer, EXPECTED);
        }
    }
    None
}

/// Sender and recipients as they are written, and where.
fn addresses(request: &SendRequest) -> impl Iterator<Item = (String, &str)> {
    let from = request.from.iter().map(|one| ("/from".to_owned(), one.address.as_str()));
    let to = request.to.as_ref().map_or(&[][..], |to| &to.0);
    let place = move |index| if to.len() == 1 { "/to".to_owned() } else { format!("/to/{index}") };
    from.chain(to.iter().enumerate().map(move |(index, one)| (place(index), one.address.as_str())))
}

fn kind(text: &str) -> AddressKind {
    match Address::written_kind(text) {
        AddressKind::Name if Address::is_dialled(text) => AddressKind::Phone,
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Recipients;
    use super::*;

    fn request(channel: Option<&str>, from: &str, to: &[&str]) -> SendRequest {
        SendRequest {
            channel: channel.map(str::to_owned),
            from: Some(from.to_owned().into()),
            to: Some(Recipients(to.iter().map(|&text| text.to_owned().into()).collect())),
            ..SendRequest::default()
        }
    }

    /// The channel, or where the addresses are that make it none.
    fn found(request: &SendRequest) -> Result<Channel, Vec<String>> {
        let mut errors = Errors::default();
        let pointers = |errors: Errors| errors.0.into_iter().map(|error| error.pointer).collect();
        channel(request, &mut errors).ok_or_else(|| pointers(errors))
    }

    #[test]
    fn a_chat_is_only_what_says_so() {
        let names = |channel| request(channel, "support", &["ann.example.com"]);
        assert_eq!(found(&names(None)), Err(vec!["/from".into(), "/to".into()]));
        assert_eq!(found(&names(Some("chat"))), Ok(Channel::Chat));
        let older = SendRequest { names_mean_chat: true, ..names(None) };
        assert_eq!(found(&older), Ok(Channel::Chat));
        let typed = SendRequest { r#type: Some("chat".into()), ..names(None) };
        assert_eq!(found(&typed), Ok(Channel::Chat));
        let several = request(None, "support", &["ann", "bob"]);
        assert_eq!(found(&several), Err(vec!["/from".into(), "/to/0".into(), "/to/1".into()]));
        let crowd = request(None, "support", &["ann"; 1_001]);
        assert_eq!(found(&crowd), Err(vec!["/to".into()]), "one error, and not a thousand");
    }

    #[test]
    fn one_address_that_is_one_says_what_the_others_have_to_be() {
        assert_eq!(found(&request(None, "+12016661234", &["ann"])), Ok(Channel::Sms));
        for written in [
            "201 666 1234",
            "201\u{2011}666\u{a0}1234",
            "\u{202a}+1 201 666 1234\u{202c}",
            "tel:+1-201-666-1234",
            "\u{ff0b}\u{ff11} 201 666 1234",
        ] {
            assert_eq!(
                found(&request(None, "support", &[written])),
                Ok(Channel::Sms),
                "{written:?}"
            );
        }
        assert_eq!(found(&request(None, "support", &["ann@example.com"])), Ok(Channel::Email));
    }

    #[test]
    fn an_address_of_whatsapp_is_recognised_wherever_it_stands() {
        let (ours, theirs) = ("whatsapp:+12016661234", " WhatsApp:+18045551234");
        assert_eq!(found(&request(None, ours, &[theirs])), Err(vec!["/from".into(), "/to".into()]));
        assert_eq!(
            found(&request(Some("sms"), "+12016661234", &[theirs])),
            Err(vec!["/to".into()])
        );
        let older = SendRequest { names_mean_chat: true, ..request(None, "ann", &[theirs]) };
        assert_eq!(found(&older), Err(vec!["/to".into()]));
        assert_eq!(found(&request(Some("chat"), "ann", &[theirs])), Ok(Channel::Chat));
    }
}
