//! What Vonage posts, for the document of the API.

use serde_json::json;

use crate::Posted;
use crate::posted::text;

pub(super) fn posted() -> Vec<Posted> {
    let schema = json!({
        "type": "object",
        "description": "A message that came in, or the status of one that was sent, as Vonage posts it.",
        // What tells it from the other bodies of a path that every provider has.
        "required": ["message_uuid"],
        "properties": {
            "message_uuid": text("What Vonage calls the message."),
            "channel": text("How it travels: `sms` or `mms`."),
            "from": text("The sender."),
            "to": text("The recipient."),
            "timestamp": text("When."),
            "status": text("Where a message that was sent stands; one that came in has none."),
            "client_ref": text("The reference that it was sent with."),
            "message_type": text("What a message that came in is: `text`, `image` and the like."),
            "text": text("The text of a message that came in."),
            "error": {"type": "object", "description": "Why it failed."},
        },
        "additionalProperties": true,
    });
    let example = json!({"message_uuid": "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab", "channel": "sms",
        "from": "12016661234", "to": "18045551234", "timestamp": "2026-01-31T12:00:00Z", "status": "delivered"});
    vec![Posted {
        suffix: None,
        operations: ["receive_webhook", "receive_vonage_webhook"],
        media_type: "application/json",
        name: "VonageWebhook",
        schema,
        is_list: false,
        example,
    }]
}
