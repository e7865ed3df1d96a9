//! The HTTP interface: commands, queries and provider webhooks, one file an endpoint.
//!
//! Each role is a router of its own ([`commands`], [`queries`], [`webhooks`]); the process merges
//! those it runs, adds [`health`] and wraps them in [`serve`]'s layers. A 2xx for a command or a
//! webhook is given only after its events are committed.

mod accepting;
pub mod admission;
mod auth;
mod body;
mod client_address;
pub mod commands;
pub mod compat;
mod connection;
mod connection_service;
mod connections;
mod cors;
mod drain;
mod extract;
mod field_error;
mod hardening;
mod head;
pub mod health;
pub mod limits;
pub mod live;
mod malformed;
mod multiplexed;
mod names;
pub mod oidc;
mod one_look;
pub mod openapi;
mod outgoing;
mod people;
pub mod planning;
mod problem;
pub mod queries;
mod ready_made;
mod refusal;
mod request;
mod requests;
mod resources;
mod service;
mod sites;
mod stall;
#[cfg(test)]
mod testing;
mod tls;
pub mod tokens;
mod trail;
mod unread;
pub mod webhooks;
mod wire;

pub use auth::Door;
pub use body::Bodies;
pub use client_address::{ClientAddress, FORWARDED_FOR, TrustedProxies};
pub use connection::Connection;
pub use connections::{Busy, Connections};
pub use cors::Cors;
pub use drain::{Drain, Ending};
pub use hardening::{harden, is_page};
pub use one_look::OneLook;
pub use people::{People, router as people_router};
pub use problem::Problem;
pub use request::{Entrance, RequestStats, RouteStats};
pub use requests::Requests;
pub use resources::{accounts, api_keys, members, tasks, tenants};
pub use service::{app, serve, serve_beside, serve_by, serve_plain};
pub use sites::{Sites, is_secure};
pub use stall::{StallListener, StallStream};
pub use tls::{Certificate, CertificateFiles, Tls};
pub use trail::{Trail, TrailRules, TrailStats};
pub use unread::Reading;
