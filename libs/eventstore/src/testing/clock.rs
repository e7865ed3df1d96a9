//! Clocks that a test sets forward.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hatch_domain::{Environment, Wait, time};
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use super::{Connected, Database, connect};
use crate::SystemEnvironment;

/// Functions that stand before PostgreSQL's own of the same names, for all who connect from now on. A default of a
/// column is bound to PostgreSQL's own when its table is made, and so does not follow.
const INSTALL: &str = "
    CREATE SCHEMA test_clock;
    CREATE TABLE test_clock.setting (ahead interval NOT NULL);
    INSERT INTO test_clock.setting VALUES ('0');
    CREATE FUNCTION test_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM test_clock.setting';
    CREATE FUNCTION test_clock.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.statement_timestamp() + ahead FROM test_clock.setting';
    CREATE FUNCTION test_clock.transaction_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.now() + ahead FROM test_clock.setting';
    CREATE FUNCTION test_clock.now() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.now() + ahead FROM test_clock.setting';
    GRANT USAGE ON SCHEMA test_clock TO PUBLIC;
    GRANT SELECT ON test_clock.setting TO PUBLIC;
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = test_clock, pg_catalog, public', current_database());
    END $$";

/// The clocks of a scenario, which a test sets forward together: those of its machine, and PostgreSQL's in its
/// database. They go on by themselves, too. Its copies are the same clocks.
#[derive(Clone)]
pub struct ScriptedClock(Arc<Script>);

struct Script {
    /// How far the machine's clocks are ahead of the real ones.
    ahead: watch::Sender<Duration>,
    /// Where the database's clock is set.
    session: Mutex<Connected>,
}

impl ScriptedClock {
    /// The clocks of who connects to the database from now on.
    ///
    /// # Panics
    /// When the database has such clocks already, or is not there.
    pub async fn of(database: &Database) -> Self {
        let session = connect(database).await;
        session.batch_execute(INSTALL).await.expect("the functions can be made");
        Self(Arc::new(Script { ahead: watch::Sender::default(), session: Mutex::new(session) }))
    }

    /// Sets the clocks forward. Whoever waits by them looks at them again.
    ///
    /// # Panics
    /// When the database is not there.
    pub async fn advance(&self, by: Duration) {
        let mut session = self.0.session.lock().await;
        let transaction = session.transaction().await.expect("a transaction");
        let set = "UPDATE test_clock.setting SET ahead = ahead + make_interval(secs => $1)";
        transaction.execute(set, &[&by.as_secs_f64()]).await.expect("the clock can be set");
        // One right after the other: a process that asks for the time in between corrects itself when it asks again.
        self.0.ahead.send_modify(|ahead| *ahead += by);
        transaction.commit().await.expect("the clock can be set");
    }

    fn ahead(&self) -> Duration {
        *self.0.ahead.borrow()
    }
}

impl Environment for ScriptedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemEnvironment.now() + time::delta(self.ahead())
    }

    fn uptime(&self) -> Duration {
        SystemEnvironment.uptime() + self.ahead()
    }

    fn sleep(&self, wait: Duration) -> Wait<'_> {
        Box::pin(async move {
            let (until, mut steps) = (self.uptime() + wait, self.0.ahead.subscribe());
            loop {
                let left = until.saturating_sub(self.uptime());
                if left.is_zero() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(left) => {}
                    // The sender lives as long as this does, so a step is the only outcome.
                    _ = steps.changed() => {}
                }
            }
        })
    }

    fn new_id(&self) -> Uuid {
        SystemEnvironment.new_id()
    }

    fn chance(&self) -> f64 {
        SystemEnvironment.chance()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::testing::TestDatabase;
    use crate::{ServerClock, pool};

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn machine_and_database_are_set_forward_together_and_who_sleeps_wakes() {
        let database = TestDatabase::create().await;
        let scripted = ScriptedClock::of(&database.config()).await;
        let pool = pool(&database.config(), 2, Duration::from_secs(5));
        let server = ServerClock::on(Arc::new(scripted.clone()));
        let real = ServerClock::default().ask(&pool).await.expect("an answer");
        let (asleep, before) = (scripted.clone(), server.ask(&pool).await.expect("an answer"));
        let sleeping = tokio::spawn(async move { asleep.sleep(HOUR).await });
        scripted.advance(HOUR).await;
        sleeping.await.expect("it wakes");
        for now in [server.now(), server.ask(&pool).await.expect("an answer"), server.now()] {
            let later = (now - before - TimeDelta::hours(1)).abs();
            assert!(later < TimeDelta::seconds(30), "it is {later} off");
            assert!(server.is_certain(), "the clocks agree");
        }
        assert!(before - real < TimeDelta::seconds(30), "it began at the real time");
        assert!(scripted.now() - SystemEnvironment.now() >= TimeDelta::minutes(59));
    }
}
