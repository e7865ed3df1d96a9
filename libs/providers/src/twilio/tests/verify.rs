//! Signatures: Twilio's published examples, and every way to be wrong. The other expected values
//! were computed with openssl.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use super::super::TwilioWebhook;
use super::settings;
use crate::{RawRequest, Secret, Webhook, WebhookRefusal};

/// The example of Twilio's documentation, signed with the token `12345`.
const PATH: &str = "/myapp.php?foo=1&bar=2";
const FORM: &str = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234\
                    &From=%2B14158675309&To=%2B18005551212";
const SIGNATURE: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";

fn webhook(public_url: &str) -> TwilioWebhook {
    TwilioWebhook::new(settings("https://api.twilio.com", public_url)).expect("good settings")
}

fn request(path: &str, content_type: &str, body: &str, signature: &str) -> RawRequest {
    let mut headers = HeaderMap::new();
    let value = |text: &str| HeaderValue::from_str(text).expect("a header value");
    headers.insert("content-type", value(content_type));
    headers.insert("x-twilio-signature", value(signature));
    RawRequest {
        method: Method::POST,
        path_and_query: path.parse().expect("a path"),
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn form(path: &str, body: &str, signature: &str) -> RawRequest {
    request(path, "application/x-www-form-urlencoded; charset=UTF-8", body, signature)
}

fn verdict(public_url: &str, request: &RawRequest) -> Result<(), WebhookRefusal> {
    webhook(public_url).verify(request).map(|_| ())
}

#[test]
fn the_documented_example_is_believed() {
    assert_eq!(verdict("https://mycompany.com", &form(PATH, FORM, SIGNATURE)), Ok(()));
}

#[test]
fn the_order_of_parameters_does_not_matter() {
    let mut parameters: Vec<&str> = FORM.split('&').collect();
    parameters.reverse();
    let reordered = parameters.join("&");
    assert_eq!(verdict("https://mycompany.com", &form(PATH, &reordered, SIGNATURE)), Ok(()));
}

#[test]
fn whatever_is_changed_is_noticed() {
    let tampered = FORM.replace("Digits=1234", "Digits=1235");
    let longer = format!("{FORM}&Extra=1");
    let wrong = [
        ("body", "https://mycompany.com", form(PATH, &tampered, SIGNATURE)),
        ("parameter", "https://mycompany.com", form(PATH, &longer, SIGNATURE)),
        ("query", "https://mycompany.com", form("/myapp.php?foo=1&bar=3", FORM, SIGNATURE)),
        ("path", "https://mycompany.com", form("/myapp2.php?foo=1&bar=2", FORM, SIGNATURE)),
        ("host", "https://mycompany.net", form(PATH, FORM, SIGNATURE)),
        ("scheme", "http://mycompany.com", form(PATH, FORM, SIGNATURE)),
        ("port", "https://mycompany.com:8443", form(PATH, FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B9=")),
        ("shorter", "https://mycompany.com", form(PATH, FORM, "RSOYDt4T1cUTdK1PDd93/VVr8A==")),
        ("empty", "https://mycompany.com", form(PATH, FORM, "")),
        ("no base64", "https://mycompany.com", form(PATH, FORM, "***")),
    ];
    for (what, public_url, request) in wrong {
        assert_eq!(verdict(public_url, &request), Err(WebhookRefusal::WrongSignature), "{what}");
    }
}

#[test]
fn without_a_signature_nothing_is_believed() {
    let mut request = form(PATH, FORM, SIGNATURE);
    request.headers.remove("x-twilio-signature");
    assert_eq!(verdict("https://mycompany.com", &request), Err(WebhookRefusal::MissingSignature));
}

#[test]
fn the_secondary_token_is_believed_during_a_rotation_and_no_other() {
    let good = settings("https://api.twilio.com", "https://mycompany.com");
    let token = |text: &str| Secret::new(text);
    let signed_with_12345 = form(PATH, FORM, SIGNATURE);
    let mut rotating = good.clone();
    rotating.auth_token = token("67890");
    rotating.auth_token_secondary = Some(token("12345"));
    let mut rotated = good;
    rotated.auth_token = token("67890");
    let verify = |settings| {
        let webhook = TwilioWebhook::new(settings).expect("good settings");
        webhook.verify(&signed_with_12345).map(|_| ())
    };
    assert_eq!(verify(rotating), Ok(()));
    assert_eq!(verify(rotated), Err(WebhookRefusal::WrongSignature));
}

#[test]
fn a_port_may_be_signed_or_left_out() {
    let with_443 = form(PATH, FORM, "kvajT1Ptam85bY51eRf/AJRuM3w=");
    assert_eq!(verdict("https://mycompany.com", &with_443), Ok(()));
    let without_8443 = form(PATH, FORM, SIGNATURE);
    assert_eq!(verdict("https://mycompany.com:8443", &without_8443), Ok(()));
}

#[test]
fn a_public_url_may_have_a_path_that_a_proxy_takes_away() {
    let behind = form("/a?b=1", "Body=x", "UcnbTXROSlF4XDxuoGGaiVjioZQ=");
    assert_eq!(verdict("https://h.example/hatch/", &behind), Ok(()));
    assert_eq!(verdict("https://h.example/hatch", &behind), Ok(()));
}

#[test]
fn repeated_keys_count_once_a_value_in_byte_order_and_empty_values_count() {
    // what is signed ends in: Bü 'b1b2c
    let body = "b=2&b=1&b=2&c=&B=%C3%BC+%27";
    assert_eq!(
        verdict("https://h.example", &form("/x", body, "VFIeFmC0GWRgMD73ubSpEN8WQEs=")),
        Ok(())
    );
}

#[test]
fn a_body_that_is_no_form_must_have_its_hash_in_the_signed_url() {
    let path = "/x?bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
    let json = |path, body| request(path, "application/json", body, "XH/mahBsNlWDUvJSWfgttweSzqE=");
    assert_eq!(verdict("https://h.example", &json(path, "{\"a\":1}")), Ok(()));
    assert_eq!(
        verdict("https://h.example", &json(path, "{\"a\":2}")),
        Err(WebhookRefusal::WrongBody)
    );
    let unhashed = request("/x", "application/json", "{\"a\":1}", "tJkXBE5YVVjsvDKrspWqX3GddEk=");
    assert_eq!(verdict("https://h.example", &unhashed), Err(WebhookRefusal::WrongBody));
}

#[test]
fn a_form_is_not_believed_for_being_called_something_else() {
    let disguised = request(PATH, "application/json", FORM, SIGNATURE);
    assert_eq!(verdict("https://mycompany.com", &disguised), Err(WebhookRefusal::WrongSignature));
}

#[test]
fn a_form_of_many_fields_is_refused_before_they_are_sorted() {
    let many = "a&".repeat(512 * 1024);
    let began = std::time::Instant::now();
    let refused = verdict("https://mycompany.com", &form(PATH, &many, SIGNATURE));
    assert_eq!(refused, Err(WebhookRefusal::TooManyFields));
    // Far more than counting them takes, and far less than sorting them in such a build.
    assert!(began.elapsed() < std::time::Duration::from_millis(500), "{:?}", began.elapsed());
    let as_many_as_may_be = "a&".repeat(999) + "a";
    let wrong = verdict("https://mycompany.com", &form(PATH, &as_many_as_may_be, SIGNATURE));
    assert_eq!(wrong, Err(WebhookRefusal::WrongSignature));
}
