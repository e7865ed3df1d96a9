-- GET conversations: those of a tenant with the latest activity.
CREATE INDEX conversations_latest
    ON rm_messages_v1.conversations (tenant_id, last_message_position);
