//! The mailboxes that a mail was brought to on its way, as the servers that brought it say.

use hatch_domain::mailbox::Mailbox;

use super::addresses::mailboxes;
use super::fields::headers;
use super::{Cut, FIELD_BYTES_MAX, HEADERS_BYTES_MAX};

/// Headers by which servers say it.
const NAMES: [&[u8]; 4] = [b"delivered-to", b"x-original-to", b"x-forwarded-to", b"envelope-to"];

/// Mailboxes that are kept of them. A mail may be forwarded often; whoever writes one may make up any number.
const DELIVERED_TO_MAX: usize = 50;

/// Reads them from a block of headers, each mailbox once, the latest server's first. What is beyond the limits is left
/// out: nobody wrote to those.
pub(super) fn delivered_to(block: &[u8]) -> Vec<Mailbox> {
    let mut found: Vec<Mailbox> = Vec::new();
    let block = &block[..block.len().min(HEADERS_BYTES_MAX)];
    for (name, value) in headers(block) {
        if !NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            continue;
        }
        let value = &value[..value.len().min(FIELD_BYTES_MAX)];
        let text = String::from_utf8_lossy(value);
        for mailbox in mailboxes(text.trim(), "delivered_to", &mut Cut::default()) {
            let same = |one: &Mailbox| one.address.identity() == mailbox.address.identity();
            if !found.iter().any(same) {
                found.push(mailbox);
            }
        }
        if found.len() >= DELIVERED_TO_MAX {
            found.truncate(DELIVERED_TO_MAX);
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(block: &str) -> Vec<String> {
        delivered_to(block.as_bytes()).into_iter().map(|one| one.address.to_string()).collect()
    }

    #[test]
    fn each_server_names_a_mailbox_once() {
        let block = "Delivered-To: inbox@example.com\r\nX-Original-To: help@brand.example\r\n\
                     Received: x\r\n\tDelivered-To: folded@x.org\r\nX-FORWARDED-TO : a@x.org, b@x.org\r\n\
                     Envelope-to: <Help@Brand.example>\r\nTo: c@x.org\r\nDelivered-To:\r\n";
        let expected = ["inbox@example.com", "help@brand.example", "a@x.org", "b@x.org"];
        assert_eq!(read(block), expected);
        assert_eq!(read(""), [""; 0]);
    }

    #[test]
    fn they_have_a_limit() {
        let lines = (0..10_000).map(|n| format!("Delivered-To: user{n}@example.com\r\n"));
        assert_eq!(read(&lines.collect::<String>()).len(), DELIVERED_TO_MAX);
    }
}
