//! The figures of a run as one page that needs nothing else: styles and charts are in it.

mod bars;
mod chart;
mod scale;

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::book::Sample;
use crate::disturb::Disturbed;
use crate::overload::{Curve, Step};
use crate::plan::{Goal, Plan};
use crate::report::{Latencies, Report};
use crate::{Measured, Outcome, describe};
use chart::{Chart, Series};
use scale::Scale;

const STYLE: &str = include_str!("style.css");
/// Points of a line over time at most.
const POINTS_MAX: usize = 150;

/// The page.
pub(crate) fn page(outcome: &Outcome) -> String {
    let Outcome { measured, report } = outcome;
    let plan = &measured.plan;
    let disturbed = report.disturbed.as_ref();
    let [shares, disturbances] = disturbed.map_or([const { None }; 2], disturbances);
    let [curve, waits, steps] = report.overload.as_ref().map_or([const { None }; 3], overload);
    let charts = [
        shares,
        disturbances,
        curve,
        waits,
        steps,
        latencies(measured, table(report)),
        throughput(measured),
        backlog(measured),
        bars::svg(&report.cpu_us_per_message),
    ];
    let figures = charts.into_iter().flatten().fold(String::new(), |all, chart| all + &chart);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>hatch bench: {what}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>hatch bench</h1><p>{what}{goal}</p></header>\n\
         {tiles}\n<main>\n{figures}</main>\n</body>\n</html>\n",
        what = describe(plan),
        goal = match plan.goal {
            Goal::Accepted => ", accepted only",
            Goal::Delivered => ", until shown as delivered",
        },
        tiles = tiles(report),
    )
}

/// What one wants to know first.
fn tiles(report: &Report) -> String {
    let found = &report.reconciliation;
    let mut tiles = vec![
        ("accepted", per_second(report.accepted_per_s), report.errors == 0),
        ("refused", report.refused.to_string(), true),
        ("errors", report.errors.to_string(), report.errors == 0),
        ("lost", found.lost.to_string(), found.lost == 0),
        ("doubled", found.doubled.to_string(), found.doubled == 0),
        ("stuck", found.stuck.to_string(), found.stuck == 0),
        ("in doubt", found.in_doubt.to_string(), true),
        ("fdatasync", format!("{:.0}<small> µs</small>", report.fdatasync_us), true),
    ];
    if let Some(completed) = report.completed_per_s {
        tiles.insert(1, ("completed", per_second(completed), true));
    }
    if let Some(rate) = report.max_rate_per_s {
        tiles.insert(0, ("highest held", per_second(rate), rate > 0.0));
    }
    let mut html = "<section class=\"tiles\">".to_owned();
    for (name, value, good) in tiles {
        let class = if good { "tile" } else { "tile bad" };
        // Writing to a String does not fail.
        let _ = write!(html, "<div class=\"{class}\"><b>{value}</b><span>{name}</span></div>");
    }
    html + "</section>"
}

fn per_second(rate: f64) -> String {
    format!("{}<small>/s</small>", scale::number(rate.round()))
}

/// The distribution of the latencies, the rarer the further to the right.
fn latencies(measured: &Measured, below: String) -> Option<String> {
    let accept = quantiles(&measured.entries.accept);
    let end_to_end = match measured.plan.goal {
        Goal::Delivered => quantiles(&measured.entries.end_to_end),
        Goal::Accepted => Vec::new(),
    };
    Chart {
        title: "Latency by percentile, ms",
        x: Scale::Nines,
        y: Scale::Logarithmic,
        series: vec![
            Series { name: "accept".into(), class: "a", points: accept },
            Series { name: "end to end".into(), class: "b", points: end_to_end },
        ],
        filled: false,
        below,
    }
    .svg()
}

/// Points of the distribution, as far to the right as the number of values bears.
fn quantiles(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    const STEPS_A_DIGIT: f64 = 20.0;
    let nines_max = (histogram.len().max(1) as f64).log10();
    let steps = (0..).map(|step| f64::from(step) / STEPS_A_DIGIT);
    let quantiles =
        steps.take_while(|nines| *nines <= nines_max).map(|nines| 1.0 - 10_f64.powf(-nines));
    // The quantile 0 is no value that was recorded, and the scale has no zero.
    let least = histogram.min_nz().min(histogram.max()).max(1);
    let ms = |quantile| histogram.value_at_quantile(quantile).max(least) as f64 / 1_000.0;
    if histogram.is_empty() { Vec::new() } else { quantiles.map(|q| (q, ms(q))).collect() }
}

fn throughput(measured: &Measured) -> Option<String> {
    let Measured { plan, entries, .. } = measured;
    let mut series = vec![
        Series {
            name: "offered".into(),
            class: "c",
            points: rates(plan, &entries.samples, |s| s.offered),
        },
        Series {
            name: "accepted".into(),
            class: "a",
            points: rates(plan, &entries.samples, |s| s.accepted),
        },
    ];
    if plan.goal == Goal::Delivered {
        let points = rates(plan, &entries.samples, |s| s.completed);
        series.push(Series { name: "completed".into(), class: "b", points });
    }
    let title = "Throughput, messages a second";
    Chart {
        title,
        x: Scale::Seconds,
        y: Scale::Linear,
        series,
        filled: false,
        below: String::new(),
    }
    .svg()
}

/// How fast a count grew, over steps that are wide enough to be steady.
fn rates(plan: &Plan, samples: &[Sample], count: impl Fn(&Sample) -> u64) -> Vec<(f64, f64)> {
    const STEPS_MIN: usize = 5;
    let within = samples.iter().filter(|sample| sample.at <= plan.duration).count();
    let step = (within / POINTS_MAX).max(STEPS_MIN);
    let ends: Vec<_> = samples.iter().step_by(step).collect();
    let rate = |(from, to): (&&Sample, &&Sample)| {
        let seconds = (to.at - from.at).as_secs_f64();
        (seconds > 0.0).then(|| {
            let middle = from.at.as_secs_f64() + seconds / 2.0;
            (middle, (count(to) - count(from)) as f64 / seconds)
        })
    };
    ends.iter().zip(ends.iter().skip(1)).filter_map(rate).collect()
}

fn backlog(measured: &Measured) -> Option<String> {
    let Measured { plan, entries, .. } = measured;
    let step = entries.samples.len().div_ceil(POINTS_MAX).max(1);
    let point = |sample: &Sample| (sample.at.as_secs_f64(), sample.backlog(plan.goal) as f64);
    let points = entries.samples.iter().step_by(step).map(point).collect();
    let series = vec![Series { name: "backlog".into(), class: "a", points }];
    let title = "Backlog, messages";
    Chart { title, x: Scale::Seconds, y: Scale::Linear, series, filled: true, below: String::new() }
        .svg()
}

/// What becomes of each rate that is offered, and how long that takes. The last step goes back.
fn overload(curve: &Curve) -> [Option<String>; 3] {
    let steps = &curve.steps[..curve.steps.len().saturating_sub(1)];
    let line = |name: &'static str, class, value: fn(&Step) -> Option<f64>| {
        let points = steps.iter().filter_map(|step| Some((step.offered_per_s, value(step)?)));
        Series { name: name.into(), class, points: points.collect() }
    };
    let rates = vec![
        line("offered", "c", |step| Some(step.offered_per_s)),
        line("accepted", "a", |step| Some(step.accepted_per_s)),
        line("completed", "b", |step| step.completed_per_s),
    ];
    let p99s = vec![
        line("accept", "a", |step| step.accept_ms.map(|ms| ms.p99)),
        line("end to end", "b", |step| step.end_to_end_ms.map(|ms| ms.p99)),
    ];
    let chart = |title, y, series| {
        Chart { title, x: Scale::Linear, y, series, filled: false, below: String::new() }.svg()
    };
    let table = curve.table();
    [
        chart("Messages a second, by what is offered", Scale::Linear, rates),
        chart("Latency at the 99th percentile, ms", Scale::Logarithmic, p99s),
        Some(format!("<figure class=\"wide\"><pre>{}</pre></figure>", table.trim_matches('\n'))),
    ]
}

/// The share that each account delivered, second by second, and when which disturbance was.
fn disturbances(found: &Disturbed) -> [Option<String>; 2] {
    const CLASSES: [&str; 5] = ["a", "b", "d", "e", "f"];
    let seconds = &found.seconds;
    let of = |(name, class): (&str, &'static str)| {
        let points = seconds.iter().filter(|second| second.delivered > 0).map(|second| {
            let share = second.by_account.get(name).copied().unwrap_or_default();
            (second.at_s as f64 + 0.5, share * 100.0)
        });
        Series { name: escaped(name).into(), class, points: points.collect() }
    };
    let mut series: Vec<Series> =
        found.accounts().into_iter().zip(CLASSES.into_iter().cycle()).map(of).collect();
    let mut points = vec![(0.0, 0.0)];
    for one in &found.disturbances {
        let (from, to) = (one.from_s, one.to_s);
        points.extend([(from, 0.0), (from, 100.0), (to, 100.0), (to, 0.0)]);
    }
    series.push(Series { name: "disturbed".into(), class: "c", points });
    let chart = Chart {
        title: "Share that each account delivered in each second, %",
        x: Scale::Seconds,
        y: Scale::Linear,
        series,
        filled: false,
        below: String::new(),
    };
    let table = escaped(found.table().trim_matches('\n'));
    [chart.svg(), Some(format!("<figure class=\"wide\"><pre>{table}</pre></figure>"))]
}

/// A text from elsewhere, as a page may hold it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The percentiles as text.
fn table(report: &Report) -> String {
    let row = |name: &str, one: &Option<Latencies>| {
        one.map_or_else(String::new, |l| {
            let cells = [l.p50, l.p90, l.p99, l.p999, l.max].map(|ms| format!("<td>{ms:.2}</td>"));
            format!("<tr><th>{name}</th>{}</tr>", cells.concat())
        })
    };
    format!(
        "<table><tr><th></th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>{}{}\
         </table>",
        row("accept", &report.accept_ms),
        row("end to end", &report.end_to_end_ms),
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use uuid::Uuid;

    use super::*;
    use crate::book::{Book, RequestAnswer, Settled};
    use crate::overload;
    use crate::reconcile::Reconciliation;

    fn outcome(messages: u64) -> Outcome {
        let plan = Plan::of(100, 2);
        let start = Instant::now();
        let book = Book::new(plan, start);
        for n in 0..messages {
            let (id, at) = (Uuid::from_u128(n.into()), start + plan.due(n));
            book.answered(n, RequestAnswer::Accepted(id), at + Duration::from_millis(2));
            book.settled(id, Settled { at: at + Duration::from_millis(30), delivered: true });
        }
        for n in 0..=20 {
            book.note(start + Duration::from_millis(n * 100));
        }
        let cpu = [("postgres".to_owned(), Duration::from_millis(9))].into();
        let measured = Measured::new(&book, cpu);
        let found = Reconciliation { lost: 3, ..Reconciliation::default() };
        let report = Report::new(&measured, found, None, Duration::from_micros(140));
        Outcome { measured, report }
    }

    #[test]
    fn the_page_has_every_chart_and_needs_nothing_from_elsewhere() {
        let page = page(&outcome(200));
        assert_eq!(page.matches("<svg").count(), 4);
        assert_eq!(page.matches("</svg>").count(), 4);
        for foreign in ["<script", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
        assert!(page.contains("<div class=\"tile bad\"><b>3</b><span>lost</span></div>"));
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn the_curve_of_an_overload_comes_first() {
        let mut outcome = outcome(200);
        let steps = overload::SHARES.map(|share| Step::of(share, &outcome.report, 2.0));
        outcome.report.overload = Some(Curve { ceiling_per_s: 100, steps: steps.into() });
        let page = page(&outcome);
        assert_eq!(page.matches("<svg").count(), 6);
        assert!(
            page.contains("<figure class=\"wide\"><pre>share") && !page.contains("NaN"),
            "{page}"
        );
    }

    #[test]
    fn the_shares_of_the_accounts_come_first_where_one_was_disturbed() {
        use crate::disturb::testing::disturbed;
        let mut outcome = outcome(200);
        outcome.report.disturbed = Some(disturbed());
        let page = page(&outcome);
        assert_eq!(page.matches("<svg").count(), 5);
        for part in ["second</span>", "class=\"line c\"", "<pre>first"] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("NaN"));
    }

    #[test]
    fn a_run_without_a_single_answer_has_a_page_too() {
        let page = page(&outcome(0));
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
