//! What each route needs: the OpenAPI document says it, which is made of the handlers themselves.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use hatch_domain::scope::Scope;
use serde_json::Value;

use crate::openapi::{BEARER, document};

/// Routes that are everybody's. What providers post is signed; the rest says nothing of any tenant.
const PUBLIC: [&str; 11] = [
    "/",
    "/health",
    "/ready",
    "/metrics",
    "/api/v1/openapi.json",
    "/api/v1/webhooks/{provider}",
    "/api/v1/webhooks/{provider}/inbound",
    "/api/v1/webhooks/{provider}/{account}",
    "/api/v1/webhooks/{provider}/{account}/inbound",
    "/api/webhooks/sms",
    "/api/webhooks/email",
];

/// Pages that are everybody's with all that lies below them.
const PUBLIC_PAGES: [&str; 3] = ["/docs", "/api/v1/docs", "/auth"];

/// Where people come by an identity provider, which is no part of the document.
const BY_OTHERS: [&str; 3] =
    ["GET /auth/oidc/start", "POST /auth/oidc/start", "GET /auth/oidc/callback"];

/// What a route asks of who comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Public,
    /// Valid credentials, whatever they allow: it is about the caller himself. So is a method by which nothing is done
    /// there, and it is said so.
    Known,
    /// Valid credentials with this scope.
    Needs(Scope),
}

/// What is asked for, by route and method.
type Asked = HashMap<String, Vec<(String, Access)>>;

static ASKED: LazyLock<Asked> = LazyLock::new(asked);

/// Reads the document now, and not when the first request comes.
pub(super) fn prepare() {
    LazyLock::force(&ASKED);
}

/// What a request by `method` needs that the router matched with `route`.
pub(super) fn of(method: &Method, route: &str) -> Access {
    if is_public(route) {
        return Access::Public;
    }
    // What nobody has thought of is the administrator's.
    let Some(methods) = ASKED.get(route) else { return Access::Needs(Scope::Admin) };
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let found = methods.iter().find(|(name, _)| name == method.as_str());
    found.map_or(Access::Known, |(_, access)| *access)
}

/// Whether `text` is the method and the pattern of the path of a route whose requests are counted, such as
/// `GET /api/v1/messages`.
pub(crate) fn is_route(text: &str) -> bool {
    BY_OTHERS.contains(&text) || asked_by(text).is_some()
}

/// Whether `text`, a method and the pattern of a path, is of a route by which somebody comes who has shown nobody yet who he
/// is: his address is what is counted.
pub(crate) fn is_sign_in(text: &str) -> bool {
    BY_OTHERS.contains(&text) || asked_by(text) == Some(Access::Public)
}

/// What the document says of the route.
fn asked_by(text: &str) -> Option<Access> {
    let (method, path) = text.split_once(' ')?;
    let methods = ASKED.get(path).filter(|_| !is_public(path))?;
    methods.iter().find(|(name, _)| name == method).map(|(_, access)| *access)
}

/// Whether `route` asks nothing of who comes to it.
pub(crate) fn is_public(route: &str) -> bool {
    let is_of = |page: &&str| {
        route.strip_prefix(*page).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    PUBLIC.contains(&route) || PUBLIC_PAGES.iter().any(is_of)
}

fn asked() -> Asked {
    let document = serde_json::to_value(document()).unwrap_or_default();
    let paths = document["paths"].as_object();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().into_iter().flatten();
        let methods = methods.map(|(method, operation)| {
            (method.to_ascii_uppercase(), said(operation).unwrap_or(Access::Needs(Scope::Admin)))
        });
        (path.clone(), methods.collect())
    };
    paths.into_iter().flatten().map(of_path).collect()
}

/// What an operation says that it asks for: one scope; no scope, of somebody who is known; or, by a requirement that is
/// empty, nothing. One that was forgotten has no requirement, and says nothing.
fn said(operation: &Value) -> Option<Access> {
    let requirements = operation["security"].as_array()?;
    if requirements.iter().any(|one| one.as_object().is_some_and(serde_json::Map::is_empty)) {
        return Some(Access::Public);
    }
    let scopes = requirements.iter().find_map(|requirement| requirement[BEARER].as_array())?;
    match scopes.first() {
        None => Some(Access::Known),
        Some(scope) => scope.as_str()?.parse().ok().map(Access::Needs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation of the document, its method and what it says of its own.
    fn operations() -> Vec<(Method, String, Value)> {
        let document = serde_json::to_value(document()).expect("a document of texts");
        let paths = document["paths"].as_object().expect("paths");
        let mut all = Vec::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("an item") {
                let method = method.to_ascii_uppercase().parse().expect("a method");
                all.push((method, path.clone(), operation.clone()));
            }
        }
        all
    }

    #[test]
    fn a_route_is_a_method_and_a_pattern() {
        for (text, is) in [
            ("POST /api/v1/messages", true),
            ("GET /api/v1/messages/{id}", true),
            ("DELETE /api/v1/messages", false),
            ("GET /api/v1/messages/1", false),
            ("post /api/v1/messages", false),
            ("/api/v1/messages", false),
            ("GET /health", false),
            ("GET /nope", false),
        ] {
            assert_eq!(is_route(text), is, "{text}");
        }
    }

    #[test]
    fn every_operation_names_its_scope_or_is_in_the_list_of_public_ones() {
        let (mut public, mut scoped) = (0, 0);
        for (method, path, operation) in operations() {
            match (said(&operation), is_public(&path)) {
                (None, true) | (Some(Access::Public), false) => public += 1,
                (Some(access), false) => {
                    assert_eq!(of(&method, &path), access, "{method} {path}");
                    scoped += 1;
                }
                (said, _) => {
                    panic!("{method} {path} says {said:?}: expected a scope or a line in PUBLIC")
                }
            }
        }
        assert!(public >= 8 && scoped > 25, "{public} public operations, and {scoped} others");
    }

    #[test]
    fn the_page_has_each_scope_and_says_which_no_operation_needs() {
        let page = include_str!("../../../../docs/api.md");
        let (_, table) = page.split_once("| scope | allows |\n").expect("a table");
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let shown: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
        let idle = page.lines().find(|line| line.contains("no endpoint needs them yet"));
        let idle: Vec<&str> = idle.expect("a line").split('`').skip(1).step_by(2).collect();
        let needed: Vec<_> = operations().iter().filter_map(|(.., of)| said(of)).collect();
        for scope in Scope::ALL {
            let name = scope.as_str();
            assert!(shown.contains(&name) != idle.contains(&name), "{name}: in one of both");
            let is_needed = needed.contains(&Access::Needs(*scope));
            assert!(!is_needed || shown.contains(&name), "{name} is needed");
        }
    }

    #[test]
    fn routes_need_what_their_handlers_say() {
        for (method, route, scope) in [
            ("GET", "/api/v1/messages", Scope::MessagesRead),
            ("HEAD", "/api/v1/messages", Scope::MessagesRead),
            ("POST", "/api/v1/messages", Scope::MessagesWrite),
            ("POST", "/api/v1/messages/send", Scope::MessagesWrite),
            ("POST", "/api/v1/messages/batch", Scope::MessagesWrite),
            ("POST", "/api/v1/messages/{id}/cancel", Scope::MessagesWrite),
            ("POST", "/api/v1/messages/{id}/retry", Scope::MessagesWrite),
            ("POST", "/api/v1/messages/{id}/resolve", Scope::MessagesWrite),
            ("GET", "/api/v1/messages/{id}/attempts", Scope::MessagesRead),
            ("GET", "/api/v1/in-doubt", Scope::MessagesRead),
            ("POST", "/api/v1/dead-letters/redrive", Scope::MessagesWrite),
            ("GET", "/api/v1/tasks/{id}", Scope::MessagesRead),
            ("GET", "/api/v1/messages/{id}", Scope::MessagesRead),
            ("GET", "/api/v1/messages/{id}/events", Scope::MessagesRead),
            ("GET", "/api/v1/messages/{id}/recipients", Scope::MessagesRead),
            ("GET", "/api/v1/attachments/{id}", Scope::MessagesRead),
            ("GET", "/api/v1/dead-letters", Scope::MessagesRead),
            ("GET", "/api/v1/events", Scope::MessagesRead),
            ("GET", "/api/v1/events/{position}", Scope::MessagesRead),
            ("GET", "/api/events", Scope::MessagesRead),
            ("GET", "/api/v1/conversations", Scope::ConversationsRead),
            ("GET", "/api/v1/conversations/{id}", Scope::ConversationsRead),
            ("GET", "/api/v1/conversations/{id}/messages", Scope::ConversationsRead),
            ("GET", "/api/v1/conversations/{id}/events", Scope::ConversationsRead),
            ("POST", "/api/v1/conversations/{id}/messages", Scope::MessagesWrite),
            ("GET", "/api/v1/consent", Scope::ContactsRead),
            ("PUT", "/api/v1/consent", Scope::ConsentWrite),
            ("GET", "/api/v1/webhook-log", Scope::WebhooksRead),
            ("GET", "/api/v1/webhook-log/{id}", Scope::WebhooksRead),
            ("POST", "/api/v1/webhooks/replay/{id}", Scope::WebhooksWrite),
            ("GET", "/api/v1/projections", Scope::Admin),
            ("GET", "/api/v1/team-recipients", Scope::Admin),
            ("PUT", "/api/v1/team-recipients/{address}", Scope::Admin),
            ("DELETE", "/api/v1/team-recipients/{address}", Scope::Admin),
            ("POST", "/api/messages/sms", Scope::MessagesWrite),
            ("POST", "/api/messages/email", Scope::MessagesWrite),
            ("POST", "/api/send_message", Scope::MessagesWrite),
            ("POST", "/api/send_email", Scope::MessagesWrite),
            ("GET", "/api/conversations", Scope::ConversationsRead),
            ("GET", "/api/conversations/{id}/messages", Scope::ConversationsRead),
            ("GET", "/api/conversation/{id}/messages", Scope::ConversationsRead),
            ("GET", "/api/v1/of-tomorrow", Scope::Admin),
        ] {
            let method = method.parse().expect("a method");
            assert_eq!(of(&method, route), Access::Needs(scope), "{method} {route}");
        }
    }

    #[test]
    fn what_says_nothing_of_a_tenant_or_is_signed_is_everybodys() {
        for route in [
            "/",
            "/health",
            "/docs",
            "/docs/",
            "/docs/{*rest}",
            "/api/v1/docs/{*rest}",
            "/api/v1/webhooks/{provider}",
            "/api/v1/webhooks/{provider}/{account}",
            "/api/v1/webhooks/{provider}/{account}/inbound",
        ] {
            assert_eq!(of(&Method::GET, route), Access::Public, "{route}");
        }
        for (method, route, access) in [
            ("POST", "/api/v1/session", Access::Public),
            ("GET", "/api/v1/session", Access::Known),
            ("DELETE", "/api/v1/session", Access::Known),
            ("GET", "/api/v1/sessions", Access::Known),
            ("GET", "/api/v1/limits", Access::Known),
            ("POST", "/api/v1/invitations/accept", Access::Public),
            ("PUT", "/api/v1/session/password", Access::Known),
            ("GET", "/api/v1/members", Access::Needs(Scope::Admin)),
            ("GET", "/auth/sign-in", Access::Public),
        ] {
            let method = method.parse().expect("a method");
            assert_eq!(of(&method, route), access, "{method} {route}");
        }
        for (text, is_one) in [
            ("POST /api/v1/session", true),
            ("POST /api/v1/invitations/accept", true),
            ("GET /auth/oidc/callback", true),
            ("GET /api/v1/session", false),
            ("GET /auth/sign-in", false),
            ("GET /health", false),
        ] {
            assert_eq!(is_sign_in(text), is_one, "{text}");
        }
        assert!(is_route("POST /api/v1/session") && is_route("GET /api/v1/session"));
        assert_eq!(of(&Method::GET, "/docsother"), Access::Needs(Scope::Admin));
        assert_eq!(of(&Method::DELETE, "/api/v1/messages"), Access::Known);
    }
}
