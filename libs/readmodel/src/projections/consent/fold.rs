//! The fold of one page of the log: rows and events in, changed rows out. No I/O and no clock.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hatch_domain::consent::Wish;
use hatch_domain::consent::event::ConsentEvent;
use hatch_eventstore::Position;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::engine::Fact;

/// A row, which is also all that the fold needs to go on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConsentRow {
    pub(super) id: Uuid,
    pub(super) tenant_id: Uuid,
    pub(super) address: String,
    pub(super) programme: String,
    pub(super) wish: Option<String>,
    pub(super) wish_since: Option<DateTime<Utc>>,
    pub(super) evidence: Option<Value>,
    pub(super) blocks: Vec<Block>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) position: Position,
}

/// A provider account that sends nothing to the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Block {
    pub(super) provider: String,
    pub(super) account: String,
    pub(super) reason: String,
    pub(super) since: DateTime<Utc>,
}

/// `rows` as `facts` leave them, with those that begin among them.
pub(super) fn fold(
    mut rows: BTreeMap<Uuid, ConsentRow>,
    facts: &[Fact<ConsentEvent>],
) -> BTreeMap<Uuid, ConsentRow> {
    for fact in facts {
        rows.entry(fact.id).or_insert_with(|| ConsentRow::begun_by(fact)).apply(fact);
    }
    rows
}

impl ConsentRow {
    fn begun_by(fact: &Fact<ConsentEvent>) -> Self {
        use ConsentEvent as E;
        let (address, programme, at) = match &fact.event {
            E::ConsentGiven(e) => (&e.address, &e.programme, e.at),
            E::ConsentWithdrawn(e) => (&e.address, &e.programme, e.at),
            E::ConsentBlocked(e) => (&e.address, &e.programme, e.at),
            E::ConsentUnblocked(e) => (&e.address, &e.programme, e.at),
            E::WordAnswered(e) => (&e.address, &e.programme, e.at),
        };
        Self {
            id: fact.id,
            tenant_id: fact.tenant_id,
            address: address.to_string(),
            programme: programme.to_string(),
            wish: None,
            wish_since: None,
            evidence: None,
            blocks: Vec::new(),
            updated_at: at,
            position: fact.position,
        }
    }

    fn apply(&mut self, fact: &Fact<ConsentEvent>) {
        use ConsentEvent as E;
        self.position = fact.position;
        self.updated_at = match &fact.event {
            E::ConsentGiven(e) => {
                self.wished(Wish::OptedIn, &e.evidence, e.at);
                e.at
            }
            E::ConsentWithdrawn(e) => {
                self.wished(Wish::OptedOut, &e.evidence, e.at);
                e.at
            }
            E::ConsentBlocked(e) => {
                let (provider, account) = (e.provider.as_str(), e.account.as_str());
                if !self.blocks.iter().any(|block| block.is_of(provider, account)) {
                    self.blocks.push(Block {
                        provider: provider.to_owned(),
                        account: account.to_owned(),
                        reason: e.reason.clone(),
                        since: e.at,
                    });
                }
                e.at
            }
            E::ConsentUnblocked(e) => {
                self.blocks.retain(|block| !block.is_of(&e.provider, &e.account));
                e.at
            }
            // It changes nothing that the row shows.
            E::WordAnswered(_) => self.updated_at,
        };
    }

    fn wished(&mut self, wish: Wish, evidence: &impl Serialize, at: DateTime<Utc>) {
        self.wish = Some(wish.as_str().to_owned());
        self.wish_since = Some(at);
        let evidence = serde_json::to_value(evidence);
        self.evidence = Some(evidence.expect("string-keyed structs always serialise"));
    }
}

impl Block {
    fn is_of(&self, provider: &str, account: &str) -> bool {
        self.provider == provider && self.account == account
    }
}
