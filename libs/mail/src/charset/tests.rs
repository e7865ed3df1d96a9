use encoding_rs::Encoding;
use proptest::prelude::*;

use super::*;

/// A text, and every label of the Encoding Standard for an encoding that has it.
const LABELS: [(&str, &str); 36] = [
    ("訂單已收到", "big5 big5-hkscs cn-big5 csbig5 x-x-big5"),
    ("注文を受け付けました", "cseucpkdfmtjapanese euc-jp x-euc-jp"),
    (
        "주문을 받았습니다",
        "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949",
    ),
    ("订单已收到€𠀀", "gb18030"),
    (
        "订单已收到",
        "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk",
    ),
    ("Заказ получен", "866 cp866 csibm866 ibm866"),
    ("注文を受け付けました", "csiso2022jp iso-2022-jp"),
    ("Þórður ķēniņš", "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6"),
    ("Užsakymas gautas, ačiū", "iso-8859-13 iso8859-13 iso885913"),
    ("Ŵyneb ŷd", "iso-8859-14 iso8859-14 iso885914"),
    ("Größe: 5 €, œuvre", "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9"),
    ("Comandă primită, știți", "iso-8859-16"),
    (
        "Zażółć gęślą jaźń",
        "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    ),
    (
        "Ĝis revido, ĉu ŝi aŭdas",
        "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    ),
    (
        "Paldies, ķēniņš",
        "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    ),
    (
        "Заказ получен",
        "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988",
    ),
    (
        "تم استلام الطلب",
        "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    ),
    (
        "Η παραγγελία ελήφθη",
        "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 iso_8859-7 iso_8859-7:1987 sun_eu_greek",
    ),
    (
        "ההזמנה התקבלה",
        "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598 iso_8859-8 iso_8859-8:1988 visual",
    ),
    ("ההזמנה התקבלה", "csiso88598i iso-8859-8-i logical"),
    ("Заказ получен", "cskoi8r koi koi8 koi8-r koi8_r"),
    ("Замовлення отримано її", "koi8-ru koi8-u"),
    ("Größe, œuvre", "csmacintosh mac macintosh x-mac-roman"),
    (
        "注文を受け付けました",
        "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    ),
    ("Größe, 注文", "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8"),
    ("Žluťoučký kůň", "cp1250 windows-1250 x-cp1250"),
    ("Заказ получен", "cp1251 windows-1251 x-cp1251"),
    (
        "Grüße aus Köln, schöne Tage",
        "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
    ),
    ("Η παραγγελία ελήφθη", "cp1253 windows-1253 x-cp1253"),
    (
        "Sipariş alındı, teşekkürler",
        "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5 windows-1254 x-cp1254",
    ),
    ("ההזמנה התקבלה", "cp1255 windows-1255 x-cp1255"),
    ("تم استلام الطلب", "cp1256 windows-1256 x-cp1256"),
    ("Užsakymas gautas, ačiū", "cp1257 windows-1257 x-cp1257"),
    ("Đơn hàng", "cp1258 windows-1258 x-cp1258"),
    ("ได้รับคำสั่งซื้อแล้ว", "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874"),
    ("Заказ получен", "x-mac-cyrillic x-mac-ukrainian"),
];

/// Those of UTF-16.
const WIDE: &str =
    "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le unicodefffe utf-16be";

/// Those of charsets that the standard does not read.
const UNREAD: &str = "csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr";

fn read_as(bytes: &[u8], label: &str) -> String {
    decode(bytes, Some(label)).text.into_owned()
}

fn utf_16(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes_of).collect()
}

#[test]
fn every_label_of_the_standard_is_read() {
    let mut labels = 0;
    for (text, of_one) in LABELS {
        for label in of_one.split(' ') {
            labels += 1;
            let encoding = Encoding::for_label(label.as_bytes()).expect("of the standard");
            let (bytes, _, unmappable) = encoding.encode(text);
            assert!(!unmappable, "{label}");
            assert_eq!(read_as(&bytes, label), text, "{label}");
        }
    }
    for label in WIDE.split(' ') {
        labels += 1;
        let encoding = Encoding::for_label(label.as_bytes()).expect("of the standard");
        let bytes_of = if encoding == UTF_16BE { u16::to_be_bytes } else { u16::to_le_bytes };
        for text in ["Grüße 4711", "注文を受け付けました"] {
            assert_eq!(read_as(&utf_16(text, bytes_of), label), text, "{label}");
        }
    }
    for label in UNREAD.split(' ') {
        labels += 1;
        assert!(charset(label).is_some(), "{label}");
    }
    // The last two, which say nothing: x-user-defined and replacement.
    assert_eq!(labels + 2, 228);
}

/// Labels of Latin-1 as programs write them.
const LATIN: &[&str] = &[
    "latin-1",
    "Latin1",
    "LATIN_1",
    "\"iso-8859-1\"",
    "'iso-8859-1'",
    "iso-8859-1;",
    " ISO8859-1 ",
    "iso8859_1",
    "iso 8859 1",
    "8859-1",
    "iso-8859-1 (Latin)",
    "iso-8859-1; format=flowed",
    "iso-8859-1 format=flowed",
    "charset=iso-8859-1",
    "ISO_8859-15",
    "latin9",
    "latin-9",
    "win-1252",
    "windows1252",
    "windows_1252",
    "CP-1252",
    "cp1252",
    "x-cp1252",
    "ms1252",
    "ANSI1252",
    "1252",
    "cp819",
    "ibm-819",
    "28591",
    "iso-8859-1*de",
    "ISO8859-1:1987",
    "<iso-8859-1>",
    "=iso-8859-1",
    "windows-1254",
    "iso-8859-9",
    "latin5",
    "l5",
];

/// Bytes, what they say, and the labels by which they do.
const LABELLED: &[(&[u8], &str, &str)] = &[
    (
        b"\x92\x8d\x95\xb64711",
        "注文4711",
        "cp932 CP-932 ms932 windows-932 windows-31j cswindows31j x-sjis sjis shift-jis SHIFT_JIS x-ms-cp932 sjis-win ms_kanji shift_jisx0213 shift_jis-2004 ibm-943 x-mac-japanese",
    ),
    (
        b"\xc3\xed\xca\xb84711",
        "注文4711",
        "euc-jp eucjp EUC_JP x-euc x-euc-jp x-eucjp ujis eucjp-ms eucjp-win cp51932 cp20932",
    ),
    (
        b"\xad\x71\xb3\xe64711",
        "訂單4711",
        "big5 big-5 cp950 ms950 windows-950 x-windows-950 big5-hkscs big5_hkscs big5hkscs-2004 cn-big5 x-x-big5 big5-eten",
    ),
    (
        b"\xb6\xa9\xb5\xa54711",
        "订单4711",
        "gb2312 gb_2312-80 gb2312-80 gbk x-gbk cp936 ms936 windows-936 euc-cn euccn gb18030 gb18030-2005 gb-18030 csgb2312",
    ),
    (
        b"\xc1\xd6\xb9\xae4711",
        "주문4711",
        "ks_c_5601-1987 ks-c-5601-1987 KSC5601 ksc_5601 euc_kr euc-kr euckr cp949 ms949 windows-949 x-windows-949 uhc ksx1001",
    ),
    (
        b"\xca\xd1\xe8\xa7\xab\xd7\xe9\xcd4711",
        "สั่งซื้อ4711",
        "tis-620 tis620 TIS-620-0 cp874 windows-874 x-windows-874 iso-8859-11 ibm-874 dos-874 ms874",
    ),
    (b"\xfa\xc1\xcb\xc1\xda", "Заказ", "koi8-r koi8r KOI8_R koi8 cskoi8r cp20866 koi8-u"),
    (
        b"\xc7\xe0\xea\xe0\xe7",
        "Заказ",
        "win-1251 windows1251 windows-1251 cp1251 x-cp1251 cp-1251 ms1251",
    ),
    (b"\x87\xa0\xaa\xa0\xa7", "Заказ", "cp866 ibm866 dos-866 866"),
    (b"\x9aber", "Über", "cp437 ibm437 cp850 ibm850 ibm-850 cp858 cp852 850"),
    (b"Gr\x9a\xa7e", "Größe", "mac macroman x-mac-roman macintosh csmacintosh"),
    (
        b"Gr+APwA3w-e",
        "Grüße",
        "utf-7 utf7 unicode-1-1-utf-7 x-unicode-2-0-utf-7 csunicode11utf7 cp65000",
    ),
    (
        b"Gr\xc3\xbc\xc3\x9fe",
        "Grüße",
        "utf8 utf-8 UTF_8 utf-8-sig utf8mb4 cp65001 unicode-1-1-utf-8 us-ascii iso-8859-1 x-unknown uft-8",
    ),
    (b"\0\0\0G\0\0\0r\0\0\0\xfc", "Grü", "utf-32 utf32 utf-32be ucs-4 iso-10646-ucs-4"),
    (b"G\0\0\0r\0\0\0\xfc\0\0\0", "Grü", "utf-32le utf-32"),
    (
        b"\xe9\xf9\xec\xe5\xed",
        "ישלום",
        "iso-8859-8 iso-8859-8-i iso-8859-8-e windows-1255 cp1255 hebrew logical",
    ),
];

#[test]
fn labels_are_known_by_what_programs_write() {
    let grosse: &[u8] = b"Gr\xfc\xdfe";
    for label in LATIN.iter().copied() {
        assert_eq!(read_as(grosse, label), "Grüße", "{label}");
    }
    for &(bytes, text, labels) in LABELLED {
        for label in labels.split(' ') {
            assert_eq!(read_as(bytes, label), text, "{label}");
        }
    }
    for label in [
        "",
        " ",
        "\"\"",
        "x-unknown",
        "unknown-8bit",
        "x-user-defined",
        "replacement",
        "default",
        "none",
        "8bit",
        &"x".repeat(10_000),
    ] {
        assert_eq!(charset(label), None, "{label:?}");
    }
}

#[test]
fn charsets_in_seven_bits_are_read_declared_or_not() {
    for (bytes, text, labels) in [
        (
            &b"\x1b$BCmJ8\x1b(B4711"[..],
            "注文4711",
            "iso-2022-jp csiso2022jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-ms iso2022jp cp50220 jis",
        ),
        (b"\x1b$@CmJ8\x1b(J4711", "注文4711", "iso-2022-jp"),
        // As encoded words are joined: one escape right after another.
        (b"\x1b$BCm\x1b(B\x1b$BJ8\x1b(B4711", "注文4711", "iso-2022-jp"),
        (b"\x1b(I1\x1b(B \x1b$B-!\x1b(B", "ｱ ①", "iso-2022-jp"),
        (
            b"\x1b$)C\x0eAV9.\x0f 4711 \x0eH.@N\x0f",
            "주문 4711 확인",
            "iso-2022-kr csiso2022kr iso2022kr ISO_2022_KR",
        ),
        (b"\x1b$)C\r\nOrder 4711 \x0eAV9.\x0f\r\nBye", "\r\nOrder 4711 주문\r\nBye", "iso-2022-kr"),
        (b"\x1b$)A\x0e6)5%\x0f 4711", "订单 4711", "iso-2022-cn iso-2022-cn-ext"),
    ] {
        for label in labels.split(' ').chain(["us-ascii", "utf-8", "windows-1252", "x-none"]) {
            assert_eq!(read_as(bytes, label), text, "{label}");
        }
        assert_eq!(decode(bytes, None).text, text);
    }
    for (bytes, text, label) in [
        (&b"\x0eAV9.\x0f 4711"[..], "주문 4711", "iso-2022-kr"),
        (b"\xc1\xd6\xb9\xae 4711", "주문 4711", "iso-2022-kr"),
        (b"\x0e6)5%\x0f 4711", "订单 4711", "iso-2022-cn"),
        (b"\xb6\xa9\xb5\xa5 4711 ~{H7HO~}", "订单 4711 确认", "hz-gb-2312"),
        (b"\x0e1\x0f 4711", "ｱ 4711", "iso-2022-jp"),
    ] {
        assert_eq!(read_as(bytes, label), text, "{label}");
    }
    for label in ["hz-gb-2312", "HZ", "hz_gb_2312"] {
        assert_eq!(
            read_as(b"~{6)5%~} 4711 ~~ ~\n~{H7HO~}\nBye ~", label),
            "订单 4711 ~ 确认\nBye ~"
        );
    }
    assert_eq!(
        read_as(b"Gr+APwA3w-e +AKM-5 +- 1 + 1 a+b +ZeVnLA", "utf-7"),
        "Grüße £5 + 1 + 1 a+b 日本"
    );
    assert_eq!(decode(b"Call \x1b[1mme\x1b[0m", None).text, "Call \x1b[1mme\x1b[0m");
    assert_eq!(decode(b"a ~{b} 1+1", None).text, "a ~{b} 1+1");
}

#[test]
fn what_is_declared_wrongly_is_guessed() {
    let guessed = |bytes: &[u8], label: Option<&str>, text: &str| {
        let decoded = decode(bytes, label);
        assert_eq!((&*decoded.text, decoded.reading), (text, Reading::Guessed), "{label:?}");
    };
    for label in [
        None,
        Some("us-ascii"),
        Some("iso-8859-1"),
        Some("windows-1252"),
        Some("iso-2022-jp"),
        Some("x-unknown"),
    ] {
        guessed("Grüße, 注文".as_bytes(), label, "Grüße, 注文");
    }
    guessed("Zażółć gęślą jaźń".as_bytes(), Some("iso-8859-2"), "Zażółć gęślą jaźń");
    guessed("Заказ".as_bytes(), Some("koi8-r"), "Заказ");
    guessed("注文".as_bytes(), Some("gb2312"), "注文");
    for label in [None, Some("us-ascii"), Some("utf-8"), Some("x-unknown")] {
        guessed(b"Viele Gr\xfc\xdfe aus K\xf6ln", label, "Viele Grüße aus Köln");
        guessed(
            b"\xcf\xf0\xe8\xe2\xe5\xf2, \xea\xe0\xea \xe4\xe5\xeb\xe0?",
            label,
            "Привет, как дела?",
        );
        let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode("ご注文ありがとうございます。");
        guessed(&bytes, label, "ご注文ありがとうございます。");
        let (bytes, _, _) = encoding_rs::GBK.encode("您的订单已经收到，谢谢。");
        guessed(&bytes, label, "您的订单已经收到，谢谢。");
    }
    let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode("ご注文ありがとうございます。");
    guessed(&bytes, Some("iso-2022-jp"), "ご注文ありがとうございます。");
    guessed(&utf_16("Hello", u16::to_le_bytes), None, "Hello");
    guessed(&utf_16("Hello", u16::to_be_bytes), Some("us-ascii"), "Hello");
}

#[test]
fn some_damage_does_not_change_the_charset() {
    let lossy = |bytes: &[u8], label: Option<&str>, text: &str| {
        let decoded = decode(bytes, label);
        assert_eq!((&*decoded.text, decoded.reading), (text, Reading::Lossy), "{label:?}");
    };
    for label in [None, Some("utf-8"), Some("us-ascii")] {
        lossy(b"Gr\xc3\xbc\xc3\x9fe \xff 4711", label, "Grüße \u{fffd} 4711");
    }
    lossy(b"4711 \xe6\xb3", Some("utf-8"), "4711 \u{fffd}");
    let (cut, _, _) = encoding_rs::SHIFT_JIS.encode("ご注文ありがとう");
    lossy(&cut[..cut.len() - 1], Some("shift_jis"), "ご注文ありがと\u{fffd}");
    let (mut bytes, _, _) = encoding_rs::EUC_KR.encode("주문을 받았습니다. 감사합니다");
    bytes.to_mut().push(0xff);
    bytes.to_mut().extend_from_slice(b" 4711");
    lossy(&bytes, Some("euc-kr"), "주문을 받았습니다. 감사합니다\u{fffd} 4711");
}

#[test]
fn a_mark_counts_before_all_else() {
    for label in [None, Some("iso-8859-1"), Some("utf-16"), Some("gbk")] {
        assert_eq!(decode(b"\xef\xbb\xbfHi", label).text, "Hi");
        assert_eq!(decode(b"\xff\xfeH\0\xfc\0", label).text, "Hü");
        assert_eq!(decode(b"\xfe\xff\0H\0\xfc", label).text, "Hü");
        assert_eq!(decode(b"\xff\xfe\0\0H\0\0\0", label).text, "H");
    }
}

#[test]
fn a_document_says_its_charset_where_nobody_else_does() {
    for head in [
        "<meta charset=koi8-r>",
        "<META CHARSET='KOI8-R'/>",
        "<meta name=a><meta  charset = \"koi8-r\">",
        "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=koi8-r\">",
        "<?xml version=\"1.0\" encoding=\"koi8-r\"?>",
    ] {
        let html = [head.as_bytes(), b"\xfa\xc1\xcb\xc1\xda"].concat();
        for label in [None, Some("us-ascii"), Some("x-unknown")] {
            assert_eq!(decode_html(&html, label).text, format!("{head}Заказ"), "{label:?}");
        }
        assert_eq!(decode_html(&html, Some("windows-1251")).text, format!("{head}ъБЛБЪ"));
    }
    let utf_8 = "<meta charset=iso-8859-1>Grüße";
    assert_eq!(decode_html(utf_8.as_bytes(), None).text, utf_8);
    let late = format!("{}<meta charset=koi8-r>", " ".repeat(META_BYTES_MAX));
    assert_eq!(meta_label(late.as_bytes()), None);
}

#[test]
fn long_and_hostile_texts_take_linear_time() {
    for piece in
        ["\x1b$B", "\x1b", "~{", "~", "+", "+A", "\u{e9}", "\0", "\x0e", "\x1bN", "<meta", "=?"]
    {
        let bytes = piece.repeat(128 * 1024 / piece.len()).into_bytes();
        for label in ["iso-2022-jp", "hz", "utf-7", "utf-16", "utf-32", "big5", "cp437", "x"] {
            decode_html(&bytes, Some(label));
        }
        let broken: Vec<u8> = bytes.iter().map(|byte| byte | 0x80).collect();
        assert!(!decode(&broken, None).text.is_empty(), "{piece:?}");
    }
}

fn label() -> impl Strategy<Value = String> {
    let known: Vec<String> = LABELS
        .iter()
        .flat_map(|(_, labels)| labels.split(' '))
        .chain(WIDE.split(' '))
        .chain(UNREAD.split(' '))
        .chain(["utf-7", "utf-32", "cp437", "x-unknown"])
        .map(str::to_owned)
        .collect();
    prop_oneof![4 => proptest::sample::select(known), 1 => ".{0,20}"]
}

proptest! {
    #[test]
    fn no_bytes_of_any_label_are_too_strange(bytes: Vec<u8>, label in label()) {
        decode(&bytes, Some(&label));
        decode_html(&bytes, Some(&label));
        decode(&bytes, None);
    }

    #[test]
    fn every_visible_ascii_character_survives(text in "[ -~]{0,60}", label in label()) {
        // A tilde begins what HZ says, and a plus sign what UTF-7 does.
        let text = text.replace(['~', '+'], "");
        prop_assert_eq!(read_as(text.as_bytes(), &label), text);
    }

    #[test]
    fn utf_8_is_read_as_it_is(text in "\\PC{0,60}") {
        prop_assert_eq!(&*decode(text.as_bytes(), Some("utf-8")).text, text.trim_start_matches('\u{feff}'));
        prop_assert_eq!(&*decode(text.as_bytes(), None).text, text.trim_start_matches('\u{feff}'));
    }
}
