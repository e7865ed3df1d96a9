//! Which of several candidates a message goes by, as they are: that alone, and nothing of routes.

use std::cmp::Ordering;

use hatch_domain::account_name::AccountName;

use crate::plan::Tier;
use crate::state::{Availability, Busy};

/// An account of the route that decides.
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'a AccountName,
    pub(crate) tier: Tier,
    pub(crate) weight: u16,
    /// How it is; none where it does not take the message.
    pub(crate) availability: Option<&'a Availability>,
    /// How often it was tried.
    pub(crate) tried: usize,
    pub(crate) score: f64,
}

/// Which of two comes first: the one that was tried less often, then a primary, then the one that drew more.
pub(crate) fn in_turn(one: &Candidate<'_>, other: &Candidate<'_>) -> Ordering {
    let tried = one.tried.cmp(&other.tried);
    let tier = one.tier.cmp(&other.tier);
    tried.then(tier).then_with(|| match one.tier {
        Tier::Primary => other.score.total_cmp(&one.score),
        Tier::Backup => Ordering::Equal,
    })
}

impl Candidate<'_> {
    /// Whether a message like this is ever given to it.
    pub(crate) fn takes_part(&self) -> bool {
        self.availability.is_some() && (self.tier == Tier::Backup || self.weight > 0)
    }

    fn is_ready(&self) -> bool {
        self.takes_part() && self.availability == Some(&Availability::Ready)
    }

    fn is_busy(&self) -> bool {
        self.takes_part() && matches!(self.availability, Some(Availability::Busy { .. }))
    }

    /// Whether nothing is given to it, as long as it does not work.
    pub(crate) fn is_open(&self) -> bool {
        self.takes_part() && matches!(self.availability, Some(Availability::Open { .. }))
    }

    /// Whether it is a primary that has room, and was tried more often than that one.
    fn is_again(&self, than: &Self) -> bool {
        self.tier == Tier::Primary && self.tried > than.tried && self.is_ready()
    }

    /// Whether it has room tomorrow at the earliest.
    fn is_used_up(&self) -> bool {
        matches!(self.availability, Some(Availability::Busy { why: Busy::DailyCap, .. }))
    }
}

/// What was chosen of the candidates, by their place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// This one.
    Takes(usize),
    /// None yet: these have no room, and nobody else may carry it meanwhile.
    Waits(Vec<usize>),
    /// None: it waits for one to which nothing is given now.
    Closed,
    /// None carries it.
    Nobody,
}

impl Chosen {
    /// Goes through the candidates in their order, the ones that were tried as often together.
    pub(crate) fn of(candidates: &[Candidate<'_>]) -> Self {
        let mut place = 0;
        while let Some(first) = candidates.get(place) {
            let rank = |one: &Candidate<'_>| (one.tier, one.tried);
            let beside = candidates[place..].iter().take_while(|one| rank(one) == rank(first));
            let end = place + beside.count();
            let among = place..end;
            let ready = among.clone().find(|at| candidates[*at].is_ready());
            let busy: Vec<usize> = among.filter(|at| candidates[*at].is_busy()).collect();
            let today = busy.iter().copied().find(|at| !candidates[*at].is_used_up());
            // Nobody waits until tomorrow while a primary may take it that was tried.
            let is_again = |at: &usize| candidates[*at].is_again(first);
            let again = (end..candidates.len()).find(is_again).filter(|_| today.is_none());
            let may_open = candidates.iter().any(|one| one.is_open() && one.tier <= first.tier);
            match (first.tier, ready, busy.first(), again) {
                // A primary with room helps out one without. A backup does not, and backups come one after the other.
                (Tier::Backup, Some(ready), Some(_), _) if today.is_some_and(|at| at < ready) => {
                    return Self::Waits(today.into_iter().collect());
                }
                (_, Some(ready), ..) => return Self::Takes(ready),
                (_, None, Some(_), Some(again)) => return Self::Takes(again),
                // Nor while one is open, which may work again before.
                (_, None, Some(_), None) if today.is_none() && may_open => return Self::Closed,
                (Tier::Primary, None, Some(_), None) => return Self::Waits(busy),
                (_, None, Some(at), None) => return Self::Waits(vec![today.unwrap_or(*at)]),
                (_, None, None, _) => place = end,
            }
        }
        let carries = candidates.iter().any(Candidate::takes_part);
        if carries { Self::Closed } else { Self::Nobody }
    }
}
