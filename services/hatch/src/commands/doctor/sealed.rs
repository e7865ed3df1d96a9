//! The accounts that the log keeps: whether these settings can use them.

use hatch_domain::account::Account;
use hatch_readmodel::ReadModel;

use super::database::{Database, Reached};
use super::finding::Finding;
use super::made;
use crate::output::counted;
use crate::roles::{Joiner, LeftOut, accounts, kept, vault};
use crate::settings::Settings;

const CHECK: &str = "master key";

/// Accounts that are named in a line at most.
const NAMED_MAX: usize = 5;

/// Whether each account that the log keeps can be used here.
pub(super) async fn check(settings: &Settings, database: &Reached) -> Finding {
    match database {
        Ok(database) => made(CHECK, sealed(settings, database)).await,
        Err(why) => Finding::not_checked(CHECK, why),
    }
}

async fn sealed(settings: &Settings, database: &Database) -> anyhow::Result<Finding> {
    let keyring = settings.keyring()?;
    let vault = vault(settings, keyring.clone(), hatch_providers::Accounts::default())?;
    let kept = kept(ReadModel::new(database.pool.clone()).configuration().await?);
    let states: Vec<_> = kept.iter().filter_map(|entry| entry.account.clone()).collect();
    // What is wrong with those of the files, another line says.
    let files = accounts(settings).unwrap_or_default();
    let joined = Joiner::default().join(&files, kept, &vault);
    let old = states.iter().map(|account| under_another(account, keyring.current_id())).sum();
    Ok(found(&joined.left_out, keyring.current_id(), (states.len(), old)))
}

/// Secrets that are under another key than the one that seals.
fn under_another(account: &Account, current: Option<&str>) -> i64 {
    let is_other = |id: &str| current.is_some_and(|current| current != id);
    let secrets = account.secrets().values();
    let others = secrets.filter(|sealed| is_other(sealed.master_key_id())).count();
    i64::try_from(others).unwrap_or(i64::MAX)
}

/// Of so many accounts and so many secrets that are under the key before.
fn found(left_out: &[LeftOut], current: Option<&str>, (all, old): (usize, i64)) -> Finding {
    if !left_out.is_empty() {
        let named = left_out.iter().take(NAMED_MAX);
        let named: Vec<String> = named.map(|one| format!("{}: {}", one.name, one.why)).collect();
        let is_sealed = left_out.iter().any(|one| one.is_sealed);
        let remedy = if is_sealed {
            "set the master key that it names, as HATCH_MASTER_KEY_FILE or HATCH_MASTER_KEY_PREVIOUS_FILE; whoever has \
             lost that key enters the secrets anew, by PATCH /api/v1/accounts/NAME"
        } else {
            "change or remove it, by PATCH or DELETE /api/v1/accounts/NAME"
        };
        let count = counted(i64::try_from(left_out.len()).unwrap_or(i64::MAX), "account");
        let what = format!("{count} of the log cannot be used: {}", named.join("; "));
        return Finding::failure(CHECK, what, remedy);
    }
    let Some(current) = current else {
        return Finding::good(CHECK, "none is set: accounts are kept in files alone");
    };
    if old > 0 {
        let what = format!("{} under the master key before", counted(old, "secret"));
        return Finding::warning(CHECK, what, "run `hatch master-key rotate`");
    }
    let all = counted(i64::try_from(all).unwrap_or(i64::MAX), "account");
    Finding::good(CHECK, format!("{current}, by which {all} of the log can be used"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_cannot_be_used_is_named_with_what_to_do() {
        let left_out = |is_sealed| {
            let (name, why) = ("main".to_owned(), "auth_token cannot be read".to_owned());
            vec![LeftOut { name, why, is_sealed }]
        };
        for (left_out, current, counts, start, says) in [
            (left_out(true), None, (1, 0), "WRONG", "main: auth_token cannot be read -> set the"),
            (left_out(false), Some("0123"), (1, 0), "WRONG", "-> change or remove it"),
            (vec![], None, (0, 0), "ok", "none is set"),
            (vec![], Some("0123"), (2, 1), "warning", "1 secret under the master key before"),
            (vec![], Some("0123"), (2, 0), "ok", "0123, by which 2 accounts"),
        ] {
            let line = found(&left_out, current, counts).to_string();
            assert!(line.starts_with(start) && line.contains(says), "{line}");
        }
    }
}
