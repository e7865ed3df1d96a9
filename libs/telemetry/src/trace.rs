//! W3C trace context: from a text into a span, and from a span into a text.
//!
//! Spans that are exported have the target [`TARGET`] and the level `TRACE`, so that nobody makes them
//! unless traces are exported: then a context that came from outside is still carried on, and nothing
//! else is done. `tracestate` is not carried.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of the spans that are exported, and of no others.
pub const TARGET: &str = "hatch_trace";

tokio::task_local! {
    /// The context of a task that makes no spans.
    static CARRIED: String;
}

/// Makes a span that is exported: `span!("name", key = value, ...)`.
#[macro_export]
macro_rules! span {
    ($($span:tt)+) => {
        $crate::trace::tracing::trace_span!(target: $crate::trace::TARGET, $($span)+)
    };
}

#[doc(hidden)]
pub use tracing;

/// Runs `future` in `span`, whose parent is `traceparent` where that is one. Where no spans are made,
/// `traceparent` itself is the context of what `future` does.
pub async fn within<F: Future>(span: Span, traceparent: Option<&str>, future: F) -> F::Output {
    if !span.is_disabled() {
        set_parent(&span, traceparent);
        return future.instrument(span).await;
    }
    match traceparent.filter(|text| parse(text).is_some()) {
        Some(text) => CARRIED.scope(text.to_owned(), future).await,
        None => future.await,
    }
}

/// Makes `traceparent` the parent of `span`, where it is one.
pub fn set_parent(span: &Span, traceparent: Option<&str>) {
    if span.is_disabled() {
        return;
    }
    if let Some(parent) = traceparent.and_then(parse) {
        // Refused only for a span that has begun, and this one has not been entered.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// Links `span` to the one that is entered now, which caused it without being its parent.
pub fn link_to_current(span: &Span) {
    if !span.is_disabled() {
        span.add_link(Context::current().span().span_context().clone());
    }
}

/// The context that what happens now belongs to, as a `traceparent`.
#[must_use]
pub fn current() -> Option<String> {
    let entered = Context::map_current(|context| context.span().span_context().clone());
    format(&entered).or_else(|| CARRIED.try_with(Clone::clone).ok())
}

/// The trace that what happens now belongs to, as 32 hexadecimal digits.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    current().and_then(|traceparent| traceparent.get(3..35).map(str::to_owned))
}

/// Whether `traceparent` is one whose trace is exported.
#[must_use]
pub fn is_sampled(traceparent: &str) -> bool {
    parse(traceparent).is_some_and(|context| context.is_sampled())
}

/// Reads version 00 and, as the recommendation asks for, the same fields of later versions.
fn parse(text: &str) -> Option<SpanContext> {
    let mut fields = text.splitn(5, '-');
    let (version, trace_id, span_id, flags) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let rest = fields.next();
    let lower_hex = |field: &str, length| {
        field.len() == length && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let well_formed = lower_hex(version, 2)
        && version != "ff"
        && (version != "00" || rest.is_none())
        && lower_hex(trace_id, 32)
        && lower_hex(span_id, 16)
        && lower_hex(flags, 2);
    if !well_formed {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace_id).ok()?,
        SpanId::from_hex(span_id).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

fn format(context: &SpanContext) -> Option<String> {
    context.is_valid().then(|| {
        let flags = context.trace_flags() & TraceFlags::SAMPLED;
        format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), flags)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_survives_reading_and_writing() {
        let context = parse(TRACEPARENT).expect("valid");
        assert_eq!(format(&context).as_deref(), Some(TRACEPARENT));
        assert!(is_sampled(TRACEPARENT) && !is_sampled(&TRACEPARENT.replace("-01", "-00")));
    }

    #[test]
    fn what_is_no_context_is_ignored() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\n",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(parse(text).is_none(), "{text:?}");
        }
        assert!(parse(&format!("01{}-more", &TRACEPARENT[2..])).is_some(), "a later version");
    }

    #[tokio::test]
    async fn without_export_a_context_from_outside_is_carried_on() {
        assert_eq!(within(Span::none(), None, async { current() }).await, None);
        assert_eq!(within(Span::none(), Some("nonsense"), async { current() }).await, None);
        let carried = within(Span::none(), Some(TRACEPARENT), async { current() }).await;
        assert_eq!(carried.as_deref(), Some(TRACEPARENT));
    }
}
