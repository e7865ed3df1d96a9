-- By which account a webhook was verified that may be read again: its name, what the provider calls it, whether a tenant
-- keeps it in the log, and its tenants at that time. Nobody else reads it again, whoever has its path by then. Rows from
-- before have none.
ALTER TABLE hatch.webhook_log ADD COLUMN verified json;
ALTER TABLE hatch.raw_mails ADD COLUMN verified json;
