//! What mails have in common, whatever provider carries them: how one is written for a provider, and how one that came
//! in is read from the form that a provider posts.

pub(crate) mod envelope;
pub(crate) mod files;
pub(crate) mod form;
pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod status;

pub(crate) use outgoing::DEFAULT_SUBJECT;
pub use status::class_of_status;
