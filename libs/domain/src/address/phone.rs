//! Phone numbers in E.164 form.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use phonenumber::Metadata;
use phonenumber::metadata::DATABASE;

use super::written::{digit, is_invisible, is_separator, visible};
use super::{AddressError, WRITTEN_BYTES_MAX, quirks};

/// Digits of an E.164 number at most, country code included (ITU-T E.164).
const DIGITS_MAX: usize = 15;

/// Digits of a country code at most.
const CODE_DIGITS_MAX: usize = 3;

/// How a URI of a phone number begins (RFC 3966).
const SCHEME: &str = "tel:";

/// A number that is to be written to.
pub(super) fn read(text: &str) -> Result<String, AddressError> {
    if text.len() > WRITTEN_BYTES_MAX {
        return Err(AddressError::NotDigits);
    }
    let digits = Dialled::read(text)?.without_trunk_prefix();
    let plain = Dialled { digits: digits.clone(), group: None };
    if digits.len() > DIGITS_MAX || plain.without_trunk_prefix() != digits {
        return Err(AddressError::Impossible);
    }
    let number = format!("+{digits}");
    // A form that its country gave up is still in many address books.
    let is_known = |other: String| other.strip_prefix('+').is_some_and(is_possible);
    if is_possible(&digits) || quirks::identity(&number).is_some_and(is_known) {
        return Ok(number);
    }
    Err(AddressError::Impossible)
}

/// The number that a carrier names, however unlikely. One in E.164 form is taken as it is.
pub(super) fn received(text: &str) -> Option<String> {
    let text = text.trim();
    if is_number(text) {
        return Some(text.to_owned());
    }
    read(text).ok().or_else(|| {
        let short = text.len() <= WRITTEN_BYTES_MAX;
        let dialled = Dialled::read(text).ok().filter(|_| short)?;
        let number = format!("+{}", dialled.digits);
        is_number(&number).then_some(number)
    })
}

/// Whether the text is a number as it is kept: a plus and its digits.
pub(super) fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether somebody who writes the text means a phone number.
pub(super) fn is_meant(text: &str) -> bool {
    let before = |c: &char| *c == '(' || c.is_whitespace() || is_invisible(*c);
    has_scheme(text) || text.chars().find(|c| !before(c)).is_some_and(is_plus)
}

fn has_scheme(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || is_invisible(c));
    text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
}

/// A plus, also the wide and the small one of East Asia.
const fn is_plus(c: char) -> bool {
    matches!(c, '+' | '\u{ff0b}' | '\u{fe62}')
}

/// Whether two numbers in E.164 form are of one country. Of several countries with one code, as North America has it,
/// it is that of the area, as far as libphonenumber knows it.
pub(super) fn are_of_one_country(one: &str, other: &str) -> bool {
    let code = |number: &str| {
        let digits = number.strip_prefix('+')?;
        country_code(digits).map(|split| digits[..split].to_owned())
    };
    let region = |number: &str| phonenumber::parse(None, number).ok()?.country().id();
    let (Some(code_of_one), Some(code_of_other)) = (code(one), code(other)) else { return false };
    let regions = (region(one), region(other));
    code_of_one == code_of_other && !matches!(regions, (Some(one), Some(other)) if one != other)
}

/// What is dialled after the plus.
struct Dialled {
    digits: String,
    /// The digits in the first parentheses.
    group: Option<Range<usize>>,
}

impl Dialled {
    fn read(text: &str) -> Result<Self, AddressError> {
        let text = visible(text);
        let number = if has_scheme(&text) {
            // Its parameters say how to dial it, and not whom.
            text[SCHEME.len()..].split(';').next().unwrap_or_default()
        } else {
            &text
        };
        let number = number.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
        let Some(rest) = number.strip_prefix(is_plus) else {
            // `Help Desk`, and not a number that only lacks its country.
            let is_name = number.contains(char::is_alphabetic) && !number.contains('@');
            let why =
                if is_name { AddressError::NameForPhone } else { AddressError::NotInternational };
            return Err(why);
        };
        let mut dialled = Self { digits: String::with_capacity(DIGITS_MAX), group: None };
        let mut opened = None;
        for c in rest.chars() {
            match c {
                '(' | '\u{ff08}' => opened = Some(dialled.digits.len()),
                ')' | '\u{ff09}' => {
                    let group = opened.take().map(|from| from..dialled.digits.len());
                    dialled.group = dialled.group.or(group);
                }
                c if is_separator(c) => {}
                c => dialled.digits.push(digit(c).ok_or(AddressError::NotDigits)?),
            }
        }
        if dialled.digits.is_empty() { Err(AddressError::NotDigits) } else { Ok(dialled) }
    }

    /// The digits without those that are dialled within the country only: the zero of `+49 (0)151` and `+44 01632`, the
    /// `06` of `+36 (06) 30`. They are in no number of such a country, so with them it would be nobody's.
    fn without_trunk_prefix(self) -> String {
        let Self { mut digits, group } = self;
        let Some(code) = country_code(&digits) else { return digits };
        let (_, national) = digits.split_at(code);
        let grouped = group.filter(|group| group.start == code && (1..=2).contains(&group.len()));
        if !national.starts_with('0') && grouped.is_none() {
            return digits;
        }
        let regions = regions(&digits[..code]);
        let is_valid = |region: &&Metadata| region.descriptors().general().is_match(national);
        if has_length(&digits, code) && regions.iter().any(is_valid) {
            return digits;
        }
        let prefix = regions.iter().find_map(|region| region.national_prefix());
        let grouped = grouped.map(|group| &digits[group]);
        let dropped = match grouped {
            Some(grouped) if grouped == "0" || Some(grouped) == prefix => grouped.len(),
            _ if prefix == Some("0") && national.starts_with('0') => 1,
            _ => 0,
        };
        digits.replace_range(code..code + dropped, "");
        digits
    }
}

/// The country code that begins a number in E.164 form, or its first digits.
pub(super) fn calling_code(number: &str) -> Option<u16> {
    let digits = number.strip_prefix('+')?;
    let digits = digits.get(..CODE_DIGITS_MAX.min(digits.len()))?;
    digits[..country_code(digits)?].parse().ok()
}

/// How many digits of the number are its country code. Country codes are prefix-free (ITU-T E.164).
fn country_code(digits: &str) -> Option<usize> {
    let known = |split: &usize| {
        digits[..*split].parse().is_ok_and(|code: u16| NATIONAL_LENGTHS.contains_key(&code))
    };
    (1..=CODE_DIGITS_MAX.min(digits.len())).find(known)
}

/// Whether a country code begins `digits` and has national numbers of the remaining length.
fn is_possible(digits: &str) -> bool {
    let Some(code) = country_code(digits) else { return false };
    has_length(digits, code) || is_special(digits, code)
}

fn has_length(digits: &str, code: usize) -> bool {
    let national = u16::try_from(digits.len() - code).unwrap_or(u16::MAX);
    let lengths = digits[..code].parse().ok().and_then(|code: u16| NATIONAL_LENGTHS.get(&code));
    lengths.is_some_and(|lengths| lengths.contains(&national))
}

/// Whether it is one of the few numbers that are shorter or longer than all others of their country, such as the
/// 310-1234 of Canada.
fn is_special(digits: &str, code: usize) -> bool {
    let national = &digits[code..];
    regions(&digits[..code]).iter().any(|region| {
        let kinds = region.descriptors();
        let special = [kinds.premium_rate(), kinds.pager(), kinds.uan(), kinds.voicemail()];
        let mut special =
            special.into_iter().flatten().filter(|kind| !kind.possible_length().is_empty());
        special.any(|kind| kind.is_match(national))
    })
}

/// What libphonenumber knows of the countries with the code.
fn regions(code: &str) -> Vec<&'static Metadata> {
    let regions = code.parse().ok().and_then(|code: u16| DATABASE.by_code(&code));
    regions.unwrap_or_default()
}

/// By country code, how many digits a national number there can have, from libphonenumber's metadata, the codes
/// of no country (800 for freephone, 881 for satellites and the like) among them. Kept apart from it because a
/// look-up there takes a lock and a scan of the regions.
static NATIONAL_LENGTHS: LazyLock<HashMap<u16, BTreeSet<u16>>> = LazyLock::new(|| {
    let mut lengths: HashMap<u16, BTreeSet<u16>> = HashMap::new();
    // Codes of no country share one region, so that not all of them are found by it.
    for code in 1..=999 {
        for region in DATABASE.by_code(&code).unwrap_or_default() {
            let kinds = region.descriptors();
            let described = [
                Some(kinds.general()),
                kinds.fixed_line(),
                kinds.mobile(),
                kinds.toll_free(),
                kinds.shared_cost(),
                kinds.personal_number(),
                kinds.voip(),
            ];
            let described = described.into_iter().flatten();
            lengths
                .entry(code)
                .or_default()
                .extend(described.flat_map(|kind| kind.possible_length()));
        }
    }
    lengths
});
