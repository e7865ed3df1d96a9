//! Foreign messages of the bus: what this process meets is put on record, for everybody.

use std::time::Duration;

use hatch_bus::{Bus, ForeignMessage};
use hatch_eventstore::{Connection, Connections, report_foreign};
use tokio_util::sync::CancellationToken;

/// Between two attempts to put a find on record.
const AGAIN: Duration = Duration::from_secs(1);

/// How long one may take.
const REPORT_MAX: Duration = Duration::from_secs(4);

/// Reports what `bus` meets, so that its generation ends, until `shutdown`.
pub(crate) async fn report(bus: Bus, pool: Connections, shutdown: CancellationToken) {
    let mut found = bus.foreign();
    let reporting = async {
        loop {
            let newest = *found.borrow_and_update();
            if let Some(message) = newest {
                while let Err(error) = put_on_record(&pool, message).await {
                    tracing::warn!("a foreign message is not on record yet: {error:#}");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            if found.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = shutdown.run_until_cancelled(reporting).await;
}

async fn put_on_record(pool: &Connections, message: ForeignMessage) -> anyhow::Result<()> {
    let report = async |client: &mut Connection| {
        Ok(report_foreign(client, message.generation, &message.to_string()).await?)
    };
    pool.within(REPORT_MAX, report).await
}
