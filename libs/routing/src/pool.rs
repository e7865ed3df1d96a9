//! From which of a pool's senders a message goes.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hatch_domain::Channel;
use hatch_domain::address::{Address, SenderKind};
use hatch_domain::ids::TenantId;
pub use hatch_domain::pool::{PoolName, PoolSender, PoolTerms};

/// A pool of senders: of the settings, or of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// What it is called.
    pub name: PoolName,
    /// The tenants whose it is; all, where none is named.
    pub tenants: Option<Vec<TenantId>>,
    /// Its senders, and for which messages they are.
    pub terms: PoolTerms,
}

/// Every pool, those of tenants before those of the settings. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct PoolTable(Arc<Indexed>);

/// Pools, and which ones there are to look at for a message: those of other tenants cost it nothing.
#[derive(Debug, Default)]
struct Indexed {
    pools: Vec<Pool>,
    /// The places of those that some tenants alone have, in their order.
    of_tenants: HashMap<TenantId, Vec<usize>>,
    /// The places of those that all have.
    of_all: Vec<usize>,
}

impl PoolTable {
    /// These pools. Of two with one name the first is meant.
    #[must_use]
    pub fn new(pools: Vec<Pool>) -> Self {
        let mut indexed = Indexed::default();
        for (place, pool) in pools.iter().enumerate() {
            match &pool.tenants {
                None => indexed.of_all.push(place),
                Some(tenants) => {
                    for tenant in tenants {
                        indexed.of_tenants.entry(*tenant).or_default().push(place);
                    }
                }
            }
        }
        Self(Arc::new(Indexed { pools, ..indexed }))
    }

    /// All of them.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.0.pools
    }

    /// The tenant's pool of that name.
    #[must_use]
    pub fn named(&self, tenant: TenantId, name: &str) -> Option<&Pool> {
        self.of(tenant).find(|pool| pool.name.as_str() == name)
    }

    /// The pool that is meant where a message names neither pool nor sender: the tenant's default one for the channel,
    /// or else the only one. Of several that are default, the first.
    #[must_use]
    pub fn usual(&self, tenant: TenantId, channel: Channel) -> Option<&Pool> {
        let fitting = || self.of(tenant).filter(|pool| pool.terms.is_for(channel));
        let mut all = fitting();
        let only = all.next().filter(|_| all.next().is_none());
        fitting().find(|pool| pool.terms.is_default).or(only)
    }

    /// Those that the tenant has. One that has the name of an earlier one cannot be meant.
    fn of(&self, tenant: TenantId) -> impl Iterator<Item = &Pool> {
        let Indexed { pools, of_tenants, of_all } = &*self.0;
        let own = of_tenants.get(&tenant).into_iter().flatten();
        let mut places: Vec<usize> = own.chain(of_all).copied().collect();
        places.sort_unstable();
        let mut names = HashSet::new();
        let all = places.into_iter().map(move |place| &pools[place]);
        all.filter(move |pool| names.insert(&pool.name))
    }
}

/// How a sender is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderHealth {
    /// A message can go from it now.
    Ready,
    /// It has sent as much as it may for now.
    Busy,
    /// No account sends for it, or none that does is up.
    Down,
    /// This message never goes from it: who sends it may not, or it is to that sender itself.
    Barred,
}

/// The sender of a message, and why it is this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// The sender.
    pub address: &'a Address,
    /// Why, in a few words: `sticky`, `only_one`, `country`, `kind`, `area`, `weight` or `least_used`, behind what
    /// became of the sender of before, where it is not that one any more.
    pub reason: String,
}

/// A sender that may be chosen.
struct Candidate<'a> {
    sender: &'a PoolSender,
    health: SenderHealth,
    place: usize,
}

/// Chooses the sender of a message to `to`.
///
/// The one of before (`sticky`) goes on, unless it has left the pool or is down: who writes with somebody knows one
/// number. Else it is one that is up, and has something left to send, where there is such a one; of these one of the
/// recipient's country, or else of a kind that may be known there; of these, in North America, one of the recipient's
/// area; and of these the one that has sent the least (`usage`) by its weight. `seed` decides where that is alike.
/// Where all are down, they are taken as if none was: the message waits. None where the message may go from no sender
/// of the pool.
#[must_use]
pub fn choose_sender<'a>(
    pool: &'a Pool,
    to: &Address,
    sticky: Option<&Address>,
    health: impl Fn(&Address) -> SenderHealth,
    usage: impl Fn(&Address) -> u64,
    seed: u64,
) -> Option<Chosen<'a>> {
    let mut before = None;
    if let Some(sticky) = sticky {
        let known = pool.terms.sender(sticky);
        before = match known.map(|sender| (sender, health(&sender.address))) {
            Some((sender, SenderHealth::Ready | SenderHealth::Busy)) => {
                let reason = "sticky".to_owned();
                return Some(Chosen { address: &sender.address, reason });
            }
            Some((_, SenderHealth::Down)) => Some(format!("moved from {sticky}, which is down")),
            // Whose message it is may not see it.
            Some((_, SenderHealth::Barred)) => None,
            None => Some(format!("rehomed from {sticky}")),
        };
    }
    let candidates = candidates(pool, health);
    let (chosen, why) = narrowed(candidates, to, usage, seed)?;
    let reason = match before {
        Some(before) => format!("{before}; {why}"),
        None => why.to_owned(),
    };
    Some(Chosen { address: &chosen.address, reason })
}

/// Those that may be chosen: of what is there, the best kind alone.
fn candidates<'a>(pool: &'a Pool, health: impl Fn(&Address) -> SenderHealth) -> Vec<Candidate<'a>> {
    let all = pool.terms.senders.iter().enumerate();
    let mut left: Vec<Candidate<'a>> = all
        .map(|(place, sender)| Candidate { sender, health: health(&sender.address), place })
        .collect();
    left.retain(|one| one.health != SenderHealth::Barred);
    keep(&mut left, |one| one.sender.weight > 0);
    keep(&mut left, |one| one.health != SenderHealth::Down);
    keep(&mut left, |one| one.health == SenderHealth::Ready);
    left
}

/// Drops those that are not `good`, unless none is. Whether it has dropped any.
fn keep(left: &mut Vec<Candidate<'_>>, good: impl Fn(&Candidate<'_>) -> bool) -> bool {
    let count = left.iter().filter(|one| good(one)).count();
    if count == 0 || count == left.len() {
        return false;
    }
    left.retain(|one| good(one));
    true
}

/// One of them, and what has decided.
fn narrowed<'a>(
    mut left: Vec<Candidate<'a>>,
    to: &Address,
    usage: impl Fn(&Address) -> u64,
    seed: u64,
) -> Option<(&'a PoolSender, &'static str)> {
    let mut why = "only_one";
    if keep(&mut left, |one| one.sender.address.is_of_country_of(to)) {
        why = "country";
    } else if keep(&mut left, |one| is_known_there(one.sender, to)) {
        why = "kind";
    }
    // A short code or a name may stand for an area, but not for one of another country.
    let area = to.area_code();
    if area.is_some() && keep(&mut left, |one| one.sender.area() == area) {
        why = "area";
    }
    if let [only] = left.as_slice() {
        return Some((only.sender, why));
    }
    let is_even = left.windows(2).all(|two| two[0].sender.weight == two[1].sender.weight);
    let why = if is_even { "least_used" } else { "weight" };
    let weighed = left.iter().map(|one| (one, usage(&one.sender.address)));
    let (least, _) = weighed.min_by(|one, other| {
        by_share(one, other).then_with(|| score(seed, one.0).cmp(&score(seed, other.0)))
    })?;
    Some((least.sender, why))
}

/// Whether a sender may be known where the recipient is, of whose country it is no number. Nobody knows of which
/// country a short code is, unless it stands for an area; and no carrier of North America takes a name.
fn is_known_there(sender: &PoolSender, to: &Address) -> bool {
    let is_to_north_america = to.area_code().is_some();
    match SenderKind::of(&sender.address) {
        Some(SenderKind::ShortCode) => is_to_north_america && sender.area().is_some(),
        Some(SenderKind::Alphanumeric) => !is_to_north_america,
        Some(SenderKind::Number | SenderKind::Service) | None => true,
    }
}

/// Which of two would have the lesser share of its weight with one more message.
fn by_share(
    (one, used_by_one): &(&Candidate<'_>, u64),
    (other, used_by_other): &(&Candidate<'_>, u64),
) -> Ordering {
    let share = |used: u64, of: &Candidate<'_>| {
        (u128::from(used) + 1) * u128::from(of.sender.weight.max(1))
    };
    // (used + 1) / weight, without a fraction.
    share(*used_by_one, other).cmp(&share(*used_by_other, one))
}

/// A number of the message and the sender, for those that are alike.
const fn score(seed: u64, one: &Candidate<'_>) -> u64 {
    let mixed = (seed ^ one.place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

#[cfg(test)]
mod tests;
