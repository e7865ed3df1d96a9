//! What becomes of a tenant.

use proptest::prelude::*;

use super::command::{TenantCommand as Command, TenantRejection as Rejection};
use super::event::{TenantCreated, TenantRenamed, TenantResumed, TenantSuspended};
use super::*;
use crate::tests::examples_are_the_golden_events;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn create(name: &str) -> Command {
    Command::Create { name: name.to_owned(), at: at(0) }
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
    ]);
}

#[test]
fn a_tenant_is_made_once_and_nothing_is_asked_of_one_before() {
    assert_eq!(after(&[create("a")]).decide(&create("b")), Err(Rejection::Exists));
    for command in [
        Command::Rename { name: "b".to_owned(), at: at(1) },
        Command::Suspend { reason: None, at: at(1) },
        Command::Resume { at: at(1) },
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

proptest! {
    #[test]
    fn what_is_decided_twice_adds_nothing(choices in prop::collection::vec(0..4_u8, 0..12)) {
        let mut tenant = Tenant::default();
        for choice in choices {
            let command = match choice {
                0 => create("a"),
                1 => Command::Rename { name: "b".to_owned(), at: at(1) },
                2 => Command::Suspend { reason: None, at: at(1) },
                _ => Command::Resume { at: at(2) },
            };
            let events = tenant.decide(&command).unwrap_or_default();
            tenant = events.iter().fold(tenant, Tenant::evolve);
            prop_assert!(tenant.decide(&command).unwrap_or_default().is_empty());
        }
    }
}
