//! Settings that are read again while a process runs: what they change at once, and what has to wait for the next start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hatch_eventstore::Position;
use tokio::sync::watch;

use crate::roles::{self, Process};
use crate::settings::Settings;
use crate::{limits, logging};

/// Sections, and single keys, that take effect when they are read again. So do those of providers.
const AT_ONCE: [&str; 6] = ["accounts", "routes", "pools", "rate_limit", "jwt", "log.filter"];

/// Keys in these that do not.
const LATER: [&str; 2] = ["rate_limit.enabled", "rate_limit.window_s"];

/// How a key ends that is recorded in messages, and is read at the start.
const SUBJECT: &str = ".default_subject";

/// The settings as they were read last; cheap to clone.
#[derive(Clone)]
pub struct Reload(watch::Receiver<Arc<Settings>>);

/// Where settings are handed in that were read again.
pub type Reloader = watch::Sender<Arc<Settings>>;

impl Reload {
    /// The settings as they are now, and where others are handed in.
    #[must_use]
    pub fn of(settings: Settings) -> (Reloader, Self) {
        let (sender, receiver) = watch::channel(Arc::new(settings));
        (sender, Self(receiver))
    }

    /// Settings that stay as they are.
    pub(crate) fn never(settings: &Settings) -> Self {
        Self::of(settings.clone()).1
    }

    /// The settings as they were read last.
    #[must_use]
    pub fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits until they were read again, and says how they are now; for ever, where nobody reads them.
    pub async fn changed(&mut self) -> Arc<Settings> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Arc::clone(&self.0.borrow_and_update())
    }
}

/// Reads the settings again by `load`. What keeps a process from starting leaves them as they are.
pub(crate) fn read_again(to: &Reloader, load: impl Fn() -> anyhow::Result<Settings>) {
    let read = load().and_then(|settings| roles::check(&settings).map(|()| settings));
    match read {
        Ok(settings) => {
            let later = waits_for_start(&to.borrow().set_keys, &settings.set_keys);
            tracing::info!("the settings were read again");
            if !later.is_empty() {
                let keys = later.join(", ");
                tracing::warn!(
                    keys,
                    "these settings have changed, and take effect at the next start"
                );
            }
            to.send_replace(Arc::new(settings));
        }
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(
                error,
                "the settings were read again and are wrong: they stay as they were"
            );
        }
    }
}

/// The keys that differ, of those that take effect at the next start only.
fn waits_for_start(old: &BTreeMap<String, u64>, new: &BTreeMap<String, u64>) -> Vec<String> {
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let differs = |key: &&String| old.get(*key) != new.get(*key);
    keys.into_iter().filter(differs).filter(|key| !is_at_once(key)).cloned().collect()
}

fn is_at_once(key: &str) -> bool {
    let is_in = |section: &&str| {
        key.strip_prefix(*section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let section = key.split('.').next().unwrap_or_default();
    let is_at_once = AT_ONCE.iter().any(is_in) || hatch_providers::provider(section).is_some();
    is_at_once && !LATER.contains(&key) && !key.ends_with(SUBJECT)
}

/// How long the tenants and keys may take to be read, which is when a process starts, before nothing is said of limits.
const KNOWN_MAX: Duration = Duration::from_secs(10);

/// Has the process work by the settings as they are read again, until it ends.
pub(crate) async fn follow(process: Arc<Process>) {
    let (mut reload, shutdown) = (process.reload.clone(), process.workers.clone());
    let following = async {
        tell_limits_of_nobody(&process, &process.settings).await;
        loop {
            let settings = reload.changed().await;
            apply(&process, &settings);
            tell_limits_of_nobody(&process, &settings).await;
        }
    };
    let _: Option<()> = shutdown.run_until_cancelled(following).await;
}

/// Says which limits are of nobody. `hatch doctor` does so, too.
async fn tell_limits_of_nobody(process: &Process, settings: &Settings) {
    let is_limited = settings.rate_limit.enabled == Some(true);
    if !is_limited || !process.directory.wait_for(Position::START, KNOWN_MAX).await {
        return;
    }
    let keys = limits::of_nobody(&settings.rate_limit, &process.directory);
    if !keys.is_empty() {
        let keys = keys.join(", ");
        tracing::warn!(
            keys,
            "these are limits of a route, a tenant or a key that there is not: they limit nothing"
        );
    }
}

/// The accounts, routes and pools of the files are joined with those of the log elsewhere (`roles/joining.rs`), by the
/// same settings.
fn apply(process: &Process, settings: &Settings) {
    match settings.rate_limit.rules() {
        Ok(rules) => {
            process.rate_limits.replace(rules);
        }
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "the limits of requests stay as they were");
        }
    }
    match settings.issuers() {
        Ok(issuers) => process.tokens.replace(issuers),
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "the issuers of tokens stay as they were");
        }
    }
    if let Err(error) = logging::filter_again(settings.log.filter.as_deref()) {
        let error = format!("{error:#}");
        tracing::error!(error, "what is logged stays as it was");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_wait_for_the_next_start_are_named() {
        let set = |keys: &[(&str, u64)]| -> BTreeMap<String, u64> {
            keys.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
        };
        let old = set(&[
            ("listen", 1),
            ("accounts.a.auth_token", 1),
            ("routes", 1),
            ("pools", 1),
            ("rate_limit.requests", 1),
            ("rate_limit.window_s", 1),
            ("log.filter", 1),
            ("log.format", 1),
            ("deployment", 1),
        ]);
        let new = set(&[
            ("listen", 2),
            ("accounts.b.auth_token", 1),
            ("routes", 2),
            ("pools", 2),
            ("rate_limit.requests", 2),
            ("rate_limit.window_s", 2),
            ("log.filter", 2),
            ("log.format", 1),
            ("sendgrid.default_subject", 1),
        ]);
        let expected = ["deployment", "listen", "rate_limit.window_s", "sendgrid.default_subject"];
        assert_eq!(waits_for_start(&old, &new), expected);
        assert!(waits_for_start(&new, &new).is_empty());
    }

    #[test]
    fn settings_that_are_wrong_leave_those_that_there_were() {
        let (to, reload) = Reload::of(Settings::default());
        read_again(&to, || anyhow::bail!("configuration: listen: no address"));
        assert!(!reload.0.has_changed().expect("the sender is there"));
        let wrong = || Ok(Settings { database_url: None, ..Settings::default() });
        read_again(&to, wrong);
        assert!(!reload.0.has_changed().expect("the sender is there"), "no database is set");
    }
}
