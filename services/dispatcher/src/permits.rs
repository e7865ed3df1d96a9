//! Permits whose number follows how many accounts share them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

/// Accounts beyond these add no permits: what is under way in a process has an end, however many accounts there are.
const SHARES_MAX: usize = 8;

/// Permits for attempts.
pub(crate) struct Permits {
    /// The permits.
    pub(crate) all: Arc<Semaphore>,
    /// Those of one account.
    share: usize,
    /// How many there are, taken ones included.
    number: Mutex<usize>,
}

impl Permits {
    /// Permits for one account.
    pub(crate) fn new(share: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(share)), share, number: Mutex::new(share) }
    }

    /// From now on so many accounts have a share. A permit that is taken is not taken back.
    pub(crate) fn share_among(&self, accounts: usize) {
        let wanted = self.share * accounts.clamp(1, SHARES_MAX);
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted > *number {
            self.all.add_permits(wanted - *number);
            *number = wanted;
        } else {
            *number -= self.all.forget_permits(*number - wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_come_with_accounts_up_to_an_end_and_go_with_them() {
        let permits = Permits::new(4);
        let mut free = Vec::new();
        for accounts in [0, 1, 3, 100, 2, 1] {
            permits.share_among(accounts);
            free.push(permits.all.available_permits());
        }
        assert_eq!(free, [4, 4, 12, 32, 8, 4]);
        let taken = permits.all.try_acquire_many(3).expect("free");
        permits.share_among(2);
        permits.share_among(1);
        drop(taken);
        assert_eq!(permits.all.available_permits(), 4);
    }
}
