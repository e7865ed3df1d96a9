//! HTTP requests of our own.

use std::time::Duration;

use anyhow::Context;
use hatch_providers::client_builder;

/// A client whose requests each end within `timeout`.
///
/// # Errors
/// When the system's root certificates cannot be had.
pub fn http_client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    client_builder(timeout).build().context("failed to make an HTTP client")
}

/// The same for a process on this machine, whose certificate is made for the name by which others reach it.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn near_client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    let client = client_builder(timeout).tls_danger_accept_invalid_certs(true);
    client.build().context("failed to make an HTTP client")
}
