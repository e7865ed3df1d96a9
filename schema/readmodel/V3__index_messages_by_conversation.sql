-- GET conversations/{id}/messages, and GET messages?conversation=.
CREATE INDEX messages_by_conversation
    ON rm_messages_v1.messages (tenant_id, conversation_id, created_position);
