//! Clocks that are wrong: of the machines that hatch runs on, of the provider, and steps of both.
//! PostgreSQL's decides, so nothing is sent twice, early or never because of another one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use hatch_eventstore::testing::{Fault, Proxy, ScriptedClock};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::checker::{Evidence, Journal};
use crate::fleet::{Fleet, Member};
use crate::harness::CUSTOMER;
use crate::time::{eventually, paced};

/// Waits so short that a doubt ends within seconds.
const HURRIED: [(&str, &str); 5] = [
    ("HATCH_TWILIO__HTTP_TIMEOUT_MS", "500"),
    ("HATCH_TWILIO__CONNECT_TIMEOUT_MS", "400"),
    ("HATCH_DISPATCHER__LEASE_MS", "1800"),
    ("HATCH_DISPATCHER__TIMERS_LAG_MS", "200"),
    ("HATCH_DISPATCHER__LOOK_UPS_MS", "100,300"),
];

/// Longer than a lease, and longer than a candidate may be of a call that is not answered yet.
const DOUBT_LASTS: Duration = Duration::from_secs(5);

/// Recipients whose messages are taken without an answer, and of which no receipt comes: nobody takes
/// webhooks here.
const TAKEN_SILENTLY: &str = "+18045550504";

/// A clock that is set while a process runs: `HATCH_TEST_CLOCK` or `HATCH_TEST_SIMULATOR_CLOCK` names its
/// file.
pub(crate) struct SettableClock(TempDir);

impl SettableClock {
    pub(crate) fn new(milliseconds: i64) -> Self {
        let clock = Self(tempfile::tempdir().expect("a folder"));
        clock.set(milliseconds);
        clock
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("clock")
    }

    fn set(&self, milliseconds: i64) {
        self.write(&milliseconds.to_string());
    }

    /// Takes this much from the wall clock and from the monotonic one.
    fn pause(&self, paused: Duration) {
        let milliseconds = paused.as_millis();
        self.write(&format!("-{milliseconds} -{milliseconds}"));
    }

    /// In one step: a reader sees the old time or the new one.
    fn write(&self, numbers: &str) {
        let next = self.0.path().join("next");
        std::fs::write(&next, numbers).expect("a file");
        std::fs::rename(next, self.file()).expect("a file");
    }

    pub(crate) fn path(&self) -> String {
        self.file().to_str().expect("UTF-8").to_owned()
    }
}

/// The clocks of a fleet on one machine, which are set forward together: the machine's, PostgreSQL's and the
/// provider's.
pub(crate) struct Clocks {
    pub(crate) machine: SettableClock,
    provider: SettableClock,
    database: ScriptedClock,
    /// By how much they were set forward, and the provider's beyond that, in milliseconds.
    forward: i64,
    provider_ahead: i64,
}

impl Clocks {
    /// The clocks of `fleet`, whose members are yet to be started with [`machine`](Self::machine).
    pub(crate) async fn of(fleet: &Fleet, provider: SettableClock) -> Self {
        let database = ScriptedClock::of(&fleet.database.config()).await;
        let (machine, forward, provider_ahead) = (SettableClock::new(0), 0, 0);
        Self { machine, provider, database, forward, provider_ahead }
    }

    /// Sets the provider's clock this much ahead of the others.
    fn set_provider(&mut self, milliseconds: i64) {
        self.provider_ahead = milliseconds;
        self.provider.set(self.forward + milliseconds);
    }

    /// Sets all of them forward.
    pub(crate) async fn advance(&mut self, by: Duration) {
        self.forward += i64::try_from(by.as_millis()).expect("less than an age");
        self.provider.set(self.forward + self.provider_ahead);
        self.machine.write(&format!("{0} {0}", self.forward));
        self.database.advance(by).await;
    }
}

/// A request's own time, which the API gives it, as an age of the event in the log.
const AGE: &str = "SELECT (extract(epoch FROM recorded_at - (payload->>'at')::timestamptz) * 1000)::bigint \
     FROM es.events WHERE type = 'MessageRequested' ORDER BY position DESC LIMIT 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machines_wrong_clock_is_shown_and_decides_nothing() {
    let fleet = Fleet::start(1, &[]).await;
    let clock = SettableClock::new(3_600_000);
    let hour = fleet
        .serve_with("command,relay,projector,dispatcher", &[("HATCH_TEST_CLOCK", &clock.path())])
        .await;
    let id = fleet.accepted(&hour, CUSTOMER, "an hour ahead").await;
    fleet.has_event(&id, "MessageSent").await;
    let age = fleet.count(AGE).await;
    assert!((-1_000..10_000).contains(&age), "PostgreSQL's time: {age} ms");

    let (status, shown) = hour.dependency(&fleet.http, "clock").await;
    assert_eq!((status.as_str(), &shown["status"]), ("degraded", &"down".into()));
    let detail = shown["detail"].as_str().expect("a detail");
    assert!(detail.starts_with("this machine's clock is +3"), "{detail}");
    assert!(detail.contains("Beyond 60 s a dispatcher leaves what is due to others"), "{detail}");
    let offset = hour.metric(&fleet.http, "hatch_clock_offset_seconds").await.expect("a metric");
    assert!((3_590.0..3_610.0).contains(&offset), "{offset}");

    clock.set(-5_000);
    let offset = hour.metric(&fleet.http, "hatch_clock_offset_seconds").await.expect("a metric");
    assert!((-15.0..-4.0).contains(&offset), "it was set while it ran: {offset}");
    let (_, shown) = hour.dependency(&fleet.http, "clock").await;
    let detail = shown["detail"].as_str().expect("a detail");
    assert!(!detail.contains("leaves what is due"), "{detail}");
    clock.set(0);
    let (status, _) = hour.dependency(&fleet.http, "clock").await;
    assert_eq!(status, "ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_left_to_dispatchers_with_a_clock_that_is_not_far_off() {
    let hurried = [("HATCH_DISPATCHER__TIMERS_LAG_MS", "200")];
    let fleet = Fleet::start(1, &hurried).await;
    let clock = SettableClock::new(61_000);
    let astray = fleet
        .serve_with("command,relay,projector,dispatcher", &[("HATCH_TEST_CLOCK", &clock.path())])
        .await;
    let due = SystemEnvironment.now() + TimeDelta::seconds(2);
    let request = serde_json::json!({"to": CUSTOMER, "body": "due", "send_at": due.to_rfc3339()});
    let answer = fleet.http.post(format!("{}/api/v1/messages", astray.url)).json(&request).send();
    let body: serde_json::Value = answer.await.expect("an answer").json().await.expect("JSON");
    let id = body["id"].as_str().expect("an id");
    eventually("it is overdue", async || {
        let sql =
            "SELECT count(*) FROM due.timers WHERE due_at < clock_timestamp() - interval '1 s'";
        (fleet.count(sql).await == 1).then_some(())
    })
    .await;
    assert_eq!(fleet.events(id).await, ["MessageRequested"]);
    let _other = fleet.serve("dispatcher").await;
    fleet.has_event(id, "MessageSent").await;
    // And it does its part again when its clock was set.
    clock.set(0);
    assert_eq!(astray.dependency(&fleet.http, "clock").await.0, "ready");
    assert_eq!(fleet.record().await.len(), 1);
}

/// A message is taken by the provider, whose answer is lost, while its clock is set to `before` our own;
/// when it is asked, to `after`. Says what the message's events came to.
async fn doubt(fleet: &Fleet, member: &Member, clocks: &mut Clocks, shifts: [i64; 2]) -> Ending {
    let [before, after] = shifts;
    clocks.set_provider(before);
    let text = format!("{before} ms, then {after} ms");
    let taken = fleet.record().await.len();
    let id = fleet.accepted(member, TAKEN_SILENTLY, &text).await;
    eventually("it is taken", async || (fleet.record().await.len() > taken).then_some(())).await;
    fleet.has_event(&id, "SendInDoubt").await;
    clocks.set_provider(after);
    clocks.advance(DOUBT_LASTS).await;
    let ending = eventually(&format!("{text}: it was looked up"), async || {
        let events = fleet.events(&id).await;
        let sent = events.iter().any(|event| event == "MessageSent");
        let looks = format!(
            "SELECT coalesce(max(looks), 0)::bigint FROM due.timers WHERE stream_id = '{id}'"
        );
        match (sent, events.len() > 3, fleet.count(&looks).await >= 2) {
            (true, ..) => Some(Ending::Found),
            (_, true, _) => panic!("{text}: sent again after {events:?}"),
            (_, _, true) => Some(Ending::Held),
            _ => None,
        }
    })
    .await;
    let copies = fleet.record().await.len() - taken;
    assert_eq!(copies, 1, "{text}: taken more than once");
    ending
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// The look-up found it.
    Found,
    /// It was looked up in vain, twice, and is in doubt.
    Held,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_doubt_is_found_by_whatever_clock_the_provider_goes() {
    let clock = SettableClock::new(0);
    let fleet = Fleet::start_apart(0, &HURRIED, &clock.path()).await;
    let mut clocks = Clocks::of(&fleet, clock).await;
    let machine = [("HATCH_TEST_CLOCK", &*clocks.machine.path())];
    let member = fleet.serve_with("command,relay,projector,dispatcher", &machine).await;
    for apart in [-5_000, 5_000, -90_000, 3_600_000] {
        let ending = doubt(&fleet, &member, &mut clocks, [apart; 2]).await;
        assert_eq!(ending, Ending::Found, "{apart} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_sent_once_though_the_providers_clock_is_set_while_it_is_in_doubt() {
    let clock = SettableClock::new(0);
    let fleet = Fleet::start_apart(0, &HURRIED, &clock.path()).await;
    let mut clocks = Clocks::of(&fleet, clock).await;
    let machine = [("HATCH_TEST_CLOCK", &*clocks.machine.path())];
    let member = fleet.serve_with("command,relay,projector,dispatcher", &machine).await;
    for (shifts, expected) in
        [([-90_000, 0], Ending::Held), ([-3_600_000, 0], Ending::Held), ([5_000, 0], Ending::Found)]
    {
        let ending = doubt(&fleet, &member, &mut clocks, shifts).await;
        assert_eq!(ending, expected, "{shifts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_expires_while_two_clocks_contradict_each_other_by_more_than_a_minute() {
    let fleet = Fleet::start(1, &[("HATCH_DISPATCHER__VALIDITY_MS", "1")]).await;
    let api = fleet.api(0, "command,query,webhook,relay,projector").await;
    let clock = SettableClock::new(90_000);
    let member = fleet.serve_with("dispatcher", &[("HATCH_TEST_CLOCK", &clock.path())]).await;
    let id = fleet.accepted(&api, CUSTOMER, "which clock is right?").await;
    fleet.has_event(&id, "MessageDelivered").await;
    clock.set(0);
    eventually("the clock is right", async || {
        let offset = member.metric(&fleet.http, "hatch_clock_offset_seconds").await?;
        (offset.abs() < 30.0).then_some(())
    })
    .await;
    let id = fleet.accepted(&api, CUSTOMER, "too late").await;
    fleet.has_event(&id, "MessageFailed").await;
}

/// A provider that answers slowly, a lease of some seconds, and the bus for one dispatcher only.
const SLOW: [(&str, &str); 4] = [
    ("HATCH_TWILIO__HTTP_TIMEOUT_MS", "3000"),
    ("HATCH_DISPATCHER__LEASE_MS", "5000"),
    ("HATCH_DISPATCHER__TIMERS_LAG_MS", "200"),
    ("HATCH_DISPATCHER__DELIVERY_GRACE_MS", "600000"),
];

/// A dispatcher whose clock is past the lease of a call that is under way, and whose policy ends doubts.
async fn ends_no_call_under_way(policy: &str) {
    let settings = [&SLOW[..], &[("HATCH_DISPATCHER__IN_DOUBT__TWILIO", policy)]].concat();
    let fleet = Fleet::start(1, &settings).await;
    let api = fleet.api(0, "command,webhook,relay,projector,dispatcher").await;
    let clock = SettableClock::new(50_000);
    let elsewhere = [("HATCH_TEST_CLOCK", &*clock.path()), ("HATCH_BUS__PREFIX", "elsewhere")];
    let ahead = fleet.serve_with("dispatcher", &elsewhere).await;
    fleet.slow_down(2_500).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(fleet.accepted(&api, "+18045550888", &format!("slow {n}")).await);
    }
    for id in &ids {
        fleet.has_event(id, "MessageSent").await;
        let events = fleet.events(id).await;
        assert_eq!(events, ["MessageRequested", "SendAttempted", "MessageSent"]);
    }
    let record = fleet.record().await;
    assert_eq!(record.len(), 3);
    assert!(record.iter().all(|line| line["calls"] == 1), "{record:?}");
    let shown = ahead.metric(&fleet.http, "hatch_clock_offset_seconds").await.expect("a metric");
    assert!((45.0..60.0).contains(&shown), "its clock was ahead all the time: {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_with_a_fast_clock_sends_nothing_again_whose_call_is_under_way() {
    ends_no_call_under_way("resend").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_with_a_fast_clock_fails_nothing_whose_call_is_under_way() {
    ends_no_call_under_way("fail").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_whose_machine_was_paused_between_claim_and_call_does_not_call() {
    let clock = SettableClock::new(0);
    let fleet = Fleet::start(1, &HURRIED_CLAIMS).await;
    let api = fleet.api(0, "command,query,webhook,relay,projector").await;
    let proxy = Proxy::start(&fleet.database.url()).await;
    let slow = [("HATCH_DATABASE_URL", proxy.url()), ("HATCH_TEST_CLOCK", &*clock.path())];
    let paused = fleet.serve_with("dispatcher", &slow).await;
    let _other = fleet.serve_with("dispatcher", &[("HATCH_BUS__PREFIX", "elsewhere")]).await;
    let before = fleet.accepted(&api, CUSTOMER, "before").await;
    fleet.has_event(&before, "MessageDelivered").await;

    let mut pause = Duration::ZERO;
    for n in 0.. {
        proxy.begin(Fault::Delay(Duration::from_millis(150)));
        let (id, stopped) = stop_between_claim_and_call(&fleet, &api, &paused, n).await;
        fleet.has_event(&id, "MessageDelivered").await;
        // All its clocks stood still. What it asks PostgreSQL takes longer than to go on, so that nothing
        // it measures comes before the call.
        let stood = stopped.elapsed();
        pause += stood;
        clock.pause(pause);
        paused.signal(Signal::SIGCONT);
        eventually("it is idle", async || {
            let under_way = paused.metric(&fleet.http, "hatch_dispatch_under_way").await?;
            (under_way == 0.0).then_some(())
        })
        .await;
        proxy.end();
        assert_eq!(fleet.calls_of(&id).await, 1, "called a second time");
        // After a longer one it had given up the claim's answer, and asked PostgreSQL again for that reason.
        if stood < ANSWERED_WITHIN || n == 3 {
            break;
        }
    }
}

/// How long a process waits for the answer to its claim at the least.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// Stops a dispatcher whose claim is committed, and whose answer to that is on its way: the message, and since when
/// it stands still.
async fn stop_between_claim_and_call(
    fleet: &Fleet,
    api: &Member,
    dispatcher: &Member,
    round: usize,
) -> (String, Instant) {
    let tries = AtomicUsize::new(0);
    eventually("it stands still before its call", async || {
        let key = format!("claimed {round} {}", tries.fetch_add(1, Ordering::Relaxed));
        let id = fleet.accepted(api, CUSTOMER, &key).await;
        fleet.has_event(&id, "SendAttempted").await;
        dispatcher.signal(Signal::SIGSTOP);
        let stopped = Instant::now();
        // It may have called just before, which the provider then hears at once.
        let called = eventually("it is called", async || fleet.calls_of(&id).await > 0);
        let called = timeout(Duration::from_millis(100), called).await.is_ok();
        let called = called || fleet.calls_of(&id).await > 0;
        if called || fleet.events(&id).await != ["MessageRequested", "SendAttempted"] {
            dispatcher.signal(Signal::SIGCONT);
            return None;
        }
        Some((id, stopped))
    })
    .await
}

/// A second between claim and call, and all that comes of a claim without a call so soon that its claimant still
/// waits for its answer: only claimants take new messages.
const HURRIED_CLAIMS: [(&str, &str); 6] = [
    ("HATCH_TWILIO__HTTP_TIMEOUT_MS", "500"),
    ("HATCH_TWILIO__CONNECT_TIMEOUT_MS", "400"),
    ("HATCH_DISPATCHER__LEASE_MS", "2500"),
    ("HATCH_DISPATCHER__TIMERS_LAG_MS", "200"),
    ("HATCH_DISPATCHER__LOOK_UPS_MS", "100,300"),
    ("HATCH_DISPATCHER__DELIVERY_GRACE_MS", "600000"),
];

/// Milliseconds by which clocks are ahead of PostgreSQL's, first and after a while.
struct Shifts {
    api: [i64; 2],
    dispatchers: [[i64; 2]; 2],
    provider: [i64; 2],
}

/// Recipients to whom all goes well, and of whom the provider takes messages with no answer, or none.
const RECIPIENTS: [&str; 5] =
    ["+18045551001", "+18045550504", "+18045551002", "+18045550503", "+18045551003"];

/// Sends messages while each has its clock, and holds log, read models and record against each other.
async fn all_goes_well(shifts: Shifts) {
    let [api_clock, a_clock, b_clock, provider_clock] =
        [shifts.api[0], shifts.dispatchers[0][0], shifts.dispatchers[1][0], shifts.provider[0]]
            .map(SettableClock::new);
    let settings = [&HURRIED[..], &[("HATCH_DISPATCHER__RETRY__ATTEMPTS_MAX", "2")]].concat();
    let fleet = Fleet::start_apart(1, &settings, &provider_clock.path()).await;
    let api_clock_file = [("HATCH_TEST_CLOCK", &*api_clock.path())];
    let api = fleet.api_with(0, "command,query,webhook,relay,projector", &api_clock_file).await;
    let mut dispatchers = Vec::new();
    for clock in [&a_clock, &b_clock] {
        let clock = [("HATCH_TEST_CLOCK", &*clock.path())];
        dispatchers.push(fleet.serve_with("dispatcher", &clock).await);
    }
    let mut journal = Journal::default();
    for n in 0..20 {
        if n == 10 {
            api_clock.set(shifts.api[1]);
            a_clock.set(shifts.dispatchers[0][1]);
            b_clock.set(shifts.dispatchers[1][1]);
            provider_clock.set(shifts.provider[1]);
        }
        let key = format!("number {n}");
        journal.sent.insert(key.clone());
        let id = fleet.accepted(&api, RECIPIENTS[n % RECIPIENTS.len()], &key).await;
        journal.acknowledged.insert(key, id.parse().expect("an id"));
    }
    let (deadline, mut looks) =
        (Instant::now() + SETTLED_WITHIN, paced(Duration::from_millis(100)));
    loop {
        looks.tick().await;
        let (url, journal) = (fleet.database.url(), journal.clone());
        let evidence = Evidence::gather(&url, &fleet.simulator, &fleet.http, journal).await;
        let violations = evidence.violations();
        if violations.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{violations:#?}");
    }
}

/// Lease, look-ups and two attempts are over within some five seconds.
const SETTLED_WITHIN: Duration = Duration::from_secs(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_and_provider_may_be_seconds_apart_and_be_set() {
    let dispatchers = [[-5_000, 5_000], [5_000, -50_000]];
    all_goes_well(Shifts { api: [5_000, 0], dispatchers, provider: [-5_000, 90_000] }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_dispatchers_and_the_provider_may_be_an_hour_off() {
    let dispatchers = [[3_600_000; 2], [0, 0]];
    let provider = [-3_600_000, 0];
    all_goes_well(Shifts { api: [-3_600_000, 3_600_000], dispatchers, provider }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_may_be_apart_from_everybody_else() {
    let dispatchers = [[50_000; 2]; 2];
    all_goes_well(Shifts { api: [50_000; 2], dispatchers, provider: [50_000; 2] }).await;
}
