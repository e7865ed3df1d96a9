//! The queries of messages and conversations, as they are and as they were.

/// The first 100 addresses of a column. As many as a mail may have, in each row of a page, would take most of its time.
macro_rules! first_addresses {
    ($column:literal) => {
        concat!(
            "CASE WHEN json_array_length(",
            $column,
            ") > 100 THEN jsonb_path_query_array(",
            $column,
            "::jsonb, '$[0 to 99]')::json ELSE ",
            $column,
            " END"
        )
    };
}

/// What became of recipients, where they are few: what is known of a thousand would take most of a page's time, and
/// so would counting them there.
macro_rules! few_recipients {
    () => {
        "CASE WHEN octet_length(m.recipients::text) <= 16384 THEN m.recipients END"
    };
}

/// How many recipients of which something is known a message has.
macro_rules! recipients_count {
    () => {
        "CASE WHEN octet_length(m.recipients::text) <= 16384 THEN json_array_length(m.recipients)
              WHEN m.recipients IS NOT NULL THEN json_array_length(m.to_addresses)
                   + json_array_length(m.cc) + json_array_length(m.bcc) END"
    };
}

mod among;
mod conversation;
mod failed;
mod in_doubt;
mod message;
mod messages;
mod named;
mod parts;
mod past;
mod recipients;
mod send_error;
mod tail;
mod timeline;

pub use among::ConversationAmong;
pub use conversation::{Conversation, ConversationFilter};
pub use in_doubt::{DoubtFilter, MessageInDoubt};
pub use message::Message;
pub use messages::{MessageFilter, SentAs, UsedAccount};
pub use named::NamedMail;
pub use recipients::Recipient;
pub use tail::TailMessage;
pub use timeline::Timeline;

#[cfg(test)]
pub(crate) use {
    conversation::list_sql as conversation_list_sql, messages::list_sql as message_list_sql,
};
