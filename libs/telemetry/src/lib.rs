//! What every part of hatch traces and measures with.
//!
//! [`trace`] carries W3C trace context between spans, events and HTTP; [`measure`] counts. Neither
//! knows where it ends up: the binary exports spans and reads the measures when it is asked.

pub mod measure;
pub mod trace;
