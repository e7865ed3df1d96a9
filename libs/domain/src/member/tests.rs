//! What becomes of a member, and of what he signs in by.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::command::{Joining, MemberCommand as Command, MemberRejection as Rejection};
use super::event::*;
use super::*;
use crate::published::published;
use crate::scope::Scope;
use crate::tests::{decided_twice_adds_nothing, examples_are_the_golden_events, fold};
use crate::{DomainEvent, Kind};

/// A stream that was computed elsewhere.
const KNOWN_STREAM: &str = "a200cae0-d6f9-5f77-ba7e-0055f4e2b587";

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time in range")
}

fn email() -> Address {
    Address::email("Ann@example.com").expect("a mailbox")
}

fn hash(n: u8) -> SecretHash {
    SecretHash::of(&n.to_string())
}

fn password(n: u8) -> PasswordHash {
    format!("$argon2id${n}").into()
}

fn sealed(n: u8) -> Sealed {
    Sealed::of("0123456789abcdef", "a2V5", &format!("Ym94{n}")).expect("good parts")
}

fn session(n: u8) -> SessionId {
    SessionId(Uuid::from_u128(u128::from(n)))
}

fn identity() -> Identity {
    Identity { issuer: "https://id.example".to_owned(), subject: "ann".to_owned() }
}

fn invitation(role: Role, n: u8) -> MemberInvited {
    MemberInvited {
        email: email(),
        name: None,
        role,
        scopes: Scopes::default(),
        invitation_hash: hash(n),
        expires_at: at(1_000),
        invited_by: "cli".to_owned(),
        at: at(0),
    }
}

fn invite(role: Role, n: u8) -> Command {
    Command::Invite(Box::new(invitation(role, n)))
}

fn join(n: u8, second: i64) -> Command {
    let (invitation, by) = (Some(hash(n)), Joining::Password(password(n)));
    Command::Join { invitation, by, name: None, at: at(second) }
}

/// The member after these commands, of which each is taken.
fn after(commands: &[Command]) -> Member {
    commands.iter().fold(Member::default(), |member, command| {
        let events = member.decide(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        events.iter().fold(member, Member::evolve)
    })
}

fn joined(role: Role) -> Vec<Command> {
    vec![invite(role, 1), join(1, 10)]
}

/// One of each type, with everything that it can have.
fn every_event() -> Vec<MemberEvent> {
    let whole = MemberInvited {
        name: Some("Ann".to_owned()),
        role: Role::Custom,
        scopes: Scopes::of(&[Scope::MessagesRead]),
        ..invitation(Role::Custom, 1)
    };
    let Identity { issuer, subject } = identity();
    vec![
        whole.into(),
        MemberJoined { by: SignInWay::Password, name: Some("Ann".to_owned()), at: at(1) }.into(),
        MemberRoleChanged {
            role: Role::Custom,
            scopes: Scopes::of(&[Scope::MessagesRead]),
            ends_sessions: true,
            at: at(2),
        }
        .into(),
        PasswordSet { hash: password(1), ends_sessions: true, at: at(3) }.into(),
        OidcLinked { issuer, subject, at: at(4) }.into(),
        TotpEnabled { secret: sealed(1), recovery_hashes: vec![hash(2), hash(3)], at: at(5) }
            .into(),
        TotpRewrapped { secret: sealed(1), at: at(6) }.into(),
        TotpDisabled { at: at(7) }.into(),
        RecoveryCodeUsed { code_hash: hash(2), at: at(8) }.into(),
        SessionStarted {
            session_id: session(1),
            by: SignInWay::Oidc,
            second_factor: false,
            at: at(9),
        }
        .into(),
        SessionEnded { session_id: session(1), at: at(10) }.into(),
        MemberRemoved { at: at(11) }.into(),
    ]
}

#[test]
fn golden_events_are_read_and_written_alike() {
    examples_are_the_golden_events::<Member>(&every_event());
}

#[test]
fn nobody_outside_of_the_log_is_told_what_one_signs_in_by() {
    for event in every_event() {
        let payload = RawValue::from_string(event.encode()).expect("JSON");
        let shown = published(event.event_type(), payload);
        for secret in ["hash", "argon2", "secret"] {
            assert!(!shown.get().contains(secret), "{shown}");
        }
        assert!(shown.get().contains("\"at\""), "{shown}");
    }
    for shape in Kind::named(AGGREGATE).expect("a kind").shapes() {
        let fields = shape.data["properties"].to_string();
        assert!(!fields.contains("hash") && !fields.contains("secret"), "{fields}");
    }
    let member = after(&joined(Role::Owner));
    let printed = format!("{member:?}");
    assert!(!printed.contains("argon2") && !printed.contains(&String::from(hash(1))), "{printed}");
}

#[test]
fn the_stream_of_a_member_is_that_of_his_email_however_it_is_written() {
    let id = member_id(TenantId::DEFAULT, &email());
    let other = Address::email("ann@EXAMPLE.com").expect("a mailbox");
    assert_eq!(member_id(TenantId::DEFAULT, &other), id);
    assert_ne!(member_id(TenantId(Uuid::from_u128(2)), &email()), id);
    assert_eq!(id.to_string(), KNOWN_STREAM, "it never changes");
}

#[test]
fn an_invitation_lets_in_once_and_until_its_end() {
    let invited = after(&[invite(Role::Agent, 1)]);
    assert_eq!(invited.status(), Some(MemberStatus::Invited));
    assert!(invited.admits(&hash(1), at(999)) && !invited.admits(&hash(1), at(1_000)));
    assert!(!invited.admits(&hash(2), at(10)));
    for wrong in [join(2, 10), join(1, 1_000)] {
        assert_eq!(invited.decide(&wrong), Err(Rejection::NoInvitation), "{wrong:?}");
    }
    let member = after(&joined(Role::Agent));
    assert!(member.is_active() && !member.admits(&hash(1), at(20)));
    assert_eq!(member.decide(&join(1, 20)), Err(Rejection::Joined));
    assert_eq!(member.decide(&invite(Role::Owner, 2)), Err(Rejection::Joined));
    let again = after(&[invite(Role::Agent, 1), invite(Role::Viewer, 2)]);
    assert!(!again.admits(&hash(1), at(10)) && again.admits(&hash(2), at(10)), "the newest counts");
}

#[test]
fn nobody_joins_by_a_password_without_the_link() {
    let invited = after(&[invite(Role::Agent, 1)]);
    let by = |by| Command::Join { invitation: None, by, name: None, at: at(10) };
    let refused = invited.decide(&by(Joining::Password(password(1))));
    assert_eq!(refused, Err(Rejection::NoInvitation));
    let events = invited.decide(&by(Joining::Oidc(identity()))).expect("his email is vouched for");
    let member = events.iter().fold(invited, Member::evolve);
    assert!(member.is_active() && member.is_known_as("https://id.example", "ann"));
    assert!(member.password().is_none());
}

#[test]
fn whatever_takes_something_away_ends_all_sessions_and_nothing_else_does() {
    let at = at(50);
    let change = |standing| Command::ChangeRole { standing, at };
    let custom = |scopes: &[Scope]| change(Standing::custom(Scopes::of(scopes)));
    for (role, command, ends) in [
        (Role::Owner, change(Standing::of(Role::Admin)), true),
        (Role::Admin, change(Standing::of(Role::Owner)), false),
        (Role::Admin, change(Standing::of(Role::Agent)), true),
        (Role::Agent, change(Standing::of(Role::Admin)), false),
        (Role::Viewer, change(Standing::of(Role::Agent)), false),
        (Role::Viewer, custom(&[Scope::MessagesRead, Scope::RawRead]), true),
        (Role::Admin, custom(&[Scope::Admin, Scope::Platform]), false),
        (Role::Agent, Command::SetPassword { hash: password(2), at }, true),
        (Role::Agent, Command::RehashPassword { from: password(1), to: password(2), at }, false),
        (Role::Agent, Command::Link { identity: identity(), at }, false),
        (Role::Agent, Command::Remove { at }, true),
    ] {
        let before = after(&joined(role));
        let generation = before.generation();
        let events = before.decide(&command).expect("it is taken");
        let changed = events.iter().fold(before, Member::evolve);
        assert_eq!(changed.generation() != generation, ends, "{role} {command:?}");
    }
}

#[test]
fn who_made_a_link_gets_no_more_by_it_than_it_was_made_for() {
    let change = |role| Command::ChangeRole { standing: Standing::of(role), at: at(5) };
    let invited = after(&[invite(Role::Agent, 1)]);
    for role in [Role::Owner, Role::Admin] {
        assert_eq!(invited.decide(&change(role)), Err(Rejection::NotJoined), "{role}");
    }
    let less = after(&[invite(Role::Agent, 1), change(Role::Viewer), join(1, 10)]);
    assert_eq!(less.standing().role(), Role::Viewer);
    let more = after(&[invite(Role::Agent, 1), join(1, 10), change(Role::Owner)]);
    assert!(more.is_active_owner());
}

#[test]
fn a_password_that_is_another_by_now_is_not_made_anew() {
    let mut commands = joined(Role::Agent);
    commands.push(Command::SetPassword { hash: password(2), at: at(20) });
    commands.push(Command::RehashPassword { from: password(1), to: password(3), at: at(21) });
    assert_eq!(after(&commands).password(), Some(&password(2)));
    commands.push(Command::RehashPassword { from: password(2), to: password(4), at: at(22) });
    assert_eq!(after(&commands).password(), Some(&password(4)));
}

#[test]
fn a_recovery_code_counts_once() {
    let enable =
        Command::EnableTotp { secret: sealed(1), recovery: vec![hash(7), hash(8)], at: at(20) };
    let sign_in = |n, code| Command::SignIn {
        session_id: session(n),
        by: SignInWay::Password,
        recovery: Some(hash(code)),
        second_factor: true,
        at: at(30),
    };
    let mut commands = joined(Role::Agent);
    commands.extend([enable, sign_in(1, 7)]);
    let member = after(&commands);
    assert_eq!(member.recovery_codes(), 1);
    assert_eq!(member.decide(&sign_in(2, 7)), Err(Rejection::NoSuchCode));
    assert!(member.decide(&sign_in(3, 8)).is_ok());
    let another = Command::EnableTotp { secret: sealed(2), recovery: vec![hash(9)], at: at(35) };
    assert_eq!(member.decide(&another), Err(Rejection::HasTotp), "not over the one that there is");
    commands.push(Command::DisableTotp { at: at(40) });
    assert!(after(&commands).totp_secret().is_none());
}

#[test]
fn who_was_removed_comes_back_only_by_another_invitation_and_brings_nothing_along() {
    let mut commands = joined(Role::Owner);
    commands.push(Command::Remove { at: at(20) });
    let removed = after(&commands);
    assert_eq!(removed.status(), Some(MemberStatus::Removed));
    assert!(removed.password().is_none() && !removed.is_active_owner());
    let set = Command::SetPassword { hash: password(2), at: at(30) };
    for command in [join(1, 30), set] {
        assert_eq!(removed.decide(&command), Err(Rejection::Removed), "{command:?}");
    }
    let generation = removed.generation();
    commands.extend([invite(Role::Viewer, 2), join(2, 40)]);
    let back = after(&commands);
    assert_eq!(back.standing().role(), Role::Viewer);
    assert!(back.generation() > generation, "no session of before counts");
}

#[test]
fn roles_are_read_as_they_are_written_and_have_their_scopes() {
    for role in Role::ALL {
        assert_eq!(role.as_str().parse(), Ok(role));
        assert_eq!(serde_json::to_value(role).expect("a name"), role.as_str());
    }
    assert_eq!("boss".parse::<Role>(), Err(UnknownRole));
    let some = Scopes::of(&[Scope::RawRead]);
    assert_eq!(Standing::new(Role::Agent, some), Err(BadStanding::ScopesOfRole));
    assert_eq!(Standing::new(Role::Custom, Scopes::default()), Err(BadStanding::NoScopes));
    assert_eq!(Standing::new(Role::Custom, some).map(Standing::scopes), Ok(some));
    let of = |role| Standing::of(role).scopes();
    assert!(of(Role::Owner).allows(Scope::KeysWrite) && !of(Role::Owner).allows(Scope::Platform));
    assert!(of(Role::Agent).covers(of(Role::Viewer)) && of(Role::Admin).covers(of(Role::Agent)));
    assert!(
        !of(Role::Agent).allows(Scope::KeysWrite) && !of(Role::Viewer).allows(Scope::MessagesWrite)
    );
}

#[test]
fn the_state_is_kept_and_read_again() {
    let member = fold::<Member>(&every_event()[..6]);
    let json = serde_json::to_string(&member).expect("JSON");
    assert_eq!(serde_json::from_str::<Member>(&json).expect("a member"), member);
}

fn any_command() -> impl Strategy<Value = Command> {
    (0..12_u8, any::<u8>(), 0..2_000_i64).prop_map(|(choice, n, second)| {
        let at = at(second);
        match choice {
            0 => invite(Role::ALL[usize::from(n) % Role::ALL.len()], n),
            1 => join(n, second),
            2 => Command::Link { identity: identity(), at },
            3 => Command::ChangeRole { standing: Standing::of(Role::ALL[usize::from(n) % 4]), at },
            4 => Command::SetPassword { hash: password(n), at },
            5 => Command::EnableTotp { secret: sealed(n), recovery: vec![hash(n)], at },
            6 => Command::DisableTotp { at },
            7 => Command::RewrapTotp { from: sealed(n), to: sealed(n.wrapping_add(1)), at },
            8 => Command::SignIn {
                session_id: session(n),
                by: SignInWay::Password,
                recovery: (n % 2 == 0).then(|| hash(n)),
                second_factor: true,
                at,
            },
            9 => Command::EndSession { session_id: session(n), at },
            10 => Command::RehashPassword { from: password(n), to: password(n / 2), at },
            _ => Command::Remove { at },
        }
    })
}

proptest! {
    #[test]
    fn no_history_and_no_command_panics_and_only_who_has_joined_signs_in(
        before in prop::collection::vec(any_command(), 0..12), command in any_command(),
    ) {
        let mut history = Vec::new();
        for command in &before {
            let member = fold::<Member>(&history);
            history.extend(member.decide(command).unwrap_or_default());
        }
        decided_twice_adds_nothing::<Member>(&history, &command);
        let member = fold::<Member>(&history);
        let decided = member.decide(&command);
        if let (Ok(events), Command::SignIn { .. }) = (&decided, &command) {
            prop_assert!(events.is_empty() || member.is_active());
        }
        prop_assert!(member.is_active() || !member.is_active_owner());
    }
}
