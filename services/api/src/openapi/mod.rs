//! The OpenAPI document: made from the routers themselves, so that there is no route without an
//! operation, and served with a page that shows it.
//!
//! A new endpoint documents itself where it is: `#[utoipa::path]` above its handler says what it does,
//! takes and answers when it succeeds; the router takes it by `routes!`. What every operation has in
//! common is added here.

mod codes;
mod events;
mod examples;
mod finish;
mod methods;
mod page;
mod posted;
mod walk;

use std::sync::LazyLock;

use hatch_readmodel::WebhookOutcome;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, Operation, Parameter, ParameterIn};
use utoipa::openapi::response::Response;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::server::{ServerBuilder, ServerVariableBuilder};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Content, Deprecated, Header, HeaderBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder,
    OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, ResponseBuilder, Schema, Server, Type,
};
use utoipa::{OpenApi as _, ToSchema};

pub(crate) use self::methods::complete as complete_methods;
pub use self::page::router;
use crate::names::{ChannelName, DirectionName, StatusName};
use crate::problem::Body as Problem;

/// What the groups of operations are about, in the order of the page.
const TAGS: [(&str, &str); 13] = [
    ("messages", "Sending, and what became of it."),
    ("conversations", "What was said between whom."),
    ("consent", "Who may be written to."),
    ("events", "The log, live and event by event."),
    ("webhooks", "What providers post."),
    ("api-keys", "Who may ask for what."),
    ("members", "Who the people of a tenant are."),
    ("sessions", "Who has signed in, and by what."),
    ("accounts", "By whom messages go out, at providers."),
    ("tenants", "Whose data it is."),
    ("operations", "How hatch itself is doing."),
    ("compatibility", "The paths of the systems that hatch replaces."),
    ("documentation", "This document."),
];

/// Other names of paths: the name, the path, and whether it is its `POST` or its `GET`.
const ALIASES: [(&str, &str, HttpMethod); 4] = [
    ("/api/v1/messages/send", "/api/v1/messages", HttpMethod::Post),
    ("/api/events", "/api/v1/events", HttpMethod::Get),
    ("/api/webhooks/email", "/api/webhooks/sms", HttpMethod::Post),
    ("/api/conversation/{id}/messages", "/api/conversations/{id}/messages", HttpMethod::Get),
];

/// Problems by status, and when, for every operation that can have them.
const PROBLEMS: [(&str, &str); 10] = [
    ("400", "Something is wrong with the request; `errors` names each field."),
    (
        "401",
        "The request has no valid credentials; what is wrong with them is not said. In development (`up`), a request \
             without any is taken.",
    ),
    ("403", "A page of another site made the request."),
    ("404", "There is nothing of that id."),
    ("413", "The body is over the limit."),
    ("415", "The body is of another type than the endpoint takes."),
    (
        "421",
        "The request was made to a host name that is not one of this installation, or to a process without the role \
             that answers it.",
    ),
    (
        "422",
        "The idempotency key was used for another request; or, where a message is sent, no account carries its \
             channel (`no_account`).",
    ),
    (
        "429",
        "The client asks too often (`quota_exceeded`), or more messages wait than can be sent soon. Nothing was recorded.",
    ),
    (
        "503",
        "PostgreSQL is away, too many writes wait, or the read models have not reached `after` in \
             time. Whether a write happened, its key tells.",
    ),
];

/// Why somebody who is known is refused; beside what [`PROBLEMS`] says of the status.
const FORBIDDEN: &str = "The scope of the operation is missing, and `detail` names it (`missing_scope`); or the key is \
    not for the client's address (`ip_not_allowed`), the sender (`sender_not_allowed`), the channel \
    (`channel_not_allowed`), the recipient (`recipient_not_on_list`) or a message that is no test (`message_is_live`); or the tenant is suspended (`tenant_suspended`); or a page of another site made the \
    request (`foreign_site`).";

/// The name of the security scheme, and the scopes of what has none of its own.
pub(crate) const BEARER: &str = "bearer";
const NOTHING: [&str; 0] = [];

/// The whole document, whatever roles this process has.
#[must_use]
pub fn document() -> OpenApi {
    let mut document = OpenApiBuilder::new()
        .info(info())
        .servers(Some(servers()))
        .security(Some([SecurityRequirement::new(BEARER, NOTHING)]))
        .tags(Some(tags()))
        .build();
    for part in [
        crate::commands::routes().into_openapi(),
        crate::queries::routes().into_openapi(),
        crate::people::routes().into_openapi(),
        crate::live::routes().into_openapi(),
        crate::webhooks::routes().into_openapi(),
        crate::health::routes().into_openapi(),
        crate::compat::command_routes().into_openapi(),
        crate::compat::query_routes().into_openapi(),
        page::routes().into_openapi(),
        Elsewhere::openapi(),
    ] {
        document.merge(part);
    }
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, bearer());
    let mut nested = Vec::new();
    Problem::schemas(&mut nested);
    components.schemas.extend(nested);
    // Parameters name their types without bringing them.
    components.schemas.extend([
        named::<Problem>(),
        named::<ChannelName>(),
        named::<DirectionName>(),
        named::<StatusName>(),
        named::<WebhookOutcome>(),
    ]);
    for (name, path, method) in ALIASES {
        let item = alias(&document.paths.paths[path], path, method);
        document.paths.paths.insert(name.to_owned(), item);
    }
    if let Some(mail) = document.paths.paths.get_mut("/api/webhooks/email") {
        exemplify_mail(mail);
    }
    for item in document.paths.paths.values_mut() {
        for (method, operation) in operations(item) {
            complete(&method, operation);
        }
    }
    document
}

/// What every process serves beside its roles.
#[derive(utoipa::OpenApi)]
#[openapi(paths(metrics))]
struct Elsewhere;

/// What it counts
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "operations",
    responses((status = 200, description = "Prometheus' text format; `docs/telemetry.md` names each.",
        content_type = "application/openmetrics-text", body = String))
)]
#[expect(dead_code, reason = "the program serves it")]
fn metrics() {}

/// The document as the text that is served and kept in `schema/openapi.json`.
///
/// # Panics
/// Never: it is made of texts and numbers.
#[must_use]
pub fn document_json() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut whole = serde_json::to_value(document()).expect("a document of texts serialises");
        finish::finish(&mut whole);
        InOrder::of(whole).to_text()
    });
    &TEXT
}

/// The document's parts in the order in which people read them.
#[derive(Serialize)]
struct InOrder {
    openapi: Value,
    info: Value,
    servers: Value,
    security: Value,
    tags: Value,
    paths: Value,
    components: Value,
}

impl InOrder {
    fn of(mut document: Value) -> Self {
        let mut part = |name: &str| document[name].take();
        Self {
            openapi: part("openapi"),
            info: part("info"),
            servers: part("servers"),
            security: part("security"),
            tags: part("tags"),
            paths: part("paths"),
            components: part("components"),
        }
    }

    fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers serialise") + "\n"
    }
}

fn named<T: ToSchema>() -> (String, RefOr<Schema>) {
    (T::name().into_owned(), T::schema())
}

fn info() -> utoipa::openapi::Info {
    InfoBuilder::new()
        .title("hatch")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Talk with your customers on every channel, and never lose or double a message.\n\n\
             JSON in and out; times are RFC 3339 in UTC; ids are UUIDs; errors are \
             `application/problem+json` (RFC 9457). Every answer carries `X-Request-Id`, every write \
             `Hatch-Position`, which a read waits for with `?after=`.",
        ))
        .license(Some(
            LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
        ))
        .build()
}

fn servers() -> [Server; 3] {
    let at =
        |url: &str, about: &str| ServerBuilder::new().url(url).description(Some(about)).build();
    let own = ServerBuilder::new()
        .url("https://{host}")
        .description(Some("An installation of your own."))
        .parameter("host", ServerVariableBuilder::new().default_value("hatch.example.com"))
        .build();
    [
        at("/", "The hatch that serves this document."),
        at("http://127.0.0.1:8080", "`./dev up`"),
        own,
    ]
}

/// How a client says who it is.
fn bearer() -> SecurityScheme {
    let about = "An API key; or, without this header, the cookie of a session (`POST /api/v1/session`), which counts for \
        what changes something from pages of the installation only. Each operation names the scope that it needs; `admin` has all of a tenant, and `platform` \
        that of the tenants themselves. In development (`up`), a request without a key is the default tenant's, with \
        every scope; a key that is sent is checked.";
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about));
    SecurityScheme::Http(scheme.build())
}

fn tags() -> Vec<utoipa::openapi::Tag> {
    let tag = |(name, about)| TagBuilder::new().name(name).description(Some(about)).build();
    TAGS.into_iter().map(tag).collect()
}

/// The path item of another name of `path`, with the operation of `method`.
fn alias(item: &PathItem, path: &str, method: HttpMethod) -> PathItem {
    let operation = match method {
        HttpMethod::Post => item.post.clone(),
        _ => item.get.clone(),
    };
    let mut operation = operation.expect("what has another name is in the document");
    operation.operation_id = operation.operation_id.map(|id| format!("{id}_alias"));
    operation.description = Some(format!("Another name of `{path}`."));
    operation.tags = Some(vec!["compatibility".to_owned()]);
    PathItem::new(method, operation)
}

/// The example of a mail in place of that of a text message, which its path does not take.
fn exemplify_mail(item: &mut PathItem) {
    let body = item.post.as_mut().and_then(|operation| operation.request_body.as_mut());
    if let Some(RefOr::T(body)) = body {
        for content in body.content.values_mut() {
            if let RefOr::T(content) = content {
                content.example = Some(json!({
                    "from": "contact@gmail.com", "to": "user@usehatchapp.com", "type": "email",
                    "xillio_id": "message-2", "body": "Hi back", "attachments": null,
                    "timestamp": "2024-11-01T14:00:00Z",
                }));
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let PathItem { get, post, put, patch, delete, .. } = item;
    let operations = [
        (HttpMethod::Get, get),
        (HttpMethod::Post, post),
        (HttpMethod::Put, put),
        (HttpMethod::Patch, patch),
        (HttpMethod::Delete, delete),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Adds what operations of its kind have in common: the problems, and the header of every answer.
fn complete(method: &HttpMethod, operation: &mut Operation) {
    let parameters: Vec<&Parameter> =
        operation.parameters.iter().flatten().filter_map(written_here).collect();
    let has = |place: ParameterIn| parameters.iter().any(|p| p.parameter_in == place);
    let (in_path, in_query) = (has(ParameterIn::Path), has(ParameterIn::Query));
    let in_header = has(ParameterIn::Header);
    let keyed = parameters.iter().any(|p| p.name == "Idempotency-Key");
    let has_body = operation.request_body.is_some();
    let body = operation.request_body.as_ref().and_then(written_here);
    // Where the type depends on who posts, one that takes JSON takes nothing else.
    let takes_json = ["application/json", "*/*"]
        .iter()
        .any(|kind| body.is_some_and(|body| body.content.contains_key(*kind)));
    let is_of = |tag: &str| operation.tags.as_ref().is_some_and(|tags| tags[0] == tag);
    let (is_plain, is_old) = (is_of("documentation"), is_of("compatibility"));
    // Whoever signs what he posts is no browser, and may use any name.
    let is_posted = operation.responses.responses.contains_key("401");
    // What is everybody's says so by a requirement that is empty.
    let asks = |needed: &SecurityRequirement| *needed != SecurityRequirement::default();
    let is_guarded = operation.security.as_ref().is_some_and(|needed| needed.iter().any(asks));
    // Where nothing is taken, a body is refused that says something.
    let posted = matches!(method, HttpMethod::Post);
    for (status, about) in PROBLEMS {
        let can_be = match status {
            "401" => is_guarded,
            "403" => !is_posted,
            "421" => true,
            "400" => in_path || in_query || in_header || posted || has_body,
            "404" => in_path,
            "413" => posted || has_body,
            "415" => takes_json || (posted && !has_body),
            "422" => keyed,
            "429" => (!is_posted || is_of("sessions")) && !is_plain,
            _ => !is_plain,
        };
        if can_be && !operation.responses.responses.contains_key(status) {
            let about = if status == "403" && is_guarded { FORBIDDEN } else { about };
            let response = problem(status, about);
            operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
        }
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            name_request(response);
            if status == "401" {
                name_challenge(response);
            }
        }
    }
    if is_old {
        operation.deprecated = Some(Deprecated::True);
    }
    // Everybody's, or by the provider's own signature. Where a single method is, a requirement that is empty says so.
    operation.security.get_or_insert_default();
}

/// What is no reference to elsewhere; nothing here is one.
fn written_here<T>(part: &RefOr<T>) -> Option<&T> {
    match part {
        RefOr::T(part) => Some(part),
        RefOr::Ref(_) => None,
    }
}

/// An answer that is a problem.
fn problem(status: &str, about: &str) -> Response {
    let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name(Problem::name()))));
    let mut response =
        ResponseBuilder::new().description(about).content("application/problem+json", content);
    if ["429", "503"].contains(&status) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let about = "Seconds after which it is worth another try.";
        response = response.header("Retry-After", header(seconds, about));
    }
    response.build()
}

fn name_challenge(response: &mut Response) {
    let about = "`Bearer`, and `error=\"invalid_token\"` where credentials were sent.";
    let header = header(text(), about);
    response.headers.insert("WWW-Authenticate".to_owned(), RefOr::T(header));
}

fn name_request(response: &mut Response) {
    let header = header(text(), "The request's id: the client's own if it was sane.");
    response.headers.insert("X-Request-Id".to_owned(), RefOr::T(header));
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn header(schema: ObjectBuilder, about: &str) -> Header {
    HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build()
}
