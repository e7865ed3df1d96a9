//! What becomes of an SMS and of a mail to each recipient that the simulator treats in a way of its own,
//! as a table: `./dev test --no-capture outcome_table` shows it.

use hatch::output::line;
use hatch::roles::Role;
use hatch::settings::Settings;
use serde_json::{Value, json};

use crate::harness::{Hatch, SENDER};
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

/// The same by the second carrier of each channel, in the same order: of these two, the mails' can be asked.
const OF_SECONDS: [Expected; 11] = [
    expect("1234", "ann", ["delivered"; 2], [1, 1], [1, 1]),
    expect("0429", "throttle", ["delivered"; 2], [3, 3], [1, 1]),
    expect("0500", "outage", ["delivered"; 2], [3, 3], [1, 1]),
    expect("0400", "invalid", ["failed"; 2], [1, 1], [0, 1]),
    expect("0610", "optout", ["failed"; 2], [1, 1], [1, 1]),
    expect("0504", "mute", ["delivered"; 2], [1, 1], [1, 1]),
    expect("0503", "hole", ["in_doubt", "failed"], [1, 3], [0, 0]),
    expect("0777", "disorder", ["delivered"; 2], [1, 1], [1, 1]),
    expect("0222", "early", ["delivered"; 2], [1, 1], [1, 1]),
    expect("0888", "silent", ["sent"; 2], [1, 1], [1, 1]),
    expect("0666", "bounce", ["undelivered"; 2], [1, 1], [1, 1]),
];

/// The accounts of the two tables: of texts, and of mails.
const FIRSTS: [&str; 2] = ["twilio", "sendgrid"];
const SECONDS: [&str; 2] = ["vonage", "mailgun"];

fn three_attempts(settings: &mut Settings) {
    as_in_production(settings);
    settings.dispatcher.retry.attempts_max = 3;
}

/// Beside those that tests know, the second accounts of `up`.
fn with_seconds(settings: &mut Settings) {
    let simulator = settings.accounts[FIRSTS[1]].of_provider["base_url"].clone();
    let simulator = simulator.as_str().expect("a URL");
    let listen = "127.0.0.1:1".parse().expect("an address");
    let development = Settings::load_development(simulator, listen).expect("settings");
    for name in SECONDS {
        let account = development.accounts[name].clone();
        settings.accounts.insert(name.to_owned(), account);
    }
    three_attempts(settings);
}

async fn send(hatch: &Hatch, message: &Value) -> String {
    hatch.post("/api/v1/messages", message).await.text("id").to_owned()
}

#[tokio::test]
async fn every_outcome_for_sms_and_email() {
    let hatch = Hatch::start_with_clock(&Role::ALL, three_attempts).await;
    every_outcome(hatch, &TABLE, FIRSTS).await;
}

#[tokio::test]
async fn every_outcome_by_the_second_carrier_of_each_channel() {
    let hatch = Hatch::start_with_clock(&Role::ALL, with_seconds).await;
    every_outcome(hatch, &OF_SECONDS, SECONDS).await;
}

async fn every_outcome(hatch: Hatch, expected: &[Expected], accounts: [&str; 2]) {
    let mut sent = Vec::new();
    for expected in expected {
        let phone = format!("+1804555{}", expected.phone);
        let [of_texts, of_mails] = accounts;
        let sms = json!({"from": SENDER, "to": phone, "body": "Hello", "account": of_texts});
        let to = format!("{}@example.com", expected.mailbox);
        let from = "user@usehatchapp.com";
        let mail = json!({"from": from, "to": to, "subject": "Hello", "body": "Hello",
            "account": of_mails});
        sent.push([send(&hatch, &sms).await, send(&hatch, &mail).await]);
    }
    // The slowest are over when all others are, so that late receipts are in, too.
    for (expected, ids) in expected.iter().zip(&sent) {
        for (id, status) in ids.iter().zip(expected.status) {
            hatch.hasten(id, status).await;
        }
    }
    let record = hatch.record().await;
    let mut table = format!(
        "{:<10} {:<7} {:<12} {:>5} {:>5}  events\n",
        "recipient", "channel", "status", "calls", "taken"
    );
    for (expected, ids) in expected.iter().zip(&sent) {
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
