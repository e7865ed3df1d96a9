//! The pages by which people sign in and accept an invitation. They are clients of the API as any other, and say nothing of
//! anybody: the server fills nothing in.

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::hardening::SIGN_IN;

const HTML: &str = "text/html; charset=utf-8";

pub(super) fn routes() -> Router {
    let page = |kind: &'static str, text: &'static str| {
        get(async move || ([(CONTENT_TYPE, kind)], text).into_response())
    };
    let html = |text: &'static str| {
        get(async move || {
            let headers = [(CONTENT_SECURITY_POLICY, SIGN_IN)];
            (headers, [(CONTENT_TYPE, HTML)], text).into_response()
        })
    };
    Router::new()
        .route("/auth/sign-in", html(include_str!("pages/sign-in.html")))
        .route("/auth/invitation", html(include_str!("pages/invitation.html")))
        .route(
            "/auth/people.js",
            page("text/javascript; charset=utf-8", include_str!("pages/people.js")),
        )
        .route(
            "/auth/people.css",
            page("text/css; charset=utf-8", include_str!("pages/people.css")),
        )
}

#[cfg(test)]
mod tests {
    /// Nothing that stands in a page runs, so nothing may stand there that would have to.
    #[test]
    fn pages_have_no_script_and_no_style_of_their_own_and_each_field_has_a_name() {
        for page in [include_str!("pages/sign-in.html"), include_str!("pages/invitation.html")] {
            for forbidden in
                ["<style", "style=", "onclick", "onsubmit", "javascript:", "http://", "https://"]
            {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
            assert_eq!(page.matches("<script").count(), page.matches("<script src=").count());
            for field in page.split("<input ").skip(1) {
                let id = field.split("id=\"").nth(1).and_then(|rest| rest.split('"').next());
                let label = format!("for=\"{}\"", id.expect("an id"));
                assert!(page.contains(&label), "{label}");
            }
            assert!(page.contains("width=device-width") && page.contains("lang=\"en\""));
        }
    }
}
