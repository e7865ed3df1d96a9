//! The fence of a process, which its roles ask before they send.

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_postgres::{Client, Error};

use super::identity::DatabasePlace;
use super::row::fence_state;
use super::state::{Closed, FenceState};

/// A regression has its time on record. A server becomes another one while it is down, so it is that at
/// the earliest since it started; only a promotion comes later.
const CLOSED_SINCE: &str = "SELECT coalesce( \
         (SELECT at FROM es.log_regressions WHERE epoch = $1 AND $2), pg_postmaster_start_time())";

/// The state of this process' fence, as a [`HeadWatch`](crate::HeadWatch) keeps it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fence {
    state: watch::Receiver<FenceState>,
    place: DatabasePlace,
}

impl Fence {
    pub(crate) const fn new(state: watch::Receiver<FenceState>, place: DatabasePlace) -> Self {
        Self { state, place }
    }

    /// The state at the moment.
    #[must_use]
    pub fn state(&self) -> FenceState {
        self.state.borrow().clone()
    }

    /// Whether something may be sent, and nobody has begun an epoch after this one.
    #[must_use]
    pub fn is_open_in(&self, epoch: i32) -> bool {
        matches!(*self.state.borrow(), FenceState::Open { epoch: found, .. } if found <= epoch)
    }

    /// Whether what the bus's `generation` holds is this log's.
    #[must_use]
    pub fn trusts(&self, generation: i32) -> bool {
        matches!(*self.state.borrow(),
            FenceState::Open { generation: Some(trusted), .. } if trusted == generation)
    }

    /// The foreign message that was found in the newest generation of the bus, until the relay begins the next.
    #[must_use]
    pub fn foreign(&self) -> Option<(i32, String)> {
        match &*self.state.borrow() {
            FenceState::Open { foreign, .. } => foreign.clone(),
            FenceState::Unknown | FenceState::Closed(_) => None,
        }
    }

    /// Whether something foreign was found in the bus's `generation`.
    #[must_use]
    pub fn has_foreign(&self, generation: i32) -> bool {
        matches!(&*self.state.borrow(),
            FenceState::Open { foreign: Some((found, _)), .. } if *found == generation)
    }

    /// Why it is closed, if it is.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        match &*self.state.borrow() {
            FenceState::Closed(closed) => Some(closed.clone()),
            FenceState::Unknown | FenceState::Open { .. } => None,
        }
    }

    /// Why it is closed on the server at the other end of `client`, if it is: for whoever has a
    /// connection of his own, which may lead elsewhere.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn check(&self, client: &Client) -> Result<Option<Closed>, Error> {
        Ok(match fence_state(client, &self.place).await? {
            FenceState::Closed(closed) => Some(closed),
            FenceState::Unknown | FenceState::Open { .. } => None,
        })
    }

    /// Waits until it is known whether something may be sent.
    pub async fn known(&self) {
        self.until(|state| *state != FenceState::Unknown).await;
    }

    /// Waits until something may be sent.
    pub async fn opened(&self) {
        self.until(|state| matches!(state, FenceState::Open { .. })).await;
    }

    /// Waits until a generation of the bus is known to carry this log.
    pub async fn trusting(&self) {
        self.until(|state| matches!(state, FenceState::Open { generation: Some(_), .. })).await;
    }

    async fn until(&self, wanted: impl FnMut(&FenceState) -> bool) {
        let mut state = self.state.clone();
        if state.wait_for(wanted).await.is_err() {
            // The watch has ended, and with it the process' work.
            std::future::pending::<()>().await;
        }
    }
}

/// When the fence was closed, at the earliest.
///
/// # Errors
/// PostgreSQL's.
pub async fn fence_closed_since(client: &Client, closed: &Closed) -> Result<DateTime<Utc>, Error> {
    let regressed = matches!(closed, Closed::Regressed { .. });
    client.query_one(CLOSED_SINCE, &[&closed.epoch(), &regressed]).await?.try_get(0)
}
