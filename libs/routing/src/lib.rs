//! By which account a message goes, or for what it waits.
//!
//! All of it is a function of what it is given: no I/O, no clock and no chance. Whoever has the same routes, accounts
//! and message comes to the same [`Plan`], before the message is sent, while it is, and long after.
//!
//! A caller names only accounts that may carry the message at all (`hatch_providers::Account::takes`): that a test
//! never reaches a live account is decided there and nowhere else.

pub mod balance;
mod chosen;
mod draw;
mod plan;
mod pool;
mod route;
mod state;
#[cfg(test)]
mod tests;

pub use hatch_domain::route::{Reach, Weighted};

pub use self::draw::seed;
pub use self::plan::{Decision, Plan, Step, Tier, Verdict, likeliest, plan};
pub use self::pool::{
    Chosen, Pool, PoolName, PoolSender, PoolTable, PoolTerms, SenderHealth, choose_sender,
};
pub use self::route::{Asked, Route, RouteName, RouteTable};
pub use self::state::{AccountState, Availability, Busy};
