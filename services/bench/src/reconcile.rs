//! The reconciliation: every request of the benchmark against the log, the read model and the
//! simulator's own record.

use std::collections::{HashMap, HashSet};

use hatch_domain::message::status::Status;
use serde::Serialize;
use uuid::Uuid;

/// What is known of a message, by everybody but the one who sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The request that the log says it was asked for by.
    pub(crate) request: Option<u64>,
    /// Whether the log says that the provider took it.
    pub(crate) sent: bool,
    /// Where the read model says that it stands.
    pub(crate) shown: Option<Standing>,
    /// How often the simulator took it.
    pub(crate) taken: u32,
}

impl Trace {
    /// Whether everybody has the message of request `n` who should.
    fn keeps(&self, n: u64) -> bool {
        self.request == Some(n) && self.shown.is_some() && !self.vanished()
    }

    /// Whether it was sent, and never taken.
    fn vanished(&self) -> bool {
        self.sent && self.taken == 0
    }
}

/// Where a message stands, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is to be done something about.
    Open,
    /// Nobody knows whether it was sent, and that is known.
    InDoubt,
    /// It came to its end.
    Final,
}

impl Standing {
    /// What a status of the read model means; one that this build does not know is open.
    pub(crate) fn of(status: &str) -> Self {
        use Status as S;
        match S::ALL.into_iter().find(|known| known.as_str() == status) {
            Some(S::Delivered | S::Read | S::Undelivered | S::Failed | S::Canceled) => Self::Final,
            Some(S::InDoubt) => Self::InDoubt,
            _ => Self::Open,
        }
    }
}

/// How many messages there is something wrong with. The names are those of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Reconciliation {
    /// Accepted, but missing in the log or in the read model; or sent, says the log, but the
    /// simulator never took it.
    pub(crate) lost: u64,
    /// In the log again under the same key, or taken again by the simulator.
    pub(crate) doubled: u64,
    /// Neither final nor in doubt.
    pub(crate) stuck: u64,
    /// In doubt, which is no violation.
    pub(crate) in_doubt: u64,
}

impl Reconciliation {
    /// Holds the requests that were accepted, with the messages' ids, against what is known of all
    /// messages of the benchmark.
    pub(crate) fn of(accepted: &[(u64, Uuid)], traces: &HashMap<Uuid, Trace>) -> Self {
        let mut found = Self::default();
        let mut answered = HashSet::with_capacity(accepted.len());
        for (n, id) in accepted {
            let kept = traces.get(id).is_some_and(|trace| trace.keeps(*n));
            found.lost += u64::from(!kept);
            answered.insert(*id);
        }
        let mut requests: HashMap<u64, u64> = HashMap::new();
        for (id, trace) in traces {
            found.lost += u64::from(trace.vanished() && !answered.contains(id));
            found.doubled += u64::from(trace.taken.saturating_sub(1));
            match trace.shown {
                Some(Standing::Open) => found.stuck += 1,
                Some(Standing::InDoubt) => found.in_doubt += 1,
                Some(Standing::Final) | None => {}
            }
            if let Some(n) = trace.request {
                *requests.entry(n).or_default() += 1;
            }
        }
        found.doubled += requests.values().map(|messages| messages - 1).sum::<u64>();
        found
    }

    /// Whether no message is lost, doubled or stuck.
    pub(crate) fn is_sound(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.stuck == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(1);
    const TWIN: Uuid = Uuid::from_u128(2);
    const GOOD: Trace =
        Trace { request: Some(7), sent: true, shown: Some(Standing::Final), taken: 1 };

    /// What the reconciliation finds of request 7, which was answered with [`ID`].
    #[track_caller]
    fn given<const N: usize>(traces: [(Uuid, Trace); N]) -> Reconciliation {
        Reconciliation::of(&[(7, ID)], &traces.into())
    }

    fn lost(lost: u64) -> Reconciliation {
        Reconciliation { lost, ..Reconciliation::default() }
    }

    #[test]
    fn a_message_that_everybody_tells_of_alike_is_sound() {
        let found = given([(ID, GOOD)]);
        assert_eq!(found, Reconciliation::default());
        assert!(found.is_sound());
    }

    #[test]
    fn an_accepted_message_that_log_or_read_model_or_provider_lacks_is_lost_once() {
        assert_eq!(given([]), lost(1), "nobody has it");
        assert_eq!(given([(ID, Trace { request: None, sent: false, ..GOOD })]), lost(1));
        assert_eq!(given([(ID, Trace { request: Some(8), ..GOOD })]), lost(1), "another request's");
        assert_eq!(given([(ID, Trace { shown: None, ..GOOD })]), lost(1));
        assert_eq!(given([(ID, Trace { taken: 0, ..GOOD })]), lost(1));
        assert_eq!(given([(ID, Trace { shown: None, taken: 0, ..GOOD })]), lost(1), "not twice");
        assert!(!lost(1).is_sound());
    }

    #[test]
    fn what_failed_before_it_reached_the_provider_is_not_lost() {
        let failed = Trace { sent: false, taken: 0, ..GOOD };
        assert!(given([(ID, failed)]).is_sound());
    }

    #[test]
    fn a_key_with_two_messages_and_a_message_that_was_taken_twice_are_doubled() {
        let twice = Reconciliation { doubled: 1, ..Reconciliation::default() };
        assert_eq!(given([(ID, GOOD), (TWIN, GOOD)]), twice);
        assert_eq!(given([(ID, Trace { taken: 2, ..GOOD })]), twice);
        assert!(!twice.is_sound());
    }

    #[test]
    fn what_is_open_after_the_wait_is_stuck_and_what_is_in_doubt_is_only_counted() {
        let open = given([(ID, Trace { shown: Some(Standing::Open), ..GOOD })]);
        assert_eq!(open, Reconciliation { stuck: 1, ..Reconciliation::default() });
        assert!(!open.is_sound());
        let doubt = Trace { shown: Some(Standing::InDoubt), sent: false, ..GOOD };
        let doubt = given([(ID, doubt)]);
        assert_eq!(doubt, Reconciliation { in_doubt: 1, ..Reconciliation::default() });
        assert!(doubt.is_sound());
    }

    #[test]
    fn a_message_whose_answer_never_came_is_looked_after_too() {
        let stuck = Trace { request: Some(9), shown: Some(Standing::Open), ..GOOD };
        assert_eq!(given([(ID, GOOD), (TWIN, stuck)]).stuck, 1);
        let vanished = Trace { request: Some(9), taken: 0, ..GOOD };
        assert_eq!(given([(ID, GOOD), (TWIN, vanished)]), lost(1));
    }

    #[test]
    fn statuses_that_are_ends_are_the_ones_of_the_domain() {
        let standing = |status: Status| Standing::of(status.as_str());
        assert_eq!(standing(Status::Delivered), Standing::Final);
        assert_eq!(standing(Status::Failed), Standing::Final);
        assert_eq!(standing(Status::InDoubt), Standing::InDoubt);
        assert_eq!(standing(Status::Sent), Standing::Open);
        assert_eq!(Standing::of("of a later build"), Standing::Open);
    }
}
