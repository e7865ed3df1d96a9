-- GET webhook-log?outcome=, the replay of the quarantine, and the alert on refused signatures.
CREATE INDEX webhook_log_by_outcome ON hatch.webhook_log (tenant_id, outcome, received_at, id)
    WHERE outcome IN ('quarantined', 'rejected_signature');
