//! No word of a mail is lost, however its parts are nested, encoded and quoted: each is found in the text, in the HTML
//! or in the files.
//!
//! A run reads a few hundred mails. `HATCH_TEST_FUZZ_MINUTES=10` reads new ones for ten minutes.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use encoding_rs::Encoding;
use hatch_mail::visible::{Reading, Written};
use hatch_mail::{Cut, Mail, html_to_text};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Mails of a run, and of each round of a longer one.
const MAILS: u32 = 300;

/// Far more than any of them takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Charsets, each with a word that it has.
const CHARSETS: [(&str, &str); 27] = [
    ("utf-8", "größe"),
    ("utf-8", "注文"),
    ("utf-8", "طلب"),
    ("utf-8", "🙂ok"),
    ("us-ascii", "order"),
    ("iso-8859-1", "größe"),
    ("windows-1252", "œuvre"),
    ("iso-8859-2", "żółty"),
    ("iso-8859-15", "prix€"),
    ("windows-1250", "řeka"),
    ("windows-1251", "заказ"),
    ("koi8-r", "заказ"),
    ("iso-8859-5", "заказ"),
    ("windows-1253", "λόγος"),
    ("windows-1254", "sipariş"),
    ("windows-1255", "הזמנה"),
    ("windows-1256", "طلب"),
    ("windows-1258", "đơn"),
    ("windows-874", "คำสั่ง"),
    ("iso-2022-jp", "注文"),
    ("shift_jis", "注文"),
    ("euc-jp", "注文"),
    ("gb2312", "订单"),
    ("gbk", "訂單"),
    ("gb18030", "订单"),
    ("big5", "訂單"),
    ("euc-kr", "주문"),
];

/// Kinds of multiparts.
const KINDS: [&str; 6] = ["mixed", "alternative", "related", "signed", "report", "x-unknown"];

/// What stands before a line of a text.
const BEFORE: [&str; 9] = [
    "",
    "",
    "> ",
    ">> ",
    "-- \r\n",
    "On Mon, Nov 23, 2026 at 10:15 AM Ann <ann@example.org> wrote:\r\n> ",
    "From: Ann <ann@example.org>\r\nSent: Monday, November 23, 2026 10:15 AM\r\nSubject: Hi\r\n\r\n",
    "---------- Forwarded message ---------\r\n",
    "\r\n",
];

/// What stands around a line of HTML.
const AROUND: [(&str, &str); 9] = [
    ("<p>", "</p>"),
    ("", "<br>"),
    ("<blockquote type=cite>", "</blockquote>"),
    (
        "<div class=\"gmail_quote\"><div class=\"gmail_attr\">Ann wrote:</div><blockquote>",
        "</blockquote></div>",
    ),
    ("<div class=\"gmail_signature\">", "</div>"),
    ("<div id=\"divRplyFwdMsg\">", "</div>"),
    ("<table><tr><td>", "</table>"),
    ("<!-- a > b --><p title='>'>", ""),
    ("<pre>", "</pre>"),
];

/// A line of a text.
#[derive(Debug, Clone)]
struct Line {
    words: Vec<u16>,
    around: usize,
}

/// How a text is written.
#[derive(Debug, Clone, Copy)]
struct Form {
    charset: usize,
    encoding: u8,
    is_html: bool,
    is_declared: bool,
    is_file: bool,
    has_references: bool,
}

/// A part or a multipart of a mail that is made up.
#[derive(Debug, Clone)]
enum Shape {
    Text { lines: Vec<Line>, form: Form, footer: Option<u16> },
    File { words: Vec<u16>, form: Form },
    Mail { words: Vec<u16> },
    Multipart { kind: usize, parts: Vec<Shape>, is_closed: bool, footer: Option<u16> },
}

/// A mail that is made up.
#[derive(Debug, Clone)]
struct Made {
    shape: Shape,
    subject: Vec<u16>,
    subject_charset: usize,
    cut_at: usize,
    references: usize,
    /// Whether its lines end as programs of Unix end them.
    has_line_feeds: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let words = || prop::collection::vec(any::<u16>(), 1..5);
    let line = (words(), 0..BEFORE.len()).prop_map(|(words, around)| Line { words, around });
    let form = || {
        let flags =
            (any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.2), any::<bool>());
        (0..CHARSETS.len(), 0..4_u8, flags).prop_map(|(charset, encoding, flags)| {
            let (is_html, is_declared, is_file, has_references) = flags;
            Form { charset, encoding, is_html, is_declared, is_file, has_references }
        })
    };
    let footer = || prop::option::weighted(0.3, any::<u16>());
    let leaf = prop_oneof![
        4 => (prop::collection::vec(line, 1..6), form(), footer())
            .prop_map(|(lines, form, footer)| Shape::Text { lines, form, footer }),
        1 => (words(), form()).prop_map(|(words, form)| Shape::File { words, form }),
        1 => words().prop_map(|words| Shape::Mail { words }),
    ];
    let shape = leaf.prop_recursive(4, 24, 4, move |inner| {
        let parts = prop::collection::vec(inner, 0..4);
        (0..KINDS.len(), parts, prop::bool::weighted(0.8), footer()).prop_map(
            |(kind, parts, is_closed, footer)| Shape::Multipart { kind, parts, is_closed, footer },
        )
    });
    let head = (words(), 0..CHARSETS.len(), 1..30_usize, 0..150_usize, any::<bool>());
    (shape, head).prop_map(|(shape, head)| {
        let (subject, subject_charset, cut_at, references, has_line_feeds) = head;
        Made { shape, subject, subject_charset, cut_at, references, has_line_feeds }
    })
}

/// The bytes of `text` in the charset of that name.
fn encoded(text: &str, label: &str) -> Vec<u8> {
    let encoding = Encoding::for_label(label.as_bytes()).expect("a charset");
    let (bytes, _, is_wrong) = encoding.encode(text);
    assert!(!is_wrong, "{label} has no {text}");
    bytes.into_owned()
}

fn base64(bytes: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(bytes);
    let lines: Vec<&str> =
        (0..text.len()).step_by(76).map(|n| &text[n..text.len().min(n + 76)]).collect();
    lines.join("\r\n")
}

fn quoted_printable(bytes: &[u8]) -> String {
    let (mut text, mut length) = (String::new(), 0);
    for byte in bytes {
        if length > 70 {
            text.push_str("=\r\n");
            length = 0;
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'\r' | b'\n') {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("={byte:02X}"));
        }
        length = if *byte == b'\n' { 0 } else { length + 3 };
    }
    text
}

/// Writes a mail and remembers its words.
#[derive(Default)]
struct Writer {
    words: Vec<String>,
    mail: Vec<u8>,
    boundaries: usize,
}

impl Writer {
    fn sentence(&mut self, words: &[u16], charset: usize) -> String {
        let words: Vec<String> =
            words.iter().map(|n| format!("{}{n}x", CHARSETS[charset].1)).collect();
        self.words.extend(words.iter().cloned());
        words.join(" ")
    }

    fn put(&mut self, text: &str) {
        self.mail.extend_from_slice(text.as_bytes());
    }

    fn headers(&mut self, made: &Made) {
        let (label, _) = CHARSETS[made.subject_charset];
        let bytes = encoded(&self.sentence(&made.subject, made.subject_charset), label);
        // Of a charset with states, a word begins anew.
        let at = if label == "iso-2022-jp" { bytes.len() } else { made.cut_at.min(bytes.len()) };
        let (one, other) = bytes.split_at(at);
        let word = |bytes: &[u8]| format!("=?{label}?B?{}?=", BASE64_STANDARD.encode(bytes));
        let more = if other.is_empty() { String::new() } else { format!("\r\n {}", word(other)) };
        self.put(&format!("From: ann@example.org\r\nSubject: {}{more}\r\n", word(one)));
        let ids: Vec<String> =
            (0..made.references).map(|n| format!("<r{n}@example.org>")).collect();
        self.put(&format!("References: {}\r\nMIME-Version: 1.0\r\n", ids.join("\r\n ")));
    }

    /// The part with its headers. The shapes are small, so this may recurse.
    fn write(&mut self, shape: &Shape) {
        match shape {
            Shape::Text { lines, form, footer } => self.text(lines, *form, *footer),
            Shape::File { words, form } => {
                let content = self.sentence(words, 1);
                let name = self.sentence(&words[..1], form.charset);
                let bytes = encoded(&name, CHARSETS[form.charset].0);
                let bytes: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
                let label = CHARSETS[form.charset].0;
                self.put(&format!(
                    "Content-Type: application/x-words\r\nContent-Disposition: attachment;\r\n \
                     filename*0*={label}''{};\r\n filename*1*={}.bin\r\n\r\n{content}",
                    &bytes[..3],
                    &bytes[3..]
                ));
            }
            Shape::Mail { words } => {
                let content = self.sentence(words, 0);
                self.put(&format!(
                    "Content-Type: message/rfc822\r\n\r\nFrom: bob@example.org\r\n\
                     Content-Type: text/plain; charset=utf-8\r\n\r\n{content}"
                ));
            }
            Shape::Multipart { kind, parts, is_closed, footer } => {
                self.boundaries += 1;
                let (boundary, kind) = (format!("b{}", self.boundaries), KINDS[*kind]);
                self.put(&format!("Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\n"));
                for part in parts {
                    self.put(&format!("--{boundary}\r\n"));
                    self.write(part);
                    self.put("\r\n");
                }
                if *is_closed || parts.is_empty() {
                    self.put(&format!("--{boundary}--\r\n"));
                    self.footer(*footer);
                }
            }
        }
    }

    /// What a server writes after the content.
    fn footer(&mut self, footer: Option<u16>) {
        if let Some(n) = footer {
            let word = self.sentence(&[n], 4);
            self.put(&format!("This mail was looked at by {word}, and is clean.\r\n"));
        }
    }

    fn text(&mut self, lines: &[Line], form: Form, footer: Option<u16>) {
        // What is not declared is found out where it is UTF-8.
        let charset = if form.is_declared { form.charset } else { form.charset % 4 };
        let is_html = form.is_html && form.is_declared;
        let mut text = String::new();
        for line in lines {
            let sentence = self.sentence(&line.words, charset);
            if is_html {
                let (before, after) = AROUND[line.around];
                let sentence = if form.has_references { references(&sentence) } else { sentence };
                text.push_str(&format!("{before}{sentence}{after}\r\n"));
            } else {
                text.push_str(&format!("{}{sentence}.\r\n", BEFORE[line.around]));
            }
        }
        let bytes = encoded(&text, CHARSETS[charset].0);
        if form.is_declared {
            let kind = if is_html { "html" } else { "plain" };
            self.put(&format!(
                "Content-Type: text/{kind}; charset=\"{}\"\r\n",
                CHARSETS[charset].0
            ));
        }
        if form.is_file {
            self.put("Content-Disposition: attachment; filename=\"words.txt\"\r\n");
        }
        match form.encoding {
            1 => {
                self.put("Content-Transfer-Encoding: base64\r\n\r\n");
                self.put(&base64(&bytes));
                if !form.is_file {
                    self.put("\r\n\r\n");
                    self.footer(footer);
                }
            }
            2 => {
                self.put("Content-Transfer-Encoding: quoted-printable\r\n\r\n");
                self.put(&quoted_printable(&bytes));
            }
            _ => {
                self.put("\r\n");
                self.mail.extend_from_slice(&bytes);
            }
        }
    }
}

/// `text` with character references for all that is not ASCII.
fn references(text: &str) -> String {
    let one = |c: char| if c.is_ascii() { c.to_string() } else { format!("&#{};", u32::from(c)) };
    text.chars().map(one).collect()
}

/// Everything that is read of a mail.
fn everything(mail: &Mail) -> String {
    let mut all = mail.headers.subject.clone().unwrap_or_default();
    let mut add = |text: &str| {
        all.push('\n');
        all.push_str(text);
    };
    add(mail.text.as_deref().unwrap_or_default());
    add(&html_to_text(mail.html.as_deref().unwrap_or_default()));
    for file in &mail.files {
        let content = BASE64_STANDARD.decode(file.content.as_deref().unwrap_or_default());
        let content = content.expect("base64");
        let content = String::from_utf8_lossy(&content);
        add(&content);
        add(&html_to_text(&content));
        add(file.filename.as_deref().unwrap_or_default());
    }
    all
}

/// Reads the mail, and says what is wrong with what was read.
fn check(made: &Made) -> Result<(), TestCaseError> {
    let mut writer = Writer::default();
    writer.headers(made);
    writer.write(&made.shape);
    if made.has_line_feeds {
        writer.mail.retain(|byte| *byte != b'\r');
    }
    let shown = String::from_utf8_lossy(&writer.mail);
    let began = Instant::now();
    let mail = Mail::read(&writer.mail, &mut Cut::default());
    let subject = mail.headers.subject.as_deref();
    let (text, html) = (mail.text.as_deref(), mail.html.as_deref());
    let reading = Reading::of(&Written { subject, text, html });
    prop_assert!(began.elapsed() < PATIENCE, "it took {:?}: {shown}", began.elapsed());
    let all = everything(&mail);
    for word in &writer.words {
        prop_assert!(all.contains(word.as_str()), "{word} of {shown}");
    }
    // What is read of it as people read it is all of its text, and something of that is visible.
    let of_html = html_to_text(html.unwrap_or_default());
    let read = text.unwrap_or(&of_html);
    let pieces: String = reading.pieces().map(|(_, text)| text).collect();
    for word in writer.words.iter().filter(|word| read.contains(word.as_str())) {
        prop_assert!(pieces.contains(word.as_str()), "{word} in no piece of {shown}");
    }
    prop_assert!(read.trim().is_empty() || reading.visible().is_some(), "nothing visible: {shown}");
    let references = &mail.headers.references;
    prop_assert_eq!(references.len(), made.references.min(100));
    let newest = made.references.checked_sub(1).map(|n| format!("r{n}@example.org"));
    prop_assert_eq!(references.last(), newest.as_ref());
    Ok(())
}

#[test]
fn no_word_is_lost_in_any_charset_encoding_or_structure() {
    let minutes = std::env::var("HATCH_TEST_FUZZ_MINUTES").ok();
    let minutes: u64 = minutes.map_or(0, |minutes| minutes.parse().expect("a number of minutes"));
    let (began, mut rounds) = (Instant::now(), 0);
    let config =
        ProptestConfig { cases: MAILS, failure_persistence: None, ..ProptestConfig::default() };
    while rounds == 0 || began.elapsed() < Duration::from_secs(60 * minutes) {
        let mut runner = TestRunner::new(config.clone());
        if let Err(failure) = runner.run(&made(), |made| check(&made)) {
            panic!("after {rounds} rounds: {failure}");
        }
        rounds += 1;
    }
    eprintln!("{} mails in {:?}", u64::from(MAILS) * rounds, began.elapsed());
}
