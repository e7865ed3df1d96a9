//! What is sealed opens where it belongs, under the key that it is sealed under, and nowhere else.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// The base64 of the bytes 0 to 31, and of others.
const FIRST: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECOND: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// Where the secrets of these tests belong.
const PLACE: Place<'static> =
    Place { tenant: Uuid::from_u128(1), stream: Uuid::from_u128(7), field: "auth_token" };

fn key(text: &str) -> MasterKey {
    text.parse().expect("a key")
}

fn first() -> Keyring {
    Keyring::new(Some(key(FIRST)), None)
}

/// As it is while the first key goes and the second comes.
fn both() -> Keyring {
    Keyring::new(Some(key(SECOND)), Some(key(FIRST)))
}

#[test]
fn a_secret_opens_where_it_was_sealed() {
    let sealed = first().seal(b"canary", &PLACE).expect("sealed");
    assert_eq!(first().open(&sealed, &PLACE).expect("opened").expose(), b"canary");
    let again = first().seal(b"canary", &PLACE).expect("sealed");
    assert_ne!(sealed, again, "each has a data key and nonces of its own");
    let text = String::from(sealed);
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn a_secret_opens_nowhere_else() {
    let sealed = first().seal(b"canary", &PLACE).expect("sealed");
    for place in [
        Place { tenant: Uuid::from_u128(2), ..PLACE },
        Place { stream: Uuid::from_u128(8), ..PLACE },
        Place { field: "auth_token_secondary", ..PLACE },
        Place { field: "", ..PLACE },
        Place { tenant: PLACE.stream, stream: PLACE.tenant, ..PLACE },
    ] {
        let refused = first().open(&sealed, &place).expect_err("of another place");
        assert_eq!(refused, OpenError::Damaged, "{place:?}");
        assert_eq!(both().rewrap(&sealed, &place), Err(OpenError::Damaged), "{place:?}");
    }
}

#[test]
fn what_was_changed_does_not_open() {
    let sealed = first().seal(b"canary", &PLACE).expect("sealed");
    let other = first().seal(b"other", &PLACE).expect("sealed");
    let (id, wrapped, secret) = (sealed.master_key_id(), sealed.wrapped_key(), sealed.sealed());
    let cut = |text: &str| text[..text.len() - 4].to_owned();
    for (wrapped, secret) in [
        (wrapped.to_owned(), other.sealed().to_owned()),
        (other.wrapped_key().to_owned(), secret.to_owned()),
        (secret.to_owned(), wrapped.to_owned()),
        (cut(wrapped), secret.to_owned()),
        (wrapped.to_owned(), cut(secret)),
        (wrapped.to_owned(), "AA".to_owned()),
    ] {
        let forged = Sealed::of(id, &wrapped, &secret).expect("a good form");
        let refused = first().open(&forged, &PLACE).expect_err("changed");
        assert_eq!(refused, OpenError::Damaged);
        assert_eq!(
            both().rewrap(&forged, &PLACE),
            Err(OpenError::Damaged),
            "nothing is lost by it"
        );
    }
    // The data key is under the first master key, whatever the text says.
    let renamed = Sealed::of(key(SECOND).id(), wrapped, secret).expect("a good form");
    assert_eq!(both().open(&renamed, &PLACE).expect_err("changed"), OpenError::Damaged);
}

#[test]
fn the_key_that_is_missing_is_named() {
    let sealed = first().seal(b"canary", &PLACE).expect("sealed");
    let wanted = key(FIRST).id().to_owned();
    let none = Keyring::default();
    assert_eq!(
        none.open(&sealed, &PLACE).expect_err("no key"),
        OpenError::NoMasterKey { wanted: wanted.clone() }
    );
    assert_eq!(none.seal(b"canary", &PLACE), Err(SealError::NoMasterKey));
    let other = Keyring::new(Some(key(SECOND)), None);
    let refused = other.open(&sealed, &PLACE).expect_err("another key");
    assert_eq!(refused, OpenError::OtherMasterKey { wanted });
}

#[test]
fn a_rotation_wraps_the_data_key_anew_and_leaves_the_box() {
    let old = first().seal(b"canary", &PLACE).expect("sealed");
    assert_eq!(both().open(&old, &PLACE).expect("meanwhile").expose(), b"canary");
    let new = both().rewrap(&old, &PLACE).expect("opens").expect("another key");
    assert_eq!((new.master_key_id(), new.sealed()), (key(SECOND).id(), old.sealed()));
    assert_eq!(both().rewrap(&new, &PLACE), Ok(None), "done");
    let after = Keyring::new(Some(key(SECOND)), None);
    assert_eq!(after.open(&new, &PLACE).expect("opened").expose(), b"canary");
    assert!(after.open(&old, &PLACE).is_err(), "the first key is gone");
    assert!(first().open(&new, &PLACE).is_err());
}

#[test]
fn a_key_is_32_bytes_of_chance() {
    assert_eq!(key(FIRST).id(), key(&format!(" {FIRST}\n")).id());
    assert_ne!(key(FIRST).id(), key(SECOND).id());
    for (text, error) in [
        ("", BadMasterKey::Form),
        ("secret", BadMasterKey::Form),
        (&FIRST[..40], BadMasterKey::Form),
        (&format!("{FIRST}{FIRST}"), BadMasterKey::Form),
        (&format!("{}=", "A".repeat(43)), BadMasterKey::NotRandom),
    ] {
        assert_eq!(text.parse::<MasterKey>().expect_err("none"), error, "{text}");
    }
    let drawn = MasterKey::draw().expect("chance");
    assert_ne!(*drawn, *MasterKey::draw().expect("chance"));
    assert_eq!(key(&drawn).id().len(), 16);
}

#[test]
fn nothing_is_printed_of_a_key_or_a_secret() {
    let sealed = first().seal(b"canary", &PLACE).expect("sealed");
    let opened = first().open(&sealed, &PLACE).expect("opened");
    for printed in [
        format!("{:?}", key(FIRST)),
        format!("{:?}", first()),
        format!("{opened:?}"),
        format!("{sealed:?}"),
    ] {
        assert!(!printed.contains("AAECAw") && !printed.contains("canary"), "{printed}");
        assert!(!printed.contains(sealed.sealed()), "{printed}");
    }
}

#[test]
fn a_secret_that_is_too_long_is_not_kept() {
    let longest = vec![7; 32 * 1024];
    let sealed = first().seal(&longest, &PLACE).expect("it fits");
    assert_eq!(first().open(&sealed, &PLACE).expect("opened").expose(), longest);
    assert_eq!(first().seal(&[longest.as_slice(), b"!"].concat(), &PLACE), Err(SealError::TooLong));
}

proptest! {
    #[test]
    fn no_bit_can_be_turned(secret in prop::collection::vec(any::<u8>(), 0..64), at in any::<usize>(), bit in 0..8_u8) {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;

        let sealed = first().seal(&secret, &PLACE).expect("sealed");
        let opened = first().open(&sealed, &PLACE).expect("opened");
        prop_assert_eq!(opened.expose(), secret.as_slice());
        for of_key in [true, false] {
            let part = if of_key { sealed.wrapped_key() } else { sealed.sealed() };
            let mut bytes = URL_SAFE_NO_PAD.decode(part).expect("base64");
            let place = at % bytes.len();
            bytes[place] ^= 1 << bit;
            let turned = URL_SAFE_NO_PAD.encode(bytes);
            let (wrapped, secret) = if of_key {
                (turned.as_str(), sealed.sealed())
            } else {
                (sealed.wrapped_key(), turned.as_str())
            };
            let forged = Sealed::of(sealed.master_key_id(), wrapped, secret).expect("a good form");
            prop_assert!(first().open(&forged, &PLACE).is_err());
        }
    }
}
