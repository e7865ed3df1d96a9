//! Brings an inbound message down to the size that one append can hold, and loses nothing of it.
//!
//! Files are kept beside the log, and so are texts that are too long for it: the event has their beginning, and they
//! are whole among the files.

use base64::prelude::{BASE64_STANDARD, Engine};
use hatch_domain::Attachment;
use hatch_providers::{Inbound, Observation};
use hatch_readmodel::Content;

/// Bytes, as JSON, that a message brings into the log. An append holds a megabyte, and the webhook's row may take a
/// quarter of it. Nothing is lost by it: what goes beyond is kept beside the log.
const MAIL_BYTES_MAX: usize = 640 * 1024;

/// Bytes of it, as JSON, for its texts.
const TEXTS_BYTES_MAX: usize = 512 * 1024;

/// Bytes of it for all lists: of addresses, people, references and files.
const LISTS_BYTES_MAX: usize = 576 * 1024;

/// Bytes of what stands around the names, the type and the digest of a file.
const FILE_BYTES: usize = 320;

/// Bytes that the texts that become files may take there.
const LONG_TEXTS_BYTES: usize = 1024;

/// Bytes of what stands around an address.
const ADDRESS_BYTES: usize = 3;

/// Bytes of what stands around the address and the name of a person.
const PERSON_BYTES: usize = 40;

/// What the conversations of our mailboxes are counted as that a mail has no room for.
pub(super) const MAILBOXES: &str = "mailboxes";

/// The end of a text that was cut off.
const CUT: &str = "\n[…]";

/// What a webhook brings that is kept beside the log.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Files, and texts that are too long.
    pub(super) contents: Vec<Content>,
    /// The body of the request, where it brings a mail.
    pub(super) raw: Option<Content>,
}

/// Takes out of `observations`, which a request with `body` says, what is kept beside the log, and leaves the digest of
/// each. It is hashed and compressed here, which takes its time.
pub(super) fn set_aside(observations: &mut [Observation], body: &[u8]) -> Aside {
    let (mut contents, mut brings_mail) = (Vec::new(), false);
    for observation in observations {
        if let Observation::Inbound(inbound) = observation {
            brings_mail |= inbound.email.is_some();
            take_out(inbound, &mut contents);
        }
    }
    Aside { contents, raw: brings_mail.then(|| Content::of(body)) }
}

/// Takes the files out, and adds the texts that are too long to them.
pub(super) fn take_out(inbound: &mut Inbound, contents: &mut Vec<Content>) {
    shorten_lists(inbound);
    for file in &mut inbound.attachments {
        let bytes = file.content.as_ref().and_then(|content| BASE64_STANDARD.decode(content).ok());
        if let Some(bytes) = bytes {
            let content = Content::of(&bytes);
            file.content = None;
            name(file, &content);
            contents.push(content);
        }
    }
    for (filename, content_type, text) in long_texts(inbound) {
        let mut file = Attachment {
            filename: Some(filename.to_owned()),
            content_type: Some(content_type.to_owned()),
            ..Attachment::default()
        };
        let content = Content::of(text.as_bytes());
        name(&mut file, &content);
        inbound.attachments.push(file);
        contents.push(content);
    }
}

/// Leaves out of lists that are too long together what a mail is read without: the Content-IDs, then the names of people.
fn shorten_lists(inbound: &mut Inbound) {
    if lists_bytes(inbound) > LISTS_BYTES_MAX {
        let ids = inbound.attachments.iter_mut().filter_map(|file| file.content_id.take()).count();
        count(inbound, "content_ids", ids);
    }
    if lists_bytes(inbound) > LISTS_BYTES_MAX {
        let people = inbound.email.as_mut().map(|email| std::mem::take(&mut email.people));
        count(inbound, "people", people.map_or(0, |people| people.len()));
    }
}

/// Counts what is left out of a mail.
pub(super) fn count(inbound: &mut Inbound, of: &str, number: usize) {
    if let Some(email) = inbound.email.as_mut().filter(|_| number > 0) {
        email.cut.insert(of.to_owned(), number as u64);
    }
}

fn name(file: &mut Attachment, content: &Content) {
    file.digest = Some(content.digest());
    file.size_bytes = Some(content.bytes());
}

/// The texts of which [`fit`] leaves no more than a beginning, as files.
fn long_texts(inbound: &Inbound) -> Vec<(&'static str, &'static str, String)> {
    let mut long = Vec::new();
    let bytes_max = texts_bytes_max(inbound, LONG_TEXTS_BYTES);
    if texts_bytes(inbound) > bytes_max {
        let written = |text: &&String| text.chars().map(json_bytes).sum::<usize>();
        if let Some(text) = inbound.body.as_ref().filter(|text| written(text) > bytes_max) {
            long.push(("body.txt", "text/plain; charset=utf-8", text.clone()));
        }
        if let Some(html) = inbound.email.as_ref().and_then(|email| email.html.as_ref()) {
            long.push(("body.html", "text/html; charset=utf-8", html.clone()));
        }
    }
    long
}

/// Leaves out what the log does not take, and counts what is missing of the texts. Of two texts the HTML goes first; what
/// is too long alone is cut off.
pub(super) fn fit(inbound: &mut Inbound) {
    let bytes_max = texts_bytes_max(inbound, 0);
    if texts_bytes(inbound) > bytes_max {
        let mut html_bytes = 0;
        if let Some(email) = inbound.email.as_mut() {
            if inbound.body.as_ref().is_some_and(|body| !body.is_empty()) {
                html_bytes = email.html.take().map_or(0, |html| html.len());
            }
            html_bytes += email.html.as_mut().map_or(0, |html| cut(html, bytes_max));
        }
        let text_bytes = inbound.body.as_mut().map_or(0, |body| cut(body, bytes_max));
        count(inbound, "html_bytes", html_bytes);
        count(inbound, "text_bytes", text_bytes);
    }
    // What is no base64 is no file.
    for file in &mut inbound.attachments {
        file.content = None;
    }
}

/// What the lists leave for the texts, and for `others`.
fn texts_bytes_max(inbound: &Inbound, others: usize) -> usize {
    MAIL_BYTES_MAX.saturating_sub(lists_bytes(inbound) + others).min(TEXTS_BYTES_MAX)
}

/// The bytes of addresses, references and the names of files, which have limits of their own. The recipients count twice:
/// those whom the conversation is among are named again where the mail reached several of us.
fn lists_bytes(inbound: &Inbound) -> usize {
    let email = inbound.email.as_ref();
    let again = email.iter().flat_map(|_| &inbound.to);
    let addresses = inbound.to.iter().chain(again).chain(email.iter().flat_map(|email| &email.cc));
    let carried = email.iter().flat_map(|email| &email.envelope).flat_map(|envelope| &envelope.to);
    let addresses = addresses.map(|address| address.as_str().len());
    let addresses = addresses.chain(carried.map(String::len)).map(|bytes| bytes + ADDRESS_BYTES);
    let references = email.iter().flat_map(|email| &email.references).map(String::len);
    let people = email.iter().flat_map(|email| &email.people);
    let people = people.map(|one| one.address.as_str().len() + one.name.len() + PERSON_BYTES);
    let names = inbound.attachments.iter().map(|file| {
        let texts = [&file.filename, &file.content_type, &file.content_id];
        texts.into_iter().flatten().map(String::len).sum::<usize>() + FILE_BYTES
    });
    addresses.chain(people).chain(references).chain(names).sum()
}

fn texts_bytes(inbound: &Inbound) -> usize {
    let html = inbound.email.as_ref().and_then(|email| email.html.as_ref());
    html.into_iter().chain(&inbound.body).flat_map(|text| text.chars()).map(json_bytes).sum()
}

/// Cuts what is too long, and says how many bytes that were.
fn cut(text: &mut String, bytes_max: usize) -> usize {
    let mut bytes = 0;
    let too_long = text.char_indices().find(|(_, c)| {
        bytes += json_bytes(*c);
        bytes > bytes_max
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

    /// The mail as it is kept, and the texts that are kept beside it.
    fn fitted(inbound: Inbound) -> (Inbound, Vec<String>) {
        let mut observations = [Observation::Inbound(inbound)];
        let aside = set_aside(&mut observations, b"body");
        let raw = aside.raw.expect("it brings a mail");
        assert_eq!(raw, Content::of(b"body"));
        let [Observation::Inbound(mut inbound)] = observations else { unreachable!("a mail") };
        fit(&mut inbound);
        let digests: Vec<_> = aside.contents.iter().map(|one| Some(one.digest())).collect();
        let kept: Vec<_> = inbound.attachments.iter().map(|file| file.digest.clone()).collect();
        assert_eq!(kept, digests, "each is named once");
        let texts = inbound.attachments.iter().filter(|file| file.filename.as_deref() != Some("a"));
        let texts = texts.filter_map(|file| file.filename.clone()).collect();
        (inbound, texts)
    }

    fn html(inbound: &Inbound) -> Option<&String> {
        inbound.email.as_ref()?.html.as_ref()
    }

    #[test]
    fn a_text_that_has_room_stays_and_every_file_is_kept_beside_the_log() {
        let (kept, texts) = fitted(mail("Hello", &"x".repeat(500_000), &[8, 4_000_000]));
        assert_eq!(texts, Vec::<String>::new());
        assert_eq!(html(&kept).map(String::len), Some(500_000));
        let sizes: Vec<_> =
            kept.attachments.iter().map(|file| (file.size_bytes, file.content.is_none())).collect();
        assert_eq!(sizes, [(Some(6), true), (Some(3_000_000), true)]);
    }

    #[test]
    fn what_is_no_base64_is_no_file() {
        let mut inbound = mail("Hello", "", &[]);
        let file = |content: String| Attachment { content: Some(content), ..Attachment::default() };
        inbound.attachments = vec![file("not base64!".to_owned()), file("?".repeat(400_000))];
        let mut contents = Vec::new();
        take_out(&mut inbound, &mut contents);
        fit(&mut inbound);
        assert!(contents.is_empty());
        let kept: Vec<_> = inbound.attachments.iter().map(|file| file.content.as_deref()).collect();
        assert_eq!(kept, [None, None]);
    }

    #[test]
    fn texts_get_what_the_lists_leave_and_are_whole_among_the_files() {
        let mut inbound = mail(&"x".repeat(400_000), "", &[8; 300]);
        for file in &mut inbound.attachments {
            file.content_id = Some("i".repeat(998));
        }
        let (kept, texts) = fitted(inbound);
        assert_eq!(texts, ["body.txt"]);
        let written = serde_json::to_vec(&(&kept.body, &kept.attachments)).expect("JSON");
        assert!(written.len() <= MAIL_BYTES_MAX, "{}", written.len());
    }

    #[test]
    fn lists_that_are_too_long_together_lose_what_a_mail_is_read_without() {
        let mut inbound = mail(&"x".repeat(400_000), "", &[8; 500]);
        for file in &mut inbound.attachments {
            file.content_id = Some("i".repeat(998));
            file.content_type = Some("t".repeat(255));
            file.filename = Some("a".repeat(255));
        }
        let mut contents = Vec::new();
        take_out(&mut inbound, &mut contents);
        fit(&mut inbound);
        let email = inbound.email.as_ref().expect("a mail");
        assert_eq!(email.cut["content_ids"], 500);
        assert!(inbound.attachments.iter().all(|file| file.content_id.is_none()));
        let written = serde_json::to_vec(&(&inbound.body, &inbound.attachments)).expect("JSON");
        assert!(written.len() <= MAIL_BYTES_MAX, "{}", written.len());
    }

    #[test]
    fn html_goes_before_the_text_and_is_whole_among_the_files() {
        let (kept, texts) = fitted(mail(&"x".repeat(400_000), &"y".repeat(200_000), &[]));
        assert_eq!(texts, ["body.html"]);
        assert_eq!(kept.attachments[0].digest, Some(Content::of(&[b'y'; 200_000]).digest()));
        let email = kept.email.expect("a mail");
        assert_eq!((kept.body.map(|body| body.len()), email.html), (Some(400_000), None));
        assert_eq!(email.cut, [("html_bytes".to_owned(), 200_000)].into());
    }

    #[test]
    fn a_text_that_is_too_long_alone_is_cut_off_where_it_fits_as_json() {
        for (body, markup) in [("é".repeat(700_000), ""), ("\"\n".repeat(400_000), "")] {
            let (kept, texts) = fitted(mail(&body, markup, &[]));
            let json = serde_json::to_string(&kept.body).expect("JSON");
            assert_eq!(texts, ["body.txt"]);
            assert_eq!(kept.attachments[0].digest, Some(Content::of(body.as_bytes()).digest()));
            assert!(json.len() <= TEXTS_BYTES_MAX + 16, "{}", json.len());
            assert!(json.len() > TEXTS_BYTES_MAX - 16, "{}", json.len());
            let left = kept.body.as_ref().and_then(|body| body.strip_suffix(CUT));
            let missing = body.len() - left.expect("it says so").len();
            let counted = kept.email.expect("a mail").cut;
            assert_eq!(counted, [("text_bytes".to_owned(), missing as u64)].into());
        }
        let (kept, texts) = fitted(mail("", &"<b>".repeat(300_000), &[]));
        assert_eq!(texts, ["body.html"]);
        assert!(html(&kept).is_some_and(|html| html.len() < 600_000 && html.ends_with(CUT)));
    }

    #[test]
    fn characters_are_counted_as_they_are_written() {
        let text: String = ('\0'..'\u{300}').chain(['€', '🥚', '\u{2028}']).collect();
        let written = serde_json::to_string(&text).expect("JSON").len() - 2;
        assert_eq!(text.chars().map(json_bytes).sum::<usize>(), written);
    }
}
