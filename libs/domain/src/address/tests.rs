mod properties;

use phonenumber::metadata::DATABASE;

use super::*;

/// The text of what was read.
fn text(read: Result<Address, AddressError>) -> Result<String, AddressError> {
    read.map(|address| address.0)
}

#[test]
fn separators_and_what_nobody_sees_are_ignored() {
    for written in [
        "+1 201 666 1234",
        "+1 (201) 666-1234",
        "+1.201.666.1234",
        " +12016661234 ",
        "\u{202a}+1 201 666 1234\u{202c}",
        "+1\u{a0}201\u{202f}666\u{2009}1234",
        "+1 201\u{2011}666\u{2010}1234",
        "+1 201\u{2013}666\u{2014}1234",
        "+1\u{200b}201\u{2060}666\u{feff}1234",
        "\u{200e}+1\u{ad}2016661234\u{200f}",
        "+1 201/666 1234",
        "(+1) 201 666 1234",
        "\u{ff0b}\u{ff11} 201\u{ff0d}666\u{3000}1234",
        "+１２０１６６６１２３４",
        "+\u{661}\u{662}\u{660}\u{661}\u{666}\u{666}\u{666}\u{661}\u{662}\u{663}\u{664}",
        "tel:+12016661234",
        "TEL:+1-201-666-1234;ext=5;isub=1",
        " \u{200e}tel:+1(201)666.1234;phone-context=example.com",
    ] {
        assert_eq!(text(Address::phone(written)).as_deref(), Ok("+12016661234"), "{written:?}");
        assert_eq!(Address::written_kind(written), AddressKind::Phone, "{written:?}");
        assert_eq!(text(Address::read(written)).as_deref(), Ok("+12016661234"), "{written:?}");
        assert_eq!(Address::received_phone(written).as_str(), "+12016661234", "{written:?}");
    }
}

#[test]
fn what_is_dialled_within_a_country_only_is_no_part_of_its_number() {
    for (written, number) in [
        ("+49 (0)151 23456789", "+4915123456789"),
        ("+49 (0) 151 23456789", "+4915123456789"),
        ("+49 (0151) 23456789", "+4915123456789"),
        ("+49 0151 23456789", "+4915123456789"),
        ("+49\u{a0}(0)\u{a0}151 / 234 567 89", "+4915123456789"),
        ("tel:+49-(0)151-23456789", "+4915123456789"),
        ("+43 (0)664 1234567", "+436641234567"),
        ("+44 (0)20 7183 8750", "+442071838750"),
        ("+44 (020) 7183 8750", "+442071838750"),
        ("+36 (06) 30 123 4567", "+36301234567"),
        ("+7 (8) 912 345 6789", "+79123456789"),
        ("+34 (0)91 123 4567", "+34911234567"),
        // Their numbers begin with a zero.
        ("+39 (0)6 1234 5678", "+390612345678"),
        ("+39 (06) 1234 5678", "+390612345678"),
        ("+225 (0)7 12 34 56 78", "+2250712345678"),
        ("+229 01 23 45 67 89", "+2290123456789"),
        // An area code.
        ("+7 (812) 123 4567", "+78121234567"),
        ("+49 (30) 123456", "+4930123456"),
    ] {
        assert_eq!(text(Address::phone(written)).as_deref(), Ok(number), "{written}");
    }
    assert_eq!(Address::phone("+49 (0)1"), Err(AddressError::Impossible));
}

#[test]
fn unassigned_but_possible_numbers_are_taken() {
    for number in [
        "+15551234567",
        "+18045551234",
        "+442071838750",
        "+4915123456789",
        "+881612345678",
        "+870773123456",
        "+883510001234567",
        "+80012345678",
        "+80812345678",
        "+878101234567890",
        "+8823421234",
        "+88812345678901",
        "+979123456789",
    ] {
        assert_eq!(text(Address::phone(number)).as_deref(), Ok(number));
        assert_eq!(Address::received_phone(number).as_str(), number);
    }
}

/// Every number that libphonenumber gives as an example of a country, or of a code of none.
fn examples() -> Vec<(String, String)> {
    let mut examples = Vec::new();
    for region in (1..=999_u16).flat_map(|code| DATABASE.by_code(&code).unwrap_or_default()) {
        let kinds = region.descriptors();
        let named = [
            ("general", Some(kinds.general())),
            ("fixed_line", kinds.fixed_line()),
            ("mobile", kinds.mobile()),
            ("toll_free", kinds.toll_free()),
            ("premium_rate", kinds.premium_rate()),
            ("shared_cost", kinds.shared_cost()),
            ("personal_number", kinds.personal_number()),
            ("voip", kinds.voip()),
            ("pager", kinds.pager()),
            ("uan", kinds.uan()),
            ("voicemail", kinds.voicemail()),
            ("no_international", kinds.no_international()),
        ];
        for (kind, described) in named {
            if let Some(national) = described.and_then(|described| described.example()) {
                let number = format!("+{}{national}", region.country_code());
                examples.push((format!("{} {kind}", region.id()), number));
            }
        }
    }
    examples
}

#[test]
fn every_example_of_libphonenumber_is_taken_both_ways() {
    let examples = examples();
    assert!(examples.len() > 1_000, "{}", examples.len());
    let codes_of_none = ["+800", "+808", "+870", "+878", "+881", "+882", "+883", "+888", "+979"];
    for code in codes_of_none {
        assert!(examples.iter().any(|(_, number)| number.starts_with(code)), "{code}");
    }
    for (kind, number) in &examples {
        assert_eq!(text(Address::phone(number)).as_ref(), Ok(number), "{kind}");
        let received = Address::received_phone(number);
        assert_eq!((received.as_str(), received.kind()), (number.as_str(), AddressKind::Phone));
        let identity = received.identity().into_owned();
        assert_eq!(identity.identity().into_owned(), identity, "{kind} {number}");
        assert!(Address::phone(identity.as_str()).is_ok(), "{kind} {number}: {identity}");
    }
}

#[test]
fn a_number_that_came_in_is_never_refused_for_being_unlikely() {
    // As it is, whatever a person who writes it would mean.
    assert_eq!(Address::received_phone("+49015123456789").as_str(), "+49015123456789");
    for number in ["+266696687", "+1", "+999123456789012", "+1201666", "+0"] {
        let address = Address::received_phone(number);
        assert_eq!((address.as_str(), address.kind()), (number, AddressKind::Phone));
        assert_eq!(Address::sought(number), Ok(address));
    }
}

#[test]
fn a_sender_that_is_no_number_is_a_name() {
    let long = "x".repeat(300);
    let (cut, digits) = ("x".repeat(255), "+1234567890123456");
    for (written, name) in [
        ("MYBANK", "MYBANK"),
        (" Your \t Bank\r\n", "Your Bank"),
        ("73822", "73822"),
        ("18045550101", "18045550101"),
        ("whatsapp:+12016661234", "whatsapp:+12016661234"),
        ("銀行", "銀行"),
        ("Bank\u{0}\u{202e}Evil\u{200b}", "Bank Evil"),
        ("", "unknown"),
        (" \u{200b}\u{0} ", "unknown"),
        (digits, digits),
        ("+", "+"),
        ("@", "@"),
        ("@external_id/crm/1", "\"@external_id/crm/1\""),
        (&long, &cut),
    ] {
        let address = Address::received_phone(written);
        assert_eq!((address.as_str(), address.kind()), (name, AddressKind::Name), "{written:?}");
        assert_eq!(*address.identity(), address);
        assert_eq!(Address::received_phone(address.as_str()), address);
    }
    // As gateways between mail and phones write it.
    assert_eq!(Address::received_phone("ann@example.com").kind(), AddressKind::Email);
}

#[test]
fn what_a_mail_names_is_a_mailbox_or_a_name() {
    let long = format!("reply+{}@example.org", "a".repeat(64));
    let too_long = format!("{}@example.org", "a".repeat(1_000));
    let cut = "a".repeat(255);
    for (written, shown, kind) in [
        ("Ann@Example.com", "Ann@example.com", AddressKind::Email),
        (&long, &long, AddressKind::Email),
        ("<ann@example.com>", "ann@example.com", AddressKind::Email),
        ("mailto:ann@example.com?subject=Hi", "ann@example.com", AddressKind::Email),
        ("ann@example.com.", "ann@example.com", AddressKind::Email),
        ("root@localhost", "root@localhost", AddressKind::Email),
        ("taro..yamada.@docomo.example", "taro..yamada.@docomo.example", AddressKind::Email),
        ("ann@[192.0.2.1]", "ann@[192.0.2.1]", AddressKind::Email),
        ("ann@XN--bcher-kva.example", "ann@bücher.example", AddressKind::Email),
        ("ann@xn--a.example", "ann@xn--a.example", AddressKind::Email),
        ("MAILER-DAEMON", "MAILER-DAEMON", AddressKind::Name),
        ("Ann Lee ann(at)x", "Ann Lee ann(at)x", AddressKind::Name),
        ("ann@lee@example.com", "ann@lee@example.com", AddressKind::Name),
        ("ann lee@example.com", "ann lee@example.com", AddressKind::Name),
        ("+12016661234", "\"+12016661234\"", AddressKind::Name),
        (&too_long, &cut, AddressKind::Name),
        ("", "unknown", AddressKind::Name),
    ] {
        let address = Address::received_mailbox(written);
        assert_eq!((address.as_str(), address.kind()), (shown, kind), "{written}");
        assert_eq!(Address::received_mailbox(address.as_str()), address, "{written}");
    }
}

#[test]
fn each_refusal_says_what_was_expected() {
    let refusals = [
        ("", AddressError::NotInternational),
        ("2016661234", AddressError::NotInternational),
        ("user@example.com", AddressError::NotInternational),
        ("tel:2016661234;phone-context=+1", AddressError::NotInternational),
        ("MYBANK", AddressError::NameForPhone),
        ("Your Bank", AddressError::NameForPhone),
        ("+", AddressError::NotDigits),
        ("+1201666CALL", AddressError::NotDigits),
        ("+1201666\u{0}1234", AddressError::NotDigits),
        ("+31 (0)00000", AddressError::Impossible),
        ("+1", AddressError::Impossible),
        ("+1201", AddressError::Impossible),
        ("+18045551", AddressError::Impossible),
        ("+120166612345", AddressError::Impossible),
        ("+2101234567", AddressError::Impossible),
        ("+1234567890123456", AddressError::Impossible),
        (&format!("+1201666{}", " ".repeat(2_048)), AddressError::NotDigits),
    ];
    for (text, error) in refusals {
        assert_eq!(Address::phone(text), Err(error), "{text:?}");
    }
}

#[test]
fn an_email_address_keeps_its_local_part_and_lowers_its_domain() {
    for (written, shown) in [
        ("User.Name+tag@Example.COM", "User.Name+tag@example.com"),
        (" user@example.com ", "user@example.com"),
        ("\u{feff}us\u{200b}er@example.com\u{a0}\u{202c}", "user@example.com"),
        ("[x@y.com](mailto:x@y.com)", "x@y.com"),
        ("mailto:x@y.com", "x@y.com"),
        ("x@y.com.", "x@y.com"),
        ("x@my_host.example.com", "x@my_host.example.com"),
        ("\"ann lee\"@example.com", "\"ann lee\"@example.com"),
        ("\"a@b\"@example.com", "\"a@b\"@example.com"),
        ("JÜRGEN@example.com", "JÜRGEN@example.com"),
        ("kontakt@Bücher.example", "kontakt@bücher.example"),
        ("kontakt@xn--bcher-kva.example", "kontakt@bücher.example"),
        ("kontakt@XN--BCHER-KVA.Example", "kontakt@bücher.example"),
        ("kontakt@bu\u{308}cher.example", "kontakt@bücher.example"),
        ("a@straße.example", "a@straße.example"),
        ("a@例え。テスト", "a@例え.テスト"),
        ("a@ｅｘａｍｐｌｅ．com", "a@example.com"),
    ] {
        assert_eq!(text(Address::email(written)).as_deref(), Ok(shown), "{written}");
        assert_eq!(text(Address::email(shown)).as_deref(), Ok(shown), "{written}");
    }
}

#[test]
fn a_local_part_is_as_long_as_servers_take() {
    for length in [64, 65, 70, 128, 254 - "@example.com".len()] {
        let address = format!("{}@example.com", "a".repeat(length));
        assert_eq!(text(Address::email(&address)).as_ref(), Ok(&address));
    }
    let long = format!("{}@example.com", "a".repeat(255 - "@example.com".len()));
    assert_eq!(Address::email(&long), Err(AddressError::LongEmail));
    assert_eq!(Address::received_mailbox(&long).as_str(), long);
    for real in [
        "reply+000c89caea14b0bf53caf17fd0c9c67fce378f51fd1af05492cf000000011292f3d8@reply.example.com",
        "reply+vmfhl&j62fr&&2b6c0c3fb5835b76f680b3a23d3166d199c70c626677e090db5f24712f5ca3c3@mg1.example.com",
        "SRS0=3Ypr33=QM=crm.example.org.au=bounce+b.25211.6039846.eb7e7e8ba282f9d0@example.com.au",
    ] {
        assert_eq!(text(Address::email(real)).as_deref(), Ok(real));
    }
}

#[test]
fn a_mailbox_is_one_however_it_is_written() {
    for (written, same) in [
        ("ann@example.com", "ann@example.com"),
        ("Ann@Example.com", "ann@example.com"),
        ("ANN.LEE+tag@example.com", "ann.lee+tag@example.com"),
        ("Ann@Bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("JÜRGEN@example.com", "jürgen@example.com"),
        ("ju\u{308}rgen@example.com", "jürgen@example.com"),
    ] {
        let address = Address::email(written).expect("a mailbox");
        assert_eq!(address.identity().as_str(), same, "{written}");
        assert_eq!(Address::received_mailbox(written).identity().as_str(), same, "{written}");
        // As older logs have it.
        assert_eq!(Address::recorded(written).identity().as_str(), same, "{written}");
    }
    for other in ["+12016661234", "Ann", "@external_id/CRM/Ab@C"] {
        let address = Address::read(other).expect("an address");
        assert_eq!(*address.identity(), address);
    }
}

#[test]
fn a_domain_is_shown_in_unicode_and_sent_as_dns_has_it() {
    let address = Address::email("Kontakt@Bücher.example").expect("a mailbox");
    assert_eq!(address.to_send(), "Kontakt@xn--bcher-kva.example");
    assert_eq!(address.identity().to_show(), "kontakt@bücher.example");
    for same in ["ann@example.com", "+12016661234", "Bücher", "ann@xn--a.example"] {
        let address = Address::recorded(same);
        assert_eq!((address.to_send().as_ref(), address.to_show().as_ref()), (same, same));
    }
}

#[test]
fn a_number_with_two_forms_is_one() {
    for (one, other) in [
        ("+5215512345678", "+525512345678"),
        ("+5491123456789", "+541123456789"),
        ("+5492901123456", "+542901123456"),
        ("+551187654321", "+5511987654321"),
        ("+556798765432", "+5567998765432"),
    ] {
        let [one, other] = [one, other].map(|text| Address::phone(text).expect("possible"));
        assert_eq!(one.identity(), other.identity());
        assert_eq!(one.identity().kind(), AddressKind::Phone);
        assert_ne!(one, other, "each is shown and sent to as it was written");
    }
    for (one, other) in [
        // A fixed line, and a mobile that only looks like it with a 9 before it.
        ("+551132345678", "+5511932345678"),
        ("+12016661234", "+1201666123"),
        ("+525512345678", "+525512345679"),
        ("+541123456789", "+541123456780"),
    ] {
        let [one, other] = [one, other].map(Address::recorded);
        assert_ne!(one.identity(), other.identity());
    }
    for alone in ["+551132345678", "+55", "+521", "+549", "+550187654321", "+5411234567891"] {
        let address = Address::recorded(alone);
        assert_eq!(*address.identity(), address);
    }
}

#[test]
fn what_is_no_email_address_is_refused() {
    let texts = [
        "",
        "@example.com",
        "user@",
        "a b@example.com",
        "a..b@example.com",
        ".a@example.com",
        "user@exa mple.com",
        "user@@example.com",
        "user@example",
        "user@-example.com",
        "user@example..com",
        "user@192.0.2.1",
        "user@xn--a.example",
        "user@exam\"ple.com",
        "Name <user@example.com>",
        "user@[127.0.0.1]",
        "user@example.com\u{0}",
        "\"a\"b\"@example.com",
        "[x@y.com](mailto:x@y.com",
        "user@example.com\r\nBcc: a@b.com",
    ];
    for text in texts {
        assert_eq!(Address::email(text), Err(AddressError::NotEmail), "{text:?}");
    }
    for name in ["user", "MAILER-DAEMON", "Help Desk"] {
        assert_eq!(Address::email(name), Err(AddressError::NameForEmail), "{name:?}");
    }
}

#[test]
fn a_name_is_short_and_printable() {
    assert_eq!(text(Address::name(" alice ")).as_deref(), Ok("alice"));
    for text in ["", "  ", "a\u{0}b", "a\nb", &"x".repeat(256)] {
        assert_eq!(Address::name(text), Err(AddressError::NotName), "{text:?}");
    }
}

#[test]
fn the_kind_shows() {
    for (text, kind) in [
        ("+12016661234", AddressKind::Phone),
        ("+266696687", AddressKind::Phone),
        ("user@example.com", AddressKind::Email),
        ("root@localhost", AddressKind::Email),
        ("\"a@b\"@example.com", AddressKind::Email),
        ("user@bücher.example", AddressKind::Email),
        ("alice", AddressKind::Name),
        ("73822", AddressKind::Name),
        ("+", AddressKind::Name),
        ("+1 201", AddressKind::Name),
        ("+1234567890123456", AddressKind::Name),
        ("@alice", AddressKind::Name),
        ("@phone/x/1", AddressKind::Name),
        ("\"+1201\"", AddressKind::Name),
        ("@whatsapp_user/1029/PH.8131", AddressKind::WhatsappUser),
        ("@external_id/crm/a/b@c", AddressKind::ExternalId),
    ] {
        assert_eq!(Address::kind_of(text), kind, "{text}");
    }
    for (text, kind) in [
        ("+1201", AddressKind::Phone),
        ("+abc", AddressKind::Phone),
        ("@alice", AddressKind::Email),
        ("@phone/x/1", AddressKind::Email),
        ("Ann <ann@example.com>", AddressKind::Email),
        (" @whatsapp_user/1029/PH.8131", AddressKind::WhatsappUser),
        ("tel: 1", AddressKind::Phone),
        ("telephone", AddressKind::Name),
    ] {
        assert_eq!(Address::written_kind(text), kind, "{text}");
    }
}

#[test]
fn an_id_has_the_scope_that_it_means_something_in() {
    let user = Address::whatsapp_user("1029", " PH.8131 ").expect("a scope and an id");
    assert_eq!(user.as_str(), "@whatsapp_user/1029/PH.8131");
    assert_eq!((user.kind(), user.scope()), (AddressKind::WhatsappUser, Some("1029")));
    assert_ne!(Address::whatsapp_user("1030", "PH.8131"), Ok(user));
    let external = Address::external_id("crm", "a/b@c").expect("a scope and an id");
    assert_eq!(Address::scoped(external.as_str()), Ok(external));
    let phone = Address::phone("+12016661234").expect("possible");
    assert_eq!(phone.scope(), None);
    let long = "x".repeat(256);
    for (scope, id) in
        [("", "1"), ("a/b", "1"), ("a", ""), ("a", "1\n2"), (long.as_str(), "1"), ("a", &long)]
    {
        assert_eq!(Address::external_id(scope, id), Err(AddressError::NotScoped));
    }
    for text in ["", "alice", "@x", "@external_id", "@external_id/crm", "@phone/a/1"] {
        assert_eq!(Address::scoped(text), Err(AddressError::NotScoped), "{text}");
    }
}

#[test]
fn what_messages_are_to_go_from_or_to_is_read_strictly_and_a_name_says_something() {
    for text in ["+12016661234", "ann@example.com", "MYBANK", "73822", "\u{9280}\u{884c}"] {
        assert!(Address::wanted(text).is_ok(), "{text}");
    }
    for text in ["+1804", "\u{2603}", "--", ""] {
        assert!(Address::wanted(text).is_err(), "{text}");
    }
}
