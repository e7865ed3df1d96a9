//! Who has signed in. A session is a row of a table; each process has those in memory that were used there lately, and
//! asks about all of them in one statement. So a request costs no query unless it is the first of its session, and a
//! session that is ended anywhere is refused everywhere within a second.

mod held;
mod table;
mod work;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hatch_domain::Environment;
use hatch_domain::ids::{MemberId, SessionId, TenantId};
use hatch_eventstore::{Connections, Position, Unanswered};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::held::{Held, Unknown};
use crate::uses::Use;

/// How long a session goes on that nobody uses.
pub const SESSION_IDLE_MAX: TimeDelta = TimeDelta::hours(12);

/// How long one goes on at most.
pub const SESSION_LIFE_MAX: TimeDelta = TimeDelta::days(14);

/// Sessions of a member at a time; the oldest ends for another one.
const SESSIONS_OF_MEMBER_MAX: i64 = 100;

/// Sessions of a list at most.
const LISTED_MAX: i64 = 200;

/// Sessions that are asked for at a time because they are not in memory, and how long others wait for their turn. Whoever
/// invents some gets no further, and leaves most connections to others.
const LOOK_UPS_MAX: usize = 4;
const TURN_MAX: Duration = Duration::from_millis(500);

/// How long PostgreSQL may take for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What a session's secret is kept as: its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionHash([u8; 32]);

impl SessionHash {
    /// Of a secret.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Debug for SessionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionHash(..)")
    }
}

/// A session that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The session as it is shown.
    pub id: SessionId,
    /// Of which tenant.
    pub tenant_id: TenantId,
    /// Whose.
    pub member_id: MemberId,
    /// How often all of the member's sessions had been ended when it began. It counts as long as that is so.
    pub generation: i32,
    /// How far the log was known where it began: whoever knows less cannot say yet whether it counts.
    pub position: Position,
    /// When it ends, however much it is used.
    pub ends_at: DateTime<Utc>,
}

/// A session that is to begin.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The session.
    pub session: Session,
    /// How its member signed in: `password` or `oidc`.
    pub way: &'static str,
    /// When, from where and by what.
    pub used: Use,
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session.
    pub session: Session,
    /// How its member signed in.
    pub way: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was used last, known some seconds late.
    pub seen_at: DateTime<Utc>,
    /// From where.
    pub ip: IpAddr,
    /// By which browser, as that calls itself.
    pub user_agent: Option<String>,
}

/// Why it is not known whether there is such a session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no connection, or no answer in time.
    #[error("no answer from the database")]
    Unanswered(#[from] Unanswered),
    /// PostgreSQL refused or was lost.
    #[error("the database refused or was lost")]
    Postgres(#[from] tokio_postgres::Error),
    /// Too many are asked for.
    #[error("too many sessions are looked for")]
    Busy,
}

/// The sessions of an installation; cheap to clone, and the clones are one.
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
}

struct Shared {
    connections: Connections,
    environment: Arc<dyn Environment>,
    held: Held,
    unknown: Unknown,
    look_ups: Semaphore,
}

impl Sessions {
    /// The sessions, and the worker that asks about those in memory until `shutdown`.
    pub fn start(
        connections: Connections,
        environment: Arc<dyn Environment>,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (held, look_ups) = (Held::default(), Semaphore::new(LOOK_UPS_MAX));
        let unknown = Unknown::default();
        let shared = Shared { connections, environment, held, unknown, look_ups };
        let sessions = Self { shared: Arc::new(shared) };
        let working = sessions.clone();
        let worker = async move {
            // It goes on for ever.
            let _ = shutdown.run_until_cancelled(work::run(&working.shared)).await;
            work::write_seen(&working.shared).await;
        };
        (sessions, worker)
    }

    /// Begins a session that this opens. It is recorded when this returns.
    ///
    /// # Errors
    /// It is not known to be recorded: nobody is told its secret.
    pub async fn begin(&self, hash: SessionHash, begun: &Begun) -> Result<(), SessionError> {
        table::insert(&self.shared.connections, hash, begun).await?;
        self.shared.held.insert(hash, begun.session, begun.used.at);
        Ok(())
    }

    /// The session that this opens, used as `used` says.
    ///
    /// # Errors
    /// It is not in memory, and PostgreSQL does not answer.
    pub async fn find(
        &self,
        hash: SessionHash,
        used: &Use,
    ) -> Result<Option<Session>, SessionError> {
        if let Some(found) = self.shared.held.touch(hash, used) {
            return Ok(found);
        }
        let turn = timeout(TURN_MAX, self.shared.look_ups.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or(SessionError::Busy)?;
        let found = table::find(&self.shared.connections, hash, used.at).await?;
        if let Some((session, seen_at)) = found {
            self.shared.held.insert(hash, session, seen_at);
            self.shared.held.touch(hash, used);
        } else {
            self.shared.unknown.insert(hash, used.at);
        }
        Ok(found.map(|(session, _)| session))
    }

    /// Whether it was found out a moment ago that this opens nothing.
    #[must_use]
    pub fn opens_nothing(&self, hash: SessionHash, now: DateTime<Utc>) -> bool {
        self.shared.unknown.has(hash, now)
    }

    /// Whether what this opens is in memory, so that nothing has to be asked for it.
    #[must_use]
    pub fn holds(&self, hash: SessionHash) -> bool {
        self.shared.held.holds(hash)
    }

    /// Whether the session that this opens goes on, as far as is known here: nothing is asked.
    #[must_use]
    pub fn goes_on(&self, hash: SessionHash) -> bool {
        self.shared.held.goes_on(hash, self.shared.environment.now())
    }

    /// Whose a session of the tenant is, if there is one of that id.
    ///
    /// # Errors
    /// PostgreSQL does not answer.
    pub async fn member_of(
        &self,
        tenant: TenantId,
        id: SessionId,
    ) -> Result<Option<MemberId>, SessionError> {
        table::member_of(&self.shared.connections, tenant, id).await
    }

    /// Ends a session of the tenant, of this member if one is named; says whose it was. It is refused here from now on, and
    /// elsewhere within a second.
    ///
    /// # Errors
    /// It is not known to be ended.
    pub async fn end(
        &self,
        tenant: TenantId,
        member: Option<MemberId>,
        id: SessionId,
    ) -> Result<Option<MemberId>, SessionError> {
        let ended = table::delete(&self.shared.connections, tenant, member, id).await?;
        if ended.is_some() {
            self.shared.held.forget(id);
        }
        Ok(ended)
    }

    /// The sessions of the tenant that go on, of this member if one is named, the newest first.
    ///
    /// # Errors
    /// PostgreSQL does not answer.
    pub async fn list(
        &self,
        tenant: TenantId,
        member: Option<MemberId>,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        let now = self.shared.environment.now();
        table::list(&self.shared.connections, tenant, member, now).await
    }
}
