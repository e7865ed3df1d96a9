-- When a process that takes webhooks last said that they wait too long, as a hint to those who accept
-- messages: written some ten times a second while it is so, worth nothing a second later, and empty
-- after a crash. Without WAL it costs next to nothing. One row.
CREATE UNLOGGED TABLE hatch.webhooks_behind (
    single boolean     PRIMARY KEY DEFAULT true CHECK (single),
    at     timestamptz NOT NULL
) WITH (fillfactor = 50);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hatch_app') THEN
        GRANT SELECT, INSERT, UPDATE ON hatch.webhooks_behind TO hatch_app;
    END IF;
END
$$;
