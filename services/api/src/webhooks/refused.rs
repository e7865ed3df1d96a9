//! Requests that their provider has not signed: all are counted, a few are kept.
//!
//! Anybody can post such a request, so its trace is bounded by rates, one for each path and one for each client
//! address. What is above a rate is counted and costs no write.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hatch_providers::{RawRequest, WebhookRefusal};
use hatch_readmodel::WebhookOutcome as Outcome;

use super::{WebhookAccount, Webhooks};
use crate::problem::Problem;

/// Pairs of path and address that are remembered at most. Beyond it, addresses share one place.
const ADDRESSES_MAX: usize = 4_096;

/// Between two looks for addresses that can be forgotten.
const FORGET_PAUSE: Duration = Duration::from_secs(1);

/// An episode ends when nothing was refused for so long, and begins anew after so long.
const EPISODE_PAUSE: Duration = Duration::from_secs(60);
const EPISODE_MAX: Duration = Duration::from_secs(3_600);

/// The address under which clients are counted for which there is no place.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// How many refused requests are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedRates {
    /// Of one client address at one path, in a minute.
    pub by_address_per_minute: u32,
    /// Of all at one path, in a minute.
    pub by_path_per_minute: u32,
}

/// Decides which refused requests are kept.
#[derive(Debug)]
pub(super) struct Sampler {
    rates: RefusedRates,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    paths: BTreeMap<Arc<str>, OfPath>,
    addresses: HashMap<(Arc<str>, IpAddr), Bucket>,
    forgot_at: Option<Instant>,
}

#[derive(Debug)]
struct OfPath {
    bucket: Bucket,
    episode: Option<Episode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Episode {
    began: Instant,
    last: Instant,
    refused: u64,
    kept: u64,
}

/// What is left of a rate: the whole of it after a quiet minute.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(per_minute: u32, now: Instant) -> Self {
        Self { tokens: f64::from(per_minute), at: now }
    }

    fn refill(&mut self, per_minute: u32, now: Instant) {
        let max = f64::from(per_minute);
        let more = now.saturating_duration_since(self.at).as_secs_f64() * max / 60.0;
        self.tokens = (self.tokens + more).min(max);
        self.at = now;
    }
}

impl Sampler {
    pub(super) fn new(rates: RefusedRates) -> Self {
        let state = State { paths: BTreeMap::new(), addresses: HashMap::new(), forgot_at: None };
        Self { rates, state: Mutex::new(state) }
    }

    /// Counts a request that is refused now, and says whether it is to be kept, where there is `room` for it;
    /// and whether it is the first of an episode.
    fn note(&self, path: &Arc<str>, address: IpAddr, room: bool, now: Instant) -> (bool, bool) {
        let RefusedRates { by_address_per_minute, by_path_per_minute } = self.rates;
        let mut state = self.state();
        let key = state.place_of(path, address, by_address_per_minute, now);
        let State { paths, addresses, .. } = &mut *state;
        let of_path = paths.entry(Arc::clone(path)).or_insert_with(|| OfPath {
            bucket: Bucket::full(by_path_per_minute, now),
            episode: None,
        });
        let of_address =
            addresses.entry(key).or_insert_with(|| Bucket::full(by_address_per_minute, now));
        of_path.bucket.refill(by_path_per_minute, now);
        of_address.refill(by_address_per_minute, now);
        let kept = room && of_path.bucket.tokens >= 1.0 && of_address.tokens >= 1.0;
        if kept {
            of_path.bucket.tokens -= 1.0;
            of_address.tokens -= 1.0;
        }
        let first = of_path.episode.is_none();
        let episode =
            of_path.episode.get_or_insert(Episode { began: now, last: now, refused: 0, kept: 0 });
        episode.last = now;
        episode.refused += 1;
        episode.kept += u64::from(kept);
        (kept, first)
    }

    /// Says of each episode that is over how many requests it had.
    pub(super) fn end_episodes(&self) {
        for (path, episode) in self.over(Instant::now()) {
            let Episode { began, last, refused, kept } = episode;
            let seconds = last.saturating_duration_since(began).as_secs();
            tracing::warn!(path = &*path, refused, kept, seconds, "webhooks were refused");
        }
    }

    fn over(&self, now: Instant) -> Vec<(Arc<str>, Episode)> {
        let mut state = self.state();
        let is_over = |episode: &mut Episode| {
            now.saturating_duration_since(episode.last) >= EPISODE_PAUSE
                || now.saturating_duration_since(episode.began) >= EPISODE_MAX
        };
        let ended = state.paths.iter_mut();
        ended
            .filter_map(|(path, of)| Some((Arc::clone(path), of.episode.take_if(is_over)?)))
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where the address is counted: by itself, while there is a place for it.
    fn place_of(
        &mut self,
        path: &Arc<str>,
        address: IpAddr,
        per_minute: u32,
        now: Instant,
    ) -> (Arc<str>, IpAddr) {
        let key = (Arc::clone(path), address);
        if self.addresses.len() < ADDRESSES_MAX || self.addresses.contains_key(&key) {
            return key;
        }
        let rested = self.forgot_at.is_none_or(|at| now.duration_since(at) >= FORGET_PAUSE);
        if rested {
            self.forgot_at = Some(now);
            self.addresses.retain(|_, bucket| {
                bucket.refill(per_minute, now);
                bucket.tokens < f64::from(per_minute)
            });
        }
        if self.addresses.len() < ADDRESSES_MAX { key } else { (Arc::clone(path), OTHERS) }
    }
}

impl Webhooks {
    /// Counts a request that `account` does not believe, and keeps it if it is one of the few.
    pub(super) async fn refuse(
        &self,
        account: &WebhookAccount,
        raw: &RawRequest,
        address: IpAddr,
        refusal: WebhookRefusal,
    ) -> Problem {
        let (path, reason) = (&*account.path, reason(refusal));
        let detail = format!("failed to {refusal}");
        self.stats.refused.of(&(path.to_owned(), reason)).increment();
        let label = (account.provider, Outcome::RejectedSignature.as_str());
        self.stats.observations.of(&label).increment();
        let room = self.keeping.has_room_for_refused();
        let (kept, first) = self.keeping.sampler.note(&account.path, address, room, Instant::now());
        if first {
            tracing::warn!(path, reason, %address, "webhooks are refused; their number follows at the end");
        } else {
            tracing::debug!(path, reason, %address, kept, "webhook refused");
        }
        if kept {
            self.stats.refused_kept.of(path).increment();
            let recording = self.refused_recording(account, raw);
            if let Err(problem) = recording.keep_refused(&detail).await {
                return problem;
            }
        }
        Problem::wrong_signature(detail)
    }
}

/// Why a request is refused that has no secret, as metrics name it.
pub(super) const NO_SECRET: &str = "missing_secret";

/// Why requests are refused, likewise.
pub(super) const REASONS: [&str; 8] = [
    "missing_signature",
    "wrong_signature",
    NO_SECRET,
    "wrong_secret",
    "wrong_body",
    "too_many_fields",
    "stale_signature",
    "used_signature",
];

const fn reason(refusal: WebhookRefusal) -> &'static str {
    match refusal {
        WebhookRefusal::MissingSignature => "missing_signature",
        WebhookRefusal::WrongSignature => "wrong_signature",
        WebhookRefusal::MissingSecret => NO_SECRET,
        WebhookRefusal::WrongSecret => "wrong_secret",
        WebhookRefusal::WrongBody => "wrong_body",
        WebhookRefusal::TooManyFields => "too_many_fields",
        WebhookRefusal::Stale => "stale_signature",
        WebhookRefusal::Used => "used_signature",
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const RATES: RefusedRates = RefusedRates { by_address_per_minute: 3, by_path_per_minute: 6 };

    fn address(n: u32) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(n) << 64))
    }

    #[test]
    fn an_address_and_a_path_have_a_rate_each() {
        let (sampler, start) = (Sampler::new(RATES), Instant::now());
        let kept = |path: &str, n, seconds| {
            let now = start + Duration::from_secs(seconds);
            sampler.note(&Arc::from(path), address(n), true, now).0
        };
        let count = |path: &str, n, seconds| (0..100).filter(|_| kept(path, n, seconds)).count();
        assert_eq!((count("a", 1, 0), count("a", 2, 0), count("a", 3, 0)), (3, 3, 0));
        assert_eq!(count("b", 1, 0), 3, "another path has a rate of its own");
        assert_eq!(count("a", 3, 20), 2, "a third of a minute, a third of the path's rate");
        assert_eq!(count("a", 1, 3_600), 3, "no more after an hour than after a minute");
        assert!(
            !sampler.note(&"a".into(), address(7), false, start + Duration::from_secs(7_200)).0,
            "no room"
        );
    }

    #[test]
    fn addresses_beyond_number_take_no_more_memory_and_no_more_rows() {
        let rates = RefusedRates { by_address_per_minute: 3, by_path_per_minute: 100 };
        let (sampler, start) = (Sampler::new(rates), Instant::now());
        let kept =
            (0..20_000).filter(|n| sampler.note(&"a".into(), address(*n), true, start).0).count();
        assert_eq!(kept, 100);
        assert!(sampler.state().addresses.len() <= ADDRESSES_MAX + 1);
        let later = start + Duration::from_secs(120);
        assert!(sampler.note(&"a".into(), address(50_000), true, later).0);
        assert_eq!(sampler.state().addresses.len(), 1, "rested ones are forgotten");
    }

    #[test]
    fn an_episode_is_told_once_with_its_number() {
        let (sampler, start) = (Sampler::new(RATES), Instant::now());
        let firsts =
            (0..10).filter(|_| sampler.note(&"a".into(), address(1), true, start).1).count();
        assert_eq!(firsts, 1);
        assert_eq!(sampler.over(start + Duration::from_secs(59)), []);
        let episode = Episode { began: start, last: start, refused: 10, kept: 3 };
        assert_eq!(
            sampler.over(start + Duration::from_secs(60)),
            [(Arc::<str>::from("a"), episode)]
        );
        assert_eq!(sampler.over(start + Duration::from_secs(120)), []);
        assert!(sampler.note(&"a".into(), address(1), true, start + Duration::from_secs(121)).1);
    }
}
