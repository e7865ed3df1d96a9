use super::*;

fn read_as(of: &str, text: &str) -> Vec<(String, Option<String>)> {
    let mailboxes = mailboxes(text, of, &mut Cut::default()).into_iter();
    mailboxes.map(|one| (one.address.to_string(), one.name)).collect()
}

fn read(text: &str) -> Vec<(String, Option<String>)> {
    read_as("to", text)
}

/// One address and its name.
type Named<'a> = (&'a str, Option<&'a str>);

fn named(list: &[Named<'_>]) -> Vec<(String, Option<String>)> {
    list.iter().map(|(one, name)| ((*one).to_owned(), name.map(str::to_owned))).collect()
}

#[test]
fn what_is_no_mailbox_is_a_name() {
    let of_both: [(&str, &[Named<'_>]); 13] = [
        ("MAILER-DAEMON", &[("MAILER-DAEMON", None)]),
        ("\"MAILER-DAEMON\" <MAILER-DAEMON>", &[("MAILER-DAEMON", None)]),
        ("Mail Delivery <MAILER-DAEMON>", &[("MAILER-DAEMON", Some("Mail Delivery"))]),
        ("\"Help Desk\"", &[("Help Desk", None)]),
        ("=?utf-8?q?B=C3=BCro?=", &[("Büro", None)]),
        ("Ann Lee ann(at)x", &[("Ann Lee ann(at)x", None)]),
        ("Help Desk <>", &[("Help Desk", None)]),
        ("root@localhost", &[("root@localhost", None)]),
        ("Taro <taro..y.@docomo.example>", &[("taro..y.@docomo.example", Some("Taro"))]),
        ("'ann@example.com'", &[("ann@example.com", None)]),
        ("Ann Lee [mailto:ann@example.com]", &[("ann@example.com", None)]),
        ("<>", &[]),
        ("", &[]),
    ];
    for (text, expected) in of_both {
        for of in ["to", "from"] {
            assert_eq!(read_as(of, text), named(expected), "{of}: {text}");
        }
    }
}

#[test]
fn a_long_local_part_is_taken() {
    let address = format!("reply+{}@example.org", "a".repeat(64));
    for text in [address.clone(), format!("Ann <{address}>"), format!("Ann {address}")] {
        for of in ["to", "from", "reply_to"] {
            assert_eq!(read_as(of, &text)[0].0, address, "{of}: {text}");
        }
    }
}

#[test]
fn a_group_of_nobody_is_nobody_but_a_sender() {
    for group in
        ["undisclosed-recipients:;", "Undisclosed recipients: ;", "undisclosed-recipients:"]
    {
        assert_eq!(read(group), []);
        let name = group.split(':').next().expect("a name");
        assert_eq!(read_as("from", group), named(&[(name, None)]));
    }
    let both = "Friends: ann@example.com, bob@example.com;, undisclosed-recipients:;";
    assert_eq!(read(both), named(&[("ann@example.com", None), ("bob@example.com", None)]));
}

#[test]
fn commas_in_a_name_end_no_address() {
    for (text, expected) in [
        ("Lee, Ann <ann@example.com>", &[("ann@example.com", Some("Lee, Ann"))][..]),
        ("Lee, Ann, PhD <ann@example.com>", &[("ann@example.com", Some("Lee, Ann, PhD"))]),
        (
            "Lee, Ann <ann@example.com>, bob@example.com, Roe, Jo <jo@example.com>",
            &[
                ("ann@example.com", Some("Lee, Ann")),
                ("bob@example.com", None),
                ("jo@example.com", Some("Roe, Jo")),
            ],
        ),
        ("Staff, ann@example.com", &[("Staff", None), ("ann@example.com", None)]),
        ("Staff, <ann@example.com>", &[("Staff", None), ("ann@example.com", None)]),
        ("Staff; Ann <ann@example.com>", &[("Staff", None), ("ann@example.com", Some("Ann"))]),
        (
            "\"Help Desk\", Ann <ann@example.com>",
            &[("Help Desk", None), ("ann@example.com", Some("Ann"))],
        ),
    ] {
        assert_eq!(read(text), named(expected), "{text}");
    }
}

#[test]
fn the_sender_is_who_can_be_answered_and_only_such_a_one_is_to_be_answered() {
    let text = "Staff, ann@example.com";
    assert_eq!(read_as("from", text)[0], ("ann@example.com".to_owned(), None));
    assert_eq!(read_as("reply_to", text), named(&[("ann@example.com", None)]));
    assert_eq!(read_as("reply_to", "MAILER-DAEMON, root@localhost"), []);
}

#[test]
fn what_is_opened_and_never_closed_hides_nobody() {
    for text in [
        "\"Ann Lee <ann@example.com>, bob@example.com",
        "Ann \"Annie <ann@example.com>, bob@example.com",
        "Ann (Sales <ann@example.com>, bob@example.com",
        "Ann (\"Sales <ann@example.com>, bob@example.com",
        "\"Ann (Sales <ann@example.com>, bob@example.com",
    ] {
        let found = read(text);
        let found: Vec<&str> = found.iter().map(|(address, _)| address.as_str()).collect();
        assert_eq!(found, ["ann@example.com", "bob@example.com"], "{text}");
    }
}

#[test]
fn a_name_is_kept_with_its_address() {
    for (text, name) in [
        ("ann@example.com", None),
        ("Ann Lee <ann@example.com>", Some("Ann Lee")),
        ("\"Lee, \\\"A\\\"\" <ann@example.com> (a comment)", Some("Lee, \"A\"")),
        (
            "=?UTF-8?Q?J=C3=BCrgen?= =?UTF-8?B?U2NobWlkdA==?= <ann@example.com>",
            Some("JürgenSchmidt"),
        ),
        ("\"=?UTF-8?Q?J=C3=BCrgen?=\" <ann@example.com>", Some("Jürgen")),
        ("=?UTF-8?Q?Lee,_Ann_(x)?= <ann@example.com>", Some("Lee, Ann (x)")),
        ("=?UTF-8?Q?Ann_=3Cann@example.com=3E?=", Some("Ann")),
        (
            "=?UTF-8?Q?Boss_=3Cboss@corp.example=3E?= <ann@example.com>",
            Some("Boss <boss@corp.example>"),
        ),
        ("Friends: Ann\r\n\tLee <ann@example.com>;", Some("Ann Lee")),
        ("a\u{0}b\u{1b}[31m <ann@example.com>", Some("ab[31m")),
        ("Ann@Example.com <ann@example.com>", None),
    ] {
        assert_eq!(
            read(text),
            [("ann@example.com".to_owned(), name.map(str::to_owned))],
            "{text:?}"
        );
    }
}

#[test]
fn what_says_nothing_new_is_looked_at_so_often_only() {
    let mut cut = Cut::default();
    let found = mailboxes(&"a,".repeat(ENTRIES_MAX + 7), "to", &mut cut);
    assert_eq!((found.len(), cut.into_counts()["to"]), (1, 7));
}

#[test]
fn names_are_cut_and_left_out_before_addresses_are() {
    let (name, many) = ("x".repeat(300), 400);
    let list: Vec<String> = (0..many).map(|n| format!("{name} <a{n}@example.com>")).collect();
    let read = read(&list.join(", "));
    assert_eq!(read.len(), many);
    let names: Vec<&String> = read.iter().filter_map(|(_, name)| name.as_ref()).collect();
    assert!(names.iter().all(|name| name.len() == NAME_CHARACTERS_MAX));
    assert_eq!(names.len(), LIST_BYTES_MAX / NAME_CHARACTERS_MAX);
}
