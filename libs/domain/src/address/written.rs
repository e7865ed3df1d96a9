//! What stands in a written address beside what it says.

/// Whether a character is there and nobody sees it: it turns the direction of the text, marks where a line may break, or
/// chooses how the next one looks. Programs paste them along.
pub(crate) const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Whether an invisible character makes another word of the one it is in, as in Persian.
const fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// The text without spaces around it, and without what is invisible in it.
pub(super) fn visible(text: &str) -> String {
    let around = |c: char| c.is_whitespace() || is_invisible(c);
    let text = text.trim_matches(around);
    text.chars().filter(|c| !is_invisible(*c) || is_joiner(*c)).collect()
}

/// The text in one line of at most so many characters, without what a page cannot show.
pub(super) fn line(text: &str, characters_max: usize) -> String {
    let mut line = String::new();
    let mut left = characters_max;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let word = word.trim_matches(is_invisible);
        let shown = word.chars().filter(|c| !is_invisible(*c) || is_joiner(*c));
        let space = usize::from(!line.is_empty());
        if word.is_empty() {
            continue;
        }
        if left <= space {
            break;
        }
        left -= space;
        line.extend(std::iter::repeat_n(' ', space));
        let before = line.len();
        line.extend(shown.take(left));
        left -= line[before..].chars().count();
    }
    line
}

/// The value of a decimal digit of the scripts that people write numbers in.
pub(super) fn digit(c: char) -> Option<char> {
    /// The zeros: of ASCII, Arabic, Persian, Hindi and Bengali, and the wide one of East Asia.
    const ZEROS: [char; 6] = ['0', '\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '\u{ff10}'];
    let value = ZEROS.iter().find_map(|zero| {
        let value = u32::from(c).checked_sub(u32::from(*zero))?;
        (value < 10).then_some(value)
    })?;
    char::from_digit(value, 10)
}

/// Whether a character only parts the digits of a phone number.
pub(super) fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || is_invisible(c)
        || matches!(
            c,
            '.' | '-' | '/' | '(' | ')' | '[' | ']' | '~' | '\u{b7}' | '\u{2010}'
                ..='\u{2015}'
                    | '\u{2022}'
                    | '\u{2043}'
                    | '\u{2044}'
                    | '\u{2212}'
                    | '\u{2215}'
                    | '\u{30fc}'
                    | '\u{fe58}'
                    | '\u{fe63}'
                    | '\u{ff08}'
                    | '\u{ff09}'
                    | '\u{ff0d}'
                    | '\u{ff0e}'
                    | '\u{ff0f}'
        )
}
