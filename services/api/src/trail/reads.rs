//! What is in the audit before it is shown: bodies as they came, and exports.

use hatch_domain::Environment as _;
use hatch_domain::actor::Actor;
use hatch_readmodel::Audited;
use serde_json::Value;

use crate::auth::Caller;
use crate::client_address::ClientAddress;
use crate::problem::Problem;
use crate::queries::Queries;

/// A look at something that not everybody may see.
#[derive(Debug)]
pub(crate) struct Read {
    /// Such as `webhook_body.read`.
    pub(crate) action: &'static str,
    /// What is looked at: its kind and its id.
    pub(crate) object: Option<(&'static str, String)>,
    /// What there is to say of it; an object.
    pub(crate) details: Value,
}

impl Queries {
    /// Puts a look of `caller`, who asks from there, into the audit. Nothing is to be shown before.
    ///
    /// # Errors
    /// It could not be written: then nothing is shown.
    pub(crate) async fn audit_read(
        &self,
        caller: &Caller,
        ClientAddress(address): ClientAddress,
        Read { action, object, details }: Read,
    ) -> Result<(), Problem> {
        let clock = self.head.clock();
        let key_id = if let Actor::Key(id) = &caller.actor { Some(id.to_string()) } else { None };
        let audited = Audited {
            id: clock.new_id(),
            tenant: caller.tenant,
            at: clock.now(),
            actor: Some(caller.actor.to_string()),
            key_id,
            action,
            object,
            details,
            request_id: hatch_telemetry::request::current(),
            address: Some(address),
        };
        Ok(self.read_model.add_audited(&[audited]).await?)
    }
}
