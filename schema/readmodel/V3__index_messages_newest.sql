-- GET messages without a filter: the newest of a tenant.
CREATE INDEX messages_newest ON rm_messages_v1.messages (tenant_id, created_position);
