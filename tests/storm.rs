//! Everything that can go wrong around hatch does, drawn from a seed: processes are killed or stand still, connections
//! break or swallow what is said, clocks step, PostgreSQL fails over, NATS loses its data, the provider is mute. At the
//! end the checker holds all that is left against each other.
//!
//! Short by default: one fault of each kind. `HATCH_TEST_STORM_MINUTES=30` makes it long (`just storm`);
//! `HATCH_TEST_STORM_SEED` repeats the schedule of a run.

mod fault;
mod pair;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hatch::output::line;
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use nix::sys::signal::Signal;

use crate::checker::Evidence;
use crate::process::output_with;
use crate::senders::Senders;
use crate::time::paced;
use fault::Schedule;
use world::World;

const CONNECTIONS: usize = 16;
const MESSAGES_MIN: u64 = 200;
/// With so many accepted and not settled, clients hold back.
const UNSETTLED_MAX: i64 = 150;
const POLL: Duration = Duration::from_millis(200);
/// Steps from one look at how much is under way to the next.
const PROGRESS_EVERY: usize = 8;

struct Plan {
    seed: u64,
    /// None: until each kind of fault was there.
    lasting: Option<Duration>,
}

impl Plan {
    fn of_environment() -> Self {
        let number = |name: &str| -> Option<u64> {
            std::env::var(name).ok().map(|text| text.parse().expect("a number"))
        };
        let seed = number("HATCH_TEST_STORM_SEED");
        let minutes = number("HATCH_TEST_STORM_MINUTES");
        Self {
            seed: seed.unwrap_or_else(|| SystemEnvironment.new_id().as_u64_pair().1),
            lasting: minutes.map(|minutes| Duration::from_secs(60 * minutes)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_stuck_in_a_storm() {
    let plan = Plan::of_environment();
    // Said at once: a storm that ends badly may end before its table.
    line(format!("seed {}", plan.seed)).expect("printed");
    let mut world = World::start().await;
    let urls = vec![world.up.url.clone(), world.second_url()];
    let http = hatch::http_client(Duration::from_secs(8)).expect("a client");
    let senders = Senders::start(CONNECTIONS, urls, &http, MESSAGES_MIN);
    let began = Instant::now();
    let suffered = rage(&mut world, &senders, &plan).await;
    let journal = senders.finish().await;
    let sending = began.elapsed();
    world.settle().await;

    let (database_url, simulator) = (world.pair.primary.url(), world.simulator());
    let (evidence, violations) =
        Evidence::standing(&database_url, &simulator, &http, journal).await;
    line(evidence.table(plan.seed, sending, &suffered, violations.len())).expect("printed");
    assert!(violations.is_empty(), "{violations:#?}");

    let given = [("HATCH_DATABASE_URL", database_url.as_str())];
    let (ok, said, error) = output_with(world.folder.path(), &["log", "verify"], &given).await;
    assert!(ok, "{said}{error}");
    world.up.signal(Signal::SIGTERM);
    assert!(world.up.child.wait().await.expect("it ends").success(), "a clean end");
}

/// Lets one step come after the other; says how often which kind of fault was there.
async fn rage(world: &mut World, senders: &Senders, plan: &Plan) -> BTreeMap<&'static str, usize> {
    let (began, mut suffered) = (Instant::now(), BTreeMap::new());
    for (n, step) in Schedule::new(plan.seed).enumerate() {
        let over = match plan.lasting {
            Some(lasting) => began.elapsed() >= lasting,
            None => n >= Schedule::KINDS,
        };
        if over {
            break;
        }
        line(format!("{:>5.0} s: {step}", began.elapsed().as_secs_f64())).expect("printed");
        if n % PROGRESS_EVERY == 0 {
            world.tell_progress().await;
        }
        world.suffer(&step).await;
        for fault in &step.faults {
            *suffered.entry(fault.kind()).or_default() += 1;
        }
        peace(world, senders, step.pause).await;
        assert!(!senders.is_broken(), "a client got an answer that it must not get");
    }
    suffered
}

/// Waits for the next step; with too much unsettled, clients hold back.
async fn peace(world: &World, senders: &Senders, pause: Duration) {
    let (until, mut looks) = (Instant::now() + pause, paced(POLL));
    loop {
        looks.tick().await;
        // Where nobody can say how many there are, there may be too many.
        let unsettled = world.unsettled().await;
        senders.hold_back(unsettled.is_none_or(|count| count >= UNSETTLED_MAX));
        if Instant::now() >= until {
            return;
        }
    }
}
