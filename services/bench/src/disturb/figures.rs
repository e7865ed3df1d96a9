//! What disturbances come to: by which account messages went in each second, and how soon they changed over.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::{Mode, Period};

/// What must go by other accounts, of what is sent in a second, before it has changed over; and by the account itself,
/// of what it had before, when it has come back.
const MOST: f64 = 0.95;

/// Windows of a second begin so long after one another.
const STEP_S: f64 = 0.1;

/// A message, when and by which account, by hatch's name of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sent {
    /// Since the start of the run.
    pub(super) seconds: f64,
    pub(super) account: String,
}

/// A run, as far as the disturbed account could have carried its messages.
pub(super) struct Course {
    pub(super) account: String,
    /// Messages that fall due a second.
    pub(super) due_per_s: f64,
    /// How long messages fell due.
    pub(super) seconds: u64,
    /// When the simulator took each.
    pub(super) sends: Vec<Sent>,
    /// When each was shown as delivered.
    pub(super) delivered: Vec<Sent>,
}

/// What the disturbances of a run came to. The names are those of the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Disturbed {
    pub(crate) disturbed_account: String,
    pub(crate) disturbances: Vec<Disturbance>,
    /// The whole run, for the chart.
    #[serde(skip)]
    pub(crate) seconds: Vec<Second>,
}

/// What one came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Disturbance {
    pub(crate) mode: Mode,
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    /// From its begin until 95 % of a second's messages went by other accounts.
    pub(crate) switch_ms: Option<f64>,
    /// From its end until the account carried 95 % of its former share in a second.
    pub(crate) back_ms: Option<f64>,
    /// From its begin until the end of the calm after it.
    pub(crate) delivered_share: Vec<Second>,
}

/// What was delivered in one second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Second {
    /// Its begin, since the start of the run.
    pub(crate) at_s: u64,
    pub(crate) delivered: u64,
    /// The share of each account.
    pub(crate) by_account: BTreeMap<String, f64>,
}

impl Course {
    pub(super) fn figures(mut self, periods: &[Period], calm: Duration) -> Disturbed {
        self.sends.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let seconds = self.seconds();
        let (own, others): (Vec<_>, Vec<_>) =
            self.sends.iter().partition(|sent| sent.account == self.account);
        let times = |sends: Vec<&Sent>| sends.iter().map(|sent| sent.seconds).collect();
        let counts = Counts { own: times(own), others: times(others), due_per_s: self.due_per_s };
        let calm_s = calm.as_secs_f64();
        let of = |period: &Period| {
            let (from_s, to_s) = (period.from.as_secs_f64(), period.to.as_secs_f64());
            let before = counts.share(from_s - calm_s / 2.0, from_s);
            let switched = windows(from_s, to_s).find(|at| counts.has_switched(*at));
            let back = windows(to_s, to_s + calm_s)
                .find(|at| before.is_some_and(|before| counts.is_back(*at, before)));
            let until_s = (to_s + calm_s).ceil() as u64;
            let within = |second: &&Second| (from_s as u64..until_s).contains(&second.at_s);
            Disturbance {
                mode: period.mode,
                from_s,
                to_s,
                switch_ms: switched.map(|at| milliseconds(at - from_s)),
                back_ms: back.map(|at| milliseconds(at - to_s)),
                delivered_share: seconds.iter().filter(within).cloned().collect(),
            }
        };
        let disturbances = periods.iter().map(of).collect();
        Disturbed { disturbed_account: self.account, disturbances, seconds }
    }

    /// What was delivered in each second by each account.
    fn seconds(&self) -> Vec<Second> {
        let mut counts: BTreeMap<u64, BTreeMap<&str, u64>> = BTreeMap::new();
        for Sent { seconds, account } in &self.delivered {
            *counts.entry(*seconds as u64).or_default().entry(account).or_default() += 1;
        }
        (0..self.seconds)
            .map(|at_s| {
                let counts = counts.remove(&at_s).unwrap_or_default();
                let delivered: u64 = counts.values().sum();
                let share = |count: u64| (count as f64 / delivered as f64 * 1_000.0).round() / 1e3;
                let by_account = counts.into_iter();
                let by_account =
                    by_account.map(|(name, count)| (name.to_owned(), share(count))).collect();
                Second { at_s, delivered, by_account }
            })
            .collect()
    }
}

/// The times at which messages went by the account and by the others, in order.
struct Counts {
    own: Vec<f64>,
    others: Vec<f64>,
    due_per_s: f64,
}

impl Counts {
    /// The share of the account, of what went from `from` to `to`; nothing where nothing went.
    fn share(&self, from: f64, to: f64) -> Option<f64> {
        let (own, others) = (count(&self.own, from, to), count(&self.others, from, to));
        (own + others > 0.0).then(|| own / (own + others))
    }

    /// Whether in the second from `at` on the others carried what there was, and not only the little that still went.
    fn has_switched(&self, at: f64) -> bool {
        let (own, others) = (count(&self.own, at, at + 1.0), count(&self.others, at, at + 1.0));
        others >= MOST * (own + others).max(self.due_per_s)
    }

    fn is_back(&self, at: f64, before: f64) -> bool {
        self.share(at, at + 1.0).is_some_and(|share| share >= MOST * before)
    }
}

/// How many of `times` are from `from` on and before `to`.
fn count(times: &[f64], from: f64, to: f64) -> f64 {
    let before = |limit: f64| times.partition_point(|time| *time < limit);
    before(to).saturating_sub(before(from)) as f64
}

/// The begins of all windows of a second between two times.
fn windows(from: f64, to: f64) -> impl Iterator<Item = f64> {
    (0_u32..).map(move |n| from + f64::from(n) * STEP_S).take_while(move |at| at + 1.0 <= to + 1e-9)
}

fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e3).round()
}

impl Disturbed {
    /// The disturbances as a table.
    pub(crate) fn table(&self) -> String {
        let shown =
            |ms: Option<f64>| ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0}"));
        let mut table = format!(
            "\n{:<12} {:>7} {:>7} {:>10} {:>8} {:>15}",
            self.disturbed_account, "from s", "to s", "switch ms", "back ms", "least delivered"
        );
        for one in &self.disturbances {
            let mode = format!("{:?}", one.mode).to_lowercase();
            let least = one.delivered_share.iter().map(|second| second.delivered).min();
            // Writing to a String does not fail.
            let _ = write!(
                table,
                "\n{mode:<12} {:>7.0} {:>7.0} {:>10} {:>8} {:>13}/s",
                one.from_s,
                one.to_s,
                shown(one.switch_ms),
                shown(one.back_ms),
                least.unwrap_or_default(),
            );
        }
        table
    }

    /// The accounts that delivered anything, the disturbed one first.
    pub(crate) fn accounts(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .seconds
            .iter()
            .flat_map(|second| second.by_account.keys())
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        names.sort_by_key(|name| *name != self.disturbed_account);
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten messages a second for 60 s: by `a`, but from second 16 to 47 by `b`, and for a second in between by nobody.
    fn course() -> Course {
        let sent = |n: u32| {
            let seconds = f64::from(n) / 10.0 + 0.05;
            let account = if (16.0..47.0).contains(&seconds) { "b" } else { "a" };
            Sent { seconds, account: account.to_owned() }
        };
        let sends: Vec<Sent> =
            (0..600).map(sent).filter(|sent| !(15.0..16.0).contains(&sent.seconds)).collect();
        let delivered = sends.clone();
        Course { account: "a".to_owned(), due_per_s: 10.0, seconds: 60, sends, delivered }
    }

    fn period() -> Period {
        let (from, to) = (Duration::from_secs(15), Duration::from_secs(45));
        Period { mode: Mode::Down, from, to }
    }

    #[test]
    fn it_has_changed_over_when_the_others_carry_all_and_not_when_nobody_carries_anything() {
        let found = course().figures(&[period()], Duration::from_secs(15));
        let down = &found.disturbances[0];
        assert_eq!((down.switch_ms, down.back_ms), (Some(1_000.0), Some(2_000.0)));
        assert_eq!(found.accounts(), ["a", "b"]);
        assert!(found.table().contains("down"), "{}", found.table());
    }

    #[test]
    fn each_second_says_what_each_account_delivered() {
        let found = course().figures(&[period()], Duration::from_secs(15));
        let shares = &found.disturbances[0].delivered_share;
        assert_eq!((shares.len(), shares[0].at_s), (45, 15));
        assert_eq!((shares[0].delivered, shares[0].by_account.len()), (0, 0));
        assert_eq!(shares[1].by_account, BTreeMap::from([("b".to_owned(), 1.0)]));
        assert_eq!(shares[44].by_account, BTreeMap::from([("a".to_owned(), 1.0)]));
        assert_eq!(found.seconds.len(), 60);
    }

    #[test]
    fn what_never_changes_over_has_no_time() {
        let mut course = course();
        course.sends.iter_mut().for_each(|sent| "a".clone_into(&mut sent.account));
        let found = course.figures(&[period()], Duration::from_secs(15));
        assert_eq!(found.disturbances[0].switch_ms, None);
        assert_eq!(found.disturbances[0].back_ms, Some(0.0));
        assert!(found.table().contains("never"));
    }
}
