//! What becomes of each recipient of a mail to several, and of the mail.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::due::Due;
use super::super::recipients::{OTHERS_MAX, Recipient, RecipientRole, Recipients};
use super::super::status::AttemptStatus;
use super::properties::disordered;
use super::*;
use crate::{Channel, Email};

const A: &str = "a@example.com";
const B: &str = "b@example.com";
const C: &str = "c@example.com";

fn mail(to: &[&str], cc: &[&str], bcc: &[&str]) -> MessageEvent {
    let all = |list: &[&str]| list.iter().map(|one| mailbox(one)).collect::<Vec<_>>();
    let email = Email { cc: all(cc), bcc: all(bcc), ..Email::default() };
    let email = Some(Box::new(email));
    let (channel, to) = (Channel::Email, all(to));
    MessageRequested { channel, to, email, from: mailbox("us@example.com"), ..request() }.into()
}

/// A mail that the provider took.
fn sent_mail(to: &[&str], cc: &[&str], bcc: &[&str]) -> Message {
    given(&[mail(to, cc, bcc), attempted(1, 1), sent(1)]).0
}

fn told(n: u32, recipient: &str, outcome: ReceiptOutcome) -> MessageCommand {
    let recipient = Some(mailbox(recipient));
    RecordReceipt { recipient, ..receipt(n, outcome) }.into()
}

fn delivered() -> ReceiptOutcome {
    ReceiptOutcome::Delivered
}

fn bounced() -> ReceiptOutcome {
    ReceiptOutcome::Bounced(error(true))
}

fn dropped() -> ReceiptOutcome {
    ReceiptOutcome::Failed(error(true))
}

fn after(message: Message, told: &[MessageCommand]) -> Message {
    told.iter().fold(message, |message, command| execute(message, command).0)
}

fn statuses(message: &Message) -> Vec<(&str, Status)> {
    message.recipients().iter().map(|one| (one.address.as_str(), one.status)).collect()
}

#[test]
fn the_status_of_a_mail_to_several_follows_from_what_became_of_each() {
    use ReceiptOutcome::Read;
    use Status as S;
    let cases: [(&[(&str, ReceiptOutcome)], Status); 13] = [
        (&[], S::Sent),
        (&[(A, delivered())], S::Sent),
        (&[(A, bounced())], S::Sent),
        (&[(A, delivered()), (B, delivered())], S::Sent),
        (&[(A, delivered()), (B, delivered()), (C, delivered())], S::Delivered),
        (&[(A, Read), (B, Read), (C, delivered())], S::Delivered),
        (&[(A, Read), (B, Read), (C, Read)], S::Read),
        (&[(A, delivered()), (B, bounced())], S::PartlyDelivered),
        (&[(B, bounced()), (A, delivered())], S::PartlyDelivered),
        (&[(A, Read), (B, dropped()), (C, Read)], S::PartlyDelivered),
        (&[(A, bounced()), (B, bounced()), (C, dropped())], S::Undelivered),
        (&[(A, dropped()), (B, dropped()), (C, dropped())], S::Failed),
        (
            &[(A, delivered()), (B, delivered()), (C, delivered()), (C, bounced())],
            S::PartlyDelivered,
        ),
    ];
    for (said, expected) in cases {
        let said: Vec<_> = said.iter().map(|(who, what)| told(1, who, what.clone())).collect();
        let message = after(sent_mail(&[A], &[B], &[C]), &said);
        assert_eq!(message.status(), expected, "{said:#?}");
    }
}

#[test]
fn each_recipient_is_known_by_its_address_once_and_by_how_the_mail_names_it() {
    let message = sent_mail(&[A, "B@Example.com"], &[B, C], &["A@EXAMPLE.com", "d@example.com"]);
    let named: Vec<_> =
        message.recipients().iter().map(|one| (one.address.to_string(), one.role)).collect();
    use RecipientRole::{Bcc, Cc, To};
    let expected = [(A, To), ("B@example.com", To), (C, Cc), ("d@example.com", Bcc)];
    assert_eq!(named, expected.map(|(address, role)| (address.to_owned(), role)));
    let events = message.decide(&told(1, "b@EXAMPLE.com", delivered())).expect("accepted");
    assert_eq!(events[0].recipient(), Some(&mailbox("B@example.com")), "as the mail has it");
    assert!(sent_mail(&[A], &["A@example.com"], &[]).recipients().is_empty(), "it is to one");
}

#[test]
fn a_bounce_outdoes_a_delivery_in_either_order() {
    for said in [[delivered(), bounced()], [bounced(), delivered()]] {
        let single = said.clone().map(|outcome| receipt(1, outcome).into());
        assert_eq!(after(sent_mail(&[A], &[], &[]), &single).status(), Status::Undelivered);
        let one = said.map(|outcome| told(1, A, outcome));
        let message = after(sent_mail(&[A, B], &[], &[]), &one);
        assert_eq!(statuses(&message), [(A, Status::Undelivered), (B, Status::Sent)]);
    }
    let delivered = after(sent_mail(&[A], &[], &[]), &[receipt(1, delivered()).into()]);
    let events = delivered.decide(&receipt(1, bounced()).into()).expect("accepted");
    let [MessageEvent::MessageUndelivered(event)] = &events[..] else { panic!("{events:?}") };
    assert!(event.bounced && event.recipient.is_none(), "{event:?}");
    assert_eq!(event.error, error(true));
    let back = Given(events.iter().fold(delivered, Message::evolve));
    for late in [ReceiptOutcome::Delivered, ReceiptOutcome::Read, dropped(), bounced()] {
        assert_eq!(back.when(receipt(1, late.clone())), Ok(Vec::new()), "{late:?}");
    }
    assert_eq!(
        names(&back.when(MessageCommand::Retry { at: at(9) }).expect("it may")),
        ["RetryRequested"]
    );
}

#[test]
fn what_a_carrier_says_of_a_phone_is_outdone_by_a_delivery_as_ever() {
    let undelivered = ReceiptOutcome::Undelivered(error(true));
    for said in [[delivered(), undelivered.clone()], [undelivered, delivered()]] {
        let is_sent = given(&[request().into(), attempted(1, 1), sent(1)]).0;
        let said = said.map(|outcome| receipt(1, outcome).into());
        assert_eq!(after(is_sent, &said).status(), Status::Delivered);
    }
}

#[test]
fn a_bounce_of_one_attempt_takes_nothing_from_another() {
    let retried = [
        mail(&[A], &[], &[]),
        attempted(1, 1),
        in_doubt(1),
        failed(1, Some(at(2))),
        attempted(2, 2),
        sent(2),
    ];
    let message = given(&retried).0;
    for said in [[(1, delivered()), (2, bounced())], [(2, bounced()), (1, delivered())]] {
        let said = said.map(|(n, outcome)| receipt(n, outcome).into());
        assert_eq!(after(message.clone(), &said).status(), Status::Delivered);
    }
    let late = after(message, &[receipt(1, bounced()).into()]);
    assert_eq!(late.status(), Status::Sent, "of an attempt that is over");
}

#[test]
fn what_is_said_of_the_only_recipient_is_said_of_the_message() {
    let single = Given(sent_mail(&[A], &[], &[]));
    for who in [A, "alias@example.com"] {
        let events = single.when(told(1, who, delivered())).expect("accepted");
        let [MessageEvent::MessageDelivered(event)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(event.recipient, None);
    }
}

#[test]
fn what_is_said_of_nobody_is_said_of_all() {
    let message = sent_mail(&[A, B], &[], &[]);
    let whole = after(message, &[receipt(1, delivered()).into()]);
    assert_eq!(whole.status(), Status::Delivered);
    assert_eq!(statuses(&whole), [(A, Status::Delivered), (B, Status::Delivered)]);
    let one = after(whole, &[told(1, B, bounced())]);
    assert_eq!(one.status(), Status::PartlyDelivered);
    assert_eq!(one.recipients().error(), Some(&error(true)));
}

#[test]
fn what_is_said_of_one_says_that_the_provider_took_the_mail() {
    for (said, first) in [(delivered(), Status::Delivered), (bounced(), Status::Undelivered)] {
        for doubtful in [false, true] {
            let mut history = vec![mail(&[A, B], &[], &[]), attempted(1, 1)];
            history.extend(doubtful.then(|| in_doubt(1)));
            let message = after(given(&history).0, &[told(1, A, said.clone())]);
            assert_eq!(statuses(&message), [(A, first), (B, Status::Sent)]);
            let (_, events) = execute(message.clone(), &outcome(1, accepted()).into());
            assert_eq!(names(&events), ["MessageSent"], "its name at the provider is news");
            let expired = MessageCommand::ExpireLease { at: at(99) };
            assert_eq!(message.decide(&expired), Ok(Vec::new()), "nobody is waited for");
        }
    }
}

#[test]
fn a_message_that_is_with_some_is_not_tried_again() {
    let partly = Given(after(
        sent_mail(&[A, B], &[], &[]),
        &[told(1, A, delivered()), told(1, B, bounced())],
    ));
    let again = partly.when(MessageCommand::Retry { at: at(9) });
    assert_eq!(again, Err(MessageRejection::NotRetryable(Status::PartlyDelivered)));
}

#[test]
fn another_round_begins_afresh_for_each() {
    let back = after(
        sent_mail(&[A, B], &[], &[]),
        &[told(1, A, bounced()), told(1, B, bounced()), told(1, "member@example.com", bounced())],
    );
    assert_eq!(back.recipients().iter().count(), 3);
    let again = after(back, &[MessageCommand::Retry { at: at(9) }, start(2, 9).into()]);
    assert_eq!(statuses(&again), [(A, Status::Sending), (B, Status::Sending)]);
    let late = after(again.clone(), &[told(1, A, delivered()), told(1, B, bounced())]);
    assert_eq!(late.status(), Status::Sending, "the first round came back");
    let arrived = after(again, &[told(2, A, delivered()), told(2, B, delivered())]);
    assert_eq!(arrived.status(), Status::Delivered);
}

#[test]
fn whom_the_mail_does_not_name_is_told_of_as_well_up_to_a_limit() {
    let mut message = sent_mail(&[A, B], &[], &[]);
    for n in 0..OTHERS_MAX + 5 {
        let who = format!("member{n}@example.com");
        message = after(message, &[told(1, &who, bounced())]);
    }
    let others = message.recipients().iter().filter(|one| one.role == RecipientRole::Other);
    assert_eq!(others.count(), OTHERS_MAX);
    assert_eq!(message.status(), Status::Sent, "it is not over for those whom it names");
    let arrived = after(message, &[told(1, A, delivered()), told(1, B, delivered())]);
    assert_eq!(arrived.status(), Status::PartlyDelivered);
}

#[test]
fn complaints_and_unsubscribes_are_events_once_and_no_status() {
    let complaint = || ReceiptOutcome::Complained("spamreport".to_owned());
    let unsubscribe = || ReceiptOutcome::Unsubscribed("group_unsubscribe".to_owned());
    for to in [&[A][..], &[A, B]] {
        let message = after(sent_mail(to, &[], &[]), &[told(1, A, delivered())]);
        let before = message.status();
        let (message, events) = execute(message, &told(1, A, complaint()));
        let [MessageEvent::RecipientComplained(event)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((&event.recipient, event.reason.as_str()), (&mailbox(A), "spamreport"));
        assert_eq!(events[0].due(), Due::Settled { attempt: 0 });
        let (message, events) = execute(message, &told(1, A, unsubscribe()));
        assert_eq!(names(&events), ["RecipientUnsubscribed"]);
        for repeat in [complaint(), unsubscribe()] {
            assert_eq!(message.decide(&told(1, A, repeat)), Ok(Vec::new()));
        }
        assert_eq!(message.status(), before);
        let one = message.recipients().find(&mailbox(A)).expect("it said something");
        assert_eq!((one.complained_at, one.unsubscribed_at), (Some(at(3)), Some(at(3))));
        let back = after(message, &[told(1, A, bounced())]);
        let expected = if to.len() > 1 { Status::Sent } else { Status::Undelivered };
        assert_eq!(back.status(), expected);
    }
    let several = sent_mail(&[A, B], &[], &[]);
    let nobodys = several.decide(&told(1, C, complaint()));
    assert_eq!(nobodys, Err(MessageRejection::NoSuchRecipient));
    let nameless = several.decide(&receipt(1, complaint()).into());
    assert_eq!(nameless, Err(MessageRejection::NoSuchRecipient));
}

#[test]
fn a_mail_to_several_is_counted_once_by_how_it_ends() {
    let counted = |said: &[(&str, ReceiptOutcome)]| {
        let mut message = sent_mail(&[A, B], &[], &[]);
        let mut counted = Vec::new();
        for (who, what) in said {
            for event in message.decide(&told(1, who, what.clone())).expect("accepted") {
                counted.extend(message.ending(&event).map(|ending| ending.outcome));
                message = message.evolve(&event);
            }
        }
        counted
    };
    assert_eq!(counted(&[(A, delivered())]), Vec::<&str>::new());
    assert_eq!(counted(&[(A, delivered()), (B, ReceiptOutcome::Read)]), ["delivered"]);
    let read = [(A, ReceiptOutcome::Read), (B, delivered()), (B, ReceiptOutcome::Read)];
    assert_eq!(counted(&read), ["delivered"]);
    assert_eq!(counted(&[(A, bounced()), (B, delivered())]), ["partly_delivered"]);
    assert_eq!(counted(&[(A, bounced()), (B, bounced())]), ["undelivered"]);
}

#[test]
fn what_is_kept_of_recipients_is_read_as_it_was_written() {
    let message =
        after(sent_mail(&[A], &[B], &[]), &[told(1, A, delivered()), told(1, B, bounced())]);
    let written = serde_json::to_value(message.recipients()).expect("JSON");
    let expected = serde_json::json!([
        {"address": A, "status": "delivered", "at": written[0]["at"]},
        {"address": B, "role": "cc", "status": "undelivered", "at": written[1]["at"],
            "error": {"code": "21211", "detail": "invalid To", "permanent": true}},
    ]);
    assert_eq!(written, expected);
    let read: Recipients = serde_json::from_value(written).expect("readable");
    assert_eq!(&read, message.recipients());
    let found = read.find(&mailbox("B@Example.com"));
    assert_eq!(found.map(|one| one.address.as_str()), Some(B), "however it is written");
    // What a read model keeps goes on as the decider does.
    let progress = AttemptStatus { status: message.status(), attempt: message.attempt() };
    let retried = message.decide(&told(1, B, dropped())).expect("accepted");
    let mut kept = read;
    let folded = retried.iter().fold(progress, |progress, event| kept.after(progress, event));
    assert_eq!(folded.status, message.status());
}

fn any_said() -> impl Strategy<Value = (Option<&'static str>, ReceiptOutcome)> {
    let who = prop_oneof![Just(A), Just(B), Just(C), Just("member@example.com")];
    let what = prop_oneof![
        Just(ReceiptOutcome::Delivered),
        Just(ReceiptOutcome::Read),
        Just(ReceiptOutcome::Undelivered(error(true))),
        Just(ReceiptOutcome::Bounced(error(true))),
        Just(ReceiptOutcome::Failed(error(true))),
    ];
    let wish = prop_oneof![
        Just(ReceiptOutcome::Complained("spamreport".to_owned())),
        Just(ReceiptOutcome::Unsubscribed("unsubscribe".to_owned())),
    ];
    let named = prop_oneof![Just(A), Just(B), Just(C)];
    prop_oneof![
        8 => (who.prop_map(Some), what),
        2 => (named.prop_map(Some), wish),
        1 => Just((None, ReceiptOutcome::Sent)),
    ]
}

/// What is known of each, without whose word came first.
fn known(message: &Message) -> Vec<(String, Status, bool, bool)> {
    let one = |one: &Recipient| {
        let wishes = (one.complained_at.is_some(), one.unsubscribed_at.is_some());
        (one.address.to_string(), one.status, wishes.0, wishes.1)
    };
    let mut all: Vec<_> = message.recipients().iter().map(one).collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all
}

proptest! {
    #[test]
    fn what_is_said_of_several_in_any_order_and_number_comes_to_the_same(
        said in prop::collection::vec(any_said(), 1..10),
        order in prop::collection::vec(any::<Index>(), 0..20),
        overtaken in any::<bool>(),
    ) {
        let history = [mail(&[A], &[B], &[C]), attempted(1, 1), sent(1)];
        let history = if overtaken { &history[..2] } else { &history[..] };
        let play = |said: &[(Option<&str>, ReceiptOutcome)]| {
            let said = said.iter().map(|(who, what)| {
                let recipient = who.map(mailbox);
                RecordReceipt { recipient, ..receipt(1, what.clone()) }.into()
            });
            let message = after(given(history).0, &said.collect::<Vec<MessageCommand>>());
            (message.status(), known(&message))
        };
        prop_assert_eq!(play(&disordered(&said, &order)), play(&said));
    }

    #[test]
    fn what_is_said_of_the_only_one_in_any_order_and_number_comes_to_the_same(
        said in prop::collection::vec(any_said(), 1..6),
        order in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let play = |said: &[(Option<&str>, ReceiptOutcome)]| {
            let said = said.iter().map(|(_, what)| receipt(1, what.clone()).into());
            after(sent_mail(&[A], &[], &[]), &said.collect::<Vec<MessageCommand>>()).status()
        };
        prop_assert_eq!(play(&disordered(&said, &order)), play(&said));
    }

    #[test]
    fn the_read_models_fold_is_the_deciders(
        said in prop::collection::vec((1..3_u32, any_said()), 0..12),
    ) {
        let begun = [mail(&[A], &[B], &[C]), attempted(1, 1), failed(1, Some(at(2))), attempted(2, 2)];
        let mut message = given(&begun).0;
        let (mut kept, mut progress) = (Recipients::default(), AttemptStatus::default());
        for event in &begun {
            progress = kept.after(progress, event);
        }
        for (n, (who, what)) in said {
            let recipient = who.map(mailbox);
            let command = RecordReceipt { recipient, ..receipt(n, what) }.into();
            for event in message.decide(&command).unwrap_or_default() {
                let foretold = kept.status_by(progress, &event);
                progress = kept.after(progress, &event);
                if event.recipient().is_some() {
                    prop_assert_eq!(foretold, progress.status);
                }
                message = message.evolve(&event);
            }
            prop_assert_eq!(progress.status, message.status());
            prop_assert_eq!(&kept, message.recipients());
        }
    }
}
