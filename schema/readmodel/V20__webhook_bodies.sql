-- The bodies of webhooks that are longer than what hatch.webhook_log keeps of one, where the log of events
-- does not hold all that they say: of mails with large files, and in the quarantine. Written just before
-- the webhook's row; one without a row is left by a process that died in between, and its provider has
-- repeated it.
CREATE TABLE hatch.webhook_bodies (
    webhook_id uuid  PRIMARY KEY,
    body       bytea NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT ON hatch.webhook_bodies TO hatch_app;
    END IF;
END
$$;
