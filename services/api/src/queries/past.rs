//! `?at=`: the answer as it was then, from the log.

use hatch_eventstore::Position;
use hatch_readmodel::{Moment, QueryError};

use super::Queries;
use crate::problem::Problem;

/// The position that `at`, a log position or an RFC 3339 time, speaks of.
///
/// # Errors
/// 400 for what is neither, or is yet to come.
pub(crate) async fn position(queries: &Queries, at: &str) -> Result<Position, Problem> {
    let moment: Moment = at.parse().map_err(QueryError::Moment)?;
    Ok(queries.read_model.position_at(&queries.log, moment).await?)
}
