//! NATS: the server, the stream, and what the relay and the dispatcher make of it.

use chrono::{DateTime, TimeDelta, Utc};
use hatch_bus::{Bus, BusState, ConnectionTrouble, Last, StreamReport, StreamState};
use hatch_eventstore::{BusSecrets, Connection, Position};
use hatch_relay::RelayReport;

use super::database::{Database, Reached};
use super::finding::Finding;
use super::{CHECK_MAX, LATE, bounded, made};
use crate::commands::ANSWER_MAX;
use crate::output::counted;
use crate::settings::Settings;

/// A queue whose oldest event waits for longer is not emptied.
const QUEUE_LATE: TimeDelta = TimeDelta::seconds(60);

/// A stream that is this full (percent) is about to drop its oldest events,
const FULL_PERCENT: i64 = 90;
/// which matters when it holds less than a day.
const HOLDS_MIN: TimeDelta = TimeDelta::days(1);

/// For so long a generation that held something foreign is told of.
const FOREIGN_TOLD: TimeDelta = TimeDelta::days(1);

/// The stream, none where there is none yet, or why it cannot be asked for.
pub(super) type FoundStream = Result<Option<StreamReport>, &'static str>;

/// Finds out whether there is a server that may be used, and looks at its stream.
pub(super) async fn reach(settings: &Settings, embedded: bool) -> (Finding, FoundStream) {
    const CHECK: &str = "nats";
    const NO_ANSWER: &str = "NATS does not answer";
    let remedy = if embedded {
        "`hatch up` starts it again by itself; .hatch/nats.log says why it does not run. Until \
         then messages are sent by their due times, some seconds late"
    } else {
        "start the server, or set HATCH_NATS_URL to one that answers; its own log says since when it \
         does not. Until then messages are sent by their due times, some seconds late"
    };
    let away = |what: String| (Finding::failure(CHECK, what, remedy), Err(NO_ANSWER));
    let connected = async { anyhow::Ok(Bus::connect(settings.bus()?).await?) };
    let bus = match connected.await {
        Ok(bus) => bus,
        Err(error) => return away(format!("{error:#}")),
    };
    // Whether it waited in vain, the state says.
    let _ = tokio::time::timeout(CHECK_MAX, bus.connected()).await;
    let version = match bus.state() {
        BusState::Connected(version) => version,
        BusState::Refused(what) => {
            let remedy = "use a nats-server that hatch may use";
            return (Finding::failure(CHECK, what, remedy), Err("NATS must not be used"));
        }
        BusState::Disconnected => {
            return match bus.trouble() {
                Some(ConnectionTrouble { what, remedy: known, refused: true }) => {
                    let remedy = known.unwrap_or(remedy);
                    (Finding::failure(CHECK, what, remedy), Err("NATS does not let hatch in"))
                }
                Some(trouble) => away(format!("does not answer as it is to: {trouble}")),
                None => away(format!("does not answer within {CHECK_MAX:?}")),
            };
        }
    };
    match bounded(async { Ok(bus.inspect().await?) }).await {
        Ok(stream) => (Finding::good(CHECK, format!("version {version}")), Ok(stream)),
        Err(error) => {
            let what = format!("version {version}, but JetStream cannot be used: {error:#}");
            let remedy =
                "turn JetStream on (`jetstream` in nats.conf), or see the server's own log";
            (Finding::failure(CHECK, what, remedy), Err("JetStream cannot be used"))
        }
    }
}

/// The stream against the log, the relay and the queues.
pub(super) async fn check(
    settings: &Settings,
    database: &Reached,
    stream: &FoundStream,
) -> Vec<Finding> {
    const CHECKS: [&str; 5] = ["stream", "foreign", "storage", "relay", "queues"];
    let (database, stream) = match (database, stream) {
        (Ok(database), Ok(stream)) => (database, stream),
        (Err(why), _) | (_, Err(why)) => {
            return CHECKS.map(|check| Finding::not_checked(check, why)).into();
        }
    };
    let looked = bounded(async {
        let look = async |client: &mut Connection| {
            let observed = hatch_relay::observe(client).await?;
            Ok::<_, anyhow::Error>((observed, BusSecrets::read(client).await?))
        };
        let (observed, secrets) = database.pool.within(ANSWER_MAX, look).await?;
        // The log last: it cannot lag behind what was published from it.
        let last = last(settings, &secrets).await?;
        Ok((observed, last, database.log.head().await?))
    });
    let (observed, last, head) = match Box::pin(looked).await {
        Ok(looked) => looked,
        Err(error) => {
            let remedy = "see PostgreSQL's own log";
            let what = format!("could not be checked: {error:#}");
            return CHECKS.map(|check| Finding::failure(check, what.clone(), remedy)).into();
        }
    };
    let Some(stream) = stream else {
        let relay = made("relay", relay(database, &observed, head, Position::START)).await;
        let foreign = foreign(&observed, database.now);
        let mut findings = vec![absent(&observed, head), foreign, relay];
        findings.extend(["storage", "queues"].map(|c| Finding::not_checked(c, "no stream")));
        return findings;
    };
    let published = Position(stream.last_sequence);
    vec![
        of_this_log(stream, last, &observed, head),
        foreign(&observed, database.now),
        storage(stream, database.now),
        made("relay", relay(database, &observed, head, published)).await,
        queues(settings, stream, database.now, head),
    ]
}

/// The stream's last message, as far as it is believed.
async fn last(settings: &Settings, secrets: &BusSecrets) -> anyhow::Result<Option<Last>> {
    let bus = Bus::connect(settings.bus()?).await?;
    bus.connected().await;
    bus.trust(hatch_relay::keys(secrets));
    Ok(match bus.stream_state().await? {
        StreamState::Present { last, .. } => Some(last),
        StreamState::Absent => None,
    })
}

/// Whether somebody else writes to NATS.
fn foreign(observed: &RelayReport, now: DateTime<Utc>) -> Finding {
    const CHECK: &str = "foreign";
    let lately = observed.foreign.as_ref().filter(|found| now - found.at < FOREIGN_TOLD);
    let Some(found) = lately else {
        return Finding::good(CHECK, "no message that hatch did not write");
    };
    let (generation, detail) = (found.generation, &found.detail);
    let what = format!("generation {generation} held what hatch did not write, {detail}");
    let remedy = "somebody else can write to NATS: change its credentials, and see \
        docs/reliability.md, \"A bus that lost something\"";
    let newest = observed.generation.is_some_and(|newest| newest.number == generation);
    let finding = if newest { Finding::failure } else { Finding::warning };
    finding(CHECK, what, remedy).since(Some(found.at))
}

fn absent(observed: &RelayReport, head: Position) -> Finding {
    const CHECK: &str = "stream";
    match observed.generation {
        None if head == Position::START => Finding::good(CHECK, "none before the first event"),
        None => Finding::failure(
            CHECK,
            format!("there is none, and the log ends at position {head}"),
            "start a relay, which makes it: `hatch serve --roles relay`",
        ),
        Some(generation) => Finding::failure(
            CHECK,
            format!("generation {} is gone", generation.number),
            "a relay that leads begins the next one at once, and nothing is lost: start one with \
             `hatch serve --roles relay`",
        ),
    }
}

/// Whether it is the stream that the log has on record, made as this build makes it.
fn of_this_log(
    stream: &StreamReport,
    last: Option<Last>,
    observed: &RelayReport,
    head: Position,
) -> Finding {
    const CHECK: &str = "stream";
    let StreamReport { name, generation, last_sequence, .. } = stream;
    let recorded = observed.generation;
    if recorded.is_none_or(|recorded| recorded.number != *generation) {
        let known = recorded.map_or_else(|| "none".to_owned(), |one| one.number.to_string());
        let what = format!("{name} is of generation {generation}, the log has {known} on record");
        let remedy = "a relay that leads puts it right within seconds: start one with `hatch serve \
            --roles relay`. Two installations on one NATS account need different bus.prefix";
        let since = recorded.map(|recorded| recorded.created_at);
        return Finding::failure(CHECK, what, remedy).since(since);
    }
    if let Some(Last::Foreign(why)) = last {
        let what = format!("{name} ends in a message that hatch did not write: {}", why.as_str());
        let remedy = "a relay that leads begins the next generation within a minute: start one with \
            `hatch serve --roles relay`";
        return Finding::failure(CHECK, what, remedy).since(stream.newest);
    }
    let proven = matches!(last, Some(Last::Event { position, .. }) if position > head.0);
    if proven {
        let what =
            format!("LOG_REGRESSED: {name} is at position {last_sequence}, the log at {head}");
        let remedy = "see docs/reliability.md; `hatch fence lift` goes on with the log as it is";
        return Finding::failure(CHECK, what, remedy).since(stream.newest);
    }
    if stream.differences.is_empty() {
        return Finding::good(CHECK, format!("{name}, at position {last_sequence}"));
    }
    let differences = stream
        .differences
        .iter()
        .map(|one| format!("{} is {} and should be {}", one.what, one.found, one.expected));
    let what = format!("{name}: {}", differences.collect::<Vec<_>>().join(", "));
    if stream.differences.iter().any(|one| one.essential) {
        let remedy = format!(
            "delete it (`nats stream rm {name}`): the relay begins the next generation, and nothing is \
             lost"
        );
        return Finding::failure(CHECK, what, remedy);
    }
    let remedy = format!("`nats stream edit {name}`, or set bus.* to what is wanted");
    Finding::warning(CHECK, what, remedy)
}

fn storage(stream: &StreamReport, now: DateTime<Utc>) -> Finding {
    const CHECK: &str = "storage";
    let StreamReport { bytes, bytes_max, oldest, .. } = stream;
    if *bytes_max <= 0 {
        return Finding::good(CHECK, format!("{} MiB, without a limit", bytes >> 20));
    }
    let percent = bytes.saturating_mul(100) / bytes_max;
    let what = format!("{percent} % of {} MiB are used", bytes_max >> 20);
    match oldest {
        Some(oldest) if percent >= FULL_PERCENT && now - oldest < HOLDS_MIN => {
            let what = format!("{what}, and the oldest event is of {oldest:.0}");
            let remedy =
                "raise bus.stream_bytes_max: what does not fit any more is sent by its due time";
            Finding::warning(CHECK, what, remedy)
        }
        Some(_) | None => Finding::good(CHECK, what),
    }
}

/// Whether somebody publishes, and how far he is.
async fn relay(
    database: &Database,
    observed: &RelayReport,
    head: Position,
    published: Position,
) -> anyhow::Result<Finding> {
    const CHECK: &str = "relay";
    const START: &str = "start one: `hatch serve --roles relay`";
    let waiting = (head.0 - published.0).max(0);
    let oldest = match waiting {
        0 => None,
        _ => database.log.read_at(published.next()).await?.map(|event| event.recorded_at),
    };
    let are = if waiting == 1 { "is" } else { "are" };
    let what = format!("{} of the log {are} not on the bus", counted(waiting, "event"));
    if !observed.leads {
        let what = format!("no relay leads, and {what}");
        return Ok(Finding::failure(CHECK, what, START).since(oldest));
    }
    if oldest.is_some_and(|oldest| database.now - oldest > LATE) {
        let remedy = "a closed fence holds it back; else the relay's log lines say what does";
        return Ok(Finding::failure(CHECK, what, remedy).since(oldest));
    }
    let good = format!("leads, and has published up to position {published}");
    Ok(Finding::good(CHECK, good).since(observed.leads_since))
}

/// Whether the dispatcher takes what JetStream hands out.
fn queues(
    settings: &Settings,
    stream: &StreamReport,
    now: DateTime<Utc>,
    head: Position,
) -> Finding {
    const CHECK: &str = "queues";
    const START: &str = "start a dispatcher: `hatch serve --roles dispatcher`";
    if stream.queues.is_empty() {
        if settings.accounts.is_empty() {
            return Finding::good(CHECK, "none, without an account to send by");
        }
        return match head {
            Position::START => Finding::good(CHECK, "none before the first event"),
            _ => Finding::warning(CHECK, "no dispatcher has opened any", START),
        };
    }
    let late = |oldest: Option<DateTime<Utc>>| oldest.is_some_and(|at| now - at > QUEUE_LATE);
    let worst = stream.queues.iter().filter(|queue| late(queue.oldest)).min_by_key(|q| q.oldest);
    if let Some(queue) = worst {
        let what = format!(
            "{}: {} {}, {} of at most {} are not acknowledged",
            queue.name,
            counted(queue.waiting, "event"),
            if queue.waiting == 1 { "waits" } else { "wait" },
            queue.unacknowledged,
            queue.unacknowledged_max
        );
        let remedy = format!("{START}; where one runs, its log lines say what holds it back");
        return Finding::warning(CHECK, what, remedy).since(queue.oldest);
    }
    let waiting: i64 = stream.queues.iter().map(|queue| queue.waiting + queue.unacknowledged).sum();
    let queues = i64::try_from(stream.queues.len()).unwrap_or(i64::MAX);
    let (queues, waiting) = (counted(queues, "queue"), counted(waiting, "event"));
    Finding::good(CHECK, format!("{waiting} in {queues}"))
}
