//! Files that hold the value of a setting, such as a secret or a key.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

/// Bytes of such a file at most.
const BYTES_MAX: u64 = 64 * 1024;

/// What `file` holds, without the end of its last line. An error does not name the file: by mistake, that may be the
/// secret itself.
pub(super) fn read(file: impl AsRef<Path>) -> anyhow::Result<String> {
    let file = File::open(file).context("it cannot be read")?;
    let mut bytes = Vec::new();
    let length = file.take(BYTES_MAX + 1).read_to_end(&mut bytes).context("it cannot be read")?;
    let fits = u64::try_from(length).is_ok_and(|length| length <= BYTES_MAX);
    ensure!(fits, "expected {BYTES_MAX} bytes at most, and it has more");
    // The error of the conversion would have the bytes.
    let mut text = String::from_utf8(bytes).ok().context("expected text in UTF-8")?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_a_length_and_without_the_end_of_its_last_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let longest = "a".repeat(64 * 1024);
        let longer = format!("{longest}b");
        for (content, expected) in [
            ("secret", Ok("secret")),
            (" a\nb \r\n\n", Ok(" a\nb ")),
            ("", Ok("")),
            (longest.as_str(), Ok(longest.as_str())),
            (longer.as_str(), Err("65536 bytes at most")),
        ] {
            let file = folder.path().join("file");
            std::fs::write(&file, content).expect("it is written");
            match (read(&file), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(error), Err(says)) => {
                    assert!(format!("{error:#}").contains(says), "{error:#}")
                }
                (read, _) => panic!("{read:?}"),
            }
        }
        let error = read(folder.path().join("my-secret")).expect_err("there is none");
        assert!(!format!("{error:#}").contains("my-secret"), "{error:#}");
    }
}
