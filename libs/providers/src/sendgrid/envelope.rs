//! Between whom a mail was carried, as Inbound Parse says in the field `envelope`.

use hatch_domain::Envelope;
use hatch_mail::Cut;
use serde_json::Value;

use crate::mail::envelope::kept;

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
    let from = said.get("from").and_then(Value::as_str);
    Some(kept(from, to.iter().filter_map(Value::as_str), cut))
}

#[cfg(test)]
mod tests {
    use hatch_mail::ADDRESSES_MAX;

    use super::*;
    use crate::mail::envelope::recipients;

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
