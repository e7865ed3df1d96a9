//! What the log keeps sealed, accounts and second factors: whether these settings can use it.

use hatch_domain::member::{Member, TOTP_FIELD};
use hatch_domain::sealed::Sealed;
use hatch_readmodel::ReadModel;
use hatch_seal::{Keyring, Place};

use super::database::{Database, Reached};
use super::finding::Finding;
use super::made;
use crate::output::counted;
use crate::roles::{Joiner, LeftOut, accounts, kept, vault};
use crate::settings::Settings;

const CHECK: &str = "master key";

/// Accounts that are named in a line at most.
const NAMED_MAX: usize = 5;

/// What the log keeps sealed.
#[derive(Debug, Default)]
struct Secrets {
    accounts: i64,
    factors: i64,
    /// Secrets of either that are under another key than the one that seals.
    old: i64,
    /// Second factors that cannot be read, and why the first of them cannot.
    unread: i64,
    why: Option<String>,
}

impl Secrets {
    fn note(&mut self, sealed: &Sealed, keyring: &Keyring) {
        let is_old = |current: &str| current != sealed.master_key_id();
        self.old += i64::from(keyring.current_id().is_some_and(is_old));
    }

    fn note_factor(&mut self, sealed: &Sealed, place: &Place<'_>, keyring: &Keyring) {
        self.factors += 1;
        self.note(sealed, keyring);
        if let Err(error) = keyring.open(sealed, place) {
            self.unread += 1;
            self.why.get_or_insert_with(|| error.to_string());
        }
    }
}

/// Whether each account and each second factor that the log keeps can be used here.
pub(super) async fn check(settings: &Settings, database: &Reached) -> Finding {
    match database {
        Ok(database) => made(CHECK, sealed(settings, database)).await,
        Err(why) => Finding::not_checked(CHECK, why),
    }
}

async fn sealed(settings: &Settings, database: &Database) -> anyhow::Result<Finding> {
    let keyring = settings.keyring()?;
    let vault = vault(settings, keyring.clone(), hatch_providers::Accounts::default())?;
    let stored = ReadModel::new(database.pool.clone()).configuration().await?;
    let mut secrets = Secrets::default();
    for one in &stored.members {
        if let Some(sealed) = one.state.as_ref().and_then(Member::totp_secret) {
            let place = Place { tenant: one.tenant_id.0, stream: one.id, field: TOTP_FIELD };
            secrets.note_factor(sealed, &place, &keyring);
        }
    }
    let kept = kept(stored);
    for account in kept.iter().filter_map(|entry| entry.account.as_ref()) {
        secrets.accounts += 1;
        for sealed in account.secrets().values() {
            secrets.note(sealed, &keyring);
        }
    }
    // What is wrong with those of the files, another line says.
    let files = accounts(settings).unwrap_or_default();
    let joined = Joiner::default().join(&files, kept, &vault);
    Ok(found(&joined.left_out, keyring.current_id(), &secrets))
}

fn found(left_out: &[LeftOut], current: Option<&str>, secrets: &Secrets) -> Finding {
    if !left_out.is_empty() || secrets.unread > 0 {
        return unusable(left_out, secrets);
    }
    let Some(current) = current else {
        let what = "none is set: accounts are kept in files alone, and nobody has a second factor";
        return Finding::good(CHECK, what);
    };
    if secrets.old > 0 {
        let what = format!("{} under the master key before", counted(secrets.old, "secret"));
        return Finding::warning(CHECK, what, "run `hatch master-key rotate`");
    }
    let accounts = counted(secrets.accounts, "account");
    let factors = counted(secrets.factors, "second factor");
    let what = format!("{current}, by which {accounts} and {factors} of the log can be used");
    Finding::good(CHECK, what)
}

/// Some account or second factor cannot be used.
fn unusable(left_out: &[LeftOut], secrets: &Secrets) -> Finding {
    let mut what = Vec::new();
    if !left_out.is_empty() {
        let named = left_out.iter().take(NAMED_MAX);
        let named: Vec<String> = named.map(|one| format!("{}: {}", one.name, one.why)).collect();
        let count = counted(i64::try_from(left_out.len()).unwrap_or(i64::MAX), "account");
        what.push(format!("{count} of the log cannot be used: {}", named.join("; ")));
    }
    if let Some(why) = &secrets.why {
        let count = counted(secrets.unread, "second factor");
        what.push(format!("{count} of the log cannot be read: {why}"));
    }
    let remedy = if left_out.iter().any(|one| one.is_sealed) {
        "set the master key that it names, as HATCH_MASTER_KEY_FILE or HATCH_MASTER_KEY_PREVIOUS_FILE; whoever has \
         lost that key enters the secrets anew, by PATCH /api/v1/accounts/NAME"
    } else if secrets.unread > 0 {
        "set the master key that it names, as HATCH_MASTER_KEY_FILE or HATCH_MASTER_KEY_PREVIOUS_FILE; where that key \
         is lost, each member signs in by a recovery code and begins a second factor anew, or is removed and invited \
         again"
    } else {
        "change or remove it, by PATCH or DELETE /api/v1/accounts/NAME"
    };
    Finding::failure(CHECK, what.join("; "), remedy)
}

#[cfg(test)]
mod tests {
    use hatch_seal::MasterKey;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_cannot_be_used_is_said_with_what_to_do() {
        let left_out = |is_sealed| {
            let (name, why) = ("main".to_owned(), "auth_token cannot be read".to_owned());
            vec![LeftOut { name, why, is_sealed }]
        };
        let kept =
            |accounts, factors, old| Secrets { accounts, factors, old, ..Secrets::default() };
        let unread = || {
            let why = Some("no master key is set".to_owned());
            Secrets { factors: 2, unread: 2, why, ..Secrets::default() }
        };
        for (left_out, current, secrets, start, says) in [
            (left_out(true), None, kept(1, 0, 0), "WRONG", "auth_token cannot be read -> set the"),
            (left_out(false), Some("0123"), kept(1, 0, 0), "WRONG", "-> change or remove it"),
            (left_out(true), None, unread(), "WRONG", "; 2 second factors of the log cannot"),
            (vec![], None, unread(), "WRONG", "read: no master key is set -> set the master key"),
            (vec![], None, kept(0, 0, 0), "ok", "none is set"),
            (
                vec![],
                Some("0123"),
                kept(2, 0, 1),
                "warning",
                "1 secret under the master key before",
            ),
            (vec![], Some("0123"), kept(2, 1, 0), "ok", "by which 2 accounts and 1 second factor"),
        ] {
            let line = found(&left_out, current, &secrets).to_string();
            assert!(line.starts_with(start) && line.contains(says), "{line}");
        }
    }

    #[test]
    fn a_second_factor_is_read_by_the_key_that_it_is_sealed_under() {
        let drawn: [_; 2] = std::array::from_fn(|_| MasterKey::draw().expect("a key"));
        let key = |n: usize| Some(drawn[n].parse::<MasterKey>().expect("a key"));
        let place = Place { tenant: Uuid::nil(), stream: Uuid::max(), field: TOTP_FIELD };
        let sealed = Keyring::new(key(0), None).seal(b"secret", &place).expect("it is sealed");
        for (keyring, old, unread) in [
            (Keyring::new(key(0), None), 0, 0),
            (Keyring::new(key(1), key(0)), 1, 0),
            (Keyring::new(key(1), None), 1, 1),
            (Keyring::new(None, None), 0, 1),
        ] {
            let mut secrets = Secrets::default();
            secrets.note_factor(&sealed, &place, &keyring);
            assert_eq!((secrets.factors, secrets.old, secrets.unread), (1, old, unread));
            assert_eq!(secrets.why.is_some(), unread > 0);
        }
    }
}
