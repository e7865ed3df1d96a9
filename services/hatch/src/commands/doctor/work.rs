//! Checks of the work that follows the log: the projections, the timers, and messages that wait for a person.

use std::time::Duration;

use chrono::TimeDelta;
use hatch_domain::ids::TenantId;
use hatch_domain::message::status::Status;
use hatch_domain::time;
use hatch_due::TimersReport;
use hatch_eventstore::Connection;
use hatch_readmodel::{Definition, ProjectionState, ProjectionStatus, ReadModel, TALLY_MAX, Tally};

use super::database::{Database, Reached};
use super::finding::Finding;
use super::{LATE, bounded, keeping, made};
use crate::commands::ANSWER_MAX;
use crate::output::counted;
use crate::settings::Settings;

/// A message that is due for longer is looked at by nobody.
const OVERDUE: Duration = Duration::from_secs(60);

const PROJECTIONS: &str = "projections";
const DISPATCHER: &str = "start one that folds and sweeps them: `hatch serve --roles dispatcher`; where \
    one runs, its log lines say what stops it";

const UNREAD: &str = "run a dispatcher of the build that knows them: it goes on with these messages \
    within minutes";

/// All of it.
pub(super) async fn check(settings: &Settings, database: &Reached) -> Vec<Finding> {
    let database = match database {
        Ok(database) => database,
        Err(why) => {
            let waits = ["timers", "due", "waiting", "in doubt", "dead letters", "quarantine"];
            let checks =
                [PROJECTIONS].into_iter().chain(waits).chain([keeping::CHECK, keeping::REQUESTS]);
            return checks.map(|check| Finding::not_checked(check, why)).collect();
        }
    };
    let read_model = ReadModel::new(database.pool.clone());
    let (mut findings, timers, waiting, in_doubt, dead_letters, quarantine, kept, requests) = tokio::join!(
        projections(&read_model, database),
        timers(settings, database),
        made("waiting", waiting(database)),
        made("in doubt", in_doubt(&read_model)),
        made("dead letters", dead_letters(&read_model)),
        made("quarantine", quarantine(&read_model)),
        made(keeping::CHECK, keeping::webhook_log(settings, database, &read_model)),
        made(keeping::REQUESTS, keeping::request_log(settings, database, &read_model)),
    );
    findings.extend(timers);
    findings.extend([waiting, in_doubt, dead_letters, quarantine, kept, requests]);
    findings
}

/// One for each projection, which may be several read models.
async fn projections(read_model: &ReadModel, database: &Database) -> Vec<Finding> {
    let statuses = match bounded(async { Ok(read_model.projections().await?) }).await {
        Ok(statuses) => statuses,
        Err(error) => {
            let what = format!("could not be checked: {error:#}");
            return vec![Finding::failure(PROJECTIONS, what, "see PostgreSQL's own log")];
        }
    };
    let of = |status: &ProjectionStatus| {
        Definition::of_read_model(read_model.definitions(), status.name)
    };
    let findings = statuses.chunk_by(|a, b| of(a) == of(b)).map(|chunk| {
        let names = chunk.iter().map(|status| status.name).collect::<Vec<_>>().join(" and ");
        made(PROJECTIONS, projection(names, &chunk[0], database))
    });
    futures::future::join_all(findings).await
}

async fn projection(
    names: String,
    status: &ProjectionStatus,
    database: &Database,
) -> anyhow::Result<Finding> {
    if let Some(halt) = &status.halt {
        let what = format!("{names} halted before position {}: {}", halt.position, halt.reason);
        let remedy = "run the build that knows the event (`hatch events export --from` and `--to` that \
            position shows it): the projection then goes on by itself";
        return Ok(Finding::failure(PROJECTIONS, what, remedy).since(Some(halt.halted_at)));
    }
    let late = status.lag_seconds > LATE.as_seconds_f64();
    if !late || status.status == ProjectionState::Rebuilding {
        let what = format!("{names} are at position {}", status.position);
        return Ok(Finding::good(PROJECTIONS, what));
    }
    let oldest = database.log.read_at(status.position.next()).await?;
    let what = format!("{names} are {} behind the log", counted(status.lag_events, "event"));
    let remedy = "start a projector: `hatch serve --roles projector`; one that runs catches up, or its \
        log lines say what stops it";
    let since = oldest.map(|event| event.recorded_at);
    Ok(Finding::failure(PROJECTIONS, what, remedy).since(since))
}

/// Whether the timers are folded, and whether somebody looks at what is due.
async fn timers(settings: &Settings, database: &Database) -> [Finding; 2] {
    let looked = bounded(async {
        let look = async |client: &mut Connection| {
            Ok::<_, anyhow::Error>(
                hatch_due::observe::<hatch_dispatcher::Messages>(client, OVERDUE).await?,
            )
        };
        let observed = database.pool.within(ANSWER_MAX, look).await?;
        let next = database.log.read_at(observed.position.next()).await?;
        Ok((observed, next.map(|event| event.recorded_at)))
    });
    let (observed, waits) = match looked.await {
        Ok(looked) => looked,
        Err(error) => {
            let what = format!("could not be checked: {error:#}");
            let remedy = "see PostgreSQL's own log";
            return ["timers", "due"].map(|c| Finding::failure(c, what.clone(), remedy));
        }
    };
    let allowed = time::delta(Duration::from_millis(settings.dispatcher.timers_lag_ms))
        .checked_add(&LATE)
        .unwrap_or(TimeDelta::MAX);
    let late = waits.is_some_and(|since| database.now - since > allowed);
    let timers = if late {
        let what = format!("stand still at position {}", observed.position);
        Finding::failure("timers", what, DISPATCHER).since(waits)
    } else {
        Finding::good("timers", format!("are at position {}", observed.position))
    };
    [timers, due(&observed)]
}

fn due(observed: &TimersReport) -> Finding {
    let messages = |count: i64, verb: [&str; 2]| {
        let verb = if count == 1 { verb[0] } else { verb[1] };
        format!("{} {verb}", counted(count, "message"))
    };
    let overdue = messages(observed.overdue, ["is overdue", "are overdue"]);
    let verb = ["has an event", "have events"];
    let unread = format!("{} that no dispatcher can read", messages(observed.undecodable, verb));
    match (observed.overdue, observed.undecodable) {
        (0, 0) => Finding::good("due", "nothing is overdue"),
        (_, 0) => Finding::failure("due", overdue, DISPATCHER).since(observed.overdue_since),
        (0, _) => Finding::failure("due", unread, UNREAD).since(observed.undecodable_since),
        (_, _) => {
            let what = format!("{overdue}, and {unread}");
            Finding::failure("due", what, DISPATCHER).since(observed.overdue_since)
        }
    }
}

async fn waiting(database: &Database) -> anyhow::Result<Finding> {
    const CHECK: &str = "waiting";
    const REMEDY: &str = "mend the account that a line above says is down, or set one that carries the channel, and \
        start a dispatcher with it: these messages go on by themselves";
    let look = async |client: &mut Connection| {
        anyhow::Ok(hatch_dispatcher::waiting_for_account(client).await?)
    };
    let waiting = database.pool.within(ANSWER_MAX, look).await?;
    let total: i64 = waiting.iter().map(|waiting| waiting.count).sum();
    if total == 0 {
        return Ok(Finding::good(CHECK, "no message waits for an account"));
    }
    let channels: Vec<_> = waiting
        .iter()
        .map(|waiting| format!("{} {}", waiting.channel.as_str(), waiting.count))
        .collect();
    let waits = if total == 1 { "waits" } else { "wait" };
    let messages = counted(total, "message");
    let what = format!("{messages} {waits} for an account: {}", channels.join(", "));
    let since = waiting.iter().filter_map(|waiting| waiting.since).min();
    Ok(Finding::warning(CHECK, what, REMEDY).since(since))
}

async fn in_doubt(read_model: &ReadModel) -> anyhow::Result<Finding> {
    let tally = read_model.tally(TenantId::DEFAULT, Status::InDoubt).await?;
    let remedy = "GET /api/v1/messages?status=in_doubt lists them; a look-up or a late receipt may \
        settle them yet. Ask the provider, or set dispatcher.in_doubt to `resend` or `fail`";
    Ok(of_tally("in doubt", tally, "message", "in doubt, sent or not sent", remedy))
}

async fn dead_letters(read_model: &ReadModel) -> anyhow::Result<Finding> {
    let tally = read_model.tally(TenantId::DEFAULT, Status::Failed).await?;
    let remedy = "`hatch dead-letters list` says why of each, `hatch dead-letters redrive --all` \
        sends them again";
    Ok(of_tally("dead letters", tally, "message", "failed for good", remedy))
}

async fn quarantine(read_model: &ReadModel) -> anyhow::Result<Finding> {
    let tally = read_model.quarantine(TenantId::DEFAULT).await?;
    let remedy = "GET /api/v1/webhook-log?outcome=quarantined says why of each; POST \
        /api/v1/webhooks/replay/ID reads one again, but for those that wait for their message: they leave by \
        themselves";
    let what = "signed, and not understood or about a message that is not known yet";
    Ok(of_tally("quarantine", tally, "webhook", what, remedy))
}

fn of_tally(check: &'static str, tally: Tally, one: &str, what: &str, remedy: &str) -> Finding {
    let count = match tally.count {
        0 => return Finding::good(check, "none"),
        TALLY_MAX => format!("at least {}", counted(TALLY_MAX, one)),
        count => counted(count, one),
    };
    Finding::warning(check, format!("{count} {what}"), remedy).since(tally.oldest)
}
