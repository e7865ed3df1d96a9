//! One address in front of API roles that are processes of their own.
//!
//! Bodies are streamed in both directions. Nothing is retried here: a request that may have reached
//! its role is the client's to repeat, with its idempotency key.

mod readiness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONNECTION, HeaderMap, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{Method, Version};
use axum::response::Response;
use hatch_api::{
    Connection, Connections, FORWARDED_FOR, Problem, Reading, Requests, Sites, StallListener,
    TrustedProxies,
};
use hatch_domain::Environment;
use hatch_eventstore::SystemEnvironment;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How long a connection to a role is kept for the next request: less than the role keeps it.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// What a client that finds a role down is told to wait: a restart takes no longer.
const RETRY_AFTER_S: u64 = 1;
const READY: &str = "/ready";
/// Headers of one connection, which end at the proxy (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("te"),
    HeaderName::from_static("transfer-encoding"),
    HeaderName::from_static("upgrade"),
];

/// Where each role listens.
#[derive(Clone, Debug)]
pub(crate) struct Upstreams {
    /// Those that answer requests.
    pub(crate) api: Vec<(Requests, SocketAddr)>,
    /// Every role, by its name: `/ready` says how all of them are.
    pub(crate) all: Vec<(&'static str, SocketAddr)>,
}

impl Upstreams {
    /// Where a request goes; a role for it is missing only where none was given.
    fn of(&self, method: &Method, path: &str) -> Option<SocketAddr> {
        let wanted = Requests::of(method, path);
        self.api.iter().find(|(requests, _)| *requests == wanted).map(|(_, address)| *address)
    }
}

/// Serves `upstreams` on `listener` until `shutdown`, and then until the last request has ended.
///
/// # Errors
/// The listener fails.
pub(crate) async fn serve_proxy(
    listener: TcpListener,
    upstreams: Upstreams,
    connections: Connections,
    names: Names,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_MAX));
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_MAX).build(connector);
    let app =
        Router::new().fallback(answer).with_state(Arc::new(Proxy { upstreams, names, client }));
    hatch_api::serve_plain(StallListener::new(listener, connections), app, shutdown).await
}

/// Whom requests may be made to, and who may say for whom.
#[derive(Clone, Debug)]
pub struct Names {
    /// By which names the front is reached.
    pub sites: Sites,
    /// Proxies before the front whose word on a client's address counts.
    pub trusted_proxies: TrustedProxies,
}

struct Proxy {
    upstreams: Upstreams,
    names: Names,
    client: Client<HttpConnector, Body>,
}

async fn answer(
    State(proxy): State<Arc<Proxy>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    mut request: Request,
) -> Response {
    let sites = &proxy.names.sites;
    let is_page = hatch_api::is_page(request.uri().path());
    let reading = Reading::of(&mut request);
    let mut response = match sites.check(&request) {
        Ok(()) => forward(&proxy, &connection, request).await,
        Err(refusal) => problem(refusal, sites),
    };
    // A role has done that.
    if !response.headers().contains_key(X_CONTENT_TYPE_OPTIONS) {
        hatch_api::harden(response.headers_mut(), is_page, sites.is_secure());
    }
    reading.tell(response.headers_mut());
    response
}

async fn forward(proxy: &Proxy, connection: &Connection, mut request: Request) -> Response {
    let (busy, sites) = (connection.busy(), &proxy.names.sites);
    if matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == READY {
        let response = readiness::gather(&proxy.client, &proxy.upstreams.all).await;
        return with_id(response, &SystemEnvironment.new_id().to_string());
    }
    let Some(upstream) = proxy.upstreams.of(request.method(), request.uri().path()) else {
        return problem(Problem::unavailable("there is no role that answers this"), sites);
    };
    let target = request.uri().path_and_query().cloned();
    let uri = Uri::builder()
        .scheme("http")
        .authority(upstream.to_string())
        .path_and_query(target.unwrap_or_else(|| PathAndQuery::from_static("/")))
        .build();
    let Ok(uri) = uri else {
        return problem(Problem::unreadable("the request's target is not a path"), sites);
    };
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    remove_hop_by_hop(request.headers_mut());
    // A role believes its front, so it is told the address alone and not what the client wrote there.
    let client = proxy.names.trusted_proxies.client(connection.peer.ip(), request.headers());
    if let Ok(client) = client.0.to_string().parse() {
        request.headers_mut().insert(FORWARDED_FOR, client);
    }
    let broken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&broken);
    let request = request.map(|body| {
        Body::new(body.map_err(move |error| {
            seen.store(true, Ordering::Relaxed);
            error
        }))
    });
    match proxy.client.request(request).await {
        Ok(response) => {
            // A stream may be silent for long, and its connection is not idle.
            let mut response = response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _answering = &busy;
                    frame
                }))
            });
            remove_hop_by_hop(response.headers_mut());
            response
        }
        Err(error) if error.is_connect() => {
            problem(Problem::unavailable("the role that answers this is restarting"), sites)
        }
        Err(_) if broken.load(Ordering::Relaxed) => {
            problem(Problem::unreadable("the body ended before it was whole"), sites)
        }
        Err(error) => {
            tracing::warn!(%upstream, %error, "a role hung up in the middle of a request");
            problem(Problem::hung_up(), sites)
        }
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// As the roles name it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn with_id(mut response: Response, id: &str) -> Response {
    if let Ok(id) = id.parse() {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// An answer of the proxy itself.
fn problem(problem: Problem, sites: &Sites) -> Response {
    let id = SystemEnvironment.new_id().to_string();
    with_id(sites.explain(problem).render(Some(&id)), &id)
}

#[cfg(test)]
mod tests {
    use std::future::IntoFuture as _;

    use axum::body::Bytes;
    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;
    use hatch_telemetry::limit::Limits;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// A front whose roles say who asked and how long the body was.
    async fn front() -> SocketAddr {
        let role = async |headers: HeaderMap, body: Bytes| {
            format!("{:?} {}", headers.get(FORWARDED_FOR), body.len())
        };
        front_of(Router::new().fallback(role)).await
    }

    async fn front_of(roles: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let role_address = listener.local_addr().expect("bound");
        let roles = axum::serve(StallListener::new(listener, connections()), roles);
        tokio::spawn(roles.into_future());
        let api = [Requests::Writes, Requests::Reads, Requests::Webhooks];
        let api = api.map(|requests| (requests, role_address)).into();
        front_to(Upstreams { api, all: Vec::new() }).await
    }

    fn connections() -> Connections {
        Connections::new(&Limits::default(), 1_000, 1_000, TrustedProxies::default())
    }

    async fn front_to(upstreams: Upstreams) -> SocketAddr {
        let names = Names {
            sites: Sites::new("http://127.0.0.1", None, &[]),
            trusted_proxies: TrustedProxies::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stop = CancellationToken::new();
        let front = serve_proxy(listener, upstreams, connections(), names, stop);
        tokio::spawn(front);
        address
    }

    async fn ask(front: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(front).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    #[tokio::test]
    async fn a_body_that_the_client_broke_is_the_clients_fault() {
        let front = front().await;
        let head = "POST /api/v1/messages HTTP/1.1\r\nHost: localhost\r\n";
        let chunked = format!("{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
        for broken in ["zz\r\nnonsense\r\n", "3\r\nabcdef\r\n", "2\r\nab\r\n-1\r\n"] {
            let answer = ask(front, &format!("{chunked}{broken}")).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{broken:?}: {answer}");
            assert!(answer.contains("x-frame-options: DENY"), "{answer}");
        }
        let whole = ask(front, &format!("{chunked}3\r\nabc\r\n0\r\n\r\n")).await;
        assert!(whole.starts_with("HTTP/1.1 200") && whole.ends_with(" 3"), "{whole}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_a_role_answers_before_it_has_the_body_is_passed_on() {
        let role = async |mut request: Request| {
            let reading = Reading::of(&mut request);
            let mut response = StatusCode::UNAUTHORIZED.into_response();
            reading.tell(response.headers_mut());
            response
        };
        let front = front_of(Router::new().fallback(role)).await;
        let clients = (0..4).map(async |_| {
            for n in 0..50 {
                let body = "x".repeat(8_000 * (1 + n % 50));
                let head = "POST /api/v1/webhooks/twilio HTTP/1.1\r\nHost: localhost\r\n";
                let head =
                    format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                let answer = ask(front, &format!("{head}{body}")).await;
                assert!(answer.starts_with("HTTP/1.1 401"), "{n}: {answer:?}");
            }
        });
        futures::future::join_all(clients).await;
    }

    #[tokio::test]
    async fn while_no_role_is_there_the_front_is_not_ready_and_says_so_as_a_role_would() {
        // Nobody listens where nobody may.
        let nowhere: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let upstreams = Upstreams {
            api: vec![(Requests::Reads, nowhere)],
            all: vec![("query", nowhere), ("relay", nowhere)],
        };
        let front = front_to(upstreams).await;
        let get = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        };
        let ready = ask(front, &get("/ready")).await;
        assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
        assert!(ready.contains("retry-after: 1") && ready.contains("\"unavailable\""), "{ready}");
        let read = ask(front, &get("/api/v1/messages")).await;
        for part in ["HTTP/1.1 503", "retry-after: 1", "\"code\":\"unavailable\"", "restarting"] {
            assert!(read.contains(part), "{part}: {read}");
        }
        assert!(read.contains("\"title\":\"The service is unavailable\""), "{read}");
    }

    #[tokio::test]
    async fn a_role_is_told_the_clients_address_and_not_what_the_client_wrote() {
        let front = front().await;
        let head = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let answer = ask(front, &format!("{head}X-Forwarded-For: 6.6.6.6\r\n\r\n")).await;
        assert!(answer.ends_with("Some(\"127.0.0.1\") 0"), "{answer}");
    }
}
