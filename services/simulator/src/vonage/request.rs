//! A message as it is posted, and what Vonage finds wrong with it.

use serde::Deserialize;
use url::{Url, form_urlencoded};
use uuid::Uuid;

use super::error::{ApiError, Fault};
use crate::Config;

const TEXT_CHARS_MAX: usize = 1_000;
const CAPTION_CHARS_MAX: usize = 2_000;
const CLIENT_REF_CHARS_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 11;
const MMS_TTL_S: std::ops::RangeInclusive<u64> = 300..=259_200;

/// The kinds of messages of each channel.
const KINDS: &[(&str, &[&str])] =
    &[("sms", &["text"]), ("mms", &["image", "vcard", "audio", "video"])];

/// The body of a send. Fields that do not matter here are ignored.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Request {
    pub(super) channel: String,
    message_type: String,
    pub(super) to: String,
    pub(super) from: String,
    text: Option<String>,
    image: Option<Media>,
    vcard: Option<Media>,
    audio: Option<Media>,
    video: Option<Media>,
    ttl: Option<u64>,
    pub(super) client_ref: Option<String>,
    pub(super) webhook_url: Option<String>,
    pub(super) webhook_version: Option<String>,
    sms: Option<Sms>,
}

/// A file.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Media {
    url: String,
    caption: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Sms {
    encoding_type: Option<String>,
}

impl Request {
    /// What it says.
    pub(super) fn text(&self) -> &str {
        let caption = self.media().and_then(|media| media.caption.as_deref());
        self.text.as_deref().or(caption).unwrap_or_default()
    }

    /// The URLs of its files.
    pub(super) fn files(&self) -> Vec<String> {
        self.media().map(|media| media.url.clone()).into_iter().collect()
    }

    fn media(&self) -> Option<&Media> {
        let of = [
            ("image", &self.image),
            ("vcard", &self.vcard),
            ("audio", &self.audio),
            ("video", &self.video),
        ];
        of.into_iter().find(|(kind, _)| *kind == self.message_type)?.1.as_ref()
    }

    /// Hatch's id of the message: it is in the reference, or else in the query of the webhook's URL.
    pub(super) fn hatch_message_id(&self) -> Option<Uuid> {
        let of_reference = self.client_ref.as_deref().and_then(id_within);
        of_reference.or_else(|| {
            let (_, query) = self.webhook_url.as_deref()?.split_once('?')?;
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find_map(|(key, id)| (key == "message_id").then(|| id.parse().ok())?)
        })
    }

    /// Refuses what Vonage refuses, every parameter at once; and a webhook to anywhere but hatch, because whoever
    /// reaches the simulator could have it post, signed, to any address that this machine reaches.
    pub(super) fn check(&self, config: &Config) -> Result<(), ApiError> {
        let mut faults: Vec<Fault> = Vec::new();
        let mut fault = |name: &'static str, reason: &str| faults.push((name, reason.to_owned()));
        match KINDS.iter().find(|(channel, _)| *channel == self.channel) {
            None => fault("channel", "expected sms or mms"),
            Some((_, kinds)) if !kinds.contains(&self.message_type.as_str()) => {
                fault("message_type", "the channel has no such message type");
            }
            Some(_) => self.check_content(&mut fault),
        }
        if !is_number(&self.to) {
            fault("to", "expected a number in E.164 without the leading +");
        }
        if !is_number(&self.from) && (self.channel == "mms" || !is_short_or_named(&self.from)) {
            fault(
                "from",
                "expected a number without the leading +, or up to 11 letters and digits",
            );
        }
        if self.client_ref.as_ref().is_some_and(|text| text.chars().count() > CLIENT_REF_CHARS_MAX)
        {
            fault("client_ref", "must be no longer than 100 characters");
        }
        if self.channel == "mms" && self.ttl.is_some_and(|ttl| !MMS_TTL_S.contains(&ttl)) {
            fault("ttl", "expected 300 to 259200 seconds");
        }
        if self.webhook_version.as_ref().is_some_and(|version| version != "v1" && version != "v0.1")
        {
            fault("webhook_version", "expected v1 or v0.1");
        }
        match &self.webhook_url {
            Some(url) if !is_web_url(url) => fault("webhook_url", "expected a URL"),
            Some(url) if !config.calls_back(url) => {
                let ours = config.public_url.origin().ascii_serialization();
                fault("webhook_url", &format!("the simulator posts to {ours} only"));
            }
            _ => {}
        }
        if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults)) }
    }

    fn check_content(&self, fault: &mut impl FnMut(&'static str, &str)) {
        if self.message_type == "text" {
            let chars = self.text().chars().count();
            if chars == 0 || chars > TEXT_CHARS_MAX {
                fault("text", "expected 1 to 1000 characters");
            }
            let encoding = self.sms.as_ref().and_then(|sms| sms.encoding_type.as_deref());
            if encoding.is_some_and(|encoding| !["auto", "text", "unicode"].contains(&encoding)) {
                fault("sms.encoding_type", "expected auto, text or unicode");
            }
            return;
        }
        let Some(media) = self.media() else {
            fault("url", "a message of this type needs its file");
            return;
        };
        if !is_web_url(&media.url) {
            fault("url", "expected the URL of a file");
        }
        if self.text().chars().count() > CAPTION_CHARS_MAX {
            fault("caption", "must be no longer than 2000 characters");
        }
    }
}

/// The last id in a text.
fn id_within(text: &str) -> Option<Uuid> {
    let starts = || text.char_indices().rev().map(|(start, _)| start);
    let at = |length: usize| {
        starts().find_map(|start| text.get(start..start + length)?.parse::<Uuid>().ok())
    };
    at(36).or_else(|| at(32))
}

/// E.164 without its plus.
fn is_number(text: &str) -> bool {
    (7..=15).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.starts_with('0')
}

/// A short code, or an alphanumeric sender.
fn is_short_or_named(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == ' ';
    !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.chars().all(is_allowed)
}

fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A number with its plus, as the record has it of every provider; a name or a short code as it is.
pub(super) fn with_plus(address: &str) -> String {
    if is_number(address) { format!("+{address}") } else { address.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_id_is_found_wherever_it_is_in_a_reference() {
        let id = Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0001);
        let simple = id.simple();
        let of_tenant = format!("hatch.{}.{simple}.1", "1".repeat(32));
        for text in [format!("{id}"), format!("é{id}.2"), format!("h:{simple}:1"), of_tenant] {
            assert_eq!(id_within(&text), Some(id), "{text}");
        }
        for text in ["", "é", "a reference of thirty-two letters", "0197"] {
            assert_eq!(id_within(text), None, "{text}");
        }
    }
}
