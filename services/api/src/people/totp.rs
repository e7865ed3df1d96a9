//! Codes of a second factor: those of RFC 6238 as every authenticator knows them, by SHA-1, six digits, 30 seconds. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hatch_domain::api_key::SecretHash;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

/// Seconds of a step, and digits of a code.
const STEP_SECONDS: i64 = 30;
const DIGITS: usize = 6;

/// Steps before and after the present one whose codes count: clocks differ.
const SKEW_STEPS: i64 = 1;

/// Bytes of a secret, as RFC 4226 recommends them.
pub(crate) const SECRET_BYTES: usize = 20;

/// Codes that stand in for the second factor, and the bytes of chance in each.
const RECOVERY_CODES: usize = 10;
const RECOVERY_BYTES: usize = 10;

/// Of RFC 4648, section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step of which `code` is the code, if that is the present one or beside it. All are looked at, so that it takes the
/// same time whichever it is.
pub(crate) fn step_of(secret: &[u8], code: &str, seconds: i64) -> Option<i64> {
    let present = seconds.div_euclid(STEP_SECONDS);
    let mut found = None;
    for step in present - SKEW_STEPS..=present + SKEW_STEPS {
        let is_it: bool = hotp(secret, step, DIGITS).as_bytes().ct_eq(code.as_bytes()).into();
        if is_it {
            found = Some(step);
        }
    }
    found
}

/// The code that an authenticator shows.
#[cfg(test)]
pub(crate) fn code_at(secret: &[u8], seconds: i64) -> String {
    hotp(secret, seconds.div_euclid(STEP_SECONDS), DIGITS)
}

/// Whether `text` has the form of a code; what has not may be a recovery code.
pub(crate) fn is_code(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The code of a step (RFC 4226, section 5.3).
fn hotp(secret: &[u8], step: i64, digits: usize) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else { return String::new() };
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[19] & 0x0f);
    let four = [hash[offset] & 0x7f, hash[offset + 1], hash[offset + 2], hash[offset + 3]];
    let digits_max = u32::try_from(digits).unwrap_or(u32::MAX);
    let number = u64::from(u32::from_be_bytes(four)) % 10_u64.saturating_pow(digits_max);
    format!("{number:0digits$}")
}

/// Bytes as an authenticator reads them.
pub(crate) fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for five in bytes.chunks(5) {
        let mut bits = [0; 8];
        bits[3..3 + five.len()].copy_from_slice(five);
        let bits = u64::from_be_bytes(bits);
        for n in 0..(five.len() * 8).div_ceil(5) {
            let digit = usize::try_from((bits >> (35 - 5 * n)) & 31).unwrap_or_default();
            text.push(char::from(BASE32[digit]));
        }
    }
    text
}

/// What an authenticator is given, as a link or as a picture of it.
pub(crate) fn uri(secret: &[u8], email: &str) -> String {
    let account: String = url::form_urlencoded::byte_serialize(email.as_bytes()).collect();
    let secret = base32(secret);
    format!(
        "otpauth://totp/hatch:{account}?secret={secret}&issuer=hatch&algorithm=SHA1&digits=6&period=30"
    )
}

/// Codes that stand in for the second factor, each of 80 bits, as people write them down.
pub(crate) fn recovery_codes(entropy: impl Fn() -> [u8; 64]) -> Vec<String> {
    let code = |_| {
        let text = base32(&entropy()[..RECOVERY_BYTES]).to_ascii_lowercase();
        let groups: Vec<&str> = (0..4).map(|n| &text[4 * n..4 * n + 4]).collect();
        groups.join("-")
    };
    (0..RECOVERY_CODES).map(code).collect()
}

/// What is kept of a recovery code, however it is typed.
pub(crate) fn recovery_hash(code: &str) -> SecretHash {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    SecretHash::of(&plain.to_ascii_lowercase())
}

/// A secret of 256 bits as a text for URLs and cookies.
pub(crate) fn secret_text(entropy: &[u8; 64]) -> String {
    URL_SAFE_NO_PAD.encode(&entropy[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of RFC 6238, appendix B, and of RFC 4226, appendix D.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_rfcs() {
        for (seconds, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(hotp(SECRET, seconds / STEP_SECONDS, 8), code, "{seconds}");
            assert_eq!(step_of(SECRET, &code[2..], seconds), Some(seconds / STEP_SECONDS));
        }
        for (step, code) in [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(hotp(SECRET, i64::try_from(step).expect("small"), 6), code);
        }
    }

    #[test]
    fn a_code_counts_a_step_before_and_after_its_own_and_no_longer() {
        let (at, step) = (1_111_111_111, 1_111_111_111 / STEP_SECONDS);
        for (away, counts) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let found = step_of(SECRET, "050471", at + away * STEP_SECONDS);
            assert_eq!(found, counts.then_some(step), "{away}");
        }
        for wrong in ["", "050472", "0504711", "14050471", "05047é"] {
            assert_eq!(step_of(SECRET, wrong, at), None, "{wrong}");
        }
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        let uri = uri(SECRET, "ann@example.com");
        assert!(
            uri.starts_with("otpauth://totp/hatch:ann%40example.com?secret=GEZDGNBVGY3TQOJQ"),
            "{uri}"
        );
    }

    #[test]
    fn a_recovery_code_is_read_however_it_is_typed() {
        let codes = recovery_codes(|| std::array::from_fn(|n| n as u8));
        assert_eq!(codes.len(), RECOVERY_CODES);
        assert_eq!(codes[0].len(), 19, "{}", codes[0]);
        let hash = recovery_hash(&codes[0]);
        for typed in
            [codes[0].to_ascii_uppercase(), codes[0].replace('-', ""), format!(" {} ", codes[0])]
        {
            assert_eq!(recovery_hash(&typed), hash, "{typed}");
        }
        assert!(!is_code(&codes[0]) && is_code("012345"));
    }
}
