//! The one way to ask PostgreSQL: with a limit.
//!
//! A server whose machine is lost behind a proxy, or a backend that stands still, answers nothing and
//! refuses nothing, and the network's own limits are kept by whatever acknowledges bytes. So whoever
//! asks says how long he waits. A connection that did not answer by then is closed, never given to
//! the next one. Who stops waiting earlier leaves a connection that others get only once it has shown
//! that it has nothing under way.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object, Pool, PoolError, Timeouts};
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};

/// A connection as whoever asks has it.
pub type Connection = ClientWrapper;

/// A pool of connections, each of which is asked within a limit; cheap to clone.
#[derive(Debug, Clone)]
pub struct Connections {
    pool: Pool,
}

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// At most.
    pub max: usize,
    /// Open.
    pub open: usize,
    /// Of those, not in use.
    pub idle: usize,
    /// Those who wait for one.
    pub waiting: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] PoolError),
    /// There is one, and nothing came in time.
    #[error("PostgreSQL did not answer within {0:?}")]
    Silent(Duration),
    /// The connection was closed, because it did not answer before.
    #[error("the connection was given up")]
    GivenUp,
}

impl Connections {
    pub(super) const fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// Runs `ask` with a connection, within `limit`, the wait for the connection included.
    ///
    /// # Errors
    /// [`Unanswered`], and those of `ask`.
    pub async fn within<T, E: From<Unanswered>>(
        &self,
        limit: Duration,
        ask: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let until = begun + limit;
        let object = self.lend(until, limit).await?;
        let mut asked = Asked { lent: Some(Lent::Pooled(object)), begun, until };
        match timeout_at(until, ask(asked.connection())).await {
            Ok(answer) => {
                // Given back: nothing is under way.
                drop(asked.lent.take());
                answer
            }
            Err(_) => {
                asked.give_up();
                Err(Unanswered::Silent(limit).into())
            }
        }
    }

    /// The future is in a box, so that the pool and the connecting are compiled here and not with every question.
    fn lend(&self, until: Instant, limit: Duration) -> BoxFuture<'_, Result<Object, Unanswered>> {
        Box::pin(async move {
            timeout_at(until, self.pool.get())
                .await
                .map_err(|_| Unanswered::Silent(limit))?
                .map_err(Unanswered::Connect)
        })
    }

    /// A connection for whoever asks again and again; it is given back when it is dropped.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn hold(&self, limit: Duration) -> Result<Held, Unanswered> {
        match timeout(limit, self.pool.get()).await {
            Ok(object) => Ok(Held { lent: Some(Lent::Pooled(object?)) }),
            Err(_) => Err(Unanswered::Silent(limit)),
        }
    }

    /// A connection of one's own, which is closed when it is dropped: for settings and locks that
    /// nobody else is to have.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn own(&self, limit: Duration) -> Result<Held, Unanswered> {
        let timeouts = Timeouts { wait: Some(limit), ..self.pool.timeouts() };
        match timeout(limit, self.pool.timeout_get(&timeouts)).await {
            Ok(object) => Ok(Held { lent: Some(Lent::Own(Object::take(object?))) }),
            Err(_) => Err(Unanswered::Silent(limit)),
        }
    }

    /// Closes the connections that wait in the pool, so that whoever asks next connects anew.
    pub fn renew(&self) {
        self.pool.retain(|_, _| false);
    }

    /// How many connections there are.
    #[must_use]
    pub fn counts(&self) -> ConnectionCounts {
        let status = self.pool.status();
        let (max, open) = (status.max_size, status.size);
        ConnectionCounts { max, open, idle: status.available, waiting: status.waiting }
    }

    /// A connection without a limit: tests look at the database as they like.
    ///
    /// # Errors
    /// When there is none.
    #[cfg(feature = "testing")]
    pub async fn get(&self) -> Result<Object, PoolError> {
        self.pool.get().await
    }
}

/// A connection that is asked again and again.
#[derive(Debug)]
pub struct Held {
    /// None once it was given up.
    lent: Option<Lent>,
}

impl Held {
    /// Runs `ask` with the connection, within `limit`. After an error that is
    /// [`Unanswered`], or when it is dropped before it ends, the connection is not to be had again.
    ///
    /// # Errors
    /// [`Unanswered`], and those of `ask`.
    pub async fn within<T, E: From<Unanswered>>(
        &mut self,
        limit: Duration,
        ask: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let until = begun + limit;
        let Some(lent) = self.lent.take() else { return Err(Unanswered::GivenUp.into()) };
        let mut asked = Asked { lent: Some(lent), begun, until };
        match timeout_at(until, ask(asked.connection())).await {
            Ok(answer) => {
                self.lent = asked.lent.take();
                answer
            }
            Err(_) => {
                asked.give_up();
                Err(Unanswered::Silent(limit).into())
            }
        }
    }
}

/// Whose connection it is.
#[derive(Debug)]
enum Lent {
    Pooled(Object),
    Own(Connection),
}

impl Lent {
    /// Closes it; the pool makes another when it needs one. What silenced it may have silenced its like: of
    /// the connections that wait in the pool, those go as well that nobody has had an answer by since.
    fn give_up(self, begun: Instant) {
        let Self::Pooled(object) = self else { return };
        let pool = Object::pool(&object);
        drop(Object::take(object));
        if let Some(pool) = pool {
            let begun = begun.into_std();
            pool.retain(|_, metrics| metrics.recycled.unwrap_or(metrics.created) >= begun);
        }
    }

    /// Closes it.
    fn close(self) {
        if let Self::Pooled(object) = self {
            drop(Object::take(object));
        }
    }
}

impl Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::Pooled(object) => object,
            Self::Own(connection) => connection,
        }
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Connection {
        match self {
            Self::Pooled(object) => object,
            Self::Own(connection) => connection,
        }
    }
}

/// A connection on which something is under way.
struct Asked {
    lent: Option<Lent>,
    begun: Instant,
    /// When there has to be an answer.
    until: Instant,
}

impl Asked {
    fn connection(&mut self) -> &mut Connection {
        self.lent.as_mut().expect("it is there until there is an answer")
    }

    fn give_up(&mut self) {
        if let Some(lent) = self.lent.take() {
            lent.give_up(self.begun);
        }
    }
}

impl Drop for Asked {
    /// Nobody waits any more, and the server may be at work still. The connection counts as one of
    /// the pool's until it is done, so that clients who go away cannot have more queries made at a
    /// time than the pool allows.
    fn drop(&mut self) {
        let Some(lent) = self.lent.take() else { return };
        match Handle::try_current() {
            Ok(runtime) if matches!(lent, Lent::Pooled(_)) => {
                runtime.spawn(settle(lent, self.begun, self.until));
            }
            _ => lent.close(),
        }
    }
}

/// Gives the connection back when it answers, `until` then, and closes it when it does not.
async fn settle(lent: Lent, begun: Instant, until: Instant) {
    match timeout_at(until, lent.batch_execute("")).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => lent.close(),
        Err(_) => lent.give_up(begun),
    }
}
