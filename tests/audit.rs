//! Who did what and who was refused what, as the audit and the request log show it, and that neither holds a secret.

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::doctor::run;
use crate::harness::{CUSTOMER, Hatch, SENDER};
use crate::keys::Key;
use crate::webhooks::receipt;

/// Stands wherever a client can write something that is no id.
const SECRET: &str = "hk_live_Th1sIsN0tAnId_s3cretS3cretS3cretS3cret";

/// What a test needs to look at the audit.
struct Watched {
    hatch: Hatch,
    /// Who reads the audit and the request log, and nothing else.
    auditor: Key,
}

impl Watched {
    async fn start() -> Self {
        let hatch = Hatch::closed().await;
        let auditor = hatch.create_key(&["--scope", "audit:read"]).await;
        Self { hatch, auditor }
    }

    /// The newest entry that the filter finds, once there is one.
    async fn entry(&self, filter: &str) -> Value {
        let path = format!("/api/v1/audit?{filter}&limit=1");
        self.hatch
            .eventually(&format!("the audit has {filter}"), async |hatch| {
                let list = hatch.get_by(&self.auditor, &path).await;
                assert_eq!(list.status, StatusCode::OK, "{}", list.body);
                list.body["data"].as_array()?.first().cloned()
            })
            .await
    }

    /// The newest request that the filter finds, once there is one.
    async fn request(&self, filter: &str) -> Value {
        let path = format!("/api/v1/requests?{filter}&limit=1");
        self.hatch
            .eventually(&format!("the request log has {filter}"), async |hatch| {
                let list = hatch.get_by(&self.auditor, &path).await;
                assert_eq!(list.status, StatusCode::OK, "{}", list.body);
                list.body["data"].as_array()?.first().cloned()
            })
            .await
    }

    /// The actor that the harness asks as.
    fn admin(&self) -> String {
        let bearer = self.hatch.key.as_deref().expect("a key");
        format!("key:{}", Key::of(bearer).id)
    }
}

#[tokio::test]
async fn changes_refusals_looks_and_exports_are_in_the_audit_with_who_did_them() {
    let watched = Watched::start().await;
    let Watched { hatch, auditor } = &watched;
    let admin = watched.admin();

    // Changes, by what is in the log of events.
    let narrow = json!({"name": "narrow", "scopes": ["messages:read"]}).to_string();
    let named = [("x-request-id", "made-by-the-test")];
    let made = hatch.request(Method::POST, "/api/v1/api-keys", &named, Some(narrow)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let key = Key::of(&made.body.to_string());
    let entry = watched.entry(&format!("action=api_key.created&object_id={}", key.id)).await;
    assert_eq!(
        (&entry["actor"], &entry["request_id"]),
        (&json!(admin), &json!("made-by-the-test"))
    );
    assert_eq!(entry["object"], json!({"kind": "api_key", "id": key.id}));
    assert_eq!(entry["details"]["scopes"], json!(["messages:read"]));
    assert!(entry["details"].get("secret_hash").is_none(), "{entry}");
    let later =
        json!({"to": CUSTOMER, "body": "later", "send_at": hatch.in_time(TimeDelta::days(1))});
    let later = hatch.post("/api/v1/messages", &later).await.text("id").to_owned();
    let canceled = hatch.post(&format!("/api/v1/messages/{later}/cancel"), &json!({})).await;
    assert_eq!(canceled.status, StatusCode::OK, "{}", canceled.body);
    let entry = watched.entry(&format!("object_kind=message&object_id={later}")).await;
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("message.canceled"), &json!(admin)));
    assert_eq!(entry["position"], canceled.body["position"]);

    // Refusals.
    let message = json!({"from": SENDER, "to": CUSTOMER, "body": SECRET});
    let refused = hatch.post_by(&key, "/api/v1/messages", &message).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let entry = watched.entry(&format!("action=request.refused&actor=key:{}", key.id)).await;
    assert_eq!(entry["details"]["code"], "missing_scope");
    assert_eq!(entry["details"]["route"], "/api/v1/messages");
    assert_eq!(entry["request_id"], refused.body["instance"]);
    let revoked = format!("/api/v1/api-keys/{}", key.id);
    assert!(hatch.request(Method::DELETE, &revoked, &[], None).await.status.is_success());
    let entry = watched.entry(&format!("object_id={}&action=api_key.revoked", key.id)).await;
    assert_eq!(entry["actor"], admin);
    assert_eq!(hatch.get_by(&key, "/api/v1/messages").await.status, StatusCode::UNAUTHORIZED);
    let from = entry["at"].as_str().expect("a time");
    let entry = watched.entry(&format!("action=request.refused&key={}&from={from}", key.id)).await;
    assert_eq!((&entry["actor"], &entry["details"]["status"]), (&Value::Null, &json!(401)));
    assert_eq!(entry["ip"], "127.0.0.1");

    // Looks at what not everybody may see.
    let unknown = receipt("", "SM00000000000000000000000000000043", "delivered");
    assert!(unknown.send(hatch).await.is_success());
    let list = hatch.get("/api/v1/webhook-log?limit=1").await;
    let webhook = list.body["data"][0]["id"].as_str().expect("a webhook").to_owned();
    let looks = "SELECT count(*) FROM access.audit WHERE action = 'webhook_body.read'";
    let shut = hatch.create_key(&["--scope", "webhooks:read"]).await;
    let without = hatch.get_by(&shut, &format!("/api/v1/webhook-log/{webhook}")).await;
    assert_eq!((without.status, &without.body["body"]), (StatusCode::OK, &Value::Null));
    assert_eq!(hatch.count(looks).await, 0, "nothing was shown");
    assert!(hatch.get(&format!("/api/v1/webhook-log/{webhook}")).await.body["body"].is_string());
    assert_eq!(hatch.count(looks).await, 1, "it is there before the answer");
    let entry = watched.entry("action=webhook_body.read").await;
    assert_eq!(entry["object"], json!({"kind": "webhook", "id": webhook}));
    assert_eq!(entry["actor"], admin);

    // An export, which is in the audit and not in itself.
    let export = hatch.get_by(auditor, "/api/v1/audit?format=ndjson&action=request.refused").await;
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    let Value::String(lines) = &export.body else { panic!("{}", export.body) };
    assert!(lines.lines().count() >= 2, "{lines}");
    for line in lines.lines() {
        let entry: Value = serde_json::from_str(line).expect("an object a line");
        assert_eq!(entry["action"], "request.refused", "{line}");
    }
    let entry = watched.entry("action=audit.exported").await;
    assert_eq!(entry["actor"], format!("key:{}", auditor.id));
    assert_eq!(entry["details"]["action"], "request.refused");
    watched.hatch.finish().await;
}

#[tokio::test]
async fn pages_of_the_audit_go_on_where_they_were_whatever_comes_meanwhile() {
    let watched = Watched::start().await;
    let hatch = &watched.hatch;
    for n in 0..7 {
        let key = json!({"name": format!("key {n}"), "scopes": ["messages:read"]});
        assert_eq!(hatch.post("/api/v1/api-keys", &key).await.status, StatusCode::CREATED);
    }
    let position = hatch.log_length().await;
    let mut path = format!("/api/v1/audit?action=api_key.created&limit=3&after={position}&wait=30");
    let (mut names, mut ids) = (Vec::new(), Vec::new());
    loop {
        let page = hatch.get_by(&watched.auditor, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        for entry in page.body["data"].as_array().expect("a list") {
            names.push(entry["details"]["name"].as_str().expect("a name").to_owned());
            ids.push(entry["id"].clone());
        }
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/api/v1/audit?action=api_key.created&limit=3&cursor={cursor}");
        let more = json!({"name": "meanwhile", "scopes": ["messages:read"]});
        assert_eq!(hatch.post("/api/v1/api-keys", &more).await.status, StatusCode::CREATED);
    }
    let expected: Vec<_> = (0..7).rev().map(|n| format!("key {n}")).collect();
    assert_eq!(names[..7], expected[..]);
    assert!(!names.iter().any(|name| name == "meanwhile"), "{names:?}");
    let distinct: std::collections::BTreeSet<_> = ids.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), ids.len());
    watched.hatch.finish().await;
}

#[tokio::test]
async fn the_request_log_shows_what_was_asked_and_no_secret() {
    let watched = Watched::start().await;
    let Watched { hatch, auditor } = &watched;
    let message = json!({"from": SENDER, "to": CUSTOMER, "body": SECRET,
        "metadata": {"password": SECRET, SECRET: "x"}});
    let sent = hatch.post("/api/v1/messages", &message).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.body);
    let wrong = json!({"to": CUSTOMER, SECRET: SECRET});
    assert_eq!(hatch.post("/api/v1/messages", &wrong).await.status, StatusCode::BAD_REQUEST);
    for path in [
        format!("/api/v1/messages?participant={SECRET}"),
        format!("/api/v1/messages?{SECRET}={SECRET}"),
        format!("/api/v1/messages/{SECRET}"),
    ] {
        let asked = hatch.get(&path).await.status;
        assert!(asked.is_client_error() || asked.is_success(), "{path}: {asked}");
    }
    let bearer = format!("Bearer {SECRET}");
    let headers = [("authorization", bearer.as_str()), ("cookie", SECRET), ("x-note", SECRET)];
    let refused = hatch.request(Method::GET, "/api/v1/messages", &headers, None).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);

    let route = "route=POST%20/api/v1/messages&status=2xx";
    let logged = watched.request(route).await;
    assert_eq!((&logged["method"], &logged["status"]), (&json!("POST"), &json!(202)));
    assert_eq!(format!("key:{}", logged["key"].as_str().expect("a key")), watched.admin());
    assert_eq!(
        (&logged["position"], &logged["touched"]),
        (&sent.body["position"], &json!([sent.text("id")]))
    );
    assert_eq!(logged["id"], sent.header("x-request-id"));
    assert!(logged["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{logged}");
    assert_eq!(logged["body"], Value::Null, "a list shows none");
    let failed = watched.request("status=400&route=POST%20/api/v1/messages").await;
    assert_eq!(failed["code"], "invalid_request");
    let unknown = watched.request("route=/api/v1/messages/{id}&status=404").await;
    assert_eq!(
        (&unknown["path"], &unknown["touched"]),
        (&json!("/api/v1/messages/***"), &json!([]))
    );

    // The form of a body is for who may read raw ones, and that is in the audit.
    let one = format!("/api/v1/requests/{}", sent.header("x-request-id"));
    assert_eq!(hatch.get_by(auditor, &one).await.body["body"], Value::Null);
    let shown = hatch.get(&one).await;
    assert_eq!(
        shown.body["body"],
        json!({"from": "string", "to": "string", "body": "string", "metadata": "object"})
    );
    let entry = watched.entry("action=request_body.read").await;
    assert_eq!(entry["actor"], watched.admin());
    assert_eq!(entry["object"]["id"], sent.header("x-request-id"));
    assert_eq!(
        hatch.get_by(auditor, "/api/v1/requests/never-made").await.status,
        StatusCode::NOT_FOUND
    );

    let tail = ["requests", "tail", "--no-follow", "--json", "--status", "400"];
    let (done, said) = run(hatch, &tail, &[]).await;
    assert!(done && said.contains("\"invalid_request\"") && !said.contains(SECRET), "{said}");

    // No probe and no webhook is there, and nowhere a text that a client chose.
    let routes = "SELECT count(*) FROM access.requests WHERE route IN ('/health', '/ready', '/metrics') \
        OR route LIKE '/api/v1/webhooks/{%'";
    assert_eq!(hatch.count(routes).await, 0);
    for table in ["access.requests", "access.audit", "rm_audit.entries"] {
        let part = &SECRET[8..];
        let found = format!("SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%{part}%'");
        assert_eq!(hatch.count(&found).await, 0, "{table}");
        assert!(hatch.count(&format!("SELECT count(*) FROM {table}")).await > 0, "{table}");
    }
    watched.hatch.finish().await;
}

#[tokio::test]
async fn a_batch_of_which_a_part_was_refused_has_an_entry_with_how_much_of_it() {
    let watched = Watched::start().await;
    let hatch = &watched.hatch;
    let scopes = ["--scope", "messages:write", "--scope", "messages:read", "--channel", "sms"];
    let narrow = hatch.create_key(&scopes).await;
    let sms = json!({"from": SENDER, "to": CUSTOMER, "body": "Hello"});
    let mail = json!({"from": "user@usehatchapp.com", "to": "ann@example.com", "body": "Hello"});
    let batch = json!({"messages": [mail, sms, mail]});
    let answer = hatch.post_by(&narrow, "/api/v1/messages/batch", &batch).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!(answer.body["data"][1]["status"], "queued", "{}", answer.body);
    let path = format!("/api/v1/audit?key={}&action=request.refused", narrow.id);
    let entry = hatch
        .eventually("the audit has what was refused of the batch", async |hatch| {
            let list = hatch.get_by(&watched.auditor, &path).await;
            let entries = list.body["data"].as_array()?;
            entries.iter().find(|entry| entry["details"]["parts"] == 2).cloned()
        })
        .await;
    assert_eq!(entry["details"]["code"], "channel_not_allowed", "{entry}");
    assert_eq!(entry["details"]["status"], 403, "{entry}");
    assert_eq!(entry["actor"], format!("key:{}", narrow.id), "{entry}");
    watched.hatch.finish().await;
}

#[tokio::test]
async fn many_refusals_leave_few_rows_and_their_number() {
    let watched = Watched::start().await;
    let hatch = &watched.hatch;
    let headers = [("authorization", "Bearer nonsense")];
    for _ in 0..40 {
        let refused = hatch.request(Method::GET, "/api/v1/messages", &headers, None).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
    let metrics = hatch.get("/metrics").await.body;
    let left_out =
        metrics.as_str().expect("text").lines().find_map(|line| {
            line.strip_prefix("hatch_audit_refusals_total{outcome=\"left_out\"} ")
        });
    let left_out: i64 = left_out.expect("it is counted").parse().expect("a number");
    // Keys that were asked for before they were known count, too, and minutes may end meanwhile.
    assert!(left_out >= 10, "{left_out}");
    let refused =
        "SELECT count(*) FROM access.audit WHERE action = 'request.refused' AND actor IS NULL";
    hatch
        .eventually("the few are written", async |hatch| {
            let rows = hatch.count(refused).await;
            assert!(rows <= 33, "{rows} rows");
            (rows >= 10).then_some(())
        })
        .await;
    watched.hatch.finish().await;
}
