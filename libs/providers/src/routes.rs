//! The routes that there are now, and the one place where it is planned by which account a message goes.

use hatch_domain::Priority;
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::carrier::Shift;
use hatch_routing::balance::Shifts;
use hatch_routing::{AccountState, Asked, Availability, Plan, Route, RouteTable, likeliest, plan};
use tokio::sync::watch;

use crate::account::{Account, Wanted};

/// A handle to the routes that there are now: the whole table is replaced at once, and all clones see it.
#[derive(Debug, Clone)]
pub struct Routes(watch::Sender<RouteTable>);

impl Default for Routes {
    fn default() -> Self {
        Self::new(RouteTable::default())
    }
}

impl Routes {
    /// A handle to these routes.
    #[must_use]
    pub fn new(table: RouteTable) -> Self {
        Self(watch::Sender::new(table))
    }

    /// Those that there are now.
    #[must_use]
    pub fn current(&self) -> RouteTable {
        self.0.borrow().clone()
    }

    /// From now on there are these, and no others.
    pub fn replace(&self, table: RouteTable) {
        self.0.send_replace(table);
    }
}

/// How an account is, as far as somebody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountHealth {
    /// Whether a message can be given to it now.
    pub availability: Availability,
    /// Its weight as the balance has it, in place of the route's.
    pub weight: Option<u16>,
}

impl AccountHealth {
    /// That of an account of which nothing is known: it is ready.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { availability: Availability::Ready, weight: None }
    }
}

/// What is asked of routes and accounts.
#[derive(Debug, Clone, Copy)]
pub struct RouteQuestion<'a> {
    /// What an account has to take.
    pub wanted: Wanted<'a>,
    /// Whom the message is to: of several the first.
    pub to: &'a Address,
    /// Which of two waiting messages goes first.
    pub priority: Priority,
    /// The only account that may carry it, where its request says so.
    pub account: Option<&'a AccountName>,
    /// The accounts by which attempts of this round surely did not send it.
    pub tried: &'a [AccountName],
    /// What weights choose by ([`hatch_routing::seed`]); none of a message that is not there yet.
    pub seed: Option<u64>,
}

impl<'a> RouteQuestion<'a> {
    /// The same for a plan.
    fn asked(&self, seed: u64) -> Asked<'a> {
        let Self { wanted, to, priority, account, .. } = *self;
        let (tenant, channel, from) = (wanted.tenant, wanted.channel, wanted.from);
        Asked { tenant, channel, from, to, priority, account, seed }
    }

    /// The accounts that the deciding route names; none where all count.
    #[must_use]
    pub fn named(&self, table: &RouteTable) -> Option<Vec<AccountName>> {
        if let Some(account) = self.account {
            return Some(vec![account.clone()]);
        }
        let route = table.first_that_fits(&self.asked(0))?;
        Some(route.names().cloned().collect())
    }

    /// The shift of weights that holds for this message; none where the weights of its route hold.
    #[must_use]
    pub fn shift<'s>(&self, table: &RouteTable, shifts: &'s Shifts) -> Option<&'s Shift> {
        if shifts.is_empty() || self.account.is_some() {
            return None;
        }
        let asked = self.asked(0);
        shifts.for_message(table.first_that_fits(&asked)?, &asked)
    }
}

/// By which account a message goes. Only those count that take it ([`Account::takes`]): so no test reaches a live
/// account, whatever a route says.
#[must_use]
pub fn route<A: AsRef<Account>>(
    question: &RouteQuestion<'_>,
    table: &RouteTable,
    accounts: &[A],
    health: impl Fn(&Account) -> AccountHealth,
) -> Plan {
    let takes =
        accounts.iter().map(AsRef::as_ref).filter(|account| account.takes(&question.wanted));
    let states: Vec<AccountState<'_>> = takes
        .map(|account| {
            let AccountHealth { availability, weight } = health(account);
            AccountState { name: &account.name, availability, weight }
        })
        .collect();
    route_among(question, table, &states)
}

/// As [`route`], among accounts that are known to take the message.
///
/// A route none of whose accounts takes tests says nothing of them: they go by the accounts that do, as if no route
/// fitted.
#[must_use]
pub fn route_among(
    question: &RouteQuestion<'_>,
    table: &RouteTable,
    states: &[AccountState<'_>],
) -> Plan {
    let RouteQuestion { wanted, tried, seed, .. } = *question;
    let is_for_none =
        |route: &Route| !route.names().any(|name| states.iter().any(|state| state.name == name));
    let no_routes;
    let table =
        if wanted.is_test && table.first_that_fits(&question.asked(0)).is_some_and(is_for_none) {
            no_routes = RouteTable::default();
            &no_routes
        } else {
            table
        };
    let (plan, seed): (Planner, u64) = match seed {
        Some(seed) => (plan, seed),
        None => (likeliest, 0),
    };
    plan(table, &question.asked(seed), tried, states)
}

/// As a plan is made.
type Planner = fn(&RouteTable, &Asked<'_>, &[AccountName], &[AccountState<'_>]) -> Plan;
