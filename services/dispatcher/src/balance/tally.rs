//! What becomes of attempts, counted in memory: by account, channel and country. Nothing waits for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hatch_domain::account_name::AccountName;
use hatch_domain::message::command::AttemptOutcome;
use hatch_domain::message::event::MessageRequested;
use hatch_domain::{Channel, ErrorClass, SendError};
use hatch_routing::balance::{Figures, country_of};

/// Kinds of messages that are counted apart, between two writes. What is beyond is not counted.
const PLACES_MAX: usize = 4_096;

/// The messages that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) account: AccountName,
    pub(crate) channel: Channel,
    pub(crate) country: Option<u16>,
}

/// What was counted since it was written last.
#[derive(Debug, Default)]
pub(crate) struct Tallies(Mutex<HashMap<Place, Figures>>);

impl Tallies {
    /// Counts what became of an attempt by `account`.
    pub(crate) fn note(
        &self,
        account: &AccountName,
        request: &MessageRequested,
        outcome: &AttemptOutcome,
    ) {
        let seen = seen(outcome);
        if request.test || seen == Figures::default() {
            return;
        }
        let to = request.to.first().map_or("", |to| to.as_str());
        let country = country_of(request.channel, to);
        let place = Place { account: account.clone(), channel: request.channel, country };
        self.add(place, seen);
    }

    fn add(&self, place: Place, seen: Figures) {
        let mut all = self.all();
        if all.len() >= PLACES_MAX && !all.contains_key(&place) {
            return;
        }
        let figures = all.entry(place).or_default();
        *figures = figures.and(seen);
    }

    /// Takes out what there is.
    pub(crate) fn take(&self) -> HashMap<Place, Figures> {
        std::mem::take(&mut *self.all())
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back(&self, taken: HashMap<Place, Figures>) {
        for (place, seen) in taken {
            self.add(place, seen);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Place, Figures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an outcome says of the account. One that is the message's own is none of the account's failures.
fn seen(outcome: &AttemptOutcome) -> Figures {
    let known = |failed: bool| Figures { attempts: 1, failed: failed.into(), ..Figures::default() };
    match outcome {
        AttemptOutcome::Accepted { .. } => known(false),
        AttemptOutcome::NotSent { error, .. } => known(is_of_account(error)),
        AttemptOutcome::AccountRefused { .. } => known(true),
        AttemptOutcome::Unknown { .. } => Figures { in_doubt: 1, ..Figures::default() },
        // No call was made.
        AttemptOutcome::Abandoned { .. } => Figures::default(),
    }
}

/// Whether the account, or the way to its provider, kept a message from being sent.
const fn is_of_account(error: &SendError) -> bool {
    matches!(error.class, ErrorClass::Account | ErrorClass::Unreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_counts_against_the_account_only_where_it_is_the_accounts() {
        let error = |class| SendError {
            code: "1".to_owned(),
            class,
            detail: "no".to_owned(),
            permanent: false,
        };
        let not_sent = |class| AttemptOutcome::NotSent { error: error(class), retry_at: None };
        for class in ErrorClass::ALL {
            let is_failure = matches!(class, ErrorClass::Account | ErrorClass::Unreachable);
            let seen = seen(&not_sent(class));
            assert_eq!((seen.attempts, seen.failed), (1, u64::from(is_failure)), "{class:?}");
        }
        let unknown = seen(&AttemptOutcome::Unknown { detail: "no answer".to_owned() });
        assert_eq!(unknown, Figures { in_doubt: 1, ..Figures::default() });
        let accepted =
            AttemptOutcome::Accepted { provider_message_id: "SM1".to_owned(), segments: None };
        assert_eq!(seen(&accepted), Figures { attempts: 1, ..Figures::default() });
    }

    #[test]
    fn what_was_not_written_is_counted_on() {
        let tallies = Tallies::default();
        let place = |n: usize| Place {
            account: format!("account-{n}").parse().expect("a name"),
            channel: Channel::Sms,
            country: Some(44),
        };
        let one = Figures { attempts: 1, ..Figures::default() };
        tallies.add(place(0), one);
        let taken = tallies.take();
        assert!(tallies.take().is_empty());
        tallies.add(place(0), one);
        tallies.put_back(taken);
        assert_eq!(tallies.take()[&place(0)].attempts, 2);
        for n in 0..PLACES_MAX + 5 {
            tallies.add(place(n), one);
        }
        assert_eq!(tallies.take().len(), PLACES_MAX);
    }
}
