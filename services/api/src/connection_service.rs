//! The routes as one connection asks them: each request knows its connection, and by HTTP/2 each has a place of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::connect_info::ConnectInfo;
use axum::http::{Request, Version};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use axum::{BoxError, Router};
use bytes::Bytes;
use futures::future::{BoxFuture, Either};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tower_service::Service;

use crate::connection::Connection;
use crate::connections::{Activity, Busy};
use crate::multiplexed::{StreamPlace, Streams};
use crate::problem::Problem;

/// Bytes of an answer that are handed out at a time by HTTP/2: what its client does not take stays countable.
const PIECE_BYTES: usize = 16 * 1024;

/// All routes, for one connection.
#[derive(Clone)]
pub(crate) struct ConnectionService {
    app: Router,
    connection: Connection,
    streams: Streams,
}

impl ConnectionService {
    pub(crate) const fn new(app: Router, connection: Connection, streams: Streams) -> Self {
        Self { app, connection, streams }
    }

    /// Answers one of many requests of the connection.
    fn multiplexed<B>(&mut self, mut request: Request<B>) -> BoxFuture<'static, Answered>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let place = self.streams.begin(self.connection.peer.ip()).ok();
        if place.is_none() {
            request.extensions_mut().insert(NoPlace);
        }
        let held = Held::new(self.connection.activity(), place);
        let unanswered = Unanswered(Some(Arc::clone(self.connection.activity())));
        let answer = self.app.call(request);
        Box::pin(async move {
            let response = answer.await?;
            unanswered.answered();
            Ok(response.map(|body| Body::new(Taken::new(body, held))))
        })
    }
}

type Answered = Result<Response, Infallible>;

impl<B> Service<Request<B>> for ConnectionService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<RouteFuture<Infallible>, BoxFuture<'static, Answered>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // So are routes, always.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.connection.clone()));
        match request.version() {
            Version::HTTP_2 => Either::Right(self.multiplexed(request)),
            _ => Either::Left(self.app.call(request)),
        }
    }
}

/// That there is no place for a request, an extension of it.
#[derive(Debug, Clone, Copy)]
struct NoPlace;

/// Whether there is a place for `request`.
pub(crate) fn has_place<B>(request: &Request<B>) -> Result<(), Problem> {
    match request.extensions().get::<NoPlace>() {
        None => Ok(()),
        Some(NoPlace) => {
            Err(Problem::unavailable("too many requests are under way: try again in a second"))
        }
    }
}

/// A request that is not answered yet. Where it is given up too often, its connection ends.
struct Unanswered(Option<Arc<Activity>>);

impl Unanswered {
    fn answered(mut self) {
        if let Some(activity) = self.0.take() {
            activity.multiplexed.answered();
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(activity) = &self.0
            && activity.multiplexed.gives_up()
        {
            activity.close();
        }
    }
}

/// What a request has until its answer went out whole.
struct Held {
    activity: Arc<Activity>,
    number: u64,
    _place: Option<StreamPlace>,
    _busy: Busy,
}

impl Held {
    fn new(activity: &Arc<Activity>, place: Option<StreamPlace>) -> Self {
        let number = activity.multiplexed.number();
        Self { activity: Arc::clone(activity), number, _place: place, _busy: activity.held() }
    }
}

/// The body of an answer, which says whether its client takes it: by HTTP/2 a client that takes nothing of one answer
/// may take others, so that the bytes of its connection do not show it.
struct Taken {
    body: Body,
    /// What was read of it and not handed out.
    rest: Bytes,
    held: Arc<Held>,
}

impl Taken {
    fn new(body: Body, held: Held) -> Self {
        Self { body, rest: Bytes::new(), held: Arc::new(held) }
    }
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            match frame.into_data() {
                Ok(data) => this.rest = data,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES));
        let piece = Bytes::from_owner(Piece::new(&piece, Arc::clone(&this.held)));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        match self.body.size_hint().exact() {
            Some(exact) => SizeHint::with_exact(exact + rest),
            None => SizeHint::default(),
        }
    }
}

/// A piece of an answer, from when it is handed out until it went out whole: the HTTP library queues one for which its
/// client leaves too little room. It is a copy, so that it keeps nothing of the rest in memory.
struct Piece {
    bytes: Box<[u8]>,
    held: Arc<Held>,
}

impl Piece {
    fn new(bytes: &[u8], held: Arc<Held>) -> Self {
        held.activity.multiplexed.hands_out(held.number, Instant::now());
        Self { bytes: bytes.into(), held }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.held.activity.multiplexed.goes_out(self.held.number, Instant::now());
    }
}

/// `request` as one for which there is no place.
#[cfg(test)]
pub(crate) fn without_place(mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(NoPlace);
    request
}

/// Answers who has no place, where nothing of ours stands before the routes.
#[cfg(test)]
pub(crate) async fn refuse_without_place(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    match has_place(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => axum::response::IntoResponse::into_response(problem),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::middleware::from_fn;
    use axum::routing::get;
    use hatch_telemetry::limit::Limits;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::client_address::TrustedProxies;
    use crate::connections::{ConnectionSlot, Connections};

    const LONG: usize = 3 * PIECE_BYTES + 1;

    fn service() -> (ConnectionService, ConnectionSlot) {
        let app = Router::new()
            .route("/long", get(|| async { vec![b'x'; LONG] }))
            .route("/never", get(std::future::pending::<()>))
            .layer(from_fn(refuse_without_place));
        let connections = Connections::new(&Limits::default(), 4, 100, TrustedProxies::default());
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let slot = connections.admit(peer).expect("a place");
        let connection = Connection::new(peer, Arc::clone(&slot.activity));
        (ConnectionService::new(app, connection, connections.streams().clone()), slot)
    }

    fn asked(path: &str) -> Request<Body> {
        let request = Request::builder().version(Version::HTTP_2).uri(path);
        request.body(Body::empty()).expect("a request")
    }

    #[tokio::test]
    async fn an_answer_comes_in_pieces_and_is_known_to_wait_for_its_client() {
        let (mut service, slot) = service();
        let answer = service.call(asked("/long")).await.unwrap_or_else(|never| match never {});
        let (activity, mut body) = (&slot.activity, answer.into_body());
        assert_eq!(body.size_hint().exact(), Some(LONG as u64));
        assert!(activity.multiplexed.waits_since().is_none(), "nothing was handed out");
        assert!(activity.is_busy());
        let first = body.frame().await.expect("a frame").expect("no error").into_data();
        let first = first.expect("data");
        assert_eq!(first.len(), PIECE_BYTES);
        assert!(activity.multiplexed.waits_since().is_some(), "it is not taken yet");
        drop(first);
        assert!(activity.multiplexed.waits_since().is_none(), "it is taken");
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            rest.push(frame.expect("no error").into_data().expect("data"));
        }
        drop(body);
        assert_eq!(rest.iter().map(Bytes::len).sum::<usize>(), LONG - PIECE_BYTES);
        let last = rest.pop().expect("a piece");
        drop(rest);
        assert!(activity.is_busy(), "the answer is read to its end, and not taken");
        assert!(activity.multiplexed.waits_since().is_some());
        drop(last);
        assert!(activity.multiplexed.waits_since().is_none() && !activity.is_busy());
    }

    #[tokio::test]
    async fn who_only_gives_up_loses_the_connection_and_who_asks_too_much_at_once_is_told() {
        let (mut service, slot) = service();
        let under_way = [0, 1].map(|_| service.call(asked("/never")));
        let third = service.call(asked("/long")).await.unwrap_or_else(|never| match never {});
        assert_eq!(third.status(), axum::http::StatusCode::SERVICE_UNAVAILABLE);
        drop(under_way);
        for _ in 0..200 {
            drop(service.call(asked("/never")));
        }
        assert!(slot.activity.is_closing());
    }
}
