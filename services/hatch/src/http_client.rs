//! HTTP requests of our own.

use std::time::Duration;

use anyhow::Context;

/// A client whose requests each end within `timeout`.
///
/// # Errors
/// When the system's root certificates cannot be had.
pub fn http_client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    // Fails only when the process chose its cryptography before; then that is used.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().timeout(timeout).no_proxy();
    client.build().context("failed to make an HTTP client")
}
