//! The mailboxes of a list, as a mail writes it (RFC 5322, section 3.4): of comments and groups nothing is kept.

use std::collections::HashSet;

use hatch_domain::address::Address;
use hatch_domain::mailbox::{Mailbox, NAME_CHARACTERS_MAX};

use super::{ADDRESSES_MAX, Cut, LIST_BYTES_MAX, decoded};

/// Bytes of a written address: more than any that is one.
const WRITTEN_BYTES_MAX: usize = 1024;

/// The mailboxes of `text`, each once. What is none is left out; those beyond the limit are counted as `of`.
pub fn mailboxes(text: &str, of: &str, cut: &mut Cut) -> Vec<Mailbox> {
    let mut list = List::default();
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
    list.mailboxes
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

    /// The name before the angle brackets, out of its quotes and encoded words (RFC 2047), in one line.
    fn name(&self) -> Option<String> {
        self.brackets.as_ref()?;
        let name = decoded(&unquoted(&self.bare));
        let word = |word: &str| word.chars().filter(|c| !c.is_control()).collect::<String>();
        let words: Vec<String> = name.split_whitespace().map(word).collect();
        let name: String = words.join(" ").chars().take(NAME_CHARACTERS_MAX).collect();
        Some(name).filter(|name| !name.is_empty())
    }
}

/// The text without quotes, and without what escapes within them.
fn unquoted(text: &str) -> String {
    let (mut plain, mut quoted) = (String::with_capacity(text.len()), false);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => plain.extend(characters.next()),
            c => plain.push(c),
        }
    }
    plain
}

#[derive(Default)]
struct List {
    mailboxes: Vec<Mailbox>,
    known: HashSet<Address>,
    bytes: usize,
    /// Of the names, which are left out before an address is.
    names_bytes: usize,
    left_out: usize,
}

impl List {
    fn add(&mut self, written: &Written) {
        if written.is_nothing() {
            return;
        }
        if self.mailboxes.len() == ADDRESSES_MAX || self.bytes > LIST_BYTES_MAX {
            self.left_out += 1;
        } else if let Some(address) = written.address()
            && self.known.insert(address.identity().into_owned())
        {
            self.bytes += address.as_str().len();
            let name = written.name().filter(|name| !name.eq_ignore_ascii_case(address.as_str()));
            let name = name.filter(|name| self.names_bytes + name.len() <= LIST_BYTES_MAX);
            self.names_bytes += name.as_ref().map_or(0, String::len);
            self.mailboxes.push(Mailbox { address, name });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Option<String>)> {
        let mailboxes = mailboxes(text, "to", &mut Cut::default()).into_iter();
        mailboxes.map(|one| (one.address.to_string(), one.name)).collect()
    }

    #[test]
    fn a_name_is_kept_with_its_address() {
        for (text, name) in [
            ("ann@example.com", None),
            ("Ann Lee <ann@example.com>", Some("Ann Lee")),
            ("\"Lee, \\\"A\\\"\" <ann@example.com> (a comment)", Some("Lee, \"A\"")),
            (
                "=?UTF-8?Q?J=C3=BCrgen?= =?UTF-8?B?U2NobWlkdA==?= <ann@example.com>",
                Some("JürgenSchmidt"),
            ),
            ("\"=?UTF-8?Q?J=C3=BCrgen?=\" <ann@example.com>", Some("Jürgen")),
            ("Friends: Ann\r\n\tLee <ann@example.com>;", Some("Ann Lee")),
            ("a\u{0}b\u{1b}[31m <ann@example.com>", Some("ab[31m")),
            ("Ann@Example.com <ann@example.com>", None),
        ] {
            assert_eq!(
                read(text),
                [("ann@example.com".to_owned(), name.map(str::to_owned))],
                "{text:?}"
            );
        }
    }

    #[test]
    fn names_are_cut_and_left_out_before_addresses_are() {
        let (name, many) = ("x".repeat(300), 400);
        let list: Vec<String> = (0..many).map(|n| format!("{name} <a{n}@example.com>")).collect();
        let read = read(&list.join(", "));
        assert_eq!(read.len(), many);
        let names: Vec<&String> = read.iter().filter_map(|(_, name)| name.as_ref()).collect();
        assert!(names.iter().all(|name| name.len() == NAME_CHARACTERS_MAX));
        assert_eq!(names.len(), LIST_BYTES_MAX / NAME_CHARACTERS_MAX);
    }
}
