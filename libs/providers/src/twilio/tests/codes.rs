//! The table of codes.

use hatch_domain::ErrorClass;

use super::super::codes::{Again, CODES, meaning};

#[test]
fn the_table_is_in_order_so_that_each_code_is_found() {
    assert!(CODES.is_sorted_by(|(before, ..), (after, ..)| before < after));
    for (code, class, again) in CODES {
        assert_eq!(meaning(*code), (*class, *again != Again::MayHelp), "{code}");
    }
    for code in [0, 11750, 21_613, 99_999, u32::MAX] {
        assert_eq!(meaning(code), (ErrorClass::Other, true), "{code}");
    }
}

#[test]
fn each_class_has_the_codes_that_twilio_gives_for_it() {
    use ErrorClass as C;
    for (code, class, permanent) in [
        (21610, C::OptedOut, true),
        (21211, C::InvalidRecipient, true),
        (21614, C::InvalidRecipient, true),
        (30005, C::InvalidRecipient, true),
        (21617, C::Content, true),
        (30007, C::Content, true),
        (20003, C::Account, true),
        (21606, C::Account, true),
        (30034, C::Account, true),
        (20429, C::Rate, false),
        (30022, C::Rate, false),
        (20503, C::Unreachable, false),
        (30003, C::Unreachable, false),
        (30410, C::Unreachable, true),
        (30036, C::Expired, false),
        (30008, C::Other, false),
    ] {
        assert_eq!(meaning(code), (class, permanent), "{code}");
    }
}

/// What may be attempted again was decided long before there were classes.
#[test]
fn the_codes_worth_another_attempt_are_these() {
    let again: Vec<u32> = CODES
        .iter()
        .filter(|(.., again)| *again == Again::MayHelp)
        .map(|(code, ..)| *code)
        .collect();
    let expected = [
        14107, 20429, 20500, 20503, 21611, 30001, 30003, 30008, 30017, 30022, 30023, 30027, 30036,
        63009, 63010, 63012, 63017, 63018, 63038,
    ];
    assert_eq!(again, expected);
}

/// Of what waits for its account, the account is to blame and nothing else.
#[test]
fn a_code_that_waits_for_the_account_to_be_mended_is_of_its_class() {
    let waits = |again: &Again| matches!(again, Again::WhenMended(_));
    let mut codes = CODES.iter().filter(|(.., again)| waits(again)).peekable();
    assert!(codes.peek().is_some());
    for (code, class, _) in codes {
        assert_eq!(*class, ErrorClass::Account, "{code}");
    }
}

/// Operators find each of these codes on their page, with what is wrong.
#[test]
fn the_codes_about_accounts_are_on_the_page_for_operators() {
    let page = include_str!("../../../../../docs/operations.md");
    for (code, _, again) in CODES {
        let Again::WhenMended(trouble) = again else { continue };
        let (code, reason) = (code.to_string(), format!("`{}`", trouble.as_str()));
        let says = |line: &&str| line.contains(&code) && line.contains(&reason);
        let rows = page.lines().filter(|line| line.starts_with("| twilio |"));
        assert!(rows.into_iter().any(|row| says(&row)), "{code} {reason}");
    }
}
