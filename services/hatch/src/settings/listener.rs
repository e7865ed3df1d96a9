//! How the HTTP interface is reached: by TLS, and from pages of other origins.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// The certificate that `serve` shows to clients. Both files are read again when they change, without a restart; a pair
/// that does not fit is not used, and the one before stays.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// The certificate and those that lead to the one that clients trust, in PEM, its own first.
    pub certificate_file: Option<PathBuf>,
    /// The key of `tls.certificate_file`, in PEM, without a password.
    pub key_file: Option<PathBuf>,
}

/// Which pages of other origins may ask the API from a browser (CORS). They show a key or a token themselves: cookies
/// are never sent along.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorsSettings {
    /// Those origins, at most 100, as browsers write them, such as `https://app.example.com`; never `*`. Default: none,
    /// so that a browser asks the API for nobody but the pages of `public_url`.
    pub origins: Vec<String>,
}
