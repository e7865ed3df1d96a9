//! Where the document and its page are served: by every role that answers HTTP, alike.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::problem::error_pages;

const DOCUMENT: &str = "/api/v1/openapi.json";

/// Bytes of the page at most; it has one.
const PAGE_BYTES_MAX: usize = 64 * 1024;

/// The document, the pages of errors, and at `/docs` and `/api/v1/docs` a page that shows the document and can try it
/// out, to which `/` leads. The page comes with the program: it needs nothing from elsewhere.
pub fn router() -> Router {
    let page = |path: &'static str| {
        let page = SwaggerUi::new(path).config(Config::from(DOCUMENT));
        Router::from(page).layer(map_response(with_title))
    };
    let start = get(async || Redirect::temporary("/docs/"));
    let pages = page("/docs").merge(error_pages());
    Router::from(routes()).merge(pages).merge(page("/api/v1/docs")).route("/", start)
}

/// The page under hatch's name instead of that of the program which shows it.
async fn with_title(response: Response) -> Response {
    const THEIRS: &str = "<title>Swagger UI</title>";
    const OURS: &str = "<title>hatch: the API</title>";
    let (mut parts, body) = response.into_parts();
    let kind = parts.headers.get(CONTENT_TYPE);
    let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_page || parts.headers.contains_key(CONTENT_ENCODING) {
        return Response::from_parts(parts, body);
    }
    match axum::body::to_bytes(body, PAGE_BYTES_MAX).await {
        Ok(page) => {
            parts.headers.remove(CONTENT_LENGTH);
            let page = String::from_utf8_lossy(&page).replace(THEIRS, OURS);
            Response::from_parts(parts, page.into())
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(handler))
}

#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "document", tag = "documentation",
    summary = "This document",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object))
)]
pub(super) async fn handler() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], super::document_json())
}
