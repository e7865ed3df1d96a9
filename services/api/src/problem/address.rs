//! Where an error's page is: `type` of a problem.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::entry::Entry;

/// The path below which each error has its page.
pub(crate) const PATH: &str = "/docs/errors";

/// The address below which errors have their pages: that of an installation, else that of whoever is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct ErrorPages(Option<Arc<str>>);

impl ErrorPages {
    /// Those of the installation whose public URL is `public_url`.
    pub(crate) fn of(public_url: &str) -> Self {
        Self(Some(format!("{}{PATH}", public_url.trim_end_matches('/')).into()))
    }

    /// The address of the page about `entry`. Where no installation is known, it is a reference relative to the URL
    /// that was asked (RFC 9457, section 3.1.1).
    pub(crate) fn address(&self, entry: &Entry) -> String {
        format!("{}/{}", self.0.as_deref().unwrap_or(PATH), entry.name())
    }
}

/// Those of the process that the request was made to, for problems within an answer.
impl<S: Send + Sync> FromRequestParts<S> for ErrorPages {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
