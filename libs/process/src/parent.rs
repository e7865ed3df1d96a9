//! A child's side of supervision: it ends when its parent does, however the parent ended.

use std::io::Read as _;

use tokio_util::sync::CancellationToken;

/// Set to `1`, it makes a role end when its standard input does. The supervisor holds the other end
/// of that pipe and never writes to it, so the kernel closes it even after a `SIGKILL`.
pub const EXIT_WITH_PARENT: &str = "HATCH_EXIT_WITH_PARENT";

/// Cancels `shutdown` when the parent is gone, where [`EXIT_WITH_PARENT`] asks for that.
pub fn stop_with_parent(shutdown: &CancellationToken) {
    if std::env::var_os(EXIT_WITH_PARENT).is_none_or(|value| value != "1") {
        return;
    }
    let shutdown = shutdown.clone();
    // A thread of its own: Tokio's standard input would hold up the end of its runtime.
    std::thread::spawn(move || {
        let mut byte = [0];
        loop {
            match std::io::stdin().read(&mut byte) {
                Ok(1..) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        shutdown.cancel();
    });
}
