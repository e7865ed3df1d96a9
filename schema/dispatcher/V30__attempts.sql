-- What was said to a provider in each attempt, and what it answered, without secrets: for people who look into an attempt,
-- kept for some time (dispatcher.attempts_kept_days). Nothing depends on it: an attempt whose row is missing is in the log
-- all the same. Its rows go by the tenant and the message that they are of, where that is erased, and by age in small
-- pieces otherwise.
CREATE TABLE dispatch.attempts (
    tenant_id     uuid        NOT NULL,
    message_id    uuid        NOT NULL,
    attempt       int         NOT NULL,
    called_at     timestamptz NOT NULL,
    -- Milliseconds. NULL: there was no such thing.
    connect_ms    int,
    first_byte_ms int,
    total_ms      int,
    http_status   int,
    request       json,
    response      json,
    PRIMARY KEY (tenant_id, message_id, attempt)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Serves those who forget the oldest.
CREATE INDEX attempts_oldest ON dispatch.attempts (called_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT, DELETE ON dispatch.attempts TO hatch_app;
    END IF;
END
$$;
