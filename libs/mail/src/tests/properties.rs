//! What holds of every mail, whatever it is like.

use proptest::prelude::*;

use super::*;

/// A part or a multipart of a mail that is made up.
#[derive(Debug, Clone)]
enum Shape {
    Plain { words: Vec<u16>, encoding: u8 },
    Html { words: Vec<u16>, encoding: u8 },
    File { words: Vec<u16> },
    Multipart { kind: u8, parts: Vec<Shape>, is_closed: bool, footer: Option<u16> },
}

fn shape() -> impl Strategy<Value = Shape> {
    let words = || prop::collection::vec(any::<u16>(), 1..4);
    let leaf = prop_oneof![
        (words(), 0..4_u8).prop_map(|(words, encoding)| Shape::Plain { words, encoding }),
        (words(), 0..4_u8).prop_map(|(words, encoding)| Shape::Html { words, encoding }),
        words().prop_map(|words| Shape::File { words }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let parts = prop::collection::vec(inner, 0..4);
        (0..6_u8, parts, any::<bool>(), any::<Option<u16>>()).prop_map(
            |(kind, parts, is_closed, footer)| Shape::Multipart { kind, parts, is_closed, footer },
        )
    })
}

fn word(n: u16) -> String {
    format!("word{n}x")
}

/// Writes a mail and remembers its words.
#[derive(Default)]
struct Writer {
    words: Vec<String>,
    boundaries: usize,
}

impl Writer {
    fn sentence(&mut self, words: &[u16]) -> String {
        let words: Vec<String> = words.iter().map(|n| word(*n)).collect();
        self.words.extend(words.iter().cloned());
        format!("{}.", words.join(" "))
    }

    fn leaf(kind: &str, text: &str, encoding: u8) -> String {
        use base64::prelude::{BASE64_STANDARD, Engine};
        match encoding {
            1 => format!(
                "Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
                BASE64_STANDARD.encode(text)
            ),
            2 => format!(
                "Content-Type: {kind}\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}",
                text.replace('=', "=3D").replace(' ', "=\r\n ")
            ),
            3 if kind == "text/plain" => format!("\r\n{text}"),
            _ => format!("Content-Type: {kind}\r\n\r\n{text}"),
        }
    }

    /// The part with its headers. The shapes are small, so this may recurse.
    fn write(&mut self, shape: &Shape) -> String {
        match shape {
            Shape::Plain { words, encoding } => {
                let text = self.sentence(words);
                Self::leaf("text/plain", &text, *encoding)
            }
            Shape::Html { words, encoding } => {
                let text = format!("<p>{}</p>", self.sentence(words));
                Self::leaf("text/html", &text, *encoding)
            }
            Shape::File { words } => {
                let text = self.sentence(words);
                format!("Content-Type: application/x-words; name=a\r\n\r\n{text}")
            }
            Shape::Multipart { kind, parts, is_closed, footer } => {
                self.boundaries += 1;
                let boundary = format!("b{}", self.boundaries);
                let kinds = ["mixed", "alternative", "related", "signed", "report", "parallel"];
                let kind = kinds[usize::from(*kind)];
                let mut text =
                    format!("Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\n");
                for part in parts {
                    text.push_str(&format!("--{boundary}\r\n{}\r\n", self.write(part)));
                }
                if *is_closed || parts.is_empty() {
                    text.push_str(&format!("--{boundary}--\r\n"));
                    if let Some(footer) = footer {
                        text.push_str(&self.sentence(&[*footer]));
                    }
                }
                text
            }
        }
    }
}

/// Everything that is read of a mail.
fn everything(mail: &Mail) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let mut all = format!("{:?} {:?}", mail.text, mail.html);
    for file in &mail.files {
        let content = BASE64_STANDARD.decode(file.content.as_deref().unwrap_or_default());
        all.push_str(&String::from_utf8_lossy(&content.expect("base64")));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_word_of_a_mail_is_lost(shape in shape()) {
        let mut writer = Writer::default();
        let mail = writer.write(&shape);
        let all = everything(&read(&mail));
        for word in &writer.words {
            prop_assert!(all.contains(word.as_str()), "{word} of {mail}");
        }
    }

    #[test]
    fn no_mail_ends_its_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        Mail::read(&bytes, &mut Cut::default());
    }

    #[test]
    fn no_mail_of_pieces_ends_its_reader(pieces in prop::collection::vec(0..16_usize, 0..60)) {
        let known = [
            "Content-Type: multipart/mixed; boundary=a\r\n", "Content-Type: multipart/alternative; boundary=b\n",
            "Content-Type: multipart/related\r\n", "Content-Type: text/html\r\n", "\r\n", "\n", "\r", "--a\r\n", "--b\r\n",
            "--a--\r\n", "--b--", "Content-Transfer-Encoding: base64\r\n", "SGVsbG8=", "Hello ", "<p>=3D", ": ",
        ];
        let mail: String = pieces.iter().map(|n| known[*n]).collect();
        Mail::read(mail.as_bytes(), &mut Cut::default());
    }
}

#[test]
fn the_cost_of_a_mail_is_that_of_its_length() {
    let head = "Content-Type: multipart/mixed; boundary=m\r\n\r\n";
    let alternative =
        |n: u32| format!("Content-Type: multipart/alternative; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let alternatives: String = (0..40).map(alternative).collect();
    for piece in [
        "--m--\r\nx\r\n",
        "--m\r\n\r\n\r\n--m--\r\n",
        "--m\r\nContent-Type: multipart/mixed\r\n\r\n--x\r\nContent-Type: a/b\r\n",
        "--y\r\nContent-Type: a/b\r\n",
        "--m\r\nx: y\r\n",
        "Subject: \r\n",
        "--m\r\nContent-Type: message/rfc822\r\n\r\n",
        "--m\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\nfooter, yes\r\n",
        "x\r\nX: y\r\n",
        "--m\r\nContent-Type: text/html\r\n\r\n<img src=cid:x>\r\n",
        "\r",
        "\0",
    ] {
        let mail = format!("{head}{}", piece.repeat(256 * 1024 / piece.len()));
        let began = std::time::Instant::now();
        read(&mail);
        read(&format!("{alternatives}{mail}"));
        assert!(began.elapsed().as_secs() < 30, "{piece:?} took {:?}", began.elapsed());
    }
}
