//! Signatures: the example of SendGrid's own libraries, one that openssl made, and every way to be
//! wrong.

use super::super::{SendGridEvents, SendGridInbound, Settings};
use super::{PUBLIC_KEY, request, settings, signed};
use crate::{RawRequest, Webhook, WebhookRefusal};

/// The example in the tests of SendGrid's libraries: key, signature, timestamp, body.
const DOCUMENTED_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqI\
                              M8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
const DOCUMENTED_SIGNATURE: &str = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe\
                                    5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
const DOCUMENTED_TIMESTAMP: &str = "1600112502";
const DOCUMENTED_BODY: &str = concat!(
    r#"[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","#,
    r#""sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","#,
    r#""sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","#,
    r#""smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]"#,
    "\r\n",
);

/// Signed by `openssl dgst -sha256 -sign`.
const SIGNATURE: &str = "MEYCIQDMl6AT/CYF+cXQqlfodc6JkiyOXlsvUV1uexRivHeQlgIhANf6nP6o+CMWEPXQ80Dva\
                         PGhDR4Yw06LWw5B0hzdjInI";
const TIMESTAMP: &str = "1761955200";
const BODY: &str = "[{\"email\":\"a@example.com\",\"event\":\"processed\"}]\r\n";

/// The same key as one line, and another key.
const PUBLIC_KEY_LINE: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHpiceljrYb6KGXWPKxtJEq8kDqAfvPPZ\
                               q7m7m0Ye1HDa+vXmxOhozGFcipvrk4U82oGdYO3jb0R9XW1eKrBlOQ==";
const OTHER_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYaigw7FgF9CBgeTO+cFOz/KLnp94xzCam5qz8nY\
                         /62TDPODG5GphawgTiMeohZuG2RIu8munRhTJZ/UWHb3eBg==";

fn with_keys(events: &[&str], inbound: &[&str]) -> Settings {
    let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    Settings {
        event_public_keys: owned(events),
        inbound_public_keys: owned(inbound),
        ..settings("https://api.sendgrid.com")
    }
}

fn verdict(keys: &[&str], request: &RawRequest) -> Result<(), WebhookRefusal> {
    let webhook = SendGridEvents::new(&with_keys(keys, &[])).expect("good keys");
    webhook.verify(request).map(|_| ())
}

fn posted(body: &str, timestamp: &str, signature: &str) -> RawRequest {
    request("application/json", body.as_bytes(), timestamp, signature)
}

#[test]
fn the_example_of_sendgrids_libraries_is_believed() {
    let request = posted(DOCUMENTED_BODY, DOCUMENTED_TIMESTAMP, DOCUMENTED_SIGNATURE);
    assert_eq!(verdict(&[DOCUMENTED_KEY], &request), Ok(()));
}

#[test]
fn a_key_may_be_pem_or_one_line_and_one_of_several() {
    let request = posted(BODY, TIMESTAMP, SIGNATURE);
    for keys in [&[PUBLIC_KEY][..], &[PUBLIC_KEY_LINE], &[OTHER_KEY, PUBLIC_KEY]] {
        assert_eq!(verdict(keys, &request), Ok(()));
    }
    assert_eq!(verdict(&[OTHER_KEY], &request), Err(WebhookRefusal::WrongSignature));
}

#[test]
fn whatever_is_changed_is_noticed() {
    // The numbers of the signature side by side without DER around them, with a longer form of its
    // length, and with a byte too many.
    let raw = "zJegE/wmBfnF0KpX6HXOiZIsjl5bL1FdbnsUYrx3kJbX+pz+qPgjFhD10PNA72jxoQ0eGMNOi1sOQdIc3YyJ\
               yA==";
    let long = "MIFGAiEAzJegE/wmBfnF0KpX6HXOiZIsjl5bL1FdbnsUYrx3kJYCIQDX+pz+qPgjFhD10PNA72jxoQ0eGMN\
                Oi1sOQdIc3YyJyA==";
    let trailing = "MEYCIQDMl6AT/CYF+cXQqlfodc6JkiyOXlsvUV1uexRivHeQlgIhANf6nP6o+CMWEPXQ80DvaPGhDR4\
                    Yw06LWw5B0hzdjInIAA==";
    let garbage = format!("{SIGNATURE}==garbage");
    let wrong = [
        ("body", posted(BODY.trim_end(), TIMESTAMP, SIGNATURE)),
        ("timestamp", posted(BODY, "1761955201", SIGNATURE)),
        ("boundary between the two", posted(&BODY[1..], "1761955200[", SIGNATURE)),
        ("another's", posted(BODY, TIMESTAMP, DOCUMENTED_SIGNATURE)),
        ("no DER", posted(BODY, TIMESTAMP, raw)),
        ("other DER", posted(BODY, TIMESTAMP, long)),
        ("more than DER", posted(BODY, TIMESTAMP, trailing)),
        ("more than base64", posted(BODY, TIMESTAMP, &garbage)),
        ("no base64", posted(BODY, TIMESTAMP, "***")),
        ("empty", posted(BODY, TIMESTAMP, "")),
    ];
    for (what, request) in wrong {
        assert_eq!(verdict(&[PUBLIC_KEY], &request), Err(WebhookRefusal::WrongSignature), "{what}");
    }
}

#[test]
fn without_both_headers_nothing_is_believed() {
    for header in ["signature", "timestamp"] {
        let mut request = posted(BODY, TIMESTAMP, SIGNATURE);
        request.headers.remove(format!("x-twilio-email-event-webhook-{header}"));
        assert_eq!(
            verdict(&[PUBLIC_KEY], &request),
            Err(WebhookRefusal::MissingSignature),
            "{header}"
        );
    }
}

#[test]
fn inbound_mail_has_keys_of_its_own_or_those_of_the_events() {
    let request = signed("multipart/form-data; boundary=x", b"--x--\r\n");
    let verdict = |settings: &Settings| {
        SendGridInbound::new(settings).expect("good keys").verify(&request).map(|_| ())
    };
    assert_eq!(verdict(&with_keys(&[PUBLIC_KEY], &[])), Ok(()));
    assert_eq!(verdict(&with_keys(&[OTHER_KEY], &[PUBLIC_KEY])), Ok(()));
    assert_eq!(
        verdict(&with_keys(&[PUBLIC_KEY], &[OTHER_KEY])),
        Err(WebhookRefusal::WrongSignature)
    );
}
