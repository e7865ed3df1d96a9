//! How Twilio signs its webhooks.

use axum::body::Bytes;
use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use url::form_urlencoded;

use crate::clock;
use crate::delivery::Callback;

/// A form, signed and ready to be posted to `url`; a fragment of it is neither signed nor sent.
pub(super) fn signed_form(url: &str, fields: &[(&str, &str)], auth_token: &str) -> Callback {
    let url = url.split('#').next().unwrap_or_default();
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut mac = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    for (key, value) in sorted {
        mac.update(key.as_bytes());
        mac.update(value.as_bytes());
    }
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    Callback {
        url: url.to_owned(),
        headers: vec![
            ("content-type", "application/x-www-form-urlencoded; charset=UTF-8".to_owned()),
            ("user-agent", "TwilioProxy/1.1".to_owned()),
            ("x-twilio-signature", signature),
            ("i-twilio-idempotency-token", clock::new_id().to_string()),
        ],
        body: Bytes::from(body),
        refusal: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Twilio's documentation.
    #[test]
    fn the_documented_example_has_its_documented_signature() {
        let fields = [
            ("CallSid", "CA1234567890ABCDE"),
            ("To", "+18005551212"),
            ("From", "+14158675309"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
        ];
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        for url in [url.to_owned(), format!("{url}#rc=5&rp=all")] {
            let callback = signed_form(&url, &fields, "12345");
            let signature = ("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=".to_owned());
            assert!(callback.headers.contains(&signature));
            assert_eq!(callback.url, "https://mycompany.com/myapp.php?foo=1&bar=2");
        }
    }
}
