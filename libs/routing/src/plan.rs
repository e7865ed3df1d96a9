//! The choice itself.
//!
//! The first route that fits a message decides alone. Without one, all accounts stand in the order of their names: the
//! first carries everything, and the others are its backups in that order.
//!
//! Among the primaries of a route, weights choose by weighted rendezvous hashing: each account draws a number from the
//! message's seed and its own name, and the greatest of `-weight / ln(number)` wins. So an account has its share
//! exactly, in the long run; all processes agree without a word; and a weight that shifts moves only the messages that
//! it must. See Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005.

use chrono::{DateTime, Utc};
use hatch_domain::AccountChoice;
use hatch_domain::account_name::AccountName;

use crate::chosen::{Candidate, Chosen, in_turn};
use crate::draw::drawn;
use crate::route::{Asked, Route, RouteName, RouteTable};
use crate::state::{AccountState, Availability};

/// The reason of a wait for accounts to which nothing is given.
const BREAKER: &str = "breaker";

/// What [`plan`] has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The route that decides; none where no route fits, or the request names its account.
    pub route: Option<RouteName>,
    /// Every account of the route, in the order in which they come.
    pub steps: Vec<Step>,
    /// What is to be done.
    pub decision: Decision,
}

/// An account of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// hatch's own name of it.
    pub account: AccountName,
    /// Whether it shares the route's messages, or carries what others cannot.
    pub tier: Tier,
    /// Its weight, of a primary: the balance's, where that says one.
    pub weight: Option<u16>,
    /// Which share of the route's messages it has, of a primary that may carry this one.
    pub share_percent: Option<u8>,
    /// Whether it is chosen, stands by, or is skipped.
    pub verdict: Verdict,
}

/// Whether an account shares a route's messages, or carries what others cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// It shares them.
    Primary,
    /// It carries what no primary can.
    Backup,
}

impl Tier {
    /// The tier's name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }
}

/// Whether an account of a plan is chosen, stands by, or is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The message goes by it.
    Chosen,
    /// It would come next.
    Standby,
    /// The message cannot go by it now, for this reason.
    Skipped(String),
}

impl Verdict {
    /// The verdict's name in the API.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Standby => "standby",
            Self::Skipped(_) => "skipped",
        }
    }
}

/// What is to be done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It goes by this account.
    Take(AccountChoice),
    /// It waits: accounts carry such messages, and none of them can take it now.
    Wait {
        /// What for, as a deferral has it.
        reason: String,
        /// Until when at least, where that is known.
        until: Option<DateTime<Utc>>,
        /// The account that it waits for, where it is one.
        account: Option<AccountName>,
    },
    /// No account of the route carries such messages.
    Nobody {
        /// Why, for people.
        why: String,
    },
}

/// By which account the message goes.
///
/// `tried` are the accounts by which attempts of this round surely did not send it, in order, and as often as they were
/// made. `accounts` are those that may carry it at all, and how they are.
#[must_use]
pub fn plan(
    table: &RouteTable,
    asked: &Asked<'_>,
    tried: &[AccountName],
    accounts: &[AccountState<'_>],
) -> Plan {
    planned(table, asked, tried, accounts, Draw::Seed(asked.seed))
}

/// By which account a message that is not there yet goes most probably: the one with the greatest share. The seed is
/// not looked at.
#[must_use]
pub fn likeliest(
    table: &RouteTable,
    asked: &Asked<'_>,
    tried: &[AccountName],
    accounts: &[AccountState<'_>],
) -> Plan {
    planned(table, asked, tried, accounts, Draw::Share)
}

/// How one of several primaries is chosen.
#[derive(Clone, Copy)]
enum Draw {
    /// By its weight and the message.
    Seed(u64),
    /// By its weight alone.
    Share,
}

fn planned(
    table: &RouteTable,
    asked: &Asked<'_>,
    tried: &[AccountName],
    accounts: &[AccountState<'_>],
    draw: Draw,
) -> Plan {
    let route = if asked.account.is_some() { None } else { table.first_that_fits(asked) };
    let mut candidates = match (asked.account, route) {
        (Some(name), _) => vec![(name, Tier::Primary, 100)],
        (None, Some(route)) => of_route(route),
        (None, None) => by_name(accounts),
    }
    .into_iter()
    .map(|(name, tier, weight)| candidate(name, tier, weight, tried, accounts, draw))
    .collect::<Vec<_>>();
    // Sorting keeps the order of those that are equal: that of the route.
    candidates.sort_by(in_turn);
    let chosen = Chosen::of(&candidates);
    let decision = decision(asked, route, &candidates, &chosen);
    Plan {
        route: route.map(|route| route.name.clone()),
        steps: steps(&candidates, &chosen),
        decision,
    }
}

/// The accounts of a route. One that it names twice stands where it stands first.
fn of_route(route: &Route) -> Vec<(&AccountName, Tier, u16)> {
    let primaries = route.accounts.iter().map(|one| (&one.account, Tier::Primary, one.weight));
    let backups = route.backup.iter().map(|name| (name, Tier::Backup, 0));
    let mut all: Vec<(&AccountName, Tier, u16)> = Vec::new();
    for one in primaries.chain(backups) {
        if !all.iter().any(|(name, ..)| *name == one.0) {
            all.push(one);
        }
    }
    all
}

/// All accounts, where no route fits.
fn by_name<'a>(accounts: &[AccountState<'a>]) -> Vec<(&'a AccountName, Tier, u16)> {
    let mut names: Vec<&AccountName> = accounts.iter().map(|account| account.name).collect();
    names.sort();
    names.dedup();
    let tier = |place| if place == 0 { (Tier::Primary, 100) } else { (Tier::Backup, 0) };
    let of = |(place, name)| {
        let (tier, weight) = tier(place);
        (name, tier, weight)
    };
    names.into_iter().enumerate().map(of).collect()
}

fn candidate<'a>(
    name: &'a AccountName,
    tier: Tier,
    weight: u16,
    tried: &[AccountName],
    accounts: &'a [AccountState<'_>],
    draw: Draw,
) -> Candidate<'a> {
    let state = accounts.iter().find(|account| account.name == name);
    let weight = match tier {
        // Whoever gave an account no share keeps it from messages: the balance does not bring them back.
        Tier::Primary if weight > 0 => state.and_then(|state| state.weight).unwrap_or(weight),
        Tier::Primary | Tier::Backup => weight,
    };
    let score = match draw {
        Draw::Seed(seed) => -f64::from(weight) / drawn(seed, name).ln(),
        Draw::Share => f64::from(weight),
    };
    let tried = tried.iter().filter(|one| *one == name).count();
    let availability = state.map(|state| &state.availability);
    Candidate { name, tier, weight, availability, tried, score }
}

fn decision(
    asked: &Asked<'_>,
    route: Option<&Route>,
    candidates: &[Candidate<'_>],
    chosen: &Chosen,
) -> Decision {
    let soonest = |places: &mut dyn Iterator<Item = usize>| {
        let until = |place: usize| candidates[place].availability.and_then(Availability::until);
        // One whose time nobody knows may have room at once, and so is no reason to wait for long.
        places.min_by_key(|place| until(*place)).map(|place| (place, until(place)))
    };
    match chosen {
        Chosen::Takes(place) => {
            let account = &candidates[*place];
            Decision::Take(AccountChoice {
                name: account.name.clone(),
                route: route.map(|route| route.name.as_str().to_owned()),
                reason: why(asked, route, candidates, account),
            })
        }
        Chosen::Waits(places) => {
            let (place, until) = soonest(&mut places.iter().copied()).unzip();
            let account = place.map(|place| &candidates[place]);
            let reason = match account.and_then(|account| account.availability) {
                Some(Availability::Busy { why, .. }) => why.as_str(),
                _ => BREAKER,
            };
            let account = account.map(|account| account.name.clone());
            Decision::Wait { reason: reason.to_owned(), until: until.flatten(), account }
        }
        Chosen::Closed => {
            let mut places = (0..candidates.len()).filter(|place| candidates[*place].is_open());
            let (place, until) = soonest(&mut places).unzip();
            let account = place.map(|place| candidates[place].name.clone());
            Decision::Wait { reason: BREAKER.to_owned(), until: until.flatten(), account }
        }
        Chosen::Nobody => Decision::Nobody { why: nobody(asked, route) },
    }
}

/// Why nobody carries the message.
fn nobody(asked: &Asked<'_>, route: Option<&Route>) -> String {
    match (asked.account, route) {
        (Some(name), _) => {
            format!("the account {name}, which the request names, does not carry it")
        }
        (None, Some(route)) => format!("no account of the route {} carries it", route.name),
        (None, None) => "no account carries it".to_owned(),
    }
}

/// Why the account was chosen, for people.
fn why(
    asked: &Asked<'_>,
    route: Option<&Route>,
    candidates: &[Candidate<'_>],
    chosen: &Candidate<'_>,
) -> String {
    if asked.account.is_some() {
        return "the request names it".to_owned();
    }
    if chosen.tried > 0 {
        let times =
            if chosen.tried == 1 { "once".to_owned() } else { format!("{} times", chosen.tried) };
        return format!("tried {times}, and none that was tried less can take it");
    }
    let of_tier = |tier| candidates.iter().filter(move |one| one.tier == tier && one.takes_part());
    let primaries = of_tier(Tier::Primary).count();
    let mut reasons = Vec::new();
    match (chosen.tier, route) {
        (Tier::Primary, None) => {
            reasons.push("no route fits, and it is the first by name".to_owned())
        }
        (Tier::Primary, Some(_)) if primaries == 1 => {
            reasons.push("the only account of its route that carries it".to_owned());
        }
        (Tier::Primary, Some(_)) => {
            let share = share(candidates, chosen).unwrap_or_default();
            reasons.push(format!("its share of the route is {share} %"));
        }
        (Tier::Backup, _) if primaries == 0 => {
            reasons.push("backup, as no other account of the route carries it".to_owned());
        }
        (Tier::Backup, _) => reasons.push("backup".to_owned()),
    }
    let tried =
        candidates.iter().filter(|one| one.tried > 0).map(|one| format!("{} was tried", one.name));
    reasons.extend(tried);
    // Those that it stands in for: what drew more, or stands before it.
    let ahead = candidates.iter().take_while(|one| one.name != chosen.name);
    reasons.extend(ahead.filter(|one| one.takes_part()).filter_map(|one| {
        let why = hindrance(one.availability?)?;
        Some(format!("{}: {why}", one.name))
    }));
    reasons.join("; ")
}

/// Why nothing can be given to an account now.
fn hindrance(availability: &Availability) -> Option<String> {
    match availability {
        Availability::Ready => None,
        Availability::Busy { why, .. } => Some(format!("busy ({})", why.as_str())),
        Availability::Open { why, .. } => Some(why.clone()),
    }
}

fn steps(candidates: &[Candidate<'_>], chosen: &Chosen) -> Vec<Step> {
    let step = |(place, one): (usize, &Candidate<'_>)| {
        let verdict = match one.availability {
            None => Verdict::Skipped("it does not carry such messages".to_owned()),
            Some(_) if !one.takes_part() => Verdict::Skipped("its weight is 0".to_owned()),
            Some(_) if *chosen == Chosen::Takes(place) => Verdict::Chosen,
            Some(availability) => {
                hindrance(availability).map_or(Verdict::Standby, Verdict::Skipped)
            }
        };
        let share_percent = share(candidates, one);
        let weight = (one.tier == Tier::Primary).then_some(one.weight);
        Step { account: one.name.clone(), tier: one.tier, weight, share_percent, verdict }
    };
    candidates.iter().enumerate().map(step).collect()
}

/// The share that a primary has, of what all primaries that may carry the message have.
fn share(candidates: &[Candidate<'_>], of: &Candidate<'_>) -> Option<u8> {
    let is_sharing = |one: &&Candidate<'_>| one.tier == Tier::Primary && one.takes_part();
    if !is_sharing(&of) {
        return None;
    }
    let all: u32 = candidates.iter().filter(is_sharing).map(|one| u32::from(one.weight)).sum();
    let percent = (u32::from(of.weight) * 100 + all / 2).checked_div(all)?;
    u8::try_from(percent).ok()
}
