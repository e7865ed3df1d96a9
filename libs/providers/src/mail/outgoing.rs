//! A mail on its way to a provider: its texts with the links to files that only have an address, the headers of its
//! thread, and the names of the people in it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use hatch_domain::Email;
use hatch_domain::address::Address;
use hatch_domain::mailbox::PersonRole;

use crate::adapter::Outbound;

/// What a file without a name is called.
pub(crate) const FILENAME: &str = "attachment";

/// The subject of a mail without, where no other is set.
pub(crate) const DEFAULT_SUBJECT: &str = "(no subject)";

/// The header by which mails name each other.
pub(crate) const MESSAGE_ID: &str = "Message-ID";

/// The subject of a mail, or `otherwise` where it has none.
pub(crate) fn subject<'a>(email: &'a Email, otherwise: &'a str) -> &'a str {
    let subject = email.subject.as_deref().filter(|subject| !subject.trim().is_empty());
    subject.unwrap_or(otherwise)
}

/// The names that are shown with the addresses of a mail.
pub(crate) struct Names<'a>(HashMap<(PersonRole, &'a Address), &'a str>);

impl<'a> Names<'a> {
    pub(crate) fn of(email: &'a Email) -> Self {
        let people = email.people.iter();
        Self(people.map(|one| ((one.role, &one.address), one.name.as_str())).collect())
    }

    /// The name of an address in that role.
    pub(crate) fn name(&self, role: PersonRole, address: &'a Address) -> Option<&'a str> {
        self.0.get(&(role, address)).copied()
    }
}

/// Those of `addresses` that are not in `seen` yet: nobody is named twice in a mail.
pub(crate) fn once<'a>(
    addresses: &'a [Address],
    seen: &mut HashSet<Cow<'a, Address>>,
) -> Vec<&'a Address> {
    addresses.iter().filter(|address| seen.insert(address.identity())).collect()
}

/// The text and its HTML, each with the links below it.
pub(crate) struct Texts {
    /// The text; none for a mail that is HTML only. It may be empty, where there is no HTML.
    pub(crate) plain: Option<String>,
    pub(crate) html: Option<String>,
}

impl Texts {
    pub(crate) fn of(message: &Outbound, email: &Email) -> Self {
        let files = message.attachments.iter().filter(|file| file.content.is_none());
        let links: Vec<(&str, &str)> = files
            .filter_map(|file| {
                let url = file.url.as_deref()?;
                Some((url, file.filename.as_deref().unwrap_or(url)))
            })
            .collect();
        let text = message.body.as_deref().filter(|text| !text.is_empty());
        let html = email.html.as_deref().filter(|html| !html.is_empty());
        let plain = match (text, html) {
            (None, Some(_)) => None,
            (text, _) => Some(with_links(text.unwrap_or_default(), &links)),
        };
        Self { plain, html: html.map(|html| with_html_links(html, &links)) }
    }
}

fn with_links(text: &str, links: &[(&str, &str)]) -> String {
    let line = |&(url, name): &(&str, &str)| {
        if url == name { url.to_owned() } else { format!("{name}: {url}") }
    };
    let lines = links.iter().map(line).collect::<Vec<_>>().join("\n");
    match (text.is_empty(), lines.is_empty()) {
        (_, true) => text.to_owned(),
        (true, false) => lines,
        (false, false) => format!("{text}\n\n{lines}"),
    }
}

/// Puts the links at the end of the HTML's body.
fn with_html_links(html: &str, links: &[(&str, &str)]) -> String {
    let paragraphs: String = links
        .iter()
        .map(|(url, name)| format!("<p><a href=\"{}\">{}</a></p>", escaped(url), escaped(name)))
        .collect();
    let end = html.to_ascii_lowercase().rfind("</body>").unwrap_or(html.len());
    format!("{}{paragraphs}{}", &html[..end], &html[end..])
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A Message-ID as it stands in a header; none that would break it, or that a header has no characters for.
pub(crate) fn bracketed(id: &String) -> Option<String> {
    let is_printable =
        id.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"<>".contains(&byte));
    is_printable.then(|| format!("<{id}>"))
}

/// The client's headers and, before them, those of the thread, which are ours to say.
pub(crate) fn headers(email: &Email) -> BTreeMap<&str, String> {
    let references = email.references.iter().filter_map(bracketed).collect::<Vec<_>>().join(" ");
    let thread = [
        (MESSAGE_ID, email.mail_id.as_ref().and_then(bracketed)),
        ("In-Reply-To", email.in_reply_to.as_ref().and_then(bracketed)),
        ("References", (!references.is_empty()).then_some(references)),
    ];
    let thread: BTreeMap<&str, String> =
        thread.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let told = |name: &str| thread.keys().any(|ours| ours.eq_ignore_ascii_case(name));
    let theirs = email.headers.iter().filter(|(name, _)| !told(name));
    let theirs: Vec<_> = theirs.map(|(name, value)| (name.as_str(), value.clone())).collect();
    thread.into_iter().chain(theirs).collect()
}
