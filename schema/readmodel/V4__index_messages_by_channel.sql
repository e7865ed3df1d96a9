-- GET messages?channel=, where the channel is a rare one.
CREATE INDEX messages_by_channel
    ON rm_messages_v1.messages (tenant_id, channel, created_position);
