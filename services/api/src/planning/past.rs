//! How routes and accounts were at a position of the log.
//!
//! What has not changed since is in memory. The streams of the rest are read, so many at most.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Months, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hatch_directory::{AccountEntry, RouteEntry};
use hatch_domain::Decider;
use hatch_domain::account::Account as KeptAccount;
use hatch_domain::account_name::AccountName;
use hatch_domain::address::Address;
use hatch_domain::carrier::{Carrier, carrier_id};
use hatch_domain::ids::TenantId;
use hatch_domain::route::Route as KeptRoute;
use hatch_domain::traffic::Traffic;
use hatch_domain::{Channel, DecodeError};
use hatch_eventstore::Position;
use hatch_providers::{
    Account, AccountHealth, RouteQuestion, Tenants, Terms, provider, route_among,
};
use hatch_routing::{AccountState, Route, RouteTable};
use uuid::Uuid;

use super::{KnownState, Planned, Planning, PlanningError, health, route_table};

/// Streams that are read for one plan at most.
const STREAMS_MAX: usize = 500;

/// Streams that are read at a time.
const READS_MAX: usize = 8;

/// Months that are looked through for what was told last of an account.
const MONTHS_MAX: u32 = 12;

/// An account as it was.
struct PastAccount {
    name: AccountName,
    provider: String,
    /// The provider, and what that calls it, where that is known still.
    key: Option<(String, String)>,
    home: TenantId,
    channels: Vec<Channel>,
    senders: Vec<Address>,
    tenants: Tenants,
    traffic: Traffic,
}

impl PastAccount {
    /// One of the files, as it is.
    fn of_files(account: &Account) -> Self {
        let (provider, key) = account.key();
        Self {
            name: account.name.clone(),
            provider: provider.to_owned(),
            key: Some((provider.to_owned(), key.to_owned())),
            home: account.tenants.home(),
            channels: account.channels.clone(),
            senders: account.senders.clone(),
            tenants: account.tenants.clone(),
            traffic: account.traffic,
        }
    }

    /// One of the log, as it was; none where it was not there.
    fn of_log(kept: &KeptAccount, tenant: TenantId, now: &[Arc<Account>]) -> Option<Self> {
        let name = kept.name().filter(|_| kept.is_there())?.clone();
        // One that was removed since and made again may be another one at its provider.
        let same = now.iter().find(|one| one.name == name && one.provider == kept.provider());
        let key = same.map(|one| (one.provider.to_owned(), one.account.clone()));
        let all = || provider(kept.provider()).map(|one| one.channels().to_vec());
        let channels = match kept.channels() {
            [] => all().unwrap_or_default(),
            these => these.to_vec(),
        };
        Some(Self {
            name,
            provider: kept.provider().to_owned(),
            key,
            home: tenant,
            channels,
            senders: kept.senders().to_vec(),
            tenants: Tenants::These(vec![tenant]),
            traffic: kept.traffic(),
        })
    }

    fn takes(&self, question: &RouteQuestion<'_>) -> bool {
        let Self { provider, traffic, tenants, channels, senders, .. } = self;
        Terms { provider, traffic: *traffic, tenants, channels, senders }.take(&question.wanted)
    }
}

/// The plan as it would have been made when the log ended at `until`.
pub(super) async fn plan(
    planning: &Planning,
    question: &RouteQuestion<'_>,
    until: Position,
) -> Result<Planned, PlanningError> {
    let tenant = question.wanted.tenant;
    let current = planning.routes.current();
    let table = routes(planning, tenant, until, current.of_files()).await?;
    let accounts = accounts(planning, tenant, until).await?;
    let then = match planning.log.read_at(until).await? {
        Some(event) => event.recorded_at,
        None => DateTime::UNIX_EPOCH,
    };
    let named = question.named(&table);
    let mut told: BTreeMap<AccountName, Carrier> = BTreeMap::new();
    for account in &accounts {
        if counts(account, question, named.as_deref()) {
            let carrier = carrier(planning, account, then, until).await?;
            told.insert(account.name.clone(), carrier);
        }
    }
    let accounts: Vec<&PastAccount> =
        accounts.iter().filter(|account| account.takes(question)).collect();
    let shifts = planning.shifts(told.values());
    let shift = question.shift(&table, &shifts);
    let states: Vec<AccountState<'_>> = accounts
        .iter()
        .map(|account| {
            let AccountHealth { availability, .. } = health(told.get(&account.name));
            let weight = shift.and_then(|shift| shift.weight(&account.name));
            AccountState { name: &account.name, availability, weight }
        })
        .collect();
    let plan = route_among(question, &table, &states);
    let known = accounts
        .iter()
        .map(|account| (account.name.clone(), KnownState::of(told.get(&account.name))));
    Ok(Planned { plan, states: known.collect(), is_partly_of_now: true })
}

/// Whether something has to be known of the account. Of what accounts share, the first of them by name is told, which
/// need not take this message. Tests may go by accounts that the route does not name.
fn counts(
    account: &PastAccount,
    question: &RouteQuestion<'_>,
    named: Option<&[AccountName]>,
) -> bool {
    let may_go_by_others = named.is_none() || question.wanted.is_test;
    named.is_some_and(|names| names.contains(&account.name))
        || (may_go_by_others && account.takes(question))
}

/// The tenant's routes as they were, and those of the files as they are.
async fn routes(
    planning: &Planning,
    tenant: TenantId,
    until: Position,
    files: &[Route],
) -> Result<RouteTable, PlanningError> {
    let ever = planning.directory.routes_ever(tenant);
    let (settled, changed): (Vec<_>, Vec<_>) =
        ever.into_iter().partition(|(_, position)| *position <= until);
    refuse_too_many(changed.len())?;
    let reads: Vec<_> =
        changed.into_iter().map(|(entry, _)| route(planning, tenant, until, entry)).collect();
    let read: Vec<RouteEntry> = stream::iter(reads).buffered(READS_MAX).try_collect().await?;
    let all = settled.into_iter().map(|(entry, _)| entry).chain(read);
    let there = all.filter(|entry| entry.route.as_ref().is_none_or(|route| route.is_there()));
    Ok(route_table(files, there.collect()))
}

/// A route as it was.
async fn route(
    planning: &Planning,
    tenant: TenantId,
    until: Position,
    entry: RouteEntry,
) -> Result<RouteEntry, PlanningError> {
    let route: KeptRoute = folded(planning, tenant, entry.id.0, until).await?;
    Ok(RouteEntry { route: Some(Arc::new(route)), ..entry })
}

/// An account of the log as it was; none where this build cannot read it.
async fn account(
    planning: &Planning,
    tenant: TenantId,
    until: Position,
    (entry, position): (AccountEntry, Position),
) -> Result<Option<Arc<KeptAccount>>, PlanningError> {
    if position <= until {
        return Ok(entry.account);
    }
    let account: KeptAccount = folded(planning, tenant, entry.id.0, until).await?;
    Ok(Some(Arc::new(account)))
}

/// The tenant's accounts as they were, and those of the files as they are.
async fn accounts(
    planning: &Planning,
    tenant: TenantId,
    until: Position,
) -> Result<Vec<PastAccount>, PlanningError> {
    let now = planning.accounts.current();
    let ever = planning.directory.accounts_ever(tenant);
    refuse_too_many(ever.iter().filter(|(_, position)| *position > until).count())?;
    let reads: Vec<_> =
        ever.into_iter().map(|entry| account(planning, tenant, until, entry)).collect();
    let kept: Vec<Option<Arc<KeptAccount>>> =
        stream::iter(reads).buffered(READS_MAX).try_collect().await?;
    let of_files = now.iter().filter(|account| !account.of_log);
    let mut all: Vec<PastAccount> =
        of_files.map(|account| PastAccount::of_files(account)).collect();
    for account in kept.iter().flatten() {
        let account = PastAccount::of_log(account, tenant, &now);
        // As it is now, one of the files goes before one of its name.
        all.extend(account.filter(|one| !all.iter().any(|other| other.name == one.name)));
    }
    Ok(all)
}

/// What the fleet had told of an account, in the year before `then`.
async fn carrier(
    planning: &Planning,
    account: &PastAccount,
    then: DateTime<Utc>,
    until: Position,
) -> Result<Carrier, PlanningError> {
    let Some((provider, key)) = &account.key else { return Ok(Carrier::default()) };
    // Of most accounts nothing was ever told.
    if planning.directory.carrier(provider, key).is_none() {
        return Ok(Carrier::default());
    }
    let mut told = Carrier::default();
    for back in 0..MONTHS_MAX {
        let Some(month) = then.checked_sub_months(Months::new(back)) else { break };
        let id = carrier_id(account.home, provider, key, month);
        told = told.following(folded(planning, account.home, id.0, until).await?);
        if is_enough(&told, planning.is_balanced) {
            break;
        }
    }
    Ok(told)
}

/// Whether nothing that was told before counts. How messages are shared may have been told at any time, and where that
/// alone was told, the breaker is as it was.
fn is_enough(told: &Carrier, is_balanced: bool) -> bool {
    !is_balanced && (told.open().is_some() || told.closed_at().is_some())
}

/// The state of a stream when the log ended at `until`.
async fn folded<D: Decider>(
    planning: &Planning,
    tenant: TenantId,
    id: Uuid,
    until: Position,
) -> Result<D, PlanningError> {
    let events = planning.log.read_stream_of(D::KIND, tenant.0, id).await?;
    let before = events.iter().filter(|event| event.position <= until);
    let state = before
        .map(|event| event.decode::<D::Event>())
        .try_fold(D::default(), |state, event| Ok::<D, DecodeError>(state.evolve(&event?)));
    Ok(state?)
}

fn refuse_too_many(streams: usize) -> Result<(), PlanningError> {
    if streams > STREAMS_MAX { Err(PlanningError::Changed(STREAMS_MAX)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use hatch_domain::carrier::event::{BreakerClosed, CarrierEvent, WeightsShifted};

    use super::*;

    #[test]
    fn a_month_in_which_messages_were_only_shared_otherwise_says_nothing_of_the_breaker() {
        let (name, at) = ("one".parse::<AccountName>().expect("a name"), DateTime::UNIX_EPOCH);
        let shifted = CarrierEvent::from(WeightsShifted {
            account: name.clone(),
            provider: "nobody".to_owned(),
            key: "one".to_owned(),
            channel: Channel::Sms,
            country: None,
            weights: Vec::new(),
            reason: "slow".to_owned(),
            figures: Vec::new(),
            at,
        });
        let told = Carrier::default().evolve(&shifted);
        assert!(!is_enough(&told, false));
        let closed = CarrierEvent::from(BreakerClosed {
            account: name,
            provider: "nobody".to_owned(),
            key: "one".to_owned(),
            open_for_ms: 1,
            at,
        });
        let told = told.evolve(&closed);
        assert!(is_enough(&told, false) && !is_enough(&told, true));
    }
}
