//! People: how somebody shows who he is, by a password with or without a second factor, or by an identity provider; and
//! the pages for it, so that a link that was printed works.

mod common;
mod known;
mod link;
mod oidc;
mod pages;
mod passwords;
mod sign_in;
mod totp;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hatch_directory::{Attempts, Directory, Sessions};
use hatch_domain::member::TOTP_FIELD;
use hatch_eventstore::{Position, Store};
use hatch_seal::Keyring;
use utoipa_axum::router::OpenApiRouter;

pub(crate) use self::known::{KNOWN_SECONDS, mint as known_browser};
pub(crate) use self::link::Link;
pub(crate) use self::passwords::{Passwords, check as check_password};
pub(crate) use self::sign_in::{Attempt, Origin, SignedIn, place};
#[cfg(test)]
pub(crate) use self::totp::code_at;
pub(crate) use self::totp::{SECRET_BYTES, base32, recovery_codes, recovery_hash, step_of, uri};
use crate::oidc::Oidc;
use crate::problem::Problem;
use crate::resources::{members, sessions};
use crate::sites;

/// What people sign in by.
pub struct People {
    /// Where events go.
    pub store: Store,
    /// The members.
    pub directory: Directory,
    /// Who has signed in.
    pub sessions: Sessions,
    /// Who tries to.
    pub attempts: Attempts,
    /// What opens the secrets of second factors.
    pub keyring: Keyring,
    /// Who signs people in beside hatch, if one is set.
    pub oidc: Option<Oidc>,
    /// Where the outside reaches this installation.
    pub public_url: String,
    passwords: Passwords,
    is_secure: bool,
}

/// How long an answer waits at most until what was changed holds here.
const CHANGED_MAX: Duration = Duration::from_secs(2);

impl People {
    /// The people of an installation that is reached by `public_url`.
    #[must_use]
    pub fn new(
        (store, directory): (Store, Directory),
        (sessions, attempts): (Sessions, Attempts),
        (keyring, oidc): (Keyring, Option<Oidc>),
        public_url: String,
    ) -> Self {
        let is_secure = sites::is_secure(&public_url);
        let passwords = Passwords::default();
        Self {
            store,
            directory,
            sessions,
            attempts,
            keyring,
            oidc,
            public_url,
            passwords,
            is_secure,
        }
    }

    pub(crate) const fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Whether browsers are to come by TLS only.
    pub(crate) const fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Waits until what was changed at `position` holds in this process. It takes half a second as a rule.
    pub(crate) async fn knows(&self, position: Position) {
        let _ = self.directory.wait_for(position, CHANGED_MAX).await;
    }

    /// Refuses a second factor where its secret could not be kept.
    pub(crate) fn refuse_unsealed(&self) -> Result<(), Problem> {
        if self.keyring.can_seal() { Ok(()) } else { Err(Problem::no_master_key()) }
    }
}

/// The link's secret stands behind `#`: a browser sends that to nobody, so that it is in no log.
pub(crate) fn invitation_url(public_url: &str, link: &Link) -> String {
    format!("{}/auth/invitation#{}", public_url.trim_end_matches('/'), link.text())
}

/// The endpoints that change something about people, and the pages.
pub fn router(people: People) -> Router {
    let people = Arc::new(people);
    Router::from(routes()).merge(oidc::routes()).with_state(people).merge(pages::routes())
}

pub(crate) fn routes() -> OpenApiRouter<Arc<People>> {
    members::command_routes().merge(sessions::command_routes())
}
