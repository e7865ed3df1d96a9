//! The spans of events that are on their way to the bus.

use std::collections::VecDeque;

use hatch_bus::Envelope;
use hatch_telemetry::{span, trace};
use tracing::Span;

/// One span for each event of a sampled trace, from its sending until it is stored. Empty where no
/// traces are exported; never longer than the publisher's window and a page.
#[derive(Default)]
pub(crate) struct Publishing(VecDeque<(i64, Span)>);

impl Publishing {
    /// An event is being sent.
    pub(crate) fn sent(&mut self, envelope: &Envelope) {
        let traceparent = envelope.traceparent.as_deref();
        if !traceparent.is_some_and(trace::is_sampled) {
            return;
        }
        let span = span!(
            parent: None,
            "publish",
            otel.kind = "producer",
            position = envelope.position,
            event_type = envelope.event_type,
        );
        if !span.is_disabled() {
            trace::set_parent(&span, traceparent);
            self.0.push_back((envelope.position, span));
        }
    }

    /// Everything up to `position` is stored.
    pub(crate) fn stored(&mut self, position: i64) {
        while self.0.front().is_some_and(|(sent, _)| *sent <= position) {
            self.0.pop_front();
        }
    }
}
