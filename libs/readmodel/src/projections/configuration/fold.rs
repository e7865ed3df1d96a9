//! The fold of one page of the log: rows and events in, changed rows out. No I/O and no clock.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::api_key::ApiKey;
use hatch_domain::api_key::event::ApiKeyEvent;
use hatch_domain::ids::TenantId;
use hatch_domain::member::Member;
use hatch_domain::member::event::MemberEvent;
use hatch_domain::tenant::Tenant;
use hatch_domain::tenant::event::TenantEvent;
use hatch_domain::{Decider, DomainEvent};
use hatch_eventstore::Position;
use uuid::Uuid;

use crate::Error;
use crate::engine::Fact;

/// The name of the tenant that has been there before any event.
pub(super) const DEFAULT_TENANT: &str = "default";

/// The row of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiKeyRow {
    pub(super) id: Uuid,
    pub(super) tenant_id: Uuid,
    pub(super) key_id: String,
    pub(super) name: String,
    pub(super) key_type: String,
    pub(super) state: ApiKey,
    pub(super) created_at: DateTime<Utc>,
    pub(super) revoked_at: Option<DateTime<Utc>>,
    pub(super) created_position: Position,
    pub(super) position: Position,
}

/// The row of a member.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MemberRow {
    pub(super) id: Uuid,
    pub(super) tenant_id: Uuid,
    pub(super) email: String,
    pub(super) status: String,
    pub(super) state: Member,
    pub(super) created_position: Position,
    pub(super) position: Position,
}

/// The row of a tenant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TenantRow {
    pub(super) tenant_id: Uuid,
    pub(super) name: String,
    pub(super) suspended_at: Option<DateTime<Utc>>,
    pub(super) suspended_for: Option<String>,
    pub(super) state: Tenant,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) created_position: Position,
    pub(super) position: Position,
}

/// The row of a stream that begins with an event of its own.
pub(super) trait StreamRow: Sized {
    /// What its stream has.
    type Event: DomainEvent;

    /// Its stream.
    fn id(&self) -> Uuid;

    /// Whether a row begins with this event.
    fn begins(event: &Self::Event) -> bool;

    /// The row before its first event.
    fn begun_by(fact: &Fact<Self::Event>) -> Self;

    /// The row as the event leaves it.
    fn apply(&mut self, fact: &Fact<Self::Event>);
}

/// Rows as `facts` leave them, with those that begin among them.
///
/// # Errors
/// [`Error::Misplaced`] for an event of a stream that never began.
pub(super) fn fold<R: StreamRow>(
    mut rows: BTreeMap<Uuid, R>,
    facts: &[Fact<R::Event>],
) -> Result<BTreeMap<Uuid, R>, Error> {
    for fact in facts {
        if R::begins(&fact.event) {
            rows.entry(fact.id).or_insert_with(|| R::begun_by(fact));
        }
        let row = rows.get_mut(&fact.id).ok_or_else(|| Error::Misplaced {
            position: fact.position,
            event_type: fact.event.event_type().to_owned(),
        })?;
        row.apply(fact);
    }
    Ok(rows)
}

/// The rows of tenants as `facts` leave them, with those that begin among them.
pub(super) fn fold_tenants(
    mut rows: BTreeMap<Uuid, TenantRow>,
    facts: &[Fact<TenantEvent>],
) -> BTreeMap<Uuid, TenantRow> {
    for fact in facts {
        rows.entry(fact.id).or_insert_with(|| TenantRow::begun_by(fact)).apply(fact);
    }
    rows
}

impl StreamRow for ApiKeyRow {
    type Event = ApiKeyEvent;

    fn id(&self) -> Uuid {
        self.id
    }

    fn begins(event: &ApiKeyEvent) -> bool {
        matches!(event, ApiKeyEvent::ApiKeyCreated(_))
    }

    fn begun_by(fact: &Fact<ApiKeyEvent>) -> Self {
        Self {
            id: fact.id,
            tenant_id: fact.tenant_id,
            key_id: String::new(),
            name: String::new(),
            key_type: String::new(),
            state: ApiKey::default(),
            created_at: fact.recorded_at,
            revoked_at: None,
            created_position: fact.position,
            position: fact.position,
        }
    }

    fn apply(&mut self, fact: &Fact<ApiKeyEvent>) {
        use ApiKeyEvent as E;
        self.position = fact.position;
        self.state = std::mem::take(&mut self.state).evolve(&fact.event);
        match &fact.event {
            E::ApiKeyCreated(e) => {
                self.key_id = e.key_id.to_string();
                self.name = e.name.to_string();
                self.key_type = e.key_type.as_str().to_owned();
                self.created_at = e.at;
            }
            E::ApiKeyRotated(_) => {}
            E::ApiKeyRevoked(e) => self.revoked_at = Some(e.at),
        }
    }
}

impl StreamRow for MemberRow {
    type Event = MemberEvent;

    fn id(&self) -> Uuid {
        self.id
    }

    fn begins(event: &MemberEvent) -> bool {
        matches!(event, MemberEvent::MemberInvited(_))
    }

    fn begun_by(fact: &Fact<MemberEvent>) -> Self {
        Self {
            id: fact.id,
            tenant_id: fact.tenant_id,
            email: String::new(),
            status: String::new(),
            state: Member::default(),
            created_position: fact.position,
            position: fact.position,
        }
    }

    fn apply(&mut self, fact: &Fact<MemberEvent>) {
        self.position = fact.position;
        self.state = std::mem::take(&mut self.state).evolve(&fact.event);
        self.email = self.state.email().map(ToString::to_string).unwrap_or_default();
        self.status = self.state.status().map_or_else(String::new, |one| one.as_str().to_owned());
    }
}

impl TenantRow {
    /// The default tenant has a name before its first event; any other gets one by that event.
    fn begun_by(fact: &Fact<TenantEvent>) -> Self {
        let is_default = fact.id == TenantId::DEFAULT.0;
        Self {
            tenant_id: fact.id,
            name: if is_default { DEFAULT_TENANT.to_owned() } else { String::new() },
            suspended_at: None,
            suspended_for: None,
            state: Tenant::default(),
            created_at: fact.recorded_at,
            updated_at: fact.recorded_at,
            created_position: fact.position,
            position: fact.position,
        }
    }

    fn apply(&mut self, fact: &Fact<TenantEvent>) {
        use TenantEvent as E;
        self.position = fact.position;
        self.state = std::mem::take(&mut self.state).evolve(&fact.event);
        self.updated_at = match &fact.event {
            E::TenantCreated(e) => {
                self.name = e.name.to_string();
                self.created_at = e.at;
                e.at
            }
            E::TenantRenamed(e) => {
                self.name = e.name.to_string();
                e.at
            }
            E::TenantSuspended(e) => {
                self.suspended_at.get_or_insert(e.at);
                self.suspended_for = e.reason.as_ref().map(ToString::to_string);
                e.at
            }
            E::TenantResumed(e) => {
                (self.suspended_at, self.suspended_for) = (None, None);
                e.at
            }
            E::TeamRecipientAdded(e) => e.at,
            E::TeamRecipientRemoved(e) => e.at,
        };
    }
}
