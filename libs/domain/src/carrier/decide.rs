//! Decides what is appended about an account: each transition once, however many processes report it.

use super::command::{CarrierCommand, CarrierRejection};
use super::event::CarrierEvent;
use super::{Carrier, OPENINGS_TOLD_MAX, SHIFTS_TOLD_MAX};

impl Carrier {
    pub(super) fn decide_command(
        &self,
        command: &CarrierCommand,
    ) -> Result<Vec<CarrierEvent>, CarrierRejection> {
        Ok(match command {
            CarrierCommand::Open(opened) => {
                // Another process was faster, or has closed it since; or the stream has no room for it.
                let is_over = self.closed_at.is_some_and(|closed| opened.at <= closed);
                let has_room = self.openings_told < OPENINGS_TOLD_MAX;
                if self.open.is_none() && !is_over && has_room {
                    vec![opened.clone().into()]
                } else {
                    Vec::new()
                }
            }
            CarrierCommand::Close { closed, opened_at } => {
                let is_open = match (&self.open, self.closed_at) {
                    (Some(open), _) => open.at <= *opened_at,
                    // It was opened in the month before.
                    (None, None) => true,
                    (None, Some(_)) => false,
                };
                if is_open { vec![closed.clone().into()] } else { Vec::new() }
            }
            CarrierCommand::Shift(shifted) => {
                let known = self.shifts.iter().find(|shift| shift.is_of(shifted));
                // Another process was faster.
                let is_current = known.is_none_or(|shift| shift.is_before(shifted));
                let changes = shifted.weights.iter().any(|one| one.before != one.after);
                let has_room = self.shifts_told < SHIFTS_TOLD_MAX;
                if is_current && changes && has_room {
                    vec![shifted.clone().into()]
                } else {
                    Vec::new()
                }
            }
        })
    }
}
