//! What is kept of webhooks and requests: how much of its quotas it takes, and whether there are partitions for more.

use chrono::TimeDelta;
use hatch_readmodel::{Kept, ReadModel, TrailKind};

use super::database::Database;
use super::finding::Finding;
use crate::roles::keep_rules;
use crate::settings::Settings;

/// How far ahead there are partitions at least, while a process makes them.
const AHEAD_MIN: TimeDelta = TimeDelta::days(1);

const MEBIBYTE: u64 = 1 << 20;

pub(super) const CHECK: &str = "webhook log";

pub(super) const REQUESTS: &str = "request log";

/// One line for all of it.
pub(super) async fn webhook_log(
    settings: &Settings,
    database: &Database,
    read_model: &ReadModel,
) -> anyhow::Result<Finding> {
    let kept = read_model.kept().await?;
    let quotas = keep_rules(settings)?.quotas(&kept);
    let [refused, quarantined, all] = quotas.map(|quota| {
        format!("{} of {} MiB", quota.used.div_ceil(MEBIBYTE), quota.max.div_ceil(MEBIBYTE))
    });
    let what = format!("takes {all}, refused {refused}, quarantined {quarantined}");
    let unprepared =
        |kept: &&Kept| kept.prepared_until().is_none_or(|until| until < database.now + AHEAD_MIN);
    if let Some(kept) = kept.iter().find(unprepared) {
        let what = format!("{what}; no partition is ready for {} of tomorrow", kept.kind.as_str());
        let remedy = "start `hatch serve --roles webhook`, which makes them; where it runs, its log lines say \
            why it cannot. Nothing is refused meanwhile";
        return Ok(Finding::warning(CHECK, what, remedy));
    }
    let reached: Vec<_> = quotas.iter().filter(|quota| quota.is_reached()).collect();
    let Some(first) = reached.first() else { return Ok(Finding::good(CHECK, what)) };
    let remedy = match first.name {
        "refused" => {
            "somebody posts what no provider has signed (hatch_webhook_refused_total says where): no \
            more of it is kept; raise webhook_log.refused_bytes_max to keep more"
        }
        "quarantined" => {
            "replay what waits there after a fix (GET /api/v1/webhook-log?outcome=quarantined), or \
            raise webhook_log.quarantine_bytes_max: nothing of it goes before its time"
        }
        _ => {
            "raise webhook_log.bytes_max, or shorten the retentions: the oldest that is in the log of events goes \
            first"
        }
    };
    Ok(Finding::warning(CHECK, format!("{what}; the quota of {} is reached", first.name), remedy))
}

/// The request log, and the audit of what is no event.
pub(super) async fn request_log(
    settings: &Settings,
    database: &Database,
    read_model: &ReadModel,
) -> anyhow::Result<Finding> {
    let bytes_max = settings.trail_rules()?.requests_bytes_max;
    let partitions = read_model.trail_partitions().await?;
    let of = |kind| partitions.iter().filter(move |partition| partition.kind == kind);
    let bytes: u64 = of(TrailKind::Requests).map(|partition| partition.bytes).sum();
    let (used, max) = (bytes.div_ceil(MEBIBYTE), bytes_max.div_ceil(MEBIBYTE));
    let what = format!("takes {used} of {max} MiB");
    for (kind, name) in [(TrailKind::Requests, "requests"), (TrailKind::Audit, "the audit")] {
        let until = of(kind).map(|partition| partition.until).max();
        if until.is_none_or(|until| until < database.now + AHEAD_MIN) {
            let what = format!("{what}; no partition is ready for {name} of tomorrow");
            let remedy = "start `hatch serve` with a role that answers clients, which makes them; where it runs, its \
                log lines say why it cannot. Nothing is lost meanwhile";
            return Ok(Finding::warning(REQUESTS, what, remedy));
        }
    }
    if bytes > bytes_max {
        let what = format!("{what}; nothing more is written to it");
        let remedy = "raise requests.bytes_max, or wait until the oldest day goes";
        return Ok(Finding::warning(REQUESTS, what, remedy));
    }
    Ok(Finding::good(REQUESTS, what))
}
