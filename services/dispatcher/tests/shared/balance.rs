//! Accounts that share messages, of which one fails.

use hatch_bus::testing::eventually;
use hatch_dispatcher::{BalanceMode, BalanceSettings, Config, balance_advice};
use hatch_domain::carrier::{Carrier, carrier_id};
use hatch_domain::ids::TenantId;
use hatch_domain::message::status::Status;
use hatch_domain::{Channel, Environment, ErrorClass};
use hatch_eventstore::SystemEnvironment;
use hatch_routing::{Route, RouteName, RouteTable, Weighted};

use crate::shared::config;
use crate::{Provider, TENANT, World, accounts, refused_for};

/// A route whose messages the two accounts share in equal parts.
fn shared_route() -> RouteTable {
    let weighted = |name: &str| Weighted { account: name.parse().expect("a name"), weight: 50 };
    RouteTable::new(vec![Route {
        name: RouteName::new("texts"),
        tenants: None,
        channel: Some(Channel::Sms),
        to: None,
        from: None,
        priority: None,
        accounts: vec![weighted("second"), weighted("first")],
        backup: Vec::new(),
    }])
}

/// Looks often, and moves once.
fn balancing(mode: BalanceMode) -> Config {
    let often = BalanceSettings {
        mode,
        every_ms: 1_000,
        messages_min: 5,
        pause_ms: 3_600_000,
        rest_after_ms: 3_600_000,
        ..BalanceSettings::default()
    };
    Config { balance: often, ..config(8, 8) }
}

#[tokio::test]
async fn an_account_that_fails_carries_less_of_what_it_shares_and_everybody_is_told() {
    let world = World::new().await;
    let first = Provider::new(Some(refused_for(ErrorClass::Account)));
    let second = Provider::new(None);
    let config = balancing(BalanceMode::On);
    let process = world.dispatch_by(shared_route(), accounts(&first, &second), config).await;
    eventually("a message is shared in another way", async || {
        let id = world.request(TENANT).await;
        world.becomes(TENANT, id, Status::Sent).await;
        let reason = world.choices(id, "reason").await.swap_remove(0);
        (reason.contains("is 40 %") || reason.contains("is 60 %")).then_some(())
    })
    .await;
    let stream = carrier_id(TenantId(TENANT), "twilio", "AC-first", SystemEnvironment.now());
    let told = world.store.load::<Carrier>(TENANT, stream.0).await.expect("it can be read");
    let parts: Vec<_> = told
        .state
        .shifts()
        .flat_map(|shift| &shift.weights)
        .map(|one| (one.account.as_str(), one.rest, one.before, one.after))
        .collect();
    assert_eq!(parts, [("first", 50, 5_000, 4_000), ("second", 50, 5_000, 6_000)]);
    world.stop(vec![process]).await;
}

#[tokio::test]
async fn what_would_be_moved_is_only_said_where_nobody_has_the_balance_on() {
    let world = World::new().await;
    let first = Provider::new(Some(refused_for(ErrorClass::Account)));
    let second = Provider::new(None);
    let config = balancing(BalanceMode::Advisory);
    let process = world.dispatch_by(shared_route(), accounts(&first, &second), config).await;
    let session = world.database.connect().await;
    let advice = eventually("it is said", async || {
        let id = world.request(TENANT).await;
        world.becomes(TENANT, id, Status::Sent).await;
        balance_advice(&session).await.expect("it can be read").pop()
    })
    .await;
    assert_eq!((advice.channel, advice.reason.as_str()), (Channel::Sms, "failing"));
    assert_eq!(advice.weights[0].after, 4_000);
    let stream = carrier_id(TenantId(TENANT), "twilio", "AC-first", SystemEnvironment.now());
    let told = world.store.load::<Carrier>(TENANT, stream.0).await.expect("it can be read");
    assert_eq!(told.state.shifts().count(), 0);
    world.stop(vec![process]).await;
}

#[tokio::test]
async fn what_is_old_is_forgotten_also_where_nobody_shares_anything() {
    let world = World::new().await;
    let session = world.database.connect().await;
    let old = "INSERT INTO dispatch.outcomes VALUES (now() - interval '1 day', 'first', 'sms', 44, 1, 0, 0)";
    session.batch_execute(old).await.expect("a row");
    let advised = "UPDATE dispatch.balance SET advised_at = now(), advice = \
        '[{\"channel\":\"sms\",\"country\":44,\"reason\":\"slow\",\"weights\":[],\"figures\":[],\
           \"at\":\"2027-01-15T08:00:00Z\"}]'";
    session.batch_execute(advised).await.expect("advice");
    assert_eq!(balance_advice(&session).await.expect("it can be read").len(), 1);
    let (first, second) = (Provider::new(None), Provider::new(None));
    let config = balancing(BalanceMode::Advisory);
    let process = world.dispatch(accounts(&first, &second), config).await;
    eventually("nothing is left", async || {
        let count = "SELECT count(*) FROM dispatch.outcomes";
        let row = session.query_one(count, &[]).await.expect("a row");
        let advice = balance_advice(&session).await.expect("it can be read");
        (row.get::<_, i64>(0) == 0 && advice.is_empty()).then_some(())
    })
    .await;
    world.stop(vec![process]).await;
}
