//! Tells how long a new connection takes. It is made in the task that asked for it: only one that is made ahead of its
//! time, because an idle one came back first, is nobody's.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tower_layer::Layer;
use tower_service::Service;

use super::connected;

/// A layer around whatever makes connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimedConnections;

/// Makes connections, and notes how long each took.
#[derive(Debug, Clone)]
pub(crate) struct Timed<S>(S);

impl<S> Layer<S> for TimedConnections {
    type Service = Timed<S>;

    fn layer(&self, connector: S) -> Timed<S> {
        Timed(connector)
    }
}

impl<S, R> Service<R> for Timed<S>
where
    S: Service<R>,
    S::Response: 'static,
    S::Error: 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: R) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async move {
            let begun = Instant::now();
            let connection = connecting.await;
            if connection.is_ok() {
                connected(begun.elapsed());
            }
            connection
        })
    }
}
