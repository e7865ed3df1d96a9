//! How the dispatchers that run find the accounts: what `/ready` of each says, doctor says too.

use hatch_dispatcher::{AccountReport, Told};
use hatch_eventstore::Connection;
use hatch_providers::Account;

use super::database::Reached;
use super::finding::Finding;
use crate::commands::ANSWER_MAX;
use crate::roles;
use crate::settings::Settings;

/// Replaces the findings of accounts that are set as they should be by what the dispatchers say of them.
pub(super) async fn tell(settings: &Settings, database: &Reached, findings: &mut [Finding]) {
    let Ok(database) = database else { return };
    let read = async |client: &mut Connection| {
        anyhow::Ok(hatch_dispatcher::reported_accounts(client).await?)
    };
    // Another line says that the database does not answer.
    let Ok(reported) = database.pool.within(ANSWER_MAX, read).await else { return };
    let set = roles::each_account(settings).into_iter().filter_map(|set| set.account.ok());
    for account in set {
        let good = findings.iter_mut().find(|finding| finding.is_good(account.name.as_str()));
        if let Some(finding) = good
            && let Some(told) = told(&reported, &account)
        {
            *finding = told;
        }
    }
}

/// What the dispatchers say of an account; none where none says anything.
fn told(reported: &[AccountReport], set: &Account) -> Option<Finding> {
    let (provider, account) = set.key();
    let name = set.name.to_string();
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
