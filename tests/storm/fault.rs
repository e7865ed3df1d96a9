//! What goes wrong, drawn by a dice.

use std::fmt;
use std::time::Duration;

use crate::senders::Dice;

/// The kinds of fault, each of which comes as often as the others.
const KINDS: [fn(&mut Dice) -> Fault; 9] = [
    |dice| Fault::Kill(dice.one(&VICTIMS)),
    |dice| Fault::Stop(dice.one(&STANDING)),
    |dice| Fault::Cut(dice.one(&LINES), dice.one(&[Cut::Reset, Cut::HalfClosed])),
    |dice| Fault::Swallow(dice.one(&LINES), dice.one(&[Deaf::All, Deaf::Old])),
    |dice| Fault::Clock(dice.one(&CLOCKS), dice.one(&STEPS_MS)),
    |_| Fault::Failover,
    |_| Fault::NatsLoss,
    |dice| Fault::Provider(dice.one(&PROVIDERS), dice.one(&[Mood::Mute, Mood::Down])),
    |_| Fault::MuteStandby,
];

const VICTIMS: [Process; 12] = [
    Process::Role("command"),
    Process::Role("query"),
    Process::Role("webhook"),
    Process::Role("relay"),
    Process::Role("projector"),
    Process::Role("dispatcher"),
    Process::Role("simulator"),
    Process::Second("dispatcher"),
    Process::Second("api"),
    Process::PostgreSql,
    Process::Backend,
    Process::Nats,
];

/// Those of them that may also stand still. The provider that stands still is mute.
const STANDING: [Process; 9] = [
    Process::Role("command"),
    Process::Role("webhook"),
    Process::Role("relay"),
    Process::Role("projector"),
    Process::Role("dispatcher"),
    Process::Second("dispatcher"),
    Process::Second("api"),
    Process::Backend,
    Process::Nats,
];

const LINES: [Line; 4] = [
    (Family::First, Server::PostgreSql),
    (Family::First, Server::Nats),
    (Family::Second, Server::PostgreSql),
    (Family::Second, Server::Nats),
];

const CLOCKS: [Clock; 3] = [Clock::Of(Family::First), Clock::Of(Family::Second), Clock::OfProvider];

/// What clocks are wrong by.
const STEPS_MS: [i64; 6] = [5_000, -5_000, 90_000, -90_000, 3_600_000, -3_600_000];

const PROVIDERS: [&str; 2] = [crate::harness::ACCOUNT, "sendgrid"];

/// How long faults last, at least and at most.
const LASTING_MS: (usize, usize) = (500, 12_000);

/// The processes of `up --split`, or those beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    First,
    Second,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    PostgreSql,
    Nats,
}

/// The way of a family to a server.
pub(crate) type Line = (Family, Server);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    /// A role of `up --split`, or its simulator.
    Role(&'static str),
    /// The second of its kind.
    Second(&'static str),
    /// The primary, as a whole.
    PostgreSql,
    /// One server process of PostgreSQL.
    Backend,
    Nats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Reset,
    HalfClosed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deaf {
    /// All connections, until it ends.
    All,
    /// Those that are there, for ever; new ones work.
    Old,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Of(Family),
    OfProvider,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It takes what it is asked for and does not answer.
    Mute,
    /// It fails everything.
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; whoever is to starts it again.
    Kill(Process),
    /// SIGSTOP, and SIGCONT when it ends.
    Stop(Process),
    /// Connections break.
    Cut(Line, Cut),
    /// What is said is swallowed.
    Swallow(Line, Deaf),
    /// A clock steps by so many milliseconds, and back when it ends.
    Clock(Clock, i64),
    /// The primary is lost, and its standby takes its place.
    Failover,
    /// NATS comes back without its data.
    NatsLoss,
    Provider(&'static str, Mood),
    /// The standby does not answer, so that no COMMIT ends.
    MuteStandby,
}

impl Fault {
    /// What kind it is of, for the table.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Stop(_) => "stop",
            Self::Cut(..) => "cut",
            Self::Swallow(..) => "swallow",
            Self::Clock(..) => "clock step",
            Self::Failover => "failover",
            Self::NatsLoss => "loss of NATS",
            Self::Provider(..) => "provider mute or down",
            Self::MuteStandby => "mute standby",
        }
    }

    /// Whether the primary is another process when it has begun.
    const fn moves_postgresql(self) -> bool {
        matches!(self, Self::Failover | Self::Kill(Process::PostgreSql))
    }

    /// Whether they cannot be at once: of one kind, or one takes away what the other is done to.
    fn clashes_with(self, other: Self) -> bool {
        let of_postgresql = |fault| {
            let backend = [Self::Kill(Process::Backend), Self::Stop(Process::Backend)];
            Self::moves_postgresql(fault) || fault == Self::MuteStandby || backend.contains(&fault)
        };
        let of_nats = |fault| {
            [Self::NatsLoss, Self::Kill(Process::Nats), Self::Stop(Process::Nats)].contains(&fault)
        };
        self.kind() == other.kind()
            || (of_postgresql(self) && of_postgresql(other))
            || (of_nats(self) && of_nats(other))
            || (self.process().is_some() && self.process() == other.process())
    }

    const fn process(self) -> Option<Process> {
        match self {
            Self::Kill(process) | Self::Stop(process) => Some(process),
            _ => None,
        }
    }
}

/// Some faults at once, and how long they last.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) faults: Vec<Fault>,
    pub(crate) lasting: Duration,
    /// Peace after it.
    pub(crate) pause: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {:?}, then peace for {:?}", self.faults, self.lasting, self.pause)
    }
}

/// The steps of a storm, which its seed decides alone: first one of each kind, in any order, then whatever comes.
pub(crate) struct Schedule {
    dice: Dice,
    kinds: Vec<usize>,
}

impl Schedule {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut kinds: Vec<usize> = (0..KINDS.len()).collect();
        for end in (1..kinds.len()).rev() {
            kinds.swap(end, dice.below(end + 1));
        }
        Self { dice, kinds }
    }

    /// How many steps it takes until each kind was there.
    pub(crate) const KINDS: usize = KINDS.len();
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let dice = &mut self.dice;
        let kind = self.kinds.pop().unwrap_or_else(|| dice.below(KINDS.len()));
        let mut faults = vec![KINDS[kind](dice)];
        // Now and then another comes on top.
        let other = KINDS[dice.below(KINDS.len())](dice);
        if dice.below(3) == 0 && !faults[0].clashes_with(other) {
            faults.push(other);
        }
        let (least, most) = LASTING_MS;
        // Short ones are more frequent.
        let lasting = least + dice.below(most - least).min(dice.below(most - least));
        let milliseconds = |n: usize| Duration::from_millis(n as u64);
        Some(Step {
            faults,
            lasting: milliseconds(lasting),
            pause: milliseconds(dice.below(2_000)),
        })
    }
}

#[test]
fn a_seed_says_all_and_every_kind_comes_first() {
    let steps =
        |seed| Schedule::new(seed).take(50).map(|step| step.to_string()).collect::<Vec<_>>();
    assert_eq!(steps(7), steps(7));
    assert_ne!(steps(7), steps(8));
    let first: std::collections::BTreeSet<_> =
        Schedule::new(7).take(Schedule::KINDS).map(|step| step.faults[0].kind()).collect();
    assert_eq!(first.len(), Schedule::KINDS);
}
