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
use futures::future::{BoxFuture, Either, ready as done};
use hatch_domain::Environment as _;
use hatch_eventstore::SystemEnvironment;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tower_service::Service;

use crate::connection::Connection;
use crate::connections::{Activity, Busy};
use crate::hardening;
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
    fn multiplexed<B>(&mut self, request: Request<B>) -> BoxFuture<'static, Answered>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Ok(place) = self.streams.begin(self.connection.peer.ip()) else {
            return Box::pin(done(Ok(too_many())));
        };
        let activity = Arc::clone(self.connection.activity());
        let busy = activity.held();
        let unanswered = Unanswered(Some(Arc::clone(&activity)));
        let answer = self.app.call(request);
        Box::pin(async move {
            let response = answer.await?;
            unanswered.answered();
            Ok(response.map(|body| Body::new(Taken::new(body, activity, (place, busy)))))
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

/// What a request is told for which there is no place.
fn too_many() -> Response {
    let id = SystemEnvironment.new_id().to_string();
    let detail = "too many requests are under way: try again in a second";
    let mut response = Problem::unavailable(detail).render(Some(&id));
    hardening::harden(response.headers_mut(), false, false);
    response
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

/// The body of an answer, which says whether its client takes it: by HTTP/2 a client that takes nothing of one answer
/// may take others, so that the bytes of its connection do not show it.
struct Taken {
    body: Body,
    /// What was read of it and not handed out.
    rest: Bytes,
    activity: Arc<Activity>,
    number: u64,
    _held: (StreamPlace, Busy),
}

impl Taken {
    fn new(body: Body, activity: Arc<Activity>, held: (StreamPlace, Busy)) -> Self {
        let number = activity.multiplexed.number();
        activity.multiplexed.waits(number, Instant::now());
        Self { body, rest: Bytes::new(), activity, number, _held: held }
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
        // It is asked for more, so that its client has taken what there was.
        this.activity.multiplexed.goes_on(this.number);
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
        this.activity.multiplexed.waits(this.number, Instant::now());
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

impl Drop for Taken {
    fn drop(&mut self) {
        self.activity.multiplexed.goes_on(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

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
            .route("/never", get(std::future::pending::<()>));
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
        assert!(activity.multiplexed.waits_since().is_some(), "nothing of it was taken");
        assert!(activity.is_busy());
        let first = body.frame().await.expect("a frame").expect("no error").into_data();
        assert_eq!(first.expect("data").len(), PIECE_BYTES);
        assert!(activity.multiplexed.waits_since().is_some(), "there is more");
        assert_eq!(body.collect().await.expect("no error").to_bytes().len(), LONG - PIECE_BYTES);
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
