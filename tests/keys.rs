//! A hatch that wants credentials, and keys for it, made as operators make them: by the program.

use hatch::roles::Role;
use hatch::settings::{Authentication, Settings};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::doctor::{command, run};
use crate::harness::{Answer, Hatch};

/// A key as it was shown when it was made.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// What is sent.
    pub(crate) text: String,
    /// What names it in the API and in logs.
    pub(crate) id: String,
}

impl Key {
    /// The key whose text stands somewhere in `said`.
    pub(crate) fn of(said: &str) -> Self {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut words = said.split(|c| !is_part(c));
        let text = words.find(|word| word.starts_with("hk_"));
        let text = text.unwrap_or_else(|| panic!("no key in {said}")).to_owned();
        let id = text.split('_').nth(2).expect("an id").to_owned();
        Self { text, id }
    }

    /// The header that carries it.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.text)
    }
}

/// What `serve` does and `up` does not.
pub(crate) fn closed(settings: &mut Settings) {
    settings.authentication = Authentication::Required;
}

impl Hatch {
    /// All roles, for nobody without a key. What the harness asks, it asks by a key of the default tenant's with the
    /// scope `admin`.
    pub(crate) async fn closed() -> Self {
        Self::start_with(&Role::ALL, closed).await.opened().await
    }

    /// As [`closed`](Self::closed), by clocks that [`advance`](Self::advance) sets forward.
    pub(crate) async fn closed_with_clock() -> Self {
        Self::start_with_clock(&Role::ALL, closed).await.opened().await
    }

    /// With a key to ask by.
    pub(crate) async fn opened(mut self) -> Self {
        let key = self.create_key(&["--scope", "admin"]).await;
        self.key = Some(key.bearer());
        self
    }

    /// Makes a key by `hatch keys create`, and waits until it is let in.
    pub(crate) async fn create_key(&self, arguments: &[&str]) -> Key {
        let all: Vec<&str> =
            ["keys", "create", "--name", "of a test"].iter().chain(arguments).copied().collect();
        let (made, said) = run(self, &all, &[]).await;
        assert!(made, "{all:?}: {said}");
        let key = Key::of(&said);
        self.eventually("the key is known", async |hatch| {
            let answer = hatch.get_by(&key, "/api/v1/messages?limit=1").await;
            let unknown = [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE];
            (!unknown.contains(&answer.status)).then_some(())
        })
        .await;
        key
    }

    /// Makes a tenant by `hatch tenants create` and returns its id.
    pub(crate) async fn create_tenant(&self, name: &str) -> String {
        let output = command(self, &["tenants", "create", name], &[]).output().await;
        let output = output.expect("it runs");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let id = said.split_whitespace().find(|word| word.parse::<uuid::Uuid>().is_ok());
        id.unwrap_or_else(|| panic!("no id in {said}")).to_owned()
    }

    /// Asks with `key`, whatever the harness asks by.
    pub(crate) async fn request_by(
        &self,
        key: &Key,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let headers = [("authorization", key.bearer())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.request(method, path, &headers, body.map(Value::to_string)).await
    }

    pub(crate) async fn get_by(&self, key: &Key, path: &str) -> Answer {
        self.request_by(key, Method::GET, path, None).await
    }

    pub(crate) async fn post_by(&self, key: &Key, path: &str, body: &Value) -> Answer {
        self.request_by(key, Method::POST, path, Some(body)).await
    }
}
