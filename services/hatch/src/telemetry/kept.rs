//! What is kept of webhooks, in numbers.

use hatch_api::webhooks::{Keeping, WebhookStats};

use super::exposition::{Metric, Samples, Values};
use super::metrics::{gauge, labelled, number, seconds};

/// Webhooks that are not signed.
pub(crate) fn refused(stats: &WebhookStats) -> [Metric; 2] {
    let refused = stats.refused.all().into_iter().map(|((path, reason), counter)| {
        let labels = vec![("path", path), ("reason", reason.to_owned())];
        (labels, counter.get())
    });
    [
        Metric {
            name: "hatch_webhook_refused",
            help: "Webhooks that their provider has not signed: missing_signature, \
                   wrong_signature, missing_secret, wrong_secret, wrong_body, too_many_fields, \
                   stale_signature or used_signature",
            values: Values::Counter(refused.collect()),
        },
        Metric {
            name: "hatch_webhook_refused_kept",
            help: "Of those, the sample that is kept in the webhook log",
            values: labelled("path", &stats.refused_kept),
        },
    ]
}

/// What is kept of webhooks, as this process saw it within the last seconds.
pub(crate) fn kept(keeping: Option<&Keeping>) -> [Metric; 8] {
    let mut samples = [const { Samples::new() }; 8];
    if let Some(keeping) = keeping {
        let kept = keeping.kept();
        for kept in &kept {
            let labels = || vec![("kind", kept.kind.as_str().to_owned())];
            samples[0].push((labels(), number(kept.rows)));
            samples[1].push((labels(), number(kept.bytes)));
            samples[2].extend(kept.oldest.map(|oldest| (labels(), seconds(oldest))));
            samples[3].push((labels(), number(kept.net_rows)));
            samples[4].extend(kept.prepared_until().map(|until| (labels(), seconds(until))));
        }
        let bytes = |value| number(i64::try_from(value).unwrap_or(i64::MAX));
        for quota in keeping.rules().quotas(&kept) {
            let labels = || vec![("quota", quota.name.to_owned())];
            samples[5].push((labels(), bytes(quota.used)));
            samples[6].push((labels(), bytes(quota.max)));
        }
        for (provider, waiting) in keeping.waiting() {
            samples[7].push((vec![("provider", provider)], bytes(waiting)));
        }
    }
    let [rows, bytes, oldest, nets, until, used, max, waiting] = samples;
    [
        gauge("hatch_webhook_log_rows", "Webhooks and bodies that are kept, about", rows),
        gauge("hatch_webhook_log_bytes", "What they take, with indexes", bytes),
        gauge("hatch_webhook_log_oldest_seconds", "When the oldest came, as Unix time", oldest),
        gauge(
            "hatch_webhook_log_net_rows",
            "Those that are in a net, because their time has no partition",
            nets,
        ),
        gauge(
            "hatch_webhook_log_partitions_until_seconds",
            "Until when there are partitions, as Unix time",
            until,
        ),
        gauge("hatch_webhook_log_quota_used_bytes", "What counts in a quota", used),
        gauge("hatch_webhook_log_quota_bytes", "The quota", max),
        gauge("hatch_waiting_receipts", "Receipts that wait for their message, about", waiting),
    ]
}
