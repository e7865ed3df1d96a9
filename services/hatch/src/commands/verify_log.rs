//! `hatch log verify`: whether the log keeps what it promises, and JetStream what it was given.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use hatch_bus::{Bus, StreamState};
use hatch_domain::Kind;
use hatch_eventstore::{
    BusSecrets, Connection, Connections, Log, Position, TypeInLog, Violation, verify,
};
use uuid::Uuid;

use super::{ANSWER_MAX, pool};
use crate::output::{counted, line};
use crate::progress;
use crate::settings::Settings;

/// How long NATS may take to be connected, and an event to come that the stream says it has.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Events compared at a time.
const PAGE_EVENTS: usize = 2_000;
/// Faults there are not the log's.
const BUS: &str = "jetstream";
/// Differences that are named.
const NAMED_MAX: usize = 20;

/// Prints what is wrong; fails when something is.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let pool = pool(settings)?;
    let bar = progress::bar("checking the log", 0);
    let verified = verify(&pool, |position, head| {
        bar.set_length(u64::try_from(head.0).unwrap_or_default());
        bar.set_position(u64::try_from(position.0).unwrap_or_default());
    })
    .await?;
    bar.finish_and_clear();
    let mut violations = verified.violations;
    line(format!("log         positions {} to {}", verified.first, verified.head))?;
    line(match jetstream(settings, &pool, &mut violations).await {
        Ok(compared) => format!("jetstream   {compared}"),
        Err(error) => format!("jetstream   not compared: {error:#}"),
    })?;
    conclude(&violations, &verified.types)
}

/// Prints what was found, and what is to be done about it.
fn conclude(violations: &[Violation], types: &[TypeInLog]) -> anyhow::Result<ExitCode> {
    let unknown: Vec<_> = types.iter().filter(|found| !is_read(found)).collect();
    for TypeInLog { aggregate, event_type, schema_version, events, first } in &unknown {
        line(format!(
            "UNKNOWN     {event_type} version {schema_version} in {aggregate} streams: {}, the first at {first}",
            counted(*events, "event")
        ))?;
    }
    for Violation { promise, detail } in violations {
        line(format!("WRONG       {promise}: {detail}"))?;
    }
    if violations.is_empty() && unknown.is_empty() {
        line("the log keeps what it promises")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !unknown.is_empty() {
        line("this build cannot read the unknown events: run the newer hatch that wrote them")?;
    }
    if !violations.is_empty() {
        line(if violations.iter().all(|violation| violation.promise == BUS) {
            "the log itself keeps what it promises: nothing is to be restored. Unless `hatch doctor` finds the \
             fence closed, the relay replaces the stream by itself"
        } else {
            "keep a copy of the database before you mend anything, and restore from a backup"
        })?;
    }
    Ok(ExitCode::FAILURE)
}

/// Whether this build reads the events of that type and version.
fn is_read(found: &TypeInLog) -> bool {
    let kind = Kind::named(&found.aggregate);
    kind.is_some_and(|kind| kind.reads(&found.event_type, found.schema_version))
}

/// Compares what JetStream still has with the log, event by event.
async fn jetstream(
    settings: &Settings,
    pool: &Connections,
    violations: &mut Vec<Violation>,
) -> anyhow::Result<String> {
    let read =
        async |client: &mut Connection| Ok::<_, anyhow::Error>(BusSecrets::read(client).await?);
    let secrets = pool.within(ANSWER_MAX, read).await?;
    let bus = Bus::connect(settings.bus()?).await?;
    tokio::time::timeout(SILENCE_MAX, bus.connected()).await.context("NATS does not answer")?;
    bus.trust(hatch_relay::keys(&secrets));
    let StreamState::Present { generation, last_sequence, first_position, .. } =
        bus.stream_state().await?
    else {
        return Ok("has no stream yet".to_owned());
    };
    let recorded = secrets.generation.map(|(generation, _)| generation);
    if recorded != Some(generation) {
        let what =
            format!("generation {generation} is not the one on record: nothing of it is believed");
        violations.push(Violation { promise: BUS, detail: what.clone() });
        return Ok(what);
    }
    let log = &Log::new(pool.clone());
    let bar = progress::bar("comparing JetStream", last_sequence);
    let mut follow = bus.follow(first_position);
    let (mut first, mut compared, mut reached) = (None, 0_u64, first_position - 1);
    while reached < last_sequence {
        let mut carried = BTreeMap::new();
        while carried.len() < PAGE_EVENTS && reached < last_sequence {
            let next = tokio::time::timeout(SILENCE_MAX, follow.next()).await;
            let Ok(envelope) = next else {
                report(violations, reached + 1, "JetStream does not bring what it should have");
                reached = last_sequence;
                break;
            };
            if first.is_some() && envelope.position != reached + 1 {
                report(violations, reached + 1, "JetStream lacks it");
            }
            first.get_or_insert(envelope.position);
            reached = envelope.position;
            carried.insert(envelope.position, envelope.event_id);
        }
        compared += compare(log, &carried, violations).await?;
        bar.set_position(u64::try_from(reached)?);
    }
    bar.finish_and_clear();
    let foreign = *bus.foreign().borrow();
    if let Some(foreign) = foreign {
        report(
            violations,
            foreign.sequence,
            &format!("JetStream has what is not hatch's: {}", foreign.why.as_str()),
        );
    }
    let first = first.unwrap_or(first_position);
    let compared = counted(i64::try_from(compared).unwrap_or(i64::MAX), "event");
    Ok(format!("generation {generation}, {compared} from position {first} on compared"))
}

async fn compare(
    log: &Log,
    carried: &BTreeMap<i64, Uuid>,
    violations: &mut Vec<Violation>,
) -> anyhow::Result<u64> {
    let Some((first, _)) = carried.first_key_value() else { return Ok(0) };
    let mut after = Position(first - 1);
    let mut compared = 0;
    let mut rest = carried.clone();
    loop {
        let page = log.read_page(after, PAGE_EVENTS).await?;
        for event in &page {
            after = event.position;
            if let Some(id) = rest.remove(&event.position.0) {
                compared += 1;
                if id != event.event_id {
                    report(violations, event.position.0, "JetStream has another event there");
                }
            }
        }
        if page.is_empty() || rest.is_empty() {
            break;
        }
    }
    for position in rest.into_keys() {
        report(violations, position, "JetStream has it and the log does not");
    }
    Ok(compared)
}

fn report(violations: &mut Vec<Violation>, position: i64, what: &str) {
    if violations.iter().filter(|one| one.promise == BUS).count() < NAMED_MAX {
        let detail = format!("position {position}: {what}");
        violations.push(Violation { promise: BUS, detail });
    }
}
