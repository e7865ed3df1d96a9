//! Follows the log by position: one statement a look, and none where the head has not moved.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hatch_domain::Environment;
use hatch_eventstore::{
    Backoff, HeadWatch, LOOK_POSITIONS_MAX, Log, LogError, Mark, Position, log_unless_away,
};
use hatch_readmodel::{ReadModel, StoredConfiguration};

use crate::Shared;
use crate::view::KINDS;

/// Between two looks at least. With the quarter of a second within which the head is known, what is revoked is refused
/// within half a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Looks by which a directory may be behind, at most, before the tables are asked how far they are.
const LOOKS_BEHIND_MAX: i64 = 5;

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
enum Error {
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

impl Following {
    /// For ever. Whatever fails is tried again, and the view stays as it is meanwhile.
    pub(crate) async fn run(&self) -> Infallible {
        let (mut at, mut backoff) = (None, Backoff::default());
        loop {
            let Err(error) = self.follow(&mut at, &mut backoff).await;
            if matches!(&error, Error::Log(damage) if !damage.is_unavailable()) {
                // The log is another than it was, or lacks what has been archived: the tables say where to go on.
                at = None;
            }
            let retry_in = backoff.upcoming();
            log_unless_away!(warn, &error, error = %error, ?retry_in, "tenants and keys are not followed");
            backoff.wait().await;
        }
    }

    async fn follow(
        &self,
        at: &mut Option<Mark>,
        backoff: &mut Backoff,
    ) -> Result<Infallible, Error> {
        let (mut heads, mut before) = (self.head.subscribe(), Position::START);
        loop {
            let mark = match *at {
                Some(mark) => mark,
                None => self.load().await?,
            };
            *at = Some(mark);
            // Marked as seen before the looks, so that what is appended meanwhile ends the wait.
            let head = *heads.borrow_and_update();
            if head < before {
                return Err(LogError::Regressed { seen: before, head }.into());
            }
            before = head;
            let mark = self.catch_up(mark, head, at).await?;
            *at = Some(mark);
            backoff.reset();
            self.environment.sleep(LOOK_INTERVAL).await;
            if heads.changed().await.is_err() {
                // The process ends.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Begins with the tables.
    async fn load(&self) -> Result<Mark, Error> {
        let stored = self.read_model.configuration().await?;
        Ok(self.begin_with(stored))
    }

    fn begin_with(&self, stored: StoredConfiguration) -> Mark {
        let position = stored.position;
        self.shared.view.replace(stored);
        self.shared.reached(position);
        Mark::unseen(position)
    }

    /// Looks until `head` is reached. What was passed is in `at` also where a look fails.
    async fn catch_up(
        &self,
        mut mark: Mark,
        head: Position,
        at: &mut Option<Mark>,
    ) -> Result<Mark, Error> {
        // The tables may be further than the head that was seen last.
        if head.0 - mark.position.0 > LOOKS_BEHIND_MAX * LOOK_POSITIONS_MAX {
            mark = self.load_what_is_newer(mark).await?;
        }
        while mark.position < head {
            let look = self.log.look(&KINDS, mark, head).await?;
            self.shared.view.apply(&look.events);
            mark = look.mark;
            *at = Some(mark);
            self.shared.reached(mark.position);
        }
        Ok(mark)
    }

    /// Where the tables are further than the view, what they have: a long stretch of the log is nothing to walk.
    async fn load_what_is_newer(&self, mark: Mark) -> Result<Mark, Error> {
        let stored = self.read_model.configuration().await?;
        if stored.position <= mark.position {
            return Ok(mark);
        }
        Ok(self.begin_with(stored))
    }
}
