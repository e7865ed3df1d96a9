//! `hatch routes`: by which account a message goes, and why.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use hatch_api::planning::{KnownState, Planned, Planning, route_table};
use hatch_directory::Directory;
use hatch_dispatcher::{AccountReport, BalanceMode};
use hatch_domain::account_name::AccountName;
use hatch_domain::address::{Address, AddressKind};
use hatch_domain::ids::{MessageId, TenantId};
use hatch_domain::message::Message;
use hatch_domain::message::event::MessageEvent;
use hatch_domain::{AccountChoice, Channel, Decider as _, Priority};
use hatch_eventstore::{Connection, Connections, Log, Position};
use hatch_providers::{Account, Accounts, RouteQuestion, Routes, Wanted};
use hatch_readmodel::ReadModel;
use hatch_routing::{Decision, Step, Verdict, seed};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ANSWER_MAX, pool};
use crate::cli;
use crate::output::{field, line, moment};
use crate::roles::{self, Joiner, default_email_sender, default_sender, vault};
use crate::settings::Settings;

/// What is said where something of an explanation has no history.
const NO_HISTORY: &str =
    "accounts and routes of the files have no history: they count as they are now";

/// The message that is explained.
struct Subject {
    message_id: Option<Uuid>,
    tenant: TenantId,
    channel: Channel,
    from: Address,
    to: Address,
    priority: Priority,
    account: Option<AccountName>,
    is_test: bool,
    tried: Vec<AccountName>,
    seed: Option<u64>,
    attempts: Vec<Attempt>,
}

/// An attempt that was made.
struct Attempt {
    number: u32,
    provider: String,
    key: String,
    choice: Option<AccountChoice>,
    at: DateTime<Utc>,
}

/// Says by which account a message goes; fails when none carries it.
pub(crate) async fn explain(settings: &Settings, flags: cli::Explain) -> anyhow::Result<ExitCode> {
    let pool = pool(settings)?;
    let (log, read_model) = (Log::new(pool.clone()), ReadModel::new(pool.clone()));
    let until = match flags.at {
        Some(at) => Some(read_model.position_at(&log, at).await?),
        None => None,
    };
    let planning = planning(settings, &read_model, log.clone()).await?;
    let subject = match flags.message {
        Some(id) => recorded(&log, &planning, id, until).await?,
        None => described(settings, &flags)?,
    };
    let question = subject.question();
    let planned = match until {
        Some(until) => planning.at(&question, until).await?,
        None => planning.now(&question),
    };
    // What dispatchers see now says nothing of another moment.
    let reported = if until.is_none() { reported(&pool).await } else { Vec::new() };
    let reports = Reports { accounts: &planning.accounts, reported };
    if flags.json {
        line(shown(&subject, &planned, &reports, until).to_string())?;
    } else {
        tell(&subject, &planned, &reports, until)?;
    }
    let is_carried = !matches!(planned.plan.decision, Decision::Nobody { .. });
    Ok(if is_carried { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Accounts and routes as a process has them, made of what the tables have now.
async fn planning(
    settings: &Settings,
    read_model: &ReadModel,
    log: Log,
) -> anyhow::Result<Planning> {
    let directory = Directory::of(read_model.configuration().await?);
    let files: Vec<Account> = roles::accounts(settings)?;
    let vault = vault(settings, settings.keyring()?, Accounts::default())?;
    let joined = Joiner::default().join(&files, directory.accounts(), &vault);
    let table = route_table(&settings.routes(&files)?, directory.routes());
    let (accounts, routes) = (Accounts::new(joined.accounts), Routes::new(table));
    let is_balanced = settings.balance.mode == BalanceMode::On;
    Ok(Planning { accounts, routes, directory, log, is_balanced })
}

/// What the dispatchers report of accounts; nothing where they cannot be asked.
pub(super) async fn reported(pool: &Connections) -> Vec<AccountReport> {
    let read = async |client: &mut Connection| {
        anyhow::Ok(hatch_dispatcher::reported_accounts(client).await?)
    };
    pool.within(ANSWER_MAX, read).await.unwrap_or_default()
}

/// A message that there is, as it was at `until`.
async fn recorded(
    log: &Log,
    planning: &Planning,
    id: Uuid,
    until: Option<Position>,
) -> anyhow::Result<Subject> {
    let owners = log.tenants_of(&[id]).await?;
    let (_, tenant) = *owners.first().with_context(|| format!("there is no message {id}"))?;
    let (mut message, mut attempts) = (Message::default(), Vec::new());
    for recorded in log.read_stream_of(Message::KIND, tenant, id).await? {
        if until.is_some_and(|until| recorded.position > until) {
            break;
        }
        let event: MessageEvent = recorded.decode()?;
        if let MessageEvent::SendAttempted(attempted) = &event {
            attempts.push(Attempt {
                number: attempted.attempt,
                provider: attempted.provider.clone(),
                key: attempted.account.clone(),
                choice: attempted.choice.clone(),
                at: attempted.at,
            });
        }
        message = message.evolve(&event);
    }
    let request = message.requested().with_context(|| {
        format!(
            "there is no message {id} that was to be sent{}",
            if until.is_some() { " then" } else { "" }
        )
    })?;
    ensure!(request.channel.has_provider(), "no provider carries a {}", request.channel.as_str());
    let accounts = planning.accounts.current();
    let tried = message.tried().filter_map(|tried| {
        let by_key = || accounts.iter().find(|one| one.key() == (tried.provider, tried.account));
        tried.name.cloned().or_else(|| Some(by_key()?.name.clone()))
    });
    Ok(Subject {
        message_id: Some(id),
        tenant: TenantId(tenant),
        channel: request.channel,
        from: request.from.clone(),
        to: request.to.first().context("the message has no recipient")?.clone(),
        priority: request.priority,
        account: request.options.account.clone(),
        is_test: request.test,
        tried: tried.collect(),
        seed: Some(seed(MessageId(id), message.round())),
        attempts,
    })
}

/// One that is described.
fn described(settings: &Settings, flags: &cli::Explain) -> anyhow::Result<Subject> {
    let to = flags.to.clone().context("--to: expected whom the message is to")?;
    let is_mail = to.kind() == AddressKind::Email;
    let channel = flags.channel.unwrap_or(if is_mail { Channel::Email } else { Channel::Sms });
    let default = || -> anyhow::Result<Option<Address>> {
        Ok(match channel {
            Channel::Email => default_email_sender(settings)?.map(|mailbox| mailbox.address),
            _ => default_sender(settings)?,
        })
    };
    let from = match &flags.from {
        Some(from) => from.clone(),
        None => default()?.context("--from: expected who sends it, as no default sender is set")?,
    };
    Ok(Subject {
        message_id: None,
        tenant: flags.tenant.unwrap_or(TenantId::DEFAULT),
        channel,
        from,
        to,
        priority: flags.priority.unwrap_or_default(),
        account: flags.account.clone(),
        is_test: flags.test,
        tried: Vec::new(),
        seed: None,
        attempts: Vec::new(),
    })
}

impl Subject {
    fn question(&self) -> RouteQuestion<'_> {
        let Self { tenant, channel, from, to, priority, account, is_test, tried, seed, .. } = self;
        RouteQuestion {
            wanted: Wanted { tenant: *tenant, channel: *channel, from, is_test: *is_test },
            to,
            priority: *priority,
            account: account.as_ref(),
            tried,
            seed: *seed,
        }
    }
}

/// What dispatchers report of the accounts.
struct Reports<'a> {
    accounts: &'a Accounts,
    reported: Vec<AccountReport>,
}

impl Reports<'_> {
    /// What is wrong with an account, as a dispatcher sees it; none where nothing is.
    fn of(&self, name: &AccountName) -> Option<String> {
        let accounts = self.accounts.current();
        let account = accounts.iter().find(|account| account.name == *name)?;
        let is_its = |report: &&AccountReport| {
            (report.provider.as_str(), report.account.as_str()) == account.key()
        };
        let told = self.reported.iter().filter(is_its).find_map(|report| report.told.as_ref())?;
        Some(format!("{}, since {}", told.what, moment(told.since)))
    }
}

/// How an account is, as the log and the dispatchers tell it.
fn state(planned: &Planned, reports: &Reports<'_>, name: &AccountName) -> Option<String> {
    let told = match planned.states.get(name)? {
        KnownState::Usable => None,
        KnownState::Open(open) => Some(format!(
            "breaker open since {} ({}: {})",
            moment(open.at),
            open.cause,
            open.detail
        )),
    };
    let said = told.into_iter().chain(reports.of(name)).collect::<Vec<_>>().join("; ");
    Some(if said.is_empty() { "usable".to_owned() } else { said })
}

fn shown(
    subject: &Subject,
    planned: &Planned,
    reports: &Reports<'_>,
    until: Option<Position>,
) -> Value {
    let plan = &planned.plan;
    let (account, reason, wait) = match &plan.decision {
        Decision::Take(choice) => (Some(&choice.name), Some(choice.reason.clone()), None),
        Decision::Wait { reason, until, .. } => {
            (None, None, Some(json!({"reason": reason, "until": until})))
        }
        Decision::Nobody { why } => (None, Some(why.clone()), None),
    };
    let step = |step: &Step| {
        json!({
            "account": step.account, "tier": step.tier.as_str(), "weight": step.weight,
            "share_percent": step.share_percent, "verdict": step.verdict.as_str(),
            "reason": skipped(&step.verdict), "state": state(planned, reports, &step.account),
        })
    };
    let attempt = |attempt: &Attempt| {
        let choice = attempt.choice.as_ref();
        json!({
            "attempt": attempt.number, "provider": attempt.provider, "key": attempt.key,
            "account": choice.map(|choice| &choice.name),
            "route": choice.and_then(|choice| choice.route.as_ref()),
            "reason": choice.map(|choice| &choice.reason), "at": attempt.at,
        })
    };
    let notes: Vec<&str> = planned.is_partly_of_now.then_some(NO_HISTORY).into_iter().collect();
    json!({
        "message_id": subject.message_id, "tenant_id": subject.tenant, "channel": subject.channel,
        "from": subject.from, "to": subject.to, "priority": subject.priority, "test": subject.is_test,
        "at": until, "route": plan.route.as_ref().map(|name| name.as_str()), "account": account,
        "reason": reason, "wait": wait, "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "attempts": subject.attempts.iter().map(attempt).collect::<Vec<_>>(), "notes": notes,
    })
}

const fn skipped(verdict: &Verdict) -> Option<&String> {
    match verdict {
        Verdict::Skipped(why) => Some(why),
        Verdict::Chosen | Verdict::Standby => None,
    }
}

fn tell(
    subject: &Subject,
    planned: &Planned,
    reports: &Reports<'_>,
    until: Option<Position>,
) -> anyhow::Result<()> {
    let plan = &planned.plan;
    let when = until.map_or_else(|| "now".to_owned(), |until| format!("at position {until}"));
    let (channel, priority) = (subject.channel.as_str(), subject.priority.as_str());
    let (from, to) = (field(subject.from.as_str()), field(subject.to.as_str()));
    line(format!("{when}: {channel} from {from} to {to}, priority {priority}"))?;
    for attempt in &subject.attempts {
        line(made(attempt))?;
    }
    line(match (&plan.route, &subject.account) {
        (Some(route), _) => format!("route      {}", field(route.as_str())),
        (None, Some(_)) => "route      none is asked: the request names its account".to_owned(),
        (None, None) => "route      none fits: accounts in the order of their names".to_owned(),
    })?;
    for step in &plan.steps {
        line(row(step, planned, reports))?;
    }
    line(match &plan.decision {
        Decision::Take(choice) => format!("account    {}: {}", choice.name, field(&choice.reason)),
        Decision::Wait { reason, until, .. } => {
            let until = until.map_or_else(String::new, |until| format!(" until {}", moment(until)));
            format!("account    none just now: it waits{until} ({reason})")
        }
        Decision::Nobody { why } => format!("account    none: {}", field(why)),
    })?;
    if subject.seed.is_none()
        && plan.steps.iter().filter(|step| step.share_percent.is_some()).count() > 1
    {
        line(
            "note       each message has its account by its id: this is the one with the greatest share",
        )?;
    }
    if planned.is_partly_of_now {
        line(format!("note       {NO_HISTORY}"))?;
    }
    Ok(())
}

fn made(attempt: &Attempt) -> String {
    let Attempt { number, provider, key, choice, at } = attempt;
    let at = moment(*at);
    match choice {
        Some(AccountChoice { name, route, reason }) => {
            let route =
                route.as_deref().map_or_else(String::new, |route| format!(" of {}", field(route)));
            format!("attempt {number}  {at} by {name}{route}: {}", field(reason))
        }
        None => format!("attempt {number}  {at} by {provider} {}", field(key)),
    }
}

fn row(step: &Step, planned: &Planned, reports: &Reports<'_>) -> String {
    let share = match (step.weight, step.share_percent) {
        (Some(weight), Some(share)) => format!("weight {weight} ({share} %)"),
        (Some(weight), None) => format!("weight {weight}"),
        (None, _) => String::new(),
    };
    let why = match skipped(&step.verdict) {
        Some(why) => field(why).to_string(),
        None => state(planned, reports, &step.account).unwrap_or_default(),
    };
    format!(
        "  {:<8}  {:<20}  {:<7}  {share:<18}  {why}",
        step.verdict.as_str(),
        step.account.as_str(),
        step.tier.as_str(),
    )
}
