//! Subjects: `<prefix>.events.<tenant>.<aggregate>.<EventType>.<channel or ->.<priority or ->`.
//!
//! They never carry an id but the tenant's: JetStream keeps every subject in memory.

use crate::{Envelope, Work};

/// The subject that an event is published under.
pub(crate) fn of_event(prefix: &str, envelope: &Envelope) -> String {
    format!(
        "{prefix}.events.{}.{}.{}.{}.{}",
        envelope.tenant_id,
        token(&envelope.aggregate),
        token(&envelope.event_type),
        optional(envelope.channel.as_deref()),
        optional(envelope.priority.as_deref()),
    )
}

/// All subjects of the bus.
pub(crate) fn all(prefix: &str) -> String {
    format!("{prefix}.events.>")
}

/// The subjects of one kind of work, of every tenant.
pub(crate) fn of_work(prefix: &str, work: &Work) -> String {
    format!("{prefix}.events.*.{}", work_tokens(work).join("."))
}

/// Whether an event is one of that kind of work.
pub(crate) fn is_work(work: &Work, envelope: &Envelope) -> bool {
    let tokens = [
        token(&envelope.aggregate),
        token(&envelope.event_type),
        optional(envelope.channel.as_deref()),
        optional(envelope.priority.as_deref()),
    ];
    work_tokens(work) == tokens
}

/// The consumer's name for one kind of work. Its end tells it from the consumers of earlier builds, which are on disk
/// and have the name without it.
pub(crate) fn consumer_name(work: &Work) -> String {
    format!("{}_memory", work_tokens(work).join("_"))
}

fn work_tokens(work: &Work) -> [String; 4] {
    [
        token(&work.aggregate),
        token(&work.event_type),
        optional(work.channel.as_deref()),
        optional(work.priority.as_deref()),
    ]
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
    use crate::envelope::example;

    #[test]
    fn a_subject_names_tenant_aggregate_type_channel_and_priority() {
        assert_eq!(
            of_event("hatch", &example()),
            "hatch.events.00000000-0000-0000-0000-000000000001.message.MessageRequested.sms.normal"
        );
        let bare = Envelope { channel: None, priority: None, ..example() };
        assert!(of_event("hatch", &bare).ends_with(".MessageRequested.-.-"));
    }

    #[test]
    fn no_text_can_break_out_of_its_token() {
        let odd = Envelope {
            aggregate: "a.b".to_owned(),
            event_type: "*".to_owned(),
            channel: Some("> \r\n".to_owned()),
            priority: Some(String::new()),
            ..example()
        };
        assert!(of_event("hatch", &odd).ends_with(".a_b._.____._"));
    }

    #[test]
    fn the_filter_of_a_kind_of_work_matches_all_tenants() {
        let work = Work {
            aggregate: "message".to_owned(),
            event_type: "MessageRequested".to_owned(),
            channel: Some("sms".to_owned()),
            priority: None,
            ..Work::default()
        };
        assert_eq!(of_work("hatch", &work), "hatch.events.*.message.MessageRequested.sms.-");
        assert_eq!(consumer_name(&work), "message_MessageRequested_sms_-_memory");
        assert!(is_work(&work, &Envelope { priority: None, ..example() }));
        assert!(!is_work(&work, &example()), "of another priority")
    }
}
