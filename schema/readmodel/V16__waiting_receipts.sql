-- Receipts that name only what the provider calls the message, and came before that name was known.
-- They are tried again until the message is found or they are too old. No projection: the webhook's
-- endpoint writes the row in the same transaction as the webhook's row of the log, and whoever
-- settles it deletes it.
CREATE TABLE hatch.waiting_receipts (
    id                  uuid PRIMARY KEY,
    webhook_id          uuid NOT NULL,
    tenant_id           uuid NOT NULL,
    provider            text NOT NULL,
    account             text NOT NULL,
    provider_message_id text NOT NULL,
    receipt             json NOT NULL,
    received_at         timestamptz NOT NULL,
    next_look_at        timestamptz NOT NULL
);

-- A settled receipt is taken out of quarantine.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON hatch.waiting_receipts TO hatch_app;
        GRANT UPDATE (outcome, detail, message_id) ON hatch.webhook_log TO hatch_app;
    END IF;
END
$$;
