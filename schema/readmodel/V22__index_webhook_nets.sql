-- What is old in the nets of the webhook log, and what belongs into a partition that is made.
CREATE INDEX webhook_log_refused_default_received ON hatch.webhook_log_refused_default (received_at);
CREATE INDEX webhook_log_nothing_new_default_received ON hatch.webhook_log_nothing_new_default (received_at);
CREATE INDEX webhook_log_applied_default_received ON hatch.webhook_log_applied_default (received_at);
CREATE INDEX webhook_log_quarantined_default_received ON hatch.webhook_log_quarantined_default (received_at);
