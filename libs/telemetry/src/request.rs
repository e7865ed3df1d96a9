//! Which request something is done for: its id goes from the HTTP interface into the events that it leads to.

tokio::task_local! {
    /// The id of the request that a task works on.
    static ID: String;
}

/// Runs `future` for the request of that id.
// No async function: its future would have room for `future` twice.
pub fn within<F: Future>(id: String, future: F) -> impl Future<Output = F::Output> {
    ID.scope(id, future)
}

/// The id of the request that this is done for, if it is done for one.
#[must_use]
pub fn current() -> Option<String> {
    ID.try_with(Clone::clone).ok()
}
