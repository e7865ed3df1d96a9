//! Who sends: an application by a token that it signed, or an account by its secret.

use axum::http::{HeaderMap, header};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;

use super::error::ApiError;
use super::{Account, Vonage, public_key};
use crate::disturbance::Disturbances;

/// The clocks of both sides may differ by so much.
const LEEWAY_S: i64 = 60;

/// A token lives no longer than this.
const LIFE_S_MAX: i64 = 24 * 60 * 60;

/// A token that does not say when it ends, ends so long after it was issued.
const USUAL_LIFE_S: i64 = 15 * 60;

/// How a request proves whom it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// A token of the application, whose webhooks are told of the message.
    Application,
    /// The account's secret: no application is told of anything.
    Secret,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    application_id: String,
    iat: i64,
    exp: Option<i64>,
    jti: String,
}

impl Vonage {
    /// The account that the request proves to come from, and how.
    pub(super) fn authenticate(
        &self,
        of: &Disturbances,
        headers: &HeaderMap,
    ) -> Result<(&Account, Proof), ApiError> {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let found = shown.and_then(|shown| match shown.split_once(' ')? {
            ("Bearer", token) => Some((self.of_token(of, token)?, Proof::Application)),
            ("Basic", encoded) => Some((self.of_secret(of, encoded)?, Proof::Secret)),
            _ => None,
        });
        found.ok_or_else(ApiError::unauthenticated)
    }

    fn of_token(&self, of: &Disturbances, token: &str) -> Option<&Account> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let header: Header = serde_json::from_slice(&part(header)?).ok()?;
        let claims: Claims = serde_json::from_slice(&part(claims)?).ok()?;
        let is_it = |one: &&Account| one.application_id.as_ref() == Some(&claims.application_id);
        let account = self.accounts.iter().find(is_it)?;
        let configured = account.private_key.as_deref()?;
        let credential = of.credential(&account.key_name, configured)?;
        let key = match credential == configured {
            true => account.public_key.clone()?,
            false => public_key(&credential).ok()?,
        };
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
        let is_signed = key.verify(signed.as_bytes(), &part(signature)?).is_ok();
        let now = account.clock.now().timestamp();
        (header.alg == "RS256" && is_signed && claims.holds_at(now)).then_some(account)
    }

    fn of_secret(&self, of: &Disturbances, encoded: &str) -> Option<&Account> {
        let shown = BASE64_STANDARD.decode(encoded).ok()?;
        self.accounts.iter().find(|account| {
            let (Some(key), Some(secret)) = (&account.api_key, &account.api_secret) else {
                return false;
            };
            let secret = of.credential(&account.key_name, secret);
            secret.is_some_and(|secret| shown == format!("{key}:{secret}").as_bytes())
        })
    }
}

impl Claims {
    fn holds_at(&self, now: i64) -> bool {
        let end = self.exp.unwrap_or_else(|| self.iat.saturating_add(USUAL_LIFE_S));
        let is_begun = self.iat <= now.saturating_add(LEEWAY_S);
        let is_short = end.saturating_sub(self.iat) <= LIFE_S_MAX;
        is_begun && now < end.saturating_add(LEEWAY_S) && is_short && !self.jti.is_empty()
    }
}
