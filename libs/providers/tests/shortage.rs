//! A process whose files are used up. A program of its own: the other tests need files.

use std::fs::File;

use hatch_domain::Channel;
use hatch_domain::address::Address;
use hatch_domain::ids::{MessageId, TenantId};
use hatch_providers::twilio::{Settings, TwilioAdapter};
use hatch_providers::{Adapter, Lack, LookUp, LookedUp, Outbound, Outcome};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use uuid::Uuid;

/// Few, so that they are used up soon.
const FILES: u64 = 64;

fn adapter(base_url: &str) -> TwilioAdapter {
    let settings: Settings = serde_json::from_value(serde_json::json!({
        "account_sid": "AC00000000000000000000000000000000",
        "auth_token": "12345",
        "base_url": base_url,
        "public_url": "https://hatch.example",
    }))
    .expect("well-formed settings");
    TwilioAdapter::new(settings).expect("an adapter")
}

fn message() -> Outbound {
    Outbound {
        tenant_id: TenantId(Uuid::nil()),
        message_id: MessageId(Uuid::nil()),
        attempt: 1,
        channel: Channel::Sms,
        from: Address::phone("+12016661234").expect("a number"),
        to: vec![Address::phone("+18045551234").expect("a number")],
        body: Some("Hello".to_owned()),
        attachments: Vec::new(),
        email: None,
        traceparent: None,
    }
}

/// Every file that can still be had.
fn all_files() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[tokio::test]
async fn a_process_without_files_makes_no_call_and_reports_its_own_shortage() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    // Nobody listens at port 1: whoever has a socket is refused.
    let adapters = ["http://127.0.0.1:1", "http://localhost:1", "http://nowhere.invalid:1"];
    let adapters = adapters.map(adapter);
    setrlimit(Resource::RLIMIT_NOFILE, FILES.min(hard), hard).expect("a lower limit");

    let held = all_files();
    assert_eq!(Lack::now(), Some(Lack::Files));
    let asked = LookUp {
        message: message(),
        attempted_at: chrono::DateTime::UNIX_EPOCH,
        asked_at: chrono::DateTime::UNIX_EPOCH,
    };
    for adapter in &adapters {
        assert_eq!(adapter.send(&message()).await, Outcome::Shortage(Lack::Files));
        assert_eq!(adapter.look_up(&asked).await, LookedUp::Shortage(Lack::Files));
    }

    drop(held);
    assert_eq!(Lack::now(), None);
    for (adapter, expected) in adapters.iter().zip(["connect", "connect", "dns"]) {
        match adapter.send(&message()).await {
            Outcome::Unavailable { code, .. } => assert_eq!(code, expected),
            other => panic!("{other:?}"),
        }
        assert!(matches!(adapter.look_up(&asked).await, LookedUp::Inconclusive { .. }));
    }
}
