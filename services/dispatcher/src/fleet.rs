//! What the processes of an installation tell each other of accounts, by the log alone: that a breaker opened, and that it
//! closed. Who sees one appends it; the directory brings it to everybody within a second, and to who begins later.

use std::time::Duration;

use hatch_domain::carrier::command::{CarrierCommand, CarrierRejection};
use hatch_domain::carrier::event::{BreakerClosed, BreakerOpened};
use hatch_domain::carrier::{Carrier, carrier_id};
use hatch_eventstore::{AppendError, Execute, ExecuteError, Metadata, log_unless_away};
use tokio::time::sleep;

use crate::Dispatcher;
use crate::account::SendingAccount;
use crate::health::Transition;

/// Between two tries to tell what could not be told.
const TELL_AGAIN: Duration = Duration::from_millis(500);

impl Dispatcher {
    /// Tells the others, and hears from them, for ever.
    pub(crate) async fn share_breakers(&self) {
        let mut changes = self.dependencies.directory.carrier_changes();
        loop {
            changes.mark_unchanged();
            self.hear();
            let is_all_told = self.tell().await;
            let again = async {
                match is_all_told {
                    true => std::future::pending::<()>().await,
                    false => sleep(TELL_AGAIN).await,
                }
            };
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        // The process ends.
                        std::future::pending::<()>().await;
                    }
                }
                () = self.dependencies.stats.accounts.news() => {}
                () = again => {}
            }
        }
    }

    /// Applies what others told of the accounts of this process.
    pub(crate) fn hear(&self) {
        let (carriers, now) = (self.carriers(), self.now());
        for account in carriers.accounts() {
            let (provider, key) = account.key();
            if let Some(told) = self.dependencies.directory.carrier(provider, key) {
                account.health.hear(&told, now, self.rules());
            }
        }
    }

    /// Tells the others what they do not know yet. Whether they know all of it now.
    async fn tell(&self) -> bool {
        let carriers = self.carriers();
        let mut is_all_told = true;
        for account in carriers.accounts() {
            let Some(news) = account.health.untold() else { continue };
            match self.append(account, &news).await {
                Ok(()) => account.health.is_told(&news),
                Err(error) => {
                    let account = account.name.as_str();
                    log_unless_away!(warn, &error, account, error = %error, "others are not told of an account");
                    is_all_told = false;
                }
            }
        }
        is_all_told
    }

    async fn append(
        &self,
        account: &SendingAccount,
        news: &Transition,
    ) -> Result<(), ExecuteError<CarrierRejection>> {
        let store = &self.dependencies.store;
        let (command, at) = (self.command(account, news), news.at());
        let (provider, key) = account.key();
        let tenant = account.tenants.home();
        let stream = carrier_id(tenant, provider, key, at);
        let metadata = Metadata {
            correlation_id: store.environment().new_id(),
            causation_id: None,
            actor: "dispatcher".to_owned(),
            traceparent: None,
            request_id: None,
        };
        let execute = Execute::<Carrier>::new(tenant.0, stream.0, &command, metadata);
        match store.execute(execute).await {
            Ok(_) => Ok(()),
            Err(error) if is_for_good(&error) => {
                let account = account.name.as_str();
                let why = &error as &dyn std::error::Error;
                tracing::warn!(
                    account,
                    why,
                    "others are not told of an account: each finds out by itself"
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn command(&self, account: &SendingAccount, news: &Transition) -> CarrierCommand {
        let (provider, key) = account.key();
        let (name, provider, key) = (account.name.clone(), provider.to_owned(), key.to_owned());
        match news.clone() {
            Transition::Opened { cause, detail, failures, calls, at } => {
                let window_s = self.config.breaker.window().as_secs().try_into();
                CarrierCommand::Open(BreakerOpened {
                    account: name,
                    provider,
                    key,
                    cause,
                    detail,
                    failures,
                    calls,
                    window_s: window_s.unwrap_or(u32::MAX),
                    at,
                })
            }
            Transition::Closed { opened_at, open_for, at } => {
                let open_for_ms = u64::try_from(open_for.as_millis()).unwrap_or(u64::MAX);
                let closed = BreakerClosed { account: name, provider, key, open_for_ms, at };
                CarrierCommand::Close { closed, opened_at }
            }
        }
    }
}

/// Whether the stream takes it as little later. Next month it is another one.
fn is_for_good(error: &ExecuteError<CarrierRejection>) -> bool {
    use AppendError as E;
    match error {
        ExecuteError::Append(error) => {
            matches!(error, E::Refused(_) | E::ForeignTenant(_) | E::ForeignKind(_))
        }
        // Damage, or an event of another build.
        ExecuteError::Log(error) => !error.is_unavailable(),
        ExecuteError::Decode(_) | ExecuteError::Rejected(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use hatch_eventstore::LogError;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_a_stream_never_takes_is_not_tried_for_ever() {
        let stream = Uuid::nil();
        for (error, expected) in [
            (ExecuteError::Append(AppendError::Unavailable), false),
            (ExecuteError::Append(AppendError::Fenced), false),
            (ExecuteError::Append(AppendError::ForeignTenant(stream)), true),
            (ExecuteError::Log(LogError::Unavailable(None)), false),
            (ExecuteError::Log(LogError::StreamTooLong(stream)), true),
        ] {
            assert_eq!(is_for_good(&error), expected, "{error:?}");
        }
    }
}
