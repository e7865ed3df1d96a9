//! The walk over the document. It fails at a route that it does not know how to call, so that none is forgotten.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Things, Two};
use crate::harness::{Answer, CUSTOMER, SENDER};
use crate::keys::Key;
use crate::openapi;

/// Events that clients have caused. What hatch does of what they asked for goes on meanwhile.
const BY_CLIENTS: &str = "SELECT count(*) FROM es.events WHERE metadata->>'actor' LIKE 'key:%'";

/// Routes without an end, which have a test of their own.
pub(super) const STREAMS: [&str; 2] = ["/api/v1/events", "/api/events"];

/// What was walked.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) cases: usize,
    /// Cases in which the tenant itself saw what the other one asked for.
    pub(super) seen_by_owner: usize,
    /// Places in the first tenant's lists that the second one went on from.
    pub(super) cursors: usize,
}

/// What has to become of a write.
enum Expected {
    /// There is no such thing for this tenant, and nothing is recorded.
    Nothing,
    /// The key lacks the scope `platform`, and nothing is recorded.
    Refused,
    /// The item is answered by a problem, and nothing is recorded.
    RefusedItem,
    /// Only a provider's signature, or what a person knows, counts here, and nothing is recorded.
    Unsigned,
    /// It is about the person who asks, and a key is none: nothing is recorded.
    NoPerson,
    /// It is the tenant's own, and the other one's is as it was.
    Own,
}

struct Walk<'a> {
    two: &'a Two,
    things: &'a Things,
    head: i64,
    walked: Walked,
}

/// Asks every operation of the document with both keys of the second tenant for what the first one has.
pub(super) async fn all(two: &Two, things: &Things) -> Walked {
    let head = two.hatch.log_length().await;
    let mut walk = Walk { two, things, head, walked: Walked::default() };
    let (reads, writes): (Vec<_>, Vec<_>) =
        openapi::operations().into_iter().partition(|(method, _, _)| *method == Method::GET);
    assert!(reads.len() > 20 && writes.len() > 12, "{} and {}", reads.len(), writes.len());
    for (_, path, operation) in &reads {
        walk.read(path, operation).await;
    }
    let (own, foreign): (Vec<_>, Vec<_>) = writes
        .into_iter()
        .partition(|(method, path, _)| matches!(walk.write_of(method, path).1, Expected::Own));
    // What is the second tenant's own is recorded, so it comes last.
    for (method, path, _) in foreign.iter().chain(&own) {
        walk.write(method, path).await;
    }
    walk.walked
}

/// The providers that have an account.
const PROVIDERS: [&str; 2] = ["twilio", "sendgrid"];

/// The provider whose webhooks come to `path`.
fn provider_of(path: &str) -> Option<&'static str> {
    let name = path.strip_prefix("/api/v1/webhooks/")?.split('/').next()?;
    hatch_providers::provider(name).map(|provider| provider.name())
}

impl Walk<'_> {
    /// The paths that a path of the document stands for: one for each of the things.
    fn paths(&self, path: &str) -> Vec<String> {
        // The others have no account here.
        if provider_of(path).is_some_and(|provider| !PROVIDERS.contains(&provider)) {
            return Vec::new();
        }
        let Some((before, _)) = path.split_once('{') else { return vec![path.to_owned()] };
        let tenants = [hatch_domain::ids::TenantId::DEFAULT.0.to_string()];
        let providers = PROVIDERS.map(str::to_owned);
        let own: Vec<String> = provider_of(before).into_iter().map(str::to_owned).collect();
        let addresses = ["bob@example.com".to_owned()];
        let ids: &[String] = match before {
            "/api/v1/messages/" => &self.things.messages,
            "/api/v1/conversations/" | "/api/conversations/" | "/api/conversation/" => {
                &self.things.conversations
            }
            "/api/v1/attachments/" => &self.things.attachments,
            "/api/v1/webhook-log/" | "/api/v1/webhooks/replay/" => &self.things.webhooks,
            "/api/v1/events/" => &self.things.positions,
            "/api/v1/requests/" => &self.things.requests,
            "/api/v1/accounts/" => &self.things.accounts,
            "/api/v1/routes/" => &self.things.routes,
            "/api/v1/pools/" => &self.things.pools,
            "/api/v1/api-keys/" => &self.things.keys,
            "/api/v1/members/" => &self.things.members,
            "/api/v1/sessions/" => &self.things.sessions,
            "/api/v1/tasks/" => &self.things.tasks,
            "/api/v1/tenants/" => &tenants,
            "/api/v1/team-recipients/" => &addresses,
            "/api/v1/webhooks/" => &providers,
            // Each account is called as its provider.
            _ if !own.is_empty() => &own,
            _ => panic!("the walk does not know what {path} is about: say it here"),
        };
        let named = path[before.len()..].split_once('}').expect("the end of a name").1;
        assert!(!named.contains('{'), "{path} names two things: say here which");
        ids.iter().map(|id| format!("{before}{id}{named}")).collect()
    }

    /// What is asked for in the query of a read: nothing, each parameter alone, and what is required always.
    async fn queries(&mut self, path: &str, operation: &Value) -> Vec<String> {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let (mut always, mut queries) = (Vec::new(), vec![String::new()]);
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().expect("a name");
            let values = match name {
                "cursor" => self.cursors(path).await,
                _ => self.values(path, name).unwrap_or_else(|| {
                    panic!("the walk does not know what to say as ?{name}= of {path}: say it here")
                }),
            };
            let pairs = values.iter().map(|value| format!("{name}={value}"));
            match parameter["required"] == true {
                true => always.extend(pairs.take(1)),
                false => queries.extend(pairs),
            }
        }
        let with = |query: String| {
            let parts = always.iter().cloned().chain([query]).filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join("&")
        };
        queries.into_iter().map(with).collect()
    }

    fn values(&self, path: &str, name: &str) -> Option<Vec<String>> {
        let encoded = CUSTOMER.replace('+', "%2B");
        let now = self.two.hatch.in_time(chrono::TimeDelta::zero());
        let now = now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let values = match name {
            "limit" => vec!["200".to_owned()],
            "after" => vec![self.head.to_string()],
            "wait" => Vec::new(),
            "at" => vec![self.head.to_string(), now],
            "address" => vec![encoded],
            "participant" => vec![encoded, "ann@example.com".to_owned()],
            "conversation" => self.things.conversations.clone(),
            "class" => vec!["other".to_owned()],
            "code" => vec!["21211".to_owned()],
            "account" => vec!["twilio".to_owned()],
            "message" => self.things.messages.clone(),
            "programme" => vec!["sms".to_owned()],
            "channel" => vec!["sms".to_owned(), "email".to_owned()],
            "direction" => vec!["outbound".to_owned(), "inbound".to_owned()],
            "status" if path == "/api/v1/requests" => vec!["200".to_owned(), "4xx".to_owned()],
            "route" => vec!["/api/v1/messages".to_owned()],
            "min_duration_ms" => vec!["1".to_owned()],
            "actor" => vec![format!("key:{}", self.things.keys[0])],
            "key" => self.things.keys.clone(),
            "action" => vec!["consent.withdrawn".to_owned(), "request.refused".to_owned()],
            "object_kind" => vec!["api_key".to_owned(), "consent".to_owned()],
            "object_id" => self.things.keys.clone(),
            "from" => vec!["2026-01-31T12:00:00Z".to_owned()],
            "to" => vec![now],
            "format" => vec!["ndjson".to_owned()],
            "status" => vec!["delivered".to_owned(), "failed".to_owned()],
            "all" => vec!["true".to_owned()],
            "test" => vec!["true".to_owned(), "false".to_owned()],
            "outcome" => vec!["applied".to_owned(), "quarantined".to_owned()],
            _ => return None,
        };
        Some(values)
    }

    /// Where the first tenant's own list goes on.
    async fn cursors(&mut self, path: &str) -> Vec<String> {
        let list = self.two.hatch.get(&format!("{path}?limit=1")).await;
        let cursor = list.body["next_cursor"].as_str().map(str::to_owned);
        self.walked.cursors += usize::from(cursor.is_some());
        cursor.into_iter().collect()
    }

    async fn read(&mut self, path: &str, operation: &Value) {
        let content = &operation["responses"]["200"]["content"];
        if content.get("text/event-stream").is_some() {
            assert!(STREAMS.contains(&path), "{path} is a stream without a test");
            return;
        }
        // One thing that is not there is a 404; of a list it may also be empty.
        let is_one = path.ends_with('}');
        for path in self.paths(path) {
            for query in self.queries(&path, operation).await {
                let asked = format!("{path}?{query}");
                let asked = asked.trim_end_matches('?');
                let owners = self.two.hatch.get(asked).await;
                self.walked.seen_by_owner += usize::from(owners.status == StatusCode::OK);
                for (n, key) in self.two.second.iter().enumerate() {
                    let answer = self.two.hatch.get_by(key, asked).await;
                    self.walked.cases += 1;
                    self.unseen(&answer, asked, is_one, n == 1);
                }
            }
        }
    }

    fn unseen(&self, answer: &Answer, asked: &str, is_one: bool, is_narrow: bool) {
        let Answer { status, body, .. } = answer;
        self.things.assert_unseen(body, asked);
        if asked.starts_with("/api/v1/requests") {
            let own = self.two.second.each_ref().map(|key| key.id.as_str());
            let rows = body["data"].as_array().into_iter().flatten();
            for key in rows.map(|row| row["key"].as_str().unwrap_or_default()) {
                assert!(own.contains(&key), "{asked} shows a request by {key}");
            }
        }
        let is_of_platform = asked.starts_with("/api/v1/tenants");
        let fits = match status.as_u16() {
            404 => true,
            403 => (is_narrow || is_of_platform) && body["code"] == "missing_scope",
            200 => !is_one && !is_of_platform,
            // A cursor may say whose list it is of.
            400 => asked.contains("cursor="),
            _ => false,
        };
        assert!(fits, "GET {asked}: {status} {body}");
        if *status == StatusCode::OK && asked.starts_with("/api/v1/consent") {
            assert_eq!(body["state"], "unknown", "{asked}: {body}");
        }
    }

    /// The body of a write, and what has to become of it.
    fn write_of(&self, method: &Method, path: &str) -> (Option<Value>, Expected) {
        let answer = json!({"conversation_id": self.things.conversations[0], "body": "Hello"});
        match (method.as_str(), path) {
            (
                "POST",
                "/api/v1/messages/{id}/cancel"
                | "/api/v1/messages/{id}/retry"
                | "/api/v1/webhooks/replay/{id}"
                | "/api/v1/api-keys/{id}/rotate",
            )
            | (
                "DELETE",
                "/api/v1/api-keys/{id}"
                | "/api/v1/accounts/{name}"
                | "/api/v1/routes/{id}"
                | "/api/v1/pools/{name}"
                | "/api/v1/members/{id}"
                | "/api/v1/sessions/{id}",
            ) => (None, Expected::Nothing),
            ("POST", "/api/v1/messages/{id}/resolve") => {
                (Some(json!({"as": "sent", "reason": "seen there"})), Expected::Nothing)
            }
            ("POST", "/api/v1/dead-letters/redrive") => {
                (Some(json!({"ids": self.things.messages})), Expected::Own)
            }
            ("POST", "/api/v1/conversations/{id}/messages") => {
                (Some(json!({"body": "Hello"})), Expected::Nothing)
            }
            ("POST", "/api/v1/messages" | "/api/v1/messages/send" | "/api/v1/messages/preview") => {
                (Some(answer), Expected::Nothing)
            }
            ("POST", "/api/v1/messages/batch") => {
                (Some(json!({"messages": [answer]})), Expected::RefusedItem)
            }
            ("POST", "/api/v1/tenants") => (Some(json!({"name": "third"})), Expected::Refused),
            ("PATCH", "/api/v1/tenants/{id}") => {
                (Some(json!({"suspended": true})), Expected::Refused)
            }
            (
                "POST",
                "/api/v1/webhooks/{provider}" | "/api/webhooks/sms" | "/api/webhooks/email",
            ) => (Some(json!({})), Expected::Unsigned),
            ("POST", path) if provider_of(path).is_some() => (Some(json!({})), Expected::Unsigned),
            ("PUT", "/api/v1/consent") => {
                (Some(json!({"address": CUSTOMER, "state": "opted_in"})), Expected::Own)
            }
            ("PUT" | "DELETE", "/api/v1/team-recipients/{address}") => (None, Expected::Own),
            ("POST", "/api/v1/api-keys") => {
                let scopes = ["messages:read"];
                (Some(json!({"name": "another", "scopes": scopes})), Expected::Own)
            }
            ("POST", path) if compat(path).is_some() => (compat(path), Expected::Own),
            (method, path) if of_people(method, path).is_some() => {
                of_people(method, path).expect("it is one")
            }
            (method, path) if of_configuration(method, path).is_some() => {
                of_configuration(method, path).expect("it is one")
            }
            _ => panic!("the walk does not know how to call {method} {path}: say it here"),
        }
    }

    async fn write(&mut self, method: &Method, path: &str) {
        for asked in self.paths(path) {
            let (body, expected) = self.write_of(method, path);
            for (n, key) in self.two.second.iter().enumerate() {
                let before = self.two.hatch.count(BY_CLIENTS).await;
                let answer =
                    self.two.hatch.request_by(key, method.clone(), &asked, body.as_ref()).await;
                self.walked.cases += 1;
                let at = format!("{method} {asked}: {} {}", answer.status, answer.body);
                self.things.assert_unseen(&answer.body, &at);
                let is_own = n == 0 && matches!(expected, Expected::Own);
                if !is_own {
                    assert_eq!(self.two.hatch.count(BY_CLIENTS).await, before, "{at}");
                }
                match (n == 1, &expected) {
                    (_, Expected::Unsigned) => assert!(answer.status.is_client_error(), "{at}"),
                    (_, Expected::NoPerson) => {
                        assert_eq!(answer.text("code"), "not_signed_in", "{at}")
                    }
                    // One that can only read is not told whether there is such a thing.
                    (true, _) | (_, Expected::Refused) => {
                        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{at}");
                        assert_eq!(answer.text("code"), "missing_scope", "{at}");
                    }
                    (_, Expected::Nothing) => {
                        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{at}");
                    }
                    (_, Expected::RefusedItem) => {
                        assert_eq!(answer.body["data"][0]["error"]["status"], 404, "{at}");
                    }
                    (_, Expected::Own) => {
                        assert!(answer.status.is_success(), "{at}");
                        self.untouched(key, &at).await;
                    }
                }
            }
        }
    }

    /// After a write of the second tenant's own the first one has what it had.
    async fn untouched(&self, key: &Key, at: &str) {
        let hatch = &self.two.hatch;
        let consent = format!("/api/v1/consent?address={}", CUSTOMER.replace('+', "%2B"));
        assert_eq!(hatch.get(&consent).await.body["state"], "opted_out", "{at}");
        let team = hatch.get("/api/v1/team-recipients").await.body;
        assert_eq!(team["data"][0]["address"], "ann@example.com", "{at}: {team}");
        assert_eq!(team["data"].as_array().map(Vec::len), Some(1), "{at}: {team}");
        let keys = hatch.get("/api/v1/api-keys?limit=200").await;
        let listed = keys.body["data"].as_array().expect("a list");
        assert!(listed.iter().all(|one| one["name"] != "another"), "{at}: {}", keys.body);
        let keys = hatch.get_by(key, "/api/v1/api-keys?limit=200").await;
        self.things.assert_unseen(&keys.body, at);
    }
}

/// A send in the words of older systems, which name no conversation.
fn compat(path: &str) -> Option<Value> {
    let body = match path {
        "/api/messages/sms" => {
            json!({"from": SENDER, "to": CUSTOMER, "type": "sms", "body": "Hello"})
        }
        "/api/messages/email" => json!({"from": "user@usehatchapp.com", "to": "bob@example.com",
            "type": "email", "body": "Hello"}),
        "/api/send_message" => json!({"from": "alice", "to": "bob", "body": "Hello"}),
        "/api/send_email" => {
            json!({"to_email": "bob@example.com", "subject": "Hello", "body": "Hello"})
        }
        _ => return None,
    };
    Some(body)
}

/// The writes of accounts, routes and pools.
fn of_configuration(method: &str, path: &str) -> Option<(Option<Value>, Expected)> {
    let (body, expected) = match (method, path) {
        ("POST", "/api/v1/accounts") => {
            let sid = format!("AC{}", "8".repeat(32));
            let url = "https://hatch.example.com";
            let settings =
                json!({"account_sid": sid, "auth_token": "of the second", "public_url": url});
            let account = json!({"name": "of-the-second", "provider": "twilio",
                "senders": ["+12015550100"], "settings": settings});
            (account, Expected::Own)
        }
        ("PATCH", "/api/v1/accounts/{name}") => (json!({"senders": []}), Expected::Nothing),
        ("POST", "/api/v1/routes") => {
            (json!({"from": "+12015550100", "accounts": ["twilio"]}), Expected::Own)
        }
        ("PATCH", "/api/v1/routes/{id}") => (json!({"order": 5}), Expected::Nothing),
        ("POST", "/api/v1/pools") => {
            let pool = json!({"name": "of-the-second", "channel": "mms", "senders": ["73822"]});
            (pool, Expected::Own)
        }
        ("PATCH", "/api/v1/pools/{name}") => (json!({"senders": ["73822"]}), Expected::Nothing),
        _ => return None,
    };
    Some((Some(body), expected))
}

/// The same of writes that people make.
fn of_people(method: &str, path: &str) -> Option<(Option<Value>, Expected)> {
    Some(match (method, path) {
        ("PATCH", "/api/v1/members/{id}") => (Some(json!({"role": "viewer"})), Expected::Nothing),
        ("POST", "/api/v1/members") => {
            let invited = json!({"email": "of-the-second@example.com", "role": "agent"});
            (Some(invited), Expected::Own)
        }
        ("POST", "/api/v1/session") => {
            let guess = json!({"email": "nobody@example.com", "password": "a good guess"});
            (Some(guess), Expected::Unsigned)
        }
        ("POST", "/api/v1/invitations/accept") => {
            // None of the first tenant's is known to anybody by now.
            let guess = json!({"invitation": "AAAA".repeat(16), "password": "a good guess"});
            (Some(guess), Expected::Unsigned)
        }
        ("DELETE", "/api/v1/session") | ("POST", "/api/v1/session/totp") => {
            (None, Expected::NoPerson)
        }
        ("PUT", "/api/v1/session/totp") => {
            (Some(json!({"enrolment": "s1", "code": "123456"})), Expected::NoPerson)
        }
        ("DELETE", "/api/v1/session/totp") => {
            (Some(json!({"password": "a good guess"})), Expected::NoPerson)
        }
        ("PUT", "/api/v1/session/password") => {
            let change = json!({"password": "a good guess", "new_password": "a better guess"});
            (Some(change), Expected::NoPerson)
        }
        _ => return None,
    })
}
