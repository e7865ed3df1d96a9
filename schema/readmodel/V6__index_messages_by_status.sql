-- GET messages?status=: the few that failed or are in doubt among the many that did not.
CREATE INDEX messages_by_status
    ON rm_messages_v1.message_states (tenant_id, status, created_position);
