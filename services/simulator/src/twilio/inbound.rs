//! Somebody writes to one of our numbers: Twilio's webhook for it.

use super::signature::signed_form;
use super::{API_VERSION, Account};
use crate::clock;
use crate::control::{InboundFile, InboundRequest};
use crate::delivery::Callback;
use crate::segments;

/// The message's SID and its signed webhook.
pub(super) fn inbound(account: &Account, request: InboundRequest) -> (String, Callback) {
    let prefix = if request.attachments.is_empty() { "SM" } else { "MM" };
    let sid = request
        .provider_message_id
        .unwrap_or_else(|| format!("{prefix}{}", clock::new_id().simple()));
    let num_segments = segments::count(&request.body).to_string();
    let num_media = request.attachments.len().to_string();
    let media: Vec<(String, String)> =
        request.attachments.into_iter().enumerate().flat_map(|(n, file)| media(n, file)).collect();
    let mut fields = vec![
        ("AccountSid", account.account_sid.as_str()),
        ("ApiVersion", API_VERSION),
        ("Body", &request.body),
        ("From", &request.from),
        ("FromCity", ""),
        ("FromCountry", "US"),
        ("FromState", ""),
        ("FromZip", ""),
        ("MessageSid", &sid),
        ("NumMedia", &num_media),
        ("NumSegments", &num_segments),
        ("SmsMessageSid", &sid),
        ("SmsSid", &sid),
        ("SmsStatus", "received"),
        ("To", &request.to),
        ("ToCity", ""),
        ("ToCountry", "US"),
        ("ToState", ""),
        ("ToZip", ""),
    ];
    fields.extend(media.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let callback = signed_form(&account.inbound_url, &fields, &account.auth_token);
    (sid, callback)
}

fn media(n: usize, file: InboundFile) -> [(String, String); 2] {
    let (url, content_type) = match file {
        InboundFile::Url(url) => (url, None),
        InboundFile::Typed { url, content_type } => (url, content_type),
    };
    let content_type = content_type.unwrap_or_else(|| "image/jpeg".to_owned());
    [(format!("MediaUrl{n}"), url), (format!("MediaContentType{n}"), content_type)]
}
