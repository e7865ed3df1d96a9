//! What the tests of the dispatcher have in common.

use std::sync::Arc;
use std::time::Duration;

use hatch_dispatcher::{BalanceSettings, BreakerRules, Config, RetryPolicy, Waits};
use hatch_domain::Channel;
use hatch_domain::traffic::Traffic;
use hatch_eventstore::testing::Template;
use hatch_providers::{Account, Adapter, Limits, Tenants};

/// A database with the tables of a dispatcher, and of the directory that it asks.
pub(crate) const TEMPLATE: Template = Template {
    name: "dispatch_fleet",
    schemas: || {
        let read = hatch_readmodel::schemas(hatch_readmodel::PROJECTIONS).into_iter();
        let own = [hatch_directory::SCHEMA, hatch_due::SCHEMA, hatch_dispatcher::SCHEMA];
        read.chain(own).collect()
    },
    sql: "",
};

/// So many attempts at a time. A claim is given up only after 30 seconds, far beyond what a test waits.
pub(crate) fn config(concurrency_max: usize, account_concurrency_max: usize) -> Config {
    Config {
        concurrency_max,
        account_concurrency_max,
        lease: Duration::from_secs(46),
        http_timeout: Duration::from_secs(15),
        retry: RetryPolicy::default(),
        account_backoff: (Duration::from_millis(100), Duration::from_secs(1)),
        breaker: BreakerRules { open_ms: 200, ..BreakerRules::default() },
        balance: BalanceSettings::default(),
        timers_lag: Duration::from_millis(50),
        attempts_kept: Duration::from_secs(86_400),
        waits: Waits {
            delivery_grace: Duration::ZERO,
            validity: Duration::from_secs(3_600),
            look_ups: [1, 2].map(Duration::from_secs),
            conclusive_after: Duration::ZERO,
            call: Duration::from_secs(15),
            receipt: Duration::from_secs(60),
        },
    }
}

/// An account that carries text messages of every tenant, without limits.
pub(crate) fn account(name: &str, adapter: Arc<dyn Adapter>) -> Account {
    Account {
        name: name.parse().expect("a name"),
        provider: "twilio",
        account: format!("AC-{name}"),
        channels: vec![Channel::Sms],
        senders: Vec::new(),
        tenants: Tenants::All,
        traffic: Traffic::Live,
        limits: Limits::default(),
        on_doubt: None,
        adapter,
        hooks: Vec::new(),
        acts_on_words: false,
        http_timeout: Duration::from_secs(15),
        default_subject: None,
        is_at_provider: false,
        reached_by: "http://127.0.0.1".parse().expect("a URL"),
        of_log: false,
    }
}
