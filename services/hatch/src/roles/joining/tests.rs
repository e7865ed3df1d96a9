//! Which accounts of the log are used beside those of the files, and from when on.

use std::collections::BTreeMap;

use hatch_domain::account::event::{
    AccountChanged, AccountCreated, AccountEvent, AccountSecretsRewrapped,
};
use hatch_domain::account::{AccountLimits, account_id};
use hatch_domain::ids::TenantId;
use hatch_domain::traffic::Traffic;
use hatch_domain::{Decider as _, OnDoubt};
use hatch_seal::MasterKey;
use serde_json::json;
use uuid::Uuid;

use super::*;

const FIRST: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECOND: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn key(text: &str) -> MasterKey {
    text.parse().expect("a key")
}

fn vault_of(keyring: Keyring) -> Vault {
    vault(&Settings::default(), keyring, Accounts::default()).expect("good settings")
}

fn first() -> Vault {
    vault_of(Keyring::new(Some(key(FIRST)), None))
}

fn tenant(n: u8) -> TenantId {
    TenantId(Uuid::from_u128(n.into()))
}

fn sid(digit: u8) -> String {
    format!("AC{}", digit.to_string().repeat(32))
}

/// An account of the tenant `n` that was made in the second `n`, sealed under the first key.
fn made(name: &str, n: u8, account_sid: &str) -> AccountEntry {
    let name: AccountName = name.parse().expect("a name");
    let id = account_id(&name);
    let place = hatch_api::accounts::place(tenant(n), id, "auth_token");
    let sealed = first().keyring.seal(b"\"canary\"", &place).expect("sealed");
    let event = AccountEvent::from(AccountCreated {
        name,
        provider: "twilio".to_owned(),
        channels: Vec::new(),
        senders: Vec::new(),
        traffic: Traffic::Live,
        limits: AccountLimits::default(),
        on_doubt: None,
        settings: BTreeMap::from([("account_sid".to_owned(), json!(account_sid))]),
        secrets: BTreeMap::from([("auth_token".to_owned(), sealed)]),
        created_by: "cli".to_owned(),
        at: DateTime::from_timestamp(1_800_000_000 + i64::from(n), 0).expect("in range"),
    });
    let account = Some(Arc::new(KeptAccount::default().evolve(&event)));
    AccountEntry { id, tenant_id: tenant(n), account }
}

fn names(joined: &Joined) -> Vec<&str> {
    joined.accounts.iter().map(|account| account.name.as_str()).collect()
}

#[test]
fn an_account_of_the_log_is_its_tenants_alone_and_stays_as_it_was_made() {
    let mut joiner = Joiner::default();
    let entry = made("main", 2, &sid(1));
    let joined = joiner.join(&[], vec![entry.clone()], &first());
    assert_eq!((names(&joined), joined.left_out.len()), (vec!["main"], 0));
    let tenants = &joined.accounts[0].tenants;
    assert!(tenants.has(tenant(2)) && !tenants.has(tenant(1)) && !tenants.has(TenantId::DEFAULT));
    let again = joiner.join(&[], vec![entry.clone()], &first());
    assert_eq!(again.of_log, joined.of_log);

    // Wrapped anew, it is the same one, also for who has both keys.
    let both = vault_of(Keyring::new(Some(key(SECOND)), Some(key(FIRST))));
    let account = entry.account.as_ref().expect("an account");
    let place = hatch_api::accounts::place(tenant(2), entry.id, "auth_token");
    let wrapped = both.keyring.rewrap(&account.secrets()["auth_token"], &place);
    let secrets =
        BTreeMap::from([("auth_token".to_owned(), wrapped.expect("opens").expect("another"))]);
    let (master_key_id, at) = (key(SECOND).id().to_owned(), DateTime::default());
    let rewrapped = AccountSecretsRewrapped { master_key_id, secrets, at };
    let account = KeptAccount::clone(account).evolve(&rewrapped.into());
    let entry = AccountEntry { account: Some(Arc::new(account)), ..entry };
    let rotated = joiner.join(&[], vec![entry.clone()], &both);
    assert_eq!((rotated.of_log, rotated.left_out.len()), (joined.of_log, 0));
    let late = Joiner::default().join(&[], vec![entry], &first());
    assert!(late.left_out[0].is_sealed, "who has the first key alone cannot read it");
}

#[test]
fn what_an_account_is_given_and_what_becomes_of_its_doubts_counts_from_its_change_on() {
    let mut joiner = Joiner::default();
    let entry = made("main", 2, &sid(1));
    let joined = joiner.join(&[], vec![entry.clone()], &first());
    let account = entry.account.as_ref().expect("an account");
    let limits = AccountLimits { rate_per_s: Some(2.0), ..AccountLimits::default() };
    for (limits, on_doubt) in [(limits, None), (AccountLimits::default(), Some(OnDoubt::Fail))] {
        let change = AccountChanged {
            channels: account.channels().to_vec(),
            senders: account.senders().to_vec(),
            traffic: account.traffic(),
            limits,
            on_doubt,
            settings: account.settings().clone(),
            secrets: account.secrets().clone(),
            at: DateTime::default(),
        };
        let changed = KeptAccount::clone(account).evolve(&change.into());
        let entry = AccountEntry { account: Some(Arc::new(changed)), ..entry.clone() };
        let now = joiner.join(&[], vec![entry], &first());
        assert_ne!(now.of_log, joined.of_log);
        let made = &now.accounts[0];
        assert_eq!((made.limits.per_s, made.on_doubt), (limits.rate_per_s, on_doubt));
    }
}

#[test]
fn one_that_cannot_be_used_is_left_out_and_says_why() {
    let kept = || vec![made("main", 2, &sid(1)), made("bad", 2, "AC1")];
    let other = Keyring::new(Some(key(SECOND)), None);
    for (keyring, why) in [(Keyring::default(), "no master key"), (other, "is not set")] {
        let joined = Joiner::default().join(&[], kept(), &vault_of(keyring));
        assert!(joined.accounts.is_empty());
        let main = joined.left_out.iter().find(|one| one.name == "main").expect("left out");
        assert!(main.is_sealed && main.why.contains(why), "{main:?}");
        assert!(!main.why.contains("canary"), "{main:?}");
    }
    let joined = Joiner::default().join(&[], kept(), &first());
    assert_eq!(names(&joined), ["main"]);
    assert!(joined.left_out[0].why.contains("account_sid"), "{:?}", joined.left_out);
    let unreadable = AccountEntry { account: None, ..made("main", 2, &sid(1)) };
    let joined = Joiner::default().join(&[], vec![unreadable], &first());
    assert!(joined.left_out[0].why.contains("this build"), "{:?}", joined.left_out);
}

#[test]
fn none_is_called_as_what_has_a_short_webhook_path() {
    let kept = [("twilio", 1), ("sendgrid", 2), ("generic", 3), ("main", 4)];
    let kept = kept.map(|(name, n)| made(name, n, &sid(n)));
    let joined = Joiner::default().join(&[], kept.into(), &first());
    assert_eq!(names(&joined), ["main"]);
    assert!(joined.accounts[0].of_log);
    assert_eq!(joined.left_out.len(), 3, "{:?}", joined.left_out);
}

#[test]
fn none_takes_the_name_or_the_account_at_the_provider_of_one_before_it() {
    let files = Joiner::default().join(&[], vec![made("file", 1, &sid(9))], &first()).accounts;
    let kept = vec![
        made("late", 5, &sid(1)),
        made("early", 2, &sid(1)),
        made("file", 3, &sid(3)),
        made("thief", 4, &sid(9)),
    ];
    let joined = Joiner::default().join(&files, kept, &first());
    assert_eq!(names(&joined), ["file", "early"]);
    let why: Vec<_> = joined.left_out.iter().map(|one| (&*one.name, &*one.why)).collect();
    assert_eq!(
        why,
        [
            ("file", "an account of the files is called so, too"),
            ("thief", "at twilio it is the same account as file"),
            ("late", "at twilio it is the same account as early"),
        ]
    );
}
