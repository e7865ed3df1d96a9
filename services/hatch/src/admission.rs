//! Tells admission how far dispatchers and projections are, and whether webhooks are behind, as
//! PostgreSQL knows it: whatever process they are, and without asking the bus.

use std::time::Duration;

use hatch_api::admission::{Admission, Intake, Rules, Signals};
use hatch_domain::ids::TenantId;
use hatch_eventstore::{Connection, Connections, HeadWatch};
use hatch_readmodel::Projections;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::settings::AdmissionSettings;

/// Between two looks: short against the shortest wait that may be aimed for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long one look may take; without an answer nothing is limited.
const LOOK_MAX: Duration = Duration::from_millis(500);
/// Projections that have not moved for so long are not waited for.
const MOVED_WITHIN: Duration = Duration::from_secs(1);
/// Webhooks that nobody has said to be behind for so long are not.
const BEHIND_WITHIN: Duration = Duration::from_secs(1);
/// Between two counts of all that waits, and how long one may take.
const COUNT_EVERY: Duration = Duration::from_secs(5);
const COUNT_MAX: Duration = Duration::from_secs(2);
/// Between two looks for tenants of which very many wait, and how long one may take: it counts what the largest have.
const LINES_EVERY: Duration = Duration::from_secs(30);
const LINES_MAX: Duration = Duration::from_secs(10);
/// Waits that can be aimed for, in milliseconds: progress is known to a quarter of a second.
const WAIT_MS: std::ops::RangeInclusive<u64> = 200..=60_000;
const WAIT_MS_DEFAULT: u64 = 400;
const BURST_DEFAULT: u64 = 2_000;

/// The rules that the settings ask for.
///
/// # Errors
/// A setting that is out of range, with its name.
pub(crate) fn rules(settings: &AdmissionSettings) -> anyhow::Result<Rules> {
    let AdmissionSettings { wait_ms, burst, waiting_max, waiting_per_tenant_max, .. } = *settings;
    let wait_ms = wait_ms.unwrap_or(WAIT_MS_DEFAULT);
    let burst = burst.unwrap_or(BURST_DEFAULT);
    anyhow::ensure!(
        WAIT_MS.contains(&wait_ms),
        "configuration: admission.wait_ms: expected {} to {}, got {wait_ms}",
        WAIT_MS.start(),
        WAIT_MS.end()
    );
    anyhow::ensure!(burst > 0, "configuration: admission.burst: expected at least 1");
    anyhow::ensure!(waiting_max > 0, "configuration: admission.waiting_max: expected at least 1");
    anyhow::ensure!(
        waiting_per_tenant_max > 0,
        "configuration: admission.waiting_per_tenant_max: expected at least 1"
    );
    Ok(Rules { wait: Duration::from_millis(wait_ms), burst })
}

/// The admission that the settings ask for.
///
/// # Errors
/// As [`rules`].
pub(crate) fn of(settings: &AdmissionSettings) -> anyhow::Result<Admission> {
    let rules = rules(settings)?;
    Ok(if settings.enabled { Admission::new(rules) } else { Admission::unlimited() })
}

/// Says until `shutdown`, while webhooks are behind, that they are.
pub(crate) async fn report(intake: Intake, pool: Connections, shutdown: CancellationToken) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        if intake.is_behind() {
            // What fails is not made up for: the next report says the same.
            let _ = say_behind(&pool).await;
        }
    }
}

async fn say_behind(pool: &Connections) -> anyhow::Result<()> {
    let say =
        async |client: &mut Connection| Ok(hatch_readmodel::report_webhooks_behind(client).await?);
    pool.within(LOOK_MAX, say).await
}

/// Tells `admission` of tenants of which `most` messages or more wait in lines, until `shutdown`.
pub(crate) async fn watch_lines(
    admission: Admission,
    most: u64,
    pool: Connections,
    shutdown: CancellationToken,
) {
    let mut ticks = interval(LINES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let crowded = async |client: &mut Connection| {
            Ok::<_, anyhow::Error>(hatch_dispatcher::crowded_tenants(client, limit).await?)
        };
        // What cannot be counted is taken for what it was when it last could.
        if let Ok(tenants) = pool.within(LINES_MAX, crowded).await {
            admission.observe_lines(tenants.into_iter().map(TenantId).collect(), most);
        }
    }
}

/// Tells `admission` until `shutdown`.
pub(crate) async fn run(
    admission: Admission,
    waiting_max: u64,
    projections: Projections,
    pool: Connections,
    head: HeadWatch,
    shutdown: CancellationToken,
) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_full, mut count_at) = (false, Instant::now());
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        if Instant::now() >= count_at {
            // What cannot be counted is taken for what it was when it last could.
            let counted = count(&pool, waiting_max).await;
            is_full = counted.map_or(is_full, |count| count >= waiting_max);
            count_at = Instant::now() + COUNT_EVERY;
        }
        let signals = look(&pool, projections).await.unwrap_or_default();
        admission.observe(&Signals { head: head.current(), is_full, ..signals });
    }
}

async fn look(pool: &Connections, projections: Projections) -> anyhow::Result<Signals> {
    let look = async |client: &mut Connection| {
        let projections =
            hatch_readmodel::slowest_moving(client, projections, MOVED_WITHIN).await?;
        let queues = hatch_dispatcher::progress(client).await?;
        let webhooks_behind = hatch_readmodel::webhooks_behind(client, BEHIND_WITHIN).await?;
        Ok(Signals { projections, queues, webhooks_behind, ..Signals::default() })
    };
    pool.within(LOOK_MAX, look).await
}

/// About how many messages wait.
async fn count(pool: &Connections, waiting_max: u64) -> anyhow::Result<u64> {
    let due_max = i64::try_from(waiting_max).unwrap_or(i64::MAX);
    let count = async |client: &mut Connection| {
        Ok::<_, anyhow::Error>(hatch_dispatcher::waiting(client, due_max).await?)
    };
    let waiting = pool.within(COUNT_MAX, count).await?;
    Ok(u64::try_from(waiting).unwrap_or_default())
}
