//! How long the disk takes to make a write safe: what every figure has to be read beside.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// What PostgreSQL writes at a time.
const BLOCK_BYTES: usize = 8 << 10;
/// How long it is tried.
const MEASURE: Duration = Duration::from_secs(1);

/// The median time of an 8 kB write and `fdatasync` to a file in `folder`, again and again to the
/// same place, as `pg_test_fsync` does it.
///
/// # Errors
/// The folder cannot be written.
pub fn fdatasync(folder: &Path) -> anyhow::Result<Duration> {
    let cannot = || format!("failed to measure fdatasync in {}", folder.display());
    let mut file = tempfile::tempfile_in(folder).with_context(cannot)?;
    let block = [0x5a_u8; BLOCK_BYTES];
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < MEASURE {
        let started = Instant::now();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&block))
            .and_then(|()| file.sync_data())
            .with_context(cannot)?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
