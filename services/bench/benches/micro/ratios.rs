//! The table at the end: ours beside raw, from criterion's own figures.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hatch::output;
use serde_json::Value;

/// Prints every pair that was measured in this run, and how long the disk takes. `rounds` are the folders of
/// its rounds.
pub(crate) fn print(rounds: &[PathBuf]) -> anyhow::Result<()> {
    let disk = hatch_bench::disk::fdatasync(&std::env::temp_dir())?;
    let [hatch, raw, share, least, most] = ["hatch", "raw", "raw/hatch", "least", "most"];
    output::line(format_args!(
        "\n{:<44}{hatch:>12}{raw:>12}{share:>11}{least:>8}{most:>8}",
        "µs each, median of the rounds"
    ))?;
    let Some(first) = rounds.first() else { return Ok(()) };
    for group in children(first)? {
        for size in children(&first.join(&group).join("hatch"))? {
            let of =
                |whose| rounds.iter().map(|round| figure(round, &group, whose, &size)).collect();
            let (Ok(ours), Ok(raws)): (Figures, Figures) = (of("hatch"), of("raw")) else {
                continue;
            };
            let shares = sorted(raws.iter().zip(&ours).map(|(raw, ours)| raw / ours).collect());
            let (least, share, most) = (shares[0], median(&shares), shares[shares.len() - 1]);
            let (ours, raw) = (median(&sorted(ours)), median(&sorted(raws)));
            let name = format!("{group} {size}");
            output::line(format_args!(
                "{name:<44}{ours:>12.2}{raw:>12.2}{share:>11.2}{least:>8.2}{most:>8.2}"
            ))?;
        }
    }
    output::line(format_args!("\nfdatasync {:.1} µs", disk.as_secs_f64() * 1e6))?;
    Ok(())
}

/// One of each round.
type Figures = anyhow::Result<Vec<f64>>;

fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// The names of the folders in `folder`, but for those of reports; none when there is no such folder.
fn children(folder: &Path) -> anyhow::Result<Vec<String>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "report" {
            names.push(name);
        }
    }
    names.sort_by_key(|name| (name.parse::<u32>().unwrap_or_default(), name.clone()));
    Ok(names)
}

/// Microseconds for each event in one round, the median of its samples.
fn figure(round: &Path, group: &str, whose: &str, size: &str) -> anyhow::Result<f64> {
    let folder = round.join(group).join(whose).join(size).join("new");
    let read = |name: &str| -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&std::fs::read_to_string(folder.join(name))?)?)
    };
    let estimates = read("estimates.json")?;
    let median = estimates["median"]["point_estimate"].as_f64().context("no median")?;
    let benchmark = read("benchmark.json")?;
    let elements = benchmark["throughput"]["Elements"].as_f64().context("no throughput")?;
    Ok(median / 1_000.0 / elements)
}
