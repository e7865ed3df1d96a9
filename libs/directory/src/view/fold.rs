//! How events change what is known.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hatch_domain::Decider;
use hatch_domain::account::Account;
use hatch_domain::api_key::ApiKey;
use hatch_domain::carrier::Carrier;
use hatch_domain::carrier::event::CarrierEvent;
use hatch_domain::ids::{MemberId, TenantId};
use hatch_domain::member::Member;
use hatch_domain::pool::Pool;
use hatch_domain::route::Route;
use hatch_domain::tenant::Tenant;
use hatch_eventstore::{Position, RecordedEvent};
use hatch_readmodel::{Stored, StoredConfiguration};
use uuid::Uuid;

use super::{Folded, Known, MemberEntry, Told};

/// The version of a stream's first event.
const FIRST_VERSION: i64 = 1;

impl Known {
    /// What the tables have.
    pub(crate) fn of(stored: StoredConfiguration) -> Self {
        let mut known = Self {
            tenants: by_stream(stored.tenants),
            keys: by_stream(stored.api_keys),
            accounts: by_stream(stored.accounts),
            members: by_stream(stored.members),
            routes: by_stream(stored.routes),
            pools: by_stream(stored.pools),
            by_email: HashMap::new(),
            carriers: told(stored.carriers),
        };
        let ids: Vec<Uuid> = known.members.keys().copied().collect();
        ids.into_iter().for_each(|id| known.note_email(id));
        known
    }

    pub(super) fn member(&self, id: MemberId) -> Option<MemberEntry> {
        let folded = self.members.get(&id.0)?;
        // What this build cannot read of a tenant may be that it was suspended.
        self.tenants.get(&folded.tenant_id.0).is_none_or(|of| of.state.is_some()).then_some(())?;
        let (tenant_id, member) = (folded.tenant_id, folded.state.clone()?);
        Some(MemberEntry { id, tenant_id, member })
    }

    fn note_email(&mut self, id: Uuid) {
        let member = self.members.get(&id).and_then(|folded| folded.state.as_ref());
        let Some(email) = member.and_then(|member| member.email()) else { return };
        let email = email.identity().as_str().to_owned();
        self.by_email.entry(email).or_default().insert(id);
    }

    /// Applies events of the kinds that it knows, in the order of the log.
    pub(crate) fn apply(&mut self, events: &[RecordedEvent]) {
        for event in events {
            if event.aggregate == <Tenant as Decider>::KIND {
                apply(&mut self.tenants, event);
            } else if event.aggregate == <ApiKey as Decider>::KIND {
                apply(&mut self.keys, event);
            } else if event.aggregate == <Member as Decider>::KIND {
                apply(&mut self.members, event);
                self.note_email(event.stream_id);
            } else if event.aggregate == <Account as Decider>::KIND {
                apply(&mut self.accounts, event);
            } else if event.aggregate == <Route as Decider>::KIND {
                apply(&mut self.routes, event);
            } else if event.aggregate == <Pool as Decider>::KIND {
                apply(&mut self.pools, event);
            } else if event.aggregate == <Carrier as Decider>::KIND {
                self.hear(event);
            }
        }
    }

    /// Notes what is told of an account. One that this build cannot read tells it nothing.
    fn hear(&mut self, event: &RecordedEvent) {
        let decoded = match event.decode::<CarrierEvent>() {
            Ok(decoded) => decoded,
            Err(error) => {
                let position = event.position.0;
                tracing::error!(position, %error, "this build cannot read what is told of an account");
                return;
            }
        };
        let alone = Carrier::default().evolve(&decoded);
        let (provider, key) = alone.key();
        let of = (provider.to_owned(), key.to_owned());
        let told = self
            .carriers
            .entry(of)
            .or_insert_with(|| Told { carrier: Arc::default(), position: Position::START });
        if event.position > told.position {
            told.position = event.position;
            told.carrier = Arc::new(Carrier::clone(&told.carrier).evolve(&decoded));
        }
    }
}

/// What the tables have of accounts, whose months follow each other.
fn told(mut stored: Vec<Stored<Carrier>>) -> BTreeMap<(String, String), Told> {
    stored.sort_by_key(|one| one.position);
    let mut all: BTreeMap<(String, String), Told> = BTreeMap::new();
    for Stored { state, position, .. } in stored {
        let Some(carrier) = state else { continue };
        let (provider, key) = carrier.key();
        let of = (provider.to_owned(), key.to_owned());
        let before = all.remove(&of).map(|told| Arc::unwrap_or_clone(told.carrier));
        let carrier = Arc::new(carrier.following(before.unwrap_or_default()));
        all.insert(of, Told { carrier, position });
    }
    all
}

fn by_stream<S>(stored: Vec<Stored<S>>) -> HashMap<Uuid, Folded<S>> {
    let folded = stored.into_iter().map(|one| {
        let Stored { id, tenant_id, state, position } = one;
        if state.is_none() {
            tracing::error!(stream = %id, "this build cannot read a row: nobody is let in by it");
        }
        (id, Folded { tenant_id, state: state.map(Arc::new), position })
    });
    folded.collect()
}

/// Applies an event to its stream. One that the stream has already is passed over.
fn apply<D: Decider + Clone>(streams: &mut HashMap<Uuid, Folded<D>>, event: &RecordedEvent) {
    let begins = event.version == FIRST_VERSION;
    let folded = streams.entry(event.stream_id).or_insert_with(|| Folded {
        tenant_id: TenantId(event.tenant_id),
        state: begins.then(|| Arc::new(D::default())),
        position: Position::START,
    });
    if event.position <= folded.position {
        return;
    }
    folded.position = event.position;
    let Some(state) = folded.state.take() else { return };
    match event.decode::<D::Event>() {
        Ok(decoded) => {
            let state = Arc::try_unwrap(state).unwrap_or_else(|shared| D::clone(&shared));
            folded.state = Some(Arc::new(state.evolve(&decoded)));
        }
        Err(error) => {
            let (position, kind) = (event.position.0, event.aggregate.as_str());
            tracing::error!(position, kind, %error, "this build cannot read an event: nobody is let in by its stream");
        }
    }
}
