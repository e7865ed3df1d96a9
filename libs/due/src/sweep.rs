//! The sweepers: they look at each stream whose time has come, and let its kind do what the stream itself says is
//! due. They read PostgreSQL only, so they guarantee progress whatever a bus forgets.
//!
//! Each lane has permits of its own, so that one whose provider hangs holds up the streams of no other. Any number of
//! sweepers may run. Which of them looks at a stream is a matter of cost; what keeps a thing from being done twice is
//! the log.

use std::sync::Arc;
use std::time::Duration;

use hatch_domain::{Decider, DecodeError, Environment as _};
use hatch_eventstore::{HeadWatch, LoadError, Loaded, Store, log_unless_away};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{DueKind, DueTimer, Lag, LastTurns, Timers};

/// Between two looks at what is due.
const EVERY: Duration = Duration::from_millis(250);

/// Streams taken at a time, at most.
const BATCH_MAX: usize = 64;

/// How long a stream that was taken is left alone, beyond the lag of the timers: by then what was
/// done about it has set its next time.
const HOLD_MARGIN: Duration = Duration::from_secs(5);

/// Streams taken at a time, at most, while their lane has no room: what is due of them may need none.
const BATCH_WITHOUT_ROOM: usize = 4;

/// The streams of a [`Handler`]'s kind.
type StreamOf<H> = <<H as Handler>::Kind as DueKind>::Stream;

/// Does what is due of a kind of streams.
pub trait Handler: Send + Sync + 'static {
    /// What the timers of its streams are.
    type Kind: DueKind;

    /// Waits until something may be done in these lanes.
    fn ready(&self, _lanes: &[&'static str]) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Does what is due of one stream, as its events leave it. What fails here is looked at again after its hold.
    fn handle(
        self: Arc<Self>,
        timer: DueTimer,
        stream: Loaded<StreamOf<Self>>,
        permit: Permit,
    ) -> impl Future<Output = ()> + Send;
}

/// The streams that one sweeper takes, and its limit.
pub struct Lane {
    names: Vec<&'static str>,
    /// The orders in which priorities are taken, one after the other.
    turns: &'static [&'static [&'static str]],
    turn: usize,
    /// There was more to do at the last look than there was room for.
    is_behind: bool,
    /// The tenants that had their turn last.
    last: LastTurns,
    /// One for each stream that may be looked at at a time.
    permits: Arc<Semaphore>,
    find_room: FindRoom,
}

/// Finds what most of the work of a lane takes, where that is limited now, and how much of it is left to others.
pub type FindRoom = Box<dyn Fn() -> Option<(Arc<Semaphore>, usize)> + Send + Sync>;

/// A permit to look at a stream.
pub struct Permit {
    /// The permit.
    pub permit: OwnedSemaphorePermit,
    /// Where it is from, for whoever gives it back and wants another.
    pub permits: Arc<Semaphore>,
    /// The room of the lane that was found for it, if any was.
    pub room: Option<OwnedSemaphorePermit>,
}

impl Lane {
    /// The streams whose timers are in these lanes, as many at a time as there are `permits`. Priorities are taken in the
    /// orders of `turns`, so that none waits for ever for a higher one. `find_room` finds what most of the work takes,
    /// where that is limited.
    #[must_use]
    pub fn new(
        names: Vec<&'static str>,
        turns: &'static [&'static [&'static str]],
        permits: Arc<Semaphore>,
        find_room: FindRoom,
    ) -> Self {
        let (is_behind, last) = (false, LastTurns::default());
        Self { names, turns, turn: 0, is_behind, last, permits, find_room }
    }

    /// Permits for as many streams as may be looked at: at least one, for which it waits. And whether there is no room
    /// for more.
    async fn take(&self) -> (Vec<Permit>, bool) {
        let Ok(first) = self.permits.clone().acquire_owned().await else {
            return (Vec::new(), true);
        };
        let more = std::iter::from_fn(|| self.permits.clone().try_acquire_owned().ok());
        let permits = std::iter::once(first).chain(more).take(BATCH_MAX);
        let limited = (self.find_room)();
        let room = || {
            let (room, _) = limited.as_ref().filter(|(of, left)| of.available_permits() > *left)?;
            room.clone().try_acquire_owned().ok()
        };
        let mut taken: Vec<Permit> = permits
            .map(|permit| Permit { permit, permits: self.permits.clone(), room: room() })
            .collect();
        if limited.is_none() {
            return (taken, false);
        }
        let roomy = taken.iter().filter(|permit| permit.room.is_some()).count();
        taken.truncate(roomy.max(BATCH_WITHOUT_ROOM));
        let is_full = roomy < taken.len();
        (taken, is_full)
    }

    /// Whether each tenant has its turn this time. Where all that is due can be looked at, nobody stands before others.
    /// Every other time the oldest goes first, so that none waits for ever and nobody's turn leaves room unused.
    const fn is_tenants_turn(&mut self) -> bool {
        std::mem::replace(&mut self.is_behind, false)
    }

    /// The order in which priorities are taken this time.
    fn priorities(&mut self) -> &'static [&'static str] {
        self.turn = self.turn.wrapping_add(1);
        self.turns.get(self.turn % self.turns.len().max(1)).copied().unwrap_or_default()
    }
}

/// Sweeps lanes of one kind.
pub struct Sweeper<H> {
    /// Does what is due.
    pub handler: Arc<H>,
    /// The log.
    pub store: Store,
    /// The kind's timers.
    pub timers: Timers,
    /// How far behind the head they are folded.
    pub lag: Lag,
    /// Tells whether anything may be done by this log.
    pub head: HeadWatch,
    /// What is being done.
    pub tasks: TaskTracker,
    /// Ends the sweeping, not what is being done.
    pub shutdown: CancellationToken,
}

impl<H: Handler> Sweeper<H> {
    /// Sweeps until the shutdown.
    pub async fn run(self: Arc<Self>, mut lane: Lane) {
        loop {
            let sweep = async {
                self.head.fence().opened().await;
                self.handler.ready(&lane.names).await;
                self.clock_is_near().await;
                self.clone().sweep_once(&mut lane).await
            };
            let has_more = tokio::select! {
                has_more = sweep => has_more,
                () = self.shutdown.cancelled() => return,
            };
            if !has_more {
                tokio::select! {
                    () = self.head.clock().sleep(EVERY) => {}
                    () = self.shutdown.cancelled() => return,
                }
            }
        }
    }

    /// Waits until the machine's clock is not too far from PostgreSQL's.
    async fn clock_is_near(&self) {
        let clock = self.head.clock();
        if clock.is_certain() {
            return;
        }
        let seconds = clock.offset().map(|offset| offset.num_seconds());
        tracing::error!(
            seconds,
            "what is due is left to others: the clock here and PostgreSQL's contradict each other"
        );
        while !clock.is_certain() {
            clock.sleep(EVERY).await;
        }
        tracing::warn!(
            "the clock here and PostgreSQL's agree again: what is due is done here again"
        );
    }

    /// Takes what is due of a lane, as much as may be under way, and says whether there may be more for which
    /// there is room.
    async fn sweep_once(self: Arc<Self>, lane: &mut Lane) -> bool {
        let (permits, is_full) = lane.take().await;
        let limit = permits.len();
        let (priorities, in_turn) = (lane.priorities(), lane.is_tenants_turn());
        let of = (lane.names.as_slice(), priorities);
        let (hold, now) = (self.lag.0 + HOLD_MARGIN, self.store.environment().now());
        let taken = match in_turn {
            true => self.timers.take_in_turn(of, &mut lane.last, limit, (hold, now)).await,
            false => self.timers.take(of, limit, hold, now).await,
        };
        let due = match taken {
            Ok(due) => due,
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                log_unless_away!(warn, error, error, "the timers cannot be read");
                return false;
            }
        };
        lane.is_behind = due.len() == limit && !in_turn;
        let has_more = due.len() == limit && !is_full;
        // Those with room come first.
        for (timer, permit) in due.into_iter().zip(permits) {
            self.tasks.spawn(self.clone().look_at(timer, permit));
        }
        has_more
    }

    /// Does what is due of one stream. What fails here is looked at again after its hold.
    async fn look_at(self: Arc<Self>, timer: DueTimer, permit: Permit) {
        if self.head.fence().closed().is_some() {
            return;
        }
        let (tenant_id, stream_id) = (timer.tenant_id, timer.stream_id);
        let stream = match self.store.load::<StreamOf<H>>(tenant_id, stream_id).await {
            Ok(stream) if stream.version == 0 => return,
            Ok(stream) => stream,
            Err(LoadError::Decode(error)) => return self.note_unreadable(&timer, &error).await,
            Err(LoadError::Log(error)) => {
                log_unless_away!(warn, &error, %stream_id, error = %error, "a due stream cannot be read");
                return;
            }
        };
        if timer.undecodable
            && let Err(error) = self.timers.readable(&timer).await
        {
            tracing::debug!(%stream_id, error = %error, "a stream stays marked as unreadable");
        }
        self.handler.clone().handle(timer, stream, permit).await;
    }

    /// Leaves a stream to those who can read it.
    async fn note_unreadable(&self, timer: &DueTimer, error: &DecodeError) {
        let (stream_id, kind) = (timer.stream_id, <StreamOf<H> as Decider>::KIND);
        match self.timers.unreadable(timer).await {
            Ok(true) => tracing::error!(
                kind,
                %stream_id,
                error = %error,
                "this build cannot read a due stream: it waits for one that can"
            ),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%stream_id, error = %error, "a timer cannot be moved");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_takes_no_room_that_is_left_to_others() {
        let (room, permits) = (Arc::new(Semaphore::new(10)), Arc::new(Semaphore::new(64)));
        let found = Arc::clone(&room);
        let find_room = Box::new(move || Some((Arc::clone(&found), 3)));
        let lane = Lane::new(vec!["sms"], &[&["normal"]], permits, find_room);
        let (taken, is_full) = lane.take().await;
        assert_eq!((taken.len(), is_full, room.available_permits()), (7, false, 3));
        let (more, is_full) = lane.take().await;
        assert!(more.iter().all(|permit| permit.room.is_none()));
        assert_eq!((more.len(), is_full), (BATCH_WITHOUT_ROOM, true), "what is due may need none");
    }
}
