//! What is asked of an identity provider, and how its answers are read: all within limits.

use axum::http::StatusCode;
use reqwest::Client;
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::{OidcError, OidcSettings};
use crate::outgoing;

/// Bytes at most of what it says of itself, of what it gives for a code, and of what a person comes back with.
const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;
const TOKENS_BYTES_MAX: usize = 64 * 1024;
const QUERY_BYTES_MAX: usize = 8 * 1024;

/// How hatch may prove who it is at the token endpoint.
const BASIC: &str = "client_secret_basic";
const POST: &str = "client_secret_post";

/// An identity provider, as it describes itself.
pub(super) struct Provider {
    pub(super) authorization: Url,
    token: Url,
    pub(super) keys: Url,
    /// Whether its answers say from whom they are (RFC 9207).
    pub(super) names_itself: bool,
    /// Whether the secret goes into the form.
    posts_secret: bool,
}

/// OpenID Connect Discovery 1.0, section 3, as far as it is of use.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What it gives for a code.
#[derive(Deserialize)]
pub(super) struct Given {
    pub(super) id_token: String,
    pub(super) access_token: Option<String>,
}

/// Asks the provider at `url` what it is. It has to be `issuer`.
pub(super) async fn describe(client: &Client, url: &Url, issuer: &str) -> Result<Provider, String> {
    let (status, body) = outgoing::read(client.get(url.clone()), DESCRIPTION_BYTES_MAX).await?;
    if status != StatusCode::OK {
        return Err(format!("the answer is {status}"));
    }
    let said: Description =
        serde_json::from_slice(&body).map_err(|_| "it is no description of a provider")?;
    if said.issuer != issuer {
        return Err("it calls itself otherwise than oidc.issuer".to_owned());
    }
    let has_pkce = said.code_challenge_methods_supported;
    if has_pkce.is_some_and(|methods| !methods.iter().any(|method| method == "S256")) {
        return Err("it has no PKCE by S256".to_owned());
    }
    let methods = said.token_endpoint_auth_methods_supported;
    let has = |name: &str| {
        methods.as_ref().is_some_and(|methods| methods.iter().any(|method| method == name))
    };
    let posts_secret = !has(BASIC) && has(POST);
    if methods.is_some() && !has(BASIC) && !posts_secret {
        return Err("it takes no client_secret".to_owned());
    }
    let url = |name: &str, text: &str| {
        let url = Url::parse(text).ok().filter(outgoing::is_trusted);
        url.ok_or_else(|| format!("its {name} is no https URL"))
    };
    Ok(Provider {
        authorization: url("authorization_endpoint", &said.authorization_endpoint)?,
        token: url("token_endpoint", &said.token_endpoint)?,
        keys: url("jwks_uri", &said.jwks_uri)?,
        names_itself: said.authorization_response_iss_parameter_supported,
        posts_secret,
    })
}

impl Provider {
    /// What it gives for the code in `form`.
    pub(super) async fn exchange(
        &self,
        client: &Client,
        settings: &OidcSettings,
        form: &[(&str, &str)],
    ) -> Result<Given, OidcError> {
        let (id, secret) = (settings.client_id.as_str(), settings.client_secret.expose());
        let mut form = form.to_vec();
        let request = client.post(self.token.clone());
        let request = if self.posts_secret {
            form.extend([("client_id", id), ("client_secret", secret)]);
            request
        } else {
            // Both are encoded as a form has them before they are a user and a password (RFC 6749, section 2.3.1).
            let encoded =
                |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request.basic_auth(encoded(id), Some(encoded(secret)))
        };
        let request = request.header("accept", "application/json").form(&form);
        let answer = outgoing::read(request, TOKENS_BYTES_MAX).await;
        let (status, body) = answer.map_err(OidcError::Unavailable)?;
        if status.is_server_error() {
            return Err(OidcError::Unavailable(format!("the answer is {status}")));
        }
        if status != StatusCode::OK {
            tracing::warn!(%status, "the identity provider gives nothing for a code");
            return Err(OidcError::Refused("the identity provider does not confirm this sign-in"));
        }
        serde_json::from_slice(&body).map_err(|_| {
            OidcError::Unavailable("what it gives for a code cannot be read".to_owned())
        })
    }
}

/// With what a person comes back.
pub(super) struct Answer {
    pub(super) state: String,
    code: Option<String>,
    error: Option<String>,
    issuer: Option<String>,
}

impl Answer {
    /// Reads the query of the URL: each parameter at most once (RFC 6749, section 3.1).
    pub(super) fn read(query: &str) -> Option<Self> {
        if query.len() > QUERY_BYTES_MAX {
            return None;
        }
        let (mut state, mut code, mut error, mut issuer) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut state,
                "code" => &mut code,
                "error" => &mut error,
                "iss" => &mut issuer,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return None;
            }
        }
        Some(Self { state: state?, code, error, issuer })
    }

    /// The code, if it is from `issuer`, which always `names_itself` or not.
    pub(super) fn code(self, issuer: &str, names_itself: bool) -> Result<String, OidcError> {
        let is_its = match &self.issuer {
            Some(said) => said == issuer,
            None => !names_itself,
        };
        if !is_its {
            return Err(OidcError::Refused("this is the answer of another identity provider"));
        }
        if let Some(error) = self.error {
            // A stranger can write this, and the state is known by then: it is somebody who began here.
            let error: String = error.chars().filter(char::is_ascii_graphic).take(64).collect();
            tracing::info!(error, "the identity provider refused a sign-in");
            return Err(OidcError::Refused("the identity provider refused this sign-in"));
        }
        self.code.ok_or(OidcError::Refused("this is no answer to a sign-in"))
    }
}
