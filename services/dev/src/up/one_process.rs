//! The simulator and every role as tasks of this process.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ready::ready;
use super::{Application, UpLocations, announce};

/// How long a part may take to end by itself before it is dropped.
const GRACE: Duration = Duration::from_secs(15);

/// Runs until `stop`, or until a part ends by itself.
pub(super) async fn run(
    application: Arc<impl Application>,
    place: &UpLocations,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut simulator = Part::start(|stop| Arc::clone(&application).simulate(place.clone(), stop));
    let mut roles = Part::start(|stop| application.serve(place.clone(), stop));
    let started = async {
        ready(place.listen).await;
        announce(&mut std::io::stdout(), place, &[])?;
        std::future::pending().await
    };
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        outcome = roles.ended() => outcome.context("the roles ended"),
        outcome = simulator.ended() => outcome.context("the simulator ended"),
        outcome = started => outcome,
    };
    roles.stop("roles").await;
    simulator.stop("simulator").await;
    outcome
}

struct Part {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Part {
    fn start<F>(run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(run(stop.clone())), stop }
    }

    /// Waits for an end that nobody asked for, which is an error however it came.
    async fn ended(&mut self) -> anyhow::Result<()> {
        match (&mut self.task).await {
            Ok(Ok(())) => Err(anyhow!("nobody asked it to")),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(panic.into()),
        }
    }

    async fn stop(mut self, name: &str) {
        self.stop.cancel();
        if self.task.is_finished() {
            return;
        }
        match tokio::time::timeout(GRACE, &mut self.task).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(part = name, "failed while stopping: {error:#}"),
            Ok(Err(panic)) => tracing::warn!(part = name, "failed while stopping: {panic}"),
            Err(_) => {
                tracing::warn!(part = name, "did not end in time");
                self.task.abort();
            }
        }
    }
}
