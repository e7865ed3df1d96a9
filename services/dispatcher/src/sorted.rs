//! When the messages that wait for accounts are sorted again, and when those are let go that nobody here takes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use hatch_routing::RouteTable;
use tokio::time::Instant;
use uuid::Uuid;

use crate::account::Carriers;

/// Between two times that a tenant's waiting messages are sorted again because its accounts or routes are others.
const SORTED_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The first wait before messages are let go again that nobody here takes.
const NOBODYS_WAIT: Duration = Duration::from_secs(1);

/// By which accounts and routes the waiting messages are sorted, and when those are let go that nobody here takes:
/// another process may have what they wait for, and comes by them only so.
#[derive(Default)]
pub(crate) struct Sorted {
    /// None at first.
    by: Option<(Arc<Carriers>, RouteTable, NaiveDate)>,
    pub(crate) again: Again,
    wait: Duration,
    until: Option<Instant>,
}

impl Sorted {
    /// They are sorted again where other accounts or routes decide than before. At first that is everybody's: what was
    /// set while nobody looked may be otherwise. So it is on each new day, on which accounts have room that had none.
    pub(crate) fn go_by(
        &mut self,
        carriers: &Arc<Carriers>,
        routes: &RouteTable,
        today: NaiveDate,
    ) {
        let now = (Arc::clone(carriers), routes.clone(), today);
        let before = self.by.replace(now).filter(|(.., day)| *day == today);
        let Some((carriers_before, routes_before, _)) = before else {
            self.again.want(None);
            return;
        };
        if !Arc::ptr_eq(&carriers_before, carriers) {
            self.again.want(carriers.rerouted(&carriers_before));
        }
        let rerouted = routes.rerouted(&routes_before);
        self.again.want(rerouted.map(|tenants| tenants.into_iter().map(|one| one.0).collect()));
    }

    /// Whether they are let go now: later and later, up to `most`, as long as there are any.
    pub(crate) fn nobodys_go(&mut self, are_there: bool, most: Duration) -> bool {
        let now = Instant::now();
        if self.until.is_some_and(|until| until > now) {
            return false;
        }
        if are_there {
            self.wait = (self.wait * 2).max(NOBODYS_WAIT).min(most);
            self.until = Some(now + self.wait);
        } else if self.until.is_some_and(|until| until + self.wait <= now) {
            // None at one look are those that somebody looks at, and that come back.
            (self.wait, self.until) = (Duration::ZERO, None);
        }
        are_there
    }
}

/// Tenants whose waiting messages are sorted again, in turn; none of them is everybody.
#[derive(Default)]
pub(crate) struct Again {
    wanted: BTreeSet<Option<Uuid>>,
    begun: BTreeMap<Option<Uuid>, Instant>,
    /// With the message up to which it is done.
    walks: VecDeque<(Option<Uuid>, Uuid)>,
}

impl Again {
    /// Has those of these tenants sorted again; of everybody where none are named.
    fn want(&mut self, tenants: Option<Vec<Uuid>>) {
        match tenants {
            Some(tenants) => self.wanted.extend(tenants.into_iter().map(Some)),
            None => _ = self.wanted.insert(None),
        }
    }

    /// Whose turn it is, and behind which message. Each begins anew when it has ended, and not too often.
    pub(crate) fn next(&mut self) -> Option<(Option<Uuid>, Uuid)> {
        let Self { wanted, begun, walks } = self;
        let now = Instant::now();
        begun.retain(|_, at| now.duration_since(*at) < SORTED_AGAIN_AFTER);
        wanted.retain(|tenant| {
            let must_wait =
                begun.contains_key(tenant) || walks.iter().any(|(walking, _)| walking == tenant);
            if !must_wait {
                begun.insert(*tenant, now);
                walks.push_back((*tenant, Uuid::nil()));
            }
            must_wait
        });
        walks.front().copied()
    }

    /// The one whose turn it was goes on behind `after`, after the others; or has ended. Whether any goes on.
    pub(crate) fn go_on(&mut self, after: Option<Uuid>) -> bool {
        if let Some((tenant, _)) = self.walks.pop_front()
            && let Some(after) = after
        {
            self.walks.push_back((tenant, after));
        }
        !self.walks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use hatch_domain::ids::TenantId;
    use hatch_routing::{Route, RouteName};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_sorted_at_first_and_when_other_accounts_or_routes_decide() {
        let (mut sorted, carriers) = (Sorted::default(), Arc::new(Carriers::default()));
        let (routes, day) = (RouteTable::default(), NaiveDate::default());
        sorted.go_by(&carriers, &routes, day);
        assert_eq!(sorted.again.next(), Some((None, Uuid::nil())), "everybody's at first");
        assert!(!sorted.again.go_on(None));
        tokio::time::advance(SORTED_AGAIN_AFTER).await;
        sorted.go_by(&carriers, &RouteTable::new(Vec::new()), day);
        assert_eq!(sorted.again.next(), None, "the same routes");
        let route = Route {
            name: RouteName::new("one"),
            tenants: Some(vec![TenantId(Uuid::from_u128(1))]),
            channel: None,
            to: None,
            from: None,
            priority: None,
            accounts: Vec::new(),
            backup: Vec::new(),
        };
        let routes = RouteTable::new(vec![route]);
        sorted.go_by(&carriers, &routes, day);
        assert_eq!(sorted.again.next(), Some((Some(Uuid::from_u128(1)), Uuid::nil())));
        assert!(!sorted.again.go_on(None));
        sorted.go_by(&carriers, &routes, day.succ_opt().expect("a day"));
        assert_eq!(sorted.again.next(), Some((None, Uuid::nil())), "a new day");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_let_go_later_and_later_as_long_as_there_is_some() {
        const MOST: Duration = Duration::from_secs(30);
        let mut sorted = Sorted::default();
        assert!(!sorted.nobodys_go(false, MOST));
        assert!(sorted.nobodys_go(true, MOST), "at once");
        let mut waits = Vec::new();
        for _ in 0..7 {
            let begun = Instant::now();
            // While they are looked at, none is there.
            while !sorted.nobodys_go(begun.elapsed() > Duration::ZERO, MOST) {
                tokio::time::advance(Duration::from_millis(500)).await;
            }
            waits.push(begun.elapsed().as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        tokio::time::advance(MOST).await;
        assert!(!sorted.nobodys_go(false, MOST), "there are none any more");
        assert!(sorted.nobodys_go(true, MOST), "others, at once");
        tokio::time::advance(NOBODYS_WAIT).await;
        assert!(!sorted.nobodys_go(true, MOST), "they may be the same");
        tokio::time::advance(MOST * 2).await;
        assert!(!sorted.nobodys_go(false, MOST) && sorted.nobodys_go(true, MOST));
        tokio::time::advance(NOBODYS_WAIT).await;
        assert!(sorted.nobodys_go(true, MOST), "these are not");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_changes_accounts_all_the_time_is_sorted_seldom_and_in_turn() {
        let (one, other, last) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(9));
        let mut again = Again::default();
        assert_eq!(again.next(), None);
        again.want(Some(vec![one, other]));
        assert_eq!(again.next(), Some((Some(one), Uuid::nil())));
        assert!(again.go_on(Some(last)), "it has more");
        assert_eq!(again.next(), Some((Some(other), Uuid::nil())), "its turn");
        assert!(again.go_on(None), "the first goes on");
        again.want(Some(vec![one]));
        assert_eq!(again.next(), Some((Some(one), last)), "where it was");
        assert!(!again.go_on(None));
        assert_eq!(again.next(), None, "too soon");
        tokio::time::advance(SORTED_AGAIN_AFTER).await;
        assert_eq!(again.next(), Some((Some(one), Uuid::nil())), "from the beginning");
        again.want(None);
        assert_eq!(again.next(), Some((Some(one), Uuid::nil())));
        assert!(again.go_on(None));
        assert_eq!(again.next(), Some((None, Uuid::nil())), "everybody's");
    }
}
