//! How the subjects of mails open that programs write.

/// Characters of a subject that are looked at.
const CHARACTERS_MAX: usize = 200;

/// What the opening of a subject says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// It is the whole subject, or a colon follows it, as programs write it.
    AutoReply,
    /// It goes on like a sentence, as a person may write it.
    MaybeAutoReply,
    /// Another mail did not arrive.
    Bounce,
}

/// Openings of automatic replies, in lower case.
const AUTO_REPLIES: &[&str] = &[
    // English
    "automatic reply",
    "automated reply",
    "automatic response",
    "automated response",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "auto-response",
    "out of office autoreply",
    "out of office reply",
    "out of office",
    "out of the office",
    "out-of-office",
    "ooo",
    "vacation reply",
    "away from my mail",
    // German
    "automatische antwort",
    "abwesenheitsnotiz",
    "abwesenheitsmeldung",
    "abwesenheitsassistent",
    "automatische abwesenheitsnotiz",
    // French
    "réponse automatique",
    "reponse automatique",
    "absence du bureau",
    // Spanish
    "respuesta automática",
    "respuesta automatica",
    "fuera de la oficina",
    // Italian
    "risposta automatica",
    "fuori sede",
    // Portuguese
    "resposta automática",
    "resposta automatica",
    "fora do escritório",
    // Dutch
    "automatisch antwoord",
    "afwezigheidsmelding",
    // Swedish, Danish, Norwegian
    "autosvar",
    "automatiskt svar",
    "automatisk svar",
    "frånvaro",
    // Finnish
    "automaattinen vastaus",
    // Polish
    "autoodpowiedź",
    "automatyczna odpowiedź",
    "odpowiedź automatyczna",
    // Czech, Slovak, Hungarian, Turkish
    "automatická odpověď",
    "automatická odpoveď",
    "automatikus válasz",
    "otomatik yanıt",
    // Russian, Ukrainian
    "автоматический ответ",
    "автоответ",
    "автоматична відповідь",
    // Japanese, Chinese, Korean
    "自動応答",
    "自動返信",
    "自动回复",
    "自动答复",
    "自動回覆",
    "자동 회신",
    "자동 응답",
    "자동회신",
    // Arabic, Hebrew
    "رد تلقائي",
    "תשובה אוטומטית",
    "מענה אוטומטי",
];

/// Openings of bounces, in lower case.
const BOUNCES: &[&str] = &[
    "undelivered mail returned to sender",
    "undeliverable",
    "undelivered",
    "delivery status notification",
    "delivery failure",
    "delivery has failed",
    "delivery delayed",
    "mail delivery failed",
    "mail delivery failure",
    "mail delivery error",
    "mail system error",
    "message delivery failure",
    "message not delivered",
    "message you sent was undeliverable",
    "failure notice",
    "failure delivery",
    "returned mail",
    "returned to sender",
    "warning: could not send message",
    "warning: message",
    "delayed mail",
    "non delivery report",
    "non-delivery report",
    "nondeliverable mail",
    "unzustellbar",
    "nicht zustellbar",
    "zustellung fehlgeschlagen",
    "non remis",
    "non distribuable",
    "échec de remise",
    "no se puede entregar",
    "no entregable",
    "non recapitabile",
    "mancato recapito",
    "não entregue",
    "não é possível entregar",
    "onbestelbaar",
    "niet bezorgd",
    "kan inte levereras",
    "går ej att leverera",
    "kan ikke leveres",
    "toimittaminen ei onnistu",
    "nie można dostarczyć",
    "niedostarczone",
    "nedoručitelné",
    "kézbesíthetetlen",
    "teslim edilemedi",
    "не доставлено",
    "недоставленное сообщение",
    "配信不能",
    "未配信",
    "送信できませんでした",
    "系统退信",
    "退信",
    "无法投递",
    "傳遞失敗",
    "未傳遞",
    "배달되지 않음",
    "배달할 수 없음",
];

/// What the opening of a subject says; none where it is like that of any other mail.
pub(super) fn opening(subject: &str) -> Option<Opening> {
    let lower: String = subject.chars().take(CHARACTERS_MAX).flat_map(char::to_lowercase).collect();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let line = words.join(" ");
    let Some((tag, rest)) = tagged(&line) else { return of(&line) };
    // A gateway's tag such as `[EXTERNAL]` stands before it, or it is a tag itself.
    of(tag).filter(|opening| *opening != Opening::MaybeAutoReply).or_else(|| of(rest))
}

fn of(line: &str) -> Option<Opening> {
    if BOUNCES.iter().any(|opening| line.starts_with(opening)) {
        return Some(Opening::Bounce);
    }
    let rests = AUTO_REPLIES.iter().filter_map(|opening| line.strip_prefix(opening));
    let mut found = None;
    for rest in rests {
        match rest.trim_start().chars().next() {
            None | Some(':' | '：') => return Some(Opening::AutoReply),
            // Another word that only begins alike, in a script that has spaces between words.
            Some(_) if rest.starts_with(|c: char| c.is_alphanumeric() && c < '\u{2e80}') => {}
            Some(_) => found = Some(Opening::MaybeAutoReply),
        }
    }
    found
}

/// A tag in brackets at the beginning, and what follows it.
fn tagged(line: &str) -> Option<(&str, &str)> {
    let mut characters = line.chars();
    let closing = match characters.next()? {
        '[' => ']',
        '(' => ')',
        '【' => '】',
        _ => return None,
    };
    let (tag, rest) = characters.as_str().split_once(closing)?;
    Some((tag.trim(), rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_is_one_in_every_language() {
        for (subject, opening) in [
            ("Automatic reply: Your order", Some(Opening::AutoReply)),
            ("AUTOMATIC   REPLY: x", Some(Opening::AutoReply)),
            ("Out of Office", Some(Opening::AutoReply)),
            ("Out of Office AutoReply: x", Some(Opening::AutoReply)),
            ("Abwesenheitsnotiz", Some(Opening::AutoReply)),
            ("Automatische Antwort: Ihre Bestellung", Some(Opening::AutoReply)),
            ("Réponse automatique : Commande", Some(Opening::AutoReply)),
            ("Respuesta automática: Pedido", Some(Opening::AutoReply)),
            ("Risposta automatica: Ordine", Some(Opening::AutoReply)),
            ("Resposta automática: Pedido", Some(Opening::AutoReply)),
            ("Automatisch antwoord: Bestelling", Some(Opening::AutoReply)),
            ("Autosvar: Ordre", Some(Opening::AutoReply)),
            ("Automaattinen vastaus: Tilaus", Some(Opening::AutoReply)),
            ("Automatická odpověď: Objednávka", Some(Opening::AutoReply)),
            ("Autoodpowiedź: Zamówienie", Some(Opening::AutoReply)),
            ("自動応答: 注文", Some(Opening::AutoReply)),
            ("【自動返信】お問い合わせ", Some(Opening::AutoReply)),
            ("自动回复：订单", Some(Opening::AutoReply)),
            ("자동 회신: 주문", Some(Opening::AutoReply)),
            ("[EXTERNAL] Automatic reply: x", Some(Opening::AutoReply)),
            ("Undelivered Mail Returned to Sender", Some(Opening::Bounce)),
            ("Delivery Status Notification (Failure)", Some(Opening::Bounce)),
            ("Mail delivery failed: returning message to sender", Some(Opening::Bounce)),
            ("Unzustellbar: Bestellung", Some(Opening::Bounce)),
            ("Non remis : Commande", Some(Opening::Bounce)),
            ("系统退信", Some(Opening::Bounce)),
            // As people write.
            ("Out of office next week, who covers?", Some(Opening::MaybeAutoReply)),
            ("Automatic reply does not work", Some(Opening::MaybeAutoReply)),
            ("Re: Automatic reply: Your order", None),
            ("Fwd: Undelivered Mail Returned to Sender", None),
            ("Autosvaret virker ikke", None),
            ("[Ticket 7] Printer", None),
            ("[", None),
            ("", None),
        ] {
            assert_eq!(super::opening(subject), opening, "{subject}");
        }
    }
}
