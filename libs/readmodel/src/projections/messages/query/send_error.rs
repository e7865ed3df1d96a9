//! Why a message was not sent, as it is shown: with its class also where that is the default, which the log
//! leaves out.

use hatch_domain::{ErrorClass, SendError};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Why a message was not sent or not delivered.
#[derive(Serialize, ToSchema)]
#[schema(as = SendError)]
pub(super) struct ErrorSchema {
    /// The provider's own code, or one of ours such as `connect`.
    code: String,
    /// What kind of reason it is, whichever provider gives it.
    class: ErrorClass,
    /// A sentence for people.
    detail: String,
    /// Whether trying again cannot help.
    permanent: bool,
}

/// Writes an error with its class.
pub(super) fn with_class<S: Serializer>(
    error: &Option<SendError>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let shown = error.clone().map(|SendError { code, class, detail, permanent }| ErrorSchema {
        code,
        class,
        detail,
        permanent,
    });
    shown.serialize(serializer)
}
