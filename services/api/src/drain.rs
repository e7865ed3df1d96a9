//! How the HTTP interface ends without cutting anybody off.
//!
//! 1. Notice: requests are taken as before, but each answer closes its connection, so that clients
//!    come back by a new one, and who looks at `/ready` sends them elsewhere. By HTTP/2 a GOAWAY says so.
//! 2. The listener closes, and a client that connects is refused. Connections that the system has
//!    made by then are still served; open streams end.
//! 3. A moment later connections on which nothing is asked are closed, and what was asked before is
//!    finished.
//! 4. What is unfinished at the end of the grace time is answered with a 503.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::accepting::Ends;
use crate::problem::Problem;

/// How long a client that was just connected may take to send its request.
const FIRST_REQUEST_MAX: Duration = Duration::from_millis(250);

/// How long the last answers may take to be written.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(1);

/// How long the steps of the end take.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// How long requests are taken after the end was asked for.
    pub notice: Duration,
    /// How long after that they may take to be finished.
    pub grace: Duration,
}

/// The end of an HTTP interface, as its parts see it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Drain {
    ending: Ending,
    begun: CancellationToken,
    closed: CancellationToken,
    settled: CancellationToken,
    overdue: CancellationToken,
}

impl Drain {
    /// An end that begins with `shutdown`.
    #[must_use]
    pub fn new(ending: Ending, shutdown: CancellationToken) -> Self {
        let [closed, settled, overdue] = Default::default();
        Self { ending, begun: shutdown, closed, settled, overdue }
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Cancelled when nobody can connect any more: streams that are open end.
    #[must_use]
    pub const fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// The same for connections.
    pub(crate) fn ends(&self) -> Ends {
        let Self { begun, closed, settled, .. } = self.clone();
        Ends { begun, closed, settled }
    }

    /// Takes the steps, once the end has begun, each in its time.
    pub(crate) async fn run(&self) {
        let Ending { notice, grace } = self.ending;
        self.begun.cancelled().await;
        sleep(notice).await;
        self.closed.cancel();
        sleep(FIRST_REQUEST_MAX.min(notice)).await;
        self.settled.cancel();
        sleep(grace).await;
        self.overdue.cancel();
        sleep(LAST_ANSWERS_MAX).await;
    }

    /// Answers what takes longer than the end allows.
    pub(crate) async fn in_time(&self, answer: impl Future<Output = Response>) -> Response {
        let detail = "this process is shutting down: repeat the request with the same \
             Idempotency-Key";
        match self.overdue.run_until_cancelled(answer).await {
            Some(response) => response,
            None => Problem::unavailable(detail).into_response(),
        }
    }
}
