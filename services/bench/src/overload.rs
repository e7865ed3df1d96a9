//! `--overload`: the curve of what is offered against what is completed, to twice the ceiling.

use std::fmt::Write as _;

use anyhow::ensure;
use serde::Serialize;

use crate::REQUESTS_MAX;
use crate::plan::Plan;
use crate::report::{Latencies, Report};

/// What is offered in each step, as a share of the ceiling. The last shows that it recovers.
pub(crate) const SHARES: [f64; 7] = [0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 0.5];
/// The step whose figures are those of the whole call: twice the ceiling.
pub(crate) const WORST: usize = 5;

/// The steps, in the order in which they were made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Curve {
    /// The rate that the shares are of.
    pub(crate) ceiling_per_s: u32,
    pub(crate) steps: Vec<Step>,
}

/// A step of the curve. The names are those of the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    /// What was offered, as a share of the ceiling.
    pub(crate) share: f64,
    pub(crate) offered_per_s: f64,
    pub(crate) accepted_per_s: f64,
    /// Requests that were told to come again, a second.
    pub(crate) refused_per_s: f64,
    pub(crate) completed_per_s: Option<f64>,
    pub(crate) errors: u64,
    pub(crate) accept_ms: Option<Latencies>,
    pub(crate) end_to_end_ms: Option<Latencies>,
}

/// The plan of the step that offers `share` of what `ceiling` does.
pub(crate) fn step(ceiling: &Plan, share: f64) -> Plan {
    let rate = (f64::from(ceiling.rate) * share).round().max(1.0) as u32;
    Plan { rate, ..*ceiling }
}

/// Requests of all steps.
fn requests(ceiling: &Plan) -> u64 {
    SHARES.iter().map(|share| step(ceiling, *share).requests()).sum()
}

/// Refuses steps that are too much together with those `sent` before.
///
/// # Errors
/// A sentence that says what was too much.
pub(crate) fn check(ceiling: &Plan, sent: u64) -> anyhow::Result<()> {
    let (requests, Plan { rate, duration, .. }) = (sent + requests(ceiling), ceiling);
    ensure!(
        requests <= REQUESTS_MAX,
        "--overload at a ceiling of {rate}/s for {} s a step comes to {requests} messages; the \
         simulator keeps a record of {REQUESTS_MAX}",
        duration.as_secs()
    );
    Ok(())
}

impl Step {
    /// The step of `share`, which came to `report` in so many seconds.
    pub(crate) fn of(share: f64, report: &Report, seconds: f64) -> Self {
        Self {
            share,
            offered_per_s: report.offered_per_s,
            accepted_per_s: report.accepted_per_s,
            refused_per_s: report.refused as f64 / seconds,
            completed_per_s: report.completed_per_s,
            errors: report.errors,
            accept_ms: report.accept_ms,
            end_to_end_ms: report.end_to_end_ms,
        }
    }
}

impl Curve {
    /// The curve as a table: a second, and in milliseconds.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "\n{:>5} {:>9} {:>9} {:>9} {:>9} {:>7} {:>10} {:>10} {:>10}",
            "share",
            "offered",
            "accepted",
            "refused",
            "completed",
            "errors",
            "accept p50",
            "accept p99",
            "end p99"
        );
        for step in &self.steps {
            let Step { share, offered_per_s, accepted_per_s, refused_per_s, errors, .. } = step;
            let shown = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            // Writing to a String does not fail.
            let _ = write!(
                table,
                "\n{share:>5.2} {offered_per_s:>9.0} {accepted_per_s:>9.0} {refused_per_s:>9.0} \
                 {:>9} {errors:>7} {:>10} {:>10} {:>10}",
                shown(step.completed_per_s, 0),
                shown(step.accept_ms.map(|l| l.p50), 2),
                shown(step.accept_ms.map(|l| l.p99), 2),
                shown(step.end_to_end_ms.map(|l| l.p99), 2),
            );
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_go_to_twice_the_ceiling_and_back() {
        let ceiling = Plan::of(1_001, 10);
        let rates = SHARES.map(|share| step(&ceiling, share).rate);
        assert_eq!(rates, [501, 751, 1_001, 1_251, 1_502, 2_002, 501]);
        assert_eq!(rates[WORST], 2 * ceiling.rate);
        assert_eq!(requests(&ceiling), 75_090);
        assert_eq!(step(&Plan::of(1, 10), 0.1).rate, 1, "never nothing");
    }

    #[test]
    fn the_table_has_a_line_for_each_step_and_a_dash_for_what_was_not_measured() {
        let step = |share, end_to_end_ms| Step {
            share,
            offered_per_s: 100.0 * share,
            accepted_per_s: 99.6,
            refused_per_s: 0.4,
            completed_per_s: None,
            errors: 7,
            accept_ms: None,
            end_to_end_ms,
        };
        let latencies = Latencies { p50: 1.0, p90: 2.0, p99: 3.456, p999: 4.0, max: 5.0 };
        let steps = vec![step(0.5, Some(latencies)), step(2.0, None)];
        let table = Curve { ceiling_per_s: 100, steps }.table();
        let lines: Vec<Vec<&str>> =
            table.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["0.50", "50", "100", "0", "-", "7", "-", "-", "3.46"]);
        assert_eq!(lines[1], ["2.00", "200", "100", "0", "-", "7", "-", "-", "-"]);
        assert_eq!(lines.len(), 2);
    }
}
