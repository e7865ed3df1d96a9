//! Ports for private servers.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;

/// Below every system's range for outgoing connections (Linux from 32768, macOS from 49152): a
/// client's connection can never sit on the port of a server that is just being restarted, nor can
/// a client that retries connect to itself.
const RANGE: Range<u16> = 20_000..32_000;

/// A port of the loopback address that nobody listens on.
///
/// # Errors
/// Every port of the range is taken.
pub fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let width = u32::from(RANGE.end - RANGE.start);
    // Processes that start together begin far apart and so do not race for the same port.
    let first = std::process::id().wrapping_mul(37);
    (0..width)
        .map(|_| {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            RANGE.start + u16::try_from(first.wrapping_add(step) % width).unwrap_or_default()
        })
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .with_context(|| format!("no port from {} to {} is free", RANGE.start, RANGE.end - 1))
}
