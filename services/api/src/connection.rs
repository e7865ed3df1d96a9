//! The connection that a request came by.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::serve::IncomingStream;

use crate::client_address::TrustedProxies;
use crate::connections::{Activity, Busy};
use crate::stall::StallListener;

/// A request's connection, an extension of it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its other end.
    pub peer: SocketAddr,
    activity: Arc<Activity>,
}

impl Connection {
    pub(crate) const fn new(peer: SocketAddr, activity: Arc<Activity>) -> Self {
        Self { peer, activity }
    }

    pub(crate) const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Says that a request came, and keeps the connection from being idle until the value is dropped.
    pub fn busy(&self) -> Busy {
        self.activity.busy()
    }

    /// As [`busy`](Self::busy), of an answer that goes on for as long as its client reads: one that takes nothing
    /// is borne with for a shorter time from now on.
    pub(crate) fn streams(&self) -> Busy {
        self.activity.streams()
    }
}

impl Connected<IncomingStream<'_, StallListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, StallListener>) -> Self {
        Self { peer: *stream.remote_addr(), activity: stream.io().activity() }
    }
}

/// Gives `request` its client's address, and keeps its connection busy. One that came by no connection, as in some
/// tests, came from here.
pub(crate) fn identify(request: &mut Request, proxies: &TrustedProxies) -> Option<Busy> {
    let connection = request.extensions().get::<ConnectInfo<Connection>>();
    let peer = connection.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |from| from.0.peer.ip());
    let busy = connection.map(|connection| connection.0.busy());
    let client = proxies.client(peer, request.headers());
    request.extensions_mut().insert(client);
    busy
}
