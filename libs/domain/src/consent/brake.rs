//! The brake on what answers words by itself: two machines that answer each other must come to an end.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::words::Confirmed;

/// How long after its answer a call for help has no other one. What changes a wish is no echo: whoever withdraws is told
/// so each time.
const ANSWERS_APART: TimeDelta = TimeDelta::hours(1);

/// Answers to one word in a day at most.
const ANSWERS_A_DAY_MAX: usize = 10;

/// When each word was answered, of the latest answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answers(BTreeMap<Confirmed, VecDeque<DateTime<Utc>>>);

impl Answers {
    /// Whether the word may have another answer at that time. Processes have clocks of their own, so an answer that
    /// seems to come from the future counts like one that is as old.
    pub(super) fn admits(&self, word: Confirmed, at: DateTime<Utc>) -> bool {
        let times = || self.0.get(&word).into_iter().flatten();
        let within = |time: &DateTime<Utc>, span| (at - *time).abs() < span;
        let lately = word == Confirmed::Help && times().any(|time| within(time, ANSWERS_APART));
        let today = times().filter(|time| within(time, TimeDelta::days(1))).count();
        !lately && today < ANSWERS_A_DAY_MAX
    }

    /// The word has an answer.
    pub(super) fn answered(&mut self, word: Confirmed, at: DateTime<Utc>) {
        let times = self.0.entry(word).or_default();
        // No more than these are ever compared with.
        if times.len() == ANSWERS_A_DAY_MAX {
            times.pop_front();
        }
        times.push_back(at);
    }
}
