//! `hatch bench`: how much, how fast, at what cost, and whether nothing was lost on the way.
//!
//! Open loop: a request is due when the schedule says, whatever became of those before it, and its
//! latency counts from then. What a run measures, and how, is in `docs/performance.md`.

mod book;
mod cpu;
pub mod disk;
mod disturb;
mod evidence;
mod fairness;
pub mod flags;
mod generator;
mod html;
mod load;
mod observer;
mod overload;
mod plan;
mod reconcile;
mod report;
mod search;
mod target;
mod write;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hatch::output::line;
use hatch::settings::Settings;
use hatch::{commands, progress};
use hatch_domain::Environment as _;
use hatch_eventstore::{Connections, Log, SystemEnvironment};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::book::{Book, Entries, Sample};
use crate::disturb::{Disturbed, Disturber};
use crate::evidence::Gathering;
use crate::flags::Flags;
use crate::generator::Generator;
use crate::load::Load;
use crate::observer::Observer;
use crate::overload::{Curve, Step};
use crate::plan::{Goal, Plan};
use crate::reconcile::Reconciliation;
use crate::report::Report;
use crate::search::{Search, judge};
use crate::target::Target;
use crate::write::Files;

/// Requests of one call of the program at most: the simulator keeps a record of so many messages.
const REQUESTS_MAX: u64 = 2_000_000;
/// No higher rate is tried.
const RATE_MAX: u32 = 200_000;
/// From the first preparation until the first request is due.
const LEAD: Duration = Duration::from_millis(100);
/// Between two entries in the course of a run.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// The wait for messages ends when none was settled for so long. In `up` all ends within a minute.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// One run at one rate.
pub(crate) struct Measured {
    pub(crate) plan: Plan,
    pub(crate) entries: Entries,
    /// Processor time from before the first request until the last message was settled.
    pub(crate) cpu: BTreeMap<String, Duration>,
}

/// What the whole call of the program came to.
pub(crate) struct Outcome {
    pub(crate) measured: Measured,
    pub(crate) report: Report,
}

/// Measures what the flags ask for, and prints and writes the figures. Fails when a message is lost,
/// doubled or stuck.
///
/// # Errors
/// Hatch, its database or its simulator is not to be had, a limit is exceeded, or a file cannot be
/// written.
pub async fn run(settings: Settings, flags: &Flags) -> anyhow::Result<ExitCode> {
    let files = Files::create(flags)?;
    if flags.fairness {
        let fairness = fairness::measured(&Target::find(settings, flags)?, flags).await?;
        let is_fair = fairness.is_fair();
        files.write_fairness(&fairness)?;
        return Ok(if is_fair { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let outcome = measured(settings, flags).await?;
    files.write(&outcome)?;
    let sound = outcome.report.reconciliation.is_sound();
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures what the flags ask for.
///
/// # Errors
/// Hatch, its database or its simulator is not to be had, or a limit is exceeded. Messages that are
/// lost, doubled or stuck are no error here: the report says so.
async fn measured(settings: Settings, flags: &Flags) -> anyhow::Result<Outcome> {
    let periods = disturb::periods(&flags.disturb, Duration::from_secs(flags.disturb_s.into()));
    let plan = Plan {
        rate: flags.rate,
        duration: match periods.as_slice() {
            [] => Duration::from_secs(flags.duration.into()),
            periods => disturb::duration(periods),
        },
        clients: flags.clients,
        goal: if flags.accept_only { Goal::Accepted } else { Goal::Delivered },
        keeps_delivered: !periods.is_empty(),
    };
    ensure!(
        plan.requests() <= REQUESTS_MAX,
        "--rate times --duration are {} messages; the simulator keeps a record of {REQUESTS_MAX}",
        plan.requests()
    );
    if flags.overload && !flags.find_max {
        overload::check(&plan, 0)?;
    }
    let bench = Bench::new(Target::find(settings, flags)?, flags)?;
    if periods.is_empty() {
        return bench.run(plan, flags).await;
    }
    let asked = flags.disturb_account.clone();
    let disturber = Disturber::new(&bench.target.simulator, periods, asked).await?;
    bench.run_disturbed(plan, &disturber).await
}

/// What all runs of a call have in common.
struct Bench {
    target: Target,
    pool: Connections,
    load: Load,
    generator: Generator,
}

impl Bench {
    fn new(target: Target, flags: &Flags) -> anyhow::Result<Self> {
        let [.., a, b, c, d] = SystemEnvironment.new_id().into_bytes();
        let load = Load::new(flags.seed, u32::from_be_bytes([a, b, c, d]));
        let generator = Generator::new(&target.url, flags.api_key_file.as_deref(), load.clone())?;
        Ok(Self { pool: commands::pool(&target.settings)?, target, load, generator })
    }

    async fn run(self, plan: Plan, flags: &Flags) -> anyhow::Result<Outcome> {
        let Target { url, simulator, .. } = &self.target;
        self.check().await?;
        let before = Log::new(self.pool.clone()).head().await.context("failed to read the log")?;
        let disk = self.target.disk();
        let fdatasync =
            tokio::task::spawn_blocking(move || crate::disk::fdatasync(&disk)).await??;
        let (mut accepted, mut sent) = (Vec::new(), 0);
        let (mut measured, mut max_rate, mut curve) = (None, None, None);
        if flags.find_max {
            let (found, rate) = self.find_max(plan, &mut sent, &mut accepted).await?;
            (measured, max_rate) = (Some(found), rate);
        }
        if flags.overload {
            let ceiling = Plan { rate: max_rate.unwrap_or(plan.rate), ..plan };
            let (worst, found) = self.overload(ceiling, sent, &mut accepted).await?;
            (measured, curve) = (Some(worst), Some(found));
        }
        let measured = match measured {
            Some(measured) => measured,
            None => {
                line(format!("{} to {url}", describe(&plan)))?;
                self.measure(plan, 0, &mut accepted).await?
            }
        };
        let gathering = Gathering::new(&self.load, before);
        let evidence = gathering.gather(&self.pool, simulator, SILENCE_MAX).await?;
        let reconciliation = Reconciliation::of(&accepted, &evidence.traces);
        let mut report = Report::new(&measured, reconciliation, max_rate, fdatasync);
        report.overload = curve;
        Ok(Outcome { measured, report })
    }

    /// One run at one rate, in which `disturber` disturbs an account.
    async fn run_disturbed(self, plan: Plan, disturber: &Disturber) -> anyhow::Result<Outcome> {
        let Target { url, simulator, .. } = &self.target;
        self.check().await?;
        let before = Log::new(self.pool.clone()).head().await.context("failed to read the log")?;
        let disk = self.target.disk();
        let fdatasync =
            tokio::task::spawn_blocking(move || crate::disk::fdatasync(&disk)).await??;
        line(format!("{} to {url}, with disturbances", describe(&plan)))?;
        let mut accepted = Vec::new();
        let beside = async |book: Arc<Book>| {
            let name = disturber.run(&book).await?;
            anyhow::Ok((name, disturb::wall(book.start())))
        };
        let measured = self.measure_beside(plan, 0, &mut accepted, beside).await;
        // Whatever became of the run, nothing of it is left.
        disturber.calm().await?;
        let (measured, (name, start)) = measured?;
        let gathering = Gathering::new(&self.load, before).with_sends(true);
        let evidence = gathering.gather(&self.pool, simulator, SILENCE_MAX).await?;
        let reconciliation = Reconciliation::of(&accepted, &evidence.traces);
        let mut report = Report::new(&measured, reconciliation, None, fdatasync);
        let disturbed: Disturbed = disturber.figures(&measured, &evidence, name, start);
        report.disturbed = Some(disturbed);
        Ok(Outcome { measured, report })
    }

    /// Asks hatch and the simulator whether they are there, before anything is sent.
    async fn check(&self) -> anyhow::Result<()> {
        const ANSWER_MAX: Duration = Duration::from_secs(10);
        let http = hatch::http_client(ANSWER_MAX)?;
        let Target { url, simulator, .. } = &self.target;
        for address in [format!("{url}/ready"), format!("{simulator}/_sim/messages")] {
            let answer = http.get(&address).send().await;
            answer
                .and_then(reqwest::Response::error_for_status)
                .with_context(|| format!("{address} does not answer: is `./dev up` running?"))?;
        }
        Ok(())
    }

    /// The highest rate that is held and the run at it; where none is held, the last run and 0.
    /// Adds to the number of `requests`.
    async fn find_max(
        &self,
        mut plan: Plan,
        requests: &mut u64,
        accepted: &mut Vec<(u64, Uuid)>,
    ) -> anyhow::Result<(Measured, Option<u32>)> {
        let mut search = Search::new(RATE_MAX);
        let mut best: Option<Measured> = None;
        loop {
            let measured = self.measure(plan, *requests, accepted).await?;
            *requests += plan.requests();
            let verdict = judge(&plan, &measured.entries.samples);
            line(format!("{}: {verdict}", describe(&plan)))?;
            let next = search.next(plan.rate, verdict.held);
            if verdict.held {
                best = Some(measured);
            } else if next.is_none() && best.is_none() {
                return Ok((measured, Some(0)));
            }
            let Some(rate) = next else { break };
            plan.rate = rate;
            if *requests + plan.requests() > REQUESTS_MAX {
                line(format!("the search ends here: the record keeps {REQUESTS_MAX} messages"))?;
                break;
            }
        }
        let best = best.context("no rate was held before the search had to end")?;
        let rate = best.plan.rate;
        Ok((best, Some(rate)))
    }

    /// The run at twice the ceiling and the curve of all steps, of which the first request is
    /// number
    /// `first` of the load.
    async fn overload(
        &self,
        ceiling: Plan,
        mut first: u64,
        accepted: &mut Vec<(u64, Uuid)>,
    ) -> anyhow::Result<(Measured, Curve)> {
        ensure!(ceiling.rate > 0, "no rate was held: there is no ceiling to go beyond");
        overload::check(&ceiling, first)?;
        let (mut worst, mut steps) = (None, Vec::new());
        for (index, share) in overload::SHARES.into_iter().enumerate() {
            let plan = overload::step(&ceiling, share);
            line(format!("{}, {share} of the ceiling", describe(&plan)))?;
            let measured = self.measure(plan, first, accepted).await?;
            first += plan.requests();
            let none = Reconciliation::default();
            let report = Report::new(&measured, none, None, Duration::ZERO);
            steps.push(Step::of(share, &report, plan.duration.as_secs_f64()));
            if index == overload::WORST {
                worst = Some(measured);
            }
        }
        let worst = worst.context("no step was made")?;
        Ok((worst, Curve { ceiling_per_s: ceiling.rate, steps }))
    }

    /// One run, whose first request is number `first` of the load; adds to `accepted`.
    async fn measure(
        &self,
        plan: Plan,
        first: u64,
        accepted: &mut Vec<(u64, Uuid)>,
    ) -> anyhow::Result<Measured> {
        let nothing = async |_: Arc<Book>| anyhow::Ok(());
        let (measured, ()) = self.measure_beside(plan, first, accepted, nothing).await?;
        Ok(measured)
    }

    /// The same, with what `beside` comes to, which is done at the same time.
    async fn measure_beside<T>(
        &self,
        plan: Plan,
        first: u64,
        accepted: &mut Vec<(u64, Uuid)>,
        beside: impl AsyncFnOnce(Arc<Book>) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Measured, T)> {
        let observer = Observer::open(&self.pool).await?;
        let before = self.target.usage();
        let book = Arc::new(Book::new(plan, Instant::now() + LEAD));
        let stop = CancellationToken::new();
        let work = async {
            self.generator.run(&book, first).await?;
            drain(&book).await;
            stop.cancel();
            Ok(())
        };
        let observed = observer.follow(Arc::clone(&book), stop.clone());
        let beside = beside(Arc::clone(&book));
        let ((), (), (), done) = tokio::try_join!(work, observed, watch(&book, &stop), beside)?;
        let measured = Measured::new(&book, self.target.usage().since(&before));
        let numbered = measured.entries.accepted.iter().map(|(n, id)| (first + n, *id));
        accepted.extend(numbered);
        Ok((measured, done))
    }
}

impl Measured {
    fn new(book: &Book, cpu: BTreeMap<String, Duration>) -> Self {
        Self { plan: *book.plan(), entries: book.entries(), cpu }
    }

    /// How far the run had come when the last request was due.
    pub(crate) fn end(&self) -> Sample {
        let within = |sample: &&Sample| sample.at <= self.plan.duration;
        self.entries.samples.iter().rfind(within).copied().unwrap_or_default()
    }
}

/// Waits until every accepted message is settled, or nothing happens any more.
async fn drain(book: &Book) {
    let (mut settled, mut since) = (0, Instant::now());
    loop {
        let now = book.now(Instant::now());
        if now.settled >= now.accepted || since.elapsed() > SILENCE_MAX {
            return;
        }
        if now.settled > settled {
            (settled, since) = (now.settled, Instant::now());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Notes the course of a run, and shows it to whoever watches the terminal.
async fn watch(book: &Book, stop: &CancellationToken) -> anyhow::Result<()> {
    let requests = book.plan().requests();
    let bar = progress::bar("sending", i64::try_from(requests)?);
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        ticks.tick().await;
        let now = book.note(Instant::now());
        let answered = now.accepted + now.refused + now.errors;
        if answered < requests {
            bar.set_position(answered);
        } else {
            bar.set_message("finishing");
            bar.set_length(now.accepted);
            bar.set_position(now.settled);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A plan in a few words.
pub(crate) fn describe(plan: &Plan) -> String {
    let Plan { rate, duration, clients, .. } = plan;
    format!("{rate}/s for {} s over {clients} connections", duration.as_secs())
}
