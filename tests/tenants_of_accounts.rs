//! Accounts of several tenants and of one: by which a message goes, whose one is that comes in, and who hears a STOP.

use hatch::roles::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::doctor::run;
use crate::harness::{
    ACCOUNT, AUTH_TOKEN, Answer, CUSTOMER, Hatch, SECOND_ACCOUNT, SECOND_TOKEN, SENDER, unique,
};
use crate::keys::Key;
use crate::webhooks::{Post, inbound, receipt};

/// The default tenant and two others, each with a key.
struct Three {
    hatch: Hatch,
    keys: [Key; 3],
    second: String,
}

impl Three {
    async fn start() -> Self {
        let mut hatch = Hatch::closed().await;
        let first = hatch.create_key(&["--scope", "admin"]).await;
        hatch.key = Some(first.bearer());
        let (second, third) =
            (hatch.create_tenant("second").await, hatch.create_tenant("third").await);
        let of =
            async |tenant: &str| hatch.create_key(&["--tenant", tenant, "--scope", "admin"]).await;
        let keys = [first, of(&second).await, of(&third).await];
        Self { hatch, keys, second }
    }

    /// The same hatch with the account `second`, which is the second tenant's alone; `shared` says whether the other one
    /// is there, too.
    async fn with_an_account_of_the_second(mut self, shared: bool) -> Self {
        self.hatch.stop().await;
        let set = json!({
            "provider": "twilio", "account_sid": SECOND_ACCOUNT, "auth_token": SECOND_TOKEN,
            "http_timeout_ms": 3_000, "connect_timeout_ms": 1_000,
            "base_url": self.hatch.simulator, "public_url": self.hatch.url,
            "tenants": [self.second],
        });
        let set = serde_json::from_value(set).expect("settings");
        self.hatch.settings.accounts.insert("second".to_owned(), set);
        if !shared {
            self.hatch.settings.accounts.remove("twilio");
        }
        self.hatch.start_again(&Role::ALL).await;
        let hatch = &self.hatch;
        hatch
            .eventually("it is ready", async |hatch| {
                (hatch.get("/ready").await.body["status"] == "ready").then_some(())
            })
            .await;
        self
    }

    /// The same hatch, where another account has the name, and so the path, that the second tenant's one had.
    async fn with_another_at_the_path_of_the_second(mut self) -> Self {
        self.hatch.stop().await;
        let set = json!({
            "provider": "twilio", "account_sid": format!("AC{}", "3".repeat(32)),
            "auth_token": SECOND_TOKEN, "base_url": self.hatch.simulator,
            "http_timeout_ms": 3_000, "connect_timeout_ms": 1_000,
            "public_url": self.hatch.url,
        });
        let set = serde_json::from_value(set).expect("settings");
        self.hatch.settings.accounts.insert("second".to_owned(), set);
        self.hatch.start_again(&Role::ALL).await;
        self
    }

    /// Sends an SMS for a tenant and waits for its receipt.
    async fn write_to_customer(&self, of: usize) -> String {
        let sms = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "Hello"});
        let answer = self.hatch.post_by(&self.keys[of], "/api/v1/messages", &sms).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        let path = format!("/api/v1/messages/{}", answer.text("id"));
        self.hatch
            .eventually("it is delivered", async |hatch| {
                let message = hatch.get_by(&self.keys[of], &path).await.body;
                (message["status"] == "delivered").then_some(())
            })
            .await;
        answer.text("id").to_owned()
    }

    /// Somebody writes to us by the shared account, or by another one.
    async fn customer_writes(&self, from: &str, body: &str, account: Option<&str>) -> String {
        let id = format!("SM{}", unique());
        self.customer_repeats(&id, from, body, account).await;
        id
    }

    async fn customer_repeats(&self, id: &str, from: &str, body: &str, account: Option<&str>) {
        let inbound = json!({"provider": "twilio", "account": account, "from": from, "to": SENDER,
            "body": body, "provider_message_id": id});
        assert_eq!(self.hatch.simulate_inbound(&inbound).await / 100, 2);
    }

    /// The tenants that see a message of that text.
    async fn seen_by(&self, body: &str) -> Vec<usize> {
        let position = self.hatch.log_length().await;
        let mut seen = Vec::new();
        for (n, key) in self.keys.iter().enumerate() {
            let path = format!("/api/v1/messages?limit=200&after={position}&wait=30");
            let list = self.hatch.get_by(key, &path).await.body;
            let messages = list["data"].as_array().expect("a list");
            seen.extend(messages.iter().any(|message| message["body"] == body).then_some(n));
        }
        seen
    }

    /// Has the newest webhook of a tenant be in the quarantine, perhaps with another number in it, and replays it.
    async fn replayed_from_quarantine(&self, of: usize, number: Option<(&str, &str)>) -> Answer {
        let (hatch, key) = (&self.hatch, &self.keys[of]);
        let applied = "/api/v1/webhook-log?outcome=applied";
        let id = hatch
            .eventually("it is in the log", async |hatch| {
                let log = hatch.get_by(key, applied).await.body;
                log["data"][0]["id"].as_str().map(str::to_owned)
            })
            .await;
        let (from, to) = number.unwrap_or_default();
        let (from, to) = (from.trim_start_matches('+'), to.trim_start_matches('+'));
        let session = hatch.database.connect().await;
        let sql = format!(
            "UPDATE hatch.webhook_log SET outcome = 'quarantined',
                    body = convert_to(replace(convert_from(body, 'UTF8'), '{from}', '{to}'), 'UTF8')
              WHERE id = '{id}'"
        );
        session.batch_execute(&sql).await.expect("in the quarantine");
        let replay = format!("/api/v1/webhooks/replay/{id}");
        hatch.request_by(key, Method::POST, &replay, None).await
    }

    /// Has the webhooks of the second tenant be kept as quarantined ones are: with the account that verified them.
    async fn kept_as_verified_by(&self, name: &str) {
        let by =
            json!({"name": name, "account": ACCOUNT, "of_log": false, "tenants": [self.second]});
        let session = self.hatch.database.connect().await;
        let kept = "UPDATE hatch.webhook_log SET verified = $1::text::json WHERE tenant_id = $2::text::uuid";
        let kept = session.execute(kept, &[&by.to_string(), &self.second]).await;
        assert!(kept.expect("it is kept") > 0);
        session.close().await;
    }

    /// What each tenant knows of the customer's wish.
    async fn wishes(&self) -> [String; 3] {
        let path = format!("/api/v1/consent?address={}", CUSTOMER.replace('+', "%2B"));
        let mut wishes = [const { String::new() }; 3];
        for (key, wish) in self.keys.iter().zip(&mut wishes) {
            let consent = self.hatch.get_by(key, &path).await;
            consent.text("state").clone_into(wish);
        }
        wishes
    }
}

/// The accounts by which the simulator was asked for messages.
fn accounts_of(record: &[Value]) -> Vec<&str> {
    record.iter().map(|line| line["account"].as_str().expect("an account")).collect()
}

#[tokio::test]
async fn what_comes_in_by_a_shared_account_is_of_the_tenant_that_wrote_last_and_a_stop_is_for_all()
{
    let three = Three::start().await;
    three.customer_writes("+18045550101", "from a stranger", None).await;
    assert_eq!(three.seen_by("from a stranger").await, [0], "nobody knows who it is");
    three.write_to_customer(1).await;
    three.customer_writes(CUSTOMER, "to the second", None).await;
    assert_eq!(three.seen_by("to the second").await, [1]);
    three.write_to_customer(0).await;
    let answer = three.customer_writes(CUSTOMER, "to the first", None).await;
    assert_eq!(three.seen_by("to the first").await, [0]);
    // Whoever wrote since then: it has been here before.
    three.write_to_customer(1).await;
    three.customer_repeats(&answer, CUSTOMER, "to the first", None).await;
    assert_eq!(three.seen_by("to the first").await, [0]);

    let stop = three.customer_writes(CUSTOMER, "STOP", None).await;
    assert_eq!(three.seen_by("STOP").await, [1]);
    assert_eq!(three.wishes().await, ["opted_out", "opted_out", "unknown"]);
    three.customer_writes(CUSTOMER, "START", None).await;
    assert_eq!(three.wishes().await, ["opted_in", "opted_in", "unknown"]);
    three.customer_repeats(&stop, CUSTOMER, "STOP", None).await;
    let wishes = three.wishes().await;
    assert_eq!(wishes, ["opted_in", "opted_in", "unknown"], "what a repeat says was said before");
    three.hatch.finish().await;
}

#[tokio::test]
async fn an_account_of_one_tenant_sends_for_it_alone_and_what_comes_in_by_it_is_its_own() {
    let three = Three::start().await.with_an_account_of_the_second(true).await;
    let first = three.write_to_customer(0).await;
    three.write_to_customer(1).await;
    assert_eq!(accounts_of(&three.hatch.record().await), [ACCOUNT, SECOND_ACCOUNT]);

    three.customer_writes(CUSTOMER, "by its own", Some(SECOND_ACCOUNT)).await;
    assert_eq!(three.seen_by("by its own").await, [1]);
    three.customer_writes(CUSTOMER, "STOP", Some(SECOND_ACCOUNT)).await;
    assert_eq!(three.wishes().await, ["unknown", "opted_out", "unknown"]);

    // Each path believes its account alone.
    let path = "/api/v1/webhooks/twilio/second?";
    let at_second = |post: Post<'static>| {
        let path_and_query = post.path_and_query.replace("/api/v1/webhooks/twilio?", path);
        Post { path_and_query, ..post }
    };
    let forged = at_second(receipt(&first, "SM00000000000000000000000000000009", "read"));
    assert_eq!(forged.send(&three.hatch).await, StatusCode::UNAUTHORIZED);
    // Nor may whoever has its token say anything of another tenant's message.
    let mut signed = Post { token: SECOND_TOKEN, ..forged };
    for (key, value) in &mut signed.form {
        if *key == "AccountSid" {
            SECOND_ACCOUNT.clone_into(value);
        }
    }
    let events = three.hatch.event_types(&first).await;
    assert!(signed.send(&three.hatch).await.is_success(), "it is kept");
    assert_eq!(three.hatch.event_types(&first).await, events);
    let kept = three.hatch.get_by(&three.keys[1], "/api/v1/webhook-log?outcome=quarantined").await;
    assert!(kept.body.to_string().contains("does not have the account"), "{}", kept.body);
    let unknown = Post { path_and_query: "/api/v1/webhooks/twilio/third".to_owned(), ..signed };
    assert_eq!(unknown.send(&three.hatch).await, StatusCode::NOT_FOUND);

    // What one account has signed is not read again as another's.
    let id = kept.body["data"][0]["id"].as_str().expect("an id");
    let replay = format!("/api/v1/webhooks/replay/{id}");
    let three = three.with_another_at_the_path_of_the_second().await;
    let refused = three
        .hatch
        .eventually("it is not replayed", async |hatch| {
            let answer = hatch.request_by(&three.keys[1], Method::POST, &replay, None).await;
            (answer.status == StatusCode::CONFLICT).then_some(answer)
        })
        .await;
    assert!(refused.text("detail").contains("is not there any more"), "{}", refused.body);
    assert_eq!(three.hatch.event_types(&first).await, events);
    three.hatch.finish().await;
}

#[tokio::test]
async fn a_tenant_without_an_account_is_told_so() {
    let three = Three::start().await.with_an_account_of_the_second(false).await;
    let sms = json!({"channel": "sms", "from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let answer = three.hatch.post_by(&three.keys[0], "/api/v1/messages", &sms).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    assert_eq!(answer.text("code"), "no_account");
    three.write_to_customer(1).await;
    // The short path is the only account's.
    let of_shared = receipt("", "SM00000000000000000000000000000010", "sent");
    let form = of_shared.form.into_iter().map(|(key, value)| match key {
        "AccountSid" => (key, SECOND_ACCOUNT.to_owned()),
        _ => (key, value),
    });
    let path_and_query = "/api/v1/webhooks/twilio".to_owned();
    let short = Post { path_and_query, form: form.collect(), token: SECOND_TOKEN };
    assert!(short.send(&three.hatch).await.is_success());
    three.hatch.finish().await;
}

#[tokio::test]
async fn senders_of_one_account_are_told_apart_whichever_path_its_provider_was_told() {
    const OTHER_SENDER: &str = "+12016661235";
    let mut three = Three::start().await;
    three.hatch.stop().await;
    let default = "00000000-0000-0000-0000-000000000001".to_owned();
    let second = three.second.clone();
    for (name, sender, tenant) in [("first", SENDER, default), ("second", OTHER_SENDER, second)] {
        let set = json!({
            "provider": "twilio", "account_sid": ACCOUNT, "auth_token": AUTH_TOKEN,
            "http_timeout_ms": 3_000, "connect_timeout_ms": 1_000,
            "base_url": three.hatch.simulator, "public_url": three.hatch.url,
            "senders": [sender], "tenants": [tenant],
        });
        let set = serde_json::from_value(set).expect("settings");
        three.hatch.settings.accounts.insert(name.to_owned(), set);
    }
    three.hatch.settings.accounts.remove("twilio");
    three.hatch.start_again(&Role::ALL).await;
    three
        .hatch
        .eventually("it is ready", async |hatch| {
            (hatch.get("/ready").await.body["status"] == "ready").then_some(())
        })
        .await;
    let sms = json!({"channel": "sms", "from": OTHER_SENDER, "to": CUSTOMER, "body": "Hello"});
    let answer = three.hatch.post_by(&three.keys[0], "/api/v1/messages", &sms).await;
    assert_eq!(answer.text("code"), "no_account", "the number is another tenant's");
    let answer = three.hatch.post_by(&three.keys[1], "/api/v1/messages", &sms).await;
    let path = format!("/api/v1/messages/{}", answer.text("id"));
    three
        .hatch
        .eventually("it is delivered", async |hatch| {
            let message = hatch.get_by(&three.keys[1], &path).await.body;
            (message["status"] == "delivered").then_some(())
        })
        .await;

    let to_the_second = |body: &str| {
        let mut post = inbound(&format!("SM{}", unique()));
        post.path_and_query = "/api/v1/webhooks/twilio/first".to_owned();
        for (key, value) in &mut post.form {
            match *key {
                "To" => OTHER_SENDER.clone_into(value),
                "Body" => body.clone_into(value),
                _ => {}
            }
        }
        post
    };
    assert!(to_the_second("by the other path").send(&three.hatch).await.is_success());
    assert_eq!(three.seen_by("by the other path").await, [1]);
    assert!(to_the_second("STOP").send(&three.hatch).await.is_success());
    assert_eq!(three.wishes().await, ["unknown", "opted_out", "unknown"]);

    // What was not understood then is read again as the one's that it is for, and as nobody else's.
    three.kept_as_verified_by("second").await;
    let again = three.replayed_from_quarantine(1, None).await;
    assert_eq!((again.status, again.text("outcome")), (StatusCode::OK, "duplicate"));
    let mut to_the_first = to_the_second("of the first");
    for (key, value) in &mut to_the_first.form {
        if *key == "To" {
            SENDER.clone_into(value);
        }
    }
    assert!(to_the_first.send(&three.hatch).await.is_success());
    let refused = three.replayed_from_quarantine(0, Some((SENDER, OTHER_SENDER))).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    assert!(refused.text("detail").contains("not this tenant's"), "{}", refused.body);
    three.hatch.finish().await;
}

#[tokio::test]
async fn the_program_lists_accounts_and_asks_their_providers() {
    let hatch = Hatch::start().await;
    let second = [
        ("HATCH_ACCOUNTS__SECOND__PROVIDER", "twilio"),
        ("HATCH_ACCOUNTS__SECOND__ACCOUNT_SID", SECOND_ACCOUNT),
        ("HATCH_ACCOUNTS__SECOND__AUTH_TOKEN", SECOND_TOKEN),
        ("HATCH_ACCOUNTS__SECOND__BASE_URL", hatch.simulator.as_str()),
        ("HATCH_ACCOUNTS__SECOND__CHANNELS", "sms"),
        ("HATCH_TWILIO__BASE_URL", hatch.simulator.as_str()),
    ];
    let good = [&second[..], &[("HATCH_TWILIO__AUTH_TOKEN", AUTH_TOKEN)][..]].concat();
    let (listed, said) = run(&hatch, &["accounts", "list", "--json"], &good).await;
    assert!(listed, "{said}");
    assert!(
        said.contains("/api/v1/webhooks/twilio/second") && !said.contains(SECOND_TOKEN),
        "{said}"
    );
    let line = said.lines().find(|line| line.contains("twilio/second")).expect("a line");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["health"], "unknown", "no dispatcher has it: {said}");
    let (checked, said) = run(&hatch, &["accounts", "check"], &good).await;
    assert!(checked && said.contains("active"), "{said}");
    // The token that the harness sets is another's.
    let (checked, said) = run(&hatch, &["accounts", "check", "--json"], &second).await;
    assert!(!checked, "{said}");
    let verdict = |name: &str| {
        let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["name"] == name).map(|line| line["verdict"].clone())
    };
    assert_eq!((verdict("twilio"), verdict("second")), (Some(json!("refused")), Some(json!("ok"))));
    let (checked, said) = run(&hatch, &["accounts", "check", "second"], &second).await;
    assert!(checked, "{said}");
    let (known, said) = run(&hatch, &["accounts", "check", "nobody"], &second).await;
    assert!(!known && said.contains("hatch accounts list"), "{said}");
    hatch.finish().await;
}
