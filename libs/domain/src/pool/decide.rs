//! What a pool decides.

use super::command::{PoolCommand, PoolRejection};
use super::event::{PoolEvent, PoolRemoved};
use super::{CHANGES_MAX, Pool};

impl Pool {
    pub(super) fn decide_command(
        &self,
        command: &PoolCommand,
    ) -> Result<Vec<PoolEvent>, PoolRejection> {
        let event = match command {
            PoolCommand::Create(_) if self.is_there() => return Err(PoolRejection::Exists),
            PoolCommand::Create(created) => {
                self.require_room()?;
                (**created).clone().into()
            }
            PoolCommand::Change { to, revision } => {
                self.require()?;
                if *revision != self.revision {
                    return Err(PoolRejection::Moved);
                }
                if self.terms == to.terms {
                    return Ok(Vec::new());
                }
                self.require_room()?;
                (**to).clone().into()
            }
            PoolCommand::Remove { at } => {
                if self.removed_at.is_some() {
                    return Ok(Vec::new());
                }
                self.require()?;
                PoolRemoved { at: *at }.into()
            }
        };
        Ok(vec![event])
    }

    const fn require_room(&self) -> Result<(), PoolRejection> {
        if self.revision < CHANGES_MAX { Ok(()) } else { Err(PoolRejection::TooOften) }
    }

    fn require(&self) -> Result<(), PoolRejection> {
        if self.is_there() { Ok(()) } else { Err(PoolRejection::Unknown) }
    }
}
