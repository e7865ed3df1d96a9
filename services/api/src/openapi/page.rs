//! Where the document and its page are served: by every role that answers HTTP, alike.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

const DOCUMENT: &str = "/api/v1/openapi.json";

/// The document, and at `/docs` and `/api/v1/docs` a page that shows it and can try it out, to which `/`
/// leads. The page comes with the program: it needs nothing from elsewhere.
pub fn router() -> Router {
    let page = |path: &'static str| SwaggerUi::new(path).config(Config::from(DOCUMENT));
    let start = get(async || Redirect::temporary("/docs/"));
    Router::from(routes()).merge(page("/docs")).merge(page("/api/v1/docs")).route("/", start)
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
