//! What a process answers to a request that none of its roles takes.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

use crate::problem::Problem;
use crate::requests::Requests;

/// How the paths begin where providers come, by whatever methods they have: what comes there knows the account.
const OF_PROVIDERS: &str = "/api/v1/webhooks/{provider}";
const BY_PROVIDERS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// `routes`, which answer every path of the document whatever roles this process has: 405 to a method that no
/// role takes, with those that one does; 421 to one that another role takes. 404 to everything else.
pub(crate) fn complete(routes: Router) -> Router {
    let paths = Arc::new(Paths::of(&super::document()));
    let other = |unknown: StatusCode| {
        let paths = Arc::clone(&paths);
        move |request: Request| async move {
            paths.refuse(request.method(), request.uri().path(), unknown)
        }
    };
    // What is served and not in the document, such as its own page, says itself what it takes.
    routes
        .fallback(other(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(other(StatusCode::METHOD_NOT_ALLOWED))
}

/// The paths of the document, those without parameters first, and their methods.
struct Paths(Vec<(String, Vec<&'static str>)>);

impl Paths {
    fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        let methods = |path: &str, item| match path.starts_with(OF_PROVIDERS) {
            true => BY_PROVIDERS.to_vec(),
            false => methods(item),
        };
        let mut paths: Vec<_> =
            paths.map(|(path, item)| (path.clone(), methods(path, item))).collect();
        paths.sort_by_key(|(path, _)| path.contains('{'));
        Self(paths)
    }

    /// The answer where no route is: `unknown` to a path that the document does not have.
    fn refuse(&self, method: &Method, path: &str, unknown: StatusCode) -> Response {
        let Some((_, methods)) = self.0.iter().find(|(template, _)| fits(path, template)) else {
            return unknown.into_response();
        };
        if methods.contains(&method.as_str()) {
            return Problem::other_role(Requests::of(method, path).role()).into_response();
        }
        let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
        if let Ok(allow) = HeaderValue::from_str(&methods.join(",")) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }
}

fn methods(item: &PathItem) -> Vec<&'static str> {
    let methods = [
        ("GET", &item.get),
        // Every GET answers a HEAD, too.
        ("HEAD", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    methods.into_iter().filter(|(_, operation)| operation.is_some()).map(|(name, _)| name).collect()
}

fn fits(path: &str, template: &str) -> bool {
    let (mut path, mut template) = (path.split('/'), template.split('/'));
    loop {
        match (path.next(), template.next()) {
            (None, None) => return true,
            (Some(part), Some(parameter)) if parameter.starts_with('{') && !part.is_empty() => {}
            (Some(part), Some(literal)) if part == literal => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(method: &str, path: &str) -> (u16, Option<String>) {
        let method = method.parse().expect("a method");
        let response =
            Paths::of(&super::super::document()).refuse(&method, path, StatusCode::NOT_FOUND);
        let allow = response.headers().get(header::ALLOW);
        let allow = allow.map(|allow| allow.to_str().expect("ASCII").to_owned());
        (response.status().as_u16(), allow)
    }

    #[test]
    fn a_method_that_no_role_takes_is_answered_with_those_that_one_does() {
        for (method, path, allow) in [
            ("TRACE", "/api/v1/messages", "GET,HEAD,POST"),
            ("GET", "/api/v1/messages/batch", "POST"),
            ("GET", "/api/v1/messages/send", "POST"),
            ("POST", "/api/events", "GET,HEAD"),
            ("POST", "/api/v1/messages/018f", "GET,HEAD"),
            ("GET", "/api/send_email", "POST"),
            ("TRACE", "/api/v1/webhooks/twilio", "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS"),
        ] {
            assert_eq!(refused(method, path), (405, Some(allow.to_owned())), "{method} {path}");
        }
    }

    #[test]
    fn what_another_role_takes_is_misdirected() {
        for (method, path) in [
            ("POST", "/api/v1/messages"),
            ("HEAD", "/api/v1/messages"),
            ("PUT", "/api/v1/consent"),
            ("POST", "/api/v1/webhooks/twilio"),
            ("GET", "/api/v1/webhooks/twilio"),
        ] {
            assert_eq!(refused(method, path), (421, None), "{method} {path}");
        }
    }

    #[test]
    fn what_nobody_takes_is_not_found() {
        for (method, path) in [
            ("GET", "/api/v1/letters"),
            ("GET", "/api/v1/messages/"),
            ("GET", "/api/v1/messages/018f/events/more"),
        ] {
            assert_eq!(refused(method, path), (404, None), "{method} {path}");
        }
    }
}
