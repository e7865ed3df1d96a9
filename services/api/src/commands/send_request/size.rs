//! The size of a whole message: each of its texts may be fine, and all of them too much for one append to the log.

use std::io;

use hatch_domain::mailbox::PersonRole;

use super::Send;
use super::errors::Errors;
use crate::problem::FieldCode;

/// Bytes of a message as JSON, at most. The log takes a mebibyte at once; what the message is given when it is
/// recorded comes on top.
const MESSAGE_BYTES_MAX: usize = (1024 - 8) * 1024;

/// The most that a byte of text becomes as JSON: `\u0000`.
const ESCAPE_BYTES_MAX: usize = 6;

/// The bytes of a message beside its texts and files: addresses, headers, metadata.
const REST_BYTES_MAX: usize = 64 * 1024;

/// What stands around the name and the address of a person.
const PERSON_BYTES: usize = 40;

/// Names the largest field of a message that is too large.
pub(super) fn check(send: &Send, errors: &mut Errors) {
    let fields = fields(send);
    let about: usize = fields.iter().map(|(_, bytes)| bytes).sum();
    // Hardly any message is so large that it has to be counted.
    if about.saturating_mul(ESCAPE_BYTES_MAX) + REST_BYTES_MAX <= MESSAGE_BYTES_MAX {
        return;
    }
    let mut counted = Counter(0);
    let is_counted = serde_json::to_writer(&mut counted, send).is_ok();
    if is_counted && counted.0 <= MESSAGE_BYTES_MAX {
        return;
    }
    let largest = fields.into_iter().max_by_key(|(_, bytes)| *bytes);
    let (pointer, _) = largest.expect("the body is one of them");
    let detail = format!(
        "a message takes at most {MESSAGE_BYTES_MAX} bytes as JSON, this one takes {}; most of \
         them are here",
        counted.0
    );
    errors.add_coded(FieldCode::TooLong, pointer, detail);
}

/// The fields that may be large, and how many bytes each has.
fn fields(send: &Send) -> Vec<(String, usize)> {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let email = send.email.as_deref();
    let people = |list: &[hatch_domain::address::Address]| -> usize {
        list.iter().map(|address| address.as_str().len()).sum()
    };
    let names = |role: PersonRole| -> usize {
        let people = email.iter().flat_map(|email| &email.people).filter(|one| one.role == role);
        people.map(|one| one.name.len() + one.address.as_str().len() + PERSON_BYTES).sum()
    };
    let mut fields = vec![
        ("/body".to_owned(), length(&send.body)),
        ("/html".to_owned(), email.map_or(0, |email| length(&email.html))),
        ("/to".to_owned(), people(&send.to) + names(PersonRole::To)),
        ("/cc".to_owned(), email.map_or(0, |email| people(&email.cc)) + names(PersonRole::Cc)),
        ("/bcc".to_owned(), email.map_or(0, |email| people(&email.bcc)) + names(PersonRole::Bcc)),
    ];
    let files = send.attachments.iter().enumerate();
    fields.extend(
        files.map(|(n, file)| (format!("/attachments/{n}/content"), length(&file.content))),
    );
    fields
}

/// Counts what is written.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
