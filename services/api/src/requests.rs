//! Which requests belong together, by which a front tells the roles apart that answer them.

use http::Method;

/// Paths whose requests come from providers.
const WEBHOOKS: [&str; 2] = ["/api/v1/webhooks", "/api/webhooks"];

/// Pages by which people sign in. Who comes there may come in, which is a write.
const PEOPLE: &str = "/auth";

/// Requests that one role answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    /// Those of clients that change something.
    Writes,
    /// Those of clients that read.
    Reads,
    /// What providers send.
    Webhooks,
}

impl Requests {
    /// The name of the role that answers them.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::Writes => "command",
            Self::Reads => "query",
            Self::Webhooks => "webhook",
        }
    }

    /// Those that a request by `method` to `path` belongs to.
    #[must_use]
    pub fn of(method: &Method, path: &str) -> Self {
        let is_under = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if WEBHOOKS.into_iter().any(is_under) {
            Self::Webhooks
        } else if matches!(*method, Method::GET | Method::HEAD) && !is_under(PEOPLE) {
            Self::Reads
        } else {
            Self::Writes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_readers_and_writers_reach_their_own_role() {
        for (method, path, requests) in [
            (Method::POST, "/api/v1/webhooks/twilio", Requests::Webhooks),
            (Method::POST, "/api/webhooks/sms", Requests::Webhooks),
            (Method::GET, "/api/v1/webhooks", Requests::Webhooks),
            (Method::POST, "/api/v1/webhook-endpoints", Requests::Writes),
            (Method::GET, "/api/v1/webhook-log", Requests::Reads),
            (Method::HEAD, "/health", Requests::Reads),
            (Method::POST, "/api/v1/messages", Requests::Writes),
            (Method::DELETE, "/api/v1/contacts/1", Requests::Writes),
            (Method::GET, "/auth/sign-in", Requests::Writes),
            (Method::GET, "/authors", Requests::Reads),
        ] {
            assert_eq!(Requests::of(&method, path), requests, "{method} {path}");
        }
    }
}
