//! The table at the end: ours beside raw, from criterion's own figures.

use std::path::Path;

use anyhow::Context as _;
use hatch::output;
use serde_json::Value;

/// Prints every pair that was measured in this run, and how long the disk takes.
pub(crate) fn print(figures: &Path) -> anyhow::Result<()> {
    let disk = hatch::disk::fdatasync(&std::env::temp_dir())?;
    let [hatch, raw, share] = ["hatch", "raw", "raw/hatch"];
    output::line(format_args!("\n{:<44}{hatch:>12}{raw:>12}{share:>11}", "µs each, median"))?;
    for group in children(figures)? {
        for size in children(&figures.join(&group).join("hatch"))? {
            let ours = median(figures, &group, "hatch", &size);
            let raws = median(figures, &group, "raw", &size);
            let (Ok(ours), Ok(raws)) = (ours, raws) else { continue };
            let name = format!("{group} {size}");
            let share = raws / ours;
            output::line(format_args!("{name:<44}{ours:>12.2}{raws:>12.2}{share:>11.2}"))?;
        }
    }
    output::line(format_args!("\nfdatasync {:.1} µs", disk.as_secs_f64() * 1e6))?;
    Ok(())
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

/// Microseconds for each event.
fn median(figures: &Path, group: &str, whose: &str, size: &str) -> anyhow::Result<f64> {
    let folder = figures.join(group).join(whose).join(size).join("new");
    let read = |name: &str| -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&std::fs::read_to_string(folder.join(name))?)?)
    };
    let estimates = read("estimates.json")?;
    let median = estimates["median"]["point_estimate"].as_f64().context("no median")?;
    let benchmark = read("benchmark.json")?;
    let elements = benchmark["throughput"]["Elements"].as_f64().context("no throughput")?;
    Ok(median / 1_000.0 / elements)
}
