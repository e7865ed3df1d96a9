//! Follows the log by position: one statement a look, and none where the head has not moved.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hatch_domain::Environment;
use hatch_eventstore::{
    Backoff, HeadWatch, LOOK_POSITIONS_MAX, Log, LogError, Mark, Position, log_unless_away,
};
use hatch_readmodel::ReadModel;

use crate::Shared;
use crate::view::{Changes, KINDS, Known};

/// Between two looks at least. With the quarter of a second within which the head is known, what is revoked is refused
/// within half a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Looks by which a directory may be behind, at most, before the tables are asked how far they are.
const LOOKS_BEHIND_MAX: i64 = 5;

/// Why the configuration cannot be read, or not be followed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The tables cannot be read.
    #[error("the configuration cannot be read")]
    Tables(#[from] hatch_readmodel::Error),
    /// The log cannot be read.
    #[error("the log cannot be followed")]
    Log(#[from] LogError),
}

/// The worker that follows the log.
pub(crate) struct Following {
    pub(crate) read_model: ReadModel,
    pub(crate) log: Log,
    pub(crate) head: HeadWatch,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) shared: Arc<Shared>,
}

/// How far it is.
#[derive(Default)]
struct Progress {
    /// None where the tables have to say where to begin.
    mark: Option<Mark>,
    /// What goes into the view when it is as far as the log. Until then a key might open in it that is revoked by now.
    aside: Option<Known>,
}

impl Following {
    /// For ever. Whatever fails is tried again, and the view stays as it is meanwhile.
    pub(crate) async fn run(&self) -> Infallible {
        let (mut at, mut backoff) = (Progress::default(), Backoff::default());
        loop {
            let Err(error) = self.follow(&mut at, &mut backoff).await;
            if matches!(&error, ReadError::Log(damage) if !damage.is_unavailable()) {
                // The log is another than it was, or lacks what has been archived: the tables say where to go on.
                at = Progress::default();
            }
            let retry_in = backoff.upcoming();
            log_unless_away!(warn, &error, error = %error, ?retry_in, "tenants and keys are not followed");
            backoff.wait().await;
        }
    }

    async fn follow(
        &self,
        at: &mut Progress,
        backoff: &mut Backoff,
    ) -> Result<Infallible, ReadError> {
        let (mut heads, mut before) = (self.head.subscribe(), Position::START);
        loop {
            // Marked as seen before the looks, so that what is appended meanwhile ends the wait.
            let head = *heads.borrow_and_update();
            if head < before {
                return Err(LogError::Regressed { seen: before, head }.into());
            }
            before = head;
            self.catch_up(head, at).await?;
            backoff.reset();
            self.environment.sleep(LOOK_INTERVAL).await;
            if heads.changed().await.is_err() {
                // The process ends.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Looks until `head` is reached, or what the log has by now where it begins anew. What was passed is in `at` also
    /// where a look fails.
    async fn catch_up(&self, head: Position, at: &mut Progress) -> Result<(), ReadError> {
        let mut mark = match at.mark {
            // The tables may be further than the head that was seen last.
            Some(mark) if head.0 - mark.position.0 <= LOOKS_BEHIND_MAX * LOOK_POSITIONS_MAX => mark,
            mark => self.load_what_is_newer(mark, at).await?,
        };
        // The head that was seen last may be older than what the view has.
        let is_old = at.aside.is_some() || head < mark.position;
        let head = if is_old { head.max(self.log.head().await?) } else { head };
        if head < mark.position && mark.event_id.is_some() {
            return Err(LogError::Regressed { seen: mark.position, head }.into());
        }
        while mark.position < head {
            let look = self.log.look(&KINDS, mark, head).await?;
            mark = look.mark;
            at.mark = Some(mark);
            match &mut at.aside {
                Some(known) => known.apply(&look.events),
                None => {
                    let changes = self.shared.view.apply(&look.events);
                    self.shared.changed(changes);
                    self.shared.reached(mark.position);
                }
            }
        }
        if let Some(known) = at.aside.take() {
            self.shared.view.replace(known);
            self.shared.changed(Changes { accounts: true, carriers: true });
            self.shared.reached(mark.position);
        }
        Ok(())
    }

    /// Where the tables are further than `mark`, begins with them: a long stretch of the log is nothing to walk. The
    /// tables may be far behind the log, and behind what the view has, so nobody sees them yet.
    async fn load_what_is_newer(
        &self,
        mark: Option<Mark>,
        at: &mut Progress,
    ) -> Result<Mark, ReadError> {
        let stored = self.read_model.configuration().await?;
        if let Some(mark) = mark.filter(|mark| stored.position <= mark.position) {
            return Ok(mark);
        }
        // One earlier, so that the event there is looked at: where the log is another one later, that is noticed by it.
        let mark = Mark::unseen(Position(stored.position.0.saturating_sub(1).max(0)));
        *at = Progress { mark: Some(mark), aside: Some(Known::of(stored)) };
        Ok(mark)
    }
}
