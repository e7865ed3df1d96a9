//! How the dispatchers that run find the accounts: what `/ready` of each says, doctor says too.

use std::collections::BTreeSet;

use hatch_dispatcher::{AccountReport, Told};
use hatch_eventstore::Connection;
use hatch_providers::Account;

use super::database::Reached;
use super::finding::Finding;
use crate::commands::ANSWER_MAX;
use crate::roles;
use crate::settings::Settings;

/// Accounts of the log that are named, at most.
const OF_LOG_MAX: usize = 50;

/// Replaces the findings of accounts that are set as they should be by what the dispatchers say of them, and adds what
/// is wrong with those that are not set but kept in the log.
pub(super) async fn tell(settings: &Settings, database: &Reached, findings: &mut Vec<Finding>) {
    let Ok(database) = database else { return };
    let read = async |client: &mut Connection| {
        anyhow::Ok(hatch_dispatcher::reported_accounts(client).await?)
    };
    // Another line says that the database does not answer.
    let Ok(reported) = database.pool.within(ANSWER_MAX, read).await else { return };
    let set = roles::each_account(settings).into_iter().filter_map(|set| set.account.ok());
    let set: Vec<Account> = set.collect();
    for account in &set {
        let good = findings.iter_mut().find(|finding| finding.is_good(account.name.as_str()));
        if let Some(finding) = good
            && let Some(told) = told(&reported, account.key(), account.name.to_string())
        {
            *finding = told;
        }
    }
    let keys: Vec<(&str, &str)> = set.iter().map(Account::key).collect();
    findings.extend(of_the_log(&reported, &keys));
}

/// What is wrong with accounts that are not set.
fn of_the_log(reported: &[AccountReport], set: &[(&str, &str)]) -> Vec<Finding> {
    let wrong = reported.iter().filter(|one| one.told.is_some());
    let keys: BTreeSet<(&str, &str)> =
        wrong.map(|one| (one.provider.as_str(), one.account.as_str())).collect();
    let others = keys.into_iter().filter(|key| !set.contains(key)).take(OF_LOG_MAX);
    let named = |(provider, account)| format!("{provider}/{account}");
    others.filter_map(|key| told(reported, key, named(key))).collect()
}

/// What the dispatchers say of an account; none where none says anything.
fn told(
    reported: &[AccountReport],
    (provider, account): (&str, &str),
    name: String,
) -> Option<Finding> {
    let of_it = |one: &&AccountReport| one.provider == provider && one.account == account;
    let said: Vec<_> = reported.iter().filter(of_it).collect();
    let wrong: Vec<&Told> = said.iter().filter_map(|one| one.told.as_ref()).collect();
    let Some(Told { what, remedy, since }) = wrong.first().copied() else {
        let good = Finding::good(name, format!("account {account}, by which messages are sent"));
        return (!said.is_empty()).then_some(good);
    };
    let what = match (wrong.len(), said.len()) {
        (wrong, all) if wrong < all => format!("{what}; so say {wrong} of {all} dispatchers"),
        _ => what.clone(),
    };
    Some(Finding::failure(name, what, remedy.clone()).since(Some(*since)))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn an_account_of_the_log_that_is_down_is_told_of_once() {
        let report = |account: &str, is_down: bool| AccountReport {
            provider: "twilio".to_owned(),
            account: account.to_owned(),
            told: is_down.then(|| Told {
                what: format!("account {account} is down"),
                remedy: "settle it with the provider".to_owned(),
                since: DateTime::from_timestamp(1_800_000_000, 0).expect("in range"),
            }),
            reason: None,
            breaker: "open".to_owned(),
            until: None,
            under_way: 0,
        };
        let reported = [
            report("AC-set", true),
            report("AC-log", true),
            report("AC-log", true),
            report("AC-well", false),
        ];
        let found = of_the_log(&reported, &[("twilio", "AC-set")]);
        let [finding] = found.as_slice() else { panic!("{found:?}") };
        assert!(finding.is_failure_of("twilio/AC-log"), "{finding:?}");
    }
}
