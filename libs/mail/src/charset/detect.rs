//! What the bytes of a text look like, where nobody says so.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP};

use super::{Charset, Family};

/// Bytes of a text by which its charset is guessed.
pub const DETECTED_BYTES_MAX: usize = 64 * 1024;

/// Guesses the charset of a text that is not ASCII, and not UTF-8, by the first stretch that is not ASCII.
pub(super) fn detect(bytes: &[u8]) -> Charset {
    // A few characters before it tell which letters stand beside each other.
    let from = Encoding::ascii_valid_up_to(bytes).saturating_sub(16);
    let to = bytes.len().min(from + DETECTED_BYTES_MAX);
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(&bytes[from..to], to == bytes.len());
    let encoding = detector.guess(None, Utf8Detection::Deny);
    if encoding == ISO_2022_JP {
        return Charset::Iso2022(Family::Japanese);
    }
    Charset::Encoding(encoding)
}
