//! A migrated PostgreSQL database of its own for each test, a proxy that breaks connections, and clocks that are set forward.

mod clock;
mod proxy;
mod wait;

use std::hash::{DefaultHasher, Hash, Hasher};

use hatch_domain::Environment;
use tokio_postgres::Client;

pub use clock::ScriptedClock;
pub use proxy::{Cut, Fault, Proxy};
pub use wait::{Found, PATIENCE, eventually, eventually_within};

use crate::SystemEnvironment;
use crate::postgres::{self, Connected, Database};
use crate::schema::{EVENTSTORE, Schema};

/// The variable that names the server to create test databases on.
const SERVER_VARIABLE: &str = "HATCH_TEST_DATABASE_URL";

/// What a test database holds beside the event store's tables.
#[derive(Clone, Copy)]
pub struct Template {
    /// Keeps templates of different content apart: part of the template database's name, so
    /// `[a-z_]` and short.
    pub name: &'static str,
    /// Schemas to migrate, in this order, after the event store's, which may be among them.
    pub schemas: fn() -> Vec<Schema>,
    /// SQL to run at the end, such as tables that only tests have.
    pub sql: &'static str,
}

/// SQL that gives partitions ten positions instead of ten million, for [`Template::sql`] or a
/// database without events.
pub const SMALL_PARTITIONS: &str = "
    DO $$
    DECLARE
        partition regclass;
        function regprocedure;
    BEGIN
        FOR partition IN
            SELECT inhrelid FROM pg_inherits WHERE inhparent = 'es.events'::regclass
        LOOP
            EXECUTE format('DROP TABLE %s', partition);
        END LOOP;
        FOREACH function IN ARRAY
            ARRAY['es.create_partition(bigint)', 'es.ensure_partitions(int)']::regprocedure[]
        LOOP
            EXECUTE replace(pg_get_functiondef(function), '10000000', '10');
        END LOOP;
    END $$;
    SELECT es.ensure_partitions(3)";

/// The event store's tables and nothing else.
const EVENTSTORE_ONLY: Template = Template { name: "eventstore", schemas: Vec::new, sql: "" };

/// A database that is this test's alone and is dropped with this value.
///
/// It is cloned from a template that is migrated once for each content of the schemas, whichever
/// test process comes first.
pub struct TestDatabase {
    server_url: String,
    server: Database,
    config: Database,
    name: String,
}

impl TestDatabase {
    /// A database with the event store's tables.
    pub async fn create() -> Self {
        Self::create_from(&EVENTSTORE_ONLY).await
    }

    /// A database with what `template` says.
    ///
    /// # Panics
    /// When there is no test server, or it refuses.
    pub async fn create_from(template: &Template) -> Self {
        Self::create_at(&server_url(), template).await
    }

    /// The same on the server at `url`.
    ///
    /// # Panics
    /// When there is no server, or it refuses.
    pub async fn create_at(url: &str, template: &Template) -> Self {
        let server: Database = url.parse().expect("the server's URL is one");
        let admin = connect(&server).await;
        let source = template.ensure(&server, &admin).await;
        let name = format!("hatch_test_{}", SystemEnvironment.new_id().simple());
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {source}"))
            .await
            .expect("the template can be cloned");
        let mut config = server.clone();
        config.dbname(&name);
        Self { server_url: url.to_owned(), server, config, name }
    }

    /// How to connect to it.
    #[must_use]
    pub fn config(&self) -> Database {
        self.config.clone()
    }

    /// Its URL.
    ///
    /// # Panics
    /// When the server's URL names no database.
    #[must_use]
    pub fn url(&self) -> String {
        let url = &self.server_url;
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let (base, _) = path.rsplit_once('/').expect("the server's URL ends in a database");
        format!("{base}/{}?{query}", self.name)
    }

    /// A connection to it.
    pub async fn connect(&self) -> Connected {
        connect(&self.config).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let server = self.server.clone();
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A thread, because a runtime cannot be entered twice and the test's may be gone.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let admin = postgres::connect(&server).await.map_err(std::io::Error::other)?;
                admin.batch_execute(&sql).await.map_err(std::io::Error::other)
            })
        })
        .join();
        if !matches!(dropped, Ok(Ok(()))) {
            tracing::warn!(database = self.name, "test database not dropped");
        }
    }
}

impl Template {
    /// The template database's name; made by whoever comes first, the others wait.
    async fn ensure(&self, server: &Database, admin: &Client) -> String {
        let name = format!("hatch_template_{}_{:016x}", self.name, self.fingerprint());
        let lock = i64::from_ne_bytes(hash(&name).to_ne_bytes());
        admin.execute("SELECT pg_advisory_lock($1)", &[&lock]).await.expect("the lock is got");
        // Made a template as the last step: one that is not was left half made by a crash.
        let finished: Option<bool> = admin
            .query_opt("SELECT datistemplate FROM pg_database WHERE datname = $1", &[&name])
            .await
            .expect("databases can be listed")
            .map(|row| row.get(0));
        if finished != Some(true) {
            self.make(server, admin, &name).await;
        }
        admin.execute("SELECT pg_advisory_unlock($1)", &[&lock]).await.expect("the lock is held");
        name
    }

    async fn make(&self, server: &Database, admin: &Client, name: &str) {
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await
            .expect("a half-made template can be dropped");
        admin
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .expect("databases can be made");
        let mut config = server.clone();
        config.dbname(name);
        let mut connected = connect(&config).await;
        for schema in std::iter::once(EVENTSTORE).chain((self.schemas)()) {
            schema.migrate(&mut connected).await.expect("the migrations are right");
        }
        connected.batch_execute(self.sql).await.expect("the template's SQL is right");
        connected.close().await;
        admin
            .batch_execute(&format!("ALTER DATABASE {name} WITH IS_TEMPLATE true"))
            .await
            .expect("a database can become a template");
    }

    fn fingerprint(&self) -> u64 {
        let schemas: Vec<u64> = (self.schemas)().iter().map(Schema::fingerprint).collect();
        hash(&(EVENTSTORE.fingerprint(), schemas, self.sql))
    }
}

async fn connect(config: &Database) -> Connected {
    postgres::connect(config).await.expect("the test server can be reached")
}

fn server_url() -> String {
    std::env::var(SERVER_VARIABLE)
        .unwrap_or_else(|_| panic!("{SERVER_VARIABLE} is not set: run the tests with ./dev test"))
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
