//! What Twilio posts, for the document of the API.

use serde_json::json;

use crate::Posted;
use crate::posted::text;

pub(super) fn posted() -> Vec<Posted> {
    let schema = json!({
        "type": "object",
        "description": "A message that came in, or the status of one that was sent, as Twilio posts it.",
        "properties": {
            "AccountSid": text("The account."),
            "MessageSid": text("What Twilio calls the message."),
            "From": text("The sender."),
            "To": text("The recipient."),
            "Body": text("The text of a message that came in."),
            "NumMedia": text("How many files came with it: `MediaUrl0`, `MediaContentType0` and so on name them."),
            "NumSegments": text("Into how many parts it was cut."),
            "MessageStatus": text("Where a message that was sent stands."),
            "SmsStatus": text("The same; `received` of one that came in."),
            "ErrorCode": text("Why it failed."),
        },
        "additionalProperties": {"type": "string"},
    });
    let example = json!({"MessageSid": "SM00000000000000000000000000000001",
        "AccountSid": "AC00000000000000000000000000000000", "MessageStatus": "delivered",
        "From": "+12016661234", "To": "+18045551234"});
    vec![Posted {
        suffix: None,
        operations: ["receive_webhook", "receive_twilio_webhook"],
        media_type: "application/x-www-form-urlencoded",
        name: "TwilioWebhook",
        schema,
        is_list: false,
        example,
    }]
}
