//! Admission: no more is accepted than can be finished soon.
//!
//! Accepting is far cheaper than delivering. What is accepted beyond what can be delivered only
//! waits, and takes the processors from what would end the wait. So a process admits a message only
//! while those before it will have had their turn within about [`Rules::wait`], and otherwise asks
//! the client to come again. Each of the dispatchers' queues has a window of its own (a flood of
//! campaigns refuses no login code), and all share that of the projections: a message is done when
//! it can be read. And no more are on their way into the log at a time than are committed soon, and
//! half as many while webhooks wait too long: a message is done when its receipt is known.
//!
//! Where nobody can tell how far a queue is, because the bus or its dispatchers are away or it has
//! nothing to do, its window limits nothing. Then only the bound on all that waits holds.

mod commit_gate;
mod commit_limiter;
mod intake;
mod overload_detector;
mod window;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use hatch_domain::ids::TenantId;
use hatch_domain::{Channel, Priority};
use hatch_eventstore::Position;
use hatch_telemetry::measure::{Counter, Family};

use self::commit_gate::CommitGate;
pub use self::intake::Intake;
use self::window::{QueueSample, RESERVE, Room, UNLIMITED, Window};
pub use self::window::{Rules, WindowState};

/// Clients are asked to come again after so many seconds, at least and at most.
const RETRY_AFTER_SECONDS: (u64, u64) = (1, 30);
/// The part of the wait aimed for that a message may wait for its commit, while more are offered than
/// that: 100 ms of 400.
const COMMIT_WAIT_PART: u32 = 4;
/// The window of the projections, and one for each channel and priority.
const WINDOWS: usize = 1 + Channel::ALL.len() * Priority::ALL.len();
const PROJECTIONS: usize = 0;

/// How far what works through the log has come.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// The log's head.
    pub head: Position,
    /// How far the slowest projection has come; none when it has nothing to do, or is away.
    pub projections: Option<Position>,
    /// The newest request whose attempt is claimed, for each of the dispatchers' queues that has
    /// something to do.
    pub queues: Vec<(Channel, Priority, Position)>,
    /// Whether all that may wait at all does.
    pub is_full: bool,
    /// Whether what providers post waits too long, as an [`Intake`] sees it.
    pub webhooks_behind: bool,
}

/// What admission has decided since the process started.
#[derive(Debug, Default)]
pub struct AdmissionStats {
    /// Messages that were admitted.
    pub admitted: Counter,
    /// Messages that were not, by the reason.
    pub refused: Family<&'static str, Counter>,
}

/// Why a message is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdmissionRefusal {
    /// Those before it would not be attempted soon.
    Dispatch { retry_after_seconds: u32 },
    /// Those before it would not be readable soon.
    Projections { retry_after_seconds: u32 },
    /// Those before it would not be committed soon.
    Log,
    /// All that may wait at all does.
    Backlog,
    /// As many of the tenant's stand in the lines of accounts as may.
    Lines { most: u64 },
}

/// The reasons as metrics have them.
const REASONS: [&str; 5] = ["dispatch", "projections", "log", "backlog", "lines"];

impl AdmissionRefusal {
    const fn reason(self) -> &'static str {
        match self {
            Self::Dispatch { .. } => REASONS[0],
            Self::Projections { .. } => REASONS[1],
            Self::Log => REASONS[2],
            Self::Backlog => REASONS[3],
            Self::Lines { .. } => REASONS[4],
        }
    }
}

/// Decides which messages a process takes; cheap to clone.
#[derive(Clone)]
pub struct Admission {
    /// None: every message is admitted.
    shared: Option<Arc<AdmissionState>>,
}

struct AdmissionState {
    started: Instant,
    gates: [Gate; WINDOWS],
    windows: Mutex<[(Window, Room); WINDOWS]>,
    commit_gate: CommitGate,
    is_full: AtomicBool,
    crowded: RwLock<Crowded>,
    stats: AdmissionStats,
}

/// The tenants that have as many messages in lines as they may. Other tenants' messages are accepted.
#[derive(Debug, Default)]
struct Crowded {
    tenants: HashSet<TenantId>,
    most: u64,
}

/// The limits that a window computed at the last look. Requests read them without waiting.
struct Gate {
    admitted: AtomicU64,
    admitted_max: AtomicU64,
    /// Beyond that, for messages of high priority.
    reserve: AtomicU64,
    retry_after_seconds: AtomicU64,
    refused: AtomicBool,
}

/// A message that was admitted, on its way into the log until this is dropped.
pub(crate) struct Admitted(Option<Arc<AdmissionState>>);

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.commit_gate.leave();
        }
    }
}

impl Admission {
    /// Admits by `rules`, as soon as it is told how things stand.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let shared = AdmissionState {
            started: Instant::now(),
            gates: std::array::from_fn(|_| Gate::open()),
            windows: Mutex::new(std::array::from_fn(|_| (Window::new(rules), Room::UNLIMITED))),
            commit_gate: CommitGate::open(rules.wait / COMMIT_WAIT_PART),
            is_full: AtomicBool::new(false),
            crowded: RwLock::default(),
            stats: AdmissionStats::default(),
        };
        for reason in REASONS {
            shared.stats.refused.of(&reason);
        }
        Self { shared: Some(Arc::new(shared)) }
    }

    /// Admits everything.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { shared: None }
    }

    /// Takes note of how things stand. It wants to be told some ten times a second.
    pub fn observe(&self, signals: &Signals) {
        let Some(shared) = &self.shared else { return };
        shared.is_full.store(signals.is_full, Ordering::Relaxed);
        let at = shared.started.elapsed();
        shared.commit_gate.look(at, signals.webhooks_behind);
        let mut windows = shared.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, (window, said)) in windows.iter_mut().enumerate() {
            let gate = &shared.gates[index];
            let done = match index {
                PROJECTIONS => signals.projections,
                queue => {
                    let mut queues = signals.queues.iter();
                    queues.find(|(c, p, _)| place(*c, *p) == queue).map(|(.., at)| *at)
                }
            };
            let room = window.look(QueueSample {
                at,
                head: signals.head,
                admitted: gate.admitted.load(Ordering::Relaxed),
                refused: gate.refused.swap(false, Ordering::Relaxed),
                done,
            });
            gate.set(room);
            *said = room;
        }
    }

    /// What was decided so far; none where everything is admitted.
    #[must_use]
    pub fn stats(&self) -> Option<&AdmissionStats> {
        self.shared.as_ref().map(|shared| &shared.stats)
    }

    /// The way into the log, the projections' window, and those of the queues that limit something now.
    #[must_use]
    pub fn windows(&self) -> Vec<WindowState> {
        let Some(shared) = &self.shared else { return Vec::new() };
        let windows = shared.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let said = windows.iter().map(|(_, room)| *room).enumerate();
        let said = said.filter(|(index, room)| *index == PROJECTIONS || room.waiting_max.is_some());
        let said = said.map(|(index, room)| WindowState {
            name: name(index),
            waiting: room.waiting,
            waiting_max: room.waiting_max,
            wait: room.wait,
        });
        std::iter::once(shared.commit_gate.state()).chain(said).collect()
    }

    /// Takes note of the tenants of which `most` messages, or more, stand in lines.
    pub fn observe_lines(&self, tenants: HashSet<TenantId>, most: u64) {
        if let Some(shared) = &self.shared {
            let mut crowded = shared.crowded.write().unwrap_or_else(PoisonError::into_inner);
            *crowded = Crowded { tenants, most };
        }
    }

    /// Admits messages of this tenant, or says why not.
    pub(crate) fn admit_tenant(&self, tenant: TenantId) -> Result<(), AdmissionRefusal> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let crowded = shared.crowded.read().unwrap_or_else(PoisonError::into_inner);
        if !crowded.tenants.contains(&tenant) {
            return Ok(());
        }
        let refusal = AdmissionRefusal::Lines { most: crowded.most };
        drop(crowded);
        shared.stats.refused.of(&refusal.reason()).increment();
        Err(refusal)
    }

    /// Admits one message, or says why not.
    pub(crate) fn admit(
        &self,
        channel: Channel,
        priority: Priority,
    ) -> Result<Admitted, AdmissionRefusal> {
        let Some(shared) = &self.shared else { return Ok(Admitted(None)) };
        let (projections, queue) =
            (&shared.gates[PROJECTIONS], &shared.gates[place(channel, priority)]);
        let is_urgent = priority == Priority::High;
        let refusal = if shared.is_full.load(Ordering::Relaxed) {
            AdmissionRefusal::Backlog
        } else if !shared.commit_gate.has_room(is_urgent) {
            shared.commit_gate.refuse();
            AdmissionRefusal::Log
        } else if !projections.has_room(is_urgent) {
            AdmissionRefusal::Projections { retry_after_seconds: projections.refuse() }
        } else if !queue.has_room(false) {
            AdmissionRefusal::Dispatch { retry_after_seconds: queue.refuse() }
        } else {
            // Others may have come in between: a few more than the limit, and none is lost count
            // of.
            projections.admitted.fetch_add(1, Ordering::Relaxed);
            queue.admitted.fetch_add(1, Ordering::Relaxed);
            shared.commit_gate.enter();
            shared.stats.admitted.increment();
            return Ok(Admitted(Some(Arc::clone(shared))));
        };
        shared.stats.refused.of(&refusal.reason()).increment();
        Err(refusal)
    }

    /// Says why no message would be admitted now, whatever it is: a look at two numbers, which
    /// spares reading the request.
    pub(crate) fn shut(&self) -> Option<AdmissionRefusal> {
        let shared = self.shared.as_ref()?;
        let projections = &shared.gates[PROJECTIONS];
        let refusal = if shared.is_full.load(Ordering::Relaxed) {
            AdmissionRefusal::Backlog
        } else if !shared.commit_gate.has_room(true) {
            shared.commit_gate.refuse();
            AdmissionRefusal::Log
        } else if projections.has_room(true) {
            return None;
        } else {
            AdmissionRefusal::Projections { retry_after_seconds: projections.refuse() }
        };
        shared.stats.refused.of(&refusal.reason()).increment();
        Some(refusal)
    }
}

impl Gate {
    const fn open() -> Self {
        Self {
            admitted: AtomicU64::new(0),
            admitted_max: AtomicU64::new(UNLIMITED),
            reserve: AtomicU64::new(0),
            retry_after_seconds: AtomicU64::new(RETRY_AFTER_SECONDS.0),
            refused: AtomicBool::new(false),
        }
    }

    fn set(&self, room: Room) {
        let (least, most) = RETRY_AFTER_SECONDS;
        let seconds = room.retry_after.as_secs().saturating_add(1).clamp(least, most);
        self.retry_after_seconds.store(seconds, Ordering::Relaxed);
        self.reserve.store(room.waiting_max.unwrap_or_default() / RESERVE, Ordering::Relaxed);
        self.admitted_max.store(room.admitted_max.unwrap_or(UNLIMITED), Ordering::Relaxed);
    }

    fn has_room(&self, is_urgent: bool) -> bool {
        let reserve = if is_urgent { self.reserve.load(Ordering::Relaxed) } else { 0 };
        let admitted_max = self.admitted_max.load(Ordering::Relaxed).saturating_add(reserve);
        self.admitted.load(Ordering::Relaxed) < admitted_max
    }

    /// When the client may come again.
    fn refuse(&self) -> u32 {
        self.refused.store(true, Ordering::Relaxed);
        u32::try_from(self.retry_after_seconds.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }
}

const fn place(channel: Channel, priority: Priority) -> usize {
    1 + channel as usize * Priority::ALL.len() + priority as usize
}

fn name(index: usize) -> String {
    let queues = Channel::ALL.into_iter().flat_map(|c| Priority::ALL.map(|p| (c, p)));
    let queue = queues.into_iter().find(|(c, p)| place(*c, *p) == index);
    queue.map_or_else(
        || "projections".to_owned(),
        |(channel, priority)| format!("{}.{}", channel.as_str(), priority.as_str()),
    )
}

#[cfg(test)]
mod tests;
