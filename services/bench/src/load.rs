//! What is sent: the requests of a run, each told from its number and the seed alone.

use std::fmt::Write as _;

/// Senders as `hatch up` configures them.
const PHONE_SENDER: &str = "+12016661234";
const MAIL_SENDER: &str = "user@usehatchapp.com";

/// Conversations by phone and by mail, 10,000 together.
const PHONES: u64 = 8_000;
const MAILBOXES: u64 = 2_000;
/// One message in so many is a mail.
const MAIL_EVERY: u64 = 5;
/// The last four digits of a number begin here: below lie those that the simulator treats
/// differently.
const LAST_DIGITS_MIN: u64 = 1_000;

/// Characters of a text.
const TEXT_MIN: usize = 20;
const TEXT_MAX: usize = 320;
/// What texts are cut from; longer than any of them from any beginning below [`BEGINNINGS`].
const PROSE: &str = "your order is on its way and will be with you tomorrow between nine and noon \
    if nobody is at home the parcel waits for a week at the shop around the corner bring a card that \
    shows your name and the number of this order you can follow the parcel on the page of your \
    account or answer this message with a day that suits you better we thank you for your trust and \
    hope to see you again soon in one of our shops or on the telephone which somebody answers from \
    eight in the morning until eight in the evening on all days but sundays";
const BEGINNINGS: u64 = 150;

/// The requests of one run of the program.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    seed: u64,
    /// Tells the messages of this run from all others.
    run: u32,
}

impl Load {
    /// The requests of `seed`, under keys that begin with `run`.
    pub(crate) fn new(seed: u64, run: u32) -> Self {
        Self { seed, run }
    }

    /// The idempotency key of request `n`. Its text begins with it, so that the log tells it too.
    pub(crate) fn key(&self, n: u64) -> String {
        format!("{:08x}-{n:07}", self.run)
    }

    /// The number of the request whose text is `text`; `None` for anybody else's.
    pub(crate) fn number(&self, text: &str) -> Option<u64> {
        let (key, _) = text.split_once(' ')?;
        let (run, n) = key.split_once('-')?;
        (u32::from_str_radix(run, 16) == Ok(self.run)).then(|| n.parse().ok()).flatten()
    }

    /// Whether request `n` is a mail.
    pub(crate) fn is_mail(n: u64) -> bool {
        n % MAIL_EVERY == MAIL_EVERY - 1
    }

    /// The share of all requests that are mails, or that are not.
    pub(crate) fn share(is_mail: bool) -> f64 {
        let mails = 1.0 / MAIL_EVERY as f64;
        if is_mail { mails } else { 1.0 - mails }
    }

    /// The body of request `n` as an SMS of this priority, as JSON.
    pub(crate) fn probe(&self, n: u64, priority: &str) -> String {
        let (chance, key) = (mixed(self.seed ^ mixed(n)), self.key(n));
        let last_digits = LAST_DIGITS_MIN + chance % PHONES;
        format!(
            r#"{{"channel":"sms","from":"{PHONE_SENDER}","to":"+1804555{last_digits}","body":"{key} a word","priority":"{priority}"}}"#
        )
    }

    /// The body of request `n`, as JSON.
    pub(crate) fn body(&self, n: u64) -> String {
        let chance = mixed(self.seed ^ mixed(n));
        let mut body = String::with_capacity(512);
        // Writing to a String does not fail, and nothing in it needs JSON's escapes.
        let _ = if Self::is_mail(n) {
            let mailbox = chance % MAILBOXES;
            write!(
                body,
                r#"{{"channel":"email","from":"{MAIL_SENDER}","to":"bench{mailbox}@example.com","subject":"Your order","body":"{}"}}"#,
                self.text(n, chance)
            )
        } else {
            let last_digits = LAST_DIGITS_MIN + chance % PHONES;
            write!(
                body,
                r#"{{"channel":"sms","from":"{PHONE_SENDER}","to":"+1804555{last_digits}","body":"{}"}}"#,
                self.text(n, chance)
            )
        };
        body
    }

    /// [`TEXT_MIN`] to [`TEXT_MAX`] characters, every length as likely.
    fn text(&self, n: u64, chance: u64) -> String {
        let lengths = (TEXT_MAX - TEXT_MIN + 1) as u64;
        let length = TEXT_MIN + small(mixed(chance) % lengths);
        let beginning = small(mixed(chance + 1) % BEGINNINGS);
        let mut text = self.key(n);
        text.push(' ');
        // Without a blank at the end, which a channel might not carry.
        let rest = length - text.len() - 1;
        text.push_str(&PROSE[beginning..beginning + rest]);
        text.push('.');
        text
    }
}

/// A number below 1,000 as an index.
fn small(number: u64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

/// SplitMix64: evenly spread, and the same everywhere.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    fn requests(seed: u64, count: u64) -> Vec<Value> {
        let load = Load::new(seed, 0xbe_2c_00_01);
        (0..count).map(|n| serde_json::from_str(&load.body(n)).expect("JSON")).collect()
    }

    #[test]
    fn ten_thousand_conversations_four_in_five_by_sms() {
        let requests = requests(1, 200_000);
        let mails = requests.iter().filter(|request| request["channel"] == "email").count();
        assert_eq!(mails, 40_000);
        let recipients: HashSet<_> = requests.iter().map(|request| &request["to"]).collect();
        assert_eq!(recipients.len(), 10_000);
    }

    #[test]
    fn texts_have_20_to_320_characters_and_tell_their_request() {
        let load = Load::new(1, 0xbe_2c_00_01);
        let requests = requests(1, 50_000);
        let texts: Vec<_> = requests.iter().map(|r| r["body"].as_str().expect("text")).collect();
        let lengths: HashSet<_> = texts.iter().map(|text| text.len()).collect();
        assert_eq!(lengths, (20..=320).collect());
        for (n, text) in (0..).zip(&texts) {
            assert_eq!(load.number(text), Some(n));
            assert!(text.starts_with(&load.key(n)) && text.ends_with('.'));
        }
        assert_eq!(Load::new(1, 2).number(texts[0]), None, "another run's");
        assert_eq!(load.number("Hello, you"), None);
        assert!(PROSE.len() >= small(BEGINNINGS) + TEXT_MAX);
    }

    #[test]
    fn a_seed_repeats_a_run_and_no_recipient_is_special_to_the_simulator() {
        assert_eq!(requests(7, 100), requests(7, 100));
        assert_ne!(requests(7, 100), requests(8, 100));
        for request in requests(3, 20_000) {
            let to = request["to"].as_str().expect("an address");
            assert!(to.starts_with("bench") || !to[to.len() - 4..].starts_with('0'), "{to}");
        }
    }
}
