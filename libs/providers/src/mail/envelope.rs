//! Between whom a mail was carried, as its provider says.

use std::collections::HashSet;

use hatch_domain::Envelope;
use hatch_domain::address::{Address, AddressKind};
use hatch_domain::mailbox::Mailbox;
use hatch_mail::{ADDRESSES_MAX, Cut, FIELD_BYTES_MAX, LIST_BYTES_MAX, clean};

/// The envelope with what is written in it, as much as is kept of it; what is beyond the limits is counted.
pub(crate) fn kept<'t>(
    from: Option<&str>,
    to: impl Iterator<Item = &'t str>,
    cut: &mut Cut,
) -> Envelope {
    let written: Vec<&str> = to.filter(|text| !text.trim().is_empty()).collect();
    let mut bytes = 0;
    let kept = written.iter().take(ADDRESSES_MAX).take_while(|text| {
        bytes += text.len();
        bytes <= LIST_BYTES_MAX
    });
    let to: Vec<String> = kept.map(|text| clean(text)).collect();
    cut.count("envelope", written.len() - to.len());
    // A bounce is from nobody, which some write as `<>`.
    let is_nobody =
        |from: &str| from.trim_matches(|c: char| "<>".contains(c) || c.is_whitespace()).is_empty();
    let from = from.filter(|from| !is_nobody(from) && from.len() <= FIELD_BYTES_MAX);
    Envelope { from: from.map(clean), to }
}

/// Whether the mail was carried without a sender that a bounce could go to. Of one that was brought to nobody, nothing
/// is known.
pub(crate) fn is_without_sender(envelope: &Envelope) -> bool {
    envelope.from.is_none() && !envelope.to.is_empty()
}

/// Whom the mail was brought to, each once. What is no mailbox is left out.
pub(crate) fn recipients(envelope: &Envelope) -> Vec<Mailbox> {
    let mut known = HashSet::new();
    let read = envelope.to.iter().map(|text| Address::received_mailbox(text));
    let mailboxes = read.filter(|address| address.kind() == AddressKind::Email);
    let once = mailboxes.filter(|address| known.insert(address.identity().into_owned()));
    once.map(Mailbox::from).collect()
}
