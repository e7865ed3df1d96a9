//! One look for all who ask at a time: what anybody may ask for costs no more, however many ask.

use std::time::Instant;

use tokio::sync::Mutex;

/// Looks at something on behalf of all who ask meanwhile. Nobody is told what was so before he asked.
#[derive(Debug)]
pub struct OneLook<T> {
    /// What was found last, and when that look began. It is locked while somebody looks.
    last: Mutex<Option<(Instant, T)>>,
}

impl<T> Default for OneLook<T> {
    fn default() -> Self {
        Self { last: Mutex::new(None) }
    }
}

impl<T: Clone> OneLook<T> {
    /// What `look` finds, or what somebody else's look has found that began after this was asked for.
    pub async fn by<F: Future<Output = T>>(&self, look: impl FnOnce() -> F) -> T {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((began, found)) = &*last
            && *began > asked
        {
            return found.clone();
        }
        let began = Instant::now();
        let found = look().await;
        *last = Some((began, found.clone()));
        found
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_asks_while_somebody_looks_shares_the_next_look_with_all_others() {
        let (looks, gate, one) = (AtomicUsize::new(0), Semaphore::new(0), OneLook::default());
        let look = || async {
            let number = looks.fetch_add(1, Ordering::Relaxed) + 1;
            gate.acquire().await.expect("it stays open").forget();
            number
        };
        let others = join_all((0..10).map(|_| one.by(look)));
        let open = async { gate.add_permits(3) };
        let (first, others, ()) = tokio::join!(one.by(look), others, open);
        assert_eq!((first, others), (1, vec![2; 10]), "the first began before they asked");
        assert_eq!(one.by(look).await, 3, "what was found is nobody's later");
    }

    #[tokio::test]
    async fn who_gives_up_looking_keeps_nobody_waiting() {
        let one = OneLook::default();
        let never = one.by(std::future::pending::<u8>);
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(10), never).await;
        assert!(given_up.is_err());
        assert_eq!(one.by(|| std::future::ready(7)).await, 7);
    }
}
