//! The names of files.

/// Bytes of a file's name, which file systems have room for.
pub const FILENAME_BYTES_MAX: usize = 255;

/// Bytes of what comes after the last dot of a name, if it is an ending.
const ENDING_BYTES_MAX: usize = 16;

/// The name of a file without the folders before it, and without characters that nobody sees or that turn its text
/// around. None where nothing is left.
pub fn file_name(written: &str) -> Option<String> {
    let name = written.rsplit(['/', '\\']).map(visible).find(|name| !name.is_empty())?;
    if name.chars().all(|c| c == '.') {
        return None;
    }
    if name.len() <= FILENAME_BYTES_MAX {
        return Some(name);
    }
    let ending = name.rfind('.').map(|dot| &name[dot..]);
    let ending = ending.filter(|ending| ending.len() <= ENDING_BYTES_MAX).unwrap_or_default();
    let end = name.floor_char_boundary(FILENAME_BYTES_MAX - ending.len());
    Some(format!("{}{ending}", &name[..end]))
}

fn visible(name: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let name: String = name.chars().filter(|c| !is_hidden(*c)).collect();
    name.trim().to_owned()
}

/// What a file is called that has no name and whose kind has one.
pub(super) fn usual_name(media_type: (&str, &str)) -> Option<&'static str> {
    Some(match media_type {
        ("text", "calendar") => "invite.ics",
        ("application", "pkcs7-signature" | "x-pkcs7-signature") => "smime.p7s",
        ("application", "pkcs7-mime" | "x-pkcs7-mime") => "smime.p7m",
        ("application", "pgp-signature") => "signature.asc",
        ("application", "ms-tnef" | "vnd.ms-tnef") => "winmail.dat",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_is_left_of_it() {
        for (written, name) in [
            ("a.pdf", Some("a.pdf")),
            ("..\\..\\x.exe", Some("x.exe")),
            ("/etc/passwd", Some("passwd")),
            ("C:\\Users\\ann\\Offer 3.docx ", Some("Offer 3.docx")),
            ("folder/", Some("folder")),
            ("invoice\u{202e}fdp.exe", Some("invoicefdp.exe")),
            ("a\0b\r\n\u{1}.png", Some("ab.png")),
            ("..", None),
            ("../..", None),
            ("", None),
            (" / ", None),
            ("Größe №1.pdf", Some("Größe №1.pdf")),
        ] {
            assert_eq!(file_name(written).as_deref(), name, "{written:?}");
        }
        let long = file_name(&format!("{}.pdf", "ü".repeat(400))).expect("a name");
        assert!(long.len() <= FILENAME_BYTES_MAX && long.ends_with(".pdf"), "{long}");
    }
}
