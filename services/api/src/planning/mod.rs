//! By which account a message would go, now or at a moment of the past: for who looks ahead, and who explains.
//!
//! The dispatcher plans by the same function, and knows more: how much room each account has. What is known here is
//! what the fleet tells all processes: the routes, the accounts, and whose breaker is open.

mod past;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use hatch_directory::Directory;
use hatch_domain::DecodeError;
use hatch_domain::account_name::AccountName;
use hatch_domain::carrier::{Carrier, Opening};
use hatch_eventstore::{Log, LogError, Position};
use hatch_providers::{Account, AccountHealth, Accounts, RouteQuestion, Routes, route};
use hatch_routing::balance::Shifts;
use hatch_routing::{Availability, Decision, Plan};

pub use self::table::route_table;

/// What plans are made of.
#[derive(Clone)]
pub struct Planning {
    /// The accounts that there are.
    pub accounts: Accounts,
    /// Which messages go by which of them.
    pub routes: Routes,
    /// What the log tells of routes and accounts.
    pub directory: Directory,
    /// What it told once.
    pub log: Log,
    /// Whether messages are shared as the balance has it, and not as the routes say.
    pub is_balanced: bool,
}

/// A plan, and what was known of the accounts for it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// By which account the message would go.
    pub plan: Plan,
    /// How each account is that may carry it, as the log tells it.
    pub states: BTreeMap<AccountName, KnownState>,
    /// Whether something of it has no history, and is as it is now: accounts and routes of files.
    pub is_partly_of_now: bool,
}

/// How an account is, as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownState {
    /// Nothing is told against it.
    Usable,
    /// Nobody is to send by it.
    Open(Opening),
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanningError {
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] LogError),
    /// The log has an event that this build cannot read.
    #[error("this build cannot read an event of a route or an account")]
    Event(#[from] DecodeError),
    /// More was changed since than can be looked up at once.
    #[error("more than {0} routes and accounts have changed since: expected a later moment")]
    Changed(usize),
}

impl Planning {
    /// By which account the message would go now.
    #[must_use]
    pub fn now(&self, question: &RouteQuestion<'_>) -> Planned {
        let accounts = self.accounts.current();
        let (table, told) = (self.routes.current(), self.directory.carriers());
        let shifts = self.shifts(told.iter().map(|one| &**one));
        let shift = question.shift(&table, &shifts);
        let plan = route(question, &table, &accounts, |account| AccountHealth {
            weight: shift.and_then(|shift| shift.weight(&account.name)),
            ..health(self.told(account).as_deref())
        });
        let takes = accounts.iter().filter(|account| account.takes(&question.wanted));
        let states = takes
            .map(|account| (account.name.clone(), KnownState::of(self.told(account).as_deref())));
        Planned { plan, states: states.collect(), is_partly_of_now: false }
    }

    /// Whether any account carries the message, whether it works just now or not. Whoever sends it asks by the same
    /// function.
    #[must_use]
    pub fn is_carried(&self, question: &RouteQuestion<'_>) -> bool {
        let (accounts, table) = (self.accounts.current(), self.routes.current());
        let plan = route(question, &table, &accounts, |_| AccountHealth::unknown());
        !matches!(plan.decision, Decision::Nobody { .. })
    }

    /// By which account the message would have gone when the log ended at `until`. Of accounts and routes of the files
    /// it is not known how they were: they count as they are now.
    ///
    /// # Errors
    /// [`PlanningError`].
    pub async fn at(
        &self,
        question: &RouteQuestion<'_>,
        until: Position,
    ) -> Result<Planned, PlanningError> {
        past::plan(self, question, until).await
    }

    /// How messages are shared, by what was told.
    fn shifts<'c>(&self, told: impl Iterator<Item = &'c Carrier>) -> Shifts {
        if self.is_balanced { Shifts::of(told) } else { Shifts::default() }
    }

    fn told(&self, account: &Account) -> Option<Arc<Carrier>> {
        let (provider, key) = account.key();
        self.directory.carrier(provider, key)
    }
}

impl KnownState {
    fn of(carrier: Option<&Carrier>) -> Self {
        carrier.and_then(Carrier::open).map_or(Self::Usable, |open| Self::Open(open.clone()))
    }
}

/// How an account is by what was told of it. What its provider said last may be about a message of another tenant.
fn health(carrier: Option<&Carrier>) -> AccountHealth {
    let availability = match carrier.and_then(Carrier::open) {
        None => Availability::Ready,
        Some(open) => {
            let why = format!("its breaker is open ({})", open.cause);
            Availability::Open { why, until: None }
        }
    };
    AccountHealth { availability, weight: None }
}
