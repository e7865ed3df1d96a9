//! What a client is told of the errors of other parts.

use hatch_eventstore::{AppendError, ExecuteError, LoadError, LogError, log_unless_away};
use hatch_telemetry::chain::Chain;

use super::{FieldError, Problem};
use crate::admission::AdmissionRefusal;

/// Seconds that a client is asked to wait while as much waits as may at all, which nothing but sending ends.
const BACKLOG_RETRY_AFTER_SECONDS: u32 = 10;

/// The way into the log is free again within milliseconds; the header knows whole seconds.
const LOG_RETRY_AFTER_SECONDS: u32 = 1;

impl From<AdmissionRefusal> for Problem {
    fn from(refusal: AdmissionRefusal) -> Self {
        match refusal {
            AdmissionRefusal::Dispatch { retry_after_seconds } => Self::overloaded(
                "more messages of this channel and priority wait to be sent than can be soon",
                retry_after_seconds,
            ),
            AdmissionRefusal::Projections { retry_after_seconds } => Self::overloaded(
                "more messages are under way than can be finished soon",
                retry_after_seconds,
            ),
            AdmissionRefusal::Log => Self::overloaded(
                "more messages are on their way into the log than it takes soon",
                LOG_RETRY_AFTER_SECONDS,
            ),
            AdmissionRefusal::Backlog => Self::overloaded(
                "as many messages wait to be sent as may wait at all",
                BACKLOG_RETRY_AFTER_SECONDS,
            ),
            AdmissionRefusal::Lines { most } => Self::overloaded(
                &format!(
                    "{most} messages of this tenant, or more, wait for room at their accounts: as many as \
                     admission.waiting_per_tenant_max lets wait"
                ),
                BACKLOG_RETRY_AFTER_SECONDS,
            ),
        }
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Overloaded => Self::unavailable("too many writes are waiting"),
            AppendError::Unavailable => Self::unavailable(
                "the log did not answer in time; repeat with the same Idempotency-Key",
            ),
            AppendError::KeyReused => Self::key_reused(),
            AppendError::Conflict { .. } => {
                Self::unavailable("others kept changing the same thing; try again")
            }
            // An id of another tenant, or of another kind of thing, is none here.
            AppendError::ForeignTenant(_) | AppendError::ForeignKind(_) => {
                Self::not_found("resource")
            }
            AppendError::Refused(why) => Self::invalid(vec![FieldError::new("", why)]),
            other => Self::fault(&other),
        }
    }
}

impl<R: std::error::Error + 'static> From<ExecuteError<R>> for Problem {
    /// A rejection that an endpoint does not know better about is a fault: it cannot happen there.
    fn from(error: ExecuteError<R>) -> Self {
        match error {
            ExecuteError::Append(error) => error.into(),
            ExecuteError::Log(error) => error.into(),
            ExecuteError::Decode(error) => Self::of_another_build(&error),
            error @ ExecuteError::Rejected(_) => Self::fault(&error),
        }
    }
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Log(error) => error.into(),
            LoadError::Decode(error) => Self::of_another_build(&error),
        }
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        if error.is_unavailable() {
            log_unless_away!(warn, &error, error = %Chain(&error), "the log is unavailable");
            Self::unavailable("the log did not answer")
        } else {
            Self::fault(&error)
        }
    }
}
