//! What PostgreSQL does with the same bytes and nothing around them.

use hatch_eventstore::NewEvent;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::shared::{Life, TENANT};

/// A log without anything but its rows and its two indexes, and a table of states.
const TABLES: &str = "CREATE SCHEMA raw;
    CREATE TABLE raw.events (LIKE es.events);
    ALTER TABLE raw.events ADD PRIMARY KEY (position);
    CREATE UNIQUE INDEX ON raw.events (stream_id, version);
    CREATE TABLE raw.states (LIKE rm_messages_v1.message_states INCLUDING ALL)";
const INSERT: &str = "INSERT INTO raw.events (position, stream_id, version, tenant_id, event_id, \
     type, schema_version, epoch, recorded_at, aggregate, conversation_id, channel, priority, \
     metadata, payload) \
     SELECT position, stream_id, version, tenant_id, event_id, type, schema_version, 1, now(), \
     aggregate, conversation_id, channel, priority, metadata::json, payload::json \
     FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::uuid[], $5::uuid[], $6::text[], \
     $7::smallint[], $8::text[], $9::uuid[], $10::text[], $11::text[], $12::text[], $13::text[]) \
     AS e(position, stream_id, version, tenant_id, event_id, type, schema_version, aggregate, \
     conversation_id, channel, priority, metadata, payload)";
const PAGE: &str = "SELECT position, stream_id, version, tenant_id, event_id, type, \
     schema_version, epoch, recorded_at, aggregate, conversation_id, channel, priority, metadata, \
     payload FROM es.events WHERE position > $1 ORDER BY position LIMIT $2";
const UPSERT: &str = "INSERT INTO raw.states (created_position, tenant_id, status, attempts, \
     updated_at, position) \
     SELECT p, $2, 'delivered', 1, now(), p FROM unnest($1::bigint[]) AS s(p) \
     ON CONFLICT (created_position) DO UPDATE SET status = EXCLUDED.status, \
     attempts = EXCLUDED.attempts, updated_at = EXCLUDED.updated_at, position = EXCLUDED.position";

/// One connection that knows the statements.
pub(crate) struct Raw<'a> {
    client: &'a Client,
    insert: Statement,
    page: Statement,
    upsert: Statement,
}

/// Makes the tables.
pub(crate) async fn create(client: &Client) {
    client.batch_execute(TABLES).await.expect("the tables can be made");
}

impl<'a> Raw<'a> {
    pub(crate) async fn new(client: &'a Client) -> Self {
        let prepared = async {
            Ok::<_, tokio_postgres::Error>(Raw {
                client,
                insert: client.prepare(INSERT).await?,
                page: client.prepare(PAGE).await?,
                upsert: client.prepare(UPSERT).await?,
            })
        };
        prepared.await.expect("the statements are right")
    }

    /// Commits the first event of each of `lives`, from `position` on.
    pub(crate) async fn insert(&self, position: i64, lives: &[Life]) {
        let events: Vec<&NewEvent> = lives.iter().map(|life| &life.events[0]).collect();
        fn each<'e, T>(events: &[&'e NewEvent], of: impl Fn(&'e NewEvent) -> T) -> Vec<T> {
            events.iter().map(|event| of(event)).collect()
        }
        let positions: Vec<i64> = (position..).take(lives.len()).collect();
        let streams: Vec<Uuid> = lives.iter().map(|life| life.stream_id).collect();
        let (versions, tenants) = (vec![1_i64; lives.len()], vec![TENANT.0; lives.len()]);
        let metadata = each(&events, |event| {
            serde_json::to_string(&event.metadata).expect("metadata serialises")
        });
        let parameters: [&(dyn ToSql + Sync); 13] = [
            &positions,
            &streams,
            &versions,
            &tenants,
            &each(&events, |event| event.event_id),
            &each(&events, |event| event.event_type),
            &each(&events, |event| event.schema_version),
            &each(&events, |event| event.routing.aggregate),
            &each(&events, |event| event.routing.conversation_id.map(|id| id.0)),
            &each(&events, |event| event.routing.channel),
            &each(&events, |event| event.routing.priority),
            &metadata,
            &each(&events, |event| event.payload.as_str()),
        ];
        self.client.execute(&self.insert, &parameters).await.expect("rows that fit");
    }

    /// The rows after `after`, not looked at.
    pub(crate) async fn page(&self, after: i64, limit: i64) -> usize {
        self.client.query(&self.page, &[&after, &limit]).await.expect("the log can be read").len()
    }

    /// Writes a row for each of `positions`.
    pub(crate) async fn upsert(&self, positions: &[i64]) {
        self.client.execute(&self.upsert, &[&positions, &TENANT.0]).await.expect("rows that fit");
    }
}
