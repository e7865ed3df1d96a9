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
    #[schema(value_type = ClassSchema)]
    class: ErrorClass,
    /// A sentence for people.
    detail: String,
    /// Whether trying again cannot help.
    permanent: bool,
}

/// What kind of reason keeps a message from its recipient: it does not want the message; it does not exist or
/// cannot take messages of this channel; what the message says or carries is not taken; the account, its
/// credentials or its sender have to be mended; it was too much at once; provider, carrier or recipient could
/// not be reached; the message's validity was over; none of these.
#[derive(ToSchema)]
#[schema(as = ErrorClass, rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's type, which knows nothing of documents")]
enum ClassSchema {
    OptedOut,
    InvalidRecipient,
    Content,
    Account,
    Rate,
    Unreachable,
    Expired,
    Other,
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
