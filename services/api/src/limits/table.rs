//! Everybody who asked lately: so many places and no more. Where they do not suffice, those are forgotten who are
//! furthest below their limit, for whom that changes least.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use super::window::{Moment, Standing, Window};

/// Pairs of client and route that are remembered at most. With all that belongs to them they take less than 64 MiB.
const ENTRIES_MAX: usize = 1 << 18;

/// Parts of the table that are locked by themselves.
const SHARDS: usize = 16;

/// When a part is full, one of so many entries goes.
const FORGOTTEN_SHARE: usize = 8;

/// From this share of its limit on, in percent, a client is settled at once.
const HURRY_PERCENT: u64 = 80;

/// A client in 16 bytes: what a table of PostgreSQL has as a `uuid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Client(pub(super) [u8; 16]);

/// What the first byte of a client says of the others.
const NAMED: u8 = 1;
const HASHED: u8 = 2;
const V4: u8 = 4;
const V6: u8 = 6;

impl Client {
    /// Who has a name of his own, such as a key's id. A long one is known by its hash.
    pub(super) fn named(name: &str) -> Self {
        let (kind, bytes) = (NAMED, name.as_bytes());
        if bytes.len() < 16 {
            return Self::of(kind, bytes);
        }
        Self::of(HASHED, &Sha256::digest(bytes)[..15])
    }

    /// Who is known by his address.
    pub(super) fn at(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of(V4, &address.octets()),
            // Such addresses are counted by their first half.
            IpAddr::V6(address) => Self::of(V6, &address.octets()[..8]),
        }
    }

    /// `bytes` are 15 at most.
    fn of(kind: u8, bytes: &[u8]) -> Self {
        let mut client = [0; 16];
        client[0] = kind;
        for (place, byte) in client[1..].iter_mut().zip(bytes) {
            *place = *byte;
        }
        Self(client)
    }
}

/// A client at a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) client: Client,
    pub(super) route: u16,
}

#[derive(Debug)]
struct Entry {
    window: Window,
    limit: u32,
    /// Whether it is in the list of those that others have to be told of.
    is_untold: bool,
}

impl Entry {
    /// How much of its limit is used, in thousandths.
    fn share(&self, moment: Moment) -> u64 {
        let mut window = self.window;
        let moment = window.roll(moment);
        window.used(moment) * 1_000 / u64::from(self.limit.max(1))
    }
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<Key, Entry>,
    untold: Vec<Key>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) passes: bool,
    /// Whether others should know soon.
    pub(super) hurries: bool,
    /// Until it would pass.
    pub(super) wait_ms: u64,
}

/// What others are to be told: of a client at a route, so much in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Untold {
    pub(super) key: Key,
    pub(super) window: u32,
    pub(super) count: u32,
}

#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Of one part.
    entries_max: usize,
    /// The part that is told of first, another one each time: a flood at one does not keep the others from being told.
    first_told: AtomicUsize,
}

impl Default for Table {
    fn default() -> Self {
        Self::of(ENTRIES_MAX)
    }
}

impl Table {
    fn of(entries_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let entries_max = (entries_max / SHARDS).max(1);
        Self { shards, hasher: RandomState::new(), entries_max, first_told: AtomicUsize::new(0) }
    }

    /// Counts `cost` requests of `key`, if `limit` allows all of them.
    #[cfg(test)]
    fn take(&self, key: Key, limit: u32, cost: u32, moment: Moment) -> Taken {
        self.take_more(key, limit, (0, cost), moment)
    }

    /// Counts `cost` requests of `key` that go with `taken` ones, which have passed, if `limit` allows all of them
    /// together.
    pub(super) fn take_more(
        &self,
        key: Key,
        limit: u32,
        (taken, cost): (u32, u32),
        moment: Moment,
    ) -> Taken {
        let mut shard = self.shard(&key);
        if !shard.entries.contains_key(&key) && shard.entries.len() >= self.entries_max {
            shard.forget(self.entries_max, moment);
        }
        let Shard { entries, untold } = &mut *shard;
        let new = || Entry { window: Window::default(), limit, is_untold: false };
        let entry = entries.entry(key).or_insert_with(new);
        entry.limit = limit;
        let moment = entry.window.roll(moment);
        let passes = entry.window.take_more(limit, taken, cost, moment);
        if passes && !entry.is_untold {
            entry.is_untold = true;
            untold.push(key);
        }
        let used = entry.window.used(moment);
        let hurries = passes && used * 100 > u64::from(limit) * HURRY_PERCENT;
        // Who comes again asks for all of it.
        let whole = taken.saturating_add(cost);
        let wait_ms = if passes { 0 } else { entry.window.wait_ms(limit, whole, moment) };
        Taken { passes, hurries, wait_ms }
    }

    /// What is left of `limit` to `key`, whether it ever asked or not.
    pub(super) fn standing(&self, key: Key, limit: u32, moment: Moment) -> Standing {
        let mut window =
            self.shard(&key).entries.get(&key).map_or_else(Window::default, |entry| entry.window);
        let moment = window.roll(moment);
        window.standing(limit, moment)
    }

    /// How much counts of `key`, if it is known.
    pub(super) fn used(&self, key: Key, moment: Moment) -> Option<u64> {
        let mut window = self.shard(&key).entries.get(&key)?.window;
        let moment = window.roll(moment);
        Some(window.used(moment))
    }

    /// How many pairs of client and route are remembered.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).entries.len()).sum()
    }

    /// Takes what others are to be told, of at most `max` entries. Each is there twice: with this window, and with
    /// the one before.
    pub(super) fn untold(&self, max: usize) -> Vec<Untold> {
        let mut all = Vec::new();
        let first = self.first_told.fetch_add(1, Ordering::Relaxed);
        for shard in self.shards.iter().cycle().skip(first % SHARDS).take(SHARDS) {
            let mut shard = locked(shard);
            let Shard { entries, untold } = &mut *shard;
            while all.len() < 2 * max
                && let Some(key) = untold.pop()
            {
                let Some(entry) = entries.get_mut(&key).filter(|entry| entry.is_untold) else {
                    continue;
                };
                entry.is_untold = false;
                let windows = entry.window.untold();
                all.extend(windows.map(|(window, count)| Untold { key, window, count }));
            }
        }
        all
    }

    /// Nobody was told of these: they are to be told again.
    pub(super) fn tell_again(&self, all: &[Untold]) {
        for Untold { key, .. } in all {
            let mut shard = self.shard(key);
            let Shard { entries, untold } = &mut *shard;
            if let Some(entry) = entries.get_mut(key).filter(|entry| !entry.is_untold) {
                entry.is_untold = true;
                untold.push(*key);
            }
        }
    }

    /// All were told this, and together they have `sum`.
    pub(super) fn settle(&self, told: Untold, sum: u32) {
        let Untold { key, window, count } = told;
        if let Some(entry) = self.shard(&key).entries.get_mut(&key) {
            entry.window.settle(window, count, sum);
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(key);
        // Of the hash, the part decides that is left over.
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        locked(&self.shards[index])
    }

    /// Bytes that the table has.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let of = |shard: &Mutex<Shard>| {
            let shard = locked(shard);
            // Seven of eight places are used at most; there are as many as a power of two, each with a byte of its own.
            let places = (shard.entries.capacity() * 8).div_ceil(7).next_power_of_two();
            places * (size_of::<(Key, Entry)>() + 1) + shard.untold.capacity() * size_of::<Key>()
        };
        self.shards.iter().map(of).sum()
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// Makes room: first those go whose requests are long past, then those who are furthest below their limit.
    fn forget(&mut self, entries_max: usize, moment: Moment) {
        let keep = entries_max - entries_max.div_ceil(FORGOTTEN_SHARE);
        self.entries.retain(|_, entry| entry.share(moment) > 0);
        let excess = self.entries.len().saturating_sub(keep);
        if let Some(last) = excess.checked_sub(1) {
            let mut shares: Vec<_> =
                self.entries.values().map(|entry| entry.share(moment)).collect();
            let (below, border, _) = shares.select_nth_unstable(last);
            let border = *border;
            let below = below.iter().filter(|share| **share < border).count();
            let mut at_border = excess - below;
            self.entries.retain(|_, entry| match entry.share(moment).cmp(&border) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Equal if at_border > 0 => {
                    at_border -= 1;
                    false
                }
                _ => true,
            });
        }
        let entries = &self.entries;
        self.untold.retain(|key| entries.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const LIMIT: u32 = 100;

    fn key(n: u32) -> Key {
        Key { client: Client::at(IpAddr::V4(Ipv4Addr::from_bits(n))), route: 0 }
    }

    fn now() -> Moment {
        Moment::of(6_000_000_000, 60_000)
    }

    #[test]
    fn clients_are_told_apart() {
        let v6 = |text: &str| Client::at(IpAddr::V6(text.parse::<Ipv6Addr>().expect("an address")));
        let long = "0123456789abcdef";
        let clients = [
            Client::named("0123456789ab"),
            Client::named("0123456789ac"),
            Client::named(long),
            Client::named(&long[..15]),
            key(7).client,
            v6("::7"),
            v6("0:7::"),
        ];
        for (n, client) in clients.iter().enumerate() {
            assert!(!clients[..n].contains(client), "{n}");
        }
    }

    #[test]
    fn a_hundred_thousand_clients_fit_in_64_mib_and_so_do_all_that_come() {
        let table = Table::default();
        for n in 0..100_000 {
            assert!(table.take(key(n), LIMIT, 1, now()).passes);
        }
        assert_eq!(table.len(), 100_000, "each is remembered");
        assert!(table.bytes() < 64 << 20, "{} bytes", table.bytes());
        for n in 0..1_000_000 {
            table.take(key(n), LIMIT, 1, now());
        }
        assert!(table.len() <= ENTRIES_MAX);
        assert!(table.bytes() < 64 << 20, "{} bytes", table.bytes());
    }

    #[test]
    fn who_is_near_his_limit_is_remembered_while_a_flood_passes() {
        let table = Table::of(1_600);
        for n in 0..20 {
            table.take(key(n), LIMIT, LIMIT, now());
        }
        for n in 1_000..50_000 {
            table.take(key(n), LIMIT, 1, now());
        }
        assert!(table.len() <= 1_600);
        for n in 0..20 {
            assert!(!table.take(key(n), LIMIT, 1, now()).passes, "{n}");
        }
        assert!(
            table.untold(usize::MAX / 2).len() <= 2 * 1_600,
            "nor is the list of the untold longer"
        );
    }

    #[test]
    fn each_is_told_once_and_again_only_if_nobody_heard() {
        let table = Table::of(1_600);
        for cost in [1, 2] {
            table.take(key(1), LIMIT, cost, now());
        }
        let window = now().window;
        let told = table.untold(10);
        let of = |window, count| Untold { key: key(1), window, count };
        assert_eq!(told, [of(window, 3), of(window - 1, 0)]);
        assert_eq!(table.untold(10), []);
        table.tell_again(&told);
        assert_eq!(table.untold(10), told);
        table.settle(told[0], 90);
        table.settle(told[1], 0);
        assert_eq!(table.standing(key(1), LIMIT, now()).left, 10);
        let taken = table.take(key(1), LIMIT, 11, now());
        assert_eq!((taken.passes, taken.hurries), (false, false));
        assert_eq!(table.untold(10), [], "what is refused is told to nobody");
        let taken = table.take(key(1), LIMIT, 1, now());
        assert_eq!((taken.passes, taken.hurries), (true, true), "at nine tenths it is urgent");
    }

    #[test]
    fn as_many_are_told_at_a_time_as_are_asked_for() {
        let table = Table::of(16_000);
        for n in 0..100 {
            table.take(key(n), LIMIT, 1, now());
        }
        let told: Vec<_> =
            std::iter::from_fn(|| Some(table.untold(40).len()).filter(|n| *n > 0)).collect();
        assert_eq!(told, [80, 80, 40]);
    }

    #[test]
    fn nobody_waits_for_ever_to_be_told_because_others_always_come_again() {
        let table = Table::of(16_000);
        let mut told = HashSet::new();
        for _ in 0..4 * SHARDS {
            for n in 0..1_000 {
                table.take(key(n), 1_000_000, 1, now());
            }
            told.extend(table.untold(100).into_iter().map(|of| of.key));
        }
        assert_eq!(told.len(), 1_000);
    }
}
