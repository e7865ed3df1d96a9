//! The mailboxes of a list, as a mail writes it (RFC 5322, section 3.4): of comments and groups nothing is kept. What
//! stands there and is no mailbox, such as `MAILER-DAEMON`, is a name.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use hatch_domain::address::{Address, AddressKind};
use hatch_domain::mailbox::{Mailbox, NAME_CHARACTERS_MAX};

use super::words::{decoded, decoded_in_list};
use super::{ADDRESSES_MAX, Cut, LIST_BYTES_MAX};

/// Bytes of a written address: more than any that is one.
const WRITTEN_BYTES_MAX: usize = 1024;

/// Commas in a name that no quotes are around, as in `Lee, Ann, PhD <ann@example.com>`.
const NAME_COMMAS_MAX: usize = 3;

/// Entries of a list that are looked at, those that say what another said among them.
const ENTRIES_MAX: usize = 10_000;

/// The list that is of one sender: whatever stands there is shown.
const SENDER: &str = "from";

/// The list of those who are to be answered: what no mail can go to is none.
const ANSWERED: &str = "reply_to";

/// The mailboxes of `text`, each once, and the names beside them. Those beyond the limit are counted as `of`. Of a sender
/// the first is the one that can be answered.
pub fn mailboxes(text: &str, of: &str, cut: &mut Cut) -> Vec<Mailbox> {
    let text = &decoded_in_list(text);
    let (mut list, end) = read(text, of, ScanState::default());
    if end.quoted || end.comments > 0 {
        // What never ends never began: the rest of the list would be lost in it.
        let plain = ScanState {
            plain_quotes: end.quoted,
            plain_comments: !end.quoted,
            ..ScanState::default()
        };
        let (again, end) = read(text, of, plain);
        list = again;
        if end.quoted || end.comments > 0 {
            let plain =
                ScanState { plain_quotes: true, plain_comments: true, ..ScanState::default() };
            (list, _) = read(text, of, plain);
        }
    }
    cut.count(of, list.left_out);
    if of == SENDER {
        if let Some(name) = list.group.filter(|_| list.mailboxes.is_empty()) {
            return vec![Address::received_mailbox(&decoded(&unquoted(&name))).into()];
        }
        list.mailboxes.sort_by_key(|one| one.address.kind() != AddressKind::Email);
    }
    list.mailboxes
}

fn read(text: &str, of: &str, mut place: ScanState) -> (List, ScanState) {
    let mut list = List { is_lenient: of != ANSWERED, ..List::default() };
    let mut one = Written::default();
    for c in text.chars() {
        let step = place.next(c);
        match step {
            Step::Ends => {
                list.end(std::mem::take(&mut one), c == ',');
                continue;
            }
            Step::Group => {
                let name = std::mem::take(&mut one);
                list.group.get_or_insert(name.bare);
                continue;
            }
            Step::Text => one.push(c),
            Step::Opens => one.brackets = Some(String::new()),
            Step::Closes => one.is_whole = true,
            Step::Nothing => {}
        }
        one.note(c);
    }
    list.end(one, false);
    (list, place)
}

/// Where in an address the next character stands.
#[derive(Default)]
struct ScanState {
    comments: usize,
    escaped: bool,
    quoted: bool,
    in_brackets: bool,
    /// Quotes are characters as others are, since one of them has no other.
    plain_quotes: bool,
    /// And so are parentheses.
    plain_comments: bool,
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
            '(' if !self.quoted && !self.plain_comments => {
                self.comments += 1;
                Step::Nothing
            }
            ')' if self.comments > 0 => {
                self.comments -= 1;
                Step::Nothing
            }
            _ if self.comments > 0 => Step::Nothing,
            '"' if !self.plain_quotes => {
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
    /// All of it that is in no brackets and no comment.
    bare: String,
    /// What is in its angle brackets, where it has some.
    brackets: Option<String>,
    is_whole: bool,
    /// All of it.
    whole: String,
}

impl Written {
    fn push(&mut self, c: char) {
        let text = self.brackets.as_mut().unwrap_or(&mut self.bare);
        if !self.is_whole && text.len() <= WRITTEN_BYTES_MAX {
            text.push(c);
        }
    }

    fn note(&mut self, c: char) {
        if self.whole.len() <= WRITTEN_BYTES_MAX {
            self.whole.push(c);
        }
    }

    fn is_nothing(&self) -> bool {
        self.brackets.is_none() && self.bare.trim().is_empty()
    }

    /// Whether the name before a mailbox may begin with it: `Lee` of `Lee, Ann <ann@example.com>`.
    fn may_begin_a_name(&self) -> bool {
        let text = self.bare.trim();
        self.brackets.is_none() && !text.starts_with('"') && !text.contains('@')
    }

    /// Adds the beginnings of its name.
    fn begin_with(&mut self, beginnings: &[Self]) {
        let mut name: Vec<&str> = beginnings.iter().map(|one| one.bare.trim()).collect();
        name.push(self.bare.trim());
        self.bare = name.join(", ");
    }

    /// The mailbox that a mail can be sent to.
    fn mailbox(&self) -> Option<Address> {
        let text = self.brackets.as_ref().unwrap_or(&self.bare).trim();
        let around = |c: char| matches!(c, '\'' | '"' | '[' | ']' | '<' | '>');
        let read = |text: &str| {
            Address::email(text).or_else(|_| Address::email(text.trim_matches(around)))
        };
        // A name may stand before it, without the brackets that it needs.
        let last = text.split_whitespace().next_back().filter(|_| text.len() <= WRITTEN_BYTES_MAX);
        read(text).ok().or_else(|| read(last?).ok())
    }

    /// What it says instead: a mailbox that no mail can be sent to, or a name.
    fn lenient(&self) -> Option<Address> {
        let text = self.brackets.as_ref().unwrap_or(&self.bare).trim();
        let mailbox = Address::received_mailbox(text);
        if mailbox.kind() == AddressKind::Email {
            return Some(mailbox);
        }
        let said = match &self.brackets {
            Some(text) if !text.trim().is_empty() => text,
            Some(_) => &self.bare,
            None => &self.whole,
        };
        let said = decoded(&unquoted(said));
        (!said.trim().is_empty()).then(|| Address::received_mailbox(&said))
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
    /// Whether it takes what no mail can be sent to.
    is_lenient: bool,
    looked_at: usize,
    /// What may be the beginnings of the next one's name.
    beginnings: Vec<Written>,
    /// The name of the first group.
    group: Option<String>,
    known: HashSet<Address>,
    bytes: usize,
    /// Of the names, which are left out before an address is.
    names_bytes: usize,
    left_out: usize,
}

impl List {
    /// Takes what stood before a comma, or before another end.
    fn end(&mut self, mut written: Written, is_comma: bool) {
        if is_comma && written.may_begin_a_name() && !written.is_nothing() {
            if self.beginnings.len() == NAME_COMMAS_MAX {
                let first = self.beginnings.remove(0);
                self.add(&first);
            }
            self.beginnings.push(written);
            return;
        }
        let beginnings = std::mem::take(&mut self.beginnings);
        let is_named = written.brackets.is_some() && !written.bare.trim().is_empty();
        if is_named && !beginnings.is_empty() && written.mailbox().is_some() {
            written.begin_with(&beginnings);
        } else {
            for one in &beginnings {
                self.add(one);
            }
        }
        self.add(&written);
    }

    fn add(&mut self, written: &Written) {
        if written.is_nothing() {
            return;
        }
        let is_full = self.mailboxes.len() == ADDRESSES_MAX || self.bytes > LIST_BYTES_MAX;
        if is_full || self.looked_at == ENTRIES_MAX {
            self.left_out += 1;
            return;
        }
        self.looked_at += 1;
        let other = || written.lenient().filter(|_| self.is_lenient);
        if let Some(address) = written.mailbox().or_else(other)
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
