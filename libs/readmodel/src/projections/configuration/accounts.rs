//! The rows of provider accounts.

use chrono::{DateTime, Utc};
use hatch_domain::Decider;
use hatch_domain::account::Account;
use hatch_domain::account::event::AccountEvent;
use hatch_eventstore::Position;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::fold::StreamRow;
use crate::Error;
use crate::engine::{Fact, table};

/// The rows of some accounts.
pub(super) const LOAD_ACCOUNTS: &str = "SELECT id, tenant_id, name, provider, state, created_at, \
     removed_at, created_position, position FROM rm_configuration.accounts WHERE id = ANY($1)";

table! {
    /// One row a stream. An account that was removed may be made again, at another provider.
    pub(super) static ACCOUNTS: AccountRow = "rm_configuration.accounts", row => {
        key id: "uuid" = row.id,
        fixed tenant_id: "uuid" = row.tenant_id,
        fixed name: "text" = row.name.as_str(),
        moving provider: "text" = row.provider.as_str(),
        moving state: "json" = Json(&row.state),
        moving created_at: "timestamptz" = row.created_at,
        moving removed_at: "timestamptz" = row.removed_at,
        fixed created_position: "bigint" = row.created_position.0,
        moving position: "bigint" = row.position.0,
    }
}

/// The row of an account.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AccountRow {
    pub(super) id: Uuid,
    pub(super) tenant_id: Uuid,
    pub(super) name: String,
    pub(super) provider: String,
    pub(super) state: Account,
    pub(super) created_at: DateTime<Utc>,
    pub(super) removed_at: Option<DateTime<Utc>>,
    pub(super) created_position: Position,
    pub(super) position: Position,
}

impl StreamRow for AccountRow {
    type Event = AccountEvent;

    fn id(&self) -> Uuid {
        self.id
    }

    fn begins(event: &AccountEvent) -> bool {
        matches!(event, AccountEvent::AccountCreated(_))
    }

    fn begun_by(fact: &Fact<AccountEvent>) -> Self {
        Self {
            id: fact.id,
            tenant_id: fact.tenant_id,
            name: String::new(),
            provider: String::new(),
            state: Account::default(),
            created_at: fact.recorded_at,
            removed_at: None,
            created_position: fact.position,
            position: fact.position,
        }
    }

    fn apply(&mut self, fact: &Fact<AccountEvent>) {
        use AccountEvent as E;
        self.position = fact.position;
        self.state = std::mem::take(&mut self.state).evolve(&fact.event);
        match &fact.event {
            E::AccountCreated(e) => {
                self.name = e.name.to_string();
                self.provider.clone_from(&e.provider);
                (self.created_at, self.removed_at) = (e.at, None);
            }
            E::AccountChanged(_) | E::AccountSecretsRewrapped(_) => {}
            E::AccountRemoved(e) => self.removed_at = Some(e.at),
        }
    }
}

impl AccountRow {
    /// Reads what [`LOAD_ACCOUNTS`] finds.
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let Json(state) = row.try_get(4)?;
        Ok(Self {
            id: row.try_get(0)?,
            tenant_id: row.try_get(1)?,
            name: row.try_get(2)?,
            provider: row.try_get(3)?,
            state,
            created_at: row.try_get(5)?,
            removed_at: row.try_get(6)?,
            created_position: Position(row.try_get(7)?),
            position: Position(row.try_get(8)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use hatch_domain::DomainEvent as _;
    use hatch_domain::account::AccountLimits;
    use hatch_domain::account::event::{AccountCreated, AccountRemoved};
    use hatch_domain::traffic::Traffic;
    use hatch_eventstore::{Metadata, RecordedEvent};
    use serde_json::value::RawValue;

    use super::super::fold::fold;
    use super::*;
    use crate::engine::facts;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
    }

    /// As the log has it.
    fn recorded(position: i64, version: i64, event: &AccountEvent) -> Arc<RecordedEvent> {
        Arc::new(RecordedEvent {
            position: Position(position),
            stream_id: Uuid::from_u128(9),
            version,
            tenant_id: Uuid::from_u128(7),
            event_id: Uuid::from_u128(position.unsigned_abs().into()),
            event_type: event.event_type().to_owned(),
            schema_version: event.schema_version(),
            epoch: 1,
            recorded_at: at(position),
            aggregate: Account::KIND.to_owned(),
            conversation_id: None,
            channel: None,
            priority: None,
            metadata: Metadata::default(),
            payload: RawValue::from_string(event.encode()).expect("JSON"),
        })
    }

    fn created(provider: &str, second: i64) -> AccountEvent {
        AccountCreated {
            name: "main".parse().expect("a name"),
            provider: provider.to_owned(),
            channels: Vec::new(),
            senders: Vec::new(),
            traffic: Traffic::Live,
            limits: AccountLimits::default(),
            on_doubt: None,
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            created_by: "cli".to_owned(),
            at: at(second),
        }
        .into()
    }

    fn removed(second: i64) -> AccountEvent {
        AccountRemoved { at: at(second) }.into()
    }

    #[test]
    fn an_account_is_one_row_also_when_it_is_made_again() {
        let page = [
            recorded(3, 1, &created("twilio", 3)),
            recorded(4, 2, &removed(4)),
            recorded(6, 3, &created("sendgrid", 6)),
        ];
        for cut in 0..=page.len() {
            let (first, second) = page.split_at(cut);
            let of = |page| facts::<Account>(page).expect("known events");
            let rows = fold::<AccountRow>(BTreeMap::new(), &of(first)).expect("they fit");
            let rows = fold(rows, &of(second)).expect("they fit");
            let row = rows.values().next().expect("a row");
            assert_eq!((row.name.as_str(), row.provider.as_str()), ("main", "sendgrid"));
            assert_eq!((row.created_at, row.removed_at), (at(6), None));
            assert_eq!((row.created_position, row.position), (Position(3), Position(6)));
            assert!(row.state.is_there());
        }
    }

    #[test]
    fn an_account_that_was_never_created_halts() {
        let orphan = [recorded(1, 1, &removed(1))];
        let orphan = facts::<Account>(&orphan).expect("known events");
        let halted = fold::<AccountRow>(BTreeMap::new(), &orphan);
        assert!(matches!(halted, Err(Error::Misplaced { .. })));
    }
}
