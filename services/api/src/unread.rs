//! Answers that do not wait for the whole body. The connection ends after such an answer, and the client has to know
//! that: one that takes it for another request meets its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// Whether the body of a request has come whole.
#[derive(Debug)]
pub struct Reading(Option<Arc<AtomicBool>>);

impl Reading {
    /// Looks on while the body of `request` is read, if it has one.
    pub fn of(request: &mut Request) -> Self {
        if request.body().is_end_stream() {
            return Self(None);
        }
        let whole = Arc::new(AtomicBool::new(false));
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::new(Watched { body, whole: Arc::clone(&whole) });
        Self(Some(whole))
    }

    /// Says in the headers of the answer that the connection ends, where the answer does not wait for the body.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if self.0.as_ref().is_some_and(|whole| !whole.load(Ordering::Relaxed)) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

struct Watched {
    body: Body,
    whole: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.whole.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn told(reading: &Reading) -> bool {
        let mut headers = HeaderMap::new();
        reading.tell(&mut headers);
        headers.contains_key(CONNECTION)
    }

    #[tokio::test]
    async fn the_connection_ends_unless_the_body_came_whole() {
        let reading = Reading::of(&mut Request::new(Body::empty()));
        assert!(!told(&reading), "there is none");
        let mut request = Request::new(Body::from("text"));
        let reading = Reading::of(&mut request);
        assert!(told(&reading), "nothing of it was read");
        request.into_body().collect().await.expect("it is there");
        assert!(!told(&reading));
    }
}
