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
    use std::process::Command;

    /// Where the page goes on that is opened with this `return_to`, as node runs it; nothing where there is no node.
    fn goes_on(wanted: &str) -> Option<String> {
        let script = include_str!("pages/people.js");
        let next = script.split("function next() {").nth(1).expect("a function");
        let next = next.split("\n}\n").next().expect("its end");
        let program = format!(
            "const search = '?' + new URLSearchParams({{ return_to: process.argv[1] }});
             const location = {{ search, origin: 'https://hatch.example.com' }};
             function next() {{ {next} }}
             console.log(next());"
        );
        let output = match Command::new("node").args(["-e", &program, "--", wanted]).output() {
            // Where the tests of generated clients run there is one.
            Err(_) if std::env::var_os("HATCH_TEST_TYPESCRIPT").is_none() => return None,
            output => output.expect("node runs"),
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned())
    }

    #[test]
    fn who_has_signed_in_goes_on_here_and_nowhere_else() {
        for (wanted, expected) in [
            ("/inbox/1?x=1#y", "/inbox/1?x=1#y"),
            ("/a/../inbox", "/inbox"),
            ("", ""),
            ("inbox", ""),
            ("//", ""),
            ("//evil.example", ""),
            ("/\\evil.example", ""),
            ("/.//evil.example", ""),
            ("/..//evil.example", ""),
            ("/%2e//evil.example", ""),
            ("/x/..//evil.example", ""),
            ("/\t/evil.example", ""),
            ("https://evil.example/", ""),
            ("javascript:alert(1)", ""),
        ] {
            let Some(path) = goes_on(wanted) else { return };
            assert_eq!(path, expected, "{wanted}");
        }
    }

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
