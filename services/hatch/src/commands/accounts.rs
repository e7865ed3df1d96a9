//! `hatch accounts`: the provider accounts of the settings, and whether their providers let them in.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use futures::future::join_all;
use hatch_providers::{Account, Checked, Tenants, webhook_path};
use serde_json::{Value, json};

use crate::cli;
use crate::output::{field, line};
use crate::roles::{self, SetAccount};
use crate::settings::Settings;

/// How long a provider may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Does what is asked for.
pub(crate) async fn run(settings: &Settings, what: cli::Accounts) -> anyhow::Result<ExitCode> {
    match what {
        cli::Accounts::List { json } => list(settings, json).map(|()| ExitCode::SUCCESS),
        cli::Accounts::Check { names, json } => check(settings, &names, json).await,
    }
}

/// Prints the accounts that are set.
fn list(settings: &Settings, as_json: bool) -> anyhow::Result<()> {
    let set = roles::each_account(settings);
    if set.is_empty() && !as_json {
        line("no provider account is set")?;
    }
    for SetAccount { section, name, account } in &set {
        match account {
            Ok(account) if as_json => line(shown(account).to_string())?,
            Ok(account) => line(row(account))?,
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
    let mut set = roles::each_account(settings);
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

fn shown(account: &Account) -> Value {
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
        "webhooks": paths.collect::<Vec<_>>(),
    })
}

fn row(account: &Account) -> String {
    let channels: Vec<&str> = account.channels.iter().map(|channel| channel.as_str()).collect();
    format!(
        "{:<20}  {:<10}  {:<36}  {:<10}  {:<6}  {}",
        account.name.as_str(),
        account.provider,
        field(&account.account),
        channels.join(","),
        account.traffic.as_str(),
        tenants(account).join(","),
    )
}
