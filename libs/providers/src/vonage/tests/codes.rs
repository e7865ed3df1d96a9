//! The table of codes.

use hatch_domain::ErrorClass;

use super::super::codes::{Again, CODES, meaning, trouble};

#[test]
fn the_table_is_in_order_so_that_each_code_is_found() {
    assert!(CODES.is_sorted_by(|(before, ..), (after, ..)| before < after));
    for (code, class, again) in CODES {
        assert_eq!(meaning(*code), (*class, *again != Again::MayHelp), "{code}");
    }
    for code in [0, 999, 1200, 1350, u32::MAX] {
        assert_eq!(meaning(code), (ErrorClass::Other, true), "{code}");
    }
}

#[test]
fn each_class_has_the_codes_that_vonage_gives_for_it() {
    use ErrorClass as C;
    for (code, class, permanent) in [
        (1240, C::OptedOut, true),
        (1050, C::InvalidRecipient, true),
        (1170, C::InvalidRecipient, true),
        (1190, C::InvalidRecipient, true),
        (1300, C::InvalidRecipient, true),
        (1150, C::Content, true),
        (1210, C::Content, true),
        (1120, C::Account, true),
        (1160, C::Account, true),
        (1000, C::Rate, false),
        (1241, C::Rate, false),
        (1030, C::Unreachable, false),
        (1180, C::Unreachable, false),
        (1360, C::Expired, true),
        (1330, C::Other, true),
    ] {
        assert_eq!(meaning(code), (class, permanent), "{code}");
    }
}

#[test]
fn the_codes_worth_another_attempt_are_these() {
    let again = CODES.iter().filter(|(.., again)| *again == Again::MayHelp);
    let again: Vec<u32> = again.map(|(code, ..)| *code).collect();
    assert_eq!(again, [1000, 1030, 1100, 1180, 1220, 1230, 1241]);
}

/// Operators find each of these codes on their page, with what is wrong.
#[test]
fn the_codes_about_accounts_are_on_the_page_for_operators() {
    let page = include_str!("../../../../../docs/operations.md");
    let waits = |again: &Again| matches!(again, Again::WhenMended(_));
    for (code, class, _) in CODES.iter().filter(|(.., again)| waits(again)) {
        assert_eq!(*class, ErrorClass::Account, "{code}");
        let trouble = trouble(&code.to_string()).expect("it is about the account");
        let (code, reason) = (code.to_string(), format!("`{}`", trouble.as_str()));
        let says = |line: &str| line.contains(&code) && line.contains(&reason);
        let mut rows = page.lines().filter(|line| line.starts_with("| vonage |"));
        assert!(rows.any(says), "{code} {reason}");
    }
}
