//! A person ends a doubt that nothing else has ended.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::{MessageRejection, ResolveDoubt};
use super::decide::not_sent;
use super::event::{MessageEvent, SendFailed};
use super::state::Message;
use crate::{ErrorClass, SendError};

/// The code of the error by which a policy ends a doubt.
pub const BY_POLICY: &str = "in_doubt";

const RESEND: &str = "resolved_resend";

impl SendFailed {
    /// Whether the attempt may have sent the message all the same: a policy or a person ended its doubt.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.error.code.as_str(), BY_POLICY | RESEND)
    }
}

/// What a person says that an attempt in doubt was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// The provider has the message.
    Sent,
    /// It has not, and nothing more is to be done.
    NotSent,
    /// Whatever it was, the message is to be sent again.
    Resend,
}

impl Resolution {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Sent, Self::NotSent, Self::Resend];

    /// Its name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::NotSent => "not_sent",
            Self::Resend => "resend",
        }
    }

    /// The code of the error that the message has by it; none where it is no error.
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Sent => None,
            Self::NotSent => Some("resolved_not_sent"),
            Self::Resend => Some(RESEND),
        }
    }
}

/// A person said what an attempt in doubt was. What follows from it, further events say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DoubtResolvedData)]
pub struct DoubtResolved {
    /// The attempt in doubt.
    pub attempt: u32,
    /// What it was.
    #[serde(rename = "as")]
    pub resolution: Resolution,
    /// How the person knows.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Message {
    /// What a person says counts while there is a doubt: a receipt or a look-up that was faster has ended it.
    pub(super) fn resolve_doubt(
        &self,
        resolve: &ResolveDoubt,
    ) -> Result<Vec<MessageEvent>, MessageRejection> {
        self.outbound()?;
        let Some(doubt) = self.doubt() else {
            return Err(MessageRejection::NotInDoubt(self.status()));
        };
        let ResolveDoubt { resolution, reason, at } = resolve.clone();
        let attempt = doubt.attempt;
        let resolved = DoubtResolved { attempt, resolution, reason: reason.clone(), at };
        let mut events = vec![resolved.into()];
        if let Some(code) = resolution.code() {
            let (code, class) = (code.to_owned(), ErrorClass::Other);
            let error = SendError { code, class, detail: reason, permanent: false };
            let retry_at = (resolution == Resolution::Resend).then_some(at);
            events.extend(not_sent(attempt, &error, retry_at, at));
        }
        Ok(events)
    }
}
