//! The answer to a client that gets no connection: a ready-made problem, without a parser or a task of hyper's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::problem::{ErrorPages, Problem};
use crate::ready_made;

/// The part of a process' files that such clients may use while they are answered.
const FILES_SHARE: u64 = 16;
const CLIENTS_MIN: u64 = 16;
const CLIENTS_MAX: u64 = 512;

/// How long a client may take to ask, and how long to read the answer and to go.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(1);

/// How long of that it has in any case, however many others wait to be told.
const CLIENT_TIME_MIN: Duration = Duration::from_millis(50);

/// How often those are hurried that take longer, while others wait.
const HURRY_EVERY: Duration = Duration::from_millis(10);

/// Bytes of what it asks that are looked at, at a time.
const READ_BYTES: usize = 1024;

/// Clients that are being told that there is no place for them.
#[derive(Debug)]
pub(crate) struct Refusals {
    max: u64,
    under_way: AtomicU64,
    /// Others wait: who has had the least time has had enough.
    hurry: Notify,
    left: Notify,
    /// Where errors are explained, once that is known.
    error_pages: OnceLock<ErrorPages>,
}

impl Refusals {
    /// As many as a process has files for that may open `files_max`.
    pub(crate) fn new(files_max: u64) -> Self {
        Self {
            max: (files_max / FILES_SHARE).clamp(CLIENTS_MIN, CLIENTS_MAX),
            under_way: AtomicU64::new(0),
            hurry: Notify::new(),
            left: Notify::new(),
            error_pages: OnceLock::new(),
        }
    }

    /// Errors are explained there from now on.
    pub(crate) fn explain_by(&self, pages: &ErrorPages) {
        // Whoever said so first did.
        let _ = self.error_pages.set(pages.clone());
    }

    /// Where errors are explained.
    pub(crate) fn error_pages(&self) -> ErrorPages {
        self.error_pages.get().cloned().unwrap_or_default()
    }

    /// Tells the client of `stream`, and ends the connection.
    pub(crate) fn refuse(self: &Arc<Self>, stream: TcpStream) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let told = Told(Arc::clone(self));
        tokio::spawn(async move {
            // It is told as well as it lets itself be.
            let detail = "all connections of this process are busy: try again in a second";
            let _ = told.0.tell(stream, Problem::unavailable(detail)).await;
            drop(told);
        });
    }

    /// Waits until another can be told. Meanwhile it waits with the system, which knows of it already: so nobody is
    /// disconnected without a word, and one who says nothing holds up the others for a tenth of a second at most.
    pub(crate) async fn room(&self) {
        while self.under_way.load(Ordering::Relaxed) >= self.max {
            self.hurry.notify_waiters();
            let _ = timeout(HURRY_EVERY, self.left.notified()).await;
        }
    }

    /// Answers the request when it comes: some clients take an answer before it for a broken connection. What is
    /// unread when the connection ends would have the system reset it, and the answer lost.
    pub(crate) async fn tell(
        &self,
        mut stream: TcpStream,
        problem: Problem,
    ) -> std::io::Result<()> {
        let mut thrown_away = [0; READ_BYTES];
        if let Some(asked) = self.in_time(stream.read(&mut thrown_away)).await
            && asked? == 0
        {
            return Ok(());
        }
        let answer = ready_made::answer(problem.explained_by(self.error_pages()));
        timeout(CLIENT_TIME_MAX, stream.write_all(&answer)).await??;
        stream.shutdown().await?;
        let reading = async {
            while stream.read(&mut thrown_away).await? > 0 {}
            Ok(())
        };
        self.in_time(reading).await.unwrap_or(Ok(()))
    }

    /// What `client` does in its time, which is shorter where others wait.
    async fn in_time<T>(&self, client: impl Future<Output = T>) -> Option<T> {
        let hurried = async {
            sleep(CLIENT_TIME_MIN).await;
            let _ = timeout(CLIENT_TIME_MAX - CLIENT_TIME_MIN, self.hurry.notified()).await;
        };
        tokio::select! {
            biased;
            done = client => Some(done),
            () = hurried => None,
        }
    }
}

/// A client that is being told.
struct Told(Arc<Refusals>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.left.notify_one();
    }
}
