//! Openings of ten mail programs and more than ten languages, in each shape that they come in.

use super::{check, titled, visible};

const ANSWER: &str = "Thanks, that works.\n\nAnn";

/// Lines that say when and by whom a mail was written.
const ATTRIBUTIONS: [&str; 50] = [
    "On Mon, Jan 5, 2026 at 10:15 AM Bob Example <bob@example.com> wrote:",
    "On Jan 5, 2026, at 10:15, Bob Example <bob@example.com> wrote:",
    "On 05/01/2026 10:15, Bob Example wrote:",
    "On 1/5/26, 10:15 AM, \"Bob Example\" <bob@example.com> wrote:",
    "On Monday, January 5th, 2026 at 10:15 AM, Bob Example <bob@example.com> wrote:",
    "On Mon, Jan 5, 2026, at 10:15 AM, Bob Example wrote:",
    "On January 5, 2026, Bob Example <bob@example.com> wrote:",
    "On Monday 5 January 2026 at 10:15:00 GMT, Bob Example <bob@example.com> wrote:",
    "---- On Mon, 05 Jan 2026 10:15:00 +0000 Bob Example <bob@example.com> wrote ----",
    "In a message dated 1/5/2026 10:15:00 AM Eastern Standard Time, bob@example.com writes:",
    "At 2026-01-05 10:15:00, \"Bob Example\" <bob@example.com> wrote:",
    "Bob Example <bob@example.com> wrote on Mon, 5 Jan 2026 at 10:15:",
    "Am Mo., 5. Jan. 2026 um 10:15 Uhr schrieb Bob Beispiel <bob@example.com>:",
    "Am 05.01.2026 um 10:15 schrieb Bob Beispiel:",
    "Am 05.01.26, 10:15 schrieb Bob Beispiel <bob@example.com>:",
    "Bob Beispiel <bob@example.com> schrieb am Mo., 5. Jan. 2026, 10:15:",
    "Bob Beispiel <bob@example.com> hat am 05.01.2026 10:15 CET geschrieben:",
    "Le lun. 5 janv. 2026 à 10:15, Bob Exemple <bob@example.com> a écrit :",
    "Le 05/01/2026 à 10:15, Bob Exemple a écrit\u{a0}:",
    "Le 5 janv. 2026 à 10:15, Bob Exemple <bob@example.com> a écrit :",
    "El lun, 5 ene 2026 a las 10:15, Bob Ejemplo (<bob@example.com>) escribió:",
    "El 5 ene 2026, a las 10:15, Bob Ejemplo <bob@example.com> escribió:",
    "Il giorno lun 5 gen 2026 alle ore 10:15 Bob Esempio <bob@example.com> ha scritto:",
    "Il 05/01/2026 10:15, Bob Esempio ha scritto:",
    "Em seg., 5 de jan. de 2026 às 10:15, Bob Exemplo <bob@example.com> escreveu:",
    "Em 05/01/2026 10:15, Bob Exemplo escreveu:",
    "Op ma 5 jan 2026 om 10:15 schreef Bob Voorbeeld <bob@example.com>:",
    "Op 5 jan. 2026 om 10:15 heeft Bob Voorbeeld <bob@example.com> het volgende geschreven:",
    "Den mån 5 jan. 2026 kl 10:15 skrev Bob Exempel <bob@example.com>:",
    "Den man. 5. jan. 2026 kl. 10.15 skrev Bob Eksempel <bob@example.com>:",
    "ma 5. tammik. 2026 klo 10.15 Bob Esimerkki (bob@example.com) kirjoitti:",
    "pon., 5 sty 2026 o 10:15 Bob Przykład <bob@example.com> napisał(a):",
    "W dniu 5.01.2026 o 10:15, Bob Przykład pisze:",
    "пн, 5 янв. 2026 г. в 10:15, Боб Пример <bob@example.com>:",
    "5 янв. 2026 г., в 10:15, Боб Пример <bob@example.com> написал(а):",
    "05.01.2026, 10:15, \"Боб Пример\" <bob@example.com>:",
    "po 5. 1. 2026 v 10:15 odesílatel Bob Příklad <bob@example.com> napsal:",
    "Bob Példa <bob@example.com> ezt írta (időpont: 2026. jan. 5., H, 10:15):",
    "Bob Örnek <bob@example.com>, 5 Oca 2026 Pzt, 10:15 tarihinde şunu yazdı:",
    "Bob Example <bob@example.com> 于2026年1月5日周一 10:15写道：",
    "在 2026-01-05 10:15:00，\"Bob\" <bob@example.com> 写道：",
    "2026年1月5日(月) 10:15 Bob Example <bob@example.com>:",
    "2026年1月5日(月) 10:15 Bob Example <bob@example.com> のメール:",
    "2026년 1월 5일 (월) 오전 10:15, Bob Example <bob@example.com>님이 작성:",
    "2026-01-05 10:15에 Bob Example 이(가) 쓴 글:",
    "เมื่อ จ. 5 ม.ค. 2026 เวลา 10:15 Bob Example <bob@example.com> เขียนว่า:",
    "\u{202b}في الاثنين، ٥ يناير ٢٠٢٦ في ١٠:١٥ ص تمت كتابة ما يلي بواسطة \u{202a}Bob\u{202c}\u{200f} <\u{202a}bob@example.com\u{202c}\u{200f}>:\u{202c}",
    "بتاريخ 5 يناير 2026، الساعة 10:15، كتب Bob Example <bob@example.com>:",
    "\u{202b}בתאריך יום ב׳, 5 בינו׳ 2026 ב-10:15 מאת \u{202a}Bob\u{202c}\u{200f} <\u{202a}bob@example.com\u{202c}\u{200f}>:\u{202c}",
    "בתאריך 5 בינו׳ 2026, בשעה 10:15, Bob Example <bob@example.com> כתב:",
];

#[test]
fn an_answer_above_lines_that_are_marked_as_quoted_is_visible_alone() {
    for attribution in ATTRIBUTIONS {
        let text = format!("{ANSWER}\n\n{attribution}\n\n> Does it work?\n>\n> Bob\n");
        assert_eq!(visible(&text), ANSWER, "{text}");
    }
}

#[test]
fn an_answer_above_lines_that_are_not_marked_is_visible_alone() {
    for attribution in ATTRIBUTIONS {
        let text = format!("{ANSWER}\r\n\r\n{attribution}\r\nDoes it work?\r\n\r\nBob\r\n");
        assert_eq!(visible(&text).replace('\r', ""), ANSWER, "{text}");
    }
}

#[test]
fn an_answer_below_the_quoted_lines_is_visible_alone() {
    for attribution in ATTRIBUTIONS {
        let text = format!("{attribution}\n> Does it work?\n> Bob\n\n{ANSWER}\n");
        assert_eq!(visible(&text), ANSWER, "{text}");
    }
}

#[test]
fn an_opening_that_is_wrapped_before_the_address_is_folded_whole() {
    for attribution in ATTRIBUTIONS.iter().filter(|line| line.contains(" <")) {
        let wrapped = attribution.replacen(" <", "\n<", 1);
        let text = format!("{ANSWER}\n\n{wrapped}\n\n> Does it work?\n");
        assert_eq!(visible(&text), ANSWER, "{text}");
    }
}

#[test]
fn an_opening_that_is_wrapped_anywhere_is_folded_whole() {
    for attribution in
        ATTRIBUTIONS.iter().filter(|line| line.starts_with("On ") || line.starts_with("Am "))
    {
        for (at, _) in attribution.match_indices(' ').filter(|(at, _)| *at > 20) {
            let text = format!(
                "{ANSWER}\n\n{}\n{}\n> Does it work?\n",
                &attribution[..at],
                &attribution[at + 1..]
            );
            assert_eq!(visible(&text), ANSWER, "{text}");
        }
    }
}

#[test]
fn an_opening_over_three_lines_is_folded_whole() {
    check(&[(
        "Yes.\n\nOn Monday, January 5, 2026 at 10:15 AM\nBob Example from the Example Company\n<bob@example.com> wrote:\n\n> Well?\n",
        "Yes.",
    )]);
}

#[test]
fn a_name_alone_opens_only_what_is_marked() {
    check(&[
        ("Yes.\n\nBob Example wrote:\n> Well?\n", "Yes."),
        (
            "Bob Example wrote:\nthe report, and I read it.",
            "Bob Example wrote:\nthe report, and I read it.",
        ),
        ("This is what you wrote:\n> Well?\n", "This is what you wrote:"),
    ]);
}

#[test]
fn a_sentence_is_no_opening() {
    for text in [
        "I called on 5 January and Bob, whom I know well, wrote:\nno answer.",
        "On the topic of prices, as your colleague wrote:\nthey go up.",
        "Please see:\n\nhttps://example.com\n\nand tell me.",
        "From: Berlin\nTo: Munich\nDate: 5 May\n\nIs this train late?",
        "The order came from: Berlin.",
    ] {
        assert_eq!(visible(text), text);
    }
}

/// The headers that mail programs put above what they repeat.
const HEADERS: [&str; 18] = [
    "From: Bob Example <bob@example.com>\nSent: Monday, January 5, 2026 10:15 AM\nTo: Ann Example <ann@example.com>\nSubject: Order 4711",
    "From: Bob Example\nDate: Monday, 5 January 2026 at 10:15\nTo: Ann Example, Carl Example,\n Dora Example <dora@example.com>\nCc: sales\nSubject: Order 4711",
    "*From:* Bob Example <bob@example.com>\n*Sent:* Monday, January 5, 2026 10:15 AM\n*To:* Ann\n*Subject:* Order 4711",
    "Von: Bob Beispiel <bob@example.com>\nGesendet: Montag, 5. Januar 2026 10:15\nAn: Ann\nBetreff: Bestellung",
    "De : Bob Exemple <bob@example.com>\nEnvoyé : lundi 5 janvier 2026 10:15\nÀ : Ann\nObjet : Commande",
    "De: Bob Ejemplo <bob@example.com>\nEnviado: lunes, 5 de enero de 2026 10:15\nPara: Ann\nAsunto: Pedido",
    "Da: Bob Esempio <bob@example.com>\nInviato: lunedì 5 gennaio 2026 10:15\nA: Ann\nOggetto: Ordine",
    "De: Bob Exemplo <bob@example.com>\nEnviada em: segunda-feira, 5 de janeiro de 2026 10:15\nPara: Ann\nAssunto: Pedido",
    "Van: Bob Voorbeeld <bob@example.com>\nVerzonden: maandag 5 januari 2026 10:15\nAan: Ann\nOnderwerp: Bestelling",
    "Från: Bob Exempel <bob@example.com>\nSkickat: den 5 januari 2026 10:15\nTill: Ann\nÄmne: Order",
    "Fra: Bob Eksempel <bob@example.com>\nSendt: 5. januar 2026 10:15\nTil: Ann\nEmne: Ordre",
    "Od: Bob Przykład <bob@example.com>\nWysłano: poniedziałek, 5 stycznia 2026 10:15\nDo: Ann\nTemat: Zamówienie",
    "От: Боб Пример <bob@example.com>\nОтправлено: 5 января 2026 г. 10:15\nКому: Ann\nТема: Заказ",
    "发件人: Bob <bob@example.com>\n发送时间: 2026年1月5日 10:15\n收件人: Ann\n主题: 订单",
    "差出人: Bob <bob@example.com>\n送信日時: 2026年1月5日 10:15\n宛先: Ann\n件名: 注文",
    "보낸 사람: Bob <bob@example.com>\n보낸 날짜: 2026년 1월 5일 월요일 10:15\n받는 사람: Ann\n제목: 주문",
    "من: Bob <bob@example.com>\nتم الإرسال: الاثنين، 5 يناير 2026 10:15\nإلى: Ann\nالموضوع: الطلب",
    "מאת: Bob <bob@example.com>\nנשלח: יום שני 5 ינואר 2026 10:15\nאל: Ann\nנושא: הזמנה",
];

#[test]
fn what_stands_below_the_headers_of_another_mail_is_folded() {
    for headers in HEADERS {
        for above in [
            "",
            "________________________________\n",
            "-----Original Message-----\n",
            "________________________________\r\n\r\n",
        ] {
            let text = format!("{ANSWER}\n\n{above}{headers}\n\nDoes it work?\n\nBob\n");
            assert_eq!(visible(&text), ANSWER, "{text}");
        }
    }
}

#[test]
fn a_mail_that_is_passed_on_is_visible_whole() {
    for headers in HEADERS {
        let text = format!("For you.\n\n{headers}\n\nDoes it work?\n\nBob");
        for subject in [
            "FW: Order",
            "Fwd: Order",
            "WG: Bestellung",
            "TR : Commande",
            "RV: Pedido",
            "转发：订单",
        ] {
            assert_eq!(titled(subject, &text), text);
        }
        let alone = format!("{headers}\n\nDoes it work?\n\nBob");
        assert_eq!(visible(&alone), alone);
    }
}

#[test]
fn what_a_mark_says_to_be_passed_on_is_visible_whole() {
    for mark in [
        "---------- Forwarded message ---------",
        "-------- Forwarded Message --------",
        "Begin forwarded message:",
        "-------- Weitergeleitete Nachricht --------",
        "Anfang der weitergeleiteten Nachricht:",
        "---------- Message transféré ---------",
        "Début du message réexpédié :",
        "---------- Mensaje reenviado ----------",
        "---------- Messaggio inoltrato ----------",
        "---------- Mensagem encaminhada ---------",
        "---------- Doorgestuurd bericht ----------",
        "---------- Vidarebefordrat meddelande ----------",
        "---------- Przekazana wiadomość ---------",
        "-------- Пересылаемое сообщение --------",
        "---------- 转发的邮件 ---------",
        "---------- 転送メッセージ ----------",
        "---------- 전달된 메시지 ----------",
        "---------- הודעה שהועברה ---------",
    ] {
        let text = format!(
            "For you.\n\n{mark}\nFrom: Bob <bob@example.com>\nDate: Mon, Jan 5, 2026 at 10:15 AM\nSubject: Order\nTo: Ann\n\nDoes it work?\n\n> It does."
        );
        assert_eq!(visible(&text), text);
    }
    let quoted = "For you.\n\n> Begin forwarded message:\n> \n> From: Bob <bob@example.com>\n> Subject: Order\n> \n> Well?";
    assert_eq!(visible(quoted), quoted);
}

#[test]
fn what_stands_below_the_mark_of_an_answer_is_folded() {
    for mark in [
        "-----Original Message-----",
        "-------- Original message --------",
        "------- Original Message -------",
        "-----Ursprüngliche Nachricht-----",
        "-----Message d'origine-----",
        "-----Message d\u{2019}origine-----",
        "-----Mensaje original-----",
        "-----Messaggio originale-----",
        "-----Mensagem original-----",
        "-----Oorspronkelijk bericht-----",
        "-----Ursprungligt meddelande-----",
        "-----Oprindelig meddelelse-----",
        "-----Wiadomość oryginalna-----",
        "-----Исходное сообщение-----",
        "------------------\u{a0}原始邮件\u{a0}------------------",
        "-----元のメッセージ-----",
        "-----원본 메시지-----",
        "-----الرسالة الأصلية-----",
        "-----הודעה מקורית-----",
        "----- Reply message -----",
        "-------- Original message --------From: Bob <bob@example.com> Date: 05/01/2026 10:15 To: Ann Subject: Order",
        "---- Replied Message ----",
        "##- Please type your reply above this line -##",
        "--- Reply ABOVE THIS LINE ---",
        "## Bitte antworten Sie oberhalb dieser Linie ##",
        "--- Veuillez répondre au-dessus de cette ligne ---",
        "--- Responda por encima de esta línea ---",
        "=== Ответьте выше этой линии ===",
        "--- この行より上に返信してください ---",
        "--- 请在此行上方回复 ---",
        "--- השב מעל שורה זו ---",
        "--- اكتب ردك فوق هذا السطر ---",
    ] {
        let text = format!("{ANSWER}\n\n{mark}\n\nDoes it work?\n\nBob\n");
        assert_eq!(visible(&text), ANSWER, "{text}");
    }
}
