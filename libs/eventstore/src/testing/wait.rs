//! Waiting for what nobody tells of: what servers and other processes do.

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before its test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const POLL: Duration = Duration::from_millis(10);

/// What a look found, or not.
pub trait Found {
    /// What there may be to find.
    type Thing;

    /// What was found.
    fn found(self) -> Option<Self::Thing>;
}

impl<T> Found for Option<T> {
    type Thing = T;

    fn found(self) -> Self {
        self
    }
}

impl Found for bool {
    type Thing = ();

    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

/// Looks until something is found, or until it is so.
///
/// # Panics
/// When it takes longer than [`PATIENCE`].
pub async fn eventually<F: Found>(what: &str, look: impl AsyncFnMut() -> F) -> F::Thing {
    eventually_within(PATIENCE, what, look).await
}

/// The same with a patience of its own.
///
/// # Panics
/// When it takes longer than `patience`.
pub async fn eventually_within<F: Found>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> F,
) -> F::Thing {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await.found() {
            return found;
        }
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}
