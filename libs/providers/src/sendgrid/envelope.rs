//! Between whom a mail was carried, as Inbound Parse says in the field `envelope`.

use std::collections::HashSet;

use hatch_domain::Envelope;
use hatch_domain::address::{Address, AddressKind};
use hatch_domain::mailbox::Mailbox;
use hatch_mail::{ADDRESSES_MAX, Cut, FIELD_BYTES_MAX, LIST_BYTES_MAX, clean};
use serde_json::Value;

/// Reads the field. What cannot be read of it is left out; what is beyond the limits is counted.
pub(super) fn read(field: Option<&[u8]>, cut: &mut Cut) -> Option<Envelope> {
    let text = String::from_utf8_lossy(field?);
    let said: Value = serde_json::from_str(&text).ok()?;
    let said = said.as_object()?;
    let to = match said.get("to") {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    let written = to.iter().filter_map(Value::as_str);
    let written: Vec<&str> = written.filter(|text| !text.trim().is_empty()).collect();
    let mut bytes = 0;
    let kept = written.iter().take(ADDRESSES_MAX).take_while(|text| {
        bytes += text.len();
        bytes <= LIST_BYTES_MAX
    });
    let to: Vec<String> = kept.map(|text| clean(text)).collect();
    cut.count("envelope", written.len() - to.len());
    let from = said.get("from").and_then(Value::as_str);
    // A bounce is from nobody, which some write as `<>`.
    let is_nobody =
        |from: &str| from.trim_matches(|c: char| "<>".contains(c) || c.is_whitespace()).is_empty();
    let from = from.filter(|from| !is_nobody(from) && from.len() <= FIELD_BYTES_MAX);
    Some(Envelope { from: from.map(clean), to })
}

/// Whether the mail was carried without a sender that a bounce could go to. Of one that was brought to nobody, nothing
/// is known.
pub(super) fn is_without_sender(envelope: &Envelope) -> bool {
    envelope.from.is_none() && !envelope.to.is_empty()
}

/// Whom the mail was brought to, each once. What is no mailbox is left out.
pub(super) fn recipients(envelope: &Envelope) -> Vec<Mailbox> {
    let mut known = HashSet::new();
    let read = envelope.to.iter().map(|text| Address::received_mailbox(text));
    let mailboxes = read.filter(|address| address.kind() == AddressKind::Email);
    let once = mailboxes.filter(|address| known.insert(address.identity().into_owned()));
    once.map(Mailbox::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(text: &str) -> Option<Envelope> {
        read(Some(text.as_bytes()), &mut Cut::default())
    }

    #[test]
    fn an_envelope_is_kept_as_it_is_written() {
        let whole =
            envelope(r#"{"to":["Support@Example.com"," x y "],"from":"Ann@x.org","more":1}"#);
        let to = vec!["Support@Example.com".to_owned(), " x y ".to_owned()];
        assert_eq!(whole, Some(Envelope { from: Some("Ann@x.org".to_owned()), to }));
        let recipients = recipients(&whole.expect("read"));
        assert_eq!(recipients.len(), 1, "what is no mailbox is shown and not written to");
    }

    #[test]
    fn what_cannot_be_read_of_an_envelope_costs_itself_only() {
        let one = Envelope { from: None, to: vec!["a@x.org".to_owned()] };
        for text in [
            r#"{"to":["a@x.org",7,null,""],"from":""}"#,
            r#"{"to":"a@x.org","from":7}"#,
            r#"{"to":["a@x.org"],"from":" <> "}"#,
            r#"{"to":["a@x.org"]}"#,
        ] {
            assert_eq!(envelope(text), Some(one.clone()), "{text}");
        }
        assert_eq!(envelope("{}"), Some(Envelope::default()));
        for text in ["", "[]", "7", "{\"to\":", "{\"to\":[\"cut \\ud83d\"]}"] {
            assert_eq!(envelope(text), None, "{text}");
        }
        assert_eq!(read(None, &mut Cut::default()), None);
    }

    #[test]
    fn an_envelope_has_limits() {
        let many: Vec<String> = (0..40_000).map(|n| format!("user{n}@example.com")).collect();
        let text = serde_json::json!({"to": many, "from": "x".repeat(10_000)}).to_string();
        let mut cut = Cut::default();
        let read = read(Some(text.as_bytes()), &mut cut).expect("an object");
        assert_eq!((read.to.len(), read.from), (ADDRESSES_MAX, None));
        assert_eq!(cut.into_counts()["envelope"], 39_500);
    }
}
