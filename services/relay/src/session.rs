//! The PostgreSQL session that makes a relay the leader, and what it reads and writes there.

use std::time::Duration;

use hatch_eventstore::{BusSecrets, Closed, Database, Fence, open, report_regression};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::{Error, pace};

/// The advisory lock of the leader ("relay" in ASCII).
pub(crate) const LOCK: i64 = 0x72_656c_6179;

/// How long either side may be silent before the session counts as lost, and connecting or a
/// statement may take.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// How often the leader shows that it is at work, so that its session is not an idle one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// The same for the server's side: it frees the lock of a leader whose machine is gone, or whose
/// process stands still.
const OPTIONS: &str = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=1 \
     -c tcp_keepalives_count=3 -c tcp_user_timeout=5000 -c statement_timeout=4s \
     -c idle_session_timeout=5s -c application_name=hatch-relay";

const RECORDED: &str = "SELECT coalesce(max(e.epoch), 0), g.generation, g.first_position, g.epoch, \
         g.foreign_at IS NOT NULL, extract(epoch FROM now() - g.created_at)::float8, \
         (SELECT count(*) FROM es.bus_generations \
           WHERE created_at > now() - make_interval(secs => $1)) \
     FROM es.log_epoch AS e \
     LEFT JOIN (SELECT * FROM es.bus_generations ORDER BY generation DESC LIMIT 1) AS g ON true \
     GROUP BY g.generation, g.first_position, g.epoch, g.foreign_at, g.created_at";

/// Tells the fences, which trust what is read from the bus only where it is on record.
const RECORD: &str = "WITH recorded AS ( \
         INSERT INTO es.bus_generations (generation, first_position, epoch) \
         VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING generation) \
     SELECT pg_notify('hatch_fence', '') FROM recorded";

/// A session that holds the leader's lock. Dropping it frees the lock.
pub(crate) struct LeaderSession {
    client: Client,
    lost: CancellationToken,
    _driver: AbortOnDropHandle<()>,
}

/// What is on record of the stream's generations.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// The epoch of the log at the moment.
    pub(crate) epoch: i32,
    /// The last generation.
    pub(crate) last: Option<Generation>,
    /// By which secrets its messages are written and believed.
    pub(crate) secrets: BusSecrets,
}

/// The last generation on record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Generation {
    pub(crate) number: i32,
    pub(crate) first_position: i64,
    /// The epoch of the log in which it began.
    epoch: i32,
    /// Whether somebody found something foreign in it.
    pub(crate) has_foreign: bool,
    /// How long the next one has to wait.
    pub(crate) wait: Duration,
}

impl Recorded {
    /// Whether the log has begun another epoch since. The first began with the log.
    pub(crate) fn is_newer_epoch(&self) -> bool {
        self.epoch > self.last.map_or(1, |last| last.epoch)
    }

    /// The number of the last generation; 0 when there was none.
    pub(crate) fn generation(&self) -> i32 {
        self.last.map_or(0, |last| last.number)
    }
}

impl LeaderSession {
    /// A session with the lock; `None` when another relay has it.
    ///
    /// The lock is tried, not waited for: a statement that waits would hold back the cleaning up of
    /// dead rows in the whole database.
    pub(crate) async fn lead(postgres: &Database) -> Result<Option<Self>, Error> {
        let mut postgres = postgres.clone();
        let options = match postgres.get_options() {
            Some(given) => format!("{OPTIONS} {given}"),
            None => OPTIONS.to_owned(),
        };
        postgres
            .options(options)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(SILENCE_MAX)
            .tcp_user_timeout(SILENCE_MAX)
            .keepalives(true)
            .keepalives_idle(SILENCE_MAX)
            .keepalives_interval(SILENCE_MAX / 5)
            .keepalives_retries(3);
        let (client, connection) = timeout(SILENCE_MAX, open(&postgres)).await??;
        let lost = CancellationToken::new();
        let ended = lost.clone().drop_guard();
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ended = ended;
            if let Err(error) = connection.await {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, "the relay's session ended");
            }
        }));
        let row =
            timeout(SILENCE_MAX, client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]));
        let leads: bool = row.await??.get(0);
        Ok(leads.then_some(Self { client, lost, _driver: driver }))
    }

    /// Keeps the session, and with it the lock; returns when they are lost.
    pub(crate) async fn hold(&self) {
        while self.lost.run_until_cancelled(tokio::time::sleep(SIGN_OF_LIFE)).await.is_some() {
            let shown = timeout(SILENCE_MAX, self.client.batch_execute("")).await;
            if !matches!(shown, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Why the server of this session is fenced, if it is.
    pub(crate) async fn closed(&self, fence: &Fence) -> Result<Option<Closed>, Error> {
        Ok(timeout(SILENCE_MAX, fence.check(&self.client)).await??)
    }

    /// Closes the fence for everybody.
    pub(crate) async fn report(&self, epoch: i32, detail: &str) -> Result<(), Error> {
        Ok(timeout(SILENCE_MAX, report_regression(&self.client, epoch, detail)).await??)
    }

    /// Reads what is on record.
    pub(crate) async fn recorded(&self) -> Result<Recorded, Error> {
        let recent = f64::from(pace::RECENT_SECONDS);
        let read = async {
            let row = self.client.query_one(RECORDED, &[&recent]).await?;
            Ok::<_, tokio_postgres::Error>((row, BusSecrets::read(&self.client).await?))
        };
        let (row, secrets) = timeout(SILENCE_MAX, read).await??;
        let last = match row.try_get::<_, Option<i32>>(1)? {
            None => None,
            Some(number) => Some(Generation {
                number,
                first_position: row.try_get(2)?,
                epoch: row.try_get(3)?,
                has_foreign: row.try_get(4)?,
                wait: pace::wait(row.try_get(6)?, row.try_get(5)?),
            }),
        };
        Ok(Recorded { epoch: row.try_get(0)?, last, secrets })
    }

    /// Puts a generation on record, unless it is.
    pub(crate) async fn record(
        &self,
        generation: i32,
        first_position: i64,
        epoch: i32,
    ) -> Result<(), Error> {
        timeout(SILENCE_MAX, self.client.execute(RECORD, &[&generation, &first_position, &epoch]))
            .await??;
        Ok(())
    }
}
