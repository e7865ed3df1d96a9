//! What every part of hatch traces and measures with.
//!
//! [`trace`] carries W3C trace context between spans, events and HTTP; [`measure`] counts; [`limit`] knows how
//! much a process has of what can run out; [`chain`] writes an error with its causes; [`request`] knows which request something is done for. None of them knows where it ends up: the binary exports spans and
//! reads the measures when it is asked.

pub mod chain;
pub mod limit;
pub mod measure;
pub mod presence;
pub mod request;
pub mod trace;
