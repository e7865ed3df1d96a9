//! A message: one SMS on its way out, or one that came in. Its stream is two to six events long.

pub mod event;
pub mod status;
