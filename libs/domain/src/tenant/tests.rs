//! What becomes of a tenant.

use proptest::prelude::*;

use super::command::{TenantCommand as Command, TenantRejection as Rejection};
use super::event::{
    TeamRecipientAdded, TeamRecipientRemoved, TenantCreated, TenantRenamed, TenantResumed,
    TenantSuspended,
};
use super::*;
use crate::tests::examples_are_the_golden_events;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn create(name: &str) -> Command {
    Command::Create { name: name.to_owned(), at: at(0) }
}

fn ann() -> Address {
    Address::email("Ann@example.com").expect("a mailbox")
}

fn add(address: Address) -> Command {
    Command::AddTeamRecipient { address, at: at(5) }
}

fn remove(address: Address) -> Command {
    Command::RemoveTeamRecipient { address, at: at(6) }
}

/// The tenant after these commands, of which each is taken.
fn after(commands: &[Command]) -> Tenant {
    commands.iter().fold(Tenant::default(), |tenant, command| {
        let events = tenant.decide(command).expect("it is taken");
        events.iter().fold(tenant, Tenant::evolve)
    })
}

#[test]
fn golden_events_are_read_and_written_alike() {
    examples_are_the_golden_events::<Tenant>(&[
        TenantCreated { name: "Acme".to_owned(), at: at(1) }.into(),
        TenantRenamed { name: "Acme Ltd".to_owned(), at: at(2) }.into(),
        TenantSuspended { reason: Some("unpaid".to_owned()), at: at(3) }.into(),
        TenantResumed { at: at(4) }.into(),
        TeamRecipientAdded { address: ann(), at: at(5) }.into(),
        TeamRecipientRemoved { address: ann(), at: at(6) }.into(),
    ]);
}

#[test]
fn a_tenant_is_made_once_and_nothing_is_asked_of_one_before() {
    assert_eq!(after(&[create("a")]).decide(&create("b")), Err(Rejection::Exists));
    for command in [
        Command::Rename { name: "b".to_owned(), at: at(1) },
        Command::Suspend { reason: None, at: at(1) },
        Command::Resume { at: at(1) },
        add(ann()),
        remove(ann()),
    ] {
        assert_eq!(Tenant::default().decide(&command), Err(Rejection::Unknown), "{command:?}");
    }
}

#[test]
fn a_tenant_is_suspended_until_it_is_resumed() {
    let suspend = Command::Suspend { reason: Some("unpaid".to_owned()), at: at(1) };
    let suspended = after(&[create("a"), suspend.clone()]);
    assert_eq!(
        (suspended.suspended_at(), suspended.suspended_for()),
        (Some(at(1)), Some("unpaid"))
    );
    assert_eq!(suspended.decide(&suspend), Ok(Vec::new()), "it is so already");
    assert_eq!(suspended.decide(&Command::Suspend { reason: None, at: at(2) }), Ok(Vec::new()));
    let other = Command::Suspend { reason: Some("fraud".to_owned()), at: at(2) };
    let other = after(&[create("a"), suspend.clone(), other]);
    assert_eq!((other.suspended_at(), other.suspended_for()), (Some(at(1)), Some("fraud")));
    let resumed = after(&[create("a"), suspend, Command::Resume { at: at(2) }]);
    assert!(!resumed.is_suspended() && resumed.suspended_for().is_none());
    assert_eq!(resumed.decide(&Command::Resume { at: at(3) }), Ok(Vec::new()));
}

#[test]
fn a_name_is_the_last_that_was_given() {
    let rename = Command::Rename { name: "b".to_owned(), at: at(1) };
    let renamed = after(&[create("a"), rename.clone()]);
    assert_eq!(renamed.name(), Some("b"));
    assert_eq!(renamed.decide(&rename), Ok(Vec::new()));
}

#[test]
fn an_address_is_on_the_team_list_until_it_is_taken_from_it_however_it_is_written() {
    let other_case = || Address::email("Ann@EXAMPLE.com").expect("a mailbox");
    let bob = Address::phone("+18045551234").expect("a number");
    let tenant = after(&[create("a"), add(ann()), add(bob.clone())]);
    assert!(tenant.is_of_team(&other_case()) && tenant.is_of_team(&bob));
    assert_eq!(tenant.team().len(), 2);
    assert!(tenant.team().any(|one| one.address == ann() && one.added_at == at(5)));
    assert_eq!(tenant.decide(&add(other_case())), Ok(Vec::new()), "it is there already");
    let less = after(&[create("a"), add(ann()), add(bob.clone()), remove(other_case())]);
    assert!(!less.is_of_team(&ann()) && less.is_of_team(&bob));
    assert_eq!(less.decide(&remove(ann())), Ok(Vec::new()), "it is gone already");
    let kept = serde_json::to_string(&tenant).expect("JSON");
    assert_eq!(serde_json::from_str::<Tenant>(&kept).expect("a tenant"), tenant);
    let before = serde_json::to_string(&after(&[create("a")])).expect("JSON");
    assert!(!before.contains("team"), "as builds before wrote it: {before}");
}

#[test]
fn a_team_list_ends_somewhere() {
    let number = |n: usize| Address::phone(&format!("+1804555{n:04}")).expect("a number");
    let many = (0..TEAM_RECIPIENTS_MAX).map(|n| add(number(n)));
    let full = after(&std::iter::once(create("a")).chain(many).collect::<Vec<_>>());
    assert_eq!(full.decide(&add(ann())), Err(Rejection::TeamListFull));
    assert_eq!(full.decide(&add(number(1))), Ok(Vec::new()), "it is there already");
    let room = full.decide(&remove(number(1))).expect("it is taken");
    let room = room.iter().fold(full, Tenant::evolve);
    assert!(room.decide(&add(ann())).is_ok_and(|events| events.len() == 1));
}

proptest! {
    #[test]
    fn what_is_decided_twice_adds_nothing(choices in prop::collection::vec(0..6_u8, 0..12)) {
        let mut tenant = Tenant::default();
        for choice in choices {
            let command = match choice {
                0 => create("a"),
                1 => Command::Rename { name: "b".to_owned(), at: at(1) },
                2 => Command::Suspend { reason: None, at: at(1) },
                3 => add(ann()),
                4 => remove(ann()),
                _ => Command::Resume { at: at(2) },
            };
            let events = tenant.decide(&command).unwrap_or_default();
            tenant = events.iter().fold(tenant, Tenant::evolve);
            prop_assert!(tenant.decide(&command).unwrap_or_default().is_empty());
        }
    }
}
