//! Subjects: `<prefix>.events.<tenant>.<aggregate>.<EventType>.<channel or ->.<priority or ->`.
//!
//! They never carry an id but the tenant's: JetStream keeps every subject in memory.

use hatch_domain::envelope::Envelope;
use uuid::Uuid;

/// What a subject says of an event beside its tenant: aggregate, type, channel and priority, each as one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens([String; 4]);

impl Tokens {
    pub(crate) fn new(
        aggregate: &str,
        event_type: &str,
        channel: Option<&str>,
        priority: Option<&str>,
    ) -> Self {
        Self([token(aggregate), token(event_type), optional(channel), optional(priority)])
    }

    /// Those of an event.
    pub(crate) fn of(event: &Envelope) -> Self {
        let (channel, priority) = (event.channel.as_deref(), event.priority.as_deref());
        Self::new(&event.aggregate, &event.event_type, channel, priority)
    }
}

/// The subject that an event is published under.
pub(crate) fn of_event(prefix: &str, tenant_id: Uuid, tokens: &Tokens) -> String {
    format!("{prefix}.events.{tenant_id}.{}", tokens.0.join("."))
}

/// All subjects of the bus.
pub(crate) fn all(prefix: &str) -> String {
    format!("{prefix}.events.>")
}

/// The subjects of one kind of work, of every tenant.
pub(crate) fn of_work(prefix: &str, tokens: &Tokens) -> String {
    format!("{prefix}.events.*.{}", tokens.0.join("."))
}

/// The consumer's name for one kind of work. Its end tells it from the consumers of earlier builds, which are on disk
/// and have the name without it.
pub(crate) fn consumer_name(tokens: &Tokens) -> String {
    format!("{}_memory", tokens.0.join("_"))
}

fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), token)
}

/// One subject token: whatever would end a token, match several or break the protocol becomes `_`.
fn token(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    if text.is_empty() { "_".to_owned() } else { text.chars().map(safe).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(aggregate: &str, event_type: &str, rest: [Option<&str>; 2]) -> String {
        of_event("hatch", Uuid::from_u128(1), &Tokens::new(aggregate, event_type, rest[0], rest[1]))
    }

    #[test]
    fn a_subject_names_tenant_aggregate_type_channel_and_priority() {
        assert_eq!(
            subject("message", "MessageRequested", [Some("sms"), Some("normal")]),
            "hatch.events.00000000-0000-0000-0000-000000000001.message.MessageRequested.sms.normal"
        );
        let bare = subject("message", "MessageRequested", [None, None]);
        assert!(bare.ends_with(".MessageRequested.-.-"));
    }

    #[test]
    fn no_text_can_break_out_of_its_token() {
        assert!(subject("a.b", "*", [Some("> \r\n"), Some("")]).ends_with(".a_b._.____._"));
    }

    #[test]
    fn the_filter_of_a_kind_of_work_matches_all_tenants() {
        let tokens = Tokens::new("message", "MessageRequested", Some("sms"), None);
        assert_eq!(of_work("hatch", &tokens), "hatch.events.*.message.MessageRequested.sms.-");
        assert_eq!(consumer_name(&tokens), "message_MessageRequested_sms_-_memory");
    }
}
