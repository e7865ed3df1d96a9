//! The tables of reasons.

use hatch_domain::ErrorClass as C;

use super::super::codes::{self, of_failure, of_request, trouble};
use crate::Trouble;

#[test]
fn a_refused_request_is_classed_by_its_status_and_a_400_by_its_parameter() {
    for (status, class) in codes::STATUSES {
        assert_eq!(of_request(*status, ""), *class, "{status}");
    }
    assert_eq!(of_request(418, ""), C::Other);
    for (said, class) in [
        ("'to' parameter is not a valid address. please check documentation", C::InvalidRecipient),
        ("to parameter is not a valid address. please check documentation", C::InvalidRecipient),
        ("'bcc' parameter is not a valid address.", C::InvalidRecipient),
        ("'from' parameter is not a valid address.", C::Account),
        ("'subject' parameter is too long", C::Content),
        ("Need at least one of 'text', 'html' parameters specified", C::Content),
    ] {
        assert_eq!(of_request(400, said), class, "{said}");
    }
}

#[test]
fn what_is_about_the_account_is_told_from_what_is_about_a_mail() {
    use Trouble::{Credentials, Credit, NotFound, Permission, Suspended};
    for (status, said, expected) in [
        (401, "Forbidden", Some(Credentials)),
        (402, "Request Failed", Some(Credit)),
        (403, "Forbidden", Some(Permission)),
        (403, "Your account is temporarily disabled", Some(Suspended)),
        (404, "Domain not found: mail.example.com", Some(NotFound)),
        (400, "Domain x.org is not allowed to send: The domain is unverified", Some(Permission)),
        (400, "Domain x.org is not allowed to send: Please activate your account", Some(Suspended)),
        (400, "Sandbox subdomains are for test purposes only.", Some(Permission)),
        (400, "'to' parameter is not a valid address", None),
        (413, "too large", None),
        (500, "disabled", None),
    ] {
        assert_eq!(trouble(status, said), expected, "{status} {said}");
    }
}

#[test]
fn a_failure_is_classed_by_its_reason_then_its_status_then_its_code() {
    for (reason, class) in codes::REASONS {
        assert_eq!(of_failure(reason, Some(550), Some("5.1.1")), *class, "{reason}");
    }
    for (code, class) in codes::SUPPRESSED {
        assert_eq!(of_failure("generic", Some(*code), None), *class, "{code}");
    }
    for (code, class) in codes::REPLIES {
        assert_eq!(of_failure("generic", Some(*code), Some("")), *class, "{code}");
    }
    assert_eq!(of_failure("bounce", Some(550), Some("5.7.1")), C::Content);
    assert_eq!(of_failure("bounce", Some(550), Some("5.1.1")), C::InvalidRecipient);
    assert_eq!(of_failure("new", None, None), C::Other);
}
