//! Email addresses: the local part as it is written, the domain in the forms of IDNA.
//!
//! A domain is mapped as browsers do it (UTS 46, without transitional processing, so `straße` is not `strasse`).

use std::borrow::Cow;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

use super::written::{is_invisible, visible};
use super::{Address, AddressError, AddressKind, WRITTEN_BYTES_MAX};

/// Bytes of an address that is sent to: a path has 256, and two of them are angle brackets (RFC 5321, section 4.5.3.1.3).
/// The limit of 64 for the local part (4.5.3.1.1) is none that servers keep: the reply addresses of large
/// senders have 70 and more.
const SENT_BYTES_MAX: usize = 254;

/// Bytes of an address that came in: a line of a mail has no more (RFC 5322, section 2.1.1).
const RECEIVED_BYTES_MAX: usize = 998;

/// How a URI of a mailbox begins (RFC 6068).
const MAILTO: &str = "mailto:";

/// What parts an address from what is around it, and stands within one only between quotes.
const SPECIALS: [char; 11] = ['(', ')', '<', '>', '[', ']', ':', ';', '\\', ',', '"'];

/// An address that is to be written to.
pub(super) fn read(text: &str) -> Result<String, AddressError> {
    if text.len() > WRITTEN_BYTES_MAX {
        return Err(AddressError::NotEmail);
    }
    let text = bare(text);
    let Some((local, domain)) = text.rsplit_once('@') else {
        let why = if text.is_empty() { AddressError::NotEmail } else { AddressError::NameForEmail };
        return Err(why);
    };
    let ascii = domain_to_ascii(domain.strip_suffix('.').unwrap_or(domain))
        .ok_or(AddressError::NotEmail)?;
    if !is_local(local) || !is_domain(&ascii) {
        return Err(AddressError::NotEmail);
    }
    if local.len() + 1 + ascii.len() > SENT_BYTES_MAX {
        return Err(AddressError::LongEmail);
    }
    Ok(format!("{local}@{}", domain_to_unicode(&ascii).ok_or(AddressError::NotEmail)?))
}

/// An address as a mail says it, also one that none can be sent to: without a domain of two names, with a domain that
/// IDNA has no form for, with two dots in a row.
pub(super) fn received(text: &str) -> Option<String> {
    if text.len() > WRITTEN_BYTES_MAX {
        return None;
    }
    if let Ok(address) = read(text) {
        return Some(address);
    }
    let text = bare(text);
    if text.len() > RECEIVED_BYTES_MAX || !has_form(&text) {
        return None;
    }
    let (local, domain) = text.rsplit_once('@')?;
    let plain = domain.trim_end_matches('.');
    let known = domain_to_ascii(plain).and_then(|ascii| domain_to_unicode(&ascii));
    let address = format!("{local}@{}", known.unwrap_or_else(|| domain.to_lowercase()));
    has_form(&address).then_some(address)
}

/// Whether the text is `local@domain` and nothing beside.
pub(super) fn has_form(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_plain =
        |c: char| !c.is_whitespace() && !c.is_control() && c != '@' && !SPECIALS.contains(&c);
    // `[127.0.0.1]`, a domain that is none (RFC 5321, section 4.1.3).
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let domain = literal.map_or_else(|| Cow::Borrowed(domain), |host| host.replace(':', "").into());
    let is_quoted = quoted(local).is_some_and(is_quoted_text);
    !domain.is_empty()
        && domain.chars().all(is_plain)
        && (is_quoted || !local.is_empty() && local.chars().all(is_plain))
}

/// What the address is compared by, where that is another text.
pub(super) fn identity(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if text.bytes().all(is_plain) && !text.contains("xn--") {
        return None;
    }
    let (local, domain) = text.rsplit_once('@')?;
    let domain = domain_to_ascii(domain).unwrap_or_else(|| domain.to_lowercase().into());
    Some(format!("{}@{domain}", lower(local)))
}

/// The address as servers take it.
pub(super) fn to_send(text: &str) -> Cow<'_, str> {
    match text.rsplit_once('@') {
        Some((local, domain)) if !domain.is_ascii() => match domain_to_ascii(domain) {
            Some(ascii) => Cow::Owned(format!("{local}@{ascii}")),
            None => Cow::Borrowed(text),
        },
        _ => Cow::Borrowed(text),
    }
}

/// The address as people read it.
pub(super) fn to_show(text: &str) -> Cow<'_, str> {
    match text.rsplit_once('@') {
        Some((local, domain)) if domain.contains("xn--") => match domain_to_unicode(domain) {
            Some(unicode) => Cow::Owned(format!("{local}@{unicode}")),
            None => Cow::Borrowed(text),
        },
        _ => Cow::Borrowed(text),
    }
}

/// A domain as DNS has it, in lower case; none where IDNA has no form for it.
pub(crate) fn domain_to_ascii(domain: &str) -> Option<Cow<'_, str>> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    if domain.bytes().all(is_plain) && !domain.contains("xn--") {
        return Some(Cow::Borrowed(domain));
    }
    let mapped = Uts46::new().to_ascii(
        domain.as_bytes(),
        AsciiDenyList::URL,
        Hyphens::Allow,
        DnsLength::Ignore,
    );
    mapped.ok()
}

/// The domain of a mailbox as DNS has it; none of an address of another kind.
pub(crate) fn domain_of(address: &Address) -> Option<Cow<'_, str>> {
    let (_, domain) = address.as_str().rsplit_once('@')?;
    (address.kind() == AddressKind::Email).then(|| domain_to_ascii(domain))?
}

fn domain_to_unicode(domain: &str) -> Option<String> {
    let (unicode, mapped) =
        Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::URL, Hyphens::Allow);
    mapped.is_ok().then(|| unicode.into_owned())
}

/// The address without what editors and programs put around it.
fn bare(text: &str) -> String {
    let text = visible(text);
    let link = text.strip_prefix('[').and_then(|rest| rest.split_once("](mailto:"));
    if let Some((label, _)) = link.filter(|(_, link)| link.ends_with(')')) {
        return visible(label);
    }
    let inner = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let inner = visible(inner.unwrap_or(&text));
    match inner.get(..MAILTO.len()) {
        // Its fields say what to write, and not to whom.
        Some(start) if start.eq_ignore_ascii_case(MAILTO) => {
            visible(inner[MAILTO.len()..].split('?').next().unwrap_or_default())
        }
        _ => inner,
    }
}

/// A local part of RFC 5321, section 4.1.2, with the characters of RFC 6531.
fn is_local(local: &str) -> bool {
    match quoted(local) {
        Some(text) => !text.is_empty() && is_quoted_text(text),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom)),
    }
}

fn is_atom(c: char) -> bool {
    let is_other = !c.is_ascii() && !c.is_control() && !c.is_whitespace() && c != '\u{fffd}';
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_other
}

/// What is between the quotes of a local part.
fn quoted(local: &str) -> Option<&str> {
    local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
}

/// Whether no quote ends the text, and nothing in it breaks its line.
fn is_quoted_text(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let is_text = match c {
            '"' => false,
            '\\' => characters.next().is_some_and(|c| c.is_ascii_graphic() || c == ' '),
            c => !c.is_control() && (c == ' ' || !c.is_whitespace()) && !is_invisible(c),
        };
        if !is_text {
            return false;
        }
    }
    true
}

/// Whether DNS can have the domain, two names at least, of which the last is no number.
pub(crate) fn is_domain(ascii: &str) -> bool {
    let is_name = |name: &str| {
        (1..=63).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let last = ascii.rsplit_once('.').map(|(_, last)| last);
    ascii.split('.').all(is_name)
        && last.is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The local part in lower case, with each accent on its letter (NFC): people type it so or so.
fn lower(local: &str) -> String {
    let lower = local.to_lowercase();
    if lower.is_ascii() {
        return lower;
    }
    let composed: String = lower.nfc().collect();
    // A few characters become one that parts addresses.
    if composed.contains(SPECIALS) { lower } else { composed }
}
