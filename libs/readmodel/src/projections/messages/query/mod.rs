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

/// The same of what became of recipients. What a provider said of them may have a NUL in it, which `jsonb` does not take.
macro_rules! first_recipients {
    ($column:literal) => {
        concat!(
            "CASE WHEN json_array_length(",
            $column,
            ") > 100 THEN (SELECT json_agg(one ORDER BY place) FROM json_array_elements(",
            $column,
            ") WITH ORDINALITY AS listed(one, place) WHERE place <= 100) ELSE ",
            $column,
            " END"
        )
    };
}

mod conversation;
mod message;
mod named;
mod parts;
mod past;
mod recipients;
mod send_error;
mod tail;
mod timeline;

pub use conversation::{Conversation, ConversationFilter};
pub use message::{Message, MessageFilter, SentAs};
pub use named::NamedMail;
pub use recipients::Recipient;
pub use tail::TailMessage;
pub use timeline::Timeline;

#[cfg(test)]
pub(crate) use {
    conversation::list_sql as conversation_list_sql, message::list_sql as message_list_sql,
};
