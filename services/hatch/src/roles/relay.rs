//! The role that publishes the log on JetStream.

use futures::future::BoxFuture;
use hatch_domain::Environment as _;
use hatch_eventstore::{LogError, Position};
use hatch_relay::{Dependencies, StatusHandle};

use super::configured::relay_config;
use super::definition::{RoleDefinition, RoleInstance};
use super::process::{Follows, Process, Workers};
use crate::telemetry::exposition::{Metric, Samples};
use crate::telemetry::metrics::{LAG_MAX, flag, gauge, number};

pub(super) const DEFINITION: RoleDefinition = RoleDefinition {
    name: "relay",
    about: "Publishes the log on JetStream",
    requests: None,
    follows: Follows::Head,
    make: |_| Ok(Box::new(Relay::default())),
};

#[derive(Default)]
struct Relay {
    status: StatusHandle,
}

impl RoleInstance for Relay {
    fn start(&self, process: &Process, workers: &mut Workers) -> anyhow::Result<()> {
        let dependencies = Dependencies {
            log: process.log.clone(),
            head: process.head.subscribe(),
            postgres: process.postgres.clone(),
            bus: process.bus.clone(),
            fence: process.head.fence().clone(),
            status: self.status.clone(),
        };
        let config = relay_config(&process.settings)?;
        let (hints, shutdown) = (process.head.hints(), process.workers.clone());
        workers.spawn(async move {
            // No other source tells the relay of new events.
            let _hints = hints;
            hatch_relay::run(dependencies, config, shutdown).await;
        });
        Ok(())
    }

    fn metrics<'a>(&'a self, process: &'a Process) -> BoxFuture<'a, Vec<Metric>> {
        Box::pin(async move {
            let mut samples = [const { Samples::new() }; 5];
            if process.runs(DEFINITION.name) {
                let status = self.status.get();
                samples[0].push((vec![], flag(status.leader)));
                samples[1].push((vec![], flag(status.halted.is_some())));
                // Only the leader knows: what another one published, this process has not seen.
                if let Some(position) = status.published.filter(|_| status.leader) {
                    samples[2].push((vec![], number(position.0)));
                    let lag = tokio::time::timeout(LAG_MAX, lag(process, position)).await;
                    if let Ok(Ok((events, seconds))) = lag {
                        samples[3].push((vec![], number(events)));
                        samples[4].push((vec![], seconds));
                    }
                }
            }
            named(samples).into()
        })
    }
}

fn named(samples: [Samples<f64>; 5]) -> [Metric; 5] {
    let [leader, halted, published, events, waited] = samples;
    [
        gauge("hatch_relay_leader", "Whether this relay publishes, 1 or 0", leader),
        gauge(
            "hatch_relay_halted",
            "Whether the leader publishes nothing: the fence is closed or the log damaged",
            halted,
        ),
        gauge("hatch_relay_published_position", "The last position on the bus", published),
        gauge("hatch_relay_lag_events", "Events of the log that are not on the bus", events),
        gauge("hatch_relay_lag_seconds", "How long the oldest of them has waited", waited),
    ]
}

/// How many events come after `position`, and for how many seconds the first has been there.
async fn lag(process: &Process, position: Position) -> Result<(i64, f64), LogError> {
    let head = process.log.head().await?;
    let oldest = process.log.read_at(position.next()).await?;
    let now = process.head.clock().now();
    let waited = oldest.map_or(0.0, |event| (now - event.recorded_at).as_seconds_f64());
    Ok(((head.0 - position.0).max(0), waited.max(0.0)))
}
