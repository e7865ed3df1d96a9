//! What a run comes to: the figures, as JSON and as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::Measured;
use crate::disturb::Disturbed;
use crate::overload::Curve;
use crate::plan::Goal;
use crate::reconcile::Reconciliation;

/// The figures of a run. What was not measured is `null`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Requests that were due, a second.
    pub(crate) offered_per_s: f64,
    /// Requests that were accepted while requests were due, a second.
    pub(crate) accepted_per_s: f64,
    /// Messages that were shown as delivered while requests were due, a second.
    pub(crate) completed_per_s: Option<f64>,
    /// Requests that were told to come again: 429 or 503.
    pub(crate) refused: u64,
    /// Requests that failed in any other way.
    pub(crate) errors: u64,
    /// From when a request was due until its answer.
    pub(crate) accept_ms: Option<Latencies>,
    /// From when a request was due until its message was shown as delivered.
    pub(crate) end_to_end_ms: Option<Latencies>,
    /// Processor time of each process for each accepted message.
    pub(crate) cpu_us_per_message: BTreeMap<String, f64>,
    /// What is wrong with messages of this program's run, of all rates that were tried.
    #[serde(flatten)]
    pub(crate) reconciliation: Reconciliation,
    /// The highest rate that was held, where it was searched for.
    pub(crate) max_rate_per_s: Option<f64>,
    /// The median of an 8 kB write and `fdatasync`, before the run.
    pub(crate) fdatasync_us: f64,
    /// The steps of `--overload`, of which the other figures are those at twice the ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) overload: Option<Curve>,
    /// What `--disturb` came to.
    #[serde(flatten)]
    pub(crate) disturbed: Option<Disturbed>,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Latencies {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Latencies {
    /// Of a histogram in microseconds; `None` when it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let ms = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Self {
            p50: ms(0.5),
            p90: ms(0.9),
            p99: ms(0.99),
            p999: ms(0.999),
            max: milliseconds(histogram.max()),
        })
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000.0
}

impl Report {
    /// The figures of `measured`.
    pub(crate) fn new(
        measured: &Measured,
        reconciliation: Reconciliation,
        max_rate: Option<u32>,
        fdatasync: Duration,
    ) -> Self {
        let Measured { plan, entries, cpu, .. } = measured;
        let end = measured.end();
        let per_second =
            |count: u64| rounded(count as f64 / end.at.as_secs_f64().max(f64::EPSILON));
        let messages = entries.accepted.len();
        let per_message = |used: &Duration| rounded(used.as_secs_f64() * 1e6 / messages as f64);
        let cpu = cpu.iter().filter(|_| messages > 0);
        Self {
            offered_per_s: f64::from(plan.rate),
            accepted_per_s: per_second(end.accepted),
            completed_per_s: (plan.goal == Goal::Delivered).then(|| per_second(end.completed)),
            refused: entries.now.refused,
            errors: entries.failures.values().sum(),
            accept_ms: Latencies::of(&entries.accept),
            end_to_end_ms: match plan.goal {
                Goal::Delivered => Latencies::of(&entries.end_to_end),
                Goal::Accepted => None,
            },
            cpu_us_per_message: cpu.map(|(name, used)| (name.clone(), per_message(used))).collect(),
            reconciliation,
            max_rate_per_s: max_rate.map(f64::from),
            fdatasync_us: rounded(fdatasync.as_secs_f64() * 1e6),
            overload: None,
            disturbed: None,
        }
    }

    /// The figures as a table, with why requests failed.
    pub(crate) fn table(&self, failures: &BTreeMap<String, u64>) -> String {
        let mut table = String::new();
        // Writing to a String does not fail.
        let _ = self.write(&mut table, failures);
        table
    }

    fn write(&self, out: &mut String, failures: &BTreeMap<String, u64>) -> std::fmt::Result {
        writeln!(out, "\noffered       {:>10.1} /s", self.offered_per_s)?;
        writeln!(out, "accepted      {:>10.1} /s", self.accepted_per_s)?;
        if let Some(completed) = self.completed_per_s {
            writeln!(out, "completed     {completed:>10.1} /s")?;
        }
        writeln!(out, "refused       {:>10}", self.refused)?;
        writeln!(out, "errors        {:>10}", self.errors)?;
        for (why, count) in failures {
            writeln!(out, "  {why}: {count}")?;
        }
        if let Some(rate) = self.max_rate_per_s {
            writeln!(out, "highest held  {rate:>10.1} /s")?;
        }
        let latencies =
            [("accept", self.accept_ms), ("end to end", self.end_to_end_ms)].map(|(name, one)| {
                one.map(|l| {
                    format!(
                        "{name:<14}{:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}\n",
                        l.p50, l.p90, l.p99, l.p999, l.max
                    )
                })
            });
        writeln!(out, "\nlatency, ms         p50       p90       p99     p99.9       max")?;
        out.extend(latencies.into_iter().flatten());
        if !self.cpu_us_per_message.is_empty() {
            writeln!(out, "\nCPU, µs a message")?;
            for (name, used) in &self.cpu_us_per_message {
                writeln!(out, "{name:<14}{used:>9.1}")?;
            }
            let sum: f64 = self.cpu_us_per_message.values().sum();
            writeln!(out, "{:<14}{sum:>9.1}", "together")?;
        }
        let Reconciliation { lost, doubled, stuck, in_doubt } = self.reconciliation;
        writeln!(out, "\nfdatasync     {:>9.1} µs", self.fdatasync_us)?;
        write!(
            out,
            "reconciled    {lost} lost, {doubled} doubled, {stuck} stuck, {in_doubt} in doubt"
        )?;
        if let Some(disturbed) = &self.disturbed {
            write!(out, "\n{}", disturbed.table())?;
        }
        match &self.overload {
            Some(curve) => write!(out, "\n{}", curve.table()),
            None => Ok(()),
        }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;
    use crate::book::{Book, RequestAnswer, Settled};
    use crate::plan::Plan;

    /// 100 requests over 10 s; request `n` is answered `n` and delivered `10 n` milliseconds late.
    fn measured(goal: Goal) -> Measured {
        let plan = Plan { goal, ..Plan::of(10, 10) };
        let start = Instant::now();
        let book = Book::new(plan, start);
        for n in 0..98 {
            let id = Uuid::from_u128(n.into());
            let late = |ms: u64| start + plan.due(n) + Duration::from_millis(ms);
            book.answered(n, RequestAnswer::Accepted(id), late(n));
            book.settled(id, Settled { at: late(10 * n), delivered: true });
        }
        book.answered(98, RequestAnswer::Failed("answered 500".to_owned()), start);
        book.answered(99, RequestAnswer::Refused, start);
        book.note(start + plan.duration);
        let cpu = [("relay".to_owned(), Duration::from_millis(98))].into();
        Measured::new(&book, cpu)
    }

    #[test]
    fn the_json_has_the_promised_fields_and_no_others() {
        let fdatasync = Duration::from_nanos(137_250);
        let measured = measured(Goal::Delivered);
        let report = Report::new(&measured, Reconciliation::default(), None, fdatasync);
        let json = serde_json::to_value(&report).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "offered_per_s": 10.0,
                "accepted_per_s": 9.8,
                "completed_per_s": 9.8,
                "refused": 1,
                "errors": 1,
                "accept_ms": json["accept_ms"],
                "end_to_end_ms": json["end_to_end_ms"],
                "cpu_us_per_message": {"relay": 1_000.0},
                "lost": 0, "doubled": 0, "stuck": 0, "in_doubt": 0,
                "max_rate_per_s": null,
                "fdatasync_us": 137.25,
            })
        );
        let keys: Vec<_> = json["accept_ms"].as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["max", "p50", "p90", "p99", "p999"]);
    }

    #[test]
    fn percentiles_are_those_of_the_latencies() {
        let measured = measured(Goal::Delivered);
        let report = Report::new(&measured, Reconciliation::default(), Some(9), Duration::ZERO);
        let accept = report.accept_ms.expect("measured");
        let end_to_end = report.end_to_end_ms.expect("measured");
        let near = |found: f64, expected: f64| (found - expected).abs() <= expected / 100.0;
        assert!(near(accept.p50, 48.0) && near(accept.p90, 88.0), "{accept:?}");
        assert!(near(accept.p99, 97.0) && near(accept.max, 97.0), "{accept:?}");
        assert!(near(end_to_end.p50, 480.0) && near(end_to_end.p999, 970.0), "{end_to_end:?}");
        let table = report.table(&measured.entries.failures);
        for part in [
            "answered 500: 1",
            "refused                1",
            "highest held         9.0",
            "0 lost, 0 doubled",
        ] {
            assert!(table.contains(part), "{table}");
        }
    }

    #[test]
    fn what_was_not_measured_is_null_and_never_zero() {
        let measured = measured(Goal::Accepted);
        let report = Report::new(&measured, Reconciliation::default(), None, Duration::ZERO);
        let json = serde_json::to_value(&report).expect("JSON");
        assert!(json["completed_per_s"].is_null() && json["end_to_end_ms"].is_null());
        assert!(json["accept_ms"].is_object());
    }
}
