//! What is counted of a message.

use super::*;

/// What a history is counted as.
fn counted(history: &[MessageEvent]) -> Vec<(&'static str, &'static str)> {
    let mut message = Message::default();
    let mut counted = Vec::new();
    for event in history {
        if let Some(ending) = message.ending(event) {
            assert_eq!(ending.channel, "sms");
            assert_eq!(ending.account, if message.attempt() == 0 { "-" } else { "AC0" });
            counted.push((ending.outcome, ending.class));
        }
        message = message.evolve(event);
    }
    counted
}

#[test]
fn a_message_is_counted_by_how_it_ends_and_once_as_sent() {
    let begun = [request().into(), attempted(1, 1)];
    let after = |events: &[MessageEvent]| counted(&[&begun[..], events].concat());
    assert_eq!(after(&[]), []);
    assert_eq!(after(&[sent(1), sent(1)]), [("sent", "-")]);
    assert_eq!(after(&[in_doubt(1), sent(1)]), [("in_doubt", "-"), ("sent", "-")]);
    assert_eq!(after(&[failed(1, Some(at(9)))]), [], "another attempt follows");
    let canceled = MessageCanceled { at: at(1) };
    assert_eq!(counted(&[request().into(), canceled.into()]), [("canceled", "-")]);
    let expire = MessageCommand::Expire { round_from: at(0), at: at(9) };
    let expired = given(&[request().into()]).when(expire).expect("it waits");
    let history = [&[request().into()][..], &expired].concat();
    assert_eq!(counted(&history), [("expired", "expired")]);
}
