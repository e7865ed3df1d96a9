//! The role that writes the read models.

use futures::future::BoxFuture;
use hatch_projector::Dependencies;
use hatch_readmodel::ReadModel;

use super::configured::projector_config;
use super::definition::{RoleDefinition, RoleInstance};
use super::process::{Follows, Process, Workers};
use crate::telemetry::exposition::{Metric, Samples};
use crate::telemetry::metrics::{LAG_MAX, flag, gauge, number};

pub(super) const DEFINITION: RoleDefinition = RoleDefinition {
    name: "projector",
    about: "Writes the read models",
    requests: None,
    follows: Follows::Feed,
    make: |_| Ok(Box::new(Projector)),
};

struct Projector;

impl RoleInstance for Projector {
    fn start(&self, process: &Process, workers: &mut Workers) -> anyhow::Result<()> {
        let dependencies = Dependencies {
            pool: process.pool.clone(),
            log: process.log.clone(),
            head: process.head.clone(),
            projections: process.projections,
            feed: process.feed.clone(),
        };
        let config = projector_config(&process.settings)?;
        workers.spawn(hatch_projector::run(dependencies, config, process.workers.clone()));
        Ok(())
    }

    fn metrics<'a>(&'a self, process: &'a Process) -> BoxFuture<'a, Vec<Metric>> {
        Box::pin(async move {
            let mut samples = [const { Samples::new() }; 4];
            let (mut unsent, mut doubted) = (Samples::new(), Samples::new());
            if process.runs(DEFINITION.name) {
                let read_model = ReadModel::of(process.pool.clone(), process.projections);
                let (asked, oldest, in_doubt) = tokio::join!(
                    tokio::time::timeout(LAG_MAX, read_model.projections()),
                    tokio::time::timeout(LAG_MAX, read_model.oldest_unsent()),
                    tokio::time::timeout(LAG_MAX, read_model.oldest_in_doubt()),
                );
                if let Ok(Ok(seconds)) = in_doubt {
                    doubted.push((vec![], seconds));
                }
                if let Ok(Ok(seconds)) = oldest {
                    unsent.push((vec![], seconds));
                }
                for status in asked.into_iter().flatten().flatten() {
                    let values = [
                        number(status.position.0),
                        number(status.lag_events),
                        status.lag_seconds,
                        flag(status.halt.is_some()),
                    ];
                    for (samples, value) in samples.iter_mut().zip(values) {
                        let labels = vec![
                            ("projection", status.name.to_owned()),
                            ("version", status.version.to_string()),
                        ];
                        samples.push((labels, value));
                    }
                }
            }
            let mut metrics: Vec<Metric> = named(samples).into();
            metrics.push(gauge(
                "hatch_messages_oldest_unsent_seconds",
                "How long the oldest message waits that could be sent and is not, 0 without one",
                unsent,
            ));
            metrics.push(gauge(
                "hatch_messages_oldest_in_doubt_seconds",
                "How long the oldest message in doubt has been so, 0 without one",
                doubted,
            ));
            metrics
        })
    }
}

fn named(samples: [Samples<f64>; 4]) -> [Metric; 4] {
    let [position, events, waited, halted] = samples;
    [
        gauge("hatch_projection_position", "The projection's checkpoint", position),
        gauge("hatch_projection_lag_events", "Events that it has yet to apply", events),
        gauge("hatch_projection_lag_seconds", "How long the oldest of them has waited", waited),
        gauge("hatch_projection_halted", "Whether it met an event that it cannot apply", halted),
    ]
}
