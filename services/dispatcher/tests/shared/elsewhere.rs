//! Messages that another account carries, and those that none does.

use std::sync::Arc;
use std::time::Duration;

use hatch_bus::testing::eventually;
use hatch_domain::ids::TenantId;
use hatch_domain::message::Message;
use hatch_domain::message::status::Status;
use hatch_domain::{Channel, ErrorClass};
use hatch_providers::Outcome;
use hatch_routing::{Route, RouteName, RouteTable, Weighted};
use uuid::Uuid;

use crate::shared::{account, config};
use crate::{Process, Provider, TENANT, World, accounts, refused, refused_for};

/// The tenant's route of these accounts alone.
fn route(accounts: &[(&str, u16)]) -> RouteTable {
    let weighted = |(name, weight): &(&str, u16)| Weighted {
        account: name.parse().expect("a name"),
        weight: *weight,
    };
    RouteTable::new(vec![Route {
        name: RouteName::new("texts"),
        tenants: Some(vec![TenantId(TENANT)]),
        channel: Some(Channel::Sms),
        to: None,
        from: None,
        priority: None,
        accounts: accounts.iter().map(weighted).collect(),
        backup: Vec::new(),
    }])
}

#[tokio::test]
async fn an_account_without_a_share_is_nobodys_other_account() {
    let world = World::new().await;
    let first = Provider::new(Some(refused_for(ErrorClass::Account)));
    let second = Provider::new(None);
    let table = route(&[("first", 100), ("second", 0)]);
    let process = world.dispatch_by(table, accounts(&first, &second), config(8, 8)).await;
    let id = world.request(TENANT).await;
    world.becomes(TENANT, id, Status::Failed).await;
    assert_eq!(world.attempted(id).await, ["first"]);
    world.stop(vec![process]).await;
}

#[tokio::test]
async fn a_message_that_waits_goes_on_as_soon_as_a_route_leads_it_elsewhere() {
    let world = World::new().await;
    let (first, second) = (Provider::new(Some(refused())), Provider::new(None));
    let mut patient = config(8, 8);
    patient.account_backoff = (Duration::from_secs(600), Duration::from_secs(600));
    let table = route(&[("first", 100)]);
    let process = world.dispatch_by(table, accounts(&first, &second), patient).await;
    let id = world.request(TENANT).await;
    let session = world.database.connect().await;
    eventually("it waits for its account", async || {
        let known = "SELECT waits_for FROM due.timers WHERE stream_id = $1";
        let row = session.query_opt(known, &[&id]).await.expect("rows")?;
        (row.get::<_, &str>(0) == "twilio/AC-first").then_some(())
    })
    .await;
    process.routes.replace(route(&[("second", 100)]));
    world.becomes(TENANT, id, Status::Sent).await;
    assert_eq!(world.attempted(id).await, ["first", "second"]);
    world.stop(vec![process]).await;
}

#[tokio::test]
async fn a_message_stands_at_once_in_the_line_of_another_account_that_is_full() {
    let world = World::new().await;
    let throttled = Outcome::Throttled {
        code: "20429".to_owned(),
        retry_after: Some(Duration::from_secs(3_600)),
        detail: "slow down".to_owned(),
    };
    let (first, second) = (Provider::new(Some(throttled)), Provider::hanging());
    // Room for one call of each.
    let process = world.dispatch(accounts(&first, &second), config(8, 1)).await;
    let holding = world.request(TENANT).await;
    eventually("the second is full", async || (second.calls() == 1).then_some(())).await;
    let id = world.request(TENANT).await;
    eventually("it stands in a line", async || {
        let loaded = world.store.load::<Message>(TENANT, id).await.ok()?;
        loaded.state.waits_in_line().is_some().then_some(())
    })
    .await;
    second.gate.add_permits(1);
    for id in [holding, id] {
        world.becomes(TENANT, id, Status::Sent).await;
        assert_eq!(world.attempted(id).await, ["first", "second"]);
    }
    world.stop(vec![process]).await;
}

/// One message that takes all the room of the first account, which hangs, and one that stands in its line.
async fn one_in_line(world: &World, first: &Arc<Provider>) -> [Uuid; 2] {
    let holding = world.request(TENANT).await;
    eventually("the first is full", async || (first.calls() == 1).then_some(())).await;
    let id = world.request(TENANT).await;
    let session = world.database.connect().await;
    eventually("it stands in a line", async || {
        let known = "SELECT waits_for FROM due.timers WHERE stream_id = $1";
        let row = session.query_opt(known, &[&id]).await.expect("rows")?;
        row.get::<_, &str>(0).starts_with("rate:twilio/AC-first").then_some(())
    })
    .await;
    [holding, id]
}

#[tokio::test]
async fn a_message_in_a_line_goes_on_as_soon_as_a_route_leads_it_elsewhere() {
    let world = World::new().await;
    let (first, second) = (Provider::hanging(), Provider::new(None));
    let table = route(&[("first", 100)]);
    // Room for one call of each.
    let process = world.dispatch_by(table, accounts(&first, &second), config(8, 1)).await;
    let [holding, id] = one_in_line(&world, &first).await;
    process.routes.replace(route(&[("second", 100)]));
    world.becomes(TENANT, id, Status::Sent).await;
    assert_eq!((world.attempted(id).await, first.calls()), (vec!["second".to_owned()], 1));
    first.gate.add_permits(1);
    world.becomes(TENANT, holding, Status::Sent).await;
    world.stop(vec![process]).await;
}

#[tokio::test]
async fn a_message_that_was_let_go_in_vain_stands_in_its_line_again_whatever_was_set_since() {
    let world = World::new().await;
    let (first, later) = (Provider::hanging(), Provider::hanging());
    let process = world.dispatch(vec![account("first", first.clone())], config(8, 1)).await;
    let [holding, next] = one_in_line(&world, &first).await;
    let id = world.request(TENANT).await;
    let session = world.database.connect().await;
    let stands = async || {
        let known = "SELECT lane = 'sms waiting' AND waits_for LIKE 'rate:%' FROM due.timers WHERE stream_id = $1";
        let row = session.query_opt(known, &[&id]).await.expect("rows");
        row.is_some_and(|row| row.get(0))
    };
    eventually("it stands in the line", async || stands().await.then_some(())).await;
    // Nobody lets it go before the process ends.
    let Process { shutdown, running, .. } = process;
    shutdown.cancel();
    first.gate.add_permits(1);
    running.await.expect("no panic");

    // Messages are valid for longer from now on, and the account is full again.
    let mut longer = config(8, 1);
    longer.waits.validity *= 2;
    let process = world.dispatch(vec![account("first", later.clone())], longer).await;
    eventually("the account is full", async || (later.calls() == 1).then_some(())).await;
    // As somebody leaves it who let it go and died.
    let let_go =
        "UPDATE due.timers SET lane = 'sms', waits_for = '', look_at = now() WHERE stream_id = $1";
    assert_eq!(session.execute(let_go, &[&id]).await.expect("let go"), 1);
    eventually("it stands in the line again", async || stands().await.then_some(())).await;
    later.gate.add_permits(1);
    for id in [holding, next, id] {
        world.becomes(TENANT, id, Status::Sent).await;
    }
    world.stop(vec![process]).await;
}

#[tokio::test]
async fn a_message_in_a_line_goes_by_another_account_when_its_own_carries_its_channel_no_more() {
    let world = World::new().await;
    let (first, second) = (Provider::hanging(), Provider::new(None));
    let process = world.dispatch(vec![account("first", first.clone())], config(8, 1)).await;
    let [_, id] = one_in_line(&world, &first).await;
    let Process { shutdown, running, .. } = process;
    shutdown.cancel();
    first.gate.add_permits(1);
    running.await.expect("no panic");

    let mut accounts = accounts(&first, &second);
    accounts[0].channels = vec![Channel::Mms];
    let process = world.dispatch(accounts, config(8, 8)).await;
    world.becomes(TENANT, id, Status::Sent).await;
    assert_eq!(world.attempted(id).await, ["second"]);
    world.stop(vec![process]).await;
}
