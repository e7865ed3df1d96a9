//! Who makes a request, and what may be asked for. The [`Door`] is in front of every route: it reads the credentials,
//! looks at the key that they name, and puts the [`Caller`] into the request, where handlers take it from. Which scope
//! a route needs stands above its handler, as the document has it ([`access`]).

mod access;
mod caller;
pub(crate) mod cookie;
mod credentials;
mod door;
mod room;
#[cfg(test)]
mod tests;
mod visits;

pub(crate) use self::access::{is_public, is_route, is_sign_in};
pub(crate) use self::caller::Caller;
#[cfg(test)]
pub(crate) use self::caller::CallerSession;
pub use self::door::Door;
pub(crate) use self::door::{Claimed, NEWS_MAX};
