//! The names that the document lists for values of the domain, which knows nothing of documents.

use utoipa::ToSchema;

/// How a message travels.
#[derive(ToSchema)]
#[schema(as = Channel)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "it is there to be listed")]
pub(crate) enum ChannelName {
    Sms,
    Mms,
    Email,
    Chat,
}

/// Where a message stands. Outbound: `scheduled`, `queued`, `sending`, `sent`, `delivered`, `read`, or
/// `retrying`, `in_doubt`, `failed`, `undelivered`, `canceled`; inbound: `received`.
#[derive(ToSchema)]
#[schema(as = Status)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it is there to be listed")]
pub(crate) enum StatusName {
    Scheduled,
    Queued,
    Sending,
    Retrying,
    InDoubt,
    Sent,
    Delivered,
    Read,
    Failed,
    Undelivered,
    Canceled,
    Received,
}

/// Which way a message went.
#[derive(ToSchema)]
#[schema(as = Direction)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "it is there to be listed")]
pub(crate) enum DirectionName {
    Outbound,
    Inbound,
}

/// Which of two waiting messages goes first: a campaign never delays a login code.
#[derive(ToSchema)]
#[schema(as = Priority)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "it is there to be listed")]
pub(crate) enum PriorityName {
    High,
    Normal,
    Low,
}

#[cfg(test)]
mod tests {
    use hatch_domain::message::status::Status;
    use hatch_domain::{Channel, Priority};
    use hatch_readmodel::Direction;
    use utoipa::PartialSchema;

    use super::*;

    /// The values that the document lists, sorted.
    fn listed<T: PartialSchema>() -> Vec<String> {
        let schema = serde_json::to_value(T::schema()).expect("a schema is JSON");
        let values = schema["enum"].as_array().expect("an enumeration").iter();
        let mut names: Vec<String> =
            values.map(|value| value.as_str().expect("a name").to_owned()).collect();
        names.sort();
        names
    }

    fn sorted<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> Vec<String> {
        let mut names: Vec<String> = all.iter().map(|one| name(*one).to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_document_lists_exactly_what_the_domain_has() {
        assert_eq!(listed::<ChannelName>(), sorted(&Channel::ALL, Channel::as_str));
        assert_eq!(listed::<StatusName>(), sorted(&Status::ALL, Status::as_str));
        assert_eq!(listed::<PriorityName>(), sorted(&Priority::ALL, Priority::as_str));
        let directions = [Direction::Outbound, Direction::Inbound];
        assert_eq!(listed::<DirectionName>(), sorted(&directions, Direction::as_str));
    }
}
