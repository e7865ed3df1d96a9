//! The addresses of a list, as a mail writes it (RFC 5322, section 3.4): of names, comments and groups
//! nothing is kept.

use std::collections::HashSet;

use hatch_domain::address::Address;

use super::{ADDRESSES_MAX, Cut, LIST_BYTES_MAX};

/// Bytes of a written address: more than any that is one.
const WRITTEN_BYTES_MAX: usize = 1024;

/// The addresses of `text`, each once. What is none is left out; those beyond the limit are counted as `of`.
pub(crate) fn addresses(text: &str, of: &str, cut: &mut Cut) -> Vec<Address> {
    let mut list = List { addresses: Vec::new(), known: HashSet::new(), bytes: 0, left_out: 0 };
    let mut one = Written::default();
    let mut place = ScanState::default();
    for c in text.chars() {
        match place.next(c) {
            Step::Text => one.push(c),
            Step::Opens => one.brackets = Some(String::new()),
            Step::Closes => one.is_whole = true,
            Step::Group => one = Written::default(),
            Step::Ends => list.add(&std::mem::take(&mut one)),
            Step::Nothing => {}
        }
    }
    list.add(&one);
    cut.count(of, list.left_out);
    list.addresses
}

/// Where in an address the next character stands.
#[derive(Default)]
struct ScanState {
    comments: usize,
    escaped: bool,
    quoted: bool,
    in_brackets: bool,
}

/// What a character means.
enum Step {
    /// It is a part of the address, or of its name.
    Text,
    /// The address itself begins.
    Opens,
    /// Nothing that follows belongs to it.
    Closes,
    /// What came before is the name of a group.
    Group,
    /// The address is over.
    Ends,
    Nothing,
}

impl ScanState {
    const fn next(&mut self, c: char) -> Step {
        if self.escaped {
            self.escaped = false;
            return if self.comments > 0 { Step::Nothing } else { Step::Text };
        }
        match c {
            '\\' if self.quoted || self.comments > 0 => {
                self.escaped = true;
                if self.comments > 0 { Step::Nothing } else { Step::Text }
            }
            '(' if !self.quoted => {
                self.comments += 1;
                Step::Nothing
            }
            ')' if self.comments > 0 => {
                self.comments -= 1;
                Step::Nothing
            }
            _ if self.comments > 0 => Step::Nothing,
            '"' => {
                self.quoted = !self.quoted;
                Step::Text
            }
            _ if self.quoted => Step::Text,
            ',' | ';' => {
                self.in_brackets = false;
                Step::Ends
            }
            '<' => {
                self.in_brackets = true;
                Step::Opens
            }
            '>' => {
                self.in_brackets = false;
                Step::Closes
            }
            ':' if !self.in_brackets => Step::Group,
            _ => Step::Text,
        }
    }
}

/// One address as it is written.
#[derive(Default)]
struct Written {
    /// All of it that is in no brackets.
    bare: String,
    /// What is in its angle brackets, where it has some.
    brackets: Option<String>,
    is_whole: bool,
}

impl Written {
    fn push(&mut self, c: char) {
        let text = self.brackets.as_mut().unwrap_or(&mut self.bare);
        if !self.is_whole && text.len() <= WRITTEN_BYTES_MAX {
            text.push(c);
        }
    }

    fn is_nothing(&self) -> bool {
        self.brackets.is_none() && self.bare.trim().is_empty()
    }

    fn address(&self) -> Option<Address> {
        let text = self.brackets.as_ref().unwrap_or(&self.bare).trim();
        // A name may stand before it, without the brackets that it needs.
        let last =
            || text.split_whitespace().next_back().and_then(|last| Address::email(last).ok());
        Address::email(text).ok().or_else(last)
    }
}

struct List {
    addresses: Vec<Address>,
    known: HashSet<Address>,
    bytes: usize,
    left_out: usize,
}

impl List {
    fn add(&mut self, written: &Written) {
        if written.is_nothing() {
            return;
        }
        if self.addresses.len() == ADDRESSES_MAX || self.bytes > LIST_BYTES_MAX {
            self.left_out += 1;
        } else if let Some(address) = written.address()
            && self.known.insert(address.identity().into_owned())
        {
            self.bytes += address.as_str().len();
            self.addresses.push(address);
        }
    }
}
