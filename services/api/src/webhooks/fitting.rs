//! Cuts an inbound mail down to the size that one append can hold.
//!
//! The parts that are left out stay in the webhook's body, which is kept whole then.

use hatch_domain::Attachment;
use hatch_providers::{Inbound, Observation};

/// Bytes, as JSON, that a mail brings into the log. An append holds a megabyte, and the webhook's row may take a
/// quarter of it.
const MAIL_BYTES_MAX: usize = 640 * 1024;

/// Bytes of it, as JSON, for its texts.
const TEXTS_BYTES_MAX: usize = 512 * 1024;

/// Bytes of it for its files, in base64.
const FILES_BYTES_MAX: usize = 384 * 1024;

/// Bytes of what stands around the name and the type of a file.
const FILE_BYTES: usize = 64;

/// Bytes of what stands around the address and the name of a person.
const PERSON_BYTES: usize = 40;

/// The end of a text that was cut off.
const CUT: &str = "\n[…]";

/// Whether something of it is not in the log afterwards.
pub(super) fn is_too_large(observation: &Observation) -> bool {
    let Observation::Inbound(inbound) = observation else { return false };
    if inbound.email.as_ref().is_some_and(|email| !email.cut.is_empty()) {
        return true;
    }
    let contents = inbound.attachments.iter().filter_map(|file| file.content.as_ref());
    let texts = texts_bytes(inbound);
    let contents = contents.map(String::len).sum::<usize>();
    texts > TEXTS_BYTES_MAX || contents > files_bytes_max(texts, inbound)
}

/// Leaves out what the log does not take, and counts what is missing of the texts. Of two texts the HTML goes first; what
/// is too long alone is cut off. A file that has no room keeps its name.
pub(super) fn fit(inbound: &mut Inbound) {
    if texts_bytes(inbound) > TEXTS_BYTES_MAX {
        let mut html_bytes = 0;
        if let Some(email) = inbound.email.as_mut() {
            if inbound.body.as_ref().is_some_and(|body| !body.is_empty()) {
                html_bytes = email.html.take().map_or(0, |html| html.len());
            }
            html_bytes += email.html.as_mut().map_or(0, cut);
        }
        let text_bytes = inbound.body.as_mut().map_or(0, cut);
        for (of, bytes) in [("html_bytes", html_bytes), ("text_bytes", text_bytes)] {
            if let Some(email) = inbound.email.as_mut().filter(|_| bytes > 0) {
                email.cut.insert(of.to_owned(), bytes as u64);
            }
        }
    }
    let mut left = files_bytes_max(texts_bytes(inbound), inbound);
    for Attachment { content, .. } in &mut inbound.attachments {
        match left.checked_sub(content.as_ref().map_or(0, String::len)) {
            Some(rest) => left = rest,
            None => *content = None,
        }
    }
}

fn files_bytes_max(texts: usize, inbound: &Inbound) -> usize {
    MAIL_BYTES_MAX.saturating_sub(texts + lists_bytes(inbound)).min(FILES_BYTES_MAX)
}

/// The bytes of addresses, references and the names of files, which have limits of their own.
fn lists_bytes(inbound: &Inbound) -> usize {
    let email = inbound.email.as_ref();
    let addresses = inbound.to.iter().chain(email.iter().flat_map(|email| &email.cc));
    let addresses = addresses.map(|address| address.as_str().len());
    let references = email.iter().flat_map(|email| &email.references).map(String::len);
    let people = email.iter().flat_map(|email| &email.people);
    let people = people.map(|one| one.address.as_str().len() + one.name.len() + PERSON_BYTES);
    let names = inbound.attachments.iter().map(|file| {
        let texts = [&file.filename, &file.content_type];
        texts.into_iter().flatten().map(String::len).sum::<usize>() + FILE_BYTES
    });
    addresses.chain(people).chain(references).chain(names).sum()
}

fn texts_bytes(inbound: &Inbound) -> usize {
    let html = inbound.email.as_ref().and_then(|email| email.html.as_ref());
    html.into_iter().chain(&inbound.body).flat_map(|text| text.chars()).map(json_bytes).sum()
}

/// Cuts what is too long, and says how many bytes that were.
fn cut(text: &mut String) -> usize {
    let mut bytes = 0;
    let too_long = text.char_indices().find(|(_, c)| {
        bytes += json_bytes(*c);
        bytes > TEXTS_BYTES_MAX
    });
    let Some((end, _)) = too_long else { return 0 };
    let missing = text.len() - end;
    text.truncate(end);
    text.push_str(CUT);
    missing
}

/// The bytes of a character in a JSON text, as `serde_json` writes it.
const fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use hatch_domain::address::Address;
    use hatch_domain::{Channel, Email};

    use super::*;

    fn mail(body: &str, html: &str, files: &[usize]) -> Inbound {
        let address = |text| Address::email(text).expect("an address");
        let html = (!html.is_empty()).then(|| html.to_owned());
        let file = |bytes: &usize| Attachment {
            filename: Some("a".to_owned()),
            content: Some("x".repeat(*bytes)),
            ..Attachment::default()
        };
        Inbound {
            account: "a".to_owned(),
            provider_message_id: "1".to_owned(),
            channel: Channel::Email,
            from: address("a@example.com"),
            to: vec![address("b@example.com")],
            body: Some(body.to_owned()),
            attachments: files.iter().map(file).collect(),
            email: Some(Box::new(Email { html, ..Email::default() })),
            delivered_to: Vec::new(),
            segments: None,
        }
    }

    /// The mail as it is kept, and whether anything was left out.
    fn fitted(mut inbound: Inbound) -> (Inbound, bool) {
        let too_large = is_too_large(&Observation::Inbound(inbound.clone()));
        fit(&mut inbound);
        (inbound, too_large)
    }

    fn html(inbound: &Inbound) -> Option<&String> {
        inbound.email.as_ref()?.html.as_ref()
    }

    #[test]
    fn what_has_room_stays_as_it_is() {
        let (kept, too_large) = fitted(mail("Hello", &"x".repeat(500_000), &[100_000]));
        assert!(!too_large);
        assert_eq!(html(&kept).map(String::len), Some(500_000));
        assert!(kept.attachments[0].content.is_some());
    }

    #[test]
    fn html_goes_before_the_text_and_files_before_both() {
        let (kept, too_large) = fitted(mail(&"x".repeat(400_000), &"y".repeat(200_000), &[]));
        assert!(too_large);
        let email = kept.email.expect("a mail");
        assert_eq!((kept.body.map(|body| body.len()), email.html), (Some(400_000), None));
        assert_eq!(email.cut, [("html_bytes".to_owned(), 200_000)].into());
        let (kept, too_large) = fitted(mail(&"x".repeat(400_000), "", &[300_000, 200_000]));
        assert!(too_large);
        let contents: Vec<bool> =
            kept.attachments.iter().map(|file| file.content.is_some()).collect();
        assert_eq!(
            (kept.body.map(|body| body.len()), contents),
            (Some(400_000), vec![false, true])
        );
    }

    #[test]
    fn a_text_that_is_too_long_alone_is_cut_off_where_it_fits_as_json() {
        for (body, markup) in [("é".repeat(700_000), ""), ("\"\n".repeat(400_000), "")] {
            let (kept, too_large) = fitted(mail(&body, markup, &[]));
            let json = serde_json::to_string(&kept.body).expect("JSON");
            assert!(too_large && json.len() <= TEXTS_BYTES_MAX + 16, "{}", json.len());
            assert!(json.len() > TEXTS_BYTES_MAX - 16, "{}", json.len());
            let left = kept.body.as_ref().and_then(|body| body.strip_suffix(CUT));
            let missing = body.len() - left.expect("it says so").len();
            let counted = kept.email.expect("a mail").cut;
            assert_eq!(counted, [("text_bytes".to_owned(), missing as u64)].into());
        }
        let (kept, _) = fitted(mail("", &"<b>".repeat(300_000), &[]));
        assert!(html(&kept).is_some_and(|html| html.len() < 600_000 && html.ends_with(CUT)));
    }

    #[test]
    fn characters_are_counted_as_they_are_written() {
        let text: String = ('\0'..'\u{300}').chain(['€', '🥚', '\u{2028}']).collect();
        let written = serde_json::to_string(&text).expect("JSON").len() - 2;
        assert_eq!(text.chars().map(json_bytes).sum::<usize>(), written);
    }
}
