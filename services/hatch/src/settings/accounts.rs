//! What the settings of accounts are beyond their types.

use reqwest::Url;
use schemars::Schema;

/// The account's `public_url` need not be set where the one of all is, or `listen`.
pub(super) fn with_public_url(account: &mut Schema) {
    if let Some(required) = required(account) {
        required.retain(|key| key != "public_url");
    }
}

/// Without a key no webhook of the account's could be believed.
pub(super) fn with_event_keys(account: &mut Schema) {
    if let Some(required) = required(account) {
        required.push("event_public_keys".into());
    }
}

fn required(account: &mut Schema) -> Option<&mut Vec<serde_json::Value>> {
    account.get_mut("required").and_then(|required| required.as_array_mut())
}

/// `text` as a URL by which the outside comes: without user and password.
pub(crate) fn outside_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| {
        ["http", "https"].contains(&url.scheme())
            && url.username().is_empty()
            && url.password().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;

    #[test]
    fn a_public_url_that_is_none_is_left_to_be_refused_by_its_own_name() {
        let sid = format!("AC{}", "0".repeat(32));
        let variables = [
            ("HATCH_TWILIO__ACCOUNT_SID", sid.as_str()),
            ("HATCH_TWILIO__AUTH_TOKEN", "secret"),
            ("HATCH_PUBLIC_URL", "hatch.example.com"),
        ];
        let settings = load("", &variables).expect("what is wrong is said later");
        assert_eq!(settings.public_url(), "hatch.example.com");
        let twilio = settings.twilio.expect("an account");
        assert_eq!(twilio.public_url.as_str(), "http://127.0.0.1:8080/");
    }
}
