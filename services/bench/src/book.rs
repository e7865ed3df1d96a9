//! The book of one run: what became of each request, and when.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use uuid::Uuid;

use crate::plan::Plan;

/// Digits to which latencies are kept, and the longest that is told from longer ones: a day.
const DIGITS: u8 = 3;
const LATENCY_MAX_US: u64 = 86_400_000_000;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestAnswer {
    /// 202, with the message's id.
    Accepted(Uuid),
    /// 429 or 503: to come again later.
    Refused,
    /// Anything else, in a few words.
    Failed(String),
}

/// How far a run had come at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Since the start.
    pub(crate) at: Duration,
    /// Requests that were due.
    pub(crate) offered: u64,
    /// Requests that were accepted.
    pub(crate) accepted: u64,
    /// Requests that were told to come again.
    pub(crate) refused: u64,
    /// Requests that failed in any other way.
    pub(crate) errors: u64,
    /// Messages that were shown as delivered.
    pub(crate) completed: u64,
    /// Messages that were shown as final or in doubt.
    pub(crate) settled: u64,
}

/// What is known of a run; shared by those who send and those who watch.
pub(crate) struct Book {
    plan: Plan,
    start: Instant,
    entries: Mutex<Entries>,
}

/// The entries.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    /// Requests that were accepted, with the message.
    pub(crate) accepted: Vec<(u64, Uuid)>,
    /// Why others failed, and how many.
    pub(crate) failures: BTreeMap<String, u64>,
    /// From when a request was due until its answer, in microseconds.
    pub(crate) accept: Histogram<u64>,
    /// From when a request was due until its message was shown as delivered, in microseconds.
    pub(crate) end_to_end: Histogram<u64>,
    /// Messages that were shown as delivered, with when, since the start; only where somebody asked for them.
    pub(crate) delivered: Vec<(Uuid, Duration)>,
    /// The course of the run.
    pub(crate) samples: Vec<Sample>,
    pub(crate) now: Sample,
    /// Accepted messages that are not settled, and their requests.
    pending: HashMap<Uuid, u64>,
    /// Settled before the answer to their request had been read.
    early: HashMap<Uuid, Settled>,
}

/// A message that was found to be final or in doubt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    /// When it was found.
    pub(crate) at: Instant,
    /// Whether it was delivered.
    pub(crate) delivered: bool,
}

impl Book {
    /// The book of a run of `plan` that starts at `start`.
    pub(crate) fn new(plan: Plan, start: Instant) -> Self {
        let histogram = || Histogram::new_with_max(LATENCY_MAX_US, DIGITS).expect("valid bounds");
        let entries = Entries {
            accepted: Vec::new(),
            failures: BTreeMap::new(),
            accept: histogram(),
            end_to_end: histogram(),
            delivered: Vec::new(),
            samples: Vec::new(),
            now: Sample::default(),
            pending: HashMap::new(),
            early: HashMap::new(),
        };
        Self { plan, start, entries: Mutex::new(entries) }
    }

    /// The plan.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// When the first request was due.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Notes the answer to request `n`, which had been read at `at`.
    pub(crate) fn answered(&self, n: u64, answer: RequestAnswer, at: Instant) {
        let mut entries = self.lock();
        match answer {
            RequestAnswer::Accepted(id) => {
                entries.now.accepted += 1;
                entries.accepted.push((n, id));
                record(&mut entries.accept, self.latency(n, at));
                match entries.early.remove(&id) {
                    Some(settled) => self.settle(&mut entries, (n, id), settled),
                    None => drop(entries.pending.insert(id, n)),
                }
            }
            RequestAnswer::Refused => entries.now.refused += 1,
            RequestAnswer::Failed(why) => {
                entries.now.errors += 1;
                *entries.failures.entry(why).or_default() += 1;
            }
        }
    }

    /// Notes that message `id` is settled. Messages of others are none of this book's.
    pub(crate) fn settled(&self, id: Uuid, settled: Settled) {
        let mut entries = self.lock();
        if let Some(n) = entries.pending.remove(&id) {
            self.settle(&mut entries, (n, id), settled);
        } else if (entries.early.len() as u64) < self.plan.requests() {
            entries.early.entry(id).or_insert(settled);
        }
    }

    fn settle(&self, entries: &mut Entries, (n, id): (u64, Uuid), settled: Settled) {
        let Settled { at, delivered } = settled;
        entries.now.settled += 1;
        if delivered {
            entries.now.completed += 1;
            if self.plan.keeps_delivered {
                entries.delivered.push((id, at.saturating_duration_since(self.start)));
            }
            record(&mut entries.end_to_end, self.latency(n, at));
        }
    }

    fn latency(&self, n: u64, at: Instant) -> Duration {
        at.saturating_duration_since(self.start + self.plan.due(n))
    }

    /// How far the run has come at `at`.
    pub(crate) fn now(&self, at: Instant) -> Sample {
        self.sample(&self.lock(), at)
    }

    /// Notes how far the run has come at `at`, for its course.
    pub(crate) fn note(&self, at: Instant) -> Sample {
        let mut entries = self.lock();
        let sample = self.sample(&entries, at);
        entries.samples.push(sample);
        sample
    }

    fn sample(&self, entries: &Entries, at: Instant) -> Sample {
        let at = at.saturating_duration_since(self.start);
        Sample { at, offered: self.plan.due_by(at), ..entries.now }
    }

    /// The entries, once nobody writes any more.
    pub(crate) fn entries(&self) -> Entries {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const ID: Uuid = Uuid::from_u128(1);

    #[test]
    fn latency_counts_from_when_a_request_was_due_however_late_it_went_out() {
        // Given request 5, due half a second after the start.
        let start = Instant::now();
        let book = Book::new(Plan::of(10, 1), start);
        // When it is answered after 530 ms and shown as delivered after 580.
        book.answered(5, RequestAnswer::Accepted(ID), start + 530 * MS);
        book.settled(ID, Settled { at: start + 580 * MS, delivered: true });
        // Then that took 30 and 80 ms.
        let entries = book.entries();
        assert!((30_000..30_100).contains(&entries.accept.max()));
        assert!((80_000..80_100).contains(&entries.end_to_end.max()));
    }

    #[test]
    fn a_message_that_is_delivered_before_the_answer_was_read_counts_once() {
        let start = Instant::now();
        let book = Book::new(Plan::of(10, 1), start);
        book.settled(ID, Settled { at: start + 20 * MS, delivered: true });
        assert_eq!(book.now(start + 20 * MS).completed, 0, "perhaps somebody else's");
        book.answered(0, RequestAnswer::Accepted(ID), start + 30 * MS);
        book.settled(ID, Settled { at: start + 40 * MS, delivered: true });
        let now = book.now(start + 50 * MS);
        assert_eq!((now.accepted, now.completed, now.settled), (1, 1, 1));
        assert!((20_000..20_100).contains(&book.entries().end_to_end.max()));
    }

    #[test]
    fn what_is_refused_or_fails_is_counted_with_its_reason_and_has_no_latency() {
        let start = Instant::now();
        let book = Book::new(Plan::of(10, 1), start);
        book.answered(0, RequestAnswer::Failed("500".to_owned()), start);
        book.answered(2, RequestAnswer::Refused, start);
        book.answered(1, RequestAnswer::Accepted(ID), start + 101 * MS);
        book.settled(ID, Settled { at: start + 102 * MS, delivered: false });
        let now = book.note(start + 150 * MS);
        let expected = Sample {
            at: 150 * MS,
            offered: 2,
            accepted: 1,
            refused: 1,
            errors: 1,
            completed: 0,
            settled: 1,
        };
        assert_eq!(now, expected);
        let entries = book.entries();
        assert_eq!(entries.samples, [expected]);
        assert_eq!((entries.accept.len(), entries.end_to_end.len()), (1, 0));
        assert_eq!(entries.failures["500"], 1);
    }
}
