//! A window by itself, a gate, and the closed loop: windows before a queue of a given capacity.

use std::collections::VecDeque;
use std::time::Duration;

use super::*;

const WAIT: Duration = Duration::from_millis(400);
const BURST: u64 = 2_000;
const RULES: Rules = Rules { wait: WAIT, burst: BURST };

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn sample(at: u64, head: i64, admitted: u64, done: Option<i64>) -> QueueSample {
    let (head, done) = (Position(head), done.map(Position));
    QueueSample { at: millis(at), head, admitted, refused: false, done }
}

#[test]
fn what_a_queue_has_not_come_to_waits() {
    // Given 100 messages that were admitted while the head went from 0 to 500.
    let mut window = Window::new(RULES);
    window.look(sample(0, 0, 0, None));
    window.look(sample(100, 500, 100, None));
    // When the queue has come to position 250, then half of them wait.
    let room = window.look(sample(200, 500, 100, Some(250)));
    assert_eq!((room.waiting, room.admitted_max), (50, Some(50 + BURST)));
    // Those that are admitted at the same head are beyond it, and wait, too.
    let room = window.look(sample(300, 500, 130, Some(500)));
    assert_eq!(room.waiting, 30);
}

#[test]
fn where_nobody_can_tell_how_far_a_queue_is_nothing_is_limited() {
    let mut window = Window::new(RULES);
    for second in 0..100_u64 {
        let head = i64::try_from(second).expect("small") * 100_000;
        let room = window.look(sample(second * 1_000, head, second * 100_000, None));
        assert_eq!((room.admitted_max, room.waiting_max), (None, None), "second {second}");
    }
}

#[test]
fn a_log_that_went_back_is_begun_anew() {
    let mut window = Window::new(RULES);
    window.look(sample(0, 1_000, 100, Some(1_000)));
    window.look(sample(100, 2_000, 200, Some(2_000)));
    let room = window.look(sample(200, 500, 210, Some(500)));
    assert_eq!(room.waiting, 0, "nothing is known of what was admitted at another head");
    let room = window.look(sample(300, 600, 250, Some(550)));
    assert_eq!(room.waiting, 20);
}

#[test]
fn a_burst_that_stays_is_borne_with_for_two_seconds_and_then_no_more() {
    // Given a queue that ends ten messages in 100 ms, and a burst of 1,000.
    let mut window = Window::new(RULES);
    window.look(sample(0, 0, 0, Some(0)));
    let mut limits = Vec::new();
    for tick in 1..=40_u64 {
        let done = i64::try_from(tick).expect("small") * 10;
        let room = window.look(sample(tick * 100, 1_000, 1_000, Some(done)));
        limits.push(room.waiting_max.expect("a limit"));
    }
    // Then as many may wait as before, and after two seconds as many as have their turn in time.
    assert!(limits[..20].iter().all(|limit| *limit == BURST), "{limits:?}");
    assert!(limits[21..].iter().all(|limit| *limit < 100), "{limits:?}");
}

#[test]
fn a_few_waiting_messages_are_no_overload_however_slow_the_queue_is() {
    let mut window = Window::new(RULES);
    window.look(sample(0, 0, 0, Some(0)));
    for tick in 1..=100_u64 {
        let room = window.look(sample(tick * 100, 100, 60, Some(1)));
        assert_eq!(room.waiting_max, Some(BURST), "tick {tick}");
    }
}

#[test]
fn each_queue_and_the_projections_have_a_window_of_their_own() {
    let mut names: Vec<_> = (0..WINDOWS).map(name).collect();
    assert_eq!((names[0].as_str(), names[1].as_str()), ("projections", "sms.high"));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), WINDOWS);
}

/// An admission whose burst is 8 messages, and `count` of `channel` and `priority` that it
/// admitted.
fn given(count: u64, channel: Channel, priority: Priority) -> Admission {
    let admission = Admission::new(Rules { burst: 8, ..RULES });
    admission.observe(&Signals::default());
    for _ in 0..count {
        assert_eq!(admission.admit(channel, priority).map(drop), Ok(()));
    }
    admission
}

#[test]
fn a_full_queue_refuses_its_own_messages_and_no_others() {
    // Given a queue of text messages in which as many wait as may.
    let admission = given(16, Channel::Sms, Priority::Normal);
    let queues = vec![(Channel::Sms, Priority::Normal, Position(0))];
    admission.observe(&Signals { queues, ..Signals::default() });
    let refusal = admission.admit(Channel::Sms, Priority::Normal).map(drop);
    assert_eq!(refusal, Err(AdmissionRefusal::Dispatch { retry_after_seconds: 1 }));
    assert_eq!(admission.admit(Channel::Sms, Priority::High).map(drop), Ok(()), "a login code");
    assert_eq!(admission.admit(Channel::Email, Priority::Normal).map(drop), Ok(()));
    assert_eq!(admission.shut(), None);
    let windows = admission.windows();
    let shown = windows.iter().map(|w| (w.name.as_str(), w.waiting, w.waiting_max));
    let expected = [("log", 0, None), ("projections", 0, None), ("sms.normal", 16, Some(16))];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
    let stats = admission.stats().expect("counted");
    assert_eq!((stats.admitted.get(), stats.refused.of(&"dispatch").get()), (18, 1));
    // When nobody can tell any more how far it is, nothing is refused.
    admission.observe(&Signals::default());
    assert_eq!(admission.admit(Channel::Sms, Priority::Normal).map(drop), Ok(()));
}

#[test]
fn of_what_the_projections_have_no_room_for_high_priority_is_refused_last() {
    let admission = given(16, Channel::Sms, Priority::Normal);
    admission.observe(&Signals { projections: Some(Position(0)), ..Signals::default() });
    let refused = Err(AdmissionRefusal::Projections { retry_after_seconds: 1 });
    assert_eq!(admission.admit(Channel::Email, Priority::Bulk).map(drop), refused);
    for _ in 0..4 {
        assert_eq!(admission.admit(Channel::Email, Priority::High).map(drop), Ok(()));
    }
    assert_eq!(admission.admit(Channel::Email, Priority::High).map(drop), refused);
    assert!(admission.shut().is_some());
}

#[test]
fn when_all_that_may_wait_does_everything_is_refused() {
    let admission = given(1, Channel::Sms, Priority::Normal);
    admission.observe(&Signals { is_full: true, ..Signals::default() });
    assert_eq!(
        admission.admit(Channel::Chat, Priority::High).map(drop),
        Err(AdmissionRefusal::Backlog)
    );
    assert_eq!(admission.shut(), Some(AdmissionRefusal::Backlog));
    admission.observe(&Signals::default());
    assert_eq!(admission.admit(Channel::Chat, Priority::High).map(drop), Ok(()));
    assert_eq!(Admission::unlimited().admit(Channel::Sms, Priority::Bulk).map(drop), Ok(()));
}

/// One process, as the loop sees it.
struct Process {
    window: Window,
    admitted: u64,
    admitted_max: Option<u64>,
    refused: bool,
    /// Messages a second that clients send it, and the part of one that is due.
    offered: f64,
    due: f64,
    /// Admitted in each second.
    course: Vec<u64>,
    /// Refused in all.
    refusals: u64,
}

/// Processes before one queue of a fixed capacity, whose progress is told ten times a second.
struct Loop {
    now: u64,
    /// Messages that the queue ends a second, and the part of one that it has begun.
    capacity: f64,
    begun: f64,
    head: i64,
    /// Those that wait: position, and when it was admitted.
    queue: VecDeque<(i64, u64)>,
    done: i64,
    /// What was told last, and when the queue last had something to do.
    told: i64,
    busy: u64,
    processes: Vec<Process>,
    finished: Vec<u64>,
    /// The longest wait of those that had their turn in each second, in milliseconds.
    waits: Vec<u64>,
}

/// A message is one event when it is asked for, and four more until it is delivered.
const EVENTS_MORE: i64 = 4;

impl Loop {
    fn new(capacity: f64, offered: &[f64]) -> Self {
        let process = |offered: &f64| Process {
            window: Window::new(RULES),
            admitted: 0,
            admitted_max: None,
            refused: false,
            offered: *offered,
            due: 0.0,
            course: vec![0],
            refusals: 0,
        };
        Self {
            now: 0,
            capacity,
            begun: 0.0,
            head: 0,
            queue: VecDeque::new(),
            done: 0,
            told: 0,
            busy: 0,
            processes: offered.iter().map(process).collect(),
            finished: vec![0],
            waits: vec![0],
        }
    }

    fn run(&mut self, seconds: u64) {
        (0..seconds * 1_000).for_each(|_| self.step());
    }

    /// A millisecond.
    fn step(&mut self) {
        self.now += 1;
        if self.now.is_multiple_of(1_000) {
            self.finished.push(0);
            self.waits.push(0);
            self.processes.iter_mut().for_each(|process| process.course.push(0));
        }
        self.arrive();
        self.serve();
        if self.now % 100 == 37 {
            self.told = self.done;
        }
        if self.now.is_multiple_of(100) {
            self.look();
        }
    }

    fn arrive(&mut self) {
        for process in &mut self.processes {
            process.due += process.offered / 1_000.0;
            while process.due >= 1.0 {
                process.due -= 1.0;
                if process.admitted_max.is_some_and(|max| process.admitted >= max) {
                    process.refused = true;
                    process.refusals += 1;
                    continue;
                }
                process.admitted += 1;
                *process.course.last_mut().expect("a second") += 1;
                self.head += 1;
                self.queue.push_back((self.head, self.now));
            }
        }
    }

    fn serve(&mut self) {
        self.begun = (self.begun + self.capacity / 1_000.0).min(self.queue.len() as f64);
        while self.begun >= 1.0 {
            self.begun -= 1.0;
            let Some((position, since)) = self.queue.pop_front() else { return };
            (self.done, self.busy) = (position, self.now);
            self.head += EVENTS_MORE;
            *self.finished.last_mut().expect("a second") += 1;
            let wait = self.waits.last_mut().expect("a second");
            *wait = (*wait).max(self.now - since);
        }
    }

    fn look(&mut self) {
        let is_busy = self.now <= self.busy + 1_000 && self.busy > 0;
        for process in &mut self.processes {
            let room = process.window.look(QueueSample {
                at: millis(self.now),
                head: Position(self.head),
                admitted: process.admitted,
                refused: std::mem::take(&mut process.refused),
                done: is_busy.then_some(Position(self.told)),
            });
            process.admitted_max = room.admitted_max;
        }
    }

    fn refusals(&self) -> u64 {
        self.processes.iter().map(|process| process.refusals).sum()
    }
}

const CAPACITIES: [f64; 4] = [300.0, 1_500.0, 6_000.0, 10_000.0];

#[test]
fn offered_twice_what_can_be_finished_that_much_is_accepted_and_waits_are_bounded() {
    for capacity in CAPACITIES {
        let mut model = Loop::new(capacity, &[2.0 * capacity]);
        model.run(40);
        // What came before the queue was known to be overloaded has been worked off by then.
        for second in 10..40 {
            let finished = model.finished[second] as f64;
            assert!(finished > 0.99 * capacity, "{capacity}: {finished} in {second}");
            let admitted = model.processes[0].course[second] as f64;
            assert!((0.9..1.1).contains(&(admitted / capacity)), "{capacity}: {admitted}");
            let wait = model.waits[second];
            assert!(wait < 500, "{capacity}: {wait} ms in {second}");
        }
        let longest = model.waits.iter().max().expect("seconds");
        let burst = BURST as f64 / capacity * 1_000.0;
        let bound = 900.0 + burst;
        assert!((*longest as f64) < bound, "{capacity}: {longest} ms at first, {bound} allowed");
    }
}

#[test]
fn an_idle_queue_takes_a_burst_whole_and_a_load_below_the_ceiling_too() {
    for capacity in CAPACITIES {
        let mut model = Loop::new(capacity, &[0.0]);
        model.run(3);
        model.processes[0].due = BURST as f64 * 0.9;
        model.run(1);
        assert_eq!(model.refusals(), 0, "{capacity}: a burst");
        model.run(10);
        for share in [0.1, 0.5, 0.9] {
            model.processes[0].offered = share * capacity;
            model.run(20);
            assert_eq!(model.refusals(), 0, "{share} of {capacity}");
        }
    }
}

#[test]
fn after_an_overload_a_load_in_bursts_that_fit_is_taken_whole_again() {
    for capacity in CAPACITIES {
        let mut model = Loop::new(capacity, &[2.0 * capacity]);
        model.run(10);
        model.processes[0].offered = 0.0;
        // A third of what can be finished, half a second's at once.
        let mut bursts = |count: usize| {
            for _ in 0..count {
                model.processes[0].due = 0.15 * capacity;
                (0..500).for_each(|_| model.step());
            }
            model.refusals()
        };
        let before = bursts(20);
        assert_eq!(bursts(40), before, "{capacity}");
    }
}

#[test]
fn a_standstill_of_a_moment_below_the_ceiling_refuses_nothing() {
    for capacity in CAPACITIES {
        let mut model = Loop::new(capacity, &[0.7 * capacity]);
        model.run(10);
        for _ in 0..5 {
            model.capacity = 0.0;
            (0..300).for_each(|_| model.step());
            model.capacity = capacity;
            model.run(3);
        }
        assert_eq!(model.refusals(), 0, "{capacity}");
    }
}

#[test]
fn once_the_load_is_less_everything_is_accepted_again_by_itself() {
    for capacity in CAPACITIES {
        let mut model = Loop::new(capacity, &[2.0 * capacity]);
        model.run(20);
        model.processes[0].offered = 0.5 * capacity;
        model.run(3);
        let refused = model.refusals();
        model.run(10);
        assert_eq!(model.refusals(), refused, "{capacity}");
        assert!(model.waits[25..].iter().all(|wait| *wait < 100), "{:?}", model.waits);
        // And bursts are borne again.
        model.processes[0].due = BURST as f64 * 0.5;
        model.run(1);
        assert_eq!(model.refusals(), refused, "{capacity}: a burst");
    }
}

#[test]
fn a_queue_that_becomes_slower_or_faster_is_followed() {
    let mut model = Loop::new(6_000.0, &[12_000.0]);
    model.run(15);
    model.capacity = 1_500.0;
    model.run(15);
    model.capacity = 9_000.0;
    model.run(15);
    assert!(model.waits[22..30].iter().all(|wait| *wait < 600), "{:?}", model.waits);
    assert!(model.finished[22..30].iter().all(|n| *n > 1_450), "{:?}", model.finished);
    assert!(model.finished[37..45].iter().all(|n| *n > 8_500), "{:?}", model.finished);
}

#[test]
fn processes_share_fairly_and_who_asks_for_little_gets_it() {
    for capacity in [1_500.0, 6_000.0] {
        // Given one that has all of the queue, when three more come, one of which asks for little.
        let mut model = Loop::new(capacity, &[2.0 * capacity, 0.0, 0.0, 0.0]);
        model.run(10);
        for (process, share) in [(1, 2.0), (2, 0.6), (3, 0.05)] {
            model.processes[process].offered = share * capacity;
        }
        model.run(60);
        // Then the others have about the same.
        let part = |process: usize| {
            let admitted: u64 = model.processes[process].course[50..70].iter().sum();
            admitted as f64 / (20.0 * capacity)
        };
        let parts = [part(0), part(1), part(2), part(3)];
        assert!(parts[3] > 0.049, "{capacity}: {parts:?}");
        for greedy in &parts[..3] {
            assert!((0.25..0.40).contains(greedy), "{capacity}: {parts:?}");
        }
        assert!(model.waits[50..].iter().all(|wait| *wait < 800), "{:?}", model.waits);
        assert!(model.finished[50..70].iter().all(|n| *n as f64 > 0.99 * capacity));
    }
}

#[test]
fn the_lines_of_one_tenant_refuse_no_other() {
    let admission = Admission::new(RULES);
    let (one, other) = (TenantId(uuid::Uuid::from_u128(1)), TenantId(uuid::Uuid::from_u128(2)));
    assert_eq!(admission.admit_tenant(one), Ok(()));
    admission.observe_lines(HashSet::from([one]), 7);
    assert_eq!(admission.admit_tenant(one), Err(AdmissionRefusal::Lines { most: 7 }));
    assert_eq!(admission.admit_tenant(other), Ok(()));
    admission.observe_lines(HashSet::new(), 7);
    assert_eq!(admission.admit_tenant(one), Ok(()));
    assert_eq!(Admission::unlimited().admit_tenant(one), Ok(()));
}
