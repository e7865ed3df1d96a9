//! Which codes of errors an answer can have: all that there are stand at the schema, those of an operation at its
//! answers.

use serde_json::{Value, json};

use super::walk::fields;
use crate::problem::Entry;
use crate::problem::catalogue::{
    ACCOUNT_EXISTS, ACCOUNT_IN_USE, CHANNEL_NOT_ALLOWED, CONFLICT, CONTENT_TYPE, FOREIGN_SITE,
    IDEMPOTENCY_KEY_REUSED, INVALID_REQUEST, INVITATION_INVALID, IP_NOT_ALLOWED, KEY_ENDED,
    LAST_OWNER, MEMBER_INACTIVE, MEMBER_JOINED, MESSAGE_IS_LIVE, MISDIRECTED, MISSING_SCOPE,
    NO_ACCOUNT, NO_MASTER_KEY, NO_PASSWORD, NOT_FOUND, NOT_REPLAYED, NOT_SIGNED_IN, OTHER,
    OTHER_ROLE, OVERLOADED, POOL_EXISTS, PROBLEMS, QUOTA_EXCEEDED, RECIPIENT_NOT_ON_LIST,
    ROUTE_EXISTS, SENDER_NOT_ALLOWED, SEVERAL_TENANTS, STRONGER_KEY, STRONGER_ROLE, TEAM_LIST_FULL,
    TENANT_SUSPENDED, TOO_LARGE, TOO_MANY_ACCOUNTS, TOO_MANY_ATTEMPTS, TOO_MANY_KEYS,
    TOO_MANY_MEMBERS, TOO_MANY_POOLS, TOO_MANY_ROUTES, TOTP_ENABLED, TOTP_REQUIRED, UNANSWERABLE,
    UNAUTHORIZED, UNAVAILABLE, WRONG_CODE, WRONG_PASSWORD, WRONG_SIGN_IN, WRONG_SIGNATURE,
};

/// Where the codes of a schema, and of an answer, stand. More may come, so they are no closed list.
const OF_SCHEMA: &str = "x-extensible-enum";
const OF_ANSWER: &str = "x-problem-codes";

/// The batch, whose messages are refused each for itself, and the answer in a conversation.
const BATCH: &str = "/api/v1/messages/batch";
const REPLY: &str = "/api/v1/conversations/{id}/messages";

/// What takes a send and sends nothing.
const PREVIEW: &str = "/api/v1/messages/preview";

/// Where people are, and how they come.
const MEMBERS: &str = "/api/v1/members";
const SESSION: &str = "/api/v1/session";
const INVITATIONS: &str = "/api/v1/invitations";

/// Where a password is asked for, and attempts are counted.
const PROVES: [(&str, &str); 4] = [
    ("post", SESSION),
    ("put", "/api/v1/session/password"),
    ("put", "/api/v1/session/totp"),
    ("delete", "/api/v1/session/totp"),
];

/// Where messages are sent.
const SENDS: [&str; 8] = [
    "/api/v1/messages",
    "/api/v1/messages/send",
    BATCH,
    REPLY,
    "/api/messages/sms",
    "/api/messages/email",
    "/api/send_message",
    "/api/send_email",
];

/// What an operation is, as far as its errors go.
#[derive(Clone, Copy)]
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    /// Whether it asks for credentials.
    is_guarded: bool,
}

/// Names the codes.
pub(super) fn name(document: &mut Value) {
    let all: Vec<&str> = PROBLEMS.iter().map(|entry| entry.code).collect();
    document["components"]["schemas"]["Problem"]["properties"]["code"][OF_SCHEMA] = json!(all);
    for (path, item) in fields(&mut document["paths"]) {
        for (method, operation) in fields(item) {
            let asks = |one: &Value| one.as_object().is_some_and(|one| !one.is_empty());
            let is_guarded =
                operation["security"].as_array().is_none_or(|needed| needed.iter().any(asks));
            let asked = Asked { method, path, is_guarded };
            for (status, answer) in fields(&mut operation["responses"]) {
                if answer["content"]["application/problem+json"].is_null() {
                    continue;
                }
                let mut codes: Vec<&str> =
                    asked.errors(status).iter().map(|entry| entry.code).collect();
                // What an example says can be said.
                let shown =
                    answer["content"]["application/problem+json"]["example"]["code"].clone();
                if let Some(shown) = shown.as_str().filter(|shown| !codes.contains(shown)) {
                    codes.push(shown);
                }
                answer[OF_ANSWER] = json!(codes);
            }
        }
    }
}

impl Asked<'_> {
    /// What can be answered with `status`.
    fn errors(self, status: &str) -> Vec<&'static Entry> {
        let Self { path, is_guarded, .. } = self;
        match status {
            "400" => vec![&INVALID_REQUEST],
            "401" if path == SESSION && self.method == "post" => {
                vec![&WRONG_SIGN_IN, &TOTP_REQUIRED]
            }
            "401" if is_guarded => vec![&UNAUTHORIZED],
            "401" => vec![&WRONG_SIGNATURE],
            "403" if is_guarded => self.forbidden(),
            "403" => vec![&FOREIGN_SITE],
            "404" if self.is_of(INVITATIONS) => vec![&INVITATION_INVALID],
            "404" => vec![&NOT_FOUND],
            "409" => self.conflicts(),
            "413" => vec![&TOO_LARGE],
            "415" => vec![&CONTENT_TYPE],
            "421" => vec![&MISDIRECTED, &OTHER_ROLE],
            "422" if path == PREVIEW => vec![&NO_ACCOUNT],
            "422" if self.sends() && path != BATCH => vec![&IDEMPOTENCY_KEY_REUSED, &NO_ACCOUNT],
            "422" => vec![&IDEMPOTENCY_KEY_REUSED],
            "429" if self.proves() => vec![&TOO_MANY_ATTEMPTS, &QUOTA_EXCEEDED, &OVERLOADED],
            "429" => vec![&QUOTA_EXCEEDED, &OVERLOADED],
            "503" => vec![&UNAVAILABLE],
            // One that says so itself: whatever the catalogue has of it.
            _ => of_status(status),
        }
    }

    /// Why somebody who is known may not do it.
    fn forbidden(self) -> Vec<&'static Entry> {
        let mut codes = vec![&MISSING_SCOPE, &IP_NOT_ALLOWED, &TENANT_SUSPENDED, &FOREIGN_SITE];
        let of_messages = self.is_of("/api/v1/messages") || self.is_of("/api/v1/dead-letters");
        if self.sends() || (self.method == "post" && of_messages) {
            codes.extend([&SENDER_NOT_ALLOWED, &CHANNEL_NOT_ALLOWED, &RECIPIENT_NOT_ON_LIST]);
        }
        if ["/retry", "/cancel", "/resolve", "/redrive"].iter().any(|end| self.path.ends_with(end))
        {
            codes.push(&MESSAGE_IS_LIVE);
        }
        if self.is_of("/api/v1/api-keys") && self.method != "get" {
            codes.push(&STRONGER_KEY);
        }
        if (self.is_of(MEMBERS) || self.is_of("/api/v1/sessions")) && self.method != "get" {
            codes.push(&STRONGER_ROLE);
        }
        if self.path.starts_with("/api/v1/session/") {
            codes.extend([&NOT_SIGNED_IN, &WRONG_PASSWORD, &WRONG_CODE]);
        }
        codes
    }

    fn conflicts(self) -> Vec<&'static Entry> {
        let (messages, keys) = (self.is_of("/api/v1/messages"), self.is_of("/api/v1/api-keys"));
        match self.path {
            REPLY | PREVIEW => vec![&UNANSWERABLE],
            path if path.contains("/replay/") => vec![&NOT_REPLAYED],
            "/api/v1/api-keys" => vec![&TOO_MANY_KEYS],
            "/api/v1/accounts" => {
                vec![&NO_MASTER_KEY, &ACCOUNT_EXISTS, &ACCOUNT_IN_USE, &TOO_MANY_ACCOUNTS]
            }
            _ if self.is_of("/api/v1/accounts") => vec![&NO_MASTER_KEY, &ACCOUNT_IN_USE],
            "/api/v1/pools" => vec![&POOL_EXISTS, &TOO_MANY_POOLS],
            _ if self.is_of("/api/v1/pools") => vec![&TOO_MANY_POOLS],
            _ if self.is_of("/api/v1/routes") => vec![&ROUTE_EXISTS, &TOO_MANY_ROUTES],
            MEMBERS => vec![&MEMBER_JOINED, &TOO_MANY_MEMBERS],
            _ if self.is_of(MEMBERS) => vec![&MEMBER_INACTIVE, &LAST_OWNER],
            SESSION => vec![&SEVERAL_TENANTS],
            path if path.ends_with("/session/password") => vec![&NO_PASSWORD],
            _ if self.is_of(SESSION) => vec![&NO_MASTER_KEY, &NO_PASSWORD, &TOTP_ENABLED],
            _ if self.is_of("/api/v1/team-recipients") => vec![&TEAM_LIST_FULL],
            _ if keys => vec![&KEY_ENDED, &TOO_MANY_KEYS],
            _ if messages => vec![&CONFLICT],
            _ => of_status("409"),
        }
    }

    /// Whether somebody shows by it, with a password, who he is.
    fn proves(self) -> bool {
        PROVES.contains(&(self.method, self.path))
    }

    /// Whether messages are sent by it.
    fn sends(self) -> bool {
        self.method == "post" && SENDS.contains(&self.path)
    }

    fn is_of(self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn of_status(status: &str) -> Vec<&'static Entry> {
    let has = |entry: &&&'static Entry| entry.statuses.iter().any(|one| one.as_str() == status);
    let codes: Vec<_> = PROBLEMS.iter().filter(has).copied().collect();
    if codes.is_empty() { vec![&OTHER] } else { codes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_a_password_is_asked_for_are_there_too_many_attempts() {
        for (method, path, expected) in [
            ("post", "/api/v1/session", true),
            ("put", "/api/v1/session/password", true),
            ("put", "/api/v1/session/totp", true),
            ("delete", "/api/v1/session/totp", true),
            ("post", "/api/v1/session/totp", false),
            ("get", "/api/v1/session", false),
            ("delete", "/api/v1/session", false),
            ("post", "/api/v1/invitations/accept", false),
            ("post", "/api/v1/messages", false),
        ] {
            let codes = Asked { method, path, is_guarded: true }.errors("429");
            let counts = codes.iter().any(|entry| entry.code == TOO_MANY_ATTEMPTS.code);
            assert_eq!(counts, expected, "{method} {path}");
        }
    }
}
