-- GET webhook-log: the newest of a tenant. The id breaks ties of the time.
CREATE INDEX webhook_log_newest ON hatch.webhook_log (tenant_id, received_at, id);
