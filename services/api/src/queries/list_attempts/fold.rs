//! The attempts of a message by what its events say. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::message::Message;
use hatch_domain::message::event::{MessageEvent, Resolution};
use hatch_domain::{AccountChoice, Decider as _, SendError};
use serde::Serialize;
use utoipa::ToSchema;

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AttemptOutcome)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It was claimed, and nothing more is known yet.
    Sending,
    /// The provider took the message.
    Sent,
    /// The message was surely not sent by it: the provider refused the message or the account, or was not reached.
    NotSent,
    /// Nobody knows whether it sent the message.
    InDoubt,
    /// No call was made, and it counts for none.
    Abandoned,
}

/// An attempt as the log has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MadeAttempt {
    pub(super) attempt: u32,
    pub(super) round: u32,
    pub(super) provider: String,
    pub(super) account: String,
    pub(super) choice: Option<AccountChoice>,
    pub(super) claimed_at: DateTime<Utc>,
    /// From when it was due until it was claimed.
    pub(super) queued: TimeDelta,
    pub(super) outcome: Outcome,
    pub(super) error: Option<SendError>,
    pub(super) detail: Option<String>,
    pub(super) provider_message_id: Option<String>,
}

/// The attempts that `events`, the stream of a message, tell of, the oldest first.
pub(super) fn attempts_of(events: &[MessageEvent]) -> Vec<MadeAttempt> {
    let (mut message, mut round, mut attempts) = (Message::default(), 1_u32, Vec::new());
    for event in events {
        match event {
            MessageEvent::RetryRequested(_) => round = round.saturating_add(1),
            MessageEvent::SendAttempted(e) => attempts.push(MadeAttempt {
                attempt: e.attempt,
                round,
                provider: e.provider.clone(),
                account: e.account.clone(),
                choice: e.choice.clone(),
                claimed_at: e.at,
                queued: message.attempt_due().map_or(TimeDelta::zero(), |due| e.at - due),
                outcome: Outcome::Sending,
                error: None,
                detail: None,
                provider_message_id: None,
            }),
            _ => tell(&mut attempts, event),
        }
        message = message.evolve(event);
    }
    attempts
}

/// What a later event says of an attempt.
fn tell(attempts: &mut [MadeAttempt], event: &MessageEvent) {
    use MessageEvent as E;
    let number = match event {
        E::MessageSent(e) => e.attempt,
        E::MessageDelivered(e) => e.attempt,
        E::MessageRead(e) => e.attempt,
        E::MessageUndelivered(e) => e.attempt,
        // What we decide ourselves, the events before it say of the attempt.
        E::MessageFailed(e) if e.receipt_id.is_some() => e.attempt,
        E::SendFailed(e) => e.attempt,
        E::SendInDoubt(e) => e.attempt,
        E::DoubtResolved(e) => e.attempt,
        E::AttemptAbandoned(e) => e.attempt,
        _ => return,
    };
    let Some(attempt) = attempts.iter_mut().find(|one| one.attempt == number) else { return };
    match event {
        E::MessageSent(e) => attempt.took(Some(&e.provider_message_id)),
        E::MessageDelivered(e) => attempt.took(Some(&e.provider_message_id)),
        E::MessageRead(e) => attempt.took(Some(&e.provider_message_id)),
        E::MessageUndelivered(e) => {
            attempt.took(Some(&e.provider_message_id));
            attempt.lost(&e.error, e.recipient.is_some());
        }
        E::MessageFailed(e) => {
            attempt.took(None);
            attempt.lost(&e.error, e.recipient.is_some());
        }
        E::DoubtResolved(e) if e.resolution == Resolution::Sent => {
            attempt.took(None);
            attempt.detail = Some(e.reason.clone());
        }
        E::SendFailed(e) => {
            let outcome = if e.is_unknown() { Outcome::InDoubt } else { Outcome::NotSent };
            attempt.failed(outcome, Some(&e.error));
        }
        E::AttemptAbandoned(e) => match &e.error {
            // It was called, and its provider refused the account.
            Some(error) => attempt.failed(Outcome::NotSent, Some(error)),
            None => {
                attempt.failed(Outcome::Abandoned, None);
                attempt.detail.clone_from(&e.reason);
            }
        },
        E::SendInDoubt(e) => {
            attempt.outcome = Outcome::InDoubt;
            attempt.detail = Some(e.detail.clone());
        }
        _ => {}
    }
}

impl MadeAttempt {
    /// The provider has it, whatever was held of it before.
    fn took(&mut self, called: Option<&str>) {
        (self.outcome, self.error, self.detail) = (Outcome::Sent, None, None);
        if let Some(called) = called {
            self.provider_message_id = Some(called.to_owned());
        }
    }

    /// It took it and did not bring it: to one recipient of several, the others have it.
    fn lost(&mut self, error: &SendError, is_of_one: bool) {
        if !is_of_one {
            (self.error, self.detail) = (Some(error.clone()), Some(error.detail.clone()));
        }
    }

    fn failed(&mut self, outcome: Outcome, error: Option<&SendError>) {
        self.outcome = outcome;
        self.error = error.cloned();
        self.detail = error.map(|error| error.detail.clone());
    }
}

#[cfg(test)]
mod tests {
    use hatch_domain::ErrorClass;
    use hatch_domain::message::event::{
        AttemptAbandoned, DoubtResolved, MessageFailed, MessageSent, RetryRequested, SendAttempted,
        SendFailed, SendInDoubt,
    };
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
    }

    fn attempted(attempt: u32, second: i64) -> MessageEvent {
        SendAttempted {
            attempt,
            provider: "twilio".to_owned(),
            account: "AC0".to_owned(),
            choice: None,
            token: None,
            call_before: at(second + 5),
            lease_until: at(second + 10),
            at: at(second),
        }
        .into()
    }

    fn failed(attempt: u32, retry_at: Option<i64>) -> MessageEvent {
        let error = SendError {
            code: "30008".to_owned(),
            class: ErrorClass::Unreachable,
            detail: "unknown".to_owned(),
            permanent: false,
        };
        SendFailed { attempt, error, retry_at: retry_at.map(at), at: at(3) }.into()
    }

    fn requested() -> MessageEvent {
        hatch_domain::testing::request(at(0)).into()
    }

    #[test]
    fn each_attempt_has_its_round_its_wait_and_what_came_of_it() {
        let doubt = SendInDoubt { attempt: 2, detail: "no answer".to_owned(), at: at(12) };
        let provider_message_id = "SM3".to_owned();
        let sent = MessageSent { attempt: 3, provider_message_id, segments: None, at: at(33) };
        let attempts = attempts_of(&[
            requested(),
            attempted(1, 2),
            failed(1, Some(10)),
            attempted(2, 11),
            doubt.into(),
            failed(2, None),
            RetryRequested { at: at(30) }.into(),
            attempted(3, 32),
            sent.into(),
        ]);
        let told: Vec<_> = attempts
            .iter()
            .map(|one| (one.attempt, one.round, one.queued.num_seconds(), one.outcome))
            .collect();
        let expected =
            [(1, 1, 2, Outcome::NotSent), (2, 1, 1, Outcome::NotSent), (3, 2, 2, Outcome::Sent)];
        assert_eq!(told, expected);
        assert_eq!(attempts[0].error.as_ref().map(|error| error.code.as_str()), Some("30008"));
        assert_eq!(attempts[2].provider_message_id.as_deref(), Some("SM3"));
        assert_eq!((&attempts[2].error, &attempts[2].detail), (&None, &None));
    }

    #[test]
    fn only_an_attempt_without_a_call_is_abandoned() {
        let refusal = SendError {
            code: "20003".to_owned(),
            class: ErrorClass::Account,
            detail: "Authenticate".to_owned(),
            permanent: false,
        };
        let told = |reason: &str, error: Option<&SendError>| {
            let (reason, error) = (Some(reason.to_owned()), error.cloned());
            let (retry_at, expires_at) = (at(9), None);
            let abandoned =
                AttemptAbandoned { attempt: 1, reason, retry_at, error, expires_at, at: at(3) };
            let attempts = attempts_of(&[requested(), attempted(1, 2), abandoned.into()]);
            let [attempt] = <[MadeAttempt; 1]>::try_from(attempts).expect("one attempt");
            (attempt.outcome, attempt.error, attempt.detail)
        };
        let lacking = told("files", None);
        assert_eq!(lacking, (Outcome::Abandoned, None, Some("files".to_owned())));
        let answered = told("account_credentials", Some(&refusal));
        let detail = Some("Authenticate".to_owned());
        assert_eq!(answered, (Outcome::NotSent, Some(refusal), detail));
    }

    #[test]
    fn a_persons_word_is_what_an_attempt_was_until_a_receipt_says_more() {
        let doubt = SendInDoubt { attempt: 1, detail: "no answer".to_owned(), at: at(12) };
        let resolution = Resolution::Sent;
        let reason = "seen in their console".to_owned();
        let resolved = DoubtResolved { attempt: 1, resolution, reason, at: at(40) };
        let mut events = vec![requested(), attempted(1, 2), doubt.into()];
        assert_eq!(attempts_of(&events)[0].outcome, Outcome::InDoubt);
        events.push(resolved.into());
        let attempts = attempts_of(&events);
        let [attempt] = &attempts[..] else { panic!("one attempt") };
        assert_eq!(attempt.outcome, Outcome::Sent);
        assert_eq!(attempt.detail.as_deref(), Some("seen in their console"));
    }

    #[test]
    fn a_receipt_that_says_failed_ends_a_doubt_and_says_why() {
        let doubt = SendInDoubt { attempt: 1, detail: "no answer".to_owned(), at: at(12) };
        let error = SendError {
            code: "30003".to_owned(),
            class: ErrorClass::Unreachable,
            detail: "unreachable".to_owned(),
            permanent: true,
        };
        let failed = |receipt_id| MessageFailed {
            attempt: 1,
            error: error.clone(),
            receipt_id,
            recipient: None,
            at: at(20),
        };
        let events = [requested(), attempted(1, 2), doubt.into()];
        let by = |last: MessageFailed| attempts_of(&[&events[..], &[last.into()]].concat());
        let told = by(failed(Some(Uuid::from_u128(1))));
        assert_eq!(told[0].outcome, Outcome::Sent);
        assert_eq!(told[0].error.as_ref().map(|error| error.code.as_str()), Some("30003"));
        assert_eq!(by(failed(None))[0].outcome, Outcome::InDoubt, "nothing of the attempt");
    }

    #[test]
    fn what_is_sent_again_without_knowing_stays_in_doubt() {
        let doubt = || SendInDoubt { attempt: 1, detail: "no answer".to_owned(), at: at(12) };
        for (code, outcome) in [
            ("in_doubt", Outcome::InDoubt),
            ("resolved_resend", Outcome::InDoubt),
            ("resolved_not_sent", Outcome::NotSent),
            ("not_found", Outcome::NotSent),
        ] {
            let error = SendError {
                code: code.to_owned(),
                class: ErrorClass::Other,
                detail: "x".to_owned(),
                permanent: false,
            };
            let failed = SendFailed { attempt: 1, error, retry_at: Some(at(20)), at: at(20) };
            let events = [requested(), attempted(1, 2), doubt().into(), failed.into()];
            assert_eq!(attempts_of(&events)[0].outcome, outcome, "{code}");
        }
    }
}
