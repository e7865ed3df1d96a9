//! What becomes of an SMS and of a mail to each recipient that the simulator treats in a way of its own,
//! as a table: `./dev test --no-capture outcome_table` shows it.

use hatch::output::line;
use hatch::roles::Role;
use hatch::settings::Settings;
use serde_json::{Value, json};

use crate::harness::{Hatch, SENDER, set_of};
use crate::time::as_in_production;

/// What the end of a phone number or a mailbox makes of a message.
struct Expected {
    phone: &'static str,
    mailbox: &'static str,
    /// Of the SMS, and of the mail.
    status: [&'static str; 2],
    /// Calls of the provider, and those messages that it took.
    calls: [u64; 2],
    taken: [usize; 2],
}

const fn expect(
    phone: &'static str,
    mailbox: &'static str,
    status: [&'static str; 2],
    calls: [u64; 2],
    taken: [usize; 2],
) -> Expected {
    Expected { phone, mailbox, status, calls, taken }
}

/// The recipients of the README's table. A request that vanished is looked up at Twilio and made again
/// until the attempts are used up; `SendGrid` cannot be asked, so the mail stays in doubt.
const TABLE: [Expected; 11] = [
    expect("1234", "ann", ["delivered"; 2], [1, 1], [1, 1]),
    expect("0429", "throttle", ["delivered"; 2], [3, 3], [1, 1]),
    expect("0500", "outage", ["delivered"; 2], [3, 3], [1, 1]),
    expect("0400", "invalid", ["failed"; 2], [1, 1], [0, 1]),
    expect("0610", "optout", ["failed"; 2], [1, 1], [0, 1]),
    expect("0504", "mute", ["delivered"; 2], [1, 1], [1, 1]),
    expect("0503", "hole", ["failed", "in_doubt"], [3, 1], [0, 0]),
    expect("0777", "disorder", ["delivered"; 2], [1, 1], [1, 1]),
    expect("0222", "early", ["delivered"; 2], [1, 1], [1, 1]),
    expect("0888", "silent", ["sent"; 2], [1, 1], [1, 1]),
    expect("0666", "bounce", ["undelivered"; 2], [1, 1], [1, 1]),
];

fn three_attempts(settings: &mut Settings) {
    as_in_production(settings);
    settings.dispatcher.retry.attempts_max = 3;
}

async fn send(hatch: &Hatch, message: &Value) -> String {
    hatch.post("/api/v1/messages", message).await.text("id").to_owned()
}

/// What came of a message to one recipient, its calls, and messages that were taken.
type Came = (&'static str, &'static str, u64, usize);

/// The same of the provider of texts that signs its webhooks and cannot be asked. Whether somebody opted out, it tells
/// once it has the message.
const BY_TOKENS: [Came; 11] = [
    ("1234", "delivered", 1, 1),
    ("0429", "delivered", 3, 1),
    ("0500", "delivered", 3, 1),
    ("0400", "failed", 1, 0),
    ("0610", "failed", 1, 1),
    ("0504", "delivered", 1, 1),
    ("0503", "in_doubt", 1, 0),
    ("0777", "delivered", 1, 1),
    ("0222", "delivered", 1, 1),
    ("0888", "sent", 1, 1),
    ("0666", "undelivered", 1, 1),
];

/// The same of the provider of mails that knows them by our own ids, and so can be asked. It takes whatever it is
/// given, and tells later.
const BY_IDS: [Came; 11] = [
    ("ann", "delivered", 1, 1),
    ("throttle", "delivered", 3, 1),
    ("outage", "delivered", 3, 1),
    ("invalid", "failed", 1, 1),
    ("optout", "failed", 1, 1),
    ("mute", "delivered", 1, 1),
    ("hole", "failed", 3, 0),
    ("disorder", "delivered", 1, 1),
    ("early", "delivered", 1, 1),
    ("silent", "sent", 1, 1),
    ("bounce", "undelivered", 1, 1),
];

/// What goes by the account `other` goes by that of `provider` alone.
pub(crate) fn in_place_of(settings: &mut Settings, other: &str, provider: &str) {
    three_attempts(settings);
    let usual = hatch_simulator::Account::usual().into_iter();
    let mut account = usual.filter(|one| one.provider == provider).map(|one| one.settings);
    let mut account = account.next().expect("the simulator has one");
    let other = settings.accounts.remove(other).expect("an account");
    for key in ["base_url", "http_timeout_ms", "connect_timeout_ms"] {
        account.insert(key.to_owned(), other.of_provider[key].clone());
    }
    account.insert("provider".to_owned(), json!(provider));
    let account = serde_json::from_value(Value::Object(account)).expect("settings");
    settings.accounts.insert(provider.to_owned(), account);
}

#[tokio::test]
async fn every_outcome_for_sms_by_a_provider_that_cannot_be_asked() {
    let by = |settings: &mut Settings| in_place_of(settings, "twilio", "vonage");
    let hatch = Hatch::start_with_clock(&Role::ALL, by).await;
    let sms =
        |phone: &str| json!({"from": SENDER, "to": format!("+1804555{phone}"), "body": "Hello"});
    every_outcome(hatch, &BY_TOKENS, sms).await;
}

#[tokio::test]
async fn every_outcome_for_email_by_a_provider_that_can_be_asked() {
    let by = |settings: &mut Settings| {
        in_place_of(settings, "sendgrid", "mailgun");
        // What is at the simulator is among its events at once.
        set_of(settings, "mailgun", "events_settled_after_ms", json!(0));
    };
    let hatch = Hatch::start_with_clock(&Role::ALL, by).await;
    let mail = |mailbox: &str| {
        let to = format!("{mailbox}@example.com");
        json!({"from": "user@usehatchapp.com", "to": to, "subject": "Hello", "body": "Hello"})
    };
    every_outcome(hatch, &BY_IDS, mail).await;
}

async fn every_outcome(hatch: Hatch, table: &[Came], message: impl Fn(&str) -> Value) {
    let mut sent = Vec::new();
    for (recipient, ..) in table {
        sent.push(send(&hatch, &message(recipient)).await);
    }
    for ((_, status, ..), id) in table.iter().zip(&sent) {
        hatch.hasten(id, status).await;
    }
    let record = hatch.record().await;
    for ((recipient, status, calls, expected), id) in table.iter().zip(&sent) {
        let message = hatch.message_with_status(id, status).await;
        let taken = record.iter().filter(|line| line["hatch_message_id"] == *id).count();
        let events = hatch.event_types(id).await.join(" ");
        let attempts = &message["attempts"];
        line(format!("{recipient:<10} {status:<12} {attempts:>5} {taken:>5}  {events}\n"))
            .expect("printed");
        assert_eq!((attempts, taken), (&json!(calls), *expected), "{recipient}: {events}");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn every_outcome_for_sms_and_email() {
    let hatch = Hatch::start_with_clock(&Role::ALL, three_attempts).await;
    let mut sent = Vec::new();
    for expected in &TABLE {
        let phone = format!("+1804555{}", expected.phone);
        let sms = json!({"from": SENDER, "to": phone, "body": "Hello"});
        let to = format!("{}@example.com", expected.mailbox);
        let from = "user@usehatchapp.com";
        let mail = json!({"from": from, "to": to, "subject": "Hello", "body": "Hello"});
        sent.push([send(&hatch, &sms).await, send(&hatch, &mail).await]);
    }
    // The slowest are over when all others are, so that late receipts are in, too.
    for (expected, ids) in TABLE.iter().zip(&sent) {
        for (id, status) in ids.iter().zip(expected.status) {
            hatch.hasten(id, status).await;
        }
    }
    let record = hatch.record().await;
    let mut table = format!(
        "{:<10} {:<7} {:<12} {:>5} {:>5}  events\n",
        "recipient", "channel", "status", "calls", "taken"
    );
    for (expected, ids) in TABLE.iter().zip(&sent) {
        for (n, id) in ids.iter().enumerate() {
            let message = hatch.message_with_status(id, expected.status[n]).await;
            let taken = record.iter().filter(|r| r["hatch_message_id"] == *id).count();
            let events = hatch.event_types(id).await.join(" ");
            let (recipient, calls) = ([expected.phone, expected.mailbox][n], &message["attempts"]);
            table += &format!(
                "{recipient:<10} {:<7} {:<12} {calls:>5} {taken:>5}  {events}\n",
                ["sms", "email"][n],
                expected.status[n],
            );
            assert_eq!(taken, expected.taken[n], "taken by the provider:\n{table}");
            assert_eq!(*calls, expected.calls[n], "calls of the provider:\n{table}");
        }
    }
    line(table).expect("printed");
    hatch.finish().await;
}
