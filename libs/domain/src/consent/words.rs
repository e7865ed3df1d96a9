//! The words by which people agree, withdraw and ask for help in a text message.
//!
//! A word counts only where it is all of the text: "please stop by later" withdraws nothing. Case, accents and
//! punctuation do not matter. Words of every language count, whatever the sender's. They are the
//! words that Twilio, Telnyx and AWS name on their pages about opt-out keywords, and common ones of other languages; whoever acts on fewer would write to people who were told that they would
//! not be written to. A text that only comes close to one is a [`Suggestion`] for somebody who reads it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The person withdraws.
    Stop,
    /// The person agrees.
    Start,
    /// The person takes a withdrawal back, if there is one.
    Resume,
    /// The person asks who is writing.
    Help,
}

/// Which word of its recipient's a message answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confirmed {
    /// The person withdrew.
    Stop,
    /// The person agreed.
    Start,
    /// The person asked for help.
    Help,
}

impl Confirmed {
    /// Its name in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Help => "help",
        }
    }

    /// Whether the answer goes to a person who does not wish to be written to: to say that this is so from now on, and
    /// to help whoever asks. Every other message waits for the person's consent.
    #[must_use]
    pub const fn needs_no_consent(self) -> bool {
        matches!(self, Self::Stop | Self::Help)
    }
}

impl Meaning {
    /// The word as an answer names it.
    #[must_use]
    pub const fn confirmed(self) -> Confirmed {
        match self {
            Self::Stop => Confirmed::Stop,
            Self::Start | Self::Resume => Confirmed::Start,
            Self::Help => Confirmed::Help,
        }
    }
}

/// What a text seems to mean, without being a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Suggestion {
    /// The person does not wish to be written to.
    OptedOut,
}

impl Suggestion {
    /// Its name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OptedOut => "opted_out",
        }
    }
}

/// Characters of a text that can be a word; what is longer is not looked at.
const TEXT_CHARACTERS_MAX: usize = 40;

use Meaning::{Help, Resume, Start, Stop};

/// Every word, folded as texts are before they are compared.
const WORDS: &[(&str, Meaning)] = &[
    ("STOP", Stop),
    ("STOPALL", Stop),
    ("STOP ALL", Stop),
    ("UNSUBSCRIBE", Stop),
    ("CANCEL", Stop),
    ("END", Stop),
    ("QUIT", Stop),
    ("REVOKE", Stop),
    ("REMOVE", Stop),
    ("OPTOUT", Stop),
    ("OPT OUT", Stop),
    ("TD", Stop),
    // French
    ("ARRET", Stop),
    ("ARRETER", Stop),
    // Spanish
    ("ALTO", Stop),
    ("BAJA", Stop),
    ("PARAR", Stop),
    // Portuguese
    ("SAIR", Stop),
    // German
    ("STOPP", Stop),
    ("ABMELDEN", Stop),
    // Italian
    ("ANNULLA", Stop),
    // Dutch
    ("AFMELDEN", Stop),
    // Polish
    ("WYPISZ", Stop),
    ("START", Start),
    ("UNSTOP", Start),
    ("YES", Resume),
    ("HELP", Help),
    ("INFO", Help),
];

/// The word that `text` is, and what it means; none where it is anything else.
#[must_use]
pub fn read(text: &str) -> Option<(&'static str, Meaning)> {
    if text.trim().chars().take(TEXT_CHARACTERS_MAX + 1).count() > TEXT_CHARACTERS_MAX {
        return None;
    }
    let folded = fold(text);
    WORDS.iter().find(|(word, _)| *word == folded).copied()
}

/// Characters of a text that may come close to a word.
const NEAR_CHARACTERS_MAX: usize = 160;

/// Words of a text that begins or ends with a word and comes close to it.
const NEAR_WORDS_MAX: usize = 5;

/// Words that are seldom written for any other reason: "cancel my order" and "end of May" have none of them.
const PLAIN_WORDS: &[&str] = &["STOP", "STOPP", "STOPALL", "OPTOUT", "ARRET", "ARRETER", "WYPISZ"];

/// What means the same wherever it stands.
const PHRASES: &[&str] = &[
    "UNSUBSCRIBE",
    "OPT OUT",
    "OPT ME OUT",
    "ABMELDEN",
    "AFMELDEN",
    "STOP TEXTING",
    "STOP SENDING",
    "STOP MESSAGING",
    "STOP WRITING",
    "STOP CONTACTING",
    "STOP CALLING",
    "STOP SPAMMING",
    "STOP THESE",
    "STOP THIS",
    "REMOVE ME",
    "TAKE ME OFF",
    "LEAVE ME ALONE",
    "DO NOT TEXT ME",
    "DON T TEXT ME",
    "DO NOT CONTACT ME",
    "DON T CONTACT ME",
];

/// What follows a plain word where it means something else.
const OTHERWISE: &[&str] = &["STOP BY", "STOP AT", "STOP IN", "STOP OVER", "STOP SIGN"];

/// The word that `text` comes close to without being one: "stop please", "please stop texting me". Nobody can be sure
/// of it.
#[must_use]
pub fn near(text: &str) -> Option<(&'static str, Suggestion)> {
    let text = text.trim();
    if text.chars().take(NEAR_CHARACTERS_MAX + 1).count() > NEAR_CHARACTERS_MAX
        || read(text).is_some()
    {
        return None;
    }
    let folded = fold(text);
    // Between spaces a phrase is found as whole words only.
    let spaced = format!(" {folded} ");
    let has = |phrase: &&&str| spaced.contains(&format!(" {phrase} "));
    if let Some(phrase) = PHRASES.iter().find(has) {
        return Some((*phrase, Suggestion::OptedOut));
    }
    let words: Vec<&str> = folded.split(' ').collect();
    let ends = [words.first(), words.last()];
    let is_plain = |word: &&&str| ends.contains(&Some(*word));
    let found = PLAIN_WORDS.iter().find(is_plain)?;
    let is_other = words.len() > NEAR_WORDS_MAX || OTHERWISE.iter().any(|phrase| has(&phrase));
    (!is_other).then_some((*found, Suggestion::OptedOut))
}

/// The text in capitals without accents, with one space for all that stands between its letters and digits.
fn fold(text: &str) -> String {
    let mut folded = String::new();
    let mut between = false;
    for c in text.chars().flat_map(char::to_lowercase) {
        if ('\u{300}'..='\u{36f}').contains(&c) {
            // An accent on its own belongs to the letter before it.
            continue;
        }
        if !c.is_alphanumeric() {
            between = !folded.is_empty();
            continue;
        }
        if std::mem::take(&mut between) {
            folded.push(' ');
        }
        folded.extend(plain(c).to_uppercase());
    }
    folded
}

/// A Latin letter without its accent.
const fn plain(c: char) -> char {
    match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'è'..='ë' | 'ē' | 'ę' | 'ě' => 'e',
        'ì'..='ï' | 'ī' => 'i',
        'ł' => 'l',
        'ñ' | 'ń' => 'n',
        'ò'..='ö' | 'ø' | 'ō' => 'o',
        'ś' | 'š' => 's',
        'ù'..='ü' | 'ū' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        // Full width, as keyboards of East Asia write.
        '\u{ff41}'..='\u{ff5a}' => (b'a' + (c as u32 - 0xff41) as u8) as char,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_word_is_known_however_it_is_written() {
        for (text, word, meaning) in [
            ("STOP", "STOP", Stop),
            ("  stop.\n", "STOP", Stop),
            ("Stop!!! \u{1f6d1}", "STOP", Stop),
            ("\u{201c}STOP\u{201d}", "STOP", Stop),
            ("Stop all", "STOP ALL", Stop),
            ("opt-out", "OPT OUT", Stop),
            ("Arrêt", "ARRET", Stop),
            ("arre\u{302}t", "ARRET", Stop),
            ("ARRÊTER", "ARRETER", Stop),
            ("Abmelden", "ABMELDEN", Stop),
            ("start", "START", Start),
            ("Yes.", "YES", Resume),
            ("help?", "HELP", Help),
            ("\u{ff33}\u{ff34}\u{ff2f}\u{ff30}", "STOP", Stop),
        ] {
            assert_eq!(read(text), Some((word, meaning)), "{text:?}");
        }
    }

    #[test]
    fn what_only_contains_a_word_is_none() {
        let long = format!("STOP{}", " ".repeat(50) + "x");
        for text in [
            "",
            "!",
            "stop please",
            "please stop by later",
            "S T O P",
            "nonstop",
            "stop1",
            "yes please",
            "Ответ",
            &long,
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_text_that_comes_close_to_a_word_is_a_suggestion() {
        for (text, word) in [
            ("stop please", "STOP"),
            ("please STOP", "STOP"),
            ("Stop texting me!", "STOP TEXTING"),
            ("I want to unsubscribe from this list, thank you very much", "UNSUBSCRIBE"),
            ("opt me out", "OPT ME OUT"),
            ("don't text me again", "DON T TEXT ME"),
            ("Bitte von allem abmelden", "ABMELDEN"),
        ] {
            assert_eq!(near(text), Some((word, Suggestion::OptedOut)), "{text:?}");
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_word_and_what_has_nothing_of_one_are_no_suggestion() {
        let long = format!("stop {}", "x".repeat(200));
        for text in [
            "",
            "STOP",
            "START",
            "please stop by later",
            "Cancel my appointment",
            "the bus stop is closed",
            "when does it end",
            "nonstop",
            "will you stop by the end of this week to pick it up",
            &long,
        ] {
            assert_eq!(near(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_word_of_the_list_is_found_and_is_there_once() {
        for (place, (word, meaning)) in WORDS.iter().enumerate() {
            assert_eq!(read(word), Some((*word, *meaning)));
            assert!(WORDS[..place].iter().all(|(other, _)| other != word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,60}") {
            let _ = (read(&text), near(&text));
        }

        #[test]
        fn punctuation_and_case_around_a_word_change_nothing(
            place in 0..WORDS.len(),
            before in "[ .,!*\"'-]{0,4}",
            after in "[ .,!*\"'-]{0,4}",
            lower in any::<bool>(),
        ) {
            let (word, meaning) = WORDS[place];
            let written = if lower { word.to_lowercase() } else { word.to_owned() };
            prop_assert_eq!(read(&format!("{before}{written}{after}")), Some((word, meaning)));
        }
    }
}
