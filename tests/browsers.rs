//! What a browser may be made to do on behalf of a page that is not ours: nothing.

use hatch::roles::Role;
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{CUSTOMER, Hatch};
use crate::keys::closed;

async fn raw(hatch: &Hatch, request: &str) -> String {
    let address = hatch.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_name_that_somebody_lets_point_here_is_not_answered() {
    let hatch = Hatch::start().await;
    let evil = [("host", "evil.example")];
    for path in ["/api/v1/messages", "/health", "/metrics", "/docs/", "/api/v1/nothing"] {
        let answer = hatch.request(Method::GET, path, &evil, None).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
        assert_eq!(answer.body["code"], "misdirected");
    }
    for path in ["/api/webhooks/sms", "/api/v1/webhooks/generic"] {
        let answer = hatch.request(Method::POST, path, &evil, Some("{}".to_owned())).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
    }
    let tunnel = [("host", "abc.tunnel.example")];
    let signed =
        hatch.request(Method::POST, "/api/v1/webhooks/twilio", &tunnel, Some("{}".into())).await;
    assert_eq!(signed.status, StatusCode::UNAUTHORIZED, "its signature decides: {}", signed.body);
    for hosts in ["", "Host: localhost\r\nHost: localhost\r\n", "Host: a b\r\n"] {
        let request = format!("GET /health HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let answer = raw(&hatch, &request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{hosts:?}: {answer}");
    }
    let localhost = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(raw(&hatch, localhost).await.starts_with("HTTP/1.1 200"));
    hatch.finish().await;
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let hatch = Hatch::start().await;
    let id = hatch.send_sms(CUSTOMER, "Hello").await;
    hatch.message_with_status(&id, "delivered").await;
    for from in [
        vec![("sec-fetch-site", "cross-site")],
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
        vec![("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")],
    ] {
        for path in ["cancel", "retry"].map(|what| format!("/api/v1/messages/{id}/{what}")) {
            let answer = hatch.request(Method::POST, &path, &from, None).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {from:?}");
            assert_eq!(answer.body["code"], "foreign_site");
        }
        let read = hatch.request(Method::GET, "/api/v1/messages", &from, None).await;
        assert_eq!(read.status, StatusCode::FORBIDDEN, "{from:?}");
    }
    let origin = hatch.url.clone();
    let own = [("origin", origin.as_str()), ("sec-fetch-site", "same-origin")];
    let retry = format!("/api/v1/messages/{id}/retry");
    let answer = hatch.request(Method::POST, &retry, &own, None).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "our own page may ask: {}", answer.body);
    hatch.finish().await;
}

#[tokio::test]
async fn the_simulator_is_told_what_to_do_by_no_page() {
    let hatch = Hatch::start().await;
    let control = format!("{}/_sim/messages", hatch.simulator);
    let ask = async |header: (&str, &str)| {
        let request = hatch.http.get(&control).header(header.0, header.1);
        request.send().await.expect("an answer")
    };
    assert_eq!(ask(("host", "evil.example")).await.status(), StatusCode::MISDIRECTED_REQUEST);
    let foreign = ask(("origin", "https://evil.example")).await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let own = ask(("accept", "*/*")).await;
    assert_eq!(own.status(), StatusCode::OK);
    for answer in [foreign, own] {
        assert_eq!(answer.headers()["x-frame-options"], "DENY");
    }
    hatch.finish().await;
}

#[tokio::test]
async fn every_answer_tells_browsers_to_do_little_with_it() {
    let hatch = Hatch::start().await;
    for path in ["/health", "/api/v1/messages", "/nothing", "/metrics", "/docs/", "/docs"] {
        let answer = hatch.http.get(format!("{}{path}", hatch.url)).send().await;
        let headers = answer.expect("an answer").headers().clone();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(policy.contains("script-src 'self'"), path.starts_with("/docs"), "{path}");
        let kept = headers.get("cache-control").is_none_or(|value| value != "no-store");
        assert_eq!(kept, path.starts_with("/docs"), "{path}");
        assert!(!headers.contains_key("strict-transport-security"), "it is not https");
    }
    hatch.finish().await;
}

/// As `cors.origins` says, and with no more than a key that the page shows itself.
#[tokio::test]
async fn a_page_of_a_listed_origin_may_ask_with_a_key_and_no_other_may() {
    const APP: &str = "https://app.example.com";
    let hatch = Hatch::start_with(&Role::ALL, |settings| {
        closed(settings);
        settings.cors.origins = vec![APP.to_owned()];
    });
    let hatch = hatch.await.opened().await;
    let (origin, method) = (("origin", APP), ("access-control-request-method", "POST"));
    let cross = ("sec-fetch-site", "cross-site");
    let asked = async |method, headers: &[(&str, &str)]| {
        hatch.request(method, "/api/v1/messages", headers, None).await
    };
    // Nobody shows a key when a browser asks beforehand.
    let preflight = [origin, cross, method, ("authorization", "")];
    let answer = asked(Method::OPTIONS, &preflight).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    assert_eq!(answer.header("access-control-allow-origin"), APP);
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    assert_eq!(answer.header("access-control-max-age"), "600");

    let answer = asked(Method::GET, &[origin, cross, ("sec-fetch-mode", "cors")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("access-control-allow-origin"), APP);
    assert!(answer.header("access-control-expose-headers").contains("x-request-id"));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    let unknown = asked(Method::GET, &[origin, cross, ("authorization", "Bearer nobody")]).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
    assert_eq!(unknown.header("access-control-allow-origin"), APP, "a page may read why");

    for headers in [
        &[("origin", "https://evil.example"), cross, method][..],
        &[("origin", "null"), cross, method],
        &[origin, cross, method, ("sec-fetch-mode", "navigate")],
    ] {
        for method in [Method::OPTIONS, Method::POST, Method::GET] {
            let answer = asked(method, headers).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{headers:?}");
        }
    }
    let metrics = hatch.request(Method::GET, "/metrics", &[origin, cross], None).await;
    assert_eq!(metrics.status, StatusCode::FORBIDDEN);
    hatch.finish().await;
}
