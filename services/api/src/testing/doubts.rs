//! Messages in doubt, for the tests of several endpoints.

use std::sync::Arc;

use chrono::TimeDelta;
use hatch_domain::Environment;
use hatch_domain::ids::TenantId;
use hatch_domain::message::command::{
    AttemptOutcome, MessageCommand, RecordOutcome, ResolveDoubt, StartAttempt,
};
use hatch_domain::message::event::Resolution;
use uuid::Uuid;

use super::Api;

/// A message of the tenant whose first attempt got no answer.
pub(crate) async fn in_doubt(api: &Api, tenant: TenantId) -> Uuid {
    let (now, id) = (api.clock.now(), api.store.environment().new_id());
    let token = api.store.environment().new_id();
    let lease_until = now + TimeDelta::seconds(60);
    let start = StartAttempt {
        provider: "nobody".to_owned(),
        account: "nobody".to_owned(),
        choice: None,
        token,
        call_before: lease_until,
        lease_until,
        at: now,
    };
    let outcome = AttemptOutcome::Unknown { detail: "no answer in time".to_owned() };
    let record = RecordOutcome { attempt: 1, token, outcome, at: now };
    for command in [
        MessageCommand::Request(Arc::new(hatch_domain::testing::request(now))),
        MessageCommand::StartAttempt(start),
        MessageCommand::RecordOutcome(record),
    ] {
        api.change_message(tenant, id, &command).await;
    }
    id
}

/// Says of a message of the default tenant what its attempt was.
pub(crate) async fn resolved(api: &Api, id: Uuid, resolution: Resolution) {
    let (reason, at) = ("asked their support".to_owned(), api.clock.now());
    let command = MessageCommand::ResolveDoubt(ResolveDoubt { resolution, reason, at });
    api.change_message(TenantId::DEFAULT, id, &command).await;
}
