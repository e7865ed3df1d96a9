//! The files of a mail, as Inbound Parse posts them: parts of the form, and fields that say what they are.

use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use hatch_domain::Attachment;
use hatch_mail::{Cut, ID_BYTES_MAX, PARTS_MAX, Shown, clean, clipped, decoded, file_name};
use serde::Deserialize;
use serde_json::Value;

use super::inbound::Form;

/// Why a file has no content that the form names and does not bring.
const NOT_BROUGHT: &str = "the provider named it and did not bring it";

/// Bytes of a media type, with its parameters.
const TYPE_BYTES_MAX: usize = 255;

/// What the form says of a file beside it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct FileInfo {
    filename: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    content_type: Option<String>,
    #[serde(rename = "content-id")]
    content_id: Option<String>,
}

/// What all fields say of the files, by the names of their parts.
struct Said {
    infos: HashMap<String, FileInfo>,
    ids: HashMap<String, String>,
    shown: Shown,
}

/// The files that came with the mail, which `html` may show, and those that are named and did not come.
pub(super) fn files(form: &Form, html: Option<&str>, cut: &mut Cut) -> Vec<Attachment> {
    let infos: HashMap<String, Value> = form.json("attachment-info").unwrap_or_default();
    // What cannot be read of one file costs that file only.
    let infos = infos
        .into_iter()
        .map(|(name, info)| (name, FileInfo::deserialize(info).unwrap_or_default()));
    let ids: HashMap<String, Value> = form.json("content-ids").unwrap_or_default();
    let ids = ids.into_iter().filter_map(|(id, name)| Some((name.as_str()?.to_owned(), id)));
    let said = Said { infos: infos.collect(), ids: ids.collect(), shown: Shown::in_html(html) };
    let mut names = form.files.clone();
    let known = names.len();
    names.extend(named(form, &said));
    let left_out = names.len().saturating_sub(PARTS_MAX.max(known));
    cut.count("parts", left_out);
    names.truncate(names.len() - left_out);
    names.iter().map(|name| said.file(form, name, cut)).collect()
}

/// The files that the form names and does not bring: as many as it counts, and those that it describes.
fn named(form: &Form, said: &Said) -> Vec<String> {
    let count = form.text("attachments").and_then(|count| count.trim().parse::<usize>().ok());
    let counted = (1..=count.unwrap_or_default().min(PARTS_MAX)).map(|n| format!("attachment{n}"));
    let counted: Vec<String> = counted.filter(|name| !form.parts.contains_key(name)).collect();
    let mut described: Vec<String> = said.infos.keys().cloned().collect();
    described.retain(|name| !form.parts.contains_key(name) && !counted.contains(name));
    described.sort_unstable();
    [counted, described].concat()
}

/// The first bytes of a text, without controls, which JSON writes in six bytes each.
fn short(mut text: String, bytes_max: usize) -> String {
    text.retain(|c| !c.is_control());
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

impl Said {
    fn file(&self, form: &Form, name: &str, cut: &mut Cut) -> Attachment {
        let (part, info) = (form.parts.get(name), self.infos.get(name));
        let of_part = part.and_then(|part| part.filename.as_ref());
        let of_info = info.and_then(|info| info.filename.as_ref().or(info.name.as_ref()));
        let content_type = part.and_then(|part| part.content_type.as_ref());
        let content_type = content_type.or_else(|| info?.content_type.as_ref());
        let id = info.and_then(|info| info.content_id.as_ref()).or_else(|| self.ids.get(name));
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
