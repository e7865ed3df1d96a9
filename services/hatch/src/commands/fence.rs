//! `hatch fence`: the fence around a restored, cloned or failed-over database.

use anyhow::Context;
use hatch_eventstore::{Connection, FenceState, Unanswered, fence_state, lift_fence};
use tokio_postgres::config::TargetSessionAttrs;

use super::ANSWER_MAX;
use crate::output::line;
use crate::roles::{place, postgres};
use crate::settings::Settings;

/// What the log says of the epoch that is begun here.
const REASON: &str = "the fence was lifted";

const UNKNOWN: &str = "whether an epoch was begun is not known: `hatch doctor` says whether the fence is \
    open, and who holds the log's lock";

/// Begins a new epoch, if the fence is closed, and prints what was found and done.
pub(crate) async fn lift(settings: &Settings) -> anyhow::Result<()> {
    let mut postgres = postgres(settings)?;
    postgres.target_session_attrs(TargetSessionAttrs::ReadWrite);
    let place = place(settings, &postgres);
    let pool = hatch_eventstore::pool(&postgres, 1, ANSWER_MAX);
    let mut session = pool.hold(ANSWER_MAX).await.context("failed to reach PostgreSQL")?;
    let check = async |client: &mut Connection| {
        let checked = hatch_eventstore::schema::EVENTSTORE.check(client).await;
        checked.context("run `hatch migrate`")
    };
    session.within(ANSWER_MAX, check).await?;
    let lift = async |client: &mut Connection| {
        lift_fence(client, &place, REASON).await.context("failed to begin an epoch")
    };
    let lifted = session
        .within(ANSWER_MAX, lift)
        .await
        .map_err(|error| if error.is::<Unanswered>() { error.context(UNKNOWN) } else { error })?;
    let Some(lifted) = lifted else {
        let state = async |client: &mut Connection| {
            Ok::<_, anyhow::Error>(fence_state(client, &place).await?)
        };
        let epoch = match session.within(ANSWER_MAX, state).await? {
            FenceState::Open { epoch, .. } => format!("epoch {epoch} goes on"),
            FenceState::Closed(_) | FenceState::Unknown => "it was lifted meanwhile".to_owned(),
        };
        return Ok(line(format!("the fence is open: {epoch}, nothing was changed"))?);
    };
    line(format!("{}: {}", lifted.closed.code(), lifted.closed.finding()))?;
    line(format!(
        "epoch {} of the log begins after position {}",
        lifted.epoch, lifted.base_position
    ))?;
    line("what waits is sent within seconds; nothing needs to be started again")?;
    Ok(())
}
