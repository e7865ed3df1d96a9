//! What an [`Api`](super::Api) is made of: an account that sends nothing, and the roles that answer clients.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hatch_directory::Directory;
use hatch_domain::address::Address;
use hatch_domain::carrier::Shift;
use hatch_domain::mailbox::Mailbox;
use hatch_domain::traffic::Traffic;
use hatch_domain::{Channel, Environment};
use hatch_eventstore::{Log, Store, SystemEnvironment};
use hatch_providers::{
    Account, Accounts, Adapter, BoxFuture, Context, Outbound, Outcome, Routes, Tenants,
};
use hatch_seal::Keyring;
use hatch_telemetry::limit::Limits;
use tokio_util::sync::CancellationToken;

use super::{MAILBOX, PATIENCE, SENDER};
use crate::admission::Admission;
use crate::commands::{Commands, Conversations, PoolSenders};
use crate::live::Live;
use crate::people::People;
use crate::planning::Planning;
use crate::queries::{AccountFigures, Carriers, Queries, Reported};
use crate::resources::accounts::Vault;
use crate::{Bodies, Door, Drain, Ending, Entrance, Sites, TrustedProxies};

/// Accounts and their figures for queries: nobody reports any.
pub(super) fn carriers(vault: &Vault, directory: &Directory) -> Carriers {
    Carriers {
        accounts: vault.accounts.clone(),
        routes: Routes::default(),
        directory: directory.clone(),
        figures: Arc::new(NoFigures),
        is_balanced: true,
    }
}

pub(super) fn planning(
    (accounts, routes): (&Accounts, &Routes),
    directory: &Directory,
    log: &Log,
) -> Planning {
    Planning {
        accounts: accounts.clone(),
        routes: routes.clone(),
        directory: directory.clone(),
        log: log.clone(),
        is_balanced: true,
    }
}

pub(super) fn commands(
    store: Store,
    queries: &Queries,
    (planning, vault): (Planning, Vault),
    senders: PoolSenders,
) -> Commands {
    Commands {
        store,
        admission: Admission::unlimited(),
        accounts: vault.accounts.clone(),
        planning,
        vault,
        conversations: Conversations {
            read_model: queries.read_model.clone(),
            read_position: queries.read_position.clone(),
            waiting: Arc::clone(&queries.waiting),
        },
        senders,
        default_sms_sender: Address::phone(SENDER).ok(),
        default_email_sender: Address::email(MAILBOX).ok().map(Mailbox::from),
        default_subject: "(no subject)".to_owned(),
        mail_host: "127.0.0.1".to_owned(),
    }
}

/// An account by which everything can be sent, and nothing is.
pub(super) fn account() -> Account {
    Account {
        name: "nobody".parse().expect("a name"),
        provider: "nobody",
        account: "nobody".to_owned(),
        channels: Channel::ALL.into(),
        senders: Vec::new(),
        tenants: Tenants::All,
        traffic: Traffic::All,
        limits: hatch_providers::Limits::default(),
        on_doubt: None,
        adapter: Arc::new(Nobody),
        hooks: Vec::new(),
        acts_on_words: false,
        http_timeout: PATIENCE,
        default_subject: None,
        is_at_provider: false,
        reached_by: "http://localhost".parse().expect("a URL"),
        of_log: false,
    }
}

/// Sends nothing.
struct Nobody;

impl Adapter for Nobody {
    fn send<'a>(&'a self, _: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Unknown { detail: "nothing is sent here".to_owned() } })
    }
}

/// Nothing runs that reports accounts.
pub(crate) struct NoFigures;

impl AccountFigures for NoFigures {
    fn reported(&self) -> BoxFuture<'_, Vec<Reported>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn used_today(&self, _: Vec<String>) -> BoxFuture<'_, Vec<(String, i64)>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn advised(&self) -> BoxFuture<'_, Vec<Shift>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

/// One with a master key that everybody knows.
pub(super) fn vault() -> Vault {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse().expect("a master key");
    Vault {
        keyring: Keyring::new(Some(key), None),
        accounts: Accounts::new(vec![account()]),
        context: Context {
            public_url: "https://hatch.example.com".parse().expect("a URL"),
            clock: Arc::new(SystemEnvironment),
        },
        http_timeout_max: Duration::from_secs(20),
    }
}

pub(super) fn app(
    (commands, queries, live, people): (Commands, Queries, Live, People),
    door: Door,
    limits: &Limits,
    shutdown: CancellationToken,
) -> Router {
    let routes = crate::health::router(Vec::new(), Box::new(Vec::new))
        .merge(crate::compat::commands(commands.clone()))
        .merge(crate::commands::router(commands))
        .merge(crate::compat::queries(queries.clone()))
        .merge(crate::queries::router(queries))
        .merge(crate::live::router(live))
        .merge(crate::people::router(people))
        .merge(crate::openapi::router());
    let entrance = Entrance {
        new_id: || SystemEnvironment.new_id(),
        stats: Arc::default(),
        trusted_proxies: TrustedProxies::default(),
        sites: Sites::new("http://localhost", None, &[]),
        bodies: Bodies::new(limits),
        door,
        limits: crate::limits::Limits::default(),
        trail: crate::Trail::default(),
    };
    let ending = Ending { notice: Duration::ZERO, grace: Duration::ZERO };
    crate::app(routes, entrance, &Drain::new(ending, shutdown))
}
