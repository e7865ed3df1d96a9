//! Sums up a webhook in one outcome and one sentence. Pure.

use hatch_domain::consent::words::Confirmed;
use hatch_domain::ids::MessageId;
use hatch_readmodel::{WaitingReceipt, WebhookOutcome as Outcome};

use super::matching::KeptReceipt;
use super::meaning::Decision;

/// Counts what became of the observations of one webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary {
    applied: usize,
    duplicate: usize,
    ignored: usize,
    /// The words that get no answer, because they had theirs lately.
    unanswered: Vec<Confirmed>,
    /// About nothing that is known.
    refused: usize,
    /// What is to be said of the first of those, and of others that are not as usual.
    reason: Option<String>,
    waiting: usize,
    /// What the first of those calls its message.
    waits_for: Option<String>,
}

impl Summary {
    /// An observation changes nothing by itself.
    pub(super) const fn ignored(&mut self) {
        self.ignored += 1;
    }

    /// A mail of ours came back: there is a message of it.
    pub(super) fn own(&mut self, id: MessageId) {
        self.ignored += 1;
        self.reason.get_or_insert_with(|| format!("it is our own mail, of the message {id}"));
    }

    /// A stream has decided on an observation.
    pub(super) fn decided(&mut self, decision: Decision) {
        match decision {
            Decision::Known => self.duplicate += 1,
            Decision::Events => self.applied += 1,
            Decision::Unanswered(word) => {
                self.applied += 1;
                self.unanswered.push(word);
                let word = word.as_str();
                self.reason.get_or_insert_with(|| {
                    format!("no answer to {word}: the number has had its answers to this word")
                });
            }
            Decision::Refused(reason) => {
                self.refused += 1;
                self.reason.get_or_insert(reason);
            }
        }
    }

    /// The words that get no answer.
    pub(super) fn unanswered(&self) -> &[Confirmed] {
        &self.unanswered
    }

    /// One of several observations cannot be read.
    pub(super) fn unclear(&mut self, reason: &str) {
        self.refused += 1;
        self.reason.get_or_insert_with(|| reason.to_owned());
    }

    /// An observation waits for its message.
    pub(super) fn waits(&mut self, receipt: &KeptReceipt) {
        self.waiting += 1;
        self.waits_for.get_or_insert_with(|| receipt.provider_message_id.clone());
    }

    /// The outcome: the one that most wants attention.
    pub(super) const fn outcome(&self) -> Outcome {
        if self.refused + self.waiting > 0 {
            Outcome::Quarantined
        } else if self.applied > 0 {
            Outcome::Applied
        } else if self.duplicate > 0 {
            Outcome::Duplicate
        } else {
            Outcome::Ignored
        }
    }

    /// Why it is what it is, and with several observations how many came to what.
    pub(super) fn detail(&self) -> Option<String> {
        let reason = match (&self.reason, &self.waits_for) {
            (Some(reason), _) => Some(reason.clone()),
            (None, Some(name)) => {
                let reason = WaitingReceipt::REASON;
                Some(format!("{reason}: no message is known by the provider's name {name} yet"))
            }
            (None, None) => None,
        };
        let counts = [
            (self.applied, "applied"),
            (self.duplicate, "duplicate"),
            (self.ignored, "ignored"),
            (self.refused, "refused"),
            (self.waiting, "waiting"),
        ];
        let total: usize = counts.iter().map(|(count, _)| count).sum();
        let counted = (total > 1).then(|| {
            let counts = counts.into_iter().filter(|(count, _)| *count > 0);
            counts.map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        });
        let parts: Vec<String> = reason.into_iter().chain(counted).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use hatch_domain::message::command::{MessageRejection, ReceiptOutcome};
    use uuid::Uuid;

    use super::*;

    fn receipt() -> KeptReceipt {
        KeptReceipt::new("AC1".into(), "SM1".into(), Uuid::nil(), ReceiptOutcome::Delivered)
    }

    #[test]
    fn a_webhook_that_says_nothing_is_ignored() {
        let summary = Summary::default();
        assert_eq!((summary.outcome(), summary.detail()), (Outcome::Ignored, None));
    }

    #[test]
    fn a_mail_of_ours_that_came_back_is_ignored_and_named() {
        let mut summary = Summary::default();
        summary.own(MessageId(Uuid::nil()));
        assert_eq!(summary.outcome(), Outcome::Ignored);
        let detail = summary.detail().expect("a reason");
        assert!(
            detail.ends_with("of the message 00000000-0000-0000-0000-000000000000"),
            "{detail}"
        );
    }

    #[test]
    fn a_word_that_gets_no_answer_is_applied_and_named() {
        let mut summary = Summary::default();
        summary.decided(Decision::Unanswered(Confirmed::Help));
        assert_eq!(
            (summary.outcome(), summary.unanswered()),
            (Outcome::Applied, &[Confirmed::Help][..])
        );
        let detail = summary.detail().expect("a reason");
        assert_eq!(detail, "no answer to help: the number has had its answers to this word");
    }

    #[test]
    fn one_observation_needs_no_counting() {
        let mut summary = Summary::default();
        summary.decided(Decision::of(Ok(1)));
        assert_eq!((summary.outcome(), summary.detail()), (Outcome::Applied, None));
    }

    #[test]
    fn what_exists_already_and_what_changes_nothing_are_duplicates() {
        for decision in [Ok(0), Err(MessageRejection::Exists)] {
            let mut summary = Summary::default();
            summary.decided(Decision::of(decision));
            assert_eq!(summary.outcome(), Outcome::Duplicate);
        }
    }

    #[test]
    fn only_waiting_alone_is_said_to_be_waiting() {
        let mut summary = Summary::default();
        summary.decided(Decision::of(Ok(1)));
        summary.waits(&receipt());
        assert_eq!(summary.outcome(), Outcome::Quarantined);
        let detail = summary.detail().expect("a reason");
        assert!(detail.starts_with(WaitingReceipt::REASON), "{detail}");
        assert!(detail.ends_with("1 applied, 1 waiting"), "{detail}");

        summary.decided(Decision::of(Err(MessageRejection::Unknown)));
        let detail = summary.detail().expect("a reason");
        assert!(detail.starts_with("there is no such message"), "{detail}");
    }
}
