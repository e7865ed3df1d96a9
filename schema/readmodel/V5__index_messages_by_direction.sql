-- GET messages?direction=, where most messages go the other way.
CREATE INDEX messages_by_direction
    ON rm_messages_v1.messages (tenant_id, direction, created_position);
