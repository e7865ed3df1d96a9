//! What strangers wrote is read on threads of its own: off the runtime's, few at once, with a stack whose
//! size is known. A reader that panics costs its webhook, which is kept, and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use hatch_providers::{
    NotUnderstood, Observation, Once, RawRequest, Received, Verified, Webhook, WebhookRefusal,
};
use hatch_telemetry::measure::{Counter, Gauge};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::WebhookAccount;
use crate::problem::Problem;

/// Bytes of a body that is read where it came in, because a thread costs more than reading it: all that is
/// done with it is linear.
const INLINE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a reader's stack: many times what any of them needs.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Webhooks that are being read or wait for it.
const WAITING_MAX: usize = 64;

/// How long a webhook may take to find out whether a request is its account's. Its provider comes again after that.
const RECEIVE_MAX: Duration = Duration::from_secs(5);

/// KiB of their bodies.
const WAITING_KIB_MAX: usize = 128 * 1024;

/// What the readers did since the process started.
#[derive(Debug, Default)]
pub struct ReadingStats {
    /// Webhooks that are being read or wait for it.
    pub under_way: Gauge,
    /// Webhooks that were sent away because too many were under way.
    pub sent_away: Counter,
    /// Readers that panicked.
    pub panics: Counter,
}

/// The threads that read; cheap to clone.
#[derive(Clone)]
pub struct Readers(Arc<ReadersState>);

struct ReadersState {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    kib: Arc<Semaphore>,
    stats: Arc<ReadingStats>,
}

/// What a webhook turned out to be.
pub(super) enum Seen {
    /// None of the account's, for this reason.
    Refused(WebhookRefusal),
    /// One of the account's.
    Signed {
        /// What it says.
        said: Result<Vec<Observation>, NotUnderstood>,
        /// What of its signature may be used once only.
        once: Option<Once>,
    },
    /// A question, with the answer to it.
    Question(http::Response<Bytes>),
}

impl Readers {
    /// Readers for half of the machine's cores, and at least one.
    #[must_use]
    pub fn new(stats: Arc<ReadingStats>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self(Arc::new(ReadersState {
            running: semaphore((cores / 2).max(1)),
            waiting: semaphore(WAITING_MAX),
            kib: semaphore(WAITING_KIB_MAX),
            stats,
        }))
    }

    /// Finds out whether the request is of `account`, and what it says.
    pub(super) async fn see(
        &self,
        account: &WebhookAccount,
        raw: &RawRequest,
    ) -> Result<Seen, Problem> {
        if raw.body.len() <= INLINE_BYTES_MAX {
            return see(&*account.webhook, raw, &self.0.stats, RECEIVE_MAX).await;
        }
        let webhook = Arc::clone(&account.webhook);
        let (request, stats) = (raw.clone(), Arc::clone(&self.0.stats));
        let runtime = Handle::current();
        let read = move || runtime.block_on(see(&*webhook, &request, &stats, RECEIVE_MAX));
        self.read(raw.body.len(), read).await?
    }

    /// Reads again what was verified when it came in.
    pub(super) async fn parse(
        &self,
        account: &WebhookAccount,
        raw: &RawRequest,
    ) -> Result<Result<Vec<Observation>, NotUnderstood>, Problem> {
        let (webhook, request) = (Arc::clone(&account.webhook), raw.clone());
        let stats = Arc::clone(&self.0.stats);
        let parse = move || parse(&*webhook, &Verified::kept(&request), &stats);
        self.read(raw.body.len(), parse).await
    }

    /// What `read` says, which takes as long as reading `bytes` bytes does.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        bytes: usize,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        if bytes <= INLINE_BYTES_MAX {
            return Ok(read());
        }
        let ReadersState { running, waiting, kib, stats } = &*self.0;
        let busy = |_| {
            stats.sent_away.increment();
            Problem::unavailable("as many webhooks wait to be read as may wait")
        };
        let kib_needed = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let _under_way = stats.under_way.hold();
        // They are held until it is read, even if no request waits for it any more, and given back before the
        // result is, so that the same client can come again at once.
        let place = Arc::clone(waiting).try_acquire_owned().map_err(busy)?;
        let room = Arc::clone(kib).try_acquire_many_owned(kib_needed).map_err(busy)?;
        let turn = Arc::clone(running).acquire_owned().await;
        let turn = turn.map_err(|_| Problem::unavailable("hatch is ending"))?;
        let (done, result) = oneshot::channel();
        let job = move || {
            let held = (place, room, turn);
            let result = read();
            drop(held);
            // The request may be gone.
            drop(done.send(result));
        };
        let thread = std::thread::Builder::new().name("reader".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(job).map_err(|error| {
            tracing::warn!(%error, "no thread to read a webhook with");
            Problem::unavailable("no thread can be had to read the webhook with")
        })?;
        result.await.map_err(|_| Problem::unavailable("the webhook was not read"))
    }
}

async fn see(
    webhook: &dyn Webhook,
    raw: &RawRequest,
    stats: &ReadingStats,
    limit: Duration,
) -> Result<Seen, Problem> {
    let receiving = AssertUnwindSafe(timeout(limit, async { webhook.receive(raw).await }));
    Ok(match receiving.catch_unwind().await {
        Ok(Ok(Received::Verified(verified))) => match unwound(stats, || webhook.once(&verified)) {
            Some(once) => Seen::Signed { said: parse(webhook, &verified, stats), once },
            None => Seen::Refused(WebhookRefusal::WrongSignature),
        },
        Ok(Ok(Received::Refused(refusal))) => Seen::Refused(refusal),
        Ok(Ok(Received::Answer(answer))) => Seen::Question(answer),
        Ok(Err(_)) => {
            return Err(Problem::unavailable("it took too long to find out whether it is signed"));
        }
        Err(_) => {
            panicked(stats);
            Seen::Refused(WebhookRefusal::WrongSignature)
        }
    })
}

fn parse(
    webhook: &dyn Webhook,
    verified: &Verified<'_>,
    stats: &ReadingStats,
) -> Result<Vec<Observation>, NotUnderstood> {
    unwound(stats, || webhook.parse(verified)).unwrap_or(Err(NotUnderstood::Unreadable))
}

/// What `read` says; nothing when it panics.
fn unwound<T>(stats: &ReadingStats, read: impl FnOnce() -> T) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(read));
    if outcome.is_err() {
        panicked(stats);
    }
    outcome.ok()
}

fn panicked(stats: &ReadingStats) {
    stats.panics.increment();
    tracing::error!("the reader of a webhook panicked: the webhook is kept");
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use hatch_domain::ids::TenantId;
    use hatch_providers::{BoxFuture, Tenants};

    use super::*;

    /// Panics whatever it reads.
    struct Fragile;

    impl Webhook for Fragile {
        fn may_be_signed(&self, _: &http::HeaderMap) -> bool {
            true
        }

        fn verify<'r>(&self, request: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
            assert!(!request.body.starts_with(b"verify"), "it panics");
            Ok(Verified::kept(request))
        }

        fn parse(&self, request: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
            panic!("it panics over {} bytes", request.request().body.len())
        }

        fn success(&self) -> http::Response<Bytes> {
            http::Response::new(Bytes::new())
        }
    }

    fn request(begin: &str, bytes: usize) -> RawRequest {
        RawRequest {
            method: http::Method::POST,
            path_and_query: "/".parse().expect("a path"),
            headers: http::HeaderMap::new(),
            body: format!("{begin}{}", "x".repeat(bytes)).into(),
        }
    }

    #[tokio::test]
    async fn a_reader_that_panics_costs_its_webhook_only() {
        let stats = Arc::new(ReadingStats::default());
        let readers = Readers::new(Arc::clone(&stats));
        let account = WebhookAccount {
            tenant_id: TenantId::DEFAULT,
            tenants: Tenants::All,
            name: "fragile".into(),
            account: "fragile".into(),
            of_log: false,
            provider: "fragile",
            path: "fragile".into(),
            acts_on_words: false,
            takes_tests: false,
            is_test: false,
            webhook: Arc::new(Fragile),
        };
        for bytes in [1, INLINE_BYTES_MAX + 1] {
            let seen = readers.see(&account, &request("", bytes)).await;
            let unread = Err(NotUnderstood::Unreadable);
            assert!(matches!(seen, Ok(Seen::Signed { said, once: None }) if said == unread));
            let seen = readers.see(&account, &request("verify", bytes)).await;
            assert!(matches!(seen, Ok(Seen::Refused(WebhookRefusal::WrongSignature))));
            let again = readers.parse(&account, &request("", bytes)).await;
            assert!(matches!(again, Ok(Err(NotUnderstood::Unreadable))));
        }
        assert_eq!((stats.panics.get(), stats.under_way.get()), (6, 0));
    }

    /// Never finds out who sent a request.
    struct Endless;

    impl Webhook for Endless {
        fn receive<'r>(&'r self, _: &'r RawRequest) -> BoxFuture<'r, Received<'r>> {
            Box::pin(std::future::pending())
        }

        fn may_be_signed(&self, _: &http::HeaderMap) -> bool {
            true
        }

        fn verify<'r>(&self, _: &'r RawRequest) -> Result<Verified<'r>, WebhookRefusal> {
            Err(WebhookRefusal::WrongSignature)
        }

        fn parse(&self, _: &Verified<'_>) -> Result<Vec<Observation>, NotUnderstood> {
            Ok(Vec::new())
        }

        fn success(&self) -> http::Response<Bytes> {
            http::Response::new(Bytes::new())
        }
    }

    #[tokio::test]
    async fn a_webhook_that_does_not_find_out_in_time_is_asked_to_come_again() {
        let stats = ReadingStats::default();
        let seen = see(&Endless, &request("", 1), &stats, Duration::ZERO).await;
        assert!(seen.err().is_some_and(|problem| problem.is_passing()));
    }

    #[tokio::test]
    async fn more_than_may_wait_are_sent_away_and_asked_to_come_again() {
        let stats = Arc::new(ReadingStats::default());
        let readers = Readers::new(Arc::clone(&stats));
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(std::sync::Mutex::new(ended));
        let read = |bytes| {
            let (readers, ended) = (readers.clone(), Arc::clone(&ended));
            let wait = move || ended.lock().expect("no panic").recv().is_ok();
            tokio::spawn(async move { readers.read(bytes, wait).await })
        };
        let large = read(WAITING_KIB_MAX * 1024 - INLINE_BYTES_MAX);
        while stats.under_way.get() == 0 {
            tokio::task::yield_now().await;
        }
        let refused = read(INLINE_BYTES_MAX + 1).await.expect("no panic").expect_err("no room");
        assert!(refused.is_passing(), "it says when to come again");
        assert_eq!(stats.sent_away.get(), 1);
        drop(end);
        large.await.expect("no panic").expect("read");
        read(INLINE_BYTES_MAX + 1).await.expect("no panic").expect("there is room again");
    }
}
