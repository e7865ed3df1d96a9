//! The log's head, as one number that a process' readers share.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Config, NoTls};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::log::HEAD;
use crate::{Position, postgres};

/// How often the head is asked for: notifications are hints and may be lost.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How long an answer may take before the connection counts as lost.
const POLL_TIMEOUT: Duration = Duration::from_secs(2);

/// Waits between attempts to connect: from the first, doubling, to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Follows the log's head; cheap to clone.
///
/// Appends notify, so the head is known within about a millisecond; it is also asked for every
/// 250 ms. While PostgreSQL is away the last known head stays.
#[derive(Clone)]
pub struct HeadWatch {
    head: watch::Receiver<Position>,
}

impl HeadWatch {
    /// Starts the task that owns the connection. It connects again for ever, until `shutdown`.
    #[must_use]
    pub fn start(postgres: Config, shutdown: CancellationToken) -> (Self, JoinHandle<()>) {
        let (sender, head) = watch::channel(Position::START);
        let task = tokio::spawn(async move {
            // Nothing here needs an orderly end.
            let _ = shutdown.run_until_cancelled(follow(postgres, Arc::new(sender))).await;
        });
        (Self { head }, task)
    }

    /// The head as last seen; [`Position::START`] before it was.
    #[must_use]
    pub fn current(&self) -> Position {
        *self.head.borrow()
    }

    /// A receiver that is told of every change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Position> {
        self.head.clone()
    }
}

async fn follow(postgres: Config, head: Arc<watch::Sender<Position>>) {
    let mut backoff = BACKOFF.0;
    loop {
        let before = *head.borrow();
        let Err(error) = listen(&postgres, &head).await;
        if *head.borrow() != before {
            backoff = BACKOFF.0;
        }
        tracing::warn!(
            error = error.as_ref() as &dyn Error,
            retry_in = ?backoff,
            "head of the log not watched"
        );
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

async fn listen(
    postgres: &Config,
    head: &Arc<watch::Sender<Position>>,
) -> Result<Infallible, Box<dyn Error + Send + Sync>> {
    let mut postgres = postgres::hardened(postgres);
    postgres.application_name("hatch-head");
    let (client, mut connection) = postgres.connect(NoTls).await?;
    let notified = Arc::clone(head);
    let _driver = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(|context| connection.poll_message(context));
        // The client learns of an error as well.
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message
                && let Ok(position) = notification.payload().parse()
            {
                raise(&notified, Position(position));
            }
        }
    }));
    timeout(POLL_TIMEOUT, client.batch_execute("LISTEN hatch_head")).await??;
    let statement = timeout(POLL_TIMEOUT, client.prepare(HEAD)).await??;
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    loop {
        ticks.tick().await;
        let before = *head.borrow();
        let row = timeout(POLL_TIMEOUT, client.query_one(&statement, &[])).await??;
        let polled = Position(row.try_get(0)?);
        if polled < before {
            // Not an answer that a notification overtook: what was seen before it is gone.
            tracing::error!(seen = before.0, head = polled.0, "the log has regressed");
            head.send_replace(polled);
        } else {
            raise(head, polled);
        }
    }
}

fn raise(head: &watch::Sender<Position>, to: Position) {
    head.send_if_modified(|head| {
        let higher = to > *head;
        if higher {
            *head = to;
        }
        higher
    });
}
