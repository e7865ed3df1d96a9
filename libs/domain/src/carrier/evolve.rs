//! How each event changes what the fleet knows of an account.

use super::event::CarrierEvent;
use super::{Carrier, OPENINGS_MAX, Opening, SHIFTS_MAX, Shift};
use crate::account_name::AccountName;

impl Carrier {
    pub(super) fn after(mut self, event: &CarrierEvent) -> Self {
        use CarrierEvent as E;
        match event {
            E::BreakerOpened(e) => {
                self.called(&e.account, &e.provider, &e.key);
                self.open = Some(Opening {
                    cause: e.cause.clone(),
                    detail: e.detail.clone(),
                    failures: e.failures,
                    calls: e.calls,
                    at: e.at,
                });
                self.openings_told = self.openings_told.saturating_add(1);
                self.openings.push_back(e.at);
                if self.openings.len() > OPENINGS_MAX {
                    self.openings.pop_front();
                }
            }
            E::BreakerClosed(e) => {
                self.called(&e.account, &e.provider, &e.key);
                self.open = None;
                self.closed_at = Some(e.at);
            }
            E::WeightsShifted(e) => {
                self.called(&e.account, &e.provider, &e.key);
                self.shifts_told = self.shifts_told.saturating_add(1);
                self.shifts.retain(|shift| !shift.is_of(e));
                self.shifts.push_back(Shift::of(e));
                if self.shifts.len() > SHIFTS_MAX {
                    self.shifts.pop_front();
                }
            }
        }
        self
    }

    fn called(&mut self, account: &AccountName, provider: &str, key: &str) {
        self.account = Some(account.clone());
        provider.clone_into(&mut self.provider);
        key.clone_into(&mut self.key);
    }
}
