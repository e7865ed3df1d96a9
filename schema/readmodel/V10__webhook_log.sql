-- Every webhook that came in, as it came. No projection: the endpoint writes the row in the same
-- transaction as the events that the webhook led to, or alone where it led to none.
CREATE SCHEMA IF NOT EXISTS hatch;

CREATE TABLE hatch.webhook_log (
    id                  uuid PRIMARY KEY,
    tenant_id           uuid NOT NULL,
    provider            text NOT NULL,
    account             text,
    kind                text,
    outcome             text NOT NULL CHECK (outcome IN
                        ('applied', 'duplicate', 'ignored', 'rejected_signature', 'quarantined')),
    provider_message_id text,
    message_id          uuid,
    detail              text,
    method              text NOT NULL,
    path_and_query      text NOT NULL,
    headers             json NOT NULL,
    body                bytea NOT NULL,
    received_at         timestamptz NOT NULL
);
