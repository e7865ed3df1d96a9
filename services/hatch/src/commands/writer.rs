//! What a command writes by, that takes no requests.

use std::sync::Arc;

use hatch_domain::actor::Actor;
use hatch_eventstore::{Appender, AppenderConfig, Connections, Log, ServerClock, Store};
use hatch_readmodel::ReadModel;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::pool;
use crate::roles::postgres;
use crate::settings::Settings;

/// A store of its own, and the tables beside it.
pub(crate) struct Writer {
    pub(crate) store: Store,
    pub(crate) read_model: ReadModel,
    pub(crate) pool: Connections,
    ending: CancellationToken,
    appending: JoinHandle<()>,
}

impl Writer {
    pub(crate) async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let ending = CancellationToken::new();
        let (appender, appending) =
            Appender::start(AppenderConfig::default(), postgres(settings)?, ending.clone());
        let (pool, clock) = (pool(settings)?, ServerClock::default());
        clock.ask(&pool).await?;
        Ok(Self {
            store: Store::new(appender, Log::new(pool.clone()), Arc::new(clock)),
            read_model: ReadModel::new(pool.clone()),
            pool,
            ending,
            appending,
        })
    }

    /// Ends when everything is written.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        drop(self.store);
        self.ending.cancel();
        self.appending.await?;
        Ok(())
    }
}

/// Who does it, as events have it.
pub(crate) fn actor() -> Actor {
    Actor::System("cli".to_owned())
}
