//! Wrapping secrets anew, stream by stream. Each is one event, so that whoever is killed goes on where it was.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_directory::Directory;
use hatch_domain::Decider;
use hatch_domain::account::Account;
use hatch_domain::account::command::AccountCommand;
use hatch_domain::ids::TenantId;
use hatch_domain::member::command::MemberCommand;
use hatch_domain::member::{Member, TOTP_FIELD};
use hatch_domain::sealed::Sealed;
use hatch_eventstore::{Execute, ExecuteError, LoadError, Loaded, Metadata, Store};
use hatch_seal::{Keyring, OpenError, Place};
use uuid::Uuid;

use crate::commands::writer::actor;

/// How often one stream is tried whose secrets others change meanwhile.
const TRIALS_MAX: usize = 8;

/// A kind of stream that has sealed secrets.
pub(super) trait Holder: Decider + 'static {
    /// The streams of this kind that may have some.
    fn all(directory: &Directory) -> Vec<(TenantId, Uuid)>;

    /// What people call it.
    fn named(&self, id: Uuid) -> String;

    /// What it has, by field.
    fn secrets(&self) -> BTreeMap<String, Sealed>;

    /// Asks it to keep `to`, if it has `from` still. Neither is empty.
    fn keep(
        master_key_id: &str,
        from: BTreeMap<String, Sealed>,
        to: BTreeMap<String, Sealed>,
        at: DateTime<Utc>,
    ) -> Option<Self::Command>;
}

impl Holder for Account {
    fn all(directory: &Directory) -> Vec<(TenantId, Uuid)> {
        directory.accounts().iter().map(|entry| (entry.tenant_id, entry.id.0)).collect()
    }

    fn named(&self, id: Uuid) -> String {
        self.name().map_or_else(|| format!("account {id}"), |name| format!("account {name}"))
    }

    fn secrets(&self) -> BTreeMap<String, Sealed> {
        Account::secrets(self).clone()
    }

    fn keep(
        master_key_id: &str,
        from: BTreeMap<String, Sealed>,
        to: BTreeMap<String, Sealed>,
        at: DateTime<Utc>,
    ) -> Option<AccountCommand> {
        Some(AccountCommand::Rewrap { master_key_id: master_key_id.to_owned(), from, to, at })
    }
}

impl Holder for Member {
    fn all(directory: &Directory) -> Vec<(TenantId, Uuid)> {
        directory.members().iter().map(|entry| (entry.tenant_id, entry.id.0)).collect()
    }

    fn named(&self, id: Uuid) -> String {
        format!("member {id}")
    }

    fn secrets(&self) -> BTreeMap<String, Sealed> {
        let secret = self.totp_secret().map(|secret| (TOTP_FIELD.to_owned(), secret.clone()));
        secret.into_iter().collect()
    }

    fn keep(
        _: &str,
        mut from: BTreeMap<String, Sealed>,
        mut to: BTreeMap<String, Sealed>,
        at: DateTime<Utc>,
    ) -> Option<MemberCommand> {
        let (from, to) = (from.remove(TOTP_FIELD)?, to.remove(TOTP_FIELD)?);
        Some(MemberCommand::RewrapTotp { from, to, at })
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Secrets that are under the present key only now.
    pub(super) wrapped: i64,
    /// Secrets that were already.
    pub(super) there: i64,
    /// Who has one that is not, and why.
    pub(super) left: Vec<(String, String)>,
}

/// Wraps the secrets of all streams of a kind.
pub(super) async fn rewrap<H: Holder>(
    store: &Store,
    keyring: &Keyring,
    directory: &Directory,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    for (tenant, id) in H::all(directory) {
        one::<H>(store, keyring, (tenant, id), outcome).await?;
    }
    Ok(())
}

/// Wraps those of one. That it cannot be read is no reason to leave the others.
async fn one<H: Holder>(
    store: &Store,
    keyring: &Keyring,
    (tenant, id): (TenantId, Uuid),
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    for _ in 0..TRIALS_MAX {
        let Loaded::<H> { state, version, .. } = match store.load(tenant.0, id).await {
            Ok(loaded) => loaded,
            Err(LoadError::Decode(why)) => {
                outcome.left.push((format!("{} {id}", H::KIND), why.to_string()));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let from = state.secrets();
        let count = i64::try_from(from.len()).unwrap_or(i64::MAX);
        let (to, wrapped) = match anew(keyring, (tenant, id), &from) {
            Ok(anew) => anew,
            Err(why) => {
                outcome.left.push((state.named(id), why.to_string()));
                return Ok(());
            }
        };
        if wrapped == 0 {
            outcome.there += count;
            return Ok(());
        }
        let there = count - wrapped;
        let current = keyring.current_id().unwrap_or_default();
        let Some(command) = H::keep(current, from, to, store.environment().now()) else {
            break;
        };
        let metadata =
            Metadata { correlation_id: id, actor: actor().to_string(), ..Metadata::default() };
        let execute = Execute::<H>::new(tenant.0, id, &command, metadata).at(state, version);
        match store.execute(execute).await {
            Ok(executed) if executed.appended.is_some() => {
                outcome.wrapped += wrapped;
                outcome.there += there;
                return Ok(());
            }
            // Others were faster: what they have written is looked at.
            Ok(_) | Err(ExecuteError::Rejected(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let why = "others kept changing it: run this again".to_owned();
    outcome.left.push((format!("{} {id}", H::KIND), why));
    Ok(())
}

/// The secrets under the present key, and how many of them were under another.
fn anew(
    keyring: &Keyring,
    (tenant, id): (TenantId, Uuid),
    from: &BTreeMap<String, Sealed>,
) -> Result<(BTreeMap<String, Sealed>, i64), OpenError> {
    let (mut to, mut wrapped) = (from.clone(), 0);
    for (field, sealed) in from {
        let place = Place { tenant: tenant.0, stream: id, field };
        if let Some(anew) = keyring.rewrap(sealed, &place)? {
            to.insert(field.clone(), anew);
            wrapped += 1;
        }
    }
    Ok((to, wrapped))
}
