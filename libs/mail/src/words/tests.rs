use proptest::prelude::*;

use super::*;

#[test]
fn words_are_read_as_programs_write_them() {
    for (text, said) in [
        ("plain = ? text", "plain = ? text"),
        ("=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?utf-8?q?gr=c3=bc=c3=9fe_an alle?= da", "grüße an alle da"),
        ("=?utf-8?B?R3LDvMOfZQ==?=", "Grüße"),
        ("=?utf-8?B?R3LDvMOfZQ?=", "Grüße"),
        ("=?utf-8?b?R3 LD!vMO\r\n fZQ=?=", "Grüße"),
        ("=?utf-8?B?R3I=w7w=w59l?=", "Grüße"),
        ("=?utf-8*de?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?iso-8859-1?Q?Gr=FC=DFe?=", "Grüße"),
        ("=?\"iso-8859-1\"?Q?Gr=FC=DFe?=", "Grüße"),
        ("=?x-unknown?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?x-unknown?Q?Gr=FC=DFe_aus_K=F6ln?=", "Grüße aus Köln"),
        ("=??Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?us-ascii?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?iso-2022-jp?B?GyRCQ21KOBsoQjQ3MTE=?=", "注文4711"),
        ("=?shift_jis?B?ko2VtjQ3MTE=?=", "注文4711"),
        ("=?cp932?B?h0CSjZW2NDcxMQ==?=", "①注文4711"),
        ("=?ks_c_5601-1987?B?wda5rjQ3MTE=?=", "주문4711"),
        ("=?iso-2022-kr?B?GyQpQw5BVjkuDyA0NzEx?=", "주문 4711"),
        ("=?hz-gb-2312?Q?~{6)5%~}_4711?=", "订单 4711"),
        ("=?utf-7?Q?Gr+APwA3w-e?= =?utf-7?Q?_+AKM?= =?utf-7?Q?+AKM-5?=", "Grüße ££5"),
        // Glued to text, and to each other.
        ("abc=?utf-8?Q?x?=def", "abcxdef"),
        ("=?utf-8?Q?a?==?utf-8?Q?b?=", "ab"),
        ("Re: =?utf-8?Q?a?= =?utf-8?Q?b?= c  d =?utf-8?Q?e?=.", "Re: ab c  d e."),
        ("a =?utf-8?Q?b?=\r\n\t=?iso-8859-1?B?/A==?=\r\n c", "a bü c"),
        // Two that cut a character in half.
        ("=?UTF-8?B?44Go44Gm44I=?= =?UTF-8?B?gumVt+OBhA==?=", "とても長い"),
        ("=?UTF-8?Q?Gr=C3?=\r\n =?utf-8?Q?=BC=C3=9Fe?=", "Grüße"),
        ("=?UTF-8?Q?Gr=C3?= =?utf-8?B?vMOfZQ==?=", "Grüße"),
        ("=?iso-2022-jp?B?GyRCQ20bKEI=?= =?ISO-2022-JP?B?GyRCSjgbKEI=?=", "注文"),
        ("=?gb2312?B?tg==?= =?gb2312?B?qbWl?=", "订单"),
        // A question mark, an equals sign that encodes nothing, and words without an end.
        ("=?utf-8?Q?How_are_you?=20today?=", "How are you? today"),
        ("=?utf-8?Q?caf=C3=A9?=20 =?utf-8?Q?x?=", "café20 x"),
        ("=?utf-8?Q?1=2_=ZZ=?=", "1=2 =ZZ="),
        ("=?utf-8?Q?Gr=C3=BC=C3=9Fe", "Grüße"),
        ("=?utf-8?B?R3LDvMOfZQ=? trailing", "Grüße trailing"),
        ("=?utf-8?Q?Hello =?utf-8?Q?=57orld?=", "HelloWorld"),
        ("=?utf-8?Q??= a", " a"),
        // What is no word.
        ("=?utf-8?X?abc?= =?utf-8", "=?utf-8?X?abc?= =?utf-8"),
        ("=?=?utf-8?Q?a?=", "=?a"),
        ("x=?a b", "x=?a b"),
        ("a=0A =?utf-8?Q?a=0D=0AB?=", "a=0A a  B"),
    ] {
        assert_eq!(decoded(text), said, "{text:?}");
    }
}

#[test]
fn in_a_list_what_was_encoded_separates_nothing() {
    for (text, list) in [
        ("=?utf-8?Q?Lee,_Ann?= <ann@example.com>", "\"Lee, Ann\" <ann@example.com>"),
        ("=?utf-8?Q?Ann_Lee?= <ann@example.com>", "Ann Lee <ann@example.com>"),
        ("\"=?utf-8?Q?Lee,_=22A=22?=\" <a@b.example>", "\"Lee, \\\"A\\\"\" <a@b.example>"),
        ("Ann (=?utf-8?Q?=29_x?=) <a@b.example>", "Ann (\\) x) <a@b.example>"),
        (
            "=?utf-8?Q?Boss_=3Cboss@corp.example=3E?= <a@b.example>",
            "\"Boss <boss@corp.example>\" <a@b.example>",
        ),
        ("=?utf-8?Q?Ann_=3Cann=40example.com=3E?=", "Ann <ann@example.com>"),
        ("Ann <=?utf-8?Q?ann=40example.com?=>", "Ann <ann@example.com>"),
    ] {
        assert_eq!(decoded_in_list(text), list, "{text:?}");
    }
}

#[test]
fn long_and_hostile_headers_take_linear_time() {
    for piece in [
        "=?",
        "?=",
        "=?utf-8?Q?",
        "=?utf-8?Q?=",
        "=?utf-8?Q?a ",
        "=?utf-8?B?YQ==?= ",
        "=?utf-8?Q??=20",
        "?=20",
        "=?u?Q?a?= =?v?Q?a?= ",
        "=?utf-8?Q?a?=(",
        "\r\n =?",
        "=?utf-7?B?Kw?=",
        "\"=?utf-8?Q?,",
    ] {
        let text = piece.repeat(512 * 1024 / piece.len());
        decoded(&text);
        decoded_in_list(&text);
    }
}

#[test]
fn words_that_lost_their_ends_follow_a_shared_end_once() {
    let text = "=?a?q?x".repeat(60_000) + &"?=41".repeat(100_000);
    let began = std::time::Instant::now();
    decoded(&text);
    decoded_in_list(&text);
    assert!(began.elapsed().as_secs() < 30);
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "([=?a-zQB8_ -]|=\\?utf-8\\?[QB]\\?|\\?=|\\PC){0,60}") {
        decoded(&text);
        decoded_in_list(&text);
    }

    #[test]
    fn what_is_encoded_is_read(text in "\\PC{1,40}", cut in 0usize..100) {
        let bytes = text.as_bytes();
        let (one, other) = bytes.split_at(cut.min(bytes.len()));
        let word = |bytes: &[u8]| {
            let letters: String = bytes.iter().map(|byte| format!("={byte:02X}")).collect();
            format!("=?utf-8?Q?{letters}?=")
        };
        prop_assert_eq!(decoded(&format!("{} {}", word(one), word(other))), text);
    }
}
