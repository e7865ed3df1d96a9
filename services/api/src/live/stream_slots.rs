//! The limit of the clients that follow the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hatch_telemetry::limit::{Limit, Limits, Reached, Share};

use crate::client_address::ClientAddress;
use crate::problem::Problem;

/// Of all streams, the part that one client may have.
const CLIENT_SHARE: u64 = 4;

/// The places for streams of a process, of which each client may have a part; cheap to clone.
#[derive(Debug, Clone)]
pub struct StreamSlots {
    all: Arc<Limit>,
    each_client: Arc<Limit>,
    clients: Arc<Mutex<HashMap<IpAddr, u64>>>,
}

impl StreamSlots {
    /// `max` places, with the limits of a process.
    #[must_use]
    pub fn new(limits: &Limits, max: u64) -> Self {
        Self {
            all: limits.limit("live_streams", max),
            each_client: limits.limit("live_streams_per_client", max.div_ceil(CLIENT_SHARE)),
            clients: Arc::default(),
        }
    }

    /// A place for `client`, until it is dropped.
    ///
    /// # Errors
    /// 429 where the client has its part, 503 where there is none for anybody.
    pub(super) fn take(&self, client: ClientAddress) -> Result<StreamSlot, Problem> {
        let client = client.counted();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let has = clients.get(&client).copied().unwrap_or_default();
        if has >= self.each_client.max() {
            self.each_client.refuse();
            let detail =
                format!("as many streams of your address are open as may be, which is {has}");
            return Err(Problem::too_many(detail));
        }
        let share = self.all.take(1).map_err(|Reached| {
            Problem::unavailable("too many streams are open: try again in a second")
        })?;
        clients.insert(client, has + 1);
        self.each_client.set_used(has + 1);
        drop(clients);
        Ok(StreamSlot { slots: self.clone(), client, _share: share })
    }
}

/// A place of a client.
#[derive(Debug)]
pub(super) struct StreamSlot {
    slots: StreamSlots,
    client: IpAddr,
    _share: Share,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut clients = self.slots.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let left = clients.get(&self.client).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            clients.remove(&self.client);
        } else {
            clients.insert(self.client, left);
        }
        self.slots.each_client.set_used(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_places_to_the_others() {
        let limits = Limits::default();
        let slots = StreamSlots::new(&limits, 8);
        let client = |last: u8| ClientAddress(IpAddr::from([192, 0, 2, last]));
        let status = |problem: Problem| problem.render(None).status().as_u16();
        let mine: Vec<_> = (0..2).map(|_| slots.take(client(1)).expect("a place")).collect();
        assert_eq!(slots.take(client(1)).map_err(status).err(), Some(429));
        let _others: Vec<_> =
            (2..5).flat_map(|n| [n, n]).map(|n| slots.take(client(n)).expect("a place")).collect();
        assert_eq!(slots.take(client(9)).map_err(status).err(), Some(503));
        drop(mine);
        assert_eq!(limits.limit("live_streams", 0).used(), 6);
        assert!(slots.take(client(1)).is_ok() && slots.clients.lock().expect("sound").len() == 3);
    }
}
