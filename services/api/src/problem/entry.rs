//! What the catalogue says of one error, and how its rows are written.

use axum::http::StatusCode;

/// One error: what its code means, and what helps.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What programs go by. It keeps its meaning.
    pub(crate) code: &'static str,
    /// The statuses it is answered with, the usual one first; none where it has no status of its own.
    pub(crate) statuses: &'static [StatusCode],
    /// The error in a few words.
    pub(crate) title: &'static str,
    /// Why it is answered.
    pub(crate) cause: &'static str,
    /// What whoever gets it does about it.
    pub(crate) fix: &'static str,
    /// What `detail` says, for example.
    pub(crate) example: &'static str,
}

impl Entry {
    /// The usual status.
    pub(super) fn status(&self) -> StatusCode {
        self.statuses.first().copied().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The last part of its page's address.
    pub(crate) fn name(&self) -> String {
        self.code.replace('_', "-")
    }
}

/// Problems: a row is the name by which constructors know it, its code, its statuses, and then title, cause, fix and
/// an example of `detail`.
macro_rules! problems {
    ($($name:ident = $code:literal [$($status:ident)*]
        $title:literal $cause:literal $fix:literal $example:literal;)+) => {
        $(
            #[doc = $title]
            pub(crate) static $name: Entry = Entry {
                code: $code,
                statuses: &[$(StatusCode::$status),*],
                title: $title,
                cause: $cause,
                fix: $fix,
                example: $example,
            };
        )+

        /// What `code` of a problem can be.
        pub(crate) static PROBLEMS: &[&Entry] = &[$(&$name),+];
    };
}

/// Other codes: a row is the code, and then title, cause, fix and an example of `detail`.
macro_rules! codes {
    ($($code:literal $title:literal $cause:literal $fix:literal $example:literal;)+) => {
        &[$(Entry {
            code: $code,
            statuses: &[],
            title: $title,
            cause: $cause,
            fix: $fix,
            example: $example,
        }),+]
    };
}

pub(super) use {codes, problems};
