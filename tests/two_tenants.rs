//! Two tenants see nothing of each other: every route of the document is asked with the other one's key.

mod walk;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::contents::{message_from, parsed, post_mail};
use crate::harness::{CUSTOMER, Hatch, SENDER};
use crate::keys::Key;
use crate::live::Source;
use crate::people::Visitor;
use crate::webhooks::{Post, receipt};

/// What stands in the texts of the first tenant, and nowhere else.
const SECRET: &str = "the-word-of-the-first";

/// The default tenant, whose the provider accounts are, and another one, with two keys each.
pub(super) struct Two {
    pub(super) hatch: Hatch,
    /// Both of the first tenant: for everything, and for sending alone.
    first: [Key; 2],
    /// Both of the second: for everything, and for reading messages alone.
    pub(super) second: [Key; 2],
    pub(super) second_tenant: String,
}

/// What the first tenant has, by what names it.
#[derive(Default)]
pub(super) struct Things {
    pub(super) messages: Vec<String>,
    pub(super) conversations: Vec<String>,
    pub(super) attachments: Vec<String>,
    pub(super) webhooks: Vec<String>,
    pub(super) keys: Vec<String>,
    pub(super) accounts: Vec<String>,
    pub(super) routes: Vec<String>,
    pub(super) pools: Vec<String>,
    pub(super) positions: Vec<String>,
    pub(super) members: Vec<String>,
    pub(super) sessions: Vec<String>,
    pub(super) requests: Vec<String>,
    pub(super) tasks: Vec<String>,
}

impl Two {
    async fn start() -> Self {
        let mut hatch = Hatch::closed().await;
        let first = [
            hatch.create_key(&["--scope", "admin"]).await,
            hatch.create_key(&["--scope", "messages:write"]).await,
        ];
        hatch.key = Some(first[0].bearer());
        let tenant = hatch.create_tenant("second").await;
        let of_second =
            async |scope: &str| hatch.create_key(&["--tenant", &tenant, "--scope", scope]).await;
        let second = [of_second("admin").await, of_second("messages:read").await];
        Self { hatch, first, second, second_tenant: tenant }
    }

    /// A chat of the second tenant; no provider has a part in it.
    async fn chat(&self) -> String {
        let chat =
            json!({"channel": "chat", "from": "alice", "to": "bob", "body": "of the second"});
        let answer = self.hatch.post_by(&self.second[0], "/api/v1/messages", &chat).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.text("id").to_owned()
    }

    /// An account, a route and a pool of the first tenant. Nobody sends from their sender, so nothing is sent by them.
    async fn configuration(&self) -> [String; 3] {
        let hatch = &self.hatch;
        let account = json!({"name": "of-the-first", "provider": "twilio", "senders": ["+12015550100"],
            "settings": {"account_sid": format!("AC{}", "7".repeat(32)), "auth_token": "of the first",
                "public_url": "https://hatch.example.com"}});
        let account = hatch.post("/api/v1/accounts", &account).await;
        assert_eq!(account.status, StatusCode::CREATED, "{}", account.body);
        let route = json!({"from": "+12015550100", "accounts": ["twilio"]});
        let route = hatch.post("/api/v1/routes", &route).await;
        assert_eq!(route.status, StatusCode::CREATED, "{}", route.body);
        let pool = json!({"name": "of-the-first", "channel": "mms", "senders": ["+12015550100"]});
        let pool = hatch.post("/api/v1/pools", &pool).await;
        assert_eq!(pool.status, StatusCode::CREATED, "{}", pool.body);
        [account.text("name"), route.text("id"), pool.text("name")].map(str::to_owned)
    }

    /// Some of everything that a tenant can have, until nothing more happens to it.
    async fn things(&self) -> Things {
        let hatch = &self.hatch;
        let sms = hatch.send_sms(CUSTOMER, SECRET).await;
        hatch.message_with_status(&sms, "delivered").await;
        let failed = hatch.send_sms("+18045550400", SECRET).await;
        hatch.message_with_status(&failed, "failed").await;
        let later = json!({"from": SENDER, "to": CUSTOMER, "body": SECRET,
            "send_at": hatch.in_time(chrono::TimeDelta::days(1))});
        let later = hatch.post("/api/v1/messages", &later).await.text("id").to_owned();
        hatch.message_with_status(&later, "scheduled").await;

        let headers = "Message-ID: <two-tenants@example.com>\r\n";
        let mut parts = parsed(headers, "Ann <ann@example.com>", SECRET);
        parts.push(("attachment1", Some(("plan.pdf", "application/pdf")), b"%PDF"));
        assert!(post_mail(hatch, &parts).await.is_success());
        let mail = message_from(hatch, "ann@example.com").await;
        let unknown = Post {
            path_and_query: "/api/v1/webhooks/twilio".to_owned(),
            ..receipt("", "SM00000000000000000000000000000042", "delivered")
        };
        assert!(unknown.send(hatch).await.is_success());
        let wish = json!({"address": CUSTOMER, "state": "opted_out"});
        let wish = hatch.request(Method::PUT, "/api/v1/consent", &[], Some(wish.to_string())).await;
        assert_eq!(wish.status, StatusCode::OK, "{}", wish.body);
        let of_team = "/api/v1/team-recipients/ann@example.com";
        let of_team = hatch.request(Method::PUT, of_team, &[], None).await;
        assert_eq!(of_team.status, StatusCode::OK, "{}", of_team.body);

        let id_of = |one: &Value| one["id"].as_str().expect("an id").to_owned();
        let [account, route, pool] = self.configuration().await;
        let mut things = Things {
            pools: vec![pool],
            attachments: mail["attachments"].as_array().expect("files").iter().map(id_of).collect(),
            accounts: vec![account],
            routes: vec![route],
            keys: self.first.iter().map(|key| key.id.clone()).collect(),
            messages: vec![sms, failed, later, id_of(&mail)],
            ..Things::default()
        };
        let ids = async |path: &str| -> Vec<String> {
            let position = hatch.log_length().await;
            let list = hatch.get(&format!("{path}?limit=200&after={position}&wait=30")).await;
            assert_eq!(list.status, StatusCode::OK, "{}", list.body);
            list.body["data"].as_array().expect("a list").iter().map(id_of).collect()
        };
        things.conversations = ids("/api/v1/conversations").await;
        things.webhooks = ids("/api/v1/webhook-log").await;
        let visitor = Visitor::invited(hatch, "ann@example.com", "owner").await;
        things.members = ids("/api/v1/members").await;
        things.sessions = vec![visitor.session_id(hatch).await];
        let task =
            hatch.post("/api/v1/dead-letters/redrive", &json!({"ids": things.messages})).await;
        things.tasks = vec![task.text("id").to_owned()];
        let tenant = &self.second_tenant;
        let sql =
            format!("SELECT position FROM es.events WHERE tenant_id <> '{tenant}' ORDER BY 1");
        let positions = hatch.rows(&sql).await;
        things.positions = positions.iter().map(|row| row.get::<_, i64>(0).to_string()).collect();
        // They are written a moment after they were answered.
        things.requests = hatch
            .eventually("requests are logged", async |hatch| {
                let route = "route=/api/v1/conversations&status=200&limit=2";
                let list = hatch.get(&format!("/api/v1/requests?{route}")).await;
                let ids: Vec<_> = list.body["data"].as_array()?.iter().map(id_of).collect();
                (!ids.is_empty()).then_some(ids)
            })
            .await;
        for (what, ids) in things.by_name() {
            assert!(!ids.is_empty(), "the first tenant has no {what}");
        }
        things
    }
}

impl Things {
    fn by_name(&self) -> [(&'static str, &[String]); 13] {
        [
            ("messages", &self.messages),
            ("conversations", &self.conversations),
            ("attachments", &self.attachments),
            ("webhooks", &self.webhooks),
            ("keys", &self.keys),
            ("accounts", &self.accounts),
            ("routes", &self.routes),
            ("pools", &self.pools),
            ("positions", &self.positions),
            ("members", &self.members),
            ("sessions", &self.sessions),
            ("requests", &self.requests),
            ("tasks", &self.tasks),
        ]
    }

    /// Fails where `said` shows anything of these things.
    pub(super) fn assert_unseen(&self, said: &Value, at: &str) {
        // It is of nobody, and its examples are of the addresses that tests use.
        if at.contains("openapi.json") {
            return;
        }
        // What somebody asked for is his to see, also where it is not his: the log of his own requests names it.
        let is_own = at.contains("/api/v1/requests");
        let said = said.to_string();
        let named = self.by_name().into_iter().filter(|(what, _)| *what != "positions");
        let named = named.filter(|_| !is_own);
        let ids = named.flat_map(|(_, ids)| ids).map(String::as_str);
        for mark in ids.chain([SECRET, "ann@example.com", "plan.pdf"]) {
            assert!(!said.contains(mark), "{at} shows {mark}: {said}");
        }
    }
}

#[tokio::test]
async fn no_route_of_the_document_shows_or_changes_what_another_tenant_has() {
    let two = Two::start().await;
    let things = two.things().await;
    let chat = two.chat().await;
    let walked = walk::all(&two, &things).await;
    // The walk is over things that its tenant does see.
    assert!(walked.seen_by_owner > 20, "{walked:?}");
    assert!(walked.cursors > 4, "{walked:?}");
    assert!(walked.cases > 300, "{walked:?}");

    let own = two.hatch.get_by(&two.second[1], "/api/v1/messages?limit=200").await;
    let own: Vec<_> = own.body["data"].as_array().expect("a list").iter().collect();
    assert!(own.iter().any(|message| message["id"] == chat), "its own it does see: {own:?}");
    let list = two.hatch.get("/api/v1/messages?limit=200").await;
    for message in own {
        let id = message["id"].as_str().expect("an id");
        assert!(!list.body.to_string().contains(id), "the first tenant sees {message}");
    }
    two.hatch.finish().await;
}

/// The provider accounts are the default tenant's, and send for all.
#[tokio::test]
async fn what_became_of_a_message_is_told_to_the_tenant_that_sent_it() {
    let two = Two::start().await;
    for to in [CUSTOMER, "ok@example.com"] {
        let message = json!({"to": to, "body": "of the second"});
        let answer = two.hatch.post_by(&two.second[0], "/api/v1/messages", &message).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        let path = format!("/api/v1/messages/{}", answer.text("id"));
        two.hatch
            .eventually("the receipt is in", async |hatch| {
                let message = hatch.get_by(&two.second[0], &path).await;
                (message.body["status"] == "delivered").then_some(())
            })
            .await;
        assert_eq!(two.hatch.get(&path).await.status, StatusCode::NOT_FOUND);
    }
    let waiting = "SELECT count(*) FROM hatch.waiting_receipts";
    assert_eq!(two.hatch.count(waiting).await, 0);
    two.hatch.finish().await;
}

/// The same key of two tenants' are two keys; that of two clients of one tenant is one.
#[tokio::test]
async fn an_idempotency_key_belongs_to_a_tenant() {
    let two = Two::start().await;
    let chat =
        json!({"channel": "chat", "from": "alice", "to": "bob", "body": "Hello"}).to_string();
    let send = async |key: &Key| {
        let bearer = key.bearer();
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "order-42")];
        two.hatch.request(Method::POST, "/api/v1/messages", &headers, Some(chat.clone())).await
    };
    let first = send(&two.first[0]).await;
    let second = send(&two.second[0]).await;
    for answer in [&first, &second] {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        assert!(answer.headers.get("idempotent-replayed").is_none());
    }
    for field in ["id", "conversation_id", "position"] {
        assert_ne!(first.body[field], second.body[field], "{field}");
    }
    let again = send(&two.first[1]).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.body, first.body);
    let requested = "SELECT count(*) FROM es.events WHERE type = 'MessageRequested'";
    assert_eq!(two.hatch.count(requested).await, 2);
    two.hatch.finish().await;
}

/// Reads until an event of the stream `subject`. All events on the way are of one tenant.
async fn read_until(source: &mut Source, tenant: &str, subject: &str) {
    loop {
        let event = source.next().await.expect("the stream goes on");
        assert_eq!(event.data["source"], format!("/hatch/{tenant}"), "{}", event.data);
        if event.data["subject"] == subject {
            return;
        }
    }
}

#[tokio::test]
async fn a_live_feed_brings_what_its_own_tenant_did() {
    const FIRST: &str = "00000000-0000-0000-0000-000000000001";
    let two = Two::start().await;
    let open = async |key: &Key, path: &str| {
        let request = two.hatch.http.get(format!("{}{path}", two.hatch.url));
        let request = request.header("authorization", key.bearer());
        Source::of(request.send().await.expect("hatch answers"))
    };
    for path in walk::STREAMS {
        for query in ["?from=0", "", "?from=0&types=MessageRequested"] {
            let path = format!("{path}{query}");
            let mut of_first = open(&two.first[0], &path).await;
            let mut of_second = open(&two.second[1], &path).await;
            let sms = two.hatch.send_sms(CUSTOMER, SECRET).await;
            let chat = two.chat().await;
            let last = two.hatch.send_sms(CUSTOMER, SECRET).await;
            read_until(&mut of_second, &two.second_tenant, &chat).await;
            read_until(&mut of_first, FIRST, &sms).await;
            read_until(&mut of_first, FIRST, &last).await;
        }
    }
    two.hatch.finish().await;
}
