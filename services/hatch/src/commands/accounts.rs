//! `hatch accounts`: the provider accounts of the settings and of the log, and whether their providers let them in.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use futures::future::join_all;
use hatch_dispatcher::AccountReport;
use hatch_providers::{Account, Accounts, Checked, Tenants, webhook_path};
use hatch_readmodel::ReadModel;
use serde_json::{Value, json};

use super::pool;
use super::routes::reported;
use crate::cli;
use crate::output::{field, line, note};
use crate::roles::{self, Joiner, SetAccount, kept, vault};
use crate::settings::Settings;

/// How long a provider may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Those of the settings, and of the log where a database is set.
pub(super) async fn all(settings: &Settings) -> Vec<SetAccount> {
    let mut set = roles::each_account(settings);
    if settings.database_url.is_none() {
        return set;
    }
    match of_the_log(settings).await {
        Ok(kept) => set.extend(kept),
        Err(error) => note(format!("the accounts of the log cannot be read: {error:#}")),
    }
    set
}

async fn of_the_log(settings: &Settings) -> anyhow::Result<Vec<SetAccount>> {
    let vault = vault(settings, settings.keyring()?, Accounts::default())?;
    let kept = kept(ReadModel::new(pool(settings)?).configuration().await?);
    let each = roles::each_account(settings).into_iter();
    let files: Vec<Account> = each.filter_map(|one| one.account.ok()).collect();
    let joined = Joiner::default().join(&files, kept, &vault);
    let section = || "the log".to_owned();
    let used = joined.accounts.into_iter().skip(files.len()).map(|account| SetAccount {
        section: section(),
        name: account.name.to_string(),
        account: Ok(account),
    });
    let left_out = joined.left_out.into_iter().map(|one| SetAccount {
        section: section(),
        name: one.name,
        account: Err(anyhow!("{}", one.why)),
    });
    Ok(used.chain(left_out).collect())
}

/// Runs one of its subcommands.
pub(crate) async fn run(settings: &Settings, what: cli::Accounts) -> anyhow::Result<ExitCode> {
    match what {
        cli::Accounts::List { json } => list(settings, json).await.map(|()| ExitCode::SUCCESS),
        cli::Accounts::Check { names, json } => check(settings, &names, json).await,
    }
}

/// Prints the accounts that there are.
async fn list(settings: &Settings, as_json: bool) -> anyhow::Result<()> {
    let set = all(settings).await;
    if set.is_empty() && !as_json {
        line("no provider account is set")?;
    }
    let reports = match settings.database_url {
        Some(_) => reported(&pool(settings)?).await,
        None => Vec::new(),
    };
    for SetAccount { section, name, account } in &set {
        match account {
            Ok(account) if as_json => line(shown(account, health(account.key(), &reports)))?,
            Ok(account) => line(row(account, health(account.key(), &reports)))?,
            Err(error) if as_json => {
                let error = format!("{error:#}");
                line(json!({"name": name, "section": section, "error": error}).to_string())?;
            }
            Err(error) => line(format!("{name:<20}  WRONG: {}", field(&format!("{error:#}"))))?,
        }
    }
    Ok(())
}

/// Asks the providers of the accounts called `names`, or of all, whether they let them in; fails when one does not.
async fn check(settings: &Settings, names: &[String], as_json: bool) -> anyhow::Result<ExitCode> {
    let mut set = all(settings).await;
    if let Some(unknown) = names.iter().find(|name| !set.iter().any(|one| one.name == **name)) {
        bail!("no account is called {}: `hatch accounts list` shows them", field(unknown));
    }
    set.retain(|one| names.is_empty() || names.contains(&one.name));
    let answers = join_all(set.iter().map(|one| asked(&one.account))).await;
    let mut is_good = true;
    for (SetAccount { name, .. }, (verdict, what)) in set.iter().zip(answers) {
        is_good &= matches!(verdict, "ok" | "unchecked");
        line(match as_json {
            true => json!({"name": name, "verdict": verdict, "what": what}).to_string(),
            false => format!("{verdict:<10}  {name:<20}  {}", field(&what)),
        })?;
    }
    if set.is_empty() && !as_json {
        line("no provider account is set")?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A word for how an account is, and a sentence.
async fn asked(account: &anyhow::Result<Account>) -> (&'static str, String) {
    let account = match account {
        Ok(account) => account,
        Err(error) => return ("wrong", format!("{error:#}")),
    };
    match tokio::time::timeout(ANSWER_MAX, account.adapter.check()).await {
        Ok(Checked::Good { detail }) => ("ok", format!("account {}: {detail}", account.account)),
        Ok(Checked::Refused { trouble, code, detail }) => {
            ("refused", format!("{detail} ({code}) -> {}", trouble.remedy()))
        }
        Ok(Checked::Unanswered { detail }) => ("unanswered", detail),
        Ok(Checked::Unchecked) => ("unchecked", "this provider cannot be asked".to_owned()),
        Err(_) => ("unanswered", "no answer in time".to_owned()),
    }
}

fn tenants(account: &Account) -> Vec<String> {
    match &account.tenants {
        Tenants::All => vec!["*".to_owned()],
        Tenants::These(these) => these.iter().map(ToString::to_string).collect(),
    }
}

/// How the dispatchers that run find an account, in a word: `up`, what is wrong for longest, or `unknown` where none
/// says anything of it.
fn health<'r>((provider, key): (&str, &str), reports: &'r [AccountReport]) -> &'r str {
    let is_of_it = |one: &&AccountReport| one.provider == provider && one.account == key;
    let mut of_it = reports.iter().filter(is_of_it).map(|one| one.reason.as_deref()).peekable();
    if of_it.peek().is_none() {
        return "unknown";
    }
    of_it.flatten().next().unwrap_or("up")
}

fn shown(account: &Account, health: &str) -> Value {
    let paths = account.hooks.iter();
    let paths = paths.map(|hook| webhook_path(account.provider, &account.name, hook.suffix));
    json!({
        "name": account.name,
        "provider": account.provider,
        "account": account.account,
        "channels": account.channels,
        "senders": account.senders,
        "tenants": tenants(account),
        "traffic": account.traffic,
        "health": health,
        "webhooks": paths.collect::<Vec<_>>(),
    })
}

fn row(account: &Account, health: &str) -> String {
    let channels: Vec<&str> = account.channels.iter().map(|channel| channel.as_str()).collect();
    format!(
        "{:<20}  {:<10}  {:<36}  {:<10}  {:<6}  {health:<11}  {}",
        account.name.as_str(),
        account.provider,
        field(&account.account),
        channels.join(","),
        account.traffic.as_str(),
        tenants(account).join(","),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_as_the_dispatchers_find_it_and_unknown_to_nobody() {
        let report = |reason: Option<&str>| AccountReport {
            provider: "nobody".to_owned(),
            account: "A1".to_owned(),
            told: None,
            reason: reason.map(str::to_owned),
            breaker: "closed".to_owned(),
            until: None,
            under_way: 0,
        };
        for (reports, expected) in [
            (vec![], "unknown"),
            (vec![report(None)], "up"),
            (vec![report(None), report(Some("silent"))], "silent"),
        ] {
            assert_eq!(health(("nobody", "A1"), &reports), expected);
        }
        assert_eq!(health(("nobody", "A2"), &[report(None)]), "unknown");
    }
}
