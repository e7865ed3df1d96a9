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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::catalogue::TOO_LARGE;

    #[test]
    fn a_page_is_below_the_public_url_or_where_was_asked() {
        for (public_url, address) in [
            ("https://hatch.example.com", "https://hatch.example.com/docs/errors/too-large"),
            ("https://hatch.example.com/", "https://hatch.example.com/docs/errors/too-large"),
            ("http://127.0.0.1:8080/hatch", "http://127.0.0.1:8080/hatch/docs/errors/too-large"),
        ] {
            assert_eq!(ErrorPages::of(public_url).address(&TOO_LARGE), address);
        }
        assert_eq!(ErrorPages::default().address(&TOO_LARGE), "/docs/errors/too-large");
    }
}
