//! The tables, against a real PostgreSQL.

mod applying;
mod behind;
mod keeping;
mod listing;
mod naming;
mod older_builds;
mod plans;
mod recipients;
mod several;
mod waiting;
mod waiting_receipts;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use hatch_eventstore::testing::{Template, TestDatabase};
use hatch_eventstore::{Checkpoint, Connections, Position, RecordedEvent};

use crate::messages::DEFINITION;
use crate::testing::with_counts;
use crate::{Error, Origin, Projection, ReadModel};

const TEMPLATE: Template =
    Template { name: "readmodel", schemas: || crate::schemas(with_counts()), sql: "" };

const TABLES: [&str; 9] = [
    "messages",
    "message_states",
    "message_participants",
    "provider_messages",
    "conversations",
    "conversation_participants",
    "mails",
    "attachments",
    "joined_messages",
];

/// A migrated database of the test's own.
struct Db {
    pool: Connections,
    database: TestDatabase,
}

impl Db {
    async fn new() -> Self {
        let database = TestDatabase::create_from(&TEMPLATE).await;
        let pool = hatch_eventstore::pool(&database.config(), 4, Duration::from_secs(5));
        Self { pool, database }
    }

    /// With `events` applied in one page.
    async fn with(events: &[Arc<RecordedEvent>]) -> Self {
        let db = Self::new().await;
        db.advance(Position::START, events).await.expect("a lawful history");
        db
    }

    async fn client(&self) -> Object {
        self.pool.get().await.expect("the test server answers")
    }

    /// Applies `page` by a projector that thinks that the checkpoint is at `from`.
    async fn advance(
        &self,
        from: Position,
        page: &[Arc<RecordedEvent>],
    ) -> Result<Position, Error> {
        self.go_on(from, page, &mut Projection::of(&DEFINITION)).await
    }

    /// The same by one that remembers the pages before.
    async fn go_on(
        &self,
        from: Position,
        page: &[Arc<RecordedEvent>],
        projection: &mut Projection,
    ) -> Result<Position, Error> {
        let mut client = self.client().await;
        let checkpoint = DEFINITION.checkpoint(&client).await?;
        let checkpoint = Checkpoint { position: from, ..checkpoint };
        let page = (page, Origin::MadeUp);
        Ok(projection.advance(&mut client, &checkpoint, page).await?.position)
    }

    fn read_model(&self) -> ReadModel {
        ReadModel::new(self.pool.clone())
    }

    /// Every row of every table, as text.
    async fn dump(&self) -> Vec<String> {
        let client = self.client().await;
        let mut dump = Vec::new();
        for table in TABLES {
            let sql = format!(
                "SELECT '{table} ' || to_json(t)::text FROM rm_messages_v1.{table} t ORDER BY 1"
            );
            let rows = client.query(&sql, &[]).await.expect("the table can be read");
            dump.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        }
        dump
    }

    async fn checkpoint(&self) -> Checkpoint {
        let client = self.client().await;
        DEFINITION.checkpoint(&client).await.expect("a checkpoint")
    }
}
