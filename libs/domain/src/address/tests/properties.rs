//! What holds for whatever text.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn parsing_is_total_and_idempotent(
        text in "\\PC{0,40}|[+＋]?[0-9０-９ ()./‑\u{200b}-]{0,24}|\\+[1-9][0-9]{0,2}[(]0?[)][0-9]{4,12}",
    ) {
        for parse in [Address::phone, Address::email, Address::read, Address::sought] {
            if let Ok(address) = parse(&text) {
                prop_assert_eq!(parse(address.as_str()), Ok(address));
            }
        }
        if let Ok(phone) = Address::phone(&text) {
            prop_assert_eq!(phone.kind(), AddressKind::Phone);
            // What a carrier names in E.164 form is kept, also a zero too many.
            if Address::kind_of(text.trim()) != AddressKind::Phone {
                prop_assert_eq!(Address::received_phone(&text), phone);
            }
        }
    }

    /// Whatever a provider says is an address, of the kind that its text says, and within the limits.
    #[test]
    fn what_came_in_is_always_an_address(
        text in "\\PC{0,300}|[ +@\"<>()a-z0-9./:\u{0}\u{200b}\u{202e}ÄΣİ;-]{0,40}|[^@]{1,9}@[^@]{1,9}",
    ) {
        for receive in [Address::received_phone, Address::received_mailbox] {
            let address = receive(&text);
            prop_assert!(!address.as_str().is_empty() && !address.as_str().contains(char::is_control));
            prop_assert!(address.as_str().chars().count() <= RECEIVED_MAX);
            prop_assert!(!address.kind().is_scoped());
            prop_assert_eq!(&receive(address.as_str()), &address);
            let identity = address.identity().into_owned();
            prop_assert_eq!(identity.kind(), address.kind(), "{} {}", address, identity);
            prop_assert_eq!(identity.identity().into_owned(), identity);
            let shown = Address::recorded(address.to_show());
            prop_assert_eq!(shown.identity(), address.identity());
        }
    }

    /// What was an address before there were scopes has the text, and so the conversations, that it had.
    #[test]
    fn no_address_is_taken_for_one_with_a_scope(
        text in "\\PC{0,40}|@?(whatsapp_user|external_id)?/[a-z]{0,3}/[0-9@.a-z]{0,5}",
        scope in "[a-zA-Z0-9.@_-]{1,20}",
        id in "[a-zA-Z0-9./@_-]{1,20}",
    ) {
        for parse in [Address::phone, Address::email, Address::name] {
            if let Ok(address) = parse(&text) {
                prop_assert!(!address.kind().is_scoped(), "{}", address);
                prop_assert_eq!(address.scope(), None);
            }
        }
        for make in [Address::whatsapp_user, Address::external_id] {
            let address = make(&scope, &id).expect("sane");
            prop_assert!(address.kind().is_scoped());
            prop_assert_eq!(address.scope(), Some(scope.as_str()));
            prop_assert_eq!(Address::scoped(address.as_str()), Ok(address.clone()));
            for parse in [Address::phone, Address::email, Address::name] {
                prop_assert!(parse(address.as_str()).is_err(), "{}", address);
            }
        }
    }

    #[test]
    fn emails_are_idempotent_too(text in "[a-zA-Z0-9.+_-]{1,12}@[a-zA-Z0-9.-]{1,12}\\.[a-zA-Z]{1,5}") {
        if let Ok(address) = Address::email(&text) {
            prop_assert_eq!(Address::email(address.as_str()), Ok(address));
        }
    }

    #[test]
    fn an_identity_is_its_own_and_that_of_every_spelling(
        text in "\\PC{1,8}@\\PC{1,8}\\.\\PC{1,4}|[a-zA-ZäÄß]{1,8}@[a-zA-ZäÄß]{1,8}\\.com",
    ) {
        if let Ok(address) = Address::email(&text) {
            let identity = address.identity().into_owned();
            prop_assert_eq!(identity.identity().into_owned(), identity.clone());
            prop_assert_eq!(identity.kind(), AddressKind::Email);
            let sent = Address::email(&address.to_send()).expect("it is what servers take");
            prop_assert_eq!(&sent, &address);
            if text.is_ascii() {
                let upper = Address::email(&text.to_ascii_uppercase()).expect("case is no matter");
                prop_assert_eq!(upper.identity().into_owned(), identity);
            }
        }
    }
}

/// Characters of an address that came in at most: of a mailbox a line of a mail, longer than a name.
const RECEIVED_MAX: usize = 998;
