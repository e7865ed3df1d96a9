//! What holds of every history, command and order of receipts.

use proptest::prelude::*;
use proptest::sample::Index;

use super::written::every_event;
use super::*;

/// The event with another attempt number and, for claims, that attempt's token.
fn renumbered(event: MessageEvent, n: u32) -> MessageEvent {
    use MessageEvent as E;
    match event {
        E::SendAttempted(e) => SendAttempted { attempt: n, token: Some(token(n)), ..e }.into(),
        E::MessageSent(e) => MessageSent { attempt: n, ..e }.into(),
        E::SendFailed(e) => SendFailed { attempt: n, ..e }.into(),
        E::SendInDoubt(e) => SendInDoubt { attempt: n, ..e }.into(),
        E::AttemptAbandoned(e) => AttemptAbandoned { attempt: n, ..e }.into(),
        E::MessageFailed(e) => MessageFailed { attempt: n, ..e }.into(),
        E::MessageDelivered(e) => MessageDelivered { attempt: n, ..e }.into(),
        E::MessageUndelivered(e) => MessageUndelivered { attempt: n, ..e }.into(),
        E::MessageRead(e) => MessageRead { attempt: n, ..e }.into(),
        E::DoubtResolved(e) => DoubtResolved { attempt: n, ..e }.into(),
        E::RecipientComplained(e) => RecipientComplained { attempt: n, ..e }.into(),
        E::RecipientUnsubscribed(e) => RecipientUnsubscribed { attempt: n, ..e }.into(),
        other @ (E::MessageRequested(_)
        | E::MessageReceived(_)
        | E::MessageCanceled(_)
        | E::MessageDeferred(_)
        | E::RetryRequested(_)
        | E::MessageReread(_)
        | E::MessageJoinedConversation(_)) => other,
    }
}

fn any_event() -> impl Strategy<Value = MessageEvent> {
    let number = prop_oneof![0..5_u32, Just(u32::MAX)];
    (any::<Index>(), number).prop_map(|(pick, n)| renumbered(pick.get(&every_event()).clone(), n))
}

fn any_receipt_outcome() -> impl Strategy<Value = ReceiptOutcome> {
    prop_oneof![
        Just(ReceiptOutcome::Sent),
        Just(ReceiptOutcome::Delivered),
        Just(ReceiptOutcome::Read),
        Just(ReceiptOutcome::Undelivered(error(true))),
        Just(ReceiptOutcome::Failed(error(true))),
    ]
}

/// What only a provider of mail says.
fn any_word_of_mail() -> impl Strategy<Value = ReceiptOutcome> {
    prop_oneof![
        Just(ReceiptOutcome::Bounced(error(true))),
        Just(ReceiptOutcome::Complained("spamreport".to_owned())),
        Just(ReceiptOutcome::Unsubscribed("unsubscribe".to_owned())),
    ]
}

/// `list` in another order, some of it twice.
pub(super) fn disordered<T: Clone>(list: &[T], order: &[Index]) -> Vec<T> {
    let mut shuffled = list.to_vec();
    shuffled.extend(order.iter().map(|index| index.get(list).clone()));
    for (place, index) in order.iter().enumerate() {
        let other = index.index(shuffled.len());
        shuffled.swap(place % list.len(), other);
    }
    shuffled
}

fn any_command() -> impl Strategy<Value = MessageCommand> {
    let number = 1..4_u32;
    let outcomes = prop_oneof![
        Just(accepted()),
        Just(AttemptOutcome::NotSent { error: error(true), retry_at: None }),
        Just(AttemptOutcome::NotSent { error: error(false), retry_at: Some(at(5)) }),
        Just(AttemptOutcome::Unknown { detail: "timeout".to_owned() }),
        Just(abandoned_until(5)),
    ];
    prop_oneof![
        Just(MessageCommand::Request(request().into())),
        Just(MessageCommand::Receive(inbound())),
        Just(MessageCommand::Reread { message: Box::new(inbound()), at: at(9) }),
        Just(MessageCommand::Reread { message: Box::new(reread()), at: at(9) }),
        Just(MessageCommand::Expire { round_from: at(0), at: at(9) }),
        Just(MessageCommand::Refuse { error: error(true), at: at(9) }),
        (1..99_u32, 0..12_i64).prop_map(|(n, second)| start(n, second).into()),
        (number.clone(), 1..99_u32, outcomes).prop_map(|(n, holder, o)| {
            RecordOutcome { token: token(holder), ..outcome(n, o) }.into()
        }),
        (number.clone(), any_receipt_outcome()).prop_map(|(n, o)| receipt(n, o).into()),
        (number.clone(), any_word_of_mail()).prop_map(|(n, o)| receipt(n, o).into()),
        (0..20_i64).prop_map(|second| MessageCommand::Cancel { at: at(second) }),
        (0..20_i64).prop_map(|second| MessageCommand::Retry { at: at(second) }),
        (0..20_i64).prop_map(|second| MessageCommand::ExpireLease { at: at(second) }),
        (0..20_i64).prop_map(defer_until),
        (number, any::<bool>()).prop_map(|(n, sent)| settle(n, sent).into()),
        prop::sample::select(Resolution::ALL.to_vec()).prop_map(|said| resolve(said).into()),
    ]
}

proptest! {
    #[test]
    fn receipts_in_any_order_and_number_end_in_the_same_status(
        receipts in prop::collection::vec((1..3_u32, any_receipt_outcome()), 1..6),
        order in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let history = [
            request().into(), attempted(1, 1), failed(1, Some(at(2))), attempted(2, 2), sent(2),
        ];
        let play = |list: &[(u32, ReceiptOutcome)]| {
            list.iter().fold(given(&history).0, |message, (n, o)| {
                execute(message, &receipt(*n, o.clone()).into()).0
            }).status()
        };
        prop_assert_eq!(play(&disordered(&receipts, &order)), play(&receipts));
    }

    #[test]
    fn no_sequence_of_commands_starts_one_attempt_twice(
        commands in prop::collection::vec(any_command(), 0..40),
    ) {
        let first = execute(Message::default(), &MessageCommand::Request(request().into())).0;
        let mut started = Vec::new();
        let mut message = first;
        for command in &commands {
            let (next, events) = execute(message, command);
            started.extend(events.iter().filter_map(|event| match event {
                MessageEvent::SendAttempted(e) => Some(e.attempt),
                _ => None,
            }));
            message = next;
        }
        let expected: Vec<u32> = (1..).take(started.len()).collect();
        prop_assert_eq!(started, expected, "numbered from 1, each once");
    }

    #[test]
    fn only_attempts_that_were_made_count_within_a_round(
        commands in prop::collection::vec(any_command(), 0..60),
    ) {
        let mut message = execute(Message::default(), &MessageCommand::Request(request().into())).0;
        let mut counted = std::collections::BTreeSet::new();
        for command in &commands {
            let (next, events) = execute(message, command);
            for event in &events {
                match event {
                    MessageEvent::SendAttempted(e) => drop(counted.insert(e.attempt)),
                    MessageEvent::AttemptAbandoned(e) => drop(counted.remove(&e.attempt)),
                    MessageEvent::RetryRequested(_) => counted.clear(),
                    _ => {}
                }
            }
            message = next;
            prop_assert_eq!(message.attempt_in_round() as usize, counted.len());
        }
    }

    #[test]
    fn no_history_makes_decide_or_evolve_panic(
        history in prop::collection::vec(any_event(), 0..30),
        commands in prop::collection::vec(any_command(), 1..5),
    ) {
        let message = given(&history).0;
        for command in &commands {
            let _ = execute(message.clone(), command);
        }
    }

    #[test]
    fn what_is_not_final_is_due_at_some_time(
        commands in prop::collection::vec(any_command(), 0..30),
    ) {
        use super::due::Due;

        let mut message = execute(Message::default(), &MessageCommand::Request(request().into())).0;
        let mut due = Some((0, at(0)));
        for command in &commands {
            let (next, events) = execute(message, command);
            for event in &events {
                due = match (event.due(), due) {
                    // What speaks of the next attempt is settled by no earlier one.
                    (Due::At { attempt, at }, _) => Some((attempt.unwrap_or(u32::MAX), at)),
                    (Due::Settled { attempt }, Some((held, _))) if attempt >= held => None,
                    (Due::Settled { .. }, held) => held,
                    (Due::Over, _) => None,
                };
            }
            message = next;
        }
        let waits = matches!(
            message.status(),
            Status::Scheduled | Status::Queued | Status::Sending | Status::Retrying | Status::InDoubt
        );
        prop_assert!(!waits || due.is_some(), "{:?} is due at no time", message.status());
    }

    #[test]
    fn a_command_decided_twice_in_a_row_adds_nothing_the_second_time(
        history in prop::collection::vec(any_command(), 0..20),
        command in any_command(),
    ) {
        let message = history.iter().fold(
            execute(Message::default(), &MessageCommand::Request(request().into())).0,
            |message, command| execute(message, command).0,
        );
        let (once, _) = execute(message, &command);
        let (_, again) = execute(once, &command);
        prop_assert_eq!(names(&again), Vec::<&str>::new());
    }
}
