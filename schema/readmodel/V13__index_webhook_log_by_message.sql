-- The webhooks of one message, for its timeline.
CREATE INDEX webhook_log_by_message ON hatch.webhook_log (tenant_id, message_id, received_at)
    WHERE message_id IS NOT NULL;
