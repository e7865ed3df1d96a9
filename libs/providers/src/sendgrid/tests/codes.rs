//! The tables of reasons.

use hatch_domain::ErrorClass as C;

use super::super::codes::{self, of_bounce, of_drop, of_request};

#[test]
fn a_refused_request_is_classed_by_its_status_and_a_400_by_its_field() {
    for (status, class) in codes::STATUSES {
        assert_eq!(of_request(*status, std::iter::empty()), *class, "{status}");
    }
    assert_eq!(of_request(418, std::iter::empty()), C::Other);
    for (fields, class) in [
        (&["personalizations.0.to.1.email"][..], C::InvalidRecipient),
        (&["subject", "personalizations.0.cc.0.email"], C::InvalidRecipient),
        (&["from.email"], C::Account),
        (&["content.0.value"], C::Content),
        (&[], C::Content),
    ] {
        assert_eq!(of_request(400, fields.iter().copied()), class, "{fields:?}");
    }
    assert_eq!(of_request(413, ["from"].into_iter()), C::Content, "only a 400 is about a field");
}

#[test]
fn each_reason_of_a_drop_has_its_class() {
    for (reason, class) in codes::DROPPED {
        assert_eq!(of_drop(reason), *class, "{reason}");
    }
    assert_eq!(of_drop(" unsubscribed address "), C::OptedOut);
    assert_eq!(of_drop("Spam Reporting Address"), C::OptedOut);
    assert_eq!(of_drop("Something new"), C::Other);
}

#[test]
fn a_bounce_is_classed_by_its_word_and_else_by_its_code() {
    for (said, class) in codes::BOUNCED.iter().filter(|(_, class)| *class != C::Other) {
        assert_eq!(of_bounce(Some(said), Some("5.5.0")), *class, "{said}");
    }
    for (said, status, class) in [
        (None, Some("5.1.1"), C::InvalidRecipient),
        (None, Some("5.1.8"), C::Account),
        (None, Some("5.2.1"), C::InvalidRecipient),
        (None, Some("4.2.2"), C::Unreachable),
        (None, Some("5.3.4"), C::Content),
        (None, Some("4.4.1"), C::Unreachable),
        (None, Some("5.7.1"), C::Content),
        (Some("Unclassified"), Some("5.1.1"), C::InvalidRecipient),
        (Some("Brand new"), Some("5.1.1"), C::InvalidRecipient),
        (Some("Unclassified"), None, C::Other),
        (None, Some("blocked"), C::Other),
        (None, Some(""), C::Other),
    ] {
        assert_eq!(of_bounce(said, status), class, "{said:?} {status:?}");
    }
}
