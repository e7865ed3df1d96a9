//! What the HTML of a mail shows of the files that came with it.

use std::collections::HashSet;

/// Bytes of a name that HTML shows a file by.
const NAME_BYTES_MAX: usize = 1000;

/// The files that some HTML shows: by Content-ID (RFC 2392) or by place.
#[derive(Debug, Default)]
pub struct Shown {
    ids: HashSet<String>,
    places: HashSet<String>,
    is_html: bool,
}

impl Shown {
    /// Reads the HTML once.
    pub fn in_html(html: Option<&str>) -> Self {
        let mut shown = Self { is_html: html.is_some(), ..Self::default() };
        let html = html.unwrap_or_default();
        for name in names(html, b"cid:") {
            shown.ids.insert(comparable(name));
        }
        for name in names(html, b"src=") {
            shown.places.insert(name.to_owned());
        }
        shown
    }

    /// Whether it shows the file of that Content-ID.
    pub fn has(&self, content_id: &str) -> bool {
        self.ids.contains(&comparable(content_id))
    }

    /// Whether a file belongs into the text: the HTML shows it, or it is a picture with a Content-ID and there is no
    /// HTML that does not show it.
    pub fn is_inline(&self, content_id: Option<&str>, content_type: Option<&str>) -> bool {
        let is_picture = content_type.is_some_and(|said| {
            said.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("image/"))
        });
        content_id.is_some_and(|id| self.has(id) || (is_picture && !self.is_html))
    }

    /// Whether it shows the file of that Content-Location.
    pub(super) fn has_place(&self, place: &str) -> bool {
        self.places.contains(place)
    }
}

/// Ids are compared without regard to escapes and case.
fn comparable(id: &str) -> String {
    let id = id.replace("&amp;", "&").replace("&#64;", "@");
    let mut bytes = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let [byte, after @ ..] = rest {
        let digit = |n: usize| after.get(n).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte.to_ascii_lowercase());
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).to_lowercase()
}

/// What stands after each `prefix`, in any case, up to where such a name ends. Nothing is looked for in a name again.
fn names<'h>(html: &'h str, prefix: &'static [u8]) -> impl Iterator<Item = &'h str> {
    let (bytes, mut read) = (html.as_bytes(), 0);
    memchr::memchr_iter(prefix[prefix.len() - 1], bytes).filter_map(move |last| {
        let start = (last + 1).checked_sub(prefix.len()).filter(|start| *start >= read)?;
        if !bytes[start..=last].eq_ignore_ascii_case(prefix) {
            return None;
        }
        let rest = html.get(last + 1..)?;
        let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
        let is_end = |b: u8| b.is_ascii_whitespace() || b"\"'<>()".contains(&b);
        let looked_at = rest.len().min(NAME_BYTES_MAX + 1);
        let end = rest.bytes().take(looked_at).position(is_end).unwrap_or(looked_at);
        read = html.len() - rest.len() + end;
        rest.get(..end).filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_however_they_are_written() {
        let html = "<IMG SRC=\"cid:logo1@x\"><img src=CID:a%40b><td background='cid:Bg'>url(cid:c) \
            <img src=\"pictures/a.png\"><a href=\"cid:x&amp;y\">";
        let shown = Shown::in_html(Some(html));
        for id in ["logo1@x", "a@b", "bg", "c", "x&y", "LOGO1@X"] {
            assert!(shown.has(id), "{id}");
        }
        assert!(!shown.has("logo1") && shown.has_place("pictures/a.png"));
        assert!(shown.is_inline(Some("c"), None) && !shown.is_inline(Some("d"), Some("image/png")));
        let none = Shown::in_html(None);
        assert!(
            none.is_inline(Some("d"), Some("Image/PNG"))
                && !none.is_inline(Some("d"), Some("text/csv"))
        );
    }

    #[test]
    fn what_is_looked_for_costs_no_more_than_its_length() {
        for piece in ["cid:", "src=", "cid:a", ":", "src='"] {
            Shown::in_html(Some(&piece.repeat(256 * 1024 / piece.len())));
        }
    }
}
