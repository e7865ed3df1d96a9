//! `hatch fence`: the fence around a restored, cloned or failed-over database.

use anyhow::Context;
use hatch_eventstore::{FenceState, fence_state, lift_fence};
use tokio_postgres::config::TargetSessionAttrs;

use crate::output::line;
use crate::roles::{place, postgres};
use crate::settings::Settings;

/// What the log says of the epoch that is begun here.
const REASON: &str = "the fence was lifted";

/// Begins a new epoch, if the fence is closed, and prints what was found and done.
pub(crate) async fn lift(settings: &Settings) -> anyhow::Result<()> {
    let mut postgres = postgres(settings)?;
    postgres.target_session_attrs(TargetSessionAttrs::ReadWrite);
    let place = place(settings, &postgres);
    let client = hatch_eventstore::connect(&postgres).await;
    let mut client = client.context("failed to reach PostgreSQL")?;
    hatch_eventstore::schema::EVENTSTORE.check(&client).await.context("run `hatch migrate`")?;
    let lifted = lift_fence(&mut client, &place, REASON).await;
    let Some(lifted) = lifted.context("failed to begin an epoch")? else {
        let epoch = match fence_state(&client, &place).await? {
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
