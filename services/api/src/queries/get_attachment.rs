//! `GET /api/v1/attachments/{id}`: a file of a message, as it came.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use futures::stream;
use hatch_domain::Attachment;
use hatch_domain::ids::TenantId;
use hatch_domain::message::AGGREGATE;
use hatch_domain::message::event::MessageEvent;
use hatch_eventstore::{LoadError, RecordedEvent};
use hatch_readmodel::{Content, KeptContent, messages};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Queries;
use super::parameters::FreshnessParameters;
use crate::auth::Caller;
use crate::extract::{PathId, QueryParameters};
use crate::hardening::FILE;
use crate::problem::Problem;

/// What nobody has said more of.
const BYTES: &str = "application/octet-stream";

/// Media types that a browser may run, or draw and run. They are answered as bytes: the message says what they are.
const ACTIVE: [&str; 9] = [
    "text/html",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/xml",
    "application/xml",
    "text/javascript",
    "application/javascript",
    "application/ecmascript",
    "multipart/related",
];

/// Bytes of a file that are handed over at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "the document's only")]
struct File(Vec<u8>);

/// A file of a message
///
/// The bytes as they came. It is to be saved and not shown: a browser never runs it. Its media type is the one that
/// its message says, or `application/octet-stream` where a browser could run that. `ETag` is of the content.
#[utoipa::path(
    get, path = "/api/v1/attachments/{id}", operation_id = "get_attachment", tag = "messages",
    security(("bearer" = ["messages:read"])),
    params(("id" = Uuid, Path, description = "The file, by the id that its message shows."), FreshnessParameters),
    responses(
        (status = 200, description = "The file.",
         content((inline(File) = "application/octet-stream"), (inline(File) = "*/*")),
         headers(("ETag" = String, description = "The SHA-256 of the file."))),
        (status = 304, description = "The client has it, as `If-None-Match` says."),
        (status = 404, description = "There is no such file, or it is not kept here: `detail` says so.",
         body = crate::problem::Body, content_type = "application/problem+json")
    )
)]
pub(super) async fn handler(
    State(queries): State<Queries>,
    caller: Caller,
    PathId(id): PathId,
    QueryParameters(parameters): QueryParameters<FreshnessParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    parameters.wait(&queries, &[&messages::DEFINITION]).await?;
    let attachment =
        find(&queries, caller.tenant, id).await?.ok_or_else(|| Problem::not_found("attachment"))?;
    let digest = match (&attachment.digest, &attachment.content) {
        (Some(digest), _) => digest.clone(),
        (None, Some(_)) => String::new(),
        (None, None) => return Err(absent(&attachment)),
    };
    if is_known(&headers, &digest) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag(&digest))]).into_response());
    }
    let (bytes, place) = match attachment.content.as_deref() {
        Some(content) => {
            let content = BASE64_STANDARD.decode(content);
            (content.map_err(|_| Problem::absent("the file came damaged"))?, None)
        }
        None => {
            let kept = queries.read_model.content(caller.tenant, &digest).await?;
            let KeptContent { bytes, place } = kept.ok_or_else(|| {
                tracing::error!(%id, digest, "a content that an event names is not kept");
                Problem::absent("the file is not kept any more")
            })?;
            (bytes, Some(place))
        }
    };
    let digest = if digest.is_empty() { Content::digest_of(&bytes) } else { digest };
    if is_known(&headers, &digest) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag(&digest))]).into_response());
    }
    let headers = [
        (CONTENT_TYPE, media_type(attachment.content_type.as_deref())),
        (CONTENT_DISPOSITION, disposition(attachment.filename.as_deref())),
        (CONTENT_SECURITY_POLICY, FILE),
        (CONTENT_LENGTH, HeaderValue::from(bytes.len())),
        (ETAG, etag(&digest)),
    ];
    Ok((headers, handed_over(bytes.into(), place)).into_response())
}

/// The file as its event has it.
async fn find(
    queries: &Queries,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Attachment>, Problem> {
    let Some((position, place)) = queries.read_model.attachment(tenant, id).await? else {
        return Ok(None);
    };
    let event = queries.log.read_at(position).await?;
    let event = event.filter(|event| event.tenant_id == tenant.0 && event.aggregate == AGGREGATE);
    let Some(event) = event else { return Ok(None) };
    let files = files(&event)?;
    Ok(files.into_iter().nth(place))
}

fn files(event: &RecordedEvent) -> Result<Vec<Attachment>, Problem> {
    Ok(match event.decode::<MessageEvent>().map_err(LoadError::Decode)? {
        MessageEvent::MessageRequested(requested) => requested.attachments.clone(),
        MessageEvent::MessageReceived(received) => received.attachments,
        MessageEvent::MessageReread(reread) => reread.message.attachments,
        _ => Vec::new(),
    })
}

/// Why there is nothing to answer with.
fn absent(attachment: &Attachment) -> Problem {
    match (&attachment.url, &attachment.missing) {
        (Some(_), _) => {
            Problem::absent("the file is not kept here: its message says under which url it is")
        }
        (None, Some(why)) => Problem::absent(format!("the file never came: {why}")),
        (None, None) => Problem::absent("the file never came"),
    }
}

/// Whether the client has the content already.
fn is_known(headers: &HeaderMap, digest: &str) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = tags.flat_map(|value| value.split(',')).map(str::trim);
    let tag = format!("\"{digest}\"");
    !digest.is_empty() && tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn etag(digest: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{digest}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// The media type that its sender says, unless a browser could run that.
fn media_type(said: Option<&str>) -> HeaderValue {
    let bytes = HeaderValue::from_static(BYTES);
    let Some(said) = said.map(str::trim) else { return bytes };
    let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let is_one = essence.split_once('/').is_some_and(|(kind, of)| token(kind) && token(of));
    let runs = ACTIVE.contains(&essence.as_str()) || essence.ends_with("+xml");
    if !is_one || runs {
        return bytes;
    }
    HeaderValue::from_str(&essence).unwrap_or(bytes)
}

/// To be saved, under its name (RFC 6266; RFC 8187 for characters beyond ASCII).
fn disposition(filename: Option<&str>) -> HeaderValue {
    let nameless = HeaderValue::from_static("attachment");
    let Some(name) = filename.filter(|name| !name.is_empty()) else { return nameless };
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{encoded}")).unwrap_or(nameless)
}

/// A body that holds on to `place` until it is sent.
fn handed_over<P: Send + 'static>(bytes: Bytes, place: P) -> Body {
    let chunks = stream::unfold((bytes, place), |(mut left, place)| async move {
        if left.is_empty() {
            return None;
        }
        let chunk = left.split_to(left.len().min(CHUNK_BYTES));
        Some((Ok::<_, std::convert::Infallible>(chunk), (left, place)))
    });
    Body::from_stream(chunks)
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[test]
    fn a_media_type_that_a_browser_runs_is_answered_as_bytes() {
        for (said, answered) in [
            (Some("image/png"), "image/png"),
            (Some(" Application/PDF ; name=\"a.pdf\""), "application/pdf"),
            (Some("text/plain; charset=utf-8"), "text/plain"),
            (Some("text/html"), BYTES),
            (Some("TEXT/HTML; charset=utf-8"), BYTES),
            (Some("image/svg+xml"), BYTES),
            (Some("application/atom+xml"), BYTES),
            (Some("pdf"), BYTES),
            (Some("image/png\r\nX: y"), BYTES),
            (Some("b\u{e4}d/type"), BYTES),
            (Some(""), BYTES),
            (None, BYTES),
        ] {
            assert_eq!(media_type(said), answered, "{said:?}");
        }
    }

    #[test]
    fn a_name_is_written_so_that_it_can_be_nothing_else() {
        for (name, written) in [
            (None, "attachment"),
            (Some(""), "attachment"),
            (Some("a.txt"), "attachment; filename*=UTF-8''a.txt"),
            (Some("Grüße \"1\".pdf"), "attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%221%22.pdf"),
            (Some("a\r\nb;c='"), "attachment; filename*=UTF-8''a%0D%0Ab%3Bc%3D%27"),
        ] {
            assert_eq!(disposition(name), written, "{name:?}");
        }
    }

    #[test]
    fn a_content_is_known_by_its_tag() {
        let headers =
            |value| HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]);
        for (value, known) in [
            ("\"ab\"", true),
            ("W/\"ab\"", true),
            ("\"x\", \"ab\"", true),
            ("*", true),
            ("\"x\"", false),
            ("ab", false),
        ] {
            assert_eq!(is_known(&headers(value), "ab"), known, "{value}");
        }
        assert!(!is_known(&headers("*"), ""), "nothing is known of it yet");
    }

    #[tokio::test]
    async fn all_of_it_is_handed_over() {
        for length in [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 1] {
            let body = handed_over(vec![7; length].into(), ());
            let sent = to_bytes(body, usize::MAX).await.expect("whole");
            assert_eq!(sent, vec![7; length]);
        }
    }
}
