//! Whole mails, by their shape: what is read of each.

mod broken;
mod properties;
mod shapes;

use crate::{Cut, Mail};

/// What is read of a mail with these headers and this content, after a few headers that all have.
fn read(mail: &str) -> Mail {
    Mail::read(
        format!("From: ann@example.com\r\nSubject: Hi\r\n{mail}").as_bytes(),
        &mut Cut::default(),
    )
}

/// A multipart: its kind, its boundary, its parts with their headers.
fn multipart(kind: &str, boundary: &str, parts: &[&str]) -> String {
    let mut mail = format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n");
    for part in parts {
        mail.push_str(&format!("--{boundary}\r\n{part}\r\n"));
    }
    mail.push_str(&format!("--{boundary}--\r\n"));
    mail
}

const PDF: &str = "Content-Type: application/pdf; name=\"a.pdf\"\r\n\
    Content-Disposition: attachment; filename=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==";

const PICTURE: &str = "Content-Type: image/png; name=\"logo.png\"\r\nContent-ID: <logo1>\r\n\
    Content-Transfer-Encoding: base64\r\n\r\niVBORw==";

fn plain(text: &str) -> String {
    format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}")
}

fn html(text: &str) -> String {
    format!("Content-Type: text/html; charset=utf-8\r\n\r\n{text}")
}

/// The names of the files, and whether they are shown in the text.
fn files(mail: &Mail) -> Vec<(String, bool)> {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    mail.files.iter().map(|file| (name(&file.filename), file.inline)).collect()
}

/// Checks the text, the HTML and the files of a mail.
#[track_caller]
fn check(mail: &str, text: Option<&str>, markup: Option<&str>, names: &[(&str, bool)]) -> Mail {
    let read = read(mail);
    assert_eq!(read.text.as_deref().map(str::trim_end), text, "the text of {mail}");
    assert_eq!(read.html.as_deref().map(str::trim_end), markup, "the HTML of {mail}");
    let names: Vec<(String, bool)> =
        names.iter().map(|(name, inline)| ((*name).to_owned(), *inline)).collect();
    assert_eq!(files(&read), names, "the files of {mail}");
    read
}
