//! The files of a mail that was posted as a form: parts of it, and fields that say what they are.

use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use hatch_domain::Attachment;
use hatch_mail::{Cut, ID_BYTES_MAX, PARTS_MAX, Shown, clean, clipped, decoded, file_name};
use serde::Deserialize;

use super::form::Form;

/// Why a file has no content that the form names and does not bring.
const NOT_BROUGHT: &str = "the provider named it and did not bring it";

/// Bytes of a media type, with its parameters.
const TYPE_BYTES_MAX: usize = 255;

/// What a form says of a file beside it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct FileInfo {
    pub(crate) filename: Option<String>,
    pub(crate) name: Option<String>,
    #[serde(rename = "type")]
    pub(crate) content_type: Option<String>,
    #[serde(rename = "content-id")]
    pub(crate) content_id: Option<String>,
}

/// What the fields of a form say of its files.
pub(crate) struct Described {
    /// How many there are.
    pub(crate) count: usize,
    /// How the part of the first one is called, without its number: they are counted from 1.
    pub(crate) prefix: &'static str,
    /// What is said of them, by the names of their parts.
    pub(crate) infos: HashMap<String, FileInfo>,
    /// Their Content-IDs, by the names of their parts.
    pub(crate) ids: HashMap<String, String>,
}

impl Described {
    /// Whether a part of that name is a file.
    pub(crate) fn is_file(prefix: &str, name: &str) -> bool {
        name.strip_prefix(prefix)
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// What is known of the files of a mail.
struct Said {
    described: Described,
    shown: Shown,
}

/// The files that came with the mail, which `html` may show, and those that are named and did not come.
pub(crate) fn files(
    form: &Form,
    described: Described,
    html: Option<&str>,
    cut: &mut Cut,
) -> Vec<Attachment> {
    let said = Said { described, shown: Shown::in_html(html) };
    let mut names = form.files.clone();
    let known = names.len();
    names.extend(said.named(form));
    let left_out = names.len().saturating_sub(PARTS_MAX.max(known));
    cut.count("parts", left_out);
    names.truncate(names.len() - left_out);
    names.iter().map(|name| said.file(form, name, cut)).collect()
}

/// The first bytes of a text, without controls, which JSON writes in six bytes each.
fn short(mut text: String, bytes_max: usize) -> String {
    text.retain(|c| !c.is_control());
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

impl Said {
    /// The files that the form names and does not bring: as many as it counts, and those that it describes.
    fn named(&self, form: &Form) -> Vec<String> {
        let Described { count, prefix, infos, .. } = &self.described;
        let counted = (1..=*count.min(&PARTS_MAX)).map(|n| format!("{prefix}{n}"));
        let counted: Vec<String> = counted.filter(|name| !form.parts.contains_key(name)).collect();
        let mut described: Vec<String> = infos.keys().cloned().collect();
        described.retain(|name| !form.parts.contains_key(name) && !counted.contains(name));
        described.sort_unstable();
        [counted, described].concat()
    }

    fn file(&self, form: &Form, name: &str, cut: &mut Cut) -> Attachment {
        let (part, info) = (form.parts.get(name), self.described.infos.get(name));
        let of_part = part.and_then(|part| part.filename.as_ref());
        let of_info = info.and_then(|info| info.filename.as_ref().or(info.name.as_ref()));
        let content_type = part.and_then(|part| part.content_type.as_ref());
        let content_type = content_type.or_else(|| info?.content_type.as_ref());
        let id =
            info.and_then(|info| info.content_id.as_ref()).or_else(|| self.described.ids.get(name));
        let mut text = |text: &String| clipped(clean(&decoded(text)), cut);
        let filename = of_part.or(of_info).map(&mut text);
        let content_type = content_type.map(&mut text).map(|said| short(said, TYPE_BYTES_MAX));
        let id = id.map(&mut text).map(|id| short(id, ID_BYTES_MAX));
        let id = id.map(|id| id.trim().trim_matches(['<', '>']).to_owned());
        let content_id = id.filter(|id| !id.is_empty());
        let inline = self.shown.is_inline(content_id.as_deref(), content_type.as_deref());
        Attachment {
            url: None,
            content_type,
            filename: filename.and_then(|filename| file_name(&filename)),
            content: part.map(|part| BASE64_STANDARD.encode(&part.bytes)),
            content_id,
            inline,
            missing: part.is_none().then(|| NOT_BROUGHT.to_owned()),
            ..Attachment::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_file_is_cut_at_a_character_and_has_no_controls() {
        assert_eq!(short("a\0b\r\n".to_owned(), 9), "ab");
        assert_eq!(short("é".repeat(200), TYPE_BYTES_MAX).len(), 254);
    }
}
