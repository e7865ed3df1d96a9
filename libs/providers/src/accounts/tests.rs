//! By which account a message goes, and whose webhooks come to a path.

use std::time::Duration;

use hatch_domain::address::Address;
use hatch_domain::traffic::Traffic;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::account::{Hook, Limits};
use crate::{Adapter, BoxFuture, Outbound, Outcome};

/// Sends nothing.
struct Nobody;

impl Adapter for Nobody {
    fn send<'a>(&'a self, _: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Unknown { detail: String::new() } })
    }
}

fn account(provider: &'static str, name: &str) -> Account {
    Account {
        name: name.parse().expect("a name"),
        provider,
        account: name.to_owned(),
        channels: vec![Channel::Sms],
        senders: Vec::new(),
        tenants: Tenants::All,
        traffic: Traffic::Live,
        limits: Limits::default(),
        on_doubt: None,
        adapter: Arc::new(Nobody),
        hooks: Vec::new(),
        acts_on_words: false,
        http_timeout: Duration::from_secs(1),
        default_subject: None,
        is_at_provider: false,
        reached_by: "https://hatch.example.com".parse().expect("a URL"),
        of_log: false,
    }
}

fn tenant(n: u8) -> TenantId {
    TenantId(Uuid::from_u128(n.into()))
}

fn phone(n: u8) -> Address {
    Address::phone(&format!("+1201666123{n}")).expect("a number")
}

/// Traffic, tenants, senders and channels of an account.
type Drawn = (Traffic, Option<Vec<u8>>, Vec<u8>, Vec<Channel>);

/// What an account may be, in small numbers, so that accounts and messages meet.
fn any_account() -> impl Strategy<Value = Drawn> {
    let traffic = prop::sample::select(vec![Traffic::Live, Traffic::Test, Traffic::All]);
    let tenants = prop::option::of(prop::collection::vec(0_u8..4, 1..3));
    let senders = prop::collection::vec(0_u8..4, 0..3);
    let channels = prop::sample::subsequence(Channel::ALL.to_vec(), 1..=4);
    (traffic, tenants, senders, channels)
}

proptest! {
    /// Whatever accounts there are: a test goes by none that is live, a message that is meant by none that only tests
    /// go by, and no message by another tenant's; and where none is chosen, none would have taken it.
    #[test]
    fn a_message_goes_by_an_account_that_may_take_it_or_by_none(
        accounts in prop::collection::vec(any_account(), 0..6),
        of in 0_u8..4,
        from in 0_u8..4,
        channel in prop::sample::select(Channel::ALL.to_vec()),
        is_test in any::<bool>(),
    ) {
        let make = |(n, (traffic, tenants, senders, channels)): (usize, Drawn)| Account {
            traffic,
            channels,
            tenants: tenants.map_or(Tenants::All, |all| {
                Tenants::These(all.into_iter().map(tenant).collect())
            }),
            senders: senders.into_iter().map(phone).collect(),
            ..account("twilio", &format!("a-{n}"))
        };
        let accounts = Accounts::new(accounts.into_iter().enumerate().map(make).collect());
        let sender = phone(from);
        let wanted = Wanted { tenant: tenant(of), channel, from: &sender, is_test };
        match accounts.choose(&wanted) {
            Some(account) => {
                prop_assert!(account.traffic != Traffic::Live || !is_test);
                prop_assert!(account.traffic != Traffic::Test || is_test);
                prop_assert!(account.tenants.has(tenant(of)));
                prop_assert!(account.channels.contains(&channel));
                prop_assert!(account.senders.is_empty() || account.senders.contains(&sender));
                prop_assert!(accounts.carried(tenant(of), is_test).contains(&channel));
            }
            None => prop_assert!(accounts.current().iter().all(|account| !account.takes(&wanted))),
        }
    }
}

#[test]
fn the_first_by_name_that_takes_a_message_is_its_account() {
    let accounts = Accounts::new(vec![
        account("twilio", "c"),
        Account { senders: vec![phone(1)], ..account("twilio", "a") },
        Account { tenants: Tenants::These(vec![tenant(2)]), ..account("vonage", "b") },
    ]);
    for (of, from, name) in [(1, 1, "a"), (1, 2, "c"), (2, 2, "b")] {
        let sender = phone(from);
        let (tenant, channel) = (tenant(of), Channel::Sms);
        let wanted = Wanted { tenant, channel, from: &sender, is_test: false };
        let chosen = accounts.choose(&wanted).expect("an account");
        assert_eq!(chosen.name.as_str(), name);
    }
}

#[test]
fn the_short_path_is_of_the_account_of_that_name_or_of_the_only_one() {
    let name = |accounts: &Accounts, named: Option<&str>| {
        accounts.posted_to("twilio", named).map(|account| account.name.to_string())
    };
    let accounts = Accounts::new(vec![account("twilio", "main"), account("sendgrid", "mail")]);
    assert_eq!(name(&accounts, None).as_deref(), Some("main"));
    assert_eq!(name(&accounts, Some("main")).as_deref(), Some("main"));
    assert_eq!(name(&accounts, Some("mail")), None, "another provider's");
    accounts.replace(vec![account("twilio", "main"), account("twilio", "other")]);
    assert_eq!(name(&accounts, None), None, "there are two");
    accounts.replace(vec![account("twilio", "main"), account("twilio", "twilio")]);
    assert_eq!(name(&accounts, None).as_deref(), Some("twilio"));
    assert_eq!(name(&accounts, Some("twilio")).as_deref(), Some("twilio"));
}

#[test]
fn the_short_path_is_the_operators_whatever_a_tenant_makes() {
    let short = |accounts: Vec<Account>| {
        let posted_to = Accounts::new(accounts).posted_to("twilio", None);
        posted_to.map(|account| account.name.to_string())
    };
    let of_log = |name| Account {
        of_log: true,
        tenants: Tenants::These(vec![tenant(2)]),
        hooks: vec![Hook { suffix: None, webhook: Arc::new(Mute) }],
        ..account("twilio", name)
    };
    let main = || account("twilio", "main");
    for theirs in ["twilio", "a-second"] {
        let accounts = vec![main(), of_log(theirs)];
        assert_eq!(short(accounts).as_deref(), Some("main"), "beside {theirs}");
        assert_eq!(short(vec![of_log(theirs)]), None, "{theirs} alone");
    }
    let accounts = Accounts::new(vec![main(), of_log("a-second")]);
    assert!(accounts.posted_to("twilio", Some("a-second")).is_some(), "its own path it has");
    assert!(accounts.paths("twilio").is_empty(), "and nobody is told of it");
}

#[test]
fn the_paths_name_the_account_unless_it_is_called_as_its_provider() {
    let hooks = |name| Account {
        hooks: [None, Some("inbound")]
            .map(|suffix| Hook { suffix, webhook: Arc::new(Mute) })
            .into(),
        ..account("sendgrid", name)
    };
    let accounts = Accounts::new(vec![hooks("sendgrid"), hooks("second")]);
    assert_eq!(
        accounts.paths("sendgrid"),
        [
            "/api/v1/webhooks/sendgrid/second",
            "/api/v1/webhooks/sendgrid/second/inbound",
            "/api/v1/webhooks/sendgrid",
            "/api/v1/webhooks/sendgrid/inbound",
        ]
    );
    assert!(accounts.paths("twilio").is_empty());
}

/// Believes nothing.
struct Mute;

impl crate::Webhook for Mute {
    fn verify<'r>(
        &self,
        _: &'r crate::RawRequest,
    ) -> Result<crate::Verified<'r>, crate::WebhookRefusal> {
        Err(crate::WebhookRefusal::MissingSignature)
    }

    fn may_be_signed(&self, _: &http::HeaderMap) -> bool {
        false
    }

    fn parse(
        &self,
        _: &crate::Verified<'_>,
    ) -> Result<Vec<crate::Observation>, crate::NotUnderstood> {
        Ok(Vec::new())
    }

    fn success(&self) -> http::Response<bytes::Bytes> {
        http::Response::new(bytes::Bytes::new())
    }
}

#[test]
fn whoever_waits_hears_of_another_list() {
    let accounts = Accounts::default();
    let changes = accounts.clone().changes();
    assert!(!changes.has_changed().expect("the handle is there"));
    accounts.replace(vec![account("twilio", "main")]);
    assert!(changes.has_changed().expect("the handle is there"));
    assert_eq!(accounts.current().len(), 1);
}
