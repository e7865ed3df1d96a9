//! What somebody wrote to us.

use hatch_domain::{Attachment, Channel};
use hatch_mail::clean;
use serde_json::Value;
use url::Url;
use uuid::{Uuid, uuid};

use super::webhook::Fields;
use crate::webhook::{Inbound, NotUnderstood, provider_id};

/// Namespace of the names of messages for which Vonage gives none. It never changes.
const NAMELESS: Uuid = uuid!("e1f9b6a0-3d42-4c8b-b7d5-60c2a4f81e93");

/// The fields that a file may be under.
const KINDS: [&str; 5] = ["image", "video", "audio", "vcard", "file"];

/// Files of a message at most.
const FILES_MAX: usize = 10;

pub(super) fn inbound(
    fields: &Fields,
    account: &str,
    body: &[u8],
) -> Result<Inbound, NotUnderstood> {
    let named = files(fields);
    // Older webhooks say within whom they are from how it came.
    let of_sender = || fields.part("from", "type").and_then(Value::as_str);
    let channel = match fields.text("channel").or_else(of_sender) {
        Some("sms") => Channel::Sms,
        Some("mms") => Channel::Mms,
        Some(_) => {
            let expected = "sms or mms";
            return Err(NotUnderstood::Field { field: "channel".to_owned(), expected });
        }
        None if named.is_empty() => Channel::Sms,
        None => Channel::Mms,
    };
    let caption = || named.iter().find_map(|file| text_of(file, "caption"));
    // The first word in capitals: all that is left of a text that is not told.
    let keyword = || fields.part("sms", "keyword").and_then(Value::as_str);
    let older = || text_of(fields.older_content()?, "text");
    let text = fields.text("text").or_else(older).or_else(caption).or_else(keyword);
    Ok(Inbound {
        account: account.to_owned(),
        provider_message_id: name(fields, body),
        channel,
        from: fields.address("from"),
        to: vec![fields.address("to")],
        body: text.map(clean),
        attachments: named.into_iter().map(attachment).collect(),
        email: None,
        delivered_to: Vec::new(),
        segments: fields.part("sms", "num_messages").and_then(count),
    })
}

/// What Vonage calls the message, or else a UUIDv5 of what it says: the same again where it comes again.
fn name(fields: &Fields, body: &[u8]) -> String {
    let field = "message_uuid";
    let named = fields.text(field).and_then(|text| provider_id(field, text).ok());
    named.map_or_else(|| Uuid::new_v5(&NAMELESS, body).to_string(), str::to_owned)
}

/// The files that came with it, by whatever kind: one or several of each.
fn files(fields: &Fields) -> Vec<&Value> {
    let older = fields.older_content();
    let of_kind = |kind: &&str| fields.get(kind).or_else(|| older?.get(*kind));
    let each = KINDS.iter().filter_map(of_kind);
    let each = each.flat_map(|value| match value {
        Value::Array(several) => several.as_slice(),
        one => std::slice::from_ref(one),
    });
    each.filter(|value| value.is_object()).take(FILES_MAX).collect()
}

/// A file, or what is known of one that cannot be fetched: a page that shows its URL makes a link of it.
fn attachment(file: &Value) -> Attachment {
    let is_on_the_web = |url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
    let named = text_of(file, "url");
    let url = named.filter(|url| Url::parse(url).is_ok_and(|url| is_on_the_web(&url)));
    let missing = match named {
        _ if url.is_some() => None,
        Some(_) => Some("Vonage named no http or https URL for it"),
        None => Some("Vonage named no URL for it"),
    };
    Attachment {
        url: url.map(str::to_owned),
        filename: text_of(file, "name").map(clean),
        missing: missing.map(str::to_owned),
        ..Attachment::default()
    }
}

fn text_of<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// A number, which Vonage writes as a text or not, where it is more than none.
fn count(value: &Value) -> Option<u32> {
    let number = match value {
        Value::String(text) => text.parse().ok()?,
        value => u32::try_from(value.as_u64()?).ok()?,
    };
    Some(number).filter(|number| *number > 0)
}
