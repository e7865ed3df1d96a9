//! The words by which people agree, withdraw and ask for help in a text message.
//!
//! A word counts only where it is all of the text: "please stop by later" withdraws nothing. Case, accents and
//! punctuation do not matter. Words of every language count, whatever the sender's. They are the
//! words that Twilio, Telnyx and AWS name on their pages about opt-out keywords, and common ones of other languages; whoever acts on fewer would write to people who were told that they would
//! not be written to.

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
    fn every_word_of_the_list_is_found_and_is_there_once() {
        for (place, (word, meaning)) in WORDS.iter().enumerate() {
            assert_eq!(read(word), Some((*word, *meaning)));
            assert!(WORDS[..place].iter().all(|(other, _)| other != word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,60}") {
            let _ = read(&text);
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
